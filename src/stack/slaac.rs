//! Addresses made from advertised prefixes (RFC 4862, section 5.5; RFC 8981).

use super::Stack;
use crate::{
    ip::{Address, AddressState, Cidr, Origin},
    ndp::{TEMPORARY_PREFERRED, TEMPORARY_VALID, granted, part_of, temporary, until},
    time::{Duration, Instant},
    wire::{ipv6::is_link_local, ndp::PrefixInfo},
};
use core::net::Ipv6Addr;

/// Addresses that routers may bring about together.
const MAX: usize = 16;
/// RFC 8981, section 3.8: a new temporary address comes this long before the old one is deprecated.
const REGEN_ADVANCE: Duration = Duration::from_secs(5);

impl Stack {
    /// RFC 4862, section 5.5.3.
    pub(super) fn autoconfigure(&mut self, now: Instant, info: &PrefixInfo) {
        let sensible = !is_link_local(info.prefix)
            && !info.prefix.is_multicast()
            && !info.prefix.is_unspecified()
            && info.preferred <= info.valid
            && info.len == 64;
        if !info.autonomous || !sensible {
            return;
        }
        let (preferred, valid) = (until(now, info.preferred), until(now, info.valid));
        let prefix = Cidr::new(info.prefix.into(), 64);
        let made = |a: &Address| matches!(a.origin, Origin::Router | Origin::Temporary);
        let ours = |a: &&Address| made(a) && prefix.contains(a.cidr.address);
        let known: alloc::vec::Vec<Address> =
            self.ip.addresses.iter().filter(ours).copied().collect();
        for address in &known {
            let cap = self.ndp.temporaries.iter().find(|t| address.cidr.address == t.address);
            let cap = cap.map_or((Instant::NEVER, Instant::NEVER), |t| (t.preferred, t.valid));
            self.ip.addresses.update(address.cidr.address, |known| {
                known.preferred_until = preferred.min(cap.0);
                known.valid_until = granted(known.valid_until, valid, now).min(cap.1);
                let usable = known.preferred_until > now;
                known.state = match known.state {
                    unverified @ (AddressState::Tentative | AddressState::Optimistic) => unverified,
                    _ if usable => AddressState::Preferred,
                    _ => AddressState::Deprecated,
                };
            });
        }
        if info.valid == 0 {
            return;
        }
        let has = |origin| known.iter().any(|a| a.origin == origin);
        if !has(Origin::Router)
            && let Some(address) = self.ndp.identifiers.stable(info.prefix, 0)
        {
            self.add_made(now, address, Origin::Router, (preferred, valid));
        }
        if self.ndp.config.temporary && !has(Origin::Temporary) && info.preferred > 0 {
            self.add_temporary(now, info.prefix, (preferred, valid));
        }
    }

    fn add_made(
        &mut self,
        now: Instant,
        address: Ipv6Addr,
        origin: Origin,
        (preferred_until, valid_until): (Instant, Instant),
    ) {
        let made = |a: &&Address| matches!(a.origin, Origin::Router | Origin::Temporary);
        if self.ip.addresses.iter().filter(made).count() >= MAX
            || self.ip.addresses.get(address.into()).is_some()
        {
            return;
        }
        let cidr = Cidr::new(address.into(), 64);
        let address = Address { preferred_until, valid_until, ..Address::new(cidr, origin) };
        if let Err(error) = self.add_ipv6(now, address, 0) {
            log::warn!("{cidr}: {error}");
        }
    }

    /// RFC 8981, section 3.4.
    fn add_temporary(
        &mut self,
        now: Instant,
        prefix: Ipv6Addr,
        (preferred, valid): (Instant, Instant),
    ) {
        let address = temporary(prefix, &mut self.random);
        // Section 3.8: so that hosts do not change their addresses together.
        let desync = part_of(TEMPORARY_PREFERRED * 2 / 5, &mut self.random);
        let caps = (now + (TEMPORARY_PREFERRED - desync), now + TEMPORARY_VALID);
        let times = (preferred.min(caps.0), valid.min(caps.1));
        self.add_made(now, address, Origin::Temporary, times);
        if self.ip.addresses.get(address.into()).is_none() {
            // There was no room for it.
            return;
        }
        let entry = crate::ndp::Temporary {
            address: address.into(),
            preferred: caps.0,
            valid: caps.1,
            regenerate: Some(now + (TEMPORARY_PREFERRED - desync - REGEN_ADVANCE)),
        };
        self.ndp.temporaries.push(entry);
    }

    /// RFC 8981, section 3.6: before a temporary address gets old, the next one is made.
    pub(super) fn refresh_temporary(&mut self, now: Instant) {
        let addresses = &self.ip.addresses;
        self.ndp.temporaries.retain(|t| addresses.get(t.address).is_some());
        let mut due = self.ndp.temporaries.iter_mut();
        let due = due.find_map(|t| t.regenerate.take_if(|at| *at <= now).map(|_| t.address));
        let Some(old) = due else { return };
        // As long as the address that stays in the same network.
        let stays =
            self.ip.addresses.iter().find(|a| a.origin == Origin::Router && a.cidr.contains(old));
        let times = stays.map(|a| (a.preferred_until, a.valid_until));
        if let (Some(times), core::net::IpAddr::V6(old)) = (times, old)
            && times.0 > now
        {
            self.add_temporary(now, old, times);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        device::DeviceInfo,
        frame::Offloads,
        stack::{Config, Ipv6},
        wire::MacAddr,
    };

    #[test]
    fn a_flood_of_prefixes_keeps_what_is_known_of_temporary_addresses_flat() {
        let ipv6 = Ipv6 { temporary: true, ..Ipv6::default() };
        let config = Config { ipv6, ..Config::default() };
        let mac = MacAddr([2, 0, 0, 0, 0, 1]);
        let info = DeviceInfo { mac, mtu: 1500, offloads: Offloads::empty(), io_mode: "wire" };
        let pool = crate::Pool::heap(crate::PoolConfig::default());
        let now = Instant::from_millis(1000);
        let mut stack = Stack::new(&config, &info, pool, [7; 32], now);
        for n in 0..1000 {
            let prefix = Ipv6Addr::new(0x2001, 0xdb8, 0, n, 0, 0, 0, 0);
            let (valid, preferred) = (7200, 3600);
            let info =
                PrefixInfo { prefix, len: 64, on_link: true, autonomous: true, valid, preferred };
            stack.autoconfigure(now, &info);
        }
        assert!(stack.ndp.temporaries.len() <= MAX);
    }
}
