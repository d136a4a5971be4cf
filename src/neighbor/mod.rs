//! Neighbours: which hardware address a next hop has (RFC 826; RFC 4861, section 7.3).
//!
//! A slot's index and generation are what a [`Flow`](crate::ip::Flow) remembers, so that a segment
//! to a known neighbour costs no look-up.
#![forbid(unsafe_code)]

mod learn;
#[cfg(test)]
mod tests;

pub(crate) use learn::Advertised;

use crate::{
    PacketBuf, Slice,
    frame::TxMeta,
    time::{Duration, Instant},
    wire::MacAddr,
};
use alloc::vec::Vec;
use core::net::IpAddr;

/// Most neighbours; one that is not in use makes room for a new one.
const MAX: usize = 1024;
/// Most packets that wait for one neighbour, the fragments of a long datagram at least; of more,
/// the oldest go (RFC 4861, section 7.2.2).
const MAX_PENDING: usize = 48;
/// How long a neighbour is reachable after it answered (RFC 4861, section 10).
const REACHABLE: Duration = Duration::from_secs(30);
/// Time between requests.
const RETRANS: Duration = Duration::from_secs(1);
/// How long a transport has to confirm a neighbour before it is probed.
const DELAY: Duration = Duration::from_secs(5);
/// Requests before a neighbour counts as gone: MAX_UNICAST_SOLICIT and MAX_MULTICAST_SOLICIT.
const PROBES: u8 = 3;

/// A packet that waits for its neighbour, without its Ethernet header.
pub(crate) struct Pending {
    pub(crate) meta: TxMeta,
    pub(crate) head: PacketBuf,
    pub(crate) rest: Vec<Slice>,
}

/// RFC 4861, section 7.3.2.
enum State {
    /// Asked, or to be asked once there is an address to ask from; no answer yet.
    Incomplete { waiting: Vec<Pending>, next: Instant, sent: u8 },
    /// It answered until shortly ago.
    Reachable { until: Instant },
    /// It has not answered for long, and nothing was sent to it since.
    Stale,
    /// Something was sent, and may be answered yet.
    Delay { until: Instant },
    /// It is being asked again, and used meanwhile.
    Probe { next: Instant, sent: u8 },
}

struct Slot {
    address: IpAddr,
    generation: u32,
    /// Its hardware address; none yet in INCOMPLETE.
    mac: MacAddr,
    state: State,
    is_router: bool,
    used: Instant,
}

impl Slot {
    /// Which slot makes room first: the lowest, and of equals the one that was not used longest.
    fn worth(&self) -> (u8, Instant) {
        let state = match self.state {
            State::Stale => 0,
            State::Incomplete { .. } => 1,
            _ => 2,
        };
        (state, self.used)
    }
}

/// A request to send: to all, or to the neighbour itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Solicit {
    pub(crate) target: IpAddr,
    pub(crate) to: Option<MacAddr>,
}

/// What is known when a packet is to be sent.
pub(crate) enum Lookup {
    /// Send it there.
    Known(MacAddr),
    /// Nothing is known: keep the packet with [`Neighbors::wait`], and ask if told so.
    Unknown(Option<Solicit>),
}

/// The table.
pub(crate) struct Neighbors {
    slots: Vec<Slot>,
    /// Slots of addresses, in the order of these.
    index: Vec<(IpAddr, u32)>,
    generation: u32,
    /// Packets that wait, and how many may.
    waiting: usize,
    max_waiting: usize,
    /// No timer is due before.
    due: Instant,
    /// As routers advertise them for IPv6.
    pub(crate) reachable6: Duration,
    pub(crate) retrans6: Duration,
}

impl Neighbors {
    /// Whether packets wait.
    pub(crate) fn holds_packets(&self) -> bool {
        self.waiting > 0
    }

    /// A table that keeps `max_waiting` packets at most.
    pub(crate) fn new(max_waiting: usize) -> Neighbors {
        Neighbors {
            slots: Vec::new(),
            index: Vec::new(),
            generation: 0,
            waiting: 0,
            max_waiting,
            due: Instant::NEVER,
            reachable6: REACHABLE,
            retrans6: RETRANS,
        }
    }

