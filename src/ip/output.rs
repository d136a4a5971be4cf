//! Sending: the [`Network`] that transports build on.

use super::{
    Addresses, Conflicts, Flow, Groups, Network, NoPath, Outgoing, Path, Routes, SendError,
    fragment::{FRAGMENT, FRAGMENT_LEN, Fragments, Idents, complete_checksum, fragment6},
    groups::group_mac,
    pmtu::PathMtus,
    select,
    train::Train,
};
use crate::{
    PacketBuf, Pool, Slice,
    frame::{Chain, Offloads, PartialCsum, TxMeta, TxQueue},
    neighbor::{Lookup, Neighbors, Pending, Solicit},
    stack::Counters,
    time::Instant,
    wire::{
        MacAddr,
        arp::{Arp, Operation},
        ethernet::{self, EtherType},
        ipv4, ipv6, udp,
    },
};
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use zerocopy::{Immutable, IntoBytes};

/// Frames that may wait for the device; beyond them transports wait.
const QUEUE: usize = 512;
/// Slices of one frame behind its head: what devices take.
pub(super) const MAX_SLICES: usize = shmring::abi::MAX_FRAGS - 1;
/// Time to live, and hop limit until a router advertises another (RFC 1700).
pub(super) const HOP_LIMIT: u8 = 64;

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
    pub(crate) conflicts: Conflicts,
    pub(crate) neighbors: Neighbors,
    pub(crate) path_mtus: PathMtus,
    pub(crate) stats: Stats,
    pub(super) idents: Idents,
    train: Option<Train>,
    epoch: u32,
    /// No timer but TCP's is due before; zero when one may have been set since that was found out.
    pub(crate) calm_until: Instant,
}

/// Counters of what is sent.
#[derive(Debug, Default, IntoBytes, Immutable)]
#[repr(C)]
pub(crate) struct Stats {
    pub(crate) sent: u64,
    pub(crate) no_route: u64,
    pub(crate) no_buffer: u64,
    pub(crate) too_big: u64,
    pub(crate) fragmented: u64,
    pub(crate) fragments_sent: u64,
    pub(crate) neighbor_lost: u64,
    pub(crate) payload_bytes_copied: u64,
}

impl Stats {
    /// Every counter by its name.
    pub(crate) fn named(&self) -> Counters<'_> {
        const NAMES: &[&str] = &[
            "ip_sent",
            "ip_no_route",
            "ip_no_buffer",
            "ip_too_big",
            "ip_fragmented",
            "ip_fragments_sent",
            "neighbor_lost",
        ];
        (NAMES, self.as_bytes())
    }
}

