//! The free list: a LIFO of buffer indices that any thread may push to and pop from.
#![forbid(unsafe_code)]

use core::sync::atomic::{AtomicU64, Ordering};

const BITS: u32 = 21;
const MASK: u64 = (1 << BITS) - 1;
const ORPHAN: u64 = 1 << (2 * BITS);
pub(super) const TAG: u64 = 1 << (2 * BITS + 1);
pub(super) const NIL: u64 = MASK;

/// Most entries.
pub(super) const MAX: usize = 1 << 20;

/// The list's one word; a trait so that loom can watch it.
pub(super) trait Word {
    fn load(&self, order: Ordering) -> u64;
    fn store(&self, value: u64, order: Ordering);
    fn exchange(&self, old: u64, new: u64, ok: Ordering, failed: Ordering) -> Result<u64, u64>;
    fn fetch_or(&self, bits: u64, order: Ordering) -> u64;
}

impl Word for AtomicU64 {
    fn load(&self, order: Ordering) -> u64 {
        self.load(order)
    }
    fn store(&self, value: u64, order: Ordering) {
        self.store(value, order);
    }
    fn exchange(&self, old: u64, new: u64, ok: Ordering, failed: Ordering) -> Result<u64, u64> {
        self.compare_exchange_weak(old, new, ok, failed)
    }
    fn fetch_or(&self, bits: u64, order: Ordering) -> u64 {
        self.fetch_or(bits, order)
    }
}

/// Top index, length, whether the pool has no handle any more, and a tag against ABA, in one word:
/// so that a pop that must leave a reserve is still one compare-and-swap.
pub(super) struct FreeList<W = AtomicU64>(pub(super) W);

/// What a push left behind.
pub(super) struct Pushed {
    pub(super) len: usize,
    pub(super) orphaned: bool,
}

fn len(word: u64) -> u64 {
    word >> BITS & MASK
}

/// The word after a change: tag moved on, orphan mark kept.
fn word(old: u64, top: u64, len: u64) -> u64 {
    let tag = (old & !(TAG - 1)).wrapping_add(TAG);
    tag | (old & ORPHAN) | len << BITS | top
}

impl FreeList {
    pub(super) const fn new() -> FreeList {
        FreeList(AtomicU64::new(NIL))
    }
}

impl<W: Word> FreeList<W> {
    /// Takes the top entry if more than `keep` are left. `next_of` reads the link of an entry.
    pub(super) fn pop(&self, keep: usize, next_of: impl Fn(usize) -> u32) -> Option<usize> {
        let mut old = self.0.load(Ordering::Acquire);
        loop {
            if len(old) <= keep as u64 {
                return None;
            }
            let top = old & MASK;
            let new = word(old, u64::from(next_of(top as usize)) & MASK, len(old) - 1);
            match self.0.exchange(old, new, Ordering::Acquire, Ordering::Acquire) {
                Ok(_) => return Some(top as usize),
                Err(now) => old = now,
            }
        }
    }

    /// Puts an entry on top. `link` writes the entry's link.
    pub(super) fn push(&self, index: usize, link: impl Fn(u32)) -> Pushed {
        let mut old = self.0.load(Ordering::Relaxed);
        loop {
            link((old & MASK) as u32);
            let new = word(old, index as u64, len(old) + 1);
            match self.0.exchange(old, new, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => {
                    return Pushed { len: len(new) as usize, orphaned: new & ORPHAN != 0 };
                }
                Err(now) => old = now,
            }
        }
    }

    /// Like [`FreeList::pop`] when nobody else touches the list meanwhile.
    #[inline]
    pub(super) fn pop_alone(&self, keep: usize, next_of: impl Fn(usize) -> u32) -> Option<usize> {
        let old = self.0.load(Ordering::Relaxed);
        if len(old) <= keep as u64 {
            return None;
        }
        let top = (old & MASK) as usize;
        let new = (old & ORPHAN) | (len(old) - 1) << BITS | (u64::from(next_of(top)) & MASK);
        self.0.store(new, Ordering::Relaxed);
        Some(top)
    }

    /// Like [`FreeList::push`] when nobody else touches the list meanwhile.
    #[inline]
    pub(super) fn push_alone(&self, index: usize, link: impl Fn(u32)) -> Pushed {
        let old = self.0.load(Ordering::Relaxed);
        link((old & MASK) as u32);
        let new = (old & ORPHAN) | (len(old) + 1) << BITS | index as u64;
        self.0.store(new, Ordering::Relaxed);
        Pushed { len: len(new) as usize, orphaned: new & ORPHAN != 0 }
    }

    /// Marks that the pool has no handle any more; whether all `count` entries are here.
    pub(super) fn orphan(&self, count: usize) -> bool {
        let old = self.0.fetch_or(ORPHAN, Ordering::AcqRel);
        len(old) == count as u64
    }

    pub(super) fn len(&self) -> usize {
        len(self.0.load(Ordering::Relaxed)) as usize
    }
}
