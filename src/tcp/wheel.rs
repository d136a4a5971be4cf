//! A hierarchical timing wheel: one timer a connection, set and cancelled in constant time.
//!
//! Five levels of 64 slots; a slot of the lowest is 2^16 ns (66 us), of the highest 18 minutes.
//! A timer that is farther away than the highest level reaches fires early and is set again by its
//! owner, who compares with its own deadline anyway.

use crate::time::Instant;
use alloc::vec::Vec;

const LEVELS: usize = 5;
const SLOTS: usize = 64;
const TICK_SHIFT: u32 = 16;
const LEVEL_SHIFT: u32 = 6;
const NIL: u32 = u32::MAX;
/// Not in the wheel.
const IDLE: u16 = u16::MAX;

#[derive(Clone, Copy)]
struct Node {
    deadline: u64,
    prev: u32,
    next: u32,
    slot: u16,
}

pub(crate) struct Wheel {
    /// The tick up to which everything has fired.
    tick: u64,
    heads: [u32; LEVELS * SLOTS],
    occupied: [u64; LEVELS],
    nodes: Vec<Node>,
}

fn tick_of(at: u64) -> u64 {
    // Round up: a timer never fires early.
    at.saturating_add((1 << TICK_SHIFT) - 1) >> TICK_SHIFT
}

impl Wheel {
    pub(crate) fn new(now: Instant) -> Wheel {
        Wheel {
            tick: now.as_nanos() >> TICK_SHIFT,
            heads: [NIL; LEVELS * SLOTS],
            occupied: [0; LEVELS],
            nodes: Vec::new(),
        }
    }

    /// Makes sure that the timer of `index` fires at `deadline` or earlier.
    #[inline]
    pub(crate) fn arm(&mut self, index: u32, deadline: Instant) {
        let deadline = deadline.as_nanos();
        if let Some(node) = self.nodes.get(index as usize)
            && node.slot != IDLE
            && node.deadline <= deadline
        {
            return;
        }
        self.set(index, deadline);
    }

    fn set(&mut self, index: u32, deadline: u64) {
        if self.nodes.len() <= index as usize {
            let empty = Node { deadline: 0, prev: NIL, next: NIL, slot: IDLE };
            self.nodes.resize(index as usize + 1, empty);
        }
        self.cancel(index);
        let slot = self.slot_of(tick_of(deadline));
        let head = self.heads[slot];
        self.nodes[index as usize] = Node { deadline, prev: NIL, next: head, slot: slot as u16 };
        if head != NIL {
            self.nodes[head as usize].prev = index;
        }
        self.heads[slot] = index;
        self.occupied[slot / SLOTS] |= 1 << (slot % SLOTS);
    }

    fn slot_of(&self, tick: u64) -> usize {
        let tick = tick.max(self.tick + 1);
        let mut level = 0;
        while level < LEVELS - 1 && (tick ^ self.tick) >> (LEVEL_SHIFT * (level as u32 + 1)) != 0 {
            level += 1;
        }
        let shift = LEVEL_SHIFT * level as u32;
        let mut position = tick >> shift;
        if level == LEVELS - 1 {
            position = position.min((self.tick >> shift) + SLOTS as u64 - 1);
        }
        level * SLOTS + position as usize % SLOTS
    }

    /// Takes the timer of `index` out.
    pub(crate) fn cancel(&mut self, index: u32) {
        let Some(node) = self.nodes.get_mut(index as usize) else {
            return;
        };
        let (prev, next, slot) = (node.prev, node.next, node.slot);
        if slot == IDLE {
            return;
        }
        node.slot = IDLE;
        if next != NIL {
            self.nodes[next as usize].prev = prev;
        }
        if prev != NIL {
            self.nodes[prev as usize].next = next;
        } else {
            let slot = usize::from(slot);
            self.heads[slot] = next;
            if next == NIL {
                self.occupied[slot / SLOTS] &= !(1 << (slot % SLOTS));
            }
        }
    }

    /// Takes out one timer that is due at `now`.
    #[inline]
    pub(crate) fn expire(&mut self, now: Instant) -> Option<u32> {
        let target = now.as_nanos() >> TICK_SHIFT;
        let idle = self.tick >= target && self.heads[self.tick as usize % SLOTS] == NIL;
        if idle { None } else { self.expire_by(target) }
    }

