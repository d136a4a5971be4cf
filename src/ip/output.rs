//! Sending: the [`Network`] that transports build on.

use super::{
    Addresses, Flow, Groups, Network, Outgoing, Path, Routes, SendError, Unreachable,
    groups::group_mac, select,
};
use crate::{
    PacketBuf, Pool, Slice,
    frame::{Offloads, PartialCsum, TxMeta, TxQueue},
    neighbor::{Lookup, Neighbors, Pending, Solicit},
    time::Instant,
    wire::{
        MacAddr,
        arp::{Arp, Operation},
        ethernet::{self, EtherType},
        ipv4, ipv6,
    },
};
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use zerocopy::IntoBytes;

/// Frames that may wait for the device; beyond them transports wait.
const QUEUE: usize = 512;
/// Time to live, and hop limit until a router advertises another (RFC 1700).
const HOP_LIMIT: u8 = 64;

/// What the internet layer keeps.
pub(crate) struct Ip {
    pub(crate) mac: MacAddr,
    /// Largest packet on the link.
    pub(crate) mtu: u16,
    /// The same for IPv6: routers may advertise a smaller one.
    pub(crate) mtu6: u16,
    /// Hop limit of IPv6 packets: routers may advertise it (RFC 4861, section 6.3.4).
    pub(crate) hop_limit: u8,
    pub(crate) offloads: Offloads,
    pub(crate) pool: Pool,
    pub(crate) addresses: Addresses,
    pub(crate) routes: Routes,
    pub(crate) groups: Groups,
    /// IPv4 addresses to announce (RFC 5227, section 2.3).
    pub(crate) unannounced: Vec<Ipv4Addr>,
    pub(crate) neighbors: Neighbors,
    pub(crate) stats: Stats,
    ident: u16,
}

/// Counters of what is sent.
#[derive(Debug, Default)]
pub(crate) struct Stats {
    pub(crate) sent: u64,
    pub(crate) no_route: u64,
    pub(crate) no_buffer: u64,
    pub(crate) too_big: u64,
    pub(crate) neighbor_lost: u64,
}

impl Ip {
    pub(crate) fn new(mac: MacAddr, mtu: u16, offloads: Offloads, pool: Pool, ident: u16) -> Ip {
        Ip {
            mac,
            mtu,
            mtu6: mtu,
            hop_limit: HOP_LIMIT,
            offloads,
            pool,
            addresses: Addresses::default(),
            routes: Routes::default(),
            groups: Groups::default(),
            unannounced: Vec::new(),
            neighbors: Neighbors::default(),
            stats: Stats::default(),
            ident,
        }
    }

    /// Source address and next hop for `remote`.
    pub(crate) fn route(&self, remote: IpAddr) -> Option<(IpAddr, IpAddr)> {
        let hop = match remote {
            IpAddr::V4(a) if self.addresses.is_broadcast(a) => remote,
            _ if remote.is_multicast() => remote,
            _ => self.routes.next_hop(remote, |router| self.neighbors.answers(router))?,
        };
        let source = match (remote, hop) {
            (IpAddr::V6(remote), _) => select::source6(self.addresses.iter(), remote)?.into(),
            (IpAddr::V4(_), IpAddr::V4(hop)) => self.addresses.source4(hop)?.into(),
            (IpAddr::V4(_), IpAddr::V6(_)) => return None,
        };
        Some((source, hop))
    }

    /// Largest packet that is known to reach `remote`.
    pub(crate) fn path_mtu(&self, remote: IpAddr) -> u16 {
        self.link_mtu(remote.is_ipv4())
    }

    #[inline]
    fn link_mtu(&self, ipv4: bool) -> u16 {
        if ipv4 { self.mtu } else { self.mtu6 }
    }

    /// Addresses, routes or path MTUs changed: flows find their way again.
    pub(crate) fn changed(&mut self) {
        self.neighbors.invalidate();
    }

    /// Sends an ARP packet.
    pub(crate) fn send_arp(&mut self, to: MacAddr, arp: &Arp, tx: &mut TxQueue) {
        let Some(mut buf) = self.pool.alloc_reserved() else {
            self.stats.no_buffer += 1;
            return;
        };
        buf.append(crate::wire::arp::LEN).copy_from_slice(&arp.encode());
        self.frame(to, EtherType::Arp, TxMeta::default(), buf, [], tx);
    }

    /// Announces our addresses (RFC 5227, section 2.3).
    pub(crate) fn announce(&mut self, tx: &mut TxQueue) {
        while let Some(address) = self.unannounced.pop() {
            let arp = Arp {
                operation: Operation::Request,
                sender_mac: self.mac,
                sender: address,
                target_mac: MacAddr::default(),
                target: address,
            };
            self.send_arp(MacAddr::BROADCAST, &arp, tx);
        }
    }

