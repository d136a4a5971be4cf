//! Neighbours: which hardware address a next hop has (RFC 826; states after RFC 4861, 7.3).
//!
//! A slot's index and generation are what a [`Flow`](crate::ip::Flow) remembers, so that a segment
//! to a known neighbour costs no look-up.
#![forbid(unsafe_code)]

use crate::{
    PacketBuf, Slice,
    frame::TxMeta,
    time::{Duration, Instant},
    wire::MacAddr,
};
use alloc::vec::Vec;
use core::net::IpAddr;
use hashbrown::HashMap;

/// Most neighbours; the least recently confirmed makes room for a new one.
const MAX: usize = 1024;
/// Most packets that wait for one neighbour.
const MAX_PENDING: usize = 16;
/// How long an address is good after it was confirmed.
const REACHABLE: Duration = Duration::from_secs(30);
/// Time between requests.
const RETRANS: Duration = Duration::from_secs(1);
/// Requests before a neighbour counts as gone.
const PROBES: u8 = 3;

/// A packet that waits for its neighbour, without its Ethernet header.
pub(crate) struct Pending {
    pub(crate) meta: TxMeta,
    pub(crate) head: PacketBuf,
    pub(crate) rest: Vec<Slice>,
}

enum State {
    /// Asked, no answer yet.
    Incomplete { waiting: Vec<Pending>, next: Instant, sent: u8 },
    /// The address is known, and was confirmed then.
    Known { mac: MacAddr, confirmed: Instant },
    /// The address is known but old: asked again, and used meanwhile.
    Probing { mac: MacAddr, next: Instant, sent: u8 },
}

struct Slot {
    address: IpAddr,
    generation: u32,
    state: State,
}

/// A request to send: to all, or to the neighbour itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Solicit {
    pub(crate) target: IpAddr,
    pub(crate) to: Option<MacAddr>,
}

/// What is known when a packet is to be sent.
pub(crate) enum Lookup {
    /// Send it there; ask too when the answer is old.
    Known(MacAddr, Option<Solicit>),
    /// Nothing is known: keep the packet with [`Neighbors::wait`], and ask.
    Unknown(Option<Solicit>),
}

/// The table.
#[derive(Default)]
pub(crate) struct Neighbors {
    slots: Vec<Slot>,
    index: HashMap<IpAddr, u32>,
    generation: u32,
}

impl Neighbors {
    /// The address of the slot that `cache` names, if it is still the same neighbour's.
    pub(crate) fn cached(
        &mut self,
        (index, generation): (u32, u32),
        now: Instant,
    ) -> Option<MacAddr> {
        let slot = self.slots.get(index.checked_sub(1)? as usize)?;
        match slot.state {
            State::Known { mac, confirmed }
                if slot.generation == generation && now < confirmed + REACHABLE =>
            {
                Some(mac)
            }
            _ => None,
        }
    }

    /// Looks `address` up; also what a flow may remember.
    pub(crate) fn lookup(&mut self, address: IpAddr, now: Instant) -> (Lookup, (u32, u32)) {
        let index = match self.index.get(&address) {
            Some(index) => *index as usize,
            None => {
                self.insert(address, State::Incomplete { waiting: Vec::new(), next: now, sent: 0 })
            }
        };
        let slot = &mut self.slots[index];
        let cache = (index as u32 + 1, slot.generation);
        let lookup = match &mut slot.state {
            State::Known { mac, confirmed } if now < *confirmed + REACHABLE => {
                Lookup::Known(*mac, None)
            }
            State::Known { mac, .. } => {
                let mac = *mac;
                slot.state = State::Probing { mac, next: now + RETRANS, sent: 1 };
                Lookup::Known(mac, Some(Solicit { target: address, to: Some(mac) }))
            }
            State::Probing { mac, .. } => Lookup::Known(*mac, None),
            State::Incomplete { next, sent, .. } => {
                let first = *sent == 0;
                if first {
                    (*next, *sent) = (now + RETRANS, 1);
                }
                Lookup::Unknown(first.then_some(Solicit { target: address, to: None }))
            }
        };
        (lookup, cache)
    }

    /// Whether `address` is known to be there.
    pub(crate) fn answers(&self, address: IpAddr) -> bool {
        let slot = self.index.get(&address).and_then(|index| self.slots.get(*index as usize));
        slot.is_some_and(|slot| !matches!(slot.state, State::Incomplete { .. }))
    }

    /// Makes every flow look its neighbour up again.
    pub(crate) fn invalidate(&mut self) {
        for slot in &mut self.slots {
            self.generation = self.generation.wrapping_add(1);
            slot.generation = self.generation;
        }
    }

