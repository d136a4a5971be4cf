//! The DHCP client of a stack: what it decides is done here.

use super::{Config, Stack};
use crate::{
    dhcp::{Action, CLIENT_PORT, Client, Destination, Lease, SERVER_PORT, Stats},
    dns::Source,
    frame::{Chain, TxQueue},
    ip::{Address, AddressState, Cidr, Flow, Network, Origin, Outgoing, Output, Route},
    time::{Duration, Instant},
    udp::UdpId,
    wire::{MacAddr, checksum::Checksum, ipv4, udp},
};
use alloc::{boxed::Box, vec::Vec};
use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use rand_core::RngCore;
use zerocopy::{IntoBytes, network_endian::U16};

/// How long servers are waited for before the static addresses are used.
const FALL_BACK: Duration = Duration::from_secs(10);

/// The client and what it is occupied with.
pub(super) struct Dhcp {
    client: Client,
    socket: UdpId,
    /// The address that is being checked.
    checked: Option<Ipv4Addr>,
    /// Whether a lease is in use.
    bound: bool,
    /// The link's own MTU.
    mtu: u16,
    fall_back: FallBack,
}

/// The static addresses, for want of a lease.
struct FallBack {
    addresses: Vec<Cidr>,
    gateway: Option<Ipv4Addr>,
    /// When they are used, unless a lease comes first.
    at: Option<Instant>,
    used: bool,
}

impl FallBack {
    fn arm(&mut self, now: Instant) {
        self.at = (!self.addresses.is_empty()).then_some(now + FALL_BACK);
    }
}

