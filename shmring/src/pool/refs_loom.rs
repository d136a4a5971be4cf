//! The count of references under loom, with its production code.

extern crate std;
use super::refs::{Count, Refs};
use core::sync::atomic::Ordering;
use loom::{cell::UnsafeCell, sync::atomic, thread};
use std::{panic, println, sync::Arc};

/// What a mutant gets wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mutant {
    None,
    RelaxedLoad,
    RelaxedSub,
    NoFence,
}

struct Watched<const M: u8>(atomic::AtomicUsize);

const fn mutant(m: u8) -> Mutant {
    match m {
        1 => Mutant::RelaxedLoad,
        2 => Mutant::RelaxedSub,
        3 => Mutant::NoFence,
        _ => Mutant::None,
    }
}

impl<const M: u8> Count for Watched<M> {
    fn load(&self, order: Ordering) -> usize {
        let relaxed = mutant(M) == Mutant::RelaxedLoad;
        self.0.load(if relaxed { Ordering::Relaxed } else { order })
    }
    fn store(&self, value: usize, order: Ordering) {
        self.0.store(value, order);
    }
    fn add(&self, order: Ordering) {
        self.0.fetch_add(1, order);
    }
    fn sub(&self, order: Ordering) -> usize {
        let relaxed = mutant(M) == Mutant::RelaxedSub;
        self.0.fetch_sub(1, if relaxed { Ordering::Relaxed } else { order })
    }
    fn fence(order: Ordering) {
        if mutant(M) != Mutant::NoFence {
            atomic::fence(order);
        }
    }
}

struct Buffer<const M: u8> {
    refs: Refs<Watched<M>>,
    bytes: UnsafeCell<u32>,
}

// SAFETY: what the model proves: the bytes are only written by the last owner.
unsafe impl<const M: u8> Sync for Buffer<M> {}
// SAFETY: as above.
unsafe impl<const M: u8> Send for Buffer<M> {}

impl<const M: u8> Buffer<M> {
    /// Reads the bytes, then gives a reference up; the last one writes, as the next owner would.
    fn drop_one(&self) {
        self.bytes.with(|_| ());
        if self.refs.release(false) {
            self.bytes.with_mut(|_| ());
        }
    }
}

/// Three owners, one of whom clones, give the buffer up at once.
fn share<const M: u8>() {
    loom::model(|| {
        let refs = Refs(Watched::<M>(atomic::AtomicUsize::new(3)));
        let buffer = Arc::new(Buffer { refs, bytes: UnsafeCell::new(0) });
        let others: std::vec::Vec<_> = (0..2)
            .map(|i| {
                let buffer = buffer.clone();
                thread::spawn(move || {
                    if i == 0 {
                        buffer.refs.retain(false);
                        buffer.drop_one();
                    }
                    buffer.drop_one();
                })
            })
            .collect();
        buffer.drop_one();
        others.into_iter().for_each(|other| other.join().unwrap());
    });
}

#[test]
fn loom_finds_one_last_owner_after_all_others() {
    share::<0>();
}

#[test]
fn loom_catches_each_weaker_count() {
    let mutants: [(u8, fn()); 3] = [(1, share::<1>), (2, share::<2>), (3, share::<3>)];
    for (m, run) in mutants {
        assert!(panic::catch_unwind(run).is_err(), "{:?}", mutant(m));
        println!("count of references: {:?} is caught", mutant(m));
    }
}
