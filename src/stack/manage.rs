//! Addresses, routes and groups, at start and at run time.

use super::{Config, Stack};
use crate::{
    dns::Source,
    ip::{
        Address, AddressState, Cidr, Origin, Pace, Preference, Route, TableError, sort_destinations,
    },
    time::Instant,
    wire::ipv6::{ALL_NODES, solicited_node},
};
use core::net::{IpAddr, Ipv6Addr};

impl Stack {
    pub(super) fn configure(&mut self, config: &Config, now: Instant) {
        self.dns.set(Source::Configured, config.dns.iter().copied());
        if config.dhcp {
            self.start_dhcp(config, now);
        }
        // With DHCP, what is configured for IPv4 is for want of a lease.
        let at_once = |address: &IpAddr| !(config.dhcp && address.is_ipv4());
        for cidr in config.addresses.iter().filter(|cidr| at_once(&cidr.address)) {
            let mut address = Address::new(*cidr, Origin::Static);
            if config.probe_ipv4 && cidr.address.is_ipv4() {
                address.state = AddressState::Tentative;
            }
            if let Err(error) = self.add_address(now, address) {
                log::error!("{cidr}: {error}");
            }
        }
        if config.ipv6.enabled {
            self.start_ipv6(now);
        }
        let gateways = [config.gateway4.map(IpAddr::V4), config.gateway6.map(IpAddr::V6)];
        for gateway in gateways.into_iter().flatten().filter(at_once) {
            let route = Route {
                preference: Preference::High,
                ..Route::default_by(gateway, Origin::Static)
            };
            if let Err(error) = self.add_route(route) {
                log::error!("the gateway {gateway}: {error}");
            }
        }
    }

