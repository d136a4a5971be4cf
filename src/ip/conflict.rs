//! IPv4 address conflict detection (RFC 5227), sans I/O: probing an address before it is used,
//! announcing it, and defending it.

use crate::{
    ndp::part_of,
    time::{Duration, Instant},
    wire::{
        MacAddr,
        arp::{Arp, Operation},
    },
};
use alloc::vec::Vec;
use core::net::Ipv4Addr;
use rand_core::RngCore;

/// RFC 5227, section 1.1.
const PROBE_WAIT: Duration = Duration::from_secs(1);
const PROBE_NUM: u8 = 3;
const PROBE_MIN: Duration = Duration::from_secs(1);
const PROBE_MAX: Duration = Duration::from_secs(2);
const ANNOUNCE_WAIT: Duration = Duration::from_secs(2);
/// Between the probes for a leased address, and behind them.
const BRIEF_WAIT: Duration = Duration::from_millis(200);
const ANNOUNCE_NUM: u8 = 2;
const ANNOUNCE_INTERVAL: Duration = Duration::from_secs(2);
const DEFEND_INTERVAL: Duration = Duration::from_secs(10);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Not used yet.
    Probing,
    /// In use.
    Announcing,
    /// In use, and all was said.
    Settled,
}

/// How long it is found out whether somebody has an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    /// As RFC 5227 says: seconds.
    Thorough,
    /// For an address that a server leases, which has looked before (RFC 2131, section 2.2): so
    /// that a service is there soon.
    Brief,
}

#[derive(Debug)]
struct Entry {
    address: Ipv4Addr,
    pace: Pace,
    phase: Phase,
    sent: u8,
    next: Instant,
    defended: Option<Instant>,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Ask whether somebody has the address, without saying that we want it.
    Probe(Ipv4Addr),
    /// Say that it is ours.
    Announce(Ipv4Addr),
    /// Nobody has it: it may be used.
    Verified(Ipv4Addr),
}

/// What another host's packet means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// Nothing.
    Unrelated,
    /// The address that was being verified is taken; it is forgotten.
    Taken(Ipv4Addr),
    /// Another host claims an address in use: it was told once more that it is ours.
    Defend(Ipv4Addr),
    /// The same again, shortly after (RFC 5227, section 2.4).
    Contested(Ipv4Addr),
}

/// Our addresses, each with what was said of it.
#[derive(Debug, Default)]
pub(crate) struct Conflicts {
    entries: Vec<Entry>,
}

impl Conflicts {
    /// Begins to find out whether somebody has `address` (RFC 5227, section 2.1.1).
    pub(crate) fn probe(
        &mut self,
        address: Ipv4Addr,
        pace: Pace,
        now: Instant,
        random: &mut impl RngCore,
    ) {
        let wait = match pace {
            Pace::Thorough => part_of(PROBE_WAIT, random),
            Pace::Brief => Duration::ZERO,
        };
        self.enter(address, pace, Phase::Probing, now + wait);
    }

    /// Announces `address`, which is in use from now on (RFC 5227, section 2.3).
    pub(crate) fn announce(&mut self, address: Ipv4Addr, now: Instant) {
        self.enter(address, Pace::Thorough, Phase::Announcing, now);
    }

    fn enter(&mut self, address: Ipv4Addr, pace: Pace, phase: Phase, next: Instant) {
        self.forget(address);
        self.entries.push(Entry { address, pace, phase, sent: 0, next, defended: None });
    }

    /// `address` is not ours any more.
    pub(crate) fn forget(&mut self, address: Ipv4Addr) {
        self.entries.retain(|entry| entry.address != address);
    }

    /// The next thing that is due.
    pub(crate) fn poll(&mut self, now: Instant, random: &mut impl RngCore) -> Option<Action> {
        let due = |e: &&mut Entry| e.phase != Phase::Settled && e.next <= now;
        let entry = self.entries.iter_mut().find(due)?;
        let address = entry.address;
        match entry.phase {
            Phase::Probing if entry.sent < PROBE_NUM => {
                entry.sent += 1;
                entry.next = now
                    + match entry.pace {
                        Pace::Brief => BRIEF_WAIT,
                        Pace::Thorough if entry.sent == PROBE_NUM => ANNOUNCE_WAIT,
                        Pace::Thorough => PROBE_MIN + part_of(PROBE_MAX - PROBE_MIN, random),
                    };
                Some(Action::Probe(address))
            }
            Phase::Probing => {
                (entry.phase, entry.sent) = (Phase::Announcing, 0);
                Some(Action::Verified(address))
            }
            Phase::Announcing | Phase::Settled => {
                entry.sent += 1;
                entry.next = now + ANNOUNCE_INTERVAL;
                if entry.sent >= ANNOUNCE_NUM {
                    entry.phase = Phase::Settled;
                }
                Some(Action::Announce(address))
            }
        }
    }

    /// When [`Conflicts::poll`] has something to do.
    pub(crate) fn poll_at(&self) -> Option<Instant> {
        let busy = self.entries.iter().filter(|entry| entry.phase != Phase::Settled);
        busy.map(|entry| entry.next).min()
    }

    /// An ARP packet arrived; `own` is our hardware address.
    pub(crate) fn hear(&mut self, arp: &Arp, own: MacAddr, now: Instant) -> Heard {
        if arp.sender_mac == own {
            return Heard::Unrelated;
        }
        // RFC 5227, 2.1.1: another host that probes for the same is a conflict while we do, too.
        let probes = arp.operation == Operation::Request && arp.sender.is_unspecified();
        let concerns = |e: &Entry| {
            e.address == arp.sender
                || (e.phase == Phase::Probing && probes && e.address == arp.target)
        };
        let Some(index) = self.entries.iter().position(concerns) else { return Heard::Unrelated };
        let entry = &mut self.entries[index];
        let address = entry.address;
        if entry.phase == Phase::Probing {
            self.entries.remove(index);
            return Heard::Taken(address);
        }
        // RFC 5227, 2.4: one announcement at most within the interval, so that two hosts do not
        // fight for ever.
        if entry.defended.is_some_and(|at| now.saturating_since(at) < DEFEND_INTERVAL) {
            return Heard::Contested(address);
        }
        entry.defended = Some(now);
        Heard::Defend(address)
    }
}