impl Ip {
    pub(crate) fn new(mac: MacAddr, mtu: u16, offloads: Offloads, pool: Pool, key: [u8; 16]) -> Ip {
        // So that unresolved neighbours do not hold the buffers that their answers need.
        let max_waiting = (pool.config().count / 8).min(128);
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
            conflicts: Conflicts::default(),
            neighbors: Neighbors::new(max_waiting),
            path_mtus: PathMtus::default(),
            stats: Stats::default(),
            idents: Idents::new(key),
            train: None,
            epoch: 0,
            calm_until: Instant::ZERO,
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
    #[inline]
    pub(crate) fn path_mtu(&self, remote: IpAddr, now: Instant) -> u16 {
        let link = self.link_mtu(remote.is_ipv4());
        if self.path_mtus.is_empty() { link } else { self.path_mtus.get(remote, link, now) }
    }

    /// A router could not forward a packet of `sent` bytes that we sent to `remote`, and named the
    /// MTU of the next hop, or 0.
    pub(crate) fn too_big(&mut self, remote: IpAddr, mtu: u16, sent: usize, now: Instant) {
        let link = self.link_mtu(remote.is_ipv4());
        if self.path_mtus.learn(remote, mtu, sent, link, now) {
            self.changed();
        }
    }

    #[inline]
    fn link_mtu(&self, ipv4: bool) -> u16 {
        if ipv4 { self.mtu } else { self.mtu6 }
    }

    /// Addresses, routes or path MTUs changed: flows find their way again.
    #[inline(never)]
    pub(crate) fn changed(&mut self) {
        self.epoch = self.epoch.wrapping_add(1);
        self.calm_until = Instant::ZERO;
        self.neighbors.invalidate();
    }

    /// A buffer for a message of the link's own protocols, unless so many frames wait for the
    /// device that a flood of questions would take the pool for its answers.
    pub(crate) fn buffer(&mut self, tx: &TxQueue) -> Option<PacketBuf> {
        let buf = if tx.len() < QUEUE { self.pool.alloc_reserved() } else { None };
        self.stats.no_buffer += u64::from(buf.is_none());
        buf
    }

    /// Sends an ARP packet.
    pub(crate) fn send_arp(&mut self, to: MacAddr, arp: &Arp, tx: &mut TxQueue) {
        let Some(mut buf) = self.buffer(tx) else { return };
        buf.append(crate::wire::arp::LEN).copy_from_slice(&arp.encode());
        self.frame(to, EtherType::Arp, TxMeta::default(), buf, [], tx);
    }

    pub(crate) fn solicit(&mut self, solicit: Solicit, tx: &mut TxQueue) {
        let target = match solicit.target {
            IpAddr::V4(target) => target,
            IpAddr::V6(target) => return self.solicit6(target, solicit, tx),
        };
        let Some(sender) = self.addresses.source4(target) else { return };
        let target_mac = solicit.to.unwrap_or_default();
        let operation = Operation::Request;
        let arp = Arp { operation, sender_mac: self.mac, sender, target_mac, target };
        self.send_arp(solicit.to.unwrap_or(MacAddr::BROADCAST), &arp, tx);
    }

    /// Puts the Ethernet header in front and queues the frame.
    pub(crate) fn frame(
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
        if !self.path_mtus.is_empty() && self.path_mtus.poll(now) {
            self.changed();
        }
        for (neighbor, packets) in self.neighbors.poll(now, &mut ask) {
            self.stats.neighbor_lost += packets as u64;
            self.routes.router_lost(neighbor, now);
        }
        while let Some(router) = self.routes.ask_again(now) {
            if self.neighbors.answers(router) {
                self.routes.router_heard(router);
                self.changed();
            } else if let (Lookup::Unknown(Some(question)), _) = self.neighbors.lookup(router, now)
            {
                ask.push(question);
            }
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
                let header = self.header6((src, dst), how, len).encode();
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
        let paths = &self.ip.path_mtus;
        let crumbs = || !paths.is_empty() && paths.may_fragment(dst.into(), self.now);
        let dont_fragment = how.dont_fragment && !crumbs();
        // RFC 6864, section 4.1: the identification of an atomic datagram may be anything; that
        // of others must not repeat soon.
        let ident =
            if dont_fragment { 0 } else { self.ip.idents.next(src.into(), dst.into()) as u16 };
        ipv4::Header {
            header_len: ipv4::HEADER_LEN,
            total_len: ipv4::HEADER_LEN + len,
            tos: how.ecn as u8,
            ident,
            dont_fragment,
            more_fragments: false,
            fragment_offset: 0,
            ttl: how.hop_limit.unwrap_or(HOP_LIMIT),
            protocol: how.protocol,
            src,
            dst,
        }
    }

    #[inline]
    pub(super) fn header6(
        &self,
        (src, dst): (Ipv6Addr, Ipv6Addr),
        how: &Outgoing,
        len: usize,
    ) -> ipv6::Header {
        ipv6::Header {
            traffic_class: how.ecn as u8,
            payload_len: len,
            next_header: how.protocol,
            hop_limit: how.hop_limit.unwrap_or(self.ip.hop_limit),
            src,
            dst,
        }
    }

    /// The hardware address of the next hop, or a verdict.
    #[inline(never)]
    fn resolve(&mut self, flow: &mut Flow) -> Result<Result<MacAddr, IpAddr>, SendError> {
        if let Some(mac) = self.ip.neighbors.cached(flow.cache, self.now) {
            return Ok(Ok(*mac));
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
        // It may set a timer.
        self.ip.calm_until = Instant::ZERO;
        let (lookup, cache) = self.ip.neighbors.lookup(hop, self.now);
        flow.cache = cache;
        Ok(match lookup {
            Lookup::Known(mac) => Ok(mac),
            Lookup::Unknown(solicit) => {
                if let Some(solicit) = solicit {
                    self.ip.solicit(solicit, self.tx);
                }
                Err(hop)
            }
        })
    }
}

impl Output<'_> {
    /// Puts the headers of the layers below in front of a packet with `len` bytes behind `head`;
    /// `None` when it cannot leave as one frame now.
    fn begin(
        &mut self,
        flow: &mut Flow,
        how: &Outgoing,
        head: &mut PacketBuf,
        len: usize,
    ) -> Result<Option<TxMeta>, SendError> {
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
        let mac = match self.ip.neighbors.cached(flow.cache, self.now) {
            Some(mac) => *mac,
            None => match self.resolve(flow)? {
                Ok(mac) => mac,
                Err(_) => return Ok(None),
            },
        };
        let len = head.len() + len;
        if how.gso.is_none() && len + ip_len > self.ip.path_mtu(flow.remote, self.now).into() {
            return Ok(None);
        }
        let bytes = head.prepend(ethernet::HEADER_LEN + ip_len);
        let (link, bytes) = bytes.split_at_mut(ethernet::HEADER_LEN);
        link.copy_from_slice(ethernet::Header::new(mac, self.ip.mac, ethertype).as_bytes());
        self.write_header(flow, how, len, bytes);
        self.ip.stats.sent += 1;
        let csum = how
            .csum_offset
            .map(|offset| PartialCsum { start: (ethernet::HEADER_LEN + ip_len) as u16, offset });
        Ok(Some(TxMeta { csum, gso: how.gso }))
    }

    /// Ends the frame that was begun in the queue.
    fn end(&mut self, flow: &Flow, how: &Outgoing, meta: TxMeta) -> Result<(), SendError> {
        if self.tx.open_frags() > MAX_SLICES + 1 {
            self.gather_open()?;
        }
        self.tx.finish(meta);
        self.ended(flow, how, meta);
        Ok(())
    }

    /// A frame was queued.
    #[inline]
    pub(super) fn ended(&mut self, flow: &Flow, how: &Outgoing, meta: TxMeta) {
        self.ip.train = None;
        if how.protocol == udp::PROTOCOL
            && let Some(csum) = meta.csum
            && self.ip.offloads.contains(Offloads::USO)
        {
            self.begin_train(flow, csum.start.into());
        }
    }

    /// Datagrams may join the one that was queued last.
    #[cold]
    fn begin_train(&mut self, flow: &Flow, transport: usize) {
        let epoch = self.ip.epoch;
        let (slices, len) = self.tx.last_size();
        let Some((_, head)) = self.tx.last_mut() else { return };
        let Some(ports) = head.get(transport..).and_then(udp::ports) else { return };
        let size = (len - transport - udp::HEADER_LEN, slices - 1);
        self.ip.train = Some(Train::new(flow, ports, epoch, size, self.tx));
    }

    /// Puts the slices of the open frame together: they are more than a device takes.
    #[cold]
    fn gather_open(&mut self) -> Result<(), SendError> {
        let mut slices = self.tx.take_open();
        let rest = slices.split_off(1);
        let rest = self.ip.gathered(rest).ok_or(SendError::Full)?;
        slices.into_iter().chain(rest).for_each(|slice| self.tx.add(slice));
        Ok(())
    }

    /// Sends a packet that has to wait for its neighbour, or is longer than the path carries.
    #[cold]
    fn detour(
        &mut self,
        flow: &mut Flow,
        how: &Outgoing,
        mut head: PacketBuf,
        mut rest: Vec<Slice>,
    ) -> Result<(), SendError> {
        let hop = self.resolve(flow)?;
        let ip_len = if flow.remote.is_ipv4() { ipv4::HEADER_LEN } else { ipv6::HEADER_LEN };
        let len = head.len() + rest.iter().map(|slice| slice.len()).sum::<usize>();
        let mtu = usize::from(self.ip.path_mtu(flow.remote, self.now));
        let Err(waits_for) = hop else { return self.fragment(flow, how, hop, head, rest) };
        if how.gso.is_none() && len + ip_len > mtu {
            return self.fragment(flow, how, hop, head, rest);
        }
        if rest.len() > MAX_SLICES {
            rest = self.ip.gathered(rest).ok_or(SendError::Full)?;
        }
        let start = (ethernet::HEADER_LEN + ip_len) as u16;
        let csum = how.csum_offset.map(|offset| PartialCsum { start, offset });
        let meta = TxMeta { csum, gso: how.gso };
        head.prepend(ip_len);
        self.write_header(flow, how, len, &mut head);
        if !self.ip.neighbors.wait(waits_for, Pending { meta, head, rest }) {
            self.ip.stats.neighbor_lost += 1;
        }
        Ok(())
    }
}

impl Output<'_> {
    /// Sends a packet that is longer than the path carries, in fragments (RFC 791, section 3.2;
    /// RFC 8200, section 4.5).
    #[cold]
    fn fragment(
        &mut self,
        flow: &Flow,
        how: &Outgoing,
        hop: Result<MacAddr, IpAddr>,
        mut head: PacketBuf,
        rest: Vec<Slice>,
    ) -> Result<(), SendError> {
        let mtu = self.ip.path_mtu(flow.remote, self.now);
        if how.dont_fragment {
            self.ip.stats.too_big += 1;
            return Err(SendError::TooBig(mtu));
        }
        if let Some(at) = how.csum_offset {
            complete_checksum(how.protocol, &mut head, &rest, at.into());
        }
        let mut payload = Chain::new();
        payload.push(head.freeze());
        rest.into_iter().for_each(|slice| payload.push(slice));
        let ipv4 = flow.remote.is_ipv4();
        let header_len = if ipv4 { ipv4::HEADER_LEN } else { ipv6::HEADER_LEN + FRAGMENT_LEN };
        let fragments = Fragments::of(payload, mtu.into(), header_len);
        if fragments.number() > self.room() || fragments.number() > self.ip.pool.stats().free {
            return Err(SendError::Full);
        }
        self.ip.stats.fragmented += 1;
        let ident = self.ip.idents.next(flow.local, flow.remote);
        for fragment in fragments {
            let mut rest: Vec<Slice> = fragment.data.iter().cloned().collect();
            if rest.len() > MAX_SLICES {
                rest = self.ip.gathered(rest).ok_or(SendError::Full)?;
            }
            let Some(mut head) = self.ip.pool.alloc_reserved() else {
                self.ip.stats.no_buffer += 1;
                return Ok(());
            };
            let len = fragment.data.len();
            match (flow.local, flow.remote) {
                (IpAddr::V4(src), IpAddr::V4(dst)) => {
                    let mut header = self.header4((src, dst), how, len);
                    header.ident = ident as u16;
                    header.more_fragments = fragment.more;
                    header.fragment_offset = fragment.offset;
                    head.append(ipv4::HEADER_LEN).copy_from_slice(&header.encode());
                }
                _ => {
                    let header = fragment6(how.protocol, fragment.offset, fragment.more, ident);
                    head.append(FRAGMENT_LEN).copy_from_slice(&header);
                    let how = Outgoing { protocol: FRAGMENT, ..*how };
                    let mut bytes = [0; ipv6::HEADER_LEN];
                    self.write_header(flow, &how, FRAGMENT_LEN + len, &mut bytes);
                    head.prepend(ipv6::HEADER_LEN).copy_from_slice(&bytes);
                }
            }
            self.ip.stats.fragments_sent += 1;
            let meta = TxMeta::default();
            match hop {
                Ok(mac) => {
                    let ethertype = if ipv4 { EtherType::Ipv4 } else { EtherType::Ipv6 };
                    self.ip.frame(mac, ethertype, meta, head, rest, self.tx);
                }
                Err(hop) => {
                    if !self.ip.neighbors.wait(hop, Pending { meta, head, rest }) {
                        self.ip.stats.neighbor_lost += 1;
                    }
                }
            }
        }
        Ok(())
    }
}

impl Ip {
    /// The bytes of many slices in few, copied; `None` when there are no buffers.
    #[cold]
    fn gathered(&mut self, slices: Vec<Slice>) -> Option<Vec<Slice>> {
        let mut gathered = Vec::new();
        let mut open: Option<PacketBuf> = None;
        for mut bytes in slices.iter().map(|slice| &**slice) {
            while !bytes.is_empty() {
                let full = open.take_if(|buf| buf.tailroom() == 0);
                gathered.extend(full.map(PacketBuf::freeze));
                let buf = match &mut open {
                    Some(buf) => buf,
                    None => {
                        let mut buf = self.pool.alloc()?;
                        buf.reset(0);
                        open.insert(buf)
                    }
                };
                let (part, rest) = bytes.split_at(bytes.len().min(buf.tailroom()));
                buf.append(part.len()).copy_from_slice(part);
                self.stats.payload_bytes_copied += part.len() as u64;
                bytes = rest;
            }
        }
        gathered.extend(open.map(PacketBuf::freeze));
        Some(gathered)
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

    #[inline]
    fn room(&self) -> usize {
        QUEUE.saturating_sub(self.tx.len())
    }

    fn epoch(&self) -> u32 {
        // An address that becomes deprecated changes no route, but what others are sent from.
        self.ip.epoch.wrapping_add(self.ip.addresses.generation())
    }

    fn path(&self, local: Option<IpAddr>, remote: IpAddr) -> Result<Path, NoPath> {
        let addresses = &self.ip.addresses;
        let local = local.filter(|local| !addresses.is_of_many(*local));
        if local.is_some_and(|local| !addresses.is_own(local)) {
            return Err(NoPath::NotOurs);
        }
        let (own, _) = self.ip.route(remote).ok_or(NoPath::Unreachable)?;
        let local = local.unwrap_or(own);
        Ok(Path { local, mtu: self.ip.path_mtu(remote, self.now) })
    }

    #[inline]
    fn transmit(
        &mut self,
        flow: &mut Flow,
        how: Outgoing,
        mut head: PacketBuf,
        len: usize,
        payload: impl IntoIterator<Item = Slice>,
    ) -> Result<(), SendError> {
        let Some(meta) = self.begin(flow, &how, &mut head, len)? else {
            return self.detour(flow, &how, head, payload.into_iter().collect());
        };
        self.tx.begin();
        self.tx.add(head.freeze());
        payload.into_iter().for_each(|slice| self.tx.add(slice));
        self.end(flow, &how, meta)
    }

    #[inline]
    fn transmit_lean(
        &mut self,
        flow: &mut Flow,
        how: Outgoing,
        mut head: PacketBuf,
        payload: Option<Slice>,
    ) -> Result<(), SendError> {
        let len = payload.as_ref().map_or(0, |slice| slice.len());
        let Some(meta) = self.lean(flow, &how, &mut head, len) else {
            return self.transmit(flow, how, head, len, payload);
        };
        self.tx.push(meta, head.freeze(), payload);
        self.ended(flow, &how, meta);
        Ok(())
    }

    fn join<'a>(
        &mut self,
        flow: &Flow,
        ports: (u16, u16),
        data: impl Iterator<Item = &'a Slice> + Clone,
    ) -> bool {
        let Some(train) = &mut self.ip.train else { return false };
        let size = data.clone().fold((0, 0), |(len, n), slice| (len + slice.len(), n + 1));
        let joined = train.takes(flow, ports, self.ip.epoch, size, self.tx)
            && train.join(size.0, data, self.tx);
        if joined {
            self.ip.stats.sent += 1;
        }
        joined
    }

    #[inline(always)]
    fn confirm(&mut self, flow: &Flow) {
        self.ip.neighbors.confirm(flow.cache, self.now);
    }
}
