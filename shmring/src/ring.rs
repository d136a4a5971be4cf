//! One single-producer single-consumer ring: indices, ordering and event suppression. Both sides
//! are built from these two ends; what a descriptor means is theirs.
#![forbid(unsafe_code)]

use crate::{
    abi::{DESC_LEN, ctrl},
    memory::SharedMemory,
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
    fn desc_at(&self, index: u32) -> u64 {
        self.desc + u64::from(index & (self.entries - 1)) * DESC_LEN
    }
}

/// The peer's index is further from ours than the ring is long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadIndex;

/// Whether a consumer that waits for `event` is to be told of a move from `old` to `new`
/// (virtio's `need_event`, wrapping).
pub fn need_event(event: u32, new: u32, old: u32) -> bool {
    new.wrapping_sub(event).wrapping_sub(1) < new.wrapping_sub(old)
}

/// The end that writes descriptors.
#[derive(Debug)]
pub struct Producer<M> {
    memory: M,
    layout: Layout,
    prod: u32,
    published: u32,
    cons: u32,
}

impl<M: SharedMemory> Producer<M> {
    /// An empty ring's producer.
    pub fn new(memory: M, layout: Layout) -> Self {
        Producer { memory, layout, prod: 0, published: 0, cons: 0 }
    }

    /// Entries of the ring.
    pub fn entries(&self) -> u32 {
        self.layout.entries
    }

    /// Entries that can be written without another look at the peer's index.
    pub fn room(&self) -> u32 {
        self.layout.entries - self.prod.wrapping_sub(self.cons)
    }

    /// Entries written and not consumed as far as known.
    pub fn in_flight(&self) -> u32 {
        self.prod.wrapping_sub(self.cons)
    }

    /// Looks at the peer's index; returns how many more entries it has consumed.
    ///
    /// # Errors
    /// [`BadIndex`] when the peer claims to have consumed what was not published.
    pub fn refresh(&mut self) -> Result<u32, BadIndex> {
        let cons = self.memory.load_u32(self.layout.ctrl + ctrl::CONS, Ordering::Acquire);
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
    pub fn write(&mut self, words: [u64; 2]) {
        assert!(self.room() > 0, "ring is full");
        let at = self.layout.desc_at(self.prod);
        self.memory.store_u64(at, words[0]);
        self.memory.store_u64(at + 8, words[1]);
        self.prod = self.prod.wrapping_add(1);
    }

    /// Makes everything written visible, with one fence for all of it; whether the peer sleeps and
    /// is to be kicked.
    #[must_use]
    pub fn publish(&mut self) -> bool {
        let old = self.published;
        if old == self.prod {
            return false;
        }
        self.memory.store_u32(self.layout.ctrl + ctrl::PROD, self.prod, Ordering::Release);
        self.published = self.prod;
        // Pairs with the fence of the consumer between arming and its second look: one of the two
        // sees the other's store.
        self.memory.fence();
        let event = self.memory.load_u32(self.layout.ctrl + ctrl::CONS_EVENT, Ordering::Relaxed);
        need_event(event, self.prod, old)
    }

    /// Asks to be kicked when the peer consumes past `entries` more; a fence and another
    /// [`Producer::refresh`] must follow before sleeping.
    pub fn arm(&self, entries: u32) {
        let event = self.cons.wrapping_add(entries).wrapping_sub(1);
        self.memory.store_u32(self.layout.ctrl + ctrl::PROD_EVENT, event, Ordering::Relaxed);
    }
}

/// The end that reads descriptors.
#[derive(Debug)]
pub struct Consumer<M> {
    memory: M,
    layout: Layout,
    cons: u32,
    released: u32,
    prod: u32,
}

impl<M: SharedMemory> Consumer<M> {
    /// An empty ring's consumer.
    pub fn new(memory: M, layout: Layout) -> Self {
        Consumer { memory, layout, cons: 0, released: 0, prod: 0 }
    }

    /// Entries of the ring.
    pub fn entries(&self) -> u32 {
        self.layout.entries
    }

    /// Entries that can be taken without another look at the peer's index.
    pub fn ready(&self) -> u32 {
        self.prod.wrapping_sub(self.cons)
    }

    /// Looks at the peer's index; returns what is ready then.
    ///
    /// # Errors
    /// [`BadIndex`] when the peer claims more than the ring holds, or takes back what it published.
    pub fn refresh(&mut self) -> Result<u32, BadIndex> {
        let prod = self.memory.load_u32(self.layout.ctrl + ctrl::PROD, Ordering::Acquire);
        let pending = prod.wrapping_sub(self.released);
        if pending > self.layout.entries || pending < self.prod.wrapping_sub(self.released) {
            return Err(BadIndex);
        }
        self.prod = prod;
        Ok(self.ready())
    }

    /// A snapshot of the `n`-th ready entry's words: each is read once, here.
    ///
    /// # Panics
    /// When it is not ready: the caller asks first.
    pub fn peek(&self, n: u32) -> [u64; 2] {
        assert!(n < self.ready(), "entry is not ready");
        let at = self.layout.desc_at(self.cons.wrapping_add(n));
        [self.memory.load_u64(at), self.memory.load_u64(at + 8)]
    }

    /// Takes `n` entries; the peer may not reuse them before [`Consumer::release`].
    ///
    /// # Panics
    /// When fewer are ready.
    pub fn take(&mut self, n: u32) {
        assert!(n <= self.ready(), "entries are not ready");
        self.cons = self.cons.wrapping_add(n);
    }

    /// Gives back everything taken; whether the peer waits for room and is to be kicked.
    #[must_use]
    pub fn release(&mut self) -> bool {
        let old = self.released;
        if old == self.cons {
            return false;
        }
        self.memory.store_u32(self.layout.ctrl + ctrl::CONS, self.cons, Ordering::Release);
        self.released = self.cons;
        self.memory.fence();
        let event = self.memory.load_u32(self.layout.ctrl + ctrl::PROD_EVENT, Ordering::Relaxed);
        need_event(event, self.cons, old)
    }

    /// Asks to be kicked for the next entry; a fence and another [`Consumer::refresh`] must follow
    /// before sleeping.
    pub fn arm(&self) {
        self.memory.store_u32(self.layout.ctrl + ctrl::CONS_EVENT, self.prod, Ordering::Relaxed);
    }

    /// Takes back [`Consumer::arm`]: no kick until armed again.
    pub fn disarm(&self) {
        let far = self.prod.wrapping_sub(1);
        self.memory.store_u32(self.layout.ctrl + ctrl::CONS_EVENT, far, Ordering::Relaxed);
    }
}
