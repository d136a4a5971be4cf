//! The free list under loom.

extern crate std;
use super::free::{FreeList, NIL, TAG, Word};
use alloc::vec::Vec;
use core::sync::atomic::Ordering;
use loom::{cell::UnsafeCell, sync::atomic, thread};
use std::{panic, println, sync::Arc};

struct Watched {
    word: atomic::AtomicU64,
    tagged: bool,
}

impl Watched {
    fn seen(&self, value: u64) -> u64 {
        if self.tagged { value } else { value & (TAG - 1) }
    }
}

impl Word for Watched {
    fn load(&self, order: Ordering) -> u64 {
        self.word.load(order)
    }
    fn store(&self, value: u64, order: Ordering) {
        self.word.store(value, order);
    }
    fn exchange(&self, old: u64, new: u64, ok: Ordering, no: Ordering) -> Result<u64, u64> {
        self.word.compare_exchange(old, self.seen(new), ok, no)
    }
    fn fetch_or(&self, bits: u64, order: Ordering) -> u64 {
        self.word.fetch_or(bits, order)
    }
}

struct World {
    list: FreeList<Watched>,
    next: Vec<atomic::AtomicU32>,
    /// Written by whoever holds the entry.
    held: Vec<UnsafeCell<u32>>,
}

impl World {
    fn new(entries: usize, tagged: bool) -> Arc<World> {
        let list = FreeList(Watched { word: atomic::AtomicU64::new(NIL), tagged });
        let next = (0..entries).map(|_| atomic::AtomicU32::new(0)).collect();
        let held = (0..entries).map(|_| UnsafeCell::new(0)).collect();
        let world = Arc::new(World { list, next, held });
        (0..entries).rev().for_each(|i| world.push(i));
        world
    }

    fn pop(&self) -> Option<usize> {
        let i = self.list.pop(0, |i| self.next[i].load(Ordering::Relaxed))?;
        self.held[i].with_mut(|_| ());
        Some(i)
    }

    fn push(&self, i: usize) {
        self.held[i].with_mut(|_| ());
        self.list.push(i, |next| self.next[i].store(next, Ordering::Relaxed));
    }
}

// SAFETY: what the model proves: an entry has one holder at a time.
unsafe impl Sync for World {}
// SAFETY: as above.
unsafe impl Send for World {}

/// One thread takes all entries and puts them back in another order with the same one on top, while
/// another takes one: the way to ABA. Nobody ever holds what another holds, and all come back.
fn trade(tagged: bool) -> u64 {
    let count = Arc::new(core::sync::atomic::AtomicU64::new(0));
    let counted = count.clone();
    loom::model(move || {
        counted.fetch_add(1, Ordering::Relaxed);
        let world = World::new(3, tagged);
        let other = {
            let world = world.clone();
            thread::spawn(move || {
                let mut taken = [world.pop(), world.pop(), world.pop()];
                taken.rotate_left(1);
                taken.into_iter().flatten().for_each(|i| world.push(i));
            })
        };
        let mine = world.pop();
        other.join().unwrap();
        mine.into_iter().for_each(|i| world.push(i));
        assert_eq!(world.list.len(), 3);
        let mut all = [world.pop(), world.pop(), world.pop()];
        all.sort();
        assert_eq!(all, [Some(0), Some(1), Some(2)], "an entry is lost or twice there");
    });
    count.load(Ordering::Relaxed)
}

#[test]
fn loom_finds_every_entry_in_one_place() {
    println!("free list: {} executions", trade(true));
}

#[test]
fn loom_catches_a_list_without_its_tag() {
    assert!(panic::catch_unwind(|| trade(false)).is_err());
}