    fn reachable(&self, address: IpAddr) -> Duration {
        if address.is_ipv4() { REACHABLE } else { self.reachable6 }
    }

    fn retrans(&self, address: IpAddr) -> Duration {
        if address.is_ipv4() { RETRANS } else { self.retrans6 }
    }

    /// The address of the slot that `cache` names, if it is still the same neighbour's.
    #[inline(always)]
    pub(crate) fn cached(&self, (index, generation): (u32, u32), now: Instant) -> Option<&MacAddr> {
        let slot = self.slots.get(index.checked_sub(1)? as usize)?;
        match slot.state {
            State::Reachable { until } | State::Delay { until }
                if slot.generation == generation && now < until =>
            {
                Some(&slot.mac)
            }
            _ => None,
        }
    }

    fn position(&self, address: IpAddr) -> Result<usize, usize> {
        self.index.binary_search_by_key(&address, |(listed, _)| *listed)
    }

    fn find(&self, address: IpAddr) -> Option<usize> {
        self.position(address).ok().map(|at| self.index[at].1 as usize)
    }

    /// Takes `address` out of the index; the slot that it had.
    fn unlist(&mut self, address: IpAddr) -> Option<u32> {
        self.position(address).ok().map(|at| self.index.remove(at).1)
    }

    fn slot(&mut self, address: IpAddr) -> Option<&mut Slot> {
        self.find(address).and_then(|index| self.slots.get_mut(index))
    }

    /// Looks `address` up; also what a flow may remember.
    #[inline(never)]
    pub(crate) fn lookup(&mut self, address: IpAddr, now: Instant) -> (Lookup, (u32, u32)) {
        let retrans = self.retrans(address);
        let index = match self.find(address) {
            Some(index) => index,
            None => {
                let state = State::Incomplete { waiting: Vec::new(), next: now, sent: 0 };
                match self.insert(address, MacAddr::default(), state, now, true) {
                    Some(index) => index,
                    None => return (Lookup::Unknown(None), (0, 0)),
                }
            }
        };
        let mut due = Instant::NEVER;
        let slot = &mut self.slots[index];
        slot.used = now;
        let cache = (index as u32 + 1, slot.generation);
        let lookup = match &mut slot.state {
            State::Incomplete { next, sent, .. } => {
                let first = *sent == 0;
                if first {
                    (*next, *sent) = (now + retrans, 1);
                    due = *next;
                }
                Lookup::Unknown(first.then_some(Solicit { target: address, to: None }))
            }
            State::Reachable { until } if now < *until => Lookup::Known(slot.mac),
            State::Delay { .. } | State::Probe { .. } => Lookup::Known(slot.mac),
            State::Reachable { .. } | State::Stale => {
                due = now + DELAY;
                slot.state = State::Delay { until: due };
                Lookup::Known(slot.mac)
            }
        };
        self.due = self.due.min(due);
        (lookup, cache)
    }

    /// The question about `address` could not be sent yet: it does not count.
    pub(crate) fn not_asked(&mut self, address: IpAddr) {
        if let Some(Slot { state: State::Incomplete { sent, .. }, .. }) = self.slot(address) {
            *sent = 0;
        }
    }

    /// Whether `address` is known to be there.
    pub(crate) fn answers(&self, address: IpAddr) -> bool {
        let slot = self.find(address).and_then(|index| self.slots.get(index));
        slot.is_some_and(|slot| !matches!(slot.state, State::Incomplete { .. }))
    }

    /// Makes every flow look its neighbour up again.
    pub(crate) fn invalidate(&mut self) {
        for slot in &mut self.slots {
            self.generation = self.generation.wrapping_add(1);
            slot.generation = self.generation;
        }
    }

    /// A slot for a new neighbour. One that nobody asked for takes no place of one that is in use.
    fn insert(
        &mut self,
        address: IpAddr,
        mac: MacAddr,
        state: State,
        now: Instant,
        wanted: bool,
    ) -> Option<usize> {
        self.generation = self.generation.wrapping_add(1);
        let generation = self.generation;
        let slot = Slot { address, generation, mac, state, is_router: false, used: now };
        let index = if self.slots.len() < MAX {
            self.slots.push(slot);
            self.slots.len() - 1
        } else {
            let worth = |index: &usize| self.slots[*index].worth();
            let least = (0..MAX).min_by_key(worth)?;
            if !wanted && worth(&least).0 > 0 {
                return None;
            }
            let old = core::mem::replace(&mut self.slots[least], slot);
            self.unlist(old.address);
            self.forget_waiting(old.state);
            least
        };
        if let Err(at) = self.position(address) {
            self.index.insert(at, (address, index as u32));
        }
        Some(index)
    }

