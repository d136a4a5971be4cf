//! One single-producer single-consumer ring: indices, ordering and event suppression. Both sides
//! are built from these two ends; what a descriptor means is theirs.
#![forbid(unsafe_code)]

use crate::{
    abi::{DESC_LEN, ctrl, queue},
    memory::{RingMemory, SharedMemory, Word},
};
use core::sync::atomic::Ordering;

/// Where a ring lies in its region; latched once, from constants that were checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Offset of the control words.
    pub ctrl: u64,
    /// Offset of the descriptors.
    pub desc: u64,
    /// Entries, a power of two.
    pub entries: u32,
}

impl Layout {
    /// Whether the ring lies in a region of `len` bytes, aligned, and is of a legal size.
    pub fn is_valid(&self, len: u64) -> bool {
        let inside = |start: u64, bytes: u64| start.checked_add(bytes).is_some_and(|e| e <= len);
        self.entries.is_power_of_two()
            && (2..=1 << queue::MAX_LOG2).contains(&self.entries)
            && self.ctrl.is_multiple_of(128)
            && self.desc.is_multiple_of(DESC_LEN)
            && inside(self.ctrl, ctrl::LEN)
            && inside(self.desc, u64::from(self.entries) * DESC_LEN)
    }
}

/// The peer's index is further from ours than the ring is long, or moved back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadIndex;

/// Whether somebody who waits for `event` is to be told of a move from `old` to `new` (virtio's
/// `need_event`, wrapping).
pub fn need_event(event: u32, new: u32, old: u32) -> bool {
    new.wrapping_sub(event).wrapping_sub(1) < new.wrapping_sub(old)
}

/// The end that writes descriptors.
#[derive(Debug)]
pub struct Producer<R> {
    ring: R,
    entries: u32,
    prod: u32,
    published: u32,
    cons: u32,
}

impl<R: RingMemory> Producer<R> {
    /// The producer of the ring at `layout`, going on at the indices that it finds there.
    ///
    /// # Errors
    /// [`BadIndex`] when they are further apart than the ring is long.
    ///
    /// # Panics
    /// When the layout is not valid in `memory`.
    pub fn new<M: SharedMemory<Ring = R>>(memory: &M, layout: Layout) -> Result<Self, BadIndex> {
        Producer::of(memory.ring(layout), layout.entries)
    }

    /// Likewise, of a ring whose words are at hand.
    ///
    /// # Errors
    /// [`BadIndex`] as in [`Producer::new`].
    pub fn of(ring: R, entries: u32) -> Result<Self, BadIndex> {
        let prod = ring.load(Word::Prod, Ordering::Relaxed);
        let cons = ring.load(Word::Cons, Ordering::Acquire);
        if prod.wrapping_sub(cons) > entries {
            return Err(BadIndex);
        }
        Ok(Producer { ring, entries, prod, published: prod, cons })
    }

    /// The producer of an empty ring whose indices are 0, whatever its words say by now.
    pub fn fresh(ring: R, entries: u32) -> Self {
        Producer { ring, entries, prod: 0, published: 0, cons: 0 }
    }

    /// Entries of the ring.
    pub fn entries(&self) -> u32 {
        self.entries
    }

    /// Entries that can be written without another look at the peer's index.
    #[inline]
    pub fn room(&self) -> u32 {
        self.entries - self.in_flight()
    }

    /// Entries written and not given back as far as known.
    #[inline]
    pub fn in_flight(&self) -> u32 {
        self.prod.wrapping_sub(self.cons)
    }

    /// Looks at the peer's index; returns how many more entries it has given back.
    ///
    /// # Errors
    /// [`BadIndex`] when the peer claims to have consumed what was not published.
    #[inline]
    pub fn refresh(&mut self) -> Result<u32, BadIndex> {
        let cons = self.ring.load(Word::Cons, Ordering::Acquire);
        let consumed = cons.wrapping_sub(self.cons);
        if consumed > self.published.wrapping_sub(self.cons) {
            return Err(BadIndex);
        }
        self.cons = cons;
        Ok(consumed)
    }

    /// Writes the next descriptor; the peer sees it after [`Producer::publish`].
    ///
    /// # Panics
    /// When there is no room: the caller asks first.
    #[inline]
    pub fn write(&mut self, words: [u64; 2]) {
        assert!(self.in_flight() < self.entries, "ring is full");
        self.ring.write(self.prod, words);
        self.prod = self.prod.wrapping_add(1);
    }

    /// Makes everything written visible, with one fence for all of it; whether the peer sleeps and
    /// is to be kicked.
    #[must_use]
    #[inline]
    pub fn publish(&mut self) -> bool {
        let old = self.published;
        if old == self.prod {
            return false;
        }
        self.publish_quiet();
        // Pairs with the fence of the consumer between arming and its second look: one of the two
        // sees the other's store.
        self.ring.fence();
        need_event(self.ring.load(Word::ConsEvent, Ordering::Relaxed), self.prod, old)
    }

    /// Makes everything written visible to a peer that looks by itself before it sleeps: no fence.
    #[inline]
    pub fn publish_quiet(&mut self) {
        if self.published != self.prod {
            self.ring.store(Word::Prod, self.prod, Ordering::Release);
            self.published = self.prod;
        }
    }