impl Stack {
    /// Begins to look for an address; those of `config` are for want of one.
    pub(super) fn start_dhcp(&mut self, config: &Config, now: Instant) {
        let any = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), CLIENT_PORT);
        // Nobody can have opened one before.
        let Ok(socket) = self.udp.bind(any) else { return };
        let addresses: Vec<Cidr> =
            config.addresses.iter().copied().filter(|cidr| cidr.address.is_ipv4()).collect();
        let mut fall_back = FallBack { addresses, gateway: config.gateway4, at: None, used: false };
        fall_back.arm(now);
        let seed = [self.random.next_u64(), self.random.next_u64()];
        let client = Client::new(self.ip.mac, seed, now);
        let mtu = self.ip.mtu;
        self.dhcp =
            Some(Box::new(Dhcp { client, socket, checked: None, bound: false, mtu, fall_back }));
    }

    /// Whether a lease, or what stands in for it, is waited for.
    pub(super) fn awaits_lease(&self) -> bool {
        self.dhcp.as_ref().is_some_and(|dhcp| !dhcp.bound && !dhcp.fall_back.used)
    }

    /// The lease in use.
    pub fn lease(&self) -> Option<&Lease> {
        self.dhcp.as_ref()?.client.lease()
    }

    /// Gives the lease back, for the end of the service; whether there was one.
    pub(crate) fn release_lease(&mut self, now: Instant, tx: &mut TxQueue) -> bool {
        let Some(dhcp) = &mut self.dhcp else { return false };
        if dhcp.client.lease().is_none() {
            return false;
        }
        dhcp.client.release(now);
        self.poll_dhcp(now, tx);
        true
    }

    pub(super) fn dhcp_stats(&self) -> &Stats {
        self.dhcp.as_ref().map_or(&Stats::NONE, |dhcp| dhcp.client.stats())
    }

    pub(super) fn dhcp_poll_at(&self) -> Option<Instant> {
        let dhcp = self.dhcp.as_ref()?;
        let unsettled = self.unsettled(dhcp).map(|_| Instant::ZERO);
        [dhcp.client.poll_at(), dhcp.fall_back.at, unsettled].into_iter().flatten().min()
    }

    /// Whether a packet to an address that is not ours is a server's message to us: servers send
    /// to the address that they are about to lease (RFC 2131, section 4.1).
    pub(super) fn is_for_dhcp(
        &self,
        to: MacAddr,
        header: &ipv4::Header,
        packet: &mut Chain,
    ) -> bool {
        let ports = header.header_len..header.header_len + 4;
        self.dhcp.as_ref().is_some_and(|dhcp| dhcp.client.lease().is_none())
            && to.is_unicast()
            && header.protocol == udp::PROTOCOL
            && packet.pull_up(ports.end, &self.ip.pool)
            && packet.first()[ports][2..] == CLIENT_PORT.to_be_bytes()
    }

    /// Nobody else was found to use `address`.
    pub(super) fn dhcp_verified(&mut self, now: Instant, address: Ipv4Addr) {
        if let Some(dhcp) = self.dhcp.as_mut().filter(|dhcp| dhcp.checked == Some(address)) {
            dhcp.checked = None;
            dhcp.client.checked(now, false);
        }
    }

    /// Another host uses `address`, which was given up.
    pub(super) fn dhcp_conflict(&mut self, now: Instant, address: Ipv4Addr) {
        let Some(dhcp) = &mut self.dhcp else { return };
        if dhcp.checked == Some(address) {
            dhcp.checked = None;
            dhcp.client.checked(now, true);
        } else if dhcp.client.lease().is_some_and(|lease| lease.ip() == address) {
            dhcp.client.conflict(now);
        }
    }

    pub(super) fn poll_dhcp(&mut self, now: Instant, tx: &mut TxQueue) {
        let Some(mut dhcp) = self.dhcp.take() else { return };
        self.settle_check(&mut dhcp, now);
        while let Ok(Some(datagram)) = self.udp.recv(dhcp.socket) {
            if datagram.from.port() == SERVER_PORT {
                dhcp.client.receive(now, &datagram.data.to_vec());
            }
        }
        while let Some(action) = dhcp.client.poll(now) {
            match action {
                Action::Send(to, message) => self.send_dhcp(now, tx, to, &message),
                Action::Check(lease) => {
                    dhcp.checked = Some(lease.ip());
                    if let Some(taken) = self.verify_lease(now, &lease) {
                        dhcp.checked = None;
                        dhcp.client.checked(now, taken);
                    }
                }
                Action::Bind(lease) => self.bind_lease(&mut dhcp, &lease),
                Action::Unbind(address) => self.unbind_lease(&mut dhcp, now, address),
            }
        }
        if dhcp.fall_back.at.is_some_and(|at| at <= now) {
            self.fall_back(&mut dhcp.fall_back, now);
        }
        self.dhcp = Some(dhcp);
    }

    /// Ends a check that nothing will end any more: the address went, as its lease is so short, or
    /// it is ours by other means.
    fn settle_check(&self, dhcp: &mut Dhcp, now: Instant) {
        if let Some(taken) = self.unsettled(dhcp) {
            dhcp.checked = None;
            dhcp.client.checked(now, taken);
        }
    }

    /// Whether the address that is being checked cannot be had, once nothing checks it any more.
    fn unsettled(&self, dhcp: &Dhcp) -> Option<bool> {
        let state = self.ip.addresses.get(dhcp.checked?.into()).map(|known| known.state);
        (state != Some(AddressState::Tentative)).then_some(state.is_none())
    }

    /// Begins to find out whether another host has the address, unless that is known.
    fn verify_lease(&mut self, now: Instant, lease: &Lease) -> Option<bool> {
        if self.ip.addresses.is_own(lease.ip().into()) {
            return Some(false);
        }
        let mut address = Address::new(lease.address, Origin::Dhcp).until(lease.expiry);
        address.state = AddressState::Tentative;
        self.add_address(now, address).err().map(|error| {
            log::error!("{}: {error}", lease.address);
            true
        })
    }

    fn bind_lease(&mut self, dhcp: &mut Dhcp, lease: &Lease) {
        if core::mem::take(&mut dhcp.fall_back.used) {
            let other = |cidr: &&Cidr| cidr.address != IpAddr::V4(lease.ip());
            dhcp.fall_back.addresses.iter().filter(other).for_each(|cidr| {
                self.remove_address(cidr.address);
            });
            self.remove_routes(Origin::Static);
        }
        dhcp.fall_back.at = None;
        match dhcp.bound {
            false => log::info!("{}: leased by {}", lease.address, lease.server),
            true => log::debug!("{}: the lease was extended", lease.address),
        }
        dhcp.bound = true;
        self.remove_routes(Origin::Dhcp);
        // It is there since it was verified.
        let address = Address::new(lease.address, Origin::Dhcp).until(lease.expiry);
        self.ip.addresses.update(lease.ip().into(), |known| *known = address);
        if let Err(error) = self.find_link_route(&address) {
            log::warn!("the route to the neighbours of {}: {error}", lease.address);
        }
        for route in &lease.routes {
            if let Err(error) = self.add_route(*route) {
                log::warn!("the route to {} of the lease: {error}", route.prefix);
            }
        }
        self.dns.set(Source::Dhcp, lease.dns.iter().copied().map(IpAddr::V4));
        self.ip.mtu = lease.mtu.map_or(dhcp.mtu, |mtu| mtu.min(dhcp.mtu));
        self.ip.changed();
    }

    fn unbind_lease(&mut self, dhcp: &mut Dhcp, now: Instant, address: Ipv4Addr) {
        log::warn!("{address}: the lease has ended, and the address with it");
        dhcp.bound = false;
        self.remove_routes(Origin::Dhcp);
        self.remove_address(address.into());
        self.dns.set(Source::Dhcp, []);
        self.ip.mtu = dhcp.mtu;
        dhcp.fall_back.arm(now);
    }

    fn fall_back(&mut self, to: &mut FallBack, now: Instant) {
        (to.at, to.used) = (None, true);
        for cidr in &to.addresses {
            log::warn!("no DHCP server has answered; {cidr} is used until one does");
            if let Err(error) = self.add_address(now, Address::new(*cidr, Origin::Static)) {
                log::error!("{cidr}: {error}");
            }
        }
        if let Some(gateway) = to.gateway
            && let Err(error) = self.add_route(Route::default_by(gateway.into(), Origin::Static))
        {
            log::error!("the gateway {gateway}: {error}");
        }
    }

    fn remove_routes(&mut self, origin: Origin) {
        let ours = |route: &Route| route.prefix.address.is_ipv4() && route.origin == origin;
        if self.ip.routes.retain(|route| !ours(route)) {
            self.ip.changed();
        }
    }

    fn send_dhcp(&mut self, now: Instant, tx: &mut TxQueue, to: Destination, message: &[u8]) {
        let (from, to) = match to {
            Destination::Broadcast { from } => (from, Ipv4Addr::BROADCAST),
            Destination::Unicast { from, to } => (from, to),
        };
        let mut net = Output { ip: &mut self.ip, tx, now };
        let Some(mut head) = net.pool().alloc_reserved() else {
            net.ip.stats.no_buffer += 1;
            return;
        };
        let len = udp::HEADER_LEN + message.len();
        let mut header = udp::Header {
            src_port: U16::new(CLIENT_PORT),
            dst_port: U16::new(SERVER_PORT),
            len: U16::new(len as u16),
            checksum: U16::ZERO,
        };
        let mut sum = Checksum::pseudo_header(from.into(), to.into(), udp::PROTOCOL, len);
        sum.add(header.as_bytes());
        sum.add(message);
        header.checksum = U16::new(match sum.finish() {
            0 => 0xffff,
            sum => sum,
        });
        head.append(udp::HEADER_LEN).copy_from_slice(header.as_bytes());
        head.append(message.len()).copy_from_slice(message);
        let how = Outgoing::usual(udp::PROTOCOL);
        // What is not sent is sent again.
        let _ = net.transmit(&mut Flow::new(from.into(), to.into()), how, head, 0, []);
    }
}
