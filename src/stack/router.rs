//! Neighbour discovery: routers, and what they say (RFC 4861, sections 6.3 and 8.3; RFC 4191).

use super::Stack;
use crate::{
    frame::TxQueue,
    ip::{Cidr, Origin, Preference, Route},
    ndp::until,
    time::{Duration, Instant},
    wire::{
        ipv6::{MIN_MTU, is_link_local},
        ndp::{NdpOption, Options, RouteInfo, RouterAdvertisement},
    },
};
use core::net::{IpAddr, Ipv6Addr};

/// Routes that routers may advertise together, so that a forged flood leaves room for others.
const MAX_ADVERTISED: usize = 32;
/// Destinations that are redirected at a time; of more, that which ends first makes room.
const MAX_REDIRECTED: usize = 16;
/// How long a redirect holds.
const REDIRECTED: Duration = Duration::from_secs(600);
/// A hop limit that a router may not go below: it would cut us off.
const LEAST_HOP_LIMIT: u8 = 32;
/// RFC 4861, section 6.2.1: an hour at most; and what is sensible for both times at least.
const REACHABLE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(3600));
const RETRANS: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));

impl Stack {
    /// RFC 4861, section 6.3.4; whether it is one.
    pub(super) fn router_advertisement(
        &mut self,
        now: Instant,
        router: Ipv6Addr,
        said: &RouterAdvertisement,
        options: Options<'_>,
        tx: &mut TxQueue,
    ) -> bool {
        // RFC 4861, section 6.1.2.
        if !is_link_local(router) {
            return false;
        }
        if !self.ndp.config.autoconf {
            return true;
        }
        self.stats.router_advertisements += 1;
        if let Some(mac) = options.source() {
            let waiting = self.ip.neighbors.heard(router.into(), mac, now);
            self.ip.release(mac, waiting, tx);
        }
        self.ip.neighbors.is_router(router.into());
        self.link_parameters(said);
        let lifetime = Duration::from_secs(said.lifetime.into());
        let valid_until = now + lifetime;
        let preference = said.preference;
        let default = Route::default_by(router.into(), Origin::Router);
        let mut changed = self.advertised(now, Route { preference, valid_until, ..default });
        if said.lifetime > 0 {
            self.ndp.solicitation.stop();
        }
        for option in options {
            changed |= match option {
                NdpOption::Mtu(mtu) => self.advertised_mtu(mtu),
                NdpOption::Route(route) => self.advertised(now, route_of(router, &route, now)),
                NdpOption::Prefix(info) => {
                    self.autoconfigure(now, &info);
                    let prefix = Cidr::new(info.prefix.into(), info.len);
                    let valid_until = until(now, info.valid);
                    let route = Route { valid_until, ..Route::new(prefix, None, Origin::Router) };
                    // RFC 4861, section 6.3.4: the link-local prefix is ignored.
                    let local = is_link_local(info.prefix) || info.prefix.is_multicast();
                    info.on_link && !local && info.len > 0 && self.advertised(now, route)
                }
                NdpOption::Servers(lifetime, servers) => {
                    let expiry = Some(until(now, lifetime)).filter(|at| *at < Instant::NEVER);
                    for server in servers.iter().map(|server| Ipv6Addr::from(*server)) {
                        if !server.is_multicast() && !server.is_unspecified() {
                            self.dns.advertised(server.into(), expiry, now);
                        }
                    }
                    false
                }
                NdpOption::Source(_) | NdpOption::Target(_) => false,
            };
        }
        if changed {
            self.ip.changed();
        }
        true
    }

