//! Received IPv6 packets (RFC 8200).

use super::Stack;
use crate::{
    frame::{Chain, RxMeta, TxQueue},
    ip::{Ecn, Incoming, Output},
    time::Instant,
    udp::Cast,
    wire::{
        MacAddr,
        ipv6::{HEADER_LEN, Header, Malformed},
        tcp, udp,
    },
};

impl Stack {
    pub(super) fn ipv6(
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
                    Malformed::Version => &mut self.stats.dropped_ip_header,
                } += 1;
                return;
            }
        };
        // Ethernet pads short frames.
        packet.truncate(HEADER_LEN + header.payload_len);
        let (src, dst) = (header.src, header.dst);
        if src.is_multicast() || src.is_loopback() || self.ip.addresses.is_own(src.into()) {
            // RFC 4291, 2.5.3 and 2.7: never a source address on a link.
            self.stats.dropped_ip_source += 1;
            return;
        }
        if dst.is_multicast() {
            if !self.ip.groups.contains(dst.into()) {
                self.stats.dropped_ip_group += 1;
                return;
            }
        } else if !to.is_unicast() || !self.ip.addresses.is_own(dst.into()) {
            self.stats.dropped_ip_foreign += 1;
            return;
        }
        packet.advance(HEADER_LEN);
        let incoming = Incoming {
            local: dst.into(),
            remote: src.into(),
            ecn: Ecn::from_bits(header.traffic_class),
            csum: meta.csum,
            gso: meta.gso,
        };
        match header.next_header {
            tcp::PROTOCOL => {
                let mut net = Output { ip: &mut self.ip, tx, now };
                self.tcp.receive(&mut net, &incoming, packet);
            }
            udp::PROTOCOL => {
                packet.pull_up(udp::HEADER_LEN, &self.ip.pool);
                let cast = if dst.is_multicast() { Cast::Many } else { Cast::One };
                self.udp.receive(&incoming, cast, packet, &self.ip.pool);
            }
            _ => self.stats.dropped_ip_protocol += 1,
        }
    }
}
