//! Packets from the host that sent the one before: what was found out about their link and IP
//! addresses holds still, so that only what differs from packet to packet is looked at.

use super::{Stack, icmpv6::Report, ipv4::Quote};
use crate::{
    frame::{Chain, RxCsum, RxMeta, TxQueue},
    ip::{Addresses, Ecn, Incoming, Output},
    time::Instant,
    udp::{Cast, Verdict},
    wire::{
        MacAddr,
        ethernet::{self, EtherType},
        icmpv4,
        icmpv6::{code, kind},
        ipv4, ipv6, tcp, udp,
    },
};
use core::net::{IpAddr, Ipv4Addr};

/// Whose packet to which of our addresses was taken last.
pub(super) struct Familiar {
    link: [u8; ethernet::HEADER_LEN],
    /// Source and destination as they lie in the IP header.
    addresses: [u8; 32],
    /// Of our addresses as they were then.
    generation: u32,
    /// What the packet is for the transport.
    incoming: Incoming,
}

impl Default for Familiar {
    fn default() -> Familiar {
        let nobody = Ipv4Addr::UNSPECIFIED.into();
        let incoming = Incoming {
            local: nobody,
            remote: nobody,
            ecn: Ecn::NotEct,
            csum: RxCsum::Unknown,
            gso: None,
        };
        // Addresses do not change as often.
        let generation = u32::MAX;
        Familiar { link: [0; ethernet::HEADER_LEN], addresses: [0; 32], generation, incoming }
    }
}

/// What differs between packets with the same addresses.
pub(super) struct Headers {
    protocol: u8,
    ecn: Ecn,
    /// Bytes of the link's and the IP header.
    len: usize,
    /// Where the packet ends in its frame: Ethernet pads short ones.
    end: usize,
}

impl Familiar {
    /// Notes that a packet passed every check of its addresses.
    pub(super) fn note(
        &mut self,
        (to, from): (MacAddr, MacAddr),
        incoming: &Incoming,
        addresses: &Addresses,
    ) {
        let ethertype = match (incoming.remote, incoming.local) {
            (IpAddr::V4(remote), IpAddr::V4(local)) => {
                self.addresses[..4].copy_from_slice(&remote.octets());
                self.addresses[4..8].copy_from_slice(&local.octets());
                EtherType::Ipv4
            }
            (IpAddr::V6(remote), IpAddr::V6(local)) => {
                self.addresses[..16].copy_from_slice(&remote.octets());
                self.addresses[16..].copy_from_slice(&local.octets());
                EtherType::Ipv6
            }
            _ => return,
        };
        self.link[..6].copy_from_slice(&to.0);
        self.link[6..12].copy_from_slice(&from.0);
        self.link[12..].copy_from_slice(&(ethertype as u16).to_be_bytes());
        self.generation = addresses.generation();
        self.incoming = *incoming;
    }

    /// The headers of a frame with the same addresses, if its IP header is right, has neither
    /// options nor extensions, and is not a fragment's.
    #[inline]
    pub(super) fn takes(&self, addresses: &Addresses, frame: &Chain) -> Option<Headers> {
        let (link, ip) = frame.first().split_first_chunk::<{ ethernet::HEADER_LEN }>()?;
        if *link != self.link || self.generation != addresses.generation() {
            return None;
        }
        let headers = match self.incoming.remote {
            IpAddr::V4(_) => self.takes4(ip.first_chunk()?),
            IpAddr::V6(_) => self.takes6(ip.first_chunk()?),
        };
        headers.filter(|headers| headers.end <= frame.len())
    }

    #[inline]
    fn takes4(&self, ip: &[u8; ipv4::HEADER_LEN]) -> Option<Headers> {
        let plain = ip[0] == 0x45 && u16::from_be_bytes([ip[6], ip[7]]) & ipv4::FRAGMENT == 0;
        let total = u16::from_be_bytes([ip[ipv4::TOTAL_LEN], ip[ipv4::TOTAL_LEN + 1]]).into();
        let right = plain && ip[12..] == self.addresses[..8] && ipv4::HEADER_LEN <= total;
        (right && ipv4::checksum(ip) == 0).then(|| Headers {
            protocol: ip[9],
            ecn: Ecn::from_bits(ip[1]),
            len: ethernet::HEADER_LEN + ipv4::HEADER_LEN,
            end: ethernet::HEADER_LEN + total,
        })
    }

    #[inline]
    fn takes6(&self, ip: &[u8; ipv6::HEADER_LEN]) -> Option<Headers> {
        let plain = ip[0] >> 4 == 6 && matches!(ip[6], tcp::PROTOCOL | udp::PROTOCOL);
        let len = ethernet::HEADER_LEN + ipv6::HEADER_LEN;
        let payload = u16::from_be_bytes([ip[ipv6::PAYLOAD_LEN], ip[ipv6::PAYLOAD_LEN + 1]]);
        (plain && ip[8..] == self.addresses).then(|| Headers {
            protocol: ip[6],
            ecn: Ecn::from_bits(ip[1] >> 4),
            len,
            end: len + usize::from(payload),
        })
    }
}

impl Stack {
    /// Takes a packet with these headers.
    #[inline]
    pub(super) fn familiar(
        &mut self,
        now: Instant,
        headers: &Headers,
        meta: &RxMeta,
        packet: &mut Chain,
        tx: &mut TxQueue,
    ) {
        packet.truncate(headers.end);
        let incoming = &mut self.familiar.incoming;
        (incoming.ecn, incoming.csum, incoming.gso) = (headers.ecn, meta.csum, meta.gso);
        if headers.protocol == tcp::PROTOCOL {
            packet.advance(headers.len);
            let mut net = Output { ip: &mut self.ip, tx, now };
            self.tcp.receive(&mut net, &self.familiar.incoming, packet);
        } else {
            self.familiar_other(now, headers, packet, tx);
        }
    }

    #[inline(never)]
    fn familiar_other(
        &mut self,
        now: Instant,
        headers: &Headers,
        packet: &mut Chain,
        tx: &mut TxQueue,
    ) {
        let incoming = self.familiar.incoming;
        let leased = self.dhcp.is_some() && incoming.remote.is_ipv4();
        if headers.protocol != udp::PROTOCOL || leased {
            packet.advance(ethernet::HEADER_LEN);
            if let Ok(header) = ipv4::Header::parse(packet.first(), packet.len()) {
                self.deliver_whole4(now, &header, &incoming, Cast::One, packet, tx);
            }
            return;
        }
        packet.pull_up(headers.len + udp::HEADER_LEN, &self.ip.pool);
        // For an error about it.
        let start = packet.first_slice();
        packet.advance(headers.len);
        let verdict = self.udp.receive(&incoming, Cast::One, packet, &self.ip.pool);
        if verdict == Verdict::NoPort {
            self.no_port(now, start, tx);
        }
    }

    /// Tells the sender of a datagram, whose frame begins with `start`, that nobody takes it.
    #[cold]
    fn no_port(&mut self, now: Instant, mut start: crate::Slice, tx: &mut TxQueue) {
        let start = start.split_off(ethernet::HEADER_LEN);
        if let Ok(header) = ipv4::Header::parse(&start, usize::MAX) {
            let quote = Quote::of(&start);
            self.unreachable(now, &header, icmpv4::code::PORT, Some(&quote), tx);
        } else if let Ok(header) = ipv6::Header::parse(&start, usize::MAX) {
            let report = Report::new(kind::UNREACHABLE, code::PORT);
            self.report6(now, &header, report, &start, tx);
        }
    }
}
