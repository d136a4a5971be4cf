//! Counts what each thread asks of the allocator, for tests of code that must not ask.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};

/// The system's allocator, with a count for each thread; a test binary takes it with
/// `#[global_allocator]`.
pub struct Counting;

/// What a thread asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Allocations {
    /// Pieces of memory that it got.
    pub made: u64,
    /// Pieces whose size it changed.
    pub resized: u64,
    /// Pieces that it gave back.
    pub freed: u64,
    /// Bytes that it got and did not give back.
    pub bytes: isize,
}

thread_local! {
    // Neither made nor dropped by code: an allocator must not need one.
    static SO_FAR: Cell<Allocations> = const {
        Cell::new(Allocations { made: 0, resized: 0, freed: 0, bytes: 0 })
    };
}

impl Allocations {
    /// None.
    pub const NONE: Allocations = Allocations { made: 0, resized: 0, freed: 0, bytes: 0 };

    /// What this thread has asked for so far.
    pub fn so_far() -> Allocations {
        SO_FAR.get()
    }

    /// What this thread has asked for since this was all.
    pub fn since(self) -> Allocations {
        let now = Allocations::so_far();
        Allocations {
            made: now.made - self.made,
            resized: now.resized - self.resized,
            freed: now.freed - self.freed,
            bytes: now.bytes - self.bytes,
        }
    }
}

fn count(change: impl FnOnce(&mut Allocations)) {
    let mut so_far = SO_FAR.get();
    change(&mut so_far);
    SO_FAR.set(so_far);
}

// SAFETY: every call goes to the system's allocator as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(|all| (all.made, all.bytes) = (all.made + 1, all.bytes + layout.size() as isize));
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        count(|all| (all.freed, all.bytes) = (all.freed + 1, all.bytes - layout.size() as isize));
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let grown = size as isize - layout.size() as isize;
        count(|all| (all.resized, all.bytes) = (all.resized + 1, all.bytes + grown));
        // SAFETY: the caller's promise.
        unsafe { System.realloc(at, layout, size) }
    }
}