    fn link_parameters(&mut self, said: &RouterAdvertisement) {
        if said.hop_limit >= LEAST_HOP_LIMIT {
            self.ip.hop_limit = said.hop_limit;
        }
        if said.reachable > 0 {
            // RFC 4861, section 6.3.2: half of it to one and a half.
            let base = Duration::from_millis(said.reachable.into()).clamp(REACHABLE.0, REACHABLE.1);
            let random = crate::ndp::part_of(base, &mut self.random);
            self.ip.neighbors.reachable6 = base / 2 + random;
        }
        if said.retrans > 0 {
            let retrans = Duration::from_millis(said.retrans.into());
            self.ip.neighbors.retrans6 = retrans.clamp(RETRANS.0, RETRANS.1);
        }
    }

    /// RFC 4861, section 6.3.4: from the least that IPv6 needs to the most that the link carries.
    fn advertised_mtu(&mut self, mtu: u32) -> bool {
        let fits = u16::try_from(mtu).ok().filter(|mtu| (MIN_MTU..=self.ip.mtu).contains(mtu));
        let Some(mtu) = fits.filter(|mtu| *mtu != self.ip.mtu6) else { return false };
        self.ip.mtu6 = mtu;
        true
    }

    /// Takes an advertised route, or ends it when its life is over; whether flows have to find
    /// their way again.
    fn advertised(&mut self, now: Instant, route: Route) -> bool {
        let Route { prefix, via, origin, .. } = route;
        let known = self.ip.routes.iter().find(|known| known.is(prefix, via, origin)).copied();
        if route.valid_until <= now {
            return self.ip.routes.remove(prefix, via, origin);
        }
        let count = self.ip.routes.iter().filter(|r| r.origin == Origin::Router).count();
        if known.is_none() && count >= MAX_ADVERTISED {
            return false;
        }
        let added = self.ip.routes.add(route).is_ok();
        added && known.is_none_or(|known| known.preference != route.preference)
    }

    /// RFC 4861, sections 8.1 and 8.3; whether it is one.
    pub(super) fn redirect(
        &mut self,
        now: Instant,
        router: Ipv6Addr,
        (target, destination): (Ipv6Addr, Ipv6Addr),
        options: Options<'_>,
        tx: &mut TxQueue,
    ) -> bool {
        let sensible = !destination.is_multicast()
            && (is_link_local(target) || target == destination)
            && !self.ip.addresses.is_own(target.into());
        let answers = |router| self.ip.neighbors.answers(router);
        let hop = self.ip.routes.next_hop(destination.into(), answers);
        // Only the router that packets to the destination go by may speak about it.
        if !is_link_local(router) || !sensible || hop != Some(router.into()) {
            return false;
        }
        self.stats.redirects += 1;
        if let Some(mac) = options.target() {
            let waiting = self.ip.neighbors.heard(target.into(), mac, now);
            self.ip.release(mac, waiting, tx);
        }
        let prefix = Cidr::new(destination.into(), 128);
        let via = (target != destination).then_some(IpAddr::V6(target));
        if via.is_some() {
            self.ip.neighbors.is_router(target.into());
        }
        self.ip.routes.retain(|r| r.origin != Origin::Redirect || r.prefix != prefix);
        self.limit_redirected();
        let route = Route {
            valid_until: now + REDIRECTED,
            preference: Preference::High,
            ..Route::new(prefix, via, Origin::Redirect)
        };
        // A full table leaves the way as it was, which works too.
        let _ = self.ip.routes.add(route);
        self.ip.changed();
        true
    }

    fn limit_redirected(&mut self) {
        let redirected = self.ip.routes.iter().filter(|r| r.origin == Origin::Redirect);
        let full = redirected.clone().count() >= MAX_REDIRECTED;
        let first = redirected.min_by_key(|r| r.valid_until).copied();
        if let Some(first) = first.filter(|_| full) {
            self.ip.routes.remove(first.prefix, first.via, first.origin);
        }
    }
}

fn route_of(router: Ipv6Addr, info: &RouteInfo, now: Instant) -> Route {
    Route {
        preference: info.preference,
        valid_until: until(now, info.lifetime),
        ..Route::new(Cidr::new(info.prefix.into(), info.len), Some(router.into()), Origin::Router)
    }
}
