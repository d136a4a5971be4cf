//! Sending: the [`Network`] that transports build on.

use super::{Addresses, Flow, Network, Outgoing, Path, SendError, Unreachable};
use crate::{
    PacketBuf, Pool, Slice,
    frame::{Offloads, PartialCsum, TxMeta, TxQueue},
    neighbor::{Lookup, Neighbors, Pending, Solicit},
    time::Instant,
    wire::{
        MacAddr,
        arp::{Arp, Operation},
        ethernet::{self, EtherType},
        ipv4,
    },
};
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr};
use zerocopy::IntoBytes;

/// Frames that may wait for the device; beyond them transports wait.
const QUEUE: usize = 512;

/// What the internet layer keeps.
pub(crate) struct Ip {
    pub(crate) mac: MacAddr,
    pub(crate) mtu: u16,
    pub(crate) offloads: Offloads,
    pub(crate) pool: Pool,
    pub(crate) addresses: Addresses,
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
    pub(crate) fn new(
        mac: MacAddr,
        mtu: u16,
        offloads: Offloads,
        pool: Pool,
        addresses: Addresses,
        ident: u16,
    ) -> Ip {
        let (neighbors, stats) = (Neighbors::default(), Stats::default());
        Ip { mac, mtu, offloads, pool, addresses, neighbors, stats, ident }
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
        for cidr in self.addresses.own.clone() {
            let IpAddr::V4(address) = cidr.address else { continue };
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
        let Some((IpAddr::V4(sender), _)) = self.addresses.route(solicit.target) else { return };
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
            self.frame(mac, EtherType::Ipv4, packet.meta, packet.head, packet.rest, tx);
        }
    }

    /// Asks for neighbours that are due.
    pub(crate) fn poll(&mut self, now: Instant, tx: &mut TxQueue) {
        let (mut ask, mut lost) = (Vec::new(), Vec::new());
        self.neighbors.poll(now, &mut ask, &mut lost);
        self.stats.neighbor_lost += lost.len() as u64;
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
            ttl: how.hop_limit,
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
        if let IpAddr::V4(remote) = flow.remote
            && self.ip.addresses.is_broadcast(remote)
        {
            return Ok(Ok(MacAddr::BROADCAST));
        }
        let Some((_, hop)) = self.ip.addresses.route(flow.remote) else {
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
        let (own, _) = self.ip.addresses.route(remote).ok_or(Unreachable)?;
        let local = local.filter(|local| self.ip.addresses.is_own(*local)).unwrap_or(own);
        Ok(Path { local, mtu: self.ip.mtu })
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
        let (IpAddr::V4(src), IpAddr::V4(dst)) = (flow.local, flow.remote) else {
            self.ip.stats.no_route += 1;
            return Err(SendError::Unreachable);
        };
        let hop = self.resolve(flow)?;
        let mut meta = TxMeta { csum: None, gso: how.gso };
        if let Some(offset) = how.csum_offset {
            let start = (ethernet::HEADER_LEN + ipv4::HEADER_LEN) as u16;
            meta.csum = Some(PartialCsum { start, offset });
        }
        // The payload's length is not known before it is walked; the header is written last.
        let transport = head.len();
        head.prepend(ipv4::HEADER_LEN);
        match hop {
            Ok(mac) => {
                head.prepend(ethernet::HEADER_LEN);
                let header = ethernet::Header::new(mac, self.ip.mac, EtherType::Ipv4);
                head[..ethernet::HEADER_LEN].copy_from_slice(header.as_bytes());
                let mut len = transport;
                self.tx.begin_headless();
                for slice in payload {
                    len += slice.len();
                    self.tx.add(slice);
                }
                if how.gso.is_none() && len + ipv4::HEADER_LEN > usize::from(self.ip.mtu) {
                    self.tx.abandon();
                    self.ip.stats.too_big += 1;
                    return Err(SendError::TooBig(self.ip.mtu));
                }
                let header = self.header4((src, dst), &how, len).encode();
                head[ethernet::HEADER_LEN..ethernet::HEADER_LEN + ipv4::HEADER_LEN]
                    .copy_from_slice(&header);
                self.ip.stats.sent += 1;
                self.tx.finish_with(meta, head.freeze());
            }
            Err(hop) => {
                let rest: Vec<Slice> = payload.into_iter().collect();
                let len = transport + rest.iter().map(|slice| slice.len()).sum::<usize>();
                let header = self.header4((src, dst), &how, len).encode();
                head[..ipv4::HEADER_LEN].copy_from_slice(&header);
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