    fn insert(&mut self, address: IpAddr, state: State) -> usize {
        self.generation = self.generation.wrapping_add(1);
        let slot = Slot { address, generation: self.generation, state };
        let index = if self.slots.len() < MAX {
            self.slots.push(slot);
            self.slots.len() - 1
        } else {
            let age = |slot: &Slot| match slot.state {
                State::Incomplete { .. } => Instant::ZERO,
                State::Known { confirmed, .. } => confirmed,
                State::Probing { next, .. } => next,
            };
            let oldest = (0..MAX).min_by_key(|i| age(&self.slots[*i])).unwrap_or(0);
            self.index.remove(&self.slots[oldest].address);
            self.slots[oldest] = slot;
            oldest
        };
        self.index.insert(address, index as u32);
        index
    }

    /// Keeps a packet until `address` is known; false when too many wait already, and it is lost.
    pub(crate) fn wait(&mut self, address: IpAddr, packet: Pending) -> bool {
        let slot = self.index.get(&address).map(|index| &mut self.slots[*index as usize]);
        match slot.map(|slot| &mut slot.state) {
            Some(State::Incomplete { waiting, .. }) if waiting.len() < MAX_PENDING => {
                waiting.push(packet);
                true
            }
            _ => false,
        }
    }

    /// Learns that `address` is at `mac`; returns the packets that waited for it. A neighbour that
    /// nobody asked for is taken in only when `wanted`: the packet was addressed to us (RFC 826).
    pub(crate) fn learn(
        &mut self,
        address: IpAddr,
        mac: MacAddr,
        wanted: bool,
        now: Instant,
    ) -> Vec<Pending> {
        let known = State::Known { mac, confirmed: now };
        let Some(index) = self.index.get(&address) else {
            if wanted {
                self.insert(address, known);
            }
            return Vec::new();
        };
        let slot = &mut self.slots[*index as usize];
        let moved = match slot.state {
            State::Incomplete { .. } => false,
            State::Known { mac: old, .. } | State::Probing { mac: old, .. } => old != mac,
        };
        if moved {
            self.generation = self.generation.wrapping_add(1);
            slot.generation = self.generation;
        }
        match core::mem::replace(&mut slot.state, known) {
            State::Incomplete { waiting, .. } => waiting,
            _ => Vec::new(),
        }
    }

    /// The neighbour in `cache` answered in another way.
    pub(crate) fn confirm(&mut self, (index, generation): (u32, u32), now: Instant) {
        let slot = index.checked_sub(1).and_then(|i| self.slots.get_mut(i as usize));
        if let Some(slot) = slot.filter(|slot| slot.generation == generation) {
            match slot.state {
                State::Known { mac, .. } | State::Probing { mac, .. } => {
                    slot.state = State::Known { mac, confirmed: now };
                }
                State::Incomplete { .. } => {}
            }
        }
    }

    /// Requests that are due; neighbours that did not answer, with how many packets waited.
    pub(crate) fn poll(&mut self, now: Instant, ask: &mut Vec<Solicit>) -> Vec<(IpAddr, usize)> {
        let mut gone = Vec::new();
        for slot in &mut self.slots {
            let target = slot.address;
            let (next, sent, to) = match &mut slot.state {
                State::Incomplete { next, sent, .. } if *sent > 0 => (next, sent, None),
                State::Probing { next, sent, mac } => (next, sent, Some(*mac)),
                _ => continue,
            };
            if *next > now {
                continue;
            }
            if *sent >= PROBES {
                gone.push(target);
                continue;
            }
            (*next, *sent) = (now + RETRANS, *sent + 1);
            ask.push(Solicit { target, to });
        }
        gone.into_iter().map(|address| (address, self.remove(address).len())).collect()
    }

    fn remove(&mut self, address: IpAddr) -> Vec<Pending> {
        let Some(index) = self.index.remove(&address) else { return Vec::new() };
        let slot = self.slots.swap_remove(index as usize);
        if let Some(moved) = self.slots.get_mut(index as usize) {
            self.generation = self.generation.wrapping_add(1);
            moved.generation = self.generation;
            self.index.insert(moved.address, index);
        }
        match slot.state {
            State::Incomplete { waiting, .. } => waiting,
            _ => Vec::new(),
        }
    }

    /// When [`Neighbors::poll`] has something to do.
    pub(crate) fn poll_at(&self) -> Option<Instant> {
        let due = |slot: &Slot| match &slot.state {
            State::Incomplete { next, sent, .. } if *sent > 0 => Some(*next),
            State::Probing { next, .. } => Some(*next),
            _ => None,
        };
        self.slots.iter().filter_map(due).min()
    }
}
