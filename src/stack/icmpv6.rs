//! ICMPv6 (RFC 4443).

use super::Stack;
use crate::{
    Slice,
    frame::{Chain, RxCsum, TxQueue},
    ip::{Flow, IcmpError, IcmpErrorKind, Incoming, Network, Outgoing, Output},
    time::Instant,
    wire::{
        icmpv6::{HEADER_LEN, Header, PROTOCOL, code, kind, pseudo_header},
        ipv6::{self, MIN_MTU, extension},
        tcp, udp,
    },
};
use core::net::{IpAddr, Ipv6Addr};
use zerocopy::{FromBytes, IntoBytes};

/// Bytes of a packet that an error quotes: all that fits into the least MTU (section 2.4 (c)).
const QUOTED: usize = MIN_MTU as usize - ipv6::HEADER_LEN - HEADER_LEN;

/// An error to send.
#[derive(Clone, Copy, Debug)]
pub(super) struct Report {
    pub(super) kind: u8,
    pub(super) code: u8,
    /// The pointer of a parameter problem.
    pub(super) pointer: u32,
    /// Sent also about packets to groups.
    pub(super) to_groups: bool,
}

impl Report {
    /// An error with nothing to point at.
    pub(super) const fn new(kind: u8, code: u8) -> Report {
        Report { kind, code, pointer: 0, to_groups: false }
    }
}

impl Stack {
    pub(super) fn icmpv6(
        &mut self,
        now: Instant,
        ip: &ipv6::Header,
        packet: &Incoming,
        message: &mut Chain,
        tx: &mut TxQueue,
    ) {
        self.stir();
        message.pull_up(HEADER_LEN.min(message.len()), &self.ip.pool);
        let Ok((header, _)) = Header::ref_from_prefix(message.first()) else {
            self.stats.dropped_icmp += 1;
            return;
        };
        let header = *header;
        if packet.csum == RxCsum::Unknown {
            let mut sum = pseudo_header(ip.src, ip.dst, message.len());
            message.iter().for_each(|slice| sum.add(slice));
            if sum.finish() != 0 {
                self.stats.dropped_icmp += 1;
                return;
            }
        }
        match header.kind {
            kind::ECHO => self.echo6(now, ip, header, message, tx),
            kind::UNREACHABLE | kind::TOO_BIG | kind::TIME_EXCEEDED | kind::PARAMETER => {
                message.advance(HEADER_LEN);
                self.icmpv6_error(now, packet, header, message, tx);
            }
            kind::ROUTER_SOLICITATION..=kind::REDIRECT => self.ndp(now, ip, message, tx),
            kind::LISTENER_QUERY => self.listener_query(now, ip, message),
            _ => self.stats.dropped_icmp_unused += 1,
        }
    }

    /// The answer is a fresh header; the data goes back by reference.
    fn echo6(
        &mut self,
        now: Instant,
        ip: &ipv6::Header,
        request: Header,
        message: &mut Chain,
        tx: &mut TxQueue,
    ) {
        let Some(local) = self.answers_from(ip) else {
            self.stats.dropped_icmp_unused += 1;
            return;
        };
        let Some(mut head) = self.ip.pool.alloc_reserved() else {
            self.ip.stats.no_buffer += 1;
            return;
        };
        let mut reply = Header::new(kind::ECHO_REPLY, 0, request.rest.get());
        let mut sum = pseudo_header(local, ip.src, message.len());
        message.advance(HEADER_LEN);
        sum.add(reply.as_bytes());
        message.iter().for_each(|slice| sum.add(slice));
        reply.checksum = sum.finish().into();
        head.append(HEADER_LEN).copy_from_slice(reply.as_bytes());
        let mut flow = Flow::new(local.into(), ip.src.into());
        let mut net = Output { ip: &mut self.ip, tx, now };
        let len = message.len();
        let data = core::iter::from_fn(|| message.pop());
        if net.transmit(&mut flow, Outgoing::usual(PROTOCOL), head, len, data).is_ok() {
            self.stats.icmp_echoes += 1;
        }
    }

    /// Section 2.2: answers come from the address that was asked, or if it was a group's, from
    /// that which packets to the other have.
    fn answers_from(&self, ip: &ipv6::Header) -> Option<Ipv6Addr> {
        if ip.src.is_unspecified() {
            return None;
        }
        if !ip.dst.is_multicast() {
            return Some(ip.dst);
        }
        match self.ip.route(ip.src.into())? {
            (IpAddr::V6(source), _) => Some(source),
            _ => None,
        }
    }

