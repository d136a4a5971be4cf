//! Neighbour discovery: neighbours and duplicates (RFC 4861, section 7; RFC 4862, section 5.4).

use super::Stack;
use crate::{
    frame::{Chain, TxQueue},
    ip::{
        Address, AddressState, Flow, Network, Origin, Outgoing, Output, group_mac,
        icmpv6::Message as Icmpv6,
    },
    ndp::Due,
    neighbor::Advertised,
    time::{Duration, Instant},
    wire::{
        icmpv6::{self, kind, pseudo_header},
        ipv6::{self, ALL_NODES, ALL_ROUTERS, solicited_node},
        ndp::{HOP_LIMIT, Message, Options, flag, link_address},
    },
};
use core::net::{IpAddr, Ipv6Addr};

/// RFC 7217, section 7: addresses that are tried when others have them, and the time between.
const IDGEN_RETRIES: u8 = 3;
const IDGEN_DELAY: Duration = Duration::from_secs(1);

impl Stack {
    pub(super) fn ndp(
        &mut self,
        now: Instant,
        ip: &ipv6::Header,
        message: &mut Chain,
        tx: &mut TxQueue,
    ) {
        // RFC 4861, sections 6.1, 7.1 and 8.1: a router would have lowered it, so the sender is on
        // our link.
        if ip.hop_limit != HOP_LIMIT {
            self.stats.dropped_ndp_hop_limit += 1;
            return;
        }
        let whole = message.pull_up(message.len(), &self.ip.pool);
        let bytes = message.first();
        let parsed = Some(bytes).filter(|bytes| whole && bytes.get(1) == Some(&0));
        let taken = match parsed.and_then(Message::parse) {
            None => false,
            // For routers.
            Some((Message::RouterSolicitation, _)) => true,
            Some((Message::RouterAdvertisement(router), options)) => {
                self.router_advertisement(now, ip.src, &router, options, tx)
            }
            Some((Message::NeighborSolicitation { target }, options)) => {
                self.neighbor_solicitation(now, ip, target, options, tx)
            }
            Some((Message::NeighborAdvertisement { flags, target }, options)) => {
                self.neighbor_advertisement(now, ip, (flags, target), options, tx)
            }
            Some((Message::Redirect { target, destination }, options)) => {
                self.redirect(now, ip.src, (target, destination), options, tx)
            }
        };
        if !taken {
            self.stats.dropped_ndp += 1;
        }
    }

    /// RFC 4861, sections 7.1.1 and 7.2.3.
    fn neighbor_solicitation(
        &mut self,
        now: Instant,
        ip: &ipv6::Header,
        target: Ipv6Addr,
        options: Options<'_>,
        tx: &mut TxQueue,
    ) -> bool {
        let probe = ip.src.is_unspecified();
        let mac = options.source();
        let valid = !probe || (ip.dst == solicited_node(target) && mac.is_none());
        if target.is_multicast() || !valid {
            return false;
        }
        let Some(address) = self.ip.addresses.get(target.into()) else {
            // Another's, whose group has the same address.
            return true;
        };
        if !address.is_verified() && probe {
            // RFC 4862, section 5.4.3: somebody else is verifying the same address.
            self.duplicate(now, target);
            return true;
        }
        // RFC 4429, section 3.2: a neighbour that knows another host by this address keeps it.
        let replaces = match address.state {
            AddressState::Tentative => return true,
            AddressState::Optimistic => 0,
            AddressState::Preferred | AddressState::Deprecated => flag::OVERRIDE,
        };
        if let Some(mac) = mac {
            let waiting = self.ip.neighbors.heard(ip.src.into(), mac, now);
            self.ip.release(mac, waiting, tx);
        }
        // RFC 4861, section 7.2.4.
        let (to, flags) = match probe {
            true => (ALL_NODES, replaces),
            false => (ip.src, replaces | flag::SOLICITED),
        };
        let known = if probe { Some(group_mac(ALL_NODES.into())) } else { mac };
        self.advertise(now, target, to, flags, known, tx);
        true
    }

    /// Sends a neighbour advertisement: to the hardware address that the question named, without
    /// the probes that a look-up would bring.
    fn advertise(
        &mut self,
        now: Instant,
        target: Ipv6Addr,
        dst: Ipv6Addr,
        flags: u8,
        mac: Option<crate::wire::MacAddr>,
        tx: &mut TxQueue,
    ) {
        let option = link_address(2, self.ip.mac);
        let rest = u32::from(flags) << 24;
        let (kind, src) = (kind::NEIGHBOR_ADVERTISEMENT, target);
        if let Some(mac) = mac {
            let body: &[&[u8]] = &[&target.octets(), &option];
            let message =
                Icmpv6 { src, dst, hop_limit: HOP_LIMIT, router_alert: false, kind, rest, body };
            self.ip.send_icmpv6(mac, &message, tx);
            return;
        }
        let Some(mut head) = self.ip.pool.alloc_reserved() else {
            self.ip.stats.no_buffer += 1;
            return;
        };
        let mut bytes = [0; 32];
        bytes[0] = kind;
        bytes[4] = flags;
        bytes[8..24].copy_from_slice(&target.octets());
        bytes[24..].copy_from_slice(&option);
        let mut sum = pseudo_header(src, dst, bytes.len());
        sum.add(&bytes);
        bytes[2..4].copy_from_slice(&sum.finish().to_be_bytes());
        head.append(bytes.len()).copy_from_slice(&bytes);
        let how = Outgoing {
            dont_fragment: true,
            hop_limit: Some(HOP_LIMIT),
            ..Outgoing::usual(icmpv6::PROTOCOL)
        };
        let mut flow = Flow::new(src.into(), dst.into());
        // One that finds no room is lost like any other packet.
        let _ = Output { ip: &mut self.ip, tx, now }.transmit(&mut flow, how, head, 0, []);
    }

