//! How shared words are reached: raw memory in production, models of it in tests.
//!
//! Everything above this module is safe code over these two traits, so that the same rings run on
//! memory shared with a peer, under loom, and against a memory that lies.

use crate::{
    abi::{DESC_LEN, ctrl, queue},
    ring::Layout,
};
use core::{
    fmt,
    ptr::NonNull,
    sync::atomic::{AtomicU32, AtomicU64, Ordering, fence},
};

/// One of a ring's four index words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// What the producer has published.
    Prod,
    /// What the consumer has given back.
    Cons,
    /// The entry after which the consumer wants to be told.
    ConsEvent,
    /// The entry after which the producer wants to be told.
    ProdEvent,
}

impl Word {
    /// The word's offset among a ring's control words.
    pub const fn offset(self) -> u64 {
        match self {
            Word::Prod => ctrl::PROD,
            Word::Cons => ctrl::CONS,
            Word::ConsEvent => ctrl::CONS_EVENT,
            Word::ProdEvent => ctrl::PROD_EVENT,
        }
    }
}

/// The words of one ring.
pub trait RingMemory: fmt::Debug {
    /// Loads an index word.
    fn load(&self, word: Word, order: Ordering) -> u32;
    /// Stores an index word.
    fn store(&self, word: Word, value: u32, order: Ordering);
    /// Loads the descriptor in slot `index` modulo the ring's size, each of its words once, relaxed.
    fn read(&self, index: u32) -> [u64; 2];
    /// Stores the descriptor in slot `index` modulo the ring's size, relaxed.
    fn write(&self, index: u32, words: [u64; 2]);
    /// A sequentially consistent fence.
    fn fence(&self);
}

/// A region: words shared with a peer, by byte offset.
pub trait SharedMemory {
    /// How the words of one of its rings are reached.
    type Ring: RingMemory;

    /// Bytes.
    fn len(&self) -> u64;

    /// Whether there is none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Loads the u32 at `at`.
    fn load_u32(&self, at: u64, order: Ordering) -> u32;
    /// Stores the u32 at `at`.
    fn store_u32(&self, at: u64, value: u32, order: Ordering);
    /// Loads the u64 at `at`, relaxed.
    fn load_u64(&self, at: u64) -> u64;
    /// Stores the u64 at `at`, relaxed.
    fn store_u64(&self, at: u64, value: u64);
    /// A sequentially consistent fence.
    fn fence(&self);

    /// The ring at `layout`.
    ///
    /// # Panics
    /// When the layout is not [`Layout::is_valid`] in this memory.
    fn ring(&self, layout: Layout) -> Self::Ring;
}

/// A region of real memory.
#[derive(Clone, Copy, Debug)]
pub struct RawMemory {
    base: NonNull<u8>,
    len: u64,
}

// SAFETY: every access is an atomic.
unsafe impl Send for RawMemory {}
// SAFETY: as above.
unsafe impl Sync for RawMemory {}

impl RawMemory {
    /// Words in `len` bytes from `base`.
    ///
    /// # Safety
    /// The memory must stay valid while this value, a copy or a ring of it is used, `base` must be
    /// aligned to 128, and nobody may hold a reference to it.
    pub unsafe fn new(base: NonNull<u8>, len: u64) -> RawMemory {
        RawMemory { base, len }
    }

    fn word<T>(&self, at: u64) -> &T {
        let size = size_of::<T>() as u64;
        assert!(at.is_multiple_of(size) && at.checked_add(size).is_some_and(|end| end <= self.len));
        // SAFETY: in bounds and aligned as just checked; T is an atomic at both uses, so that a
        // peer's concurrent access is no data race.
        unsafe { self.base.add(at as usize).cast::<T>().as_ref() }
    }
}

impl SharedMemory for RawMemory {
    type Ring = RawRing;

    fn len(&self) -> u64 {
        self.len
    }

    fn load_u32(&self, at: u64, order: Ordering) -> u32 {
        self.word::<AtomicU32>(at).load(order)
    }

    fn store_u32(&self, at: u64, value: u32, order: Ordering) {
        self.word::<AtomicU32>(at).store(value, order);
    }

    fn load_u64(&self, at: u64) -> u64 {
        self.word::<AtomicU64>(at).load(Ordering::Relaxed)
    }

    fn store_u64(&self, at: u64, value: u64) {
        self.word::<AtomicU64>(at).store(value, Ordering::Relaxed);
    }

    fn fence(&self) {
        fence(Ordering::SeqCst);
    }

    fn ring(&self, layout: Layout) -> RawRing {
        assert!(layout.is_valid(self.len), "ring outside its region");
        const { assert!(1 << queue::MAX_LOG2 <= u32::MAX as u64 / DESC_LEN) };
        // SAFETY: both offsets lie inside the memory, as just checked.
        let (ctrl, desc) = unsafe {
            (self.base.add(layout.ctrl as usize), self.base.add(layout.desc as usize).cast())
        };
        RawRing { ctrl, desc, mask: layout.entries - 1 }
    }
}

/// A ring in real memory. Its bounds were checked when it was made, so an access is one
/// instruction.
#[derive(Clone, Copy)]
pub struct RawRing {
    ctrl: NonNull<u8>,
    desc: NonNull<[AtomicU64; 2]>,
    mask: u32,
}

// SAFETY: every access is an atomic.
unsafe impl Send for RawRing {}
// SAFETY: as above.
unsafe impl Sync for RawRing {}

impl RawRing {
    #[inline]
    fn word(&self, word: Word) -> &AtomicU32 {
        // SAFETY: the control words lie inside the region (`SharedMemory::ring` has checked the
        // layout), aligned to 128; the memory lives by the contract of `RawMemory::new`.
        unsafe { self.ctrl.add(word.offset() as usize).cast().as_ref() }
    }

    #[inline]
    fn desc(&self, index: u32) -> &[AtomicU64; 2] {
        // SAFETY: masked, so one of the ring's entries, which were checked as above.
        unsafe { self.desc.add((index & self.mask) as usize).as_ref() }
    }
}

impl fmt::Debug for RawRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RawRing of {} at {:?}", self.mask + 1, self.ctrl)
    }
}

impl RingMemory for RawRing {
    #[inline]
    fn load(&self, word: Word, order: Ordering) -> u32 {
        self.word(word).load(order)
    }

    #[inline]
    fn store(&self, word: Word, value: u32, order: Ordering) {
        self.word(word).store(value, order);
    }

    #[inline]
    fn read(&self, index: u32) -> [u64; 2] {
        let [w0, w1] = self.desc(index);
        [w0.load(Ordering::Relaxed), w1.load(Ordering::Relaxed)]
    }

    #[inline]
    fn write(&self, index: u32, [a, b]: [u64; 2]) {
        let [w0, w1] = self.desc(index);
        w0.store(a, Ordering::Relaxed);
        w1.store(b, Ordering::Relaxed);
    }

    #[inline]
    fn fence(&self) {
        fence(Ordering::SeqCst);
    }
}
