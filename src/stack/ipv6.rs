//! Received IPv6 packets (RFC 8200).

use super::{Stack, extensions::Walk, icmpv6::Report};
use crate::{
    Slice,
    frame::{Chain, RxMeta, TxQueue},
    ip::{Ecn, Incoming, Output},
    time::Instant,
    udp::{Cast, Verdict},
    wire::{
        MacAddr,
        icmpv6::{self, code, kind},
        ipv6::{HEADER_LEN, Header, Malformed, extension::Problem},
        tcp, udp,
    },
};

/// What is known of a packet beside its bytes.
pub(super) struct Packet<'a> {
    pub(super) header: &'a Header,
    pub(super) incoming: Incoming,
    /// It has a fragment header.
    pub(super) fragmented: bool,
    /// It from its header on, for an error about it.
    pub(super) quote: Slice,
}

impl Stack {
    pub(super) fn ipv6(
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
                    Malformed::Version => &mut self.stats.dropped_ip_header,
                } += 1;
                return;
            }
        };
        // Ethernet pads short frames.
        packet.truncate(HEADER_LEN + header.payload_len);
        let (src, dst) = (header.src, header.dst);
        let nobody = src.is_multicast() || src.is_loopback() || src.to_ipv4_mapped().is_some();
        let ours = self.ip.addresses.is_own(src.into());
        if nobody || (ours && !self.may_be_defended(&header, packet.first())) {
            // RFC 4291, 2.5.3 and 2.7: never a source address on a link; RFC 4942, section 2.2: nor
            // one that stands for an IPv4 address, as which an application would take it.
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
        let incoming = Incoming {
            local: dst.into(),
            remote: src.into(),
            ecn: Ecn::from_bits(header.traffic_class),
            csum: meta.csum,
            gso: meta.gso,
        };
        // Of other protocols the rules about addresses differ.
        let usual = matches!(header.next_header, tcp::PROTOCOL | udp::PROTOCOL);
        if usual && !dst.is_multicast() && !src.is_unspecified() {
            self.familiar.note((to, from), &incoming, &self.ip.addresses);
        }
        if header.next_header == tcp::PROTOCOL {
            packet.advance(HEADER_LEN);
            self.tcp.receive(&mut Output { ip: &mut self.ip, tx, now }, &incoming, packet);
            return;
        }
        let quote = packet.first_slice();
        let mut about = Packet { header: &header, incoming, fragmented: false, quote };
        packet.advance(HEADER_LEN);
        match self.walk(now, &mut about, packet) {
            Ok(Some(walk)) => self.deliver6(now, &about, &walk, packet, tx),
            Ok(None) => {}
            Err(problem) => self.parameter_problem(now, &about, problem, tx),
        }
    }

    /// Whether a packet that comes from an address of ours may be an advertisement of another host,
    /// which defends it (RFC 4862, section 5.4.4).
    #[cold]
    fn may_be_defended(&self, header: &Header, packet: &[u8]) -> bool {
        let unverified = self.ip.addresses.get(header.src.into()).is_some_and(|a| !a.is_verified());
        unverified
            && header.next_header == icmpv6::PROTOCOL
            && packet.get(HEADER_LEN) == Some(&kind::NEIGHBOR_ADVERTISEMENT)
    }

    /// Hands what is behind the extension headers to its protocol.
    fn deliver6(
        &mut self,
        now: Instant,
        about: &Packet<'_>,
        walk: &Walk,
        packet: &mut Chain,
        tx: &mut TxQueue,
    ) {
        let Packet { header, incoming, quote, .. } = about;
        match walk.next {
            tcp::PROTOCOL => {
                self.tcp.receive(&mut Output { ip: &mut self.ip, tx, now }, incoming, packet);
            }
            // RFC 4291, section 2.5.2: nobody could be answered.
            udp::PROTOCOL if header.src.is_unspecified() => self.stats.dropped_ip_source += 1,
            udp::PROTOCOL => {
                packet.pull_up(udp::HEADER_LEN, &self.ip.pool);
                let cast = if header.dst.is_multicast() { Cast::Many } else { Cast::One };
                let verdict = self.udp.receive(incoming, cast, packet, &self.ip.pool);
                if verdict == Verdict::NoPort {
                    let report = Report::new(kind::UNREACHABLE, code::PORT);
                    self.report6(now, header, report, quote, tx);
                }
            }
            // RFC 6980, section 5: whoever looks for forged discovery on the way sees no fragments.
            icmpv6::PROTOCOL if about.fragmented && icmpv6::is_discovery(packet.first()) => {
                self.stats.dropped_ndp += 1;
            }
            icmpv6::PROTOCOL => self.icmpv6(now, header, incoming, packet, tx),
            _ => {
                self.stats.dropped_ip_protocol += 1;
                self.parameter_problem(now, about, walk.unknown(), tx);
            }
        }
    }

    fn parameter_problem(
        &mut self,
        now: Instant,
        about: &Packet<'_>,
        problem: Problem,
        tx: &mut TxQueue,
    ) {
        let Problem { code, pointer, to_groups } = problem;
        let report = Report { kind: kind::PARAMETER, code, pointer: pointer as u32, to_groups };
        self.report6(now, about.header, report, &about.quote, tx);
    }

    /// Tells the sender of fragments, of which the first starts with `start`, that the others did
    /// not arrive in time.
    pub(super) fn fragments_expired(&mut self, now: Instant, start: &Slice, tx: &mut TxQueue) {
        if let Ok(header) = Header::parse(start, usize::MAX) {
            let report = Report::new(kind::TIME_EXCEEDED, code::REASSEMBLY);
            self.report6(now, &header, report, start, tx);
        }
    }
}