    /// RFC 4861, sections 7.1.2 and 7.2.5.
    fn neighbor_advertisement(
        &mut self,
        now: Instant,
        ip: &ipv6::Header,
        (flags, target): (u8, Ipv6Addr),
        options: Options<'_>,
        tx: &mut TxQueue,
    ) -> bool {
        let solicited = flags & flag::SOLICITED != 0;
        if target.is_multicast() || (ip.dst.is_multicast() && solicited) {
            return false;
        }
        if let Some(address) = self.ip.addresses.get(target.into()) {
            // RFC 4862, section 5.4.4.
            match address.is_verified() {
                true => self.stats.address_conflicts += 1,
                false => self.duplicate(now, target),
            }
            return true;
        }
        let told = Advertised {
            mac: options.target(),
            solicited,
            replaces: flags & flag::OVERRIDE != 0,
            is_router: flags & flag::ROUTER != 0,
        };
        let (mac, waiting, ceased) = self.ip.neighbors.advertised(target.into(), told, now);
        if let Some(mac) = mac {
            self.ip.release(mac, waiting, tx);
        }
        let via = Some(target.into());
        if ceased && self.ip.routes.retain(|r| r.via != via || r.origin == Origin::Static) {
            self.ip.changed();
        }
        true
    }

    /// Somebody else has `address`. RFC 4862, section 5.4.5: it is not used; RFC 7217, section 6:
    /// another is tried where we make them.
    fn duplicate(&mut self, now: Instant, address: Ipv6Addr) {
        self.stats.dad_duplicates += 1;
        let failed = self.ndp.dad.stop(address).unwrap_or(0) + 1;
        let Some(known) = self.ip.addresses.get(address.into()).copied() else { return };
        self.remove_address(address.into());
        log::error!("{address}: another host on the link has this address; it is not used");
        if known.origin == Origin::Static || failed > IDGEN_RETRIES {
            return;
        }
        let next = match known.origin {
            Origin::Temporary => Some(crate::ndp::temporary(address, &mut self.random)),
            _ => self.ndp.identifiers.stable(address, failed),
        };
        if let Some(next) = next {
            let address =
                Address { cidr: crate::ip::Cidr { address: next.into(), ..known.cidr }, ..known };
            if self.add_ipv6(now + IDGEN_DELAY, address, failed).is_err() {
                log::error!("{next}: no room for this address");
            }
        }
    }

    /// What is due by its time: verification, asking for routers.
    pub(super) fn ndp_poll(&mut self, now: Instant, tx: &mut TxQueue) {
        if self.ndp.poll_at().is_none_or(|at| at > now) {
            return;
        }
        while let Some(due) = self.ndp.dad.poll(now, self.ip.neighbors.retrans6) {
            match due {
                Due::Solicit(target) => {
                    let group = solicited_node(target);
                    let mac = group_mac(group.into());
                    let src = Ipv6Addr::UNSPECIFIED;
                    self.ip.send_solicitation(mac, src, group, target, tx);
                    if self.ndp.config.optimistic {
                        self.use_unverified(target);
                    }
                }
                Due::Unique(address) => self.verified(now, address),
            }
        }
        if self.ndp.solicitation.poll(now, &mut self.random) {
            self.solicit_routers(tx);
        }
        self.refresh_temporary(now);
    }

    /// RFC 4429, section 3.3: once it has been asked who has it, `address` is used.
    fn use_unverified(&mut self, address: Ipv6Addr) {
        self.ip.addresses.update(address.into(), |known| {
            if known.state == AddressState::Tentative {
                known.state = AddressState::Optimistic;
            }
        });
        self.ip.changed();
    }

    /// `address` is ours alone.
    pub(super) fn verified(&mut self, now: Instant, address: Ipv6Addr) {
        let mut origin = Origin::Static;
        self.ip.addresses.update(address.into(), |known| {
            origin = known.origin;
            let deprecated = known.preferred_until <= now;
            known.state =
                if deprecated { AddressState::Deprecated } else { AddressState::Preferred };
        });
        self.ip.changed();
        log::info!("{address} is in use");
        if origin == Origin::LinkLocal && self.ndp.config.autoconf {
            self.ndp.solicitation.start(now);
        }
    }

    /// RFC 4861, section 6.3.7.
    fn solicit_routers(&mut self, tx: &mut TxQueue) {
        let Some(src) = self.link_local() else { return };
        let option = link_address(1, self.ip.mac);
        let message = Icmpv6 {
            src,
            dst: ALL_ROUTERS,
            hop_limit: HOP_LIMIT,
            router_alert: false,
            kind: kind::ROUTER_SOLICITATION,
            rest: 0,
            body: &[&option],
        };
        self.ip.send_icmpv6(group_mac(ALL_ROUTERS.into()), &message, tx);
    }

    /// Our address for the link, once it is verified.
    pub(super) fn link_local(&self) -> Option<Ipv6Addr> {
        self.ip.addresses.iter().find_map(|a| match a.cidr.address {
            IpAddr::V6(address) if ipv6::is_link_local(address) && a.is_verified() => Some(address),
            _ => None,
        })
    }
}
