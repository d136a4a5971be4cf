//! What a server has leased to us.

use crate::{
    ip::{Cidr, Route},
    time::{Duration, Instant},
};
use alloc::vec::Vec;
use core::net::Ipv4Addr;

/// An address, for a time, and what belongs to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The address with its network.
    pub address: Cidr,
    /// Routes beside that to the address's own network.
    pub routes: Vec<Route>,
    /// Name servers, best first.
    pub dns: Vec<Ipv4Addr>,
    /// Largest IP packet on the link.
    pub mtu: Option<u16>,
    /// The server's identifier, which is its address.
    pub server: Ipv4Addr,
    /// T1: when the server is asked to extend it.
    pub renew: Instant,
    /// T2: when all servers are.
    pub rebind: Instant,
    /// When the address must not be used any more.
    pub expiry: Instant,
}

impl Lease {
    /// The address alone.
    pub fn ip(&self) -> Ipv4Addr {
        match self.address.address {
            core::net::IpAddr::V4(ip) => ip,
            core::net::IpAddr::V6(_) => Ipv4Addr::UNSPECIFIED,
        }
    }
}

/// How long a lease is good, in seconds, as a server says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Times {
    pub(super) lease: u32,
    pub(super) renew: Option<u32>,
    pub(super) rebind: Option<u32>,
}

impl Times {
    /// RFC 2131, section 3.3: all ones.
    const INFINITE: u32 = u32::MAX;

    /// T1, T2 and the end, counted from `since`.
    pub(super) fn instants(self, since: Instant) -> [Instant; 3] {
        let after = |seconds: u32| match seconds {
            Times::INFINITE => Instant::NEVER,
            seconds => since + Duration::from_secs(seconds.into()),
        };
        if self.lease == Times::INFINITE {
            return [after(Times::INFINITE); 3];
        }
        // RFC 2131, section 4.4.5: half and seven eighths where the server says nothing, and where
        // what it says is out of order.
        let (t1, t2) = ((self.lease / 2).max(1), self.lease - self.lease / 8);
        // A T1 of zero would have the server asked in a loop.
        let renew = self.renew.filter(|renew| *renew > 0);
        let (t1, t2) = match (renew, self.rebind) {
            (Some(renew), Some(rebind)) if renew <= rebind && rebind <= self.lease => {
                (renew, rebind)
            }
            (Some(renew), None) if renew <= t2 => (renew, t2),
            (None, Some(rebind)) if t1 <= rebind && rebind <= self.lease => (t1, rebind),
            _ => (t1, t2),
        };
        [after(t1), after(t2), after(self.lease)]
    }
}
