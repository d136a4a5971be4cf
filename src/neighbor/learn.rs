//! What packets teach about neighbours.

use super::{Neighbors, Pending, State};
use crate::{time::Instant, wire::MacAddr};
use alloc::vec::Vec;
use core::net::IpAddr;

/// A neighbour advertisement (RFC 4861, section 4.4).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Advertised {
    pub(crate) mac: Option<MacAddr>,
    pub(crate) solicited: bool,
    pub(crate) replaces: bool,
    pub(crate) is_router: bool,
}

impl Neighbors {
    /// Learns from ARP that `address` is at `mac`; returns the packets that waited for it. A
    /// neighbour that nobody asked for is taken in only when `wanted`: the packet was addressed to
    /// us (RFC 826).
    pub(crate) fn learn(
        &mut self,
        address: IpAddr,
        mac: MacAddr,
        wanted: bool,
        now: Instant,
    ) -> Vec<Pending> {
        let state = State::Reachable { until: now + self.reachable(address) };
        match self.slot(address) {
            Some(slot) if slot.mac == mac || matches!(slot.state, State::Incomplete { .. }) => {
                self.set(address, mac, state)
            }
            Some(slot) => {
                // Whoever claims a neighbour's address does not get its packets at once, as RFC
                // 826 has it: first the neighbour is asked where it was.
                if !matches!(slot.state, State::Probe { .. }) {
                    slot.state = State::Probe { next: now, sent: 0 };
                    self.due = self.due.min(now);
                }
                Vec::new()
            }
            None => {
                if wanted {
                    self.insert(address, mac, state, now, false);
                }
                Vec::new()
            }
        }
    }

    /// A solicitation, a router's message or a redirect names the hardware address of `address`
    /// (RFC 4861, sections 7.2.3, 6.2.6, 6.3.4 and 8.3); returns the packets that waited for it.
    pub(crate) fn heard(&mut self, address: IpAddr, mac: MacAddr, now: Instant) -> Vec<Pending> {
        match self.slot(address) {
            None => {
                self.insert(address, mac, State::Stale, now, false);
                Vec::new()
            }
            Some(slot) if slot.mac == mac && !matches!(slot.state, State::Incomplete { .. }) => {
                Vec::new()
            }
            Some(_) => self.set(address, mac, State::Stale),
        }
    }

    /// RFC 4861, section 7.2.5; returns the address that is known then with the packets that
    /// waited for it, and whether the neighbour has ceased to be a router.
    pub(crate) fn advertised(
        &mut self,
        address: IpAddr,
        told: Advertised,
        now: Instant,
    ) -> (Option<MacAddr>, Vec<Pending>, bool) {
        let reachable = State::Reachable { until: now + self.reachable(address) };
        let Some(slot) = self.slot(address) else { return (None, Vec::new(), false) };
        if matches!(slot.state, State::Incomplete { .. }) {
            let Some(mac) = told.mac else { return (None, Vec::new(), false) };
            slot.is_router = told.is_router;
            let state = if told.solicited { reachable } else { State::Stale };
            return (Some(mac), self.set(address, mac, state), false);
        }
        let mac = told.mac.unwrap_or(slot.mac);
        let differs = mac != slot.mac;
        if differs && !told.replaces {
            if matches!(slot.state, State::Reachable { .. }) {
                slot.state = State::Stale;
            }
            return (None, Vec::new(), false);
        }
        let ceased = slot.is_router && !told.is_router;
        slot.is_router = told.is_router;
        if told.solicited {
            self.set(address, mac, reachable);
        } else if differs {
            self.set(address, mac, State::Stale);
        }
        (None, Vec::new(), ceased)
    }

    /// `address` sends router advertisements.
    pub(crate) fn is_router(&mut self, address: IpAddr) {
        if let Some(slot) = self.slot(address) {
            slot.is_router = true;
        }
    }

    /// Sets what is known of a neighbour in the table; returns the packets that waited for it.
    fn set(&mut self, address: IpAddr, mac: MacAddr, state: State) -> Vec<Pending> {
        let generation = self.generation.wrapping_add(1);
        let Some(slot) = self.slot(address) else { return Vec::new() };
        let moved = slot.mac != mac;
        slot.mac = mac;
        let old = core::mem::replace(&mut slot.state, state);
        if moved {
            slot.generation = generation;
            self.generation = generation;
        }
        self.forget_waiting(old)
    }
}
