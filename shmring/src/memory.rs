//! How shared words are reached: raw memory in production, models of it in tests.

use core::{
    ptr::NonNull,
    sync::atomic::{AtomicU32, AtomicU64, Ordering},
};

/// Words shared with a peer, by byte offset. Offsets are checked by the code that latches a
/// layout, once; an implementation may rely on them being in bounds and aligned.
pub trait SharedMemory {
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
    /// The memory must stay valid while this value or a copy is used, `base` must be aligned to 8,
    /// and nobody may hold a reference to it.
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
        core::sync::atomic::fence(Ordering::SeqCst);
    }
}

impl<M: SharedMemory + ?Sized> SharedMemory for &M {
    fn len(&self) -> u64 {
        (**self).len()
    }
    fn load_u32(&self, at: u64, order: Ordering) -> u32 {
        (**self).load_u32(at, order)
    }
    fn store_u32(&self, at: u64, value: u32, order: Ordering) {
        (**self).store_u32(at, value, order);
    }
    fn load_u64(&self, at: u64) -> u64 {
        (**self).load_u64(at)
    }
    fn store_u64(&self, at: u64, value: u64) {
        (**self).store_u64(at, value);
    }
    fn fence(&self) {
        (**self).fence();
    }
}