    /// RFC 4862, section 5.3: the link-local address, and the group of all nodes.
    fn start_ipv6(&mut self, now: Instant) {
        let prefix = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0);
        let Some(address) = self.ndp.identifiers.stable(prefix, 0) else { return };
        let cidr = Cidr::new(address.into(), 64);
        let started = self
            .join_group(now, ALL_NODES.into())
            .and_then(|()| self.add_ipv6(now, Address::new(cidr, Origin::LinkLocal), 0));
        if let Err(error) = started {
            log::error!("{cidr}: {error}");
        }
    }

    /// Adds an address, and the route to its network unless a router decides about that. An IPv6
    /// address, and a tentative one of IPv4, is used when nobody else turned out to have it (RFC
    /// 4862, section 5.4; RFC 5227).
    ///
    /// # Errors
    /// [`TableError`]; nothing changed then.
    pub fn add_address(&mut self, now: Instant, address: Address) -> Result<(), TableError> {
        self.stir();
        match address.cidr.address {
            IpAddr::V6(_) => self.add_ipv6(now, address, 0),
            IpAddr::V4(new) => {
                self.add_to_tables(address)?;
                match address.state {
                    AddressState::Tentative => {
                        let pace = match address.origin {
                            Origin::Dhcp => Pace::Brief,
                            _ => Pace::Thorough,
                        };
                        self.ip.conflicts.probe(new, pace, now, &mut self.random);
                    }
                    _ => self.ip.conflicts.announce(new, now),
                }
                Ok(())
            }
        }
    }

    /// Adds an IPv6 address from `at` on; as many of its kind before it as `failed` were others'.
    pub(super) fn add_ipv6(
        &mut self,
        at: Instant,
        address: Address,
        failed: u8,
    ) -> Result<(), TableError> {
        let IpAddr::V6(v6) = address.cidr.address else { return Err(TableError::Invalid) };
        if let Some(known) = self.ip.addresses.get(v6.into()) {
            // It has its verification behind it, or is in the midst of it.
            let state = known.state;
            return self.add_to_tables(Address { state, ..address });
        }
        self.add_to_tables(Address { state: AddressState::Tentative, ..address })?;
        if let Err(full) = self.join_group(at, solicited_node(v6).into()) {
            self.remove_address(v6.into());
            return Err(full);
        }
        match self.ndp.config.dad_transmits {
            0 => self.verified(at, v6),
            transmits => self.ndp.dad.start(v6, transmits, at.max(self.ndp.begin), failed),
        }
        Ok(())
    }

    fn add_to_tables(&mut self, address: Address) -> Result<(), TableError> {
        self.ip.addresses.add(address)?;
        if let Err(error) = self.find_link_route(&address) {
            self.ip.addresses.remove(address.cidr.address);
            return Err(error);
        }
        self.ip.changed();
        Ok(())
    }

    /// Removes an address, and the route to its network if no other is in it; whether it was ours.
    pub fn remove_address(&mut self, address: IpAddr) -> bool {
        self.stir();
        let Some(removed) = self.ip.addresses.remove(address) else { return false };
        match address {
            IpAddr::V4(address) => self.ip.conflicts.forget(address),
            IpAddr::V6(address) => {
                self.ndp.dad.stop(address);
                self.leave_group(self.ndp.begin, solicited_node(address).into());
            }
        }
        self.tcp.address_removed(address);
        // Of the others in its network one was added before: there is room.
        let _ = self.find_link_route(&removed);
        self.ip.changed();
        true
    }

    /// The route to the network of `address` is that of the address in it that stays longest, of
    /// those of one origin.
    pub(super) fn find_link_route(&mut self, address: &Address) -> Result<(), TableError> {
        let Some(Route { prefix, .. }) = on_link(address) else { return Ok(()) };
        let origin = address.origin;
        let routes = self.ip.addresses.iter().filter_map(on_link);
        let same = routes.filter(|route| route.is(prefix, None, origin));
        match same.max_by_key(|route| route.valid_until) {
            Some(route) => self.ip.routes.add(route),
            None => {
                self.ip.routes.remove(prefix, None, origin);
                Ok(())
            }
        }
    }

    /// Adds a route, or replaces that of the same prefix by the same router from the same origin.
    ///
    /// # Errors
    /// [`TableError`]; nothing changed then.
    pub fn add_route(&mut self, route: Route) -> Result<(), TableError> {
        self.stir();
        self.ip.routes.add(route)?;
        self.ip.changed();
        Ok(())
    }

    /// Removes the route to `prefix` by `via` that `origin` told of; whether it was there.
    pub fn remove_route(&mut self, prefix: Cidr, via: Option<IpAddr>, origin: Origin) -> bool {
        self.stir();
        let removed = self.ip.routes.remove(prefix, via, origin);
        self.ip.changed();
        removed
    }

    /// Our addresses that are in use or on their way to be.
    pub fn addresses(&self) -> impl Iterator<Item = &Address> + Clone {
        self.ip.addresses.iter()
    }

    /// Whether there is an address, or none to wait for: a lease is waited for, and routers where
    /// nothing else gives an address for more than the link.
    pub(crate) fn is_configured(&self) -> bool {
        let usable =
            |a: &Address| a.origin != Origin::LinkLocal && a.state != AddressState::Tentative;
        !self.awaits_lease() && (!self.ndp.config.autoconf || self.addresses().any(usable))
    }

    /// Whether packets wait for a neighbour to be found.
    pub(crate) fn holds_packets(&self) -> bool {
        self.ip.neighbors.holds_packets()
    }

    /// Sorts a peer's addresses: those to be tried first come first.
    pub(crate) fn sort_destinations(&self, addresses: &mut [IpAddr]) {
        sort_destinations(addresses, |to| self.ip.route(to).map(|(source, _)| source));
    }

    /// Whether there are addresses for more than the link, of IPv6 and IPv4; both where there are
    /// none at all.
    pub(crate) fn families(&self) -> (bool, bool) {
        let mut usable = self.addresses().filter(|address| address.origin != Origin::LinkLocal);
        let ipv6 = usable.clone().any(|address| address.cidr.address.is_ipv6());
        let ipv4 = usable.any(|address| address.cidr.address.is_ipv4());
        if ipv6 || ipv4 { (ipv6, ipv4) } else { (true, true) }
    }

    /// The routes, in no order.
    pub fn routes(&self) -> impl Iterator<Item = &Route> {
        self.ip.routes.iter()
    }

    /// Receives packets to `group` from now on; each join needs a leave.
    ///
    /// # Errors
    /// [`TableError`] when it is no group, or there are too many.
    pub fn join_group(&mut self, now: Instant, group: IpAddr) -> Result<(), TableError> {
        self.stir();
        if self.ip.groups.join(group)? {
            self.group_changed(now, group, true);
        }
        Ok(())
    }

    /// Takes one join back.
    pub fn leave_group(&mut self, now: Instant, group: IpAddr) {
        self.stir();
        if self.ip.groups.leave(group) {
            self.group_changed(now, group, false);
        }
    }

    fn group_changed(&mut self, now: Instant, group: IpAddr, joined: bool) {
        match group {
            IpAddr::V4(_) => self.groups4.changed(group, joined, now),
            IpAddr::V6(_) => self.groups6.changed(group, joined, now.max(self.ndp.begin)),
        }
    }

    /// Drops addresses and routes whose life is over.
    pub(super) fn expire(&mut self, now: Instant) {
        while let Some(address) = self.ip.addresses.expire(now) {
            log::info!("{}: its life is over", address.cidr);
            self.remove_address(address.cidr.address);
        }
        if self.ip.routes.expire(now) {
            self.ip.changed();
        }
    }
}

/// The route to an address's neighbours. RFC 5942, section 4: an address from a router says
/// nothing about who is a neighbour.
fn on_link(address: &Address) -> Option<Route> {
    let whole = if address.cidr.address.is_ipv4() { 32 } else { 128 };
    let advertised = matches!(address.origin, Origin::Router | Origin::Temporary);
    let usual = address.cidr.prefix < whole && !advertised;
    usual.then(|| Route {
        valid_until: address.valid_until,
        ..Route::new(address.cidr.network(), None, address.origin)
    })
}
