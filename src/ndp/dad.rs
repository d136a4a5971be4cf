//! Duplicate address detection (RFC 4862, section 5.4).

use crate::time::{Duration, Instant};
use alloc::vec::Vec;
use core::net::Ipv6Addr;

/// An address that is being verified.
#[derive(Clone, Copy, Debug)]
struct Probe {
    address: Ipv6Addr,
    /// Solicitations still to send.
    left: u8,
    next: Instant,
    /// Addresses of its kind that were duplicates before it.
    failed: u8,
}

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// Solicit the address.
    Solicit(Ipv6Addr),
    /// Nobody else has it.
    Unique(Ipv6Addr),
}

/// The addresses that are being verified. As many as there are tentative ones.
#[derive(Debug, Default)]
pub(crate) struct Dad {
    probes: Vec<Probe>,
}

impl Dad {
    /// Verifies `address` by `transmits` solicitations from `at` on.
    pub(crate) fn start(&mut self, address: Ipv6Addr, transmits: u8, at: Instant, failed: u8) {
        self.stop(address);
        self.probes.push(Probe { address, left: transmits, next: at, failed });
    }

    /// Ends the verification of `address`; how many failed before it, if it was on its way.
    pub(crate) fn stop(&mut self, address: Ipv6Addr) -> Option<u8> {
        let at = self.probes.iter().position(|probe| probe.address == address)?;
        Some(self.probes.swap_remove(at).failed)
    }

    /// The next thing that is due.
    pub(crate) fn poll(&mut self, now: Instant, retrans: Duration) -> Option<Due> {
        let at = self.probes.iter().position(|probe| probe.next <= now)?;
        let probe = &mut self.probes[at];
        if probe.left == 0 {
            return Some(Due::Unique(self.probes.swap_remove(at).address));
        }
        probe.left -= 1;
        probe.next = now + retrans;
        Some(Due::Solicit(probe.address))
    }

    /// When [`Dad::poll`] has something.
    pub(crate) fn poll_at(&self) -> Option<Instant> {
        self.probes.iter().map(|probe| probe.next).min()
    }
}
