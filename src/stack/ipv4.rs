//! Received IPv4 packets (RFC 791, RFC 1122).

use super::Stack;
use crate::{
    frame::{Chain, RxCsum, RxMeta, TxQueue},
    ip::{
        Ecn, Incoming, Output,
        reassembly::{Expired, Fragment, Key, Verdict},
    },
    time::Instant,
    udp::{self, Cast},
    wire::{
        self, MacAddr, icmpv4,
        igmp::{self, ALL_HOSTS},
        ipv4::{HEADER_LEN, Header, Malformed},
        tcp,
    },
};
use alloc::vec::Vec;
use core::net::IpAddr;

impl Stack {
    pub(super) fn ipv4(
        &mut self,
        now: Instant,
        (to, from): (MacAddr, MacAddr),
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
        if unicast && src.is_unspecified() {
            // RFC 1122, 3.2.1.3: from a host that has no address yet, to all; nobody could be
            // answered.
            self.stats.dropped_ip_source += 1;
            return;
        }
        let broadcast = self.ip.addresses.is_broadcast(dst);
        let group = dst.is_multicast();
        // RFC 1112, section 7.2: every host is in the group of all hosts.
        let joined = dst == ALL_HOSTS || self.ip.groups.contains(dst.into());
        if group && !joined {
            self.stats.dropped_ip_group += 1;
            return;
        }
        let for_us = match unicast {
            true => to.is_unicast(),
            false if group && header.protocol == igmp::PROTOCOL => true,
            false if group || broadcast => header.protocol == wire::udp::PROTOCOL,
            false => self.is_for_dhcp(to, &header, packet),
        };
        if !for_us {
            self.stats.dropped_ip_foreign += 1;
            return;
        }
        let cast = if unicast { Cast::One } else { Cast::Many };
        if header.more_fragments || header.fragment_offset > 0 {
            self.fragment4(now, &header, cast, packet, tx);
            return;
        }
        let incoming = Incoming {
            local: dst.into(),
            remote: src.into(),
            ecn: Ecn::from_bits(header.tos),
            csum: meta.csum,
            gso: meta.gso,
        };
        if unicast {
            self.familiar.note((to, from), &incoming, &self.ip.addresses);
        }
        self.deliver_whole4(now, &header, &incoming, cast, packet, tx);
    }

    /// Hands a packet that is no fragment to its protocol.
    pub(super) fn deliver_whole4(
        &mut self,
        now: Instant,
        header: &Header,
        incoming: &Incoming,
        cast: Cast,
        packet: &mut Chain,
        tx: &mut TxQueue,
    ) {
        // TCP answers with segments of its own, never with an ICMP error.
        let quote = (header.protocol != tcp::PROTOCOL).then(|| Quote::of(packet.first()));
        packet.advance(header.header_len);
        self.deliver4(now, header, incoming, cast, quote.as_ref(), packet, tx);
    }

    fn fragment4(
        &mut self,
        now: Instant,
        header: &Header,
        cast: Cast,
        packet: &mut Chain,
        tx: &mut TxQueue,
    ) {
        self.stir();
        let (local, remote) = (header.dst.into(), header.src.into());
        let fragment = Fragment {
            key: Key { local, remote, ident: header.ident.into(), protocol: header.protocol },
            protocol: header.protocol,
            offset: header.fragment_offset,
            more: header.more_fragments,
            most: usize::from(u16::MAX) - header.header_len,
            ecn: Ecn::from_bits(header.tos),
        };
        let start = packet.first_slice();
        packet.advance(header.header_len);
        let verdict = self.reassembly.add(now, &fragment, start, packet, &self.ip.pool);
        let Verdict::Complete(whole) = verdict else { return };
        let incoming = Incoming { local, remote, ecn: whole.ecn, csum: RxCsum::Unknown, gso: None };
        let quote = Quote::of(&whole.start);
        self.deliver4(now, header, &incoming, cast, Some(&quote), packet, tx);
    }

    /// Hands a whole datagram to its protocol.
    #[expect(clippy::too_many_arguments, reason = "one call from each of two places")]
    fn deliver4(
        &mut self,
        now: Instant,
        header: &Header,
        incoming: &Incoming,
        cast: Cast,
        quote: Option<&Quote>,
        packet: &mut Chain,
        tx: &mut TxQueue,
    ) {
        match header.protocol {
            tcp::PROTOCOL => {
                let mut net = Output { ip: &mut self.ip, tx, now };
                self.tcp.receive(&mut net, incoming, packet);
            }
            wire::udp::PROTOCOL => {
                packet.pull_up(wire::udp::HEADER_LEN, &self.ip.pool);
                let verdict = self.udp.receive(incoming, cast, packet, &self.ip.pool);
                if self.dhcp.is_some() {
                    // The client has a socket too.
                    self.stir();
                }
                if verdict == udp::Verdict::NoPort {
                    self.unreachable(now, header, icmpv4::code::PORT, quote, tx);
                }
            }
            igmp::PROTOCOL => self.igmp(now, header.ttl, packet),
            icmpv4::PROTOCOL => self.icmpv4(now, incoming, packet, tx),
            _ => {
                self.stats.dropped_ip_protocol += 1;
                self.unreachable(now, header, icmpv4::code::PROTOCOL, quote, tx);
            }
        }
    }

    /// Tells the senders of fragments that the others did not arrive in time.
    pub(super) fn expire_fragments(&mut self, now: Instant, tx: &mut TxQueue) {
        if self.reassembly.poll_at().is_none_or(|at| at > now) {
            return;
        }
        let mut expired = Vec::new();
        self.reassembly.poll(now, |e| expired.push(e));
        for Expired { key, start } in expired {
            match (key.local, key.remote) {
                (IpAddr::V4(local), IpAddr::V4(remote)) => {
                    let quote = Quote::of(&start);
                    let about = (icmpv4::kind::TIME_EXCEEDED, icmpv4::code::REASSEMBLY);
                    self.report(now, (local, remote), about, quote.as_slice(), tx);
                }
                _ => self.fragments_expired(now, &start, tx),
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

    #[inline]
    pub(super) fn of(first: &[u8]) -> Quote {
        if let Some(bytes) = first.first_chunk() {
            return Quote { bytes: *bytes, len: Quote::MAX };
        }
        let len = first.len().min(Quote::MAX);
        let mut bytes = [0; Quote::MAX];
        bytes[..len].copy_from_slice(&first[..len]);
        Quote { bytes, len }
    }

    pub(super) fn as_slice(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}
