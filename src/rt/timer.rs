//! Tasks that sleep.

use super::Rt;
use crate::time::Instant;
use alloc::vec::Vec;
use core::{
    cell::RefCell,
    future::Future,
    pin::Pin,
    task::{Context, Poll, Waker},
};

/// A sleeping task's place in the heap while it is in none.
const AWAKE: u32 = u32::MAX;

/// Sleeping tasks by time: a binary heap whose entries can be taken out of the middle, since most
/// timeouts never come to pass.
#[derive(Default)]
struct Heap {
    /// When, in which order of arrival, and who.
    entries: Vec<(Instant, u64, u32)>,
    /// Who sleeps, and where in `entries`.
    sleepers: Vec<(Option<Waker>, u32)>,
    free: Vec<u32>,
    count: u64,
}

impl Heap {
    /// A place to wait at.
    fn sleeper(&mut self) -> u32 {
        self.free.pop().unwrap_or_else(|| {
            self.sleepers.push((None, AWAKE));
            (self.sleepers.len() - 1) as u32
        })
    }

    /// `waker` is woken at `at`, in place of the one before.
    fn sleep(&mut self, sleeper: u32, at: Instant, waker: &Waker) {
        let (old, place) = &mut self.sleepers[sleeper as usize];
        *old = Some(waker.clone());
        if *place == AWAKE {
            self.count += 1;
            self.entries.push((at, self.count, sleeper));
            self.settle(self.entries.len() - 1);
        }
    }

    /// Gives the place back.
    fn leave(&mut self, sleeper: u32) {
        self.take(self.sleepers[sleeper as usize].1 as usize);
        self.free.push(sleeper);
    }

    /// Takes the entry at `place` out, if there is one.
    fn take(&mut self, place: usize) -> Option<Waker> {
        if place >= self.entries.len() {
            return None;
        }
        let (.., sleeper) = self.entries.swap_remove(place);
        if place < self.entries.len() {
            self.settle(place);
        }
        let (waker, place) = &mut self.sleepers[sleeper as usize];
        *place = AWAKE;
        waker.take()
    }

    /// Moves the entry at `place` up or down to where it belongs.
    fn settle(&mut self, mut place: usize) {
        let entry = self.entries[place];
        while let Some(parent) = place.checked_sub(1).map(|below| below / 2)
            && entry < self.entries[parent]
        {
            self.put(place, self.entries[parent]);
            place = parent;
        }
        while let Some(children) = self.entries.get(2 * place + 1..)
            && let Some(left) = children.first()
        {
            let right = children.get(1).filter(|right| *right < left);
            let (least, child) = right.map_or((*left, 2 * place + 1), |r| (*r, 2 * place + 2));
            if entry <= least {
                break;
            }
            self.put(place, least);
            place = child;
        }
        self.put(place, entry);
    }

    fn put(&mut self, place: usize, entry: (Instant, u64, u32)) {
        self.entries[place] = entry;
        self.sleepers[entry.2 as usize].1 = place as u32;
    }
}

/// Sleeping tasks by time.
#[derive(Default)]
pub(super) struct Timers(RefCell<Heap>);

impl Timers {
    /// Wakes whoever is due.
    pub(super) fn fire(&self, now: Instant) {
        while self.next().is_some_and(|at| at <= now) {
            let waker = self.0.borrow_mut().take(0);
            waker.into_iter().for_each(Waker::wake);
        }
    }

    /// When the next is due.
    pub(super) fn next(&self) -> Option<Instant> {
        self.0.borrow().entries.first().map(|(at, ..)| *at)
    }
}

/// The future of [`Rt::sleep`].
pub(super) struct Sleep {
    rt: Rt,
    until: Instant,
    sleeper: Option<u32>,
}

impl Sleep {
    pub(super) fn new(rt: Rt, until: Instant) -> Sleep {
        Sleep { rt, until, sleeper: None }
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.rt.now() >= self.until {
            return Poll::Ready(());
        }
        let rt = self.rt.clone();
        let heap = &mut *rt.0.timers.0.borrow_mut();
        let sleeper = *self.sleeper.get_or_insert_with(|| heap.sleeper());
        heap.sleep(sleeper, self.until, cx.waker());
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(sleeper) = self.sleeper {
            self.rt.0.timers.0.borrow_mut().leave(sleeper);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeMap;
    use rand_core::{RngCore, SeedableRng};

    #[test]
    fn the_heap_agrees_with_a_map_whatever_is_taken_out() {
        let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(1);
        let (mut heap, mut map) = (Heap::default(), BTreeMap::new());
        let mut asleep: Vec<(u32, (Instant, u64))> = Vec::new();
        for order in 1..20_000 {
            let pick = random.next_u32() as usize;
            if asleep.len() < 100 && !pick.is_multiple_of(3) {
                let at = Instant::from_nanos(u64::from(random.next_u32() % 64));
                let sleeper = heap.sleeper();
                heap.sleep(sleeper, at, Waker::noop());
                heap.sleep(sleeper, at, Waker::noop());
                map.insert((at, heap.count), sleeper);
                asleep.push((sleeper, (at, heap.count)));
            } else if !asleep.is_empty() {
                let (sleeper, key) = asleep.swap_remove(pick % asleep.len());
                heap.leave(sleeper);
                map.remove(&key);
            }
            let first = map.first_key_value().map(|((at, _), sleeper)| (*at, *sleeper));
            assert_eq!(heap.entries.first().map(|(at, _, who)| (*at, *who)), first, "step {order}");
            assert_eq!(heap.entries.len(), map.len());
        }
        assert!(heap.sleepers.len() <= 100, "places are used again");
    }
}