    fn forget_waiting(&mut self, state: State) -> Vec<Pending> {
        match state {
            State::Incomplete { waiting, .. } => {
                self.waiting -= waiting.len();
                waiting
            }
            _ => Vec::new(),
        }
    }

    /// Keeps a packet until `address` is known; false when one is lost for it.
    pub(crate) fn wait(&mut self, address: IpAddr, packet: Pending) -> bool {
        let full = self.waiting >= self.max_waiting;
        let Some(slot) = self.slot(address) else { return false };
        let State::Incomplete { waiting, .. } = &mut slot.state else { return false };
        if waiting.len() >= MAX_PENDING || (full && !waiting.is_empty()) {
            waiting.remove(0);
            waiting.push(packet);
            return false;
        }
        if full {
            return false;
        }
        waiting.push(packet);
        self.waiting += 1;
        true
    }

    /// The neighbour in `cache` answered in another way (RFC 4861, section 7.3.1).
    #[inline(always)]
    pub(crate) fn confirm(&mut self, (index, generation): (u32, u32), now: Instant) {
        let reachable6 = self.reachable6;
        let slot = index.checked_sub(1).and_then(|i| self.slots.get_mut(i as usize));
        let Some(slot) = slot.filter(|slot| slot.generation == generation) else { return };
        if !matches!(slot.state, State::Incomplete { .. }) {
            let until = if slot.address.is_ipv4() { now + REACHABLE } else { now + reachable6 };
            slot.state = State::Reachable { until };
        }
    }

    /// Requests that are due; neighbours that did not answer, with how many packets waited.
    pub(crate) fn poll(&mut self, now: Instant, ask: &mut Vec<Solicit>) -> Vec<(IpAddr, usize)> {
        let mut gone = Vec::new();
        if now < self.due {
            return Vec::new();
        }
        self.due = Instant::NEVER;
        let retrans = [RETRANS, self.retrans6];
        for slot in &mut self.slots {
            let target = slot.address;
            let retrans = retrans[usize::from(target.is_ipv6())];
            let (next, sent, to) = match &mut slot.state {
                State::Incomplete { next, sent, .. } => (next, sent, None),
                State::Probe { next, sent } => (next, sent, Some(slot.mac)),
                State::Delay { until } if *until <= now => {
                    ask.push(Solicit { target, to: Some(slot.mac) });
                    slot.state = State::Probe { next: now + retrans, sent: 1 };
                    self.due = self.due.min(now + retrans);
                    continue;
                }
                State::Delay { until } => {
                    self.due = self.due.min(*until);
                    continue;
                }
                _ => continue,
            };
            if *next <= now {
                if *sent >= PROBES {
                    gone.push(target);
                    continue;
                }
                (*next, *sent) = (now + retrans, *sent + 1);
                ask.push(Solicit { target, to });
            }
            self.due = self.due.min(*next);
        }
        gone.into_iter().map(|address| (address, self.remove(address).len())).collect()
    }

    fn remove(&mut self, address: IpAddr) -> Vec<Pending> {
        let Some(index) = self.unlist(address) else { return Vec::new() };
        let slot = self.slots.swap_remove(index as usize);
        if let Some(moved) = self.slots.get_mut(index as usize) {
            self.generation = self.generation.wrapping_add(1);
            moved.generation = self.generation;
            let moved = moved.address;
            if let Ok(at) = self.position(moved) {
                self.index[at].1 = index;
            }
        }
        self.forget_waiting(slot.state)
    }

    /// When [`Neighbors::poll`] has something to do.
    #[inline]
    pub(crate) fn poll_at(&self) -> Option<Instant> {
        (self.due < Instant::NEVER).then_some(self.due)
    }
}
