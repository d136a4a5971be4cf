//! What a server tells in its options (RFC 2132), made into a lease.

use super::{
    lease::{Lease, Times},
    message::{Reply, code},
};
use crate::{
    ip::{Cidr, Origin, Route},
    time::Instant,
};
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr};

/// Most routes and name servers that are taken of a lease.
const MAX_ROUTES: usize = 16;
const MAX_DNS: usize = 4;

impl Reply<'_> {
    fn address(&self, code: u8) -> Option<Ipv4Addr> {
        Some(Ipv4Addr::from(*self.option(code)?.first_chunk::<4>()?))
    }

    fn addresses(&self, code: u8) -> Vec<Ipv4Addr> {
        let bytes = self.option(code).unwrap_or_default();
        bytes.as_chunks::<4>().0.iter().map(|octets| Ipv4Addr::from(*octets)).collect()
    }

    fn seconds(&self, code: u8) -> Option<u32> {
        Some(u32::from_be_bytes(*self.option(code)?.first_chunk()?))
    }

    /// The server's identifier (RFC 2131, section 4.3.1: in every message of a server).
    pub(super) fn server(&self) -> Option<Ipv4Addr> {
        self.address(code::SERVER_ID).filter(|server| is_host(*server))
    }

    /// The lease that an offer or an acknowledgement tells of, counted from when it was asked for;
    /// `None` when it cannot be used.
    pub(super) fn lease(&self, since: Instant) -> Option<Lease> {
        if !is_host(self.your) {
            return None;
        }
        let prefix = match self.address(code::SUBNET_MASK) {
            Some(mask) => prefix(mask)?,
            None => classful(self.your),
        };
        let address = Cidr { address: self.your.into(), prefix };
        let times = Times {
            lease: self.seconds(code::LEASE_TIME).filter(|lease| *lease > 0)?,
            renew: self.seconds(code::RENEWAL_TIME),
            rebind: self.seconds(code::REBINDING_TIME),
        };
        let [renew, rebind, expiry] = times.instants(since);
        let dns = self.addresses(code::DNS).into_iter().filter(|dns| is_host(*dns));
        Some(Lease {
            address,
            routes: self.routes(expiry),
            dns: dns.take(MAX_DNS).collect(),
            // RFC 2132, section 5.1: 68 at least. RFC 791 has every host take 576.
            mtu: self.option(code::MTU).and_then(|mtu| {
                let mtu = u16::from_be_bytes(*mtu.first_chunk()?);
                (mtu >= 576).then_some(mtu)
            }),
            server: self.server()?,
            renew,
            rebind,
            expiry,
        })
    }

    fn routes(&self, valid_until: Instant) -> Vec<Route> {
        let route = |(prefix, via): (Cidr, Option<Ipv4Addr>)| Route {
            valid_until,
            ..Route::new(prefix, via.map(IpAddr::V4), Origin::Dhcp)
        };
        // RFC 3442: where there are classless routes, the routers count for nothing.
        if let Some(routes) = self.option(code::CLASSLESS_ROUTES) {
            return classless(&routes).take(MAX_ROUTES).map(route).collect();
        }
        let default = Cidr { address: IpAddr::V4(Ipv4Addr::UNSPECIFIED), prefix: 0 };
        let routers = self.addresses(code::ROUTERS).into_iter().filter(|router| is_host(*router));
        // RFC 2132, section 3.5: in order of preference.
        routers.take(1).map(|via| route((default, Some(via)))).collect()
    }
}

/// The routes of an option 121 up to its end or the first that is malformed (RFC 3442).
fn classless(mut bytes: &[u8]) -> impl Iterator<Item = (Cidr, Option<Ipv4Addr>)> {
    core::iter::from_fn(move || {
        let (prefix, rest) = bytes.split_first().filter(|(prefix, _)| **prefix <= 32)?;
        let (significant, rest) = rest.split_at_checked(usize::from(prefix.div_ceil(8)))?;
        let (router, rest) = rest.split_first_chunk::<4>()?;
        bytes = rest;
        let mut network = [0; 4];
        network[..significant.len()].copy_from_slice(significant);
        let network = Cidr { address: Ipv4Addr::from(network).into(), prefix: *prefix };
        let router = Ipv4Addr::from(*router);
        // A router of zeros: the destination is on the link.
        Some((network, Some(router).filter(|router| !router.is_unspecified())))
    })
}

/// The length of a mask whose ones stand together.
fn prefix(mask: Ipv4Addr) -> Option<u8> {
    let bits = mask.to_bits();
    let ones = bits.leading_ones();
    (bits.count_ones() == ones).then_some(ones as u8)
}

/// The prefix of an address of old, for a server that tells no mask (RFC 791, section 2.3).
fn classful(address: Ipv4Addr) -> u8 {
    match address.octets()[0] {
        0..128 => 8,
        128..192 => 16,
        _ => 24,
    }
}

fn is_host(address: Ipv4Addr) -> bool {
    let class = address.octets()[0];
    class != 0 && class < 224 && !address.is_loopback()
}
