//! A pool's memory goes with its last handle or its last buffer, whichever is later.

use shmring::{Pool, PoolConfig, pool::Charge};
use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};

thread_local! {
    /// Bytes that this thread has allocated and not freed.
    static BYTES: Cell<isize> = const { Cell::new(0) };
}

struct Counting;

fn count(change: isize) {
    let _ = BYTES.try_with(|bytes| bytes.set(bytes.get() + change));
}

// SAFETY: all work is the system allocator's.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: as the caller promised.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: as the caller promised.
        unsafe { System.dealloc(at, layout) };
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn left_by(work: impl FnOnce()) -> isize {
    let before = BYTES.get();
    work();
    BYTES.get() - before
}

#[test]
fn a_pool_is_freed_by_its_last_handle_or_its_last_buffer() {
    let config = PoolConfig { count: 8, reserve: 1, ..PoolConfig::default() };
    let unused = left_by(|| drop(Pool::heap(config)));
    let by_handle = left_by(|| {
        let pool = Pool::heap(config);
        let other = pool.clone();
        drop(pool.alloc().unwrap().freeze().clone());
        drop(pool);
        drop(other);
    });
    let by_buffer = left_by(|| {
        let pool = Pool::heap(config);
        let slice = pool.alloc().unwrap().freeze();
        let account = Charge::new();
        slice.charge(&account);
        drop(pool);
        drop(account);
        drop(slice);
    });
    assert_eq!((unused, by_handle, by_buffer), (0, 0, 0));
    let forgotten = left_by(|| std::mem::forget(Pool::heap(config)));
    assert!(forgotten > 8 * 2048, "the count would see a leak");
}
