//! A ring's words under loom, and what each mutant does to them.

use loom::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};
use shmring::memory::{RingMemory, Word};
use std::{cell::Cell, fmt, sync::Arc};

/// One weakening.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutant {
    /// As it is.
    None,
    /// The fences order like a release only.
    ReleaseOnlyFence,
    /// The producer has no fence.
    NoProducerFence,
    /// The consumer has no fence.
    NoConsumerFence,
    /// The consumer does not look again after arming.
    NoRecheck,
    /// The producer's index is stored relaxed.
    RelaxedPublish,
    /// The consumer's index is stored relaxed.
    RelaxedRelease,
}

/// Who accesses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The producer.
    Producer,
    /// The consumer.
    Consumer,
}

/// Where the indices start: the first message wraps them.
const START: u32 = u32::MAX;

/// The words.
pub struct Shared {
    prod: AtomicU32,
    cons: AtomicU32,
    cons_event: AtomicU32,
    prod_event: AtomicU32,
    desc: Vec<[AtomicU64; 2]>,
}

impl Shared {
    /// An empty ring.
    pub fn new(entries: usize) -> Arc<Shared> {
        Arc::new(Shared {
            prod: AtomicU32::new(START),
            cons: AtomicU32::new(START),
            cons_event: AtomicU32::new(START.wrapping_sub(1)),
            prod_event: AtomicU32::new(START.wrapping_sub(1)),
            desc: (0..entries).map(|_| [AtomicU64::new(0), AtomicU64::new(0)]).collect(),
        })
    }

    /// One end's access to it.
    pub fn end(self: &Arc<Self>, end: End, mutant: Mutant) -> Access {
        let stale = Cell::new(START);
        Access { shared: self.clone(), end, mutant, stale, fenced: Cell::new(false) }
    }
}

/// One end's access.
pub struct Access {
    shared: Arc<Shared>,
    end: End,
    mutant: Mutant,
    stale: Cell<u32>,
    fenced: Cell<bool>,
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {:?}", self.end, self.mutant)
    }
}

impl Access {
    fn word(&self, word: Word) -> &AtomicU32 {
        match word {
            Word::Prod => &self.shared.prod,
            Word::Cons => &self.shared.cons,
            Word::ConsEvent => &self.shared.cons_event,
            Word::ProdEvent => &self.shared.prod_event,
        }
    }
}

impl RingMemory for Access {
    fn load(&self, word: Word, order: Ordering) -> u32 {
        let again = word == Word::Prod && self.fenced.take();
        if again && self.mutant == Mutant::NoRecheck {
            return self.stale.get();
        }
        let value = self.word(word).load(order);
        if word == Word::Prod {
            self.stale.set(value);
        }
        value
    }

    fn store(&self, word: Word, value: u32, order: Ordering) {
        let order = match (self.mutant, word) {
            (Mutant::RelaxedPublish, Word::Prod) | (Mutant::RelaxedRelease, Word::Cons) => {
                Ordering::Relaxed
            }
            _ => order,
        };
        self.word(word).store(value, order);
    }

    fn read(&self, index: u32) -> [u64; 2] {
        let [w0, w1] = &self.shared.desc[index as usize % self.shared.desc.len()];
        [w0.load(Ordering::Relaxed), w1.load(Ordering::Relaxed)]
    }

    fn write(&self, index: u32, [a, b]: [u64; 2]) {
        let [w0, w1] = &self.shared.desc[index as usize % self.shared.desc.len()];
        w0.store(a, Ordering::Relaxed);
        w1.store(b, Ordering::Relaxed);
    }

    fn fence(&self) {
        self.fenced.set(self.end == End::Consumer);
        match (self.mutant, self.end) {
            (Mutant::NoProducerFence, End::Producer) | (Mutant::NoConsumerFence, End::Consumer) => {
            }
            (Mutant::ReleaseOnlyFence, _) => fence(Ordering::Release),
            _ => fence(Ordering::SeqCst),
        }
    }
}