    pub(crate) fn solicit(&mut self, solicit: Solicit, tx: &mut TxQueue) {
        let IpAddr::V4(target) = solicit.target else { return };
        let Some(sender) = self.addresses.source4(target) else { return };
        let target_mac = solicit.to.unwrap_or_default();
        let operation = Operation::Request;
        let arp = Arp { operation, sender_mac: self.mac, sender, target_mac, target };
        self.send_arp(solicit.to.unwrap_or(MacAddr::BROADCAST), &arp, tx);
    }

    /// Puts the Ethernet header in front and queues the frame.
    fn frame(
        &mut self,
        to: MacAddr,
        ethertype: EtherType,
        meta: TxMeta,
        mut head: PacketBuf,
        rest: impl IntoIterator<Item = Slice>,
        tx: &mut TxQueue,
    ) {
        let header = ethernet::Header::new(to, self.mac, ethertype);
        head.prepend(ethernet::HEADER_LEN).copy_from_slice(header.as_bytes());
        self.stats.sent += 1;
        tx.push(meta, head.freeze(), rest);
    }

    /// A neighbour became known: sends what waited for it.
    pub(crate) fn release(&mut self, mac: MacAddr, waiting: Vec<Pending>, tx: &mut TxQueue) {
        for packet in waiting {
            let ipv6 = packet.head.first().is_some_and(|byte| byte >> 4 == 6);
            let ethertype = if ipv6 { EtherType::Ipv6 } else { EtherType::Ipv4 };
            self.frame(mac, ethertype, packet.meta, packet.head, packet.rest, tx);
        }
    }

    /// Asks for neighbours that are due.
    pub(crate) fn poll(&mut self, now: Instant, tx: &mut TxQueue) {
        let mut ask = Vec::new();
        self.announce(tx);
        for (neighbor, packets) in self.neighbors.poll(now, &mut ask) {
            self.stats.neighbor_lost += packets as u64;
            self.routes.router_lost(neighbor);
        }
        ask.into_iter().for_each(|solicit| self.solicit(solicit, tx));
    }
}

/// One round of sending.
pub(crate) struct Output<'a> {
    pub(crate) ip: &'a mut Ip,
    pub(crate) tx: &'a mut TxQueue,
    pub(crate) now: Instant,
}

impl Output<'_> {
    /// Writes the IP header of a packet with `len` bytes behind it.
    #[inline]
    fn write_header(&mut self, flow: &Flow, how: &Outgoing, len: usize, bytes: &mut [u8]) {
        match (flow.local, flow.remote) {
            (IpAddr::V4(src), IpAddr::V4(dst)) => {
                let header = self.header4((src, dst), how, len).encode();
                bytes[..ipv4::HEADER_LEN].copy_from_slice(&header);
            }
            (IpAddr::V6(src), IpAddr::V6(dst)) => {
                let hop_limit = how.hop_limit.unwrap_or(self.ip.hop_limit);
                let header = header6((src, dst), how, hop_limit, len).encode();
                bytes[..ipv6::HEADER_LEN].copy_from_slice(&header);
            }
            // Refused before.
            _ => {}
        }
    }

    fn header4(
        &mut self,
        (src, dst): (Ipv4Addr, Ipv4Addr),
        how: &Outgoing,
        len: usize,
    ) -> ipv4::Header {
        // RFC 6864, section 4.1: the identification of an atomic datagram may be anything; that
        // of others must not repeat soon.
        self.ip.ident = self.ip.ident.wrapping_add(1);
        ipv4::Header {
            header_len: ipv4::HEADER_LEN,
            total_len: ipv4::HEADER_LEN + len,
            tos: how.ecn as u8,
            ident: self.ip.ident,
            dont_fragment: how.dont_fragment,
            more_fragments: false,
            fragment_offset: 0,
            ttl: how.hop_limit.unwrap_or(HOP_LIMIT),
            protocol: how.protocol,
            src,
            dst,
        }
    }

    /// The hardware address of the next hop, or a verdict.
    fn resolve(&mut self, flow: &mut Flow) -> Result<Result<MacAddr, IpAddr>, SendError> {
        if let Some(mac) = self.ip.neighbors.cached(flow.cache, self.now) {
            return Ok(Ok(mac));
        }
        if !flow.local.is_unspecified() && !self.ip.addresses.is_own(flow.local) {
            // The address has gone since.
            self.ip.stats.no_route += 1;
            return Err(SendError::Unreachable);
        }
        if flow.remote.is_multicast() {
            return Ok(Ok(group_mac(flow.remote)));
        }
        if let IpAddr::V4(remote) = flow.remote
            && self.ip.addresses.is_broadcast(remote)
        {
            return Ok(Ok(MacAddr::BROADCAST));
        }
        let answers = |router| self.ip.neighbors.answers(router);
        let Some(hop) = self.ip.routes.next_hop(flow.remote, answers) else {
            self.ip.stats.no_route += 1;
            return Err(SendError::Unreachable);
        };
        let (lookup, cache) = self.ip.neighbors.lookup(hop, self.now);
        flow.cache = cache;
        let (found, solicit) = match lookup {
            Lookup::Known(mac, solicit) => (Ok(mac), solicit),
            Lookup::Unknown(solicit) => (Err(hop), solicit),
        };
        if let Some(solicit) = solicit {
            self.ip.solicit(solicit, self.tx);
        }
        Ok(found)
    }
}

