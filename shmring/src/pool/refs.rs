//! A count of references to one buffer.
#![forbid(unsafe_code)]

use core::sync::atomic::{AtomicUsize, Ordering, fence};

/// The count's word; a trait so that loom can watch it.
pub(super) trait Count {
    fn load(&self, order: Ordering) -> usize;
    fn store(&self, value: usize, order: Ordering);
    fn add(&self, order: Ordering);
    /// One less; what was there before.
    fn sub(&self, order: Ordering) -> usize;
    fn fence(order: Ordering);
}

impl Count for AtomicUsize {
    #[inline]
    fn load(&self, order: Ordering) -> usize {
        self.load(order)
    }
    #[inline]
    fn store(&self, value: usize, order: Ordering) {
        self.store(value, order);
    }
    #[inline]
    fn add(&self, order: Ordering) {
        self.fetch_add(1, order);
    }
    #[inline]
    fn sub(&self, order: Ordering) -> usize {
        self.fetch_sub(1, order)
    }
    #[inline]
    fn fence(order: Ordering) {
        fence(order);
    }
}

/// References to a buffer. A word of 64 bits never comes round, however many are forgotten.
pub(super) struct Refs<C = AtomicUsize>(pub(super) C);

impl Refs {
    pub(super) const fn new(refs: usize) -> Refs {
        Refs(AtomicUsize::new(refs))
    }

    /// The count of a buffer that was just taken.
    #[inline]
    pub(super) fn set_one(&self) {
        self.0.store(1, Ordering::Relaxed);
    }
}

impl<C: Count> Refs<C> {
    /// One more. `alone`: all of them stay on one thread.
    #[inline]
    pub(super) fn retain(&self, alone: bool) {
        if alone {
            self.0.store(self.0.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        } else {
            self.0.add(Ordering::Relaxed);
        }
    }

    /// Whether there is no other; then all that others did with the buffer has happened.
    #[inline]
    pub(super) fn is_one(&self) -> bool {
        self.0.load(Ordering::Acquire) == 1
    }

    /// One less; whether it was the last, which then nobody else can reach.
    #[inline]
    pub(super) fn release(&self, alone: bool) -> bool {
        // A reference that is alone needs no locked instruction: nobody else can clone it.
        let refs = self.0.load(Ordering::Acquire);
        if refs == 1 {
            return true;
        }
        if alone {
            self.0.store(refs - 1, Ordering::Relaxed);
            return false;
        }
        if self.0.sub(Ordering::Release) != 1 {
            return false;
        }
        C::fence(Ordering::Acquire);
        true
    }
}
