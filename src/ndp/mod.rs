//! What IPv6 keeps to configure itself (RFC 4861, RFC 4862), sans I/O.
#![forbid(unsafe_code)]

mod dad;
mod identifier;
mod slaac;
mod solicitation;

pub(crate) use dad::{Dad, Due};
pub(crate) use identifier::{Maker, temporary};
pub(crate) use slaac::{TEMPORARY_PREFERRED, TEMPORARY_VALID, granted, until};
pub(crate) use solicitation::Solicitation;

use crate::{
    stack::Ipv6,
    time::{Duration, Instant},
    wire::MacAddr,
};
use alloc::vec::Vec;
use core::net::IpAddr;
use rand_core::RngCore;

/// The first packets are sent after a random part of this, so that machines that start together
/// do not speak together (RFC 4861, section 10: MAX_RTR_SOLICITATION_DELAY). What is used at once
/// has to be verified at once.
const FIRST_DELAY: Duration = Duration::from_secs(1);

/// A temporary address (RFC 8981): when it becomes deprecated and when it goes at the latest, and
/// when the next one is to be made.
pub(crate) struct Temporary {
    pub(crate) address: IpAddr,
    pub(crate) preferred: Instant,
    pub(crate) valid: Instant,
    pub(crate) regenerate: Option<Instant>,
}

/// What IPv6 keeps to configure itself.
pub(crate) struct Ndp {
    pub(crate) config: Ipv6,
    pub(crate) identifiers: Maker,
    pub(crate) dad: Dad,
    pub(crate) solicitation: Solicitation,
    pub(crate) temporaries: Vec<Temporary>,
    /// Nothing is sent before.
    pub(crate) begin: Instant,
}

impl Ndp {
    pub(crate) fn new(config: &Ipv6, mac: MacAddr, random: &mut impl RngCore, now: Instant) -> Ndp {
        let identifiers = Maker::new(config.identifiers, mac, random);
        let delay = if config.optimistic { Duration::ZERO } else { part_of(FIRST_DELAY, random) };
        Ndp {
            config: config.clone(),
            identifiers,
            dad: Dad::default(),
            solicitation: Solicitation::default(),
            temporaries: Vec::new(),
            begin: now + delay,
        }
    }

    /// When the stack has something to do here.
    pub(crate) fn poll_at(&self) -> Option<Instant> {
        let due = [self.dad.poll_at(), self.solicitation.poll_at()];
        let temporaries = self.temporaries.iter().filter_map(|t| t.regenerate);
        due.into_iter().flatten().chain(temporaries).min()
    }
}

/// A random part of `whole`.
pub(crate) fn part_of(whole: Duration, random: &mut impl RngCore) -> Duration {
    let nanos = u64::try_from(whole.as_nanos()).unwrap_or(u64::MAX);
    let part = (u128::from(random.next_u64()) * u128::from(nanos)) >> 64;
    Duration::from_nanos(part as u64)
}