impl Network for Output<'_> {
    fn now(&self) -> Instant {
        self.now
    }

    fn offloads(&self) -> Offloads {
        self.ip.offloads
    }

    fn pool(&self) -> &Pool {
        &self.ip.pool
    }

    fn room(&self) -> usize {
        QUEUE.saturating_sub(self.tx.len())
    }

    fn path(&self, local: Option<IpAddr>, remote: IpAddr) -> Result<Path, Unreachable> {
        let (own, _) = self.ip.route(remote).ok_or(Unreachable)?;
        let local = local.filter(|local| self.ip.addresses.is_own(*local)).unwrap_or(own);
        Ok(Path { local, mtu: self.ip.path_mtu(remote) })
    }

    fn transmit(
        &mut self,
        flow: &mut Flow,
        how: Outgoing,
        mut head: PacketBuf,
        payload: impl IntoIterator<Item = Slice>,
    ) -> Result<(), SendError> {
        if self.room() == 0 {
            return Err(SendError::Full);
        }
        let (ethertype, ip_len) = match (flow.local, flow.remote) {
            (IpAddr::V4(_), IpAddr::V4(_)) => (EtherType::Ipv4, ipv4::HEADER_LEN),
            (IpAddr::V6(_), IpAddr::V6(_)) => (EtherType::Ipv6, ipv6::HEADER_LEN),
            _ => {
                self.ip.stats.no_route += 1;
                return Err(SendError::Unreachable);
            }
        };
        let hop = self.resolve(flow)?;
        let mtu = self.ip.link_mtu(ethertype == EtherType::Ipv4);
        let most = if how.gso.is_some() { usize::MAX } else { usize::from(mtu) - ip_len };
        let mut meta = TxMeta { csum: None, gso: how.gso };
        if let Some(offset) = how.csum_offset {
            meta.csum = Some(PartialCsum { start: (ethernet::HEADER_LEN + ip_len) as u16, offset });
        }
        // The payload's length is not known before it is walked; the header is written last.
        let mut len = head.len();
        head.prepend(ip_len);
        match hop {
            Ok(mac) => {
                head.prepend(ethernet::HEADER_LEN);
                let header = ethernet::Header::new(mac, self.ip.mac, ethertype);
                head[..ethernet::HEADER_LEN].copy_from_slice(header.as_bytes());
                self.tx.begin_headless();
                for slice in payload {
                    len += slice.len();
                    self.tx.add(slice);
                }
                if len > most {
                    self.tx.abandon();
                    self.ip.stats.too_big += 1;
                    return Err(SendError::TooBig(mtu));
                }
                self.write_header(flow, &how, len, &mut head[ethernet::HEADER_LEN..]);
                self.ip.stats.sent += 1;
                self.tx.finish_with(meta, head.freeze());
            }
            Err(hop) => {
                let rest: Vec<Slice> = payload.into_iter().collect();
                len += rest.iter().map(|slice| slice.len()).sum::<usize>();
                if len > most {
                    self.ip.stats.too_big += 1;
                    return Err(SendError::TooBig(mtu));
                }
                self.write_header(flow, &how, len, &mut head);
                if !self.ip.neighbors.wait(hop, Pending { meta, head, rest }) {
                    self.ip.stats.neighbor_lost += 1;
                }
            }
        }
        Ok(())
    }

    fn confirm(&mut self, flow: &Flow) {
        self.ip.neighbors.confirm(flow.cache, self.now);
    }
}

fn header6(
    (src, dst): (Ipv6Addr, Ipv6Addr),
    how: &Outgoing,
    hop_limit: u8,
    len: usize,
) -> ipv6::Header {
    ipv6::Header {
        traffic_class: how.ecn as u8,
        payload_len: len,
        next_header: how.protocol,
        hop_limit,
        src,
        dst,
    }
}