    fn expire_by(&mut self, target: u64) -> Option<u32> {
        loop {
            let current = self.tick as usize % SLOTS;
            let head = self.heads[current];
            if head != NIL {
                self.cancel(head);
                return Some(head);
            }
            if self.tick >= target {
                return None;
            }
            self.tick = self.next_tick().min(target);
            self.cascade();
        }
    }

    /// The next tick at which a slot of the lowest level fires or a higher one has to be spread.
    fn next_tick(&self) -> u64 {
        for level in 0..LEVELS {
            let shift = LEVEL_SHIFT * level as u32;
            let position = self.tick >> shift;
            // Slots after the current one, seen from it.
            let rotated = self.occupied[level].rotate_right(position as u32 % SLOTS as u32) & !1;
            if rotated != 0 {
                return (position + u64::from(rotated.trailing_zeros())) << shift;
            }
        }
        u64::MAX
    }

    /// Spreads the slots of higher levels that begin at the current tick.
    fn cascade(&mut self) {
        for level in (1..LEVELS).rev() {
            let shift = LEVEL_SHIFT * level as u32;
            if self.tick & ((1 << shift) - 1) != 0 {
                continue;
            }
            let slot = level * SLOTS + (self.tick >> shift) as usize % SLOTS;
            let mut index = self.heads[slot];
            while index != NIL {
                let next = self.nodes[index as usize].next;
                let deadline = self.nodes[index as usize].deadline;
                self.cancel(index);
                self.place(index, deadline);
                index = next;
            }
        }
    }

    /// Like `set`, but a timer that is due in this very tick goes into the current slot.
    fn place(&mut self, index: u32, deadline: u64) {
        if tick_of(deadline) <= self.tick {
            let slot = self.tick as usize % SLOTS;
            let head = self.heads[slot];
            self.nodes[index as usize] =
                Node { deadline, prev: NIL, next: head, slot: slot as u16 };
            if head != NIL {
                self.nodes[head as usize].prev = index;
            }
            self.heads[slot] = index;
            self.occupied[0] |= 1 << slot;
        } else {
            self.set(index, deadline);
        }
    }

    /// When [`Wheel::expire`] has to be called next: never later than the first deadline by more
    /// than a tick.
    pub(crate) fn next(&self) -> Option<Instant> {
        if self.heads[self.tick as usize % SLOTS] != NIL {
            return Some(Instant::from_nanos(self.tick << TICK_SHIFT));
        }
        match self.next_tick() {
            u64::MAX => None,
            tick => Some(Instant::from_nanos(tick << TICK_SHIFT)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Duration;
    use alloc::collections::BTreeMap;

    /// Runs the wheel as a stack would, and checks that every timer fires once, in time.
    #[test]
    fn timers_fire_once_never_early_and_within_a_tick() {
        let start = Instant::from_nanos(123_456_789_012);
        let mut wheel = Wheel::new(start);
        let mut want = BTreeMap::new();
        let mut random = 1u64;
        for index in 0..2000u32 {
            random = random.wrapping_mul(6364136223846793005).wrapping_add(1);
            let span = [1_000_000u64, 300_000_000, 20_000_000_000, 4_000_000_000_000];
            let delay = (random >> 20) % span[index as usize % 4];
            let at = start + Duration::from_nanos(delay);
            wheel.arm(index, at);
            want.insert(index, at);
        }
        for index in (0..2000).step_by(7) {
            wheel.cancel(index);
            want.remove(&index);
        }
        while let Some(now) = wheel.next() {
            while let Some(index) = wheel.expire(now) {
                let at = want.remove(&index).expect("fires once");
                assert!(at <= now, "early");
                assert!(now.saturating_since(at) < Duration::from_micros(66), "late");
            }
        }
        assert!(want.is_empty());
    }

    #[test]
    fn arming_later_keeps_the_earlier_deadline() {
        let mut wheel = Wheel::new(Instant::ZERO);
        wheel.arm(3, Instant::from_millis(10));
        wheel.arm(3, Instant::from_millis(20));
        assert_eq!(wheel.expire(Instant::from_millis(11)), Some(3));
        assert_eq!(wheel.expire(Instant::from_millis(30)), None);
        assert_eq!(wheel.next(), None);
    }

    #[test]
    fn a_jump_of_the_clock_fires_everything_due() {
        let mut wheel = Wheel::new(Instant::ZERO);
        for index in 0..100 {
            wheel.arm(index, Instant::from_millis(u64::from(index) * 1000));
        }
        let mut fired = 0;
        while wheel.expire(Instant::from_millis(1_000_000)).is_some() {
            fired += 1;
        }
        assert_eq!(fired, 100);
    }
}
