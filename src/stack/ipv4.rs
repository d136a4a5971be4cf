//! Received IPv4 packets (RFC 791, RFC 1122).

use super::Stack;
use crate::{
    frame::{Chain, RxMeta, TxQueue},
    ip::{Ecn, Incoming, Output},
    time::Instant,
    udp::Verdict,
    wire::{
        MacAddr, icmpv4,
        ipv4::{HEADER_LEN, Header, Malformed},
        tcp, udp,
    },
};

impl Stack {
    pub(super) fn ipv4(
        &mut self,
        now: Instant,
        to: MacAddr,
        meta: &RxMeta,
        packet: &mut Chain,
        tx: &mut TxQueue,
    ) {
        packet.pull_up(HEADER_LEN, &self.ip.pool);
        let header = match Header::parse(packet.first(), packet.len()) {
            Ok(header) => header,
            Err(malformed) => {
                *match malformed {
                    Malformed::Short => &mut self.stats.dropped_ip_short,
                    Malformed::Header => &mut self.stats.dropped_ip_header,
                    Malformed::Checksum => &mut self.stats.dropped_ip_checksum,
                } += 1;
                return;
            }
        };
        // Ethernet pads short frames.
        packet.truncate(header.total_len);
        let (src, dst) = (header.src, header.dst);
        let nobody = src.is_multicast() || src.is_loopback() || src.is_broadcast();
        if nobody || self.ip.addresses.is_own(src.into()) || self.ip.addresses.is_broadcast(src) {
            // RFC 1122, 3.2.1.3: never a source address.
            self.stats.dropped_ip_source += 1;
            return;
        }
        let unicast = self.ip.addresses.is_own(dst.into());
        let broadcast = self.ip.addresses.is_broadcast(dst);
        let group = dst.is_multicast();
        if group && !self.ip.groups.contains(dst.into()) {
            self.stats.dropped_ip_group += 1;
            return;
        }
        let for_us = match unicast {
            true => to.is_unicast(),
            false => (group || broadcast) && header.protocol == udp::PROTOCOL,
        };
        if !for_us {
            self.stats.dropped_ip_foreign += 1;
            return;
        }
        if header.more_fragments || header.fragment_offset > 0 {
            self.stats.dropped_ip_fragment += 1;
            return;
        }
        // TCP answers with segments of its own, never with an ICMP error.
        let quote = (header.protocol != tcp::PROTOCOL).then(|| Quote::of(packet));
        packet.advance(header.header_len);
        let incoming = Incoming {
            local: dst.into(),
            remote: src.into(),
            ecn: Ecn::from_bits(header.tos),
            csum: meta.csum,
            gso: meta.gso,
        };
        match header.protocol {
            tcp::PROTOCOL => {
                let mut net = Output { ip: &mut self.ip, tx, now };
                self.tcp.receive(&mut net, &incoming, packet);
            }
            udp::PROTOCOL => {
                packet.pull_up(udp::HEADER_LEN, &self.ip.pool);
                if self.udp.receive(&incoming, packet) == Verdict::NoPort && unicast {
                    self.unreachable(now, &header, icmpv4::code::PORT, quote.as_ref(), tx);
                }
            }
            icmpv4::PROTOCOL => self.icmpv4(now, &incoming, packet, tx),
            _ => {
                self.stats.dropped_ip_protocol += 1;
                self.unreachable(now, &header, icmpv4::code::PROTOCOL, quote.as_ref(), tx);
            }
        }
    }
}

/// The start of a packet, for an error about it: its header and eight bytes at least (RFC 792).
pub(super) struct Quote {
    bytes: [u8; Quote::MAX],
    len: usize,
}

impl Quote {
    const MAX: usize = 68;

    fn of(packet: &Chain) -> Quote {
        let first = packet.first();
        let len = first.len().min(Quote::MAX);
        let mut bytes = [0; Quote::MAX];
        bytes[..len].copy_from_slice(&first[..len]);
        Quote { bytes, len }
    }

    pub(super) fn as_slice(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}