    fn icmpv6_error(
        &mut self,
        now: Instant,
        packet: &Incoming,
        header: Header,
        quote: &mut Chain,
        tx: &mut TxQueue,
    ) {
        let most = ipv6::HEADER_LEN + extension::MAX_LEN;
        quote.pull_up(quote.len().min(most), &self.ip.pool);
        let error = quoted_transport(quote.first())
            .filter(|(quoted, ..)| IpAddr::V6(quoted.src) == packet.local);
        let Some((quoted, protocol, transport)) = error else {
            self.stats.dropped_icmp += 1;
            return;
        };
        let kind = match (header.kind, header.code) {
            (kind::UNREACHABLE, code::PORT) => IcmpErrorKind::PortUnreachable,
            (kind::TOO_BIG, _) => {
                let mtu = u16::try_from(header.rest.get()).unwrap_or(u16::MAX);
                if mtu < MIN_MTU {
                    // RFC 8201, section 4: less than any link carries.
                    self.stats.dropped_icmp += 1;
                    return;
                }
                IcmpErrorKind::TooBig(mtu)
            }
            (kind::TIME_EXCEEDED, _) => IcmpErrorKind::TimeExceeded,
            (kind::PARAMETER, code::NEXT_HEADER) => IcmpErrorKind::ProtocolUnreachable,
            (kind::PARAMETER, _) => IcmpErrorKind::ParameterProblem,
            _ => IcmpErrorKind::HostUnreachable,
        };
        self.stats.icmp_errors_in += 1;
        let error = IcmpError { local: packet.local, remote: quoted.dst.into(), kind, transport };
        log::debug!("{} and protocol {protocol}: {kind}", quoted.dst);
        let ours = match protocol {
            tcp::PROTOCOL => self.tcp.icmp_error(&mut Output { ip: &mut self.ip, tx, now }, &error),
            udp::PROTOCOL => self.udp.icmp_error(&error),
            _ => false,
        };
        if let IcmpErrorKind::TooBig(mtu) = kind
            && ours
        {
            let sent = ipv6::HEADER_LEN + quoted.payload_len;
            self.ip.too_big(error.remote, mtu, sent, now);
        }
    }

    /// Tells the sender of a packet, which `quote` starts with, why it was not taken.
    pub(super) fn report6(
        &mut self,
        now: Instant,
        ip: &ipv6::Header,
        report: Report,
        quote: &Slice,
        tx: &mut TxQueue,
    ) {
        // Section 2.4 (e): never about an error, a redirect, a group or nobody.
        let about =
            extension::transport(ip.next_header, quote.get(ipv6::HEADER_LEN..).unwrap_or(&[]));
        let about_error = about.is_some_and(|(protocol, at)| {
            let kind = quote.get(ipv6::HEADER_LEN + at).copied().unwrap_or(0);
            protocol == PROTOCOL && (kind < kind::FIRST_INFORMATIONAL || kind == kind::REDIRECT)
        });
        if about_error || (ip.dst.is_multicast() && !report.to_groups) {
            return;
        }
        let Some(local) = self.answers_from(ip) else { return };
        if !self.icmpv6_budget.take(now) {
            self.stats.icmp_limited += 1;
            return;
        }
        let Some(mut head) = self.ip.pool.alloc_reserved() else {
            self.ip.stats.no_buffer += 1;
            return;
        };
        let quote = quote.slice(0..quote.len().min(QUOTED));
        let mut header = Header::new(report.kind, report.code, report.pointer);
        let mut sum = pseudo_header(local, ip.src, HEADER_LEN + quote.len());
        sum.add(header.as_bytes());
        sum.add(&quote);
        header.checksum = sum.finish().into();
        head.append(HEADER_LEN).copy_from_slice(header.as_bytes());
        let mut flow = Flow::new(local.into(), ip.src.into());
        let mut net = Output { ip: &mut self.ip, tx, now };
        if net.transmit(&mut flow, Outgoing::usual(PROTOCOL), head, quote.len(), [quote]).is_ok() {
            self.stats.icmp_errors_out += 1;
        }
    }
}

/// The packet that an error quotes: its header, its protocol and the start of that.
fn quoted_transport(quote: &[u8]) -> Option<(ipv6::Header, u8, [u8; 8])> {
    // It may be cut short, so its length is not checked.
    let quoted = ipv6::Header::parse(quote, usize::MAX).ok()?;
    let behind = quote.get(ipv6::HEADER_LEN..)?;
    let (protocol, at) = extension::transport(quoted.next_header, behind)?;
    Some((quoted, protocol, *behind.get(at..)?.first_chunk()?))
}
