//! Packets from the host that sent the one before: what was found out about their link and IP
//! addresses holds still, so that only what differs from packet to packet is looked at.

use super::{Stack, ipv4::Quote};
use crate::{
    frame::{Chain, RxMeta, TxQueue},
    ip::{Addresses, Ecn, Incoming, Output},
    time::Instant,
    udp::{Cast, Verdict},
    wire::{MacAddr, ethernet, icmpv4, ipv4, tcp, udp},
};
use core::net::Ipv4Addr;

/// Bytes of both headers.
const HEADERS: usize = ethernet::HEADER_LEN + ipv4::HEADER_LEN;
/// Where in them the addresses of the IP header lie.
const ADDRESSES: usize = ethernet::HEADER_LEN + 12;

/// Whose packet to which of our addresses was taken last.
#[derive(Default)]
pub(super) struct Familiar {
    link: [u8; ethernet::HEADER_LEN],
    addresses: [u8; 8],
    /// Of our addresses as they were then.
    generation: u32,
}

impl Familiar {
    /// Notes that a packet passed every check of its addresses.
    pub(super) fn note(
        &mut self,
        (to, from): (MacAddr, MacAddr),
        header: &ipv4::Header,
        addresses: &Addresses,
    ) {
        self.link[..6].copy_from_slice(&to.0);
        self.link[6..12].copy_from_slice(&from.0);
        self.link[12..].copy_from_slice(&(ethernet::EtherType::Ipv4 as u16).to_be_bytes());
        self.addresses[..4].copy_from_slice(&header.src.octets());
        self.addresses[4..].copy_from_slice(&header.dst.octets());
        self.generation = addresses.generation();
    }

    /// The headers of a frame with the same addresses, if its IP header is right, has no options
    /// and is not a fragment's.
    #[inline]
    pub(super) fn takes(&self, addresses: &Addresses, frame: &Chain) -> Option<[u8; HEADERS]> {
        let headers: &[u8; HEADERS] = frame.first().first_chunk()?;
        let (link, ip) = headers.split_first_chunk::<{ ethernet::HEADER_LEN }>()?;
        let ip: &[u8; ipv4::HEADER_LEN] = ip.first_chunk()?;
        let same = *link == self.link
            && headers[ADDRESSES..] == self.addresses
            && self.generation == addresses.generation();
        let plain = ip[0] == 0x45 && u16::from_be_bytes([ip[6], ip[7]]) & ipv4::FRAGMENT == 0;
        let total = total_len(ip);
        let fits = ipv4::HEADER_LEN <= total && total <= frame.len() - ethernet::HEADER_LEN;
        (same && plain && fits && ipv4::checksum(ip) == 0).then_some(*headers)
    }
}

#[inline]
fn total_len(ip: &[u8; ipv4::HEADER_LEN]) -> usize {
    u16::from_be_bytes([ip[ipv4::TOTAL_LEN], ip[ipv4::TOTAL_LEN + 1]]).into()
}

impl Stack {
    /// Takes a packet with these headers.
    #[inline]
    pub(super) fn familiar4(
        &mut self,
        now: Instant,
        headers: &[u8; HEADERS],
        meta: &RxMeta,
        packet: &mut Chain,
        tx: &mut TxQueue,
    ) {
        let Some(ip) = headers.last_chunk::<{ ipv4::HEADER_LEN }>() else { return };
        let address = |at: usize| Ipv4Addr::new(ip[at], ip[at + 1], ip[at + 2], ip[at + 3]);
        let incoming = Incoming {
            local: address(16).into(),
            remote: address(12).into(),
            ecn: Ecn::from_bits(ip[1]),
            csum: meta.csum,
            gso: meta.gso,
        };
        // Ethernet pads short frames.
        packet.truncate(ethernet::HEADER_LEN + total_len(ip));
        if ip[9] == tcp::PROTOCOL {
            packet.advance(HEADERS);
            self.tcp.receive(&mut Output { ip: &mut self.ip, tx, now }, &incoming, packet);
        } else {
            self.familiar_other4(now, ip, &incoming, packet, tx);
        }
    }

    #[inline(never)]
    fn familiar_other4(
        &mut self,
        now: Instant,
        ip: &[u8; ipv4::HEADER_LEN],
        incoming: &Incoming,
        packet: &mut Chain,
        tx: &mut TxQueue,
    ) {
        if ip[9] != udp::PROTOCOL || self.dhcp.is_some() {
            packet.advance(ethernet::HEADER_LEN);
            if let Ok(header) = ipv4::Header::parse(packet.first(), packet.len()) {
                self.deliver_whole4(now, &header, incoming, Cast::One, packet, tx);
            }
            return;
        }
        packet.advance(HEADERS);
        packet.pull_up(udp::HEADER_LEN, &self.ip.pool);
        let start = packet.first().first_chunk().copied();
        let verdict = self.udp.receive(incoming, Cast::One, packet, &self.ip.pool);
        if let (Verdict::NoPort, Some(start)) = (verdict, start) {
            self.no_port4(now, ip, &start, packet, tx);
        }
    }

    /// Tells the sender of a datagram, of which `data` is left behind its headers, that nobody
    /// takes it.
    #[cold]
    fn no_port4(
        &mut self,
        now: Instant,
        ip: &[u8; ipv4::HEADER_LEN],
        udp: &[u8; udp::HEADER_LEN],
        data: &Chain,
        tx: &mut TxQueue,
    ) {
        let quote = Quote::of(&[&ip[..], udp, data.first()].concat());
        if let Ok(header) = ipv4::Header::parse(ip, usize::MAX) {
            self.unreachable(now, &header, icmpv4::code::PORT, Some(&quote), tx);
        }
    }
}