    /// Asks to be kicked when the peer has given back `entries` more; a fence and another
    /// [`Producer::refresh`] must follow before sleeping. Only for rings whose consumer uses
    /// [`Consumer::release_notify`].
    pub fn arm(&self, entries: u32) {
        let event = self.cons.wrapping_add(entries).wrapping_sub(1);
        self.ring.store(Word::ProdEvent, event, Ordering::Relaxed);
    }

    /// Arms for `entries` more, fences and looks again; whether nothing came back and the caller
    /// may sleep.
    ///
    /// # Errors
    /// [`BadIndex`] as in [`Producer::refresh`].
    pub fn may_sleep(&mut self, entries: u32) -> Result<bool, BadIndex> {
        self.arm(entries);
        self.ring.fence();
        Ok(self.refresh()? == 0)
    }
}

/// The end that reads descriptors.
#[derive(Debug)]
pub struct Consumer<R> {
    ring: R,
    entries: u32,
    cons: u32,
    released: u32,
    prod: u32,
}

impl<R: RingMemory> Consumer<R> {
    /// The consumer of the ring at `layout`, going on at the index that it finds there.
    ///
    /// # Errors
    /// [`BadIndex`] when the producer's is further away than the ring is long.
    ///
    /// # Panics
    /// When the layout is not valid in `memory`.
    pub fn new<M: SharedMemory<Ring = R>>(memory: &M, layout: Layout) -> Result<Self, BadIndex> {
        Consumer::of(memory.ring(layout), layout.entries)
    }

    /// Likewise, of a ring whose words are at hand.
    ///
    /// # Errors
    /// [`BadIndex`] as in [`Consumer::new`].
    pub fn of(ring: R, entries: u32) -> Result<Self, BadIndex> {
        let cons = ring.load(Word::Cons, Ordering::Relaxed);
        let mut this = Consumer { ring, entries, cons, released: cons, prod: cons };
        this.refresh()?;
        Ok(this)
    }

    /// The consumer of an empty ring whose indices are 0, whatever its words say by now.
    pub fn fresh(ring: R, entries: u32) -> Self {
        Consumer { ring, entries, cons: 0, released: 0, prod: 0 }
    }

    /// Entries of the ring.
    pub fn entries(&self) -> u32 {
        self.entries
    }

    /// Entries that can be taken without another look at the peer's index.
    #[inline]
    pub fn ready(&self) -> u32 {
        self.prod.wrapping_sub(self.cons)
    }

    /// Looks at the peer's index; returns what is ready then.
    ///
    /// # Errors
    /// [`BadIndex`] when the peer claims more than the ring holds, or takes back what it published.
    #[inline]
    pub fn refresh(&mut self) -> Result<u32, BadIndex> {
        let prod = self.ring.load(Word::Prod, Ordering::Acquire);
        let pending = prod.wrapping_sub(self.released);
        if pending > self.entries || pending < self.prod.wrapping_sub(self.released) {
            return Err(BadIndex);
        }
        self.prod = prod;
        Ok(self.ready())
    }

    /// A snapshot of the `n`-th ready entry's words: each is read once, here.
    ///
    /// # Panics
    /// When it is not ready: the caller asks first.
    #[inline]
    pub fn peek(&self, n: u32) -> [u64; 2] {
        assert!(n < self.ready(), "entry is not ready");
        self.ring.read(self.cons.wrapping_add(n))
    }

    /// Takes `n` entries; the peer may not reuse them before they are released.
    ///
    /// # Panics
    /// When fewer are ready.
    #[inline]
    pub fn take(&mut self, n: u32) {
        assert!(n <= self.ready(), "entries are not ready");
        self.cons = self.cons.wrapping_add(n);
    }

    /// Gives back everything taken, to a producer that never sleeps for room (FILL, RX).
    #[inline]
    pub fn release(&mut self) {
        if self.released != self.cons {
            self.ring.store(Word::Cons, self.cons, Ordering::Release);
            self.released = self.cons;
        }
    }

    /// Gives back everything taken, with one fence for all of it; whether the peer waits for that
    /// and is to be kicked (TX).
    #[must_use]
    #[inline]
    pub fn release_notify(&mut self) -> bool {
        let old = self.released;
        if old == self.cons {
            return false;
        }
        self.release();
        // Pairs with the fence of the producer between arming and its second look.
        self.ring.fence();
        need_event(self.ring.load(Word::ProdEvent, Ordering::Relaxed), self.cons, old)
    }

    /// Asks to be kicked for the next entry; a fence and another [`Consumer::refresh`] must follow
    /// before sleeping.
    pub fn arm(&self) {
        self.ring.store(Word::ConsEvent, self.prod, Ordering::Relaxed);
    }

    /// Arms, fences and looks again; whether nothing is ready and the caller may sleep.
    ///
    /// # Errors
    /// [`BadIndex`] as in [`Consumer::refresh`].
    pub fn may_sleep(&mut self) -> Result<bool, BadIndex> {
        self.arm();
        self.ring.fence();
        Ok(self.refresh()? == 0)
    }

    /// Takes back [`Consumer::arm`]: no kick until armed again.
    pub fn disarm(&self) {
        self.ring.store(Word::ConsEvent, self.prod.wrapping_sub(1), Ordering::Relaxed);
    }
}
