//! ICMP (RFC 792, RFC 1122, section 3.2.2).

use super::{Stack, ipv4::Quote};
use crate::{
    frame::{Chain, TxQueue},
    ip::{Flow, IcmpError, IcmpErrorKind, Incoming, Network, Outgoing, Output},
    time::{Duration, Instant},
    wire::{
        checksum::Checksum,
        icmpv4::{HEADER_LEN, Header, PROTOCOL, code, fill_checksum, kind},
        ipv4, tcp, udp,
    },
};
use core::net::{IpAddr, Ipv4Addr};
use zerocopy::{FromBytes, IntoBytes, network_endian::U16};

/// Errors in a burst, and one more each interval (RFC 1812, section 4.3.2.8).
const BURST: u32 = 10;
const INTERVAL: Duration = Duration::from_millis(10);

/// A token bucket for errors.
pub(super) struct Budget {
    tokens: u32,
    filled: Instant,
}

impl Budget {
    pub(super) fn new(now: Instant) -> Budget {
        Budget { tokens: BURST, filled: now }
    }

    pub(super) fn take(&mut self, now: Instant) -> bool {
        let passed = now.saturating_since(self.filled).as_nanos() / INTERVAL.as_nanos();
        if passed > 0 {
            self.tokens =
                self.tokens.saturating_add(passed.min(u128::from(BURST)) as u32).min(BURST);
            self.filled = now;
        }
        let granted = self.tokens > 0;
        self.tokens = self.tokens.saturating_sub(1);
        granted
    }
}

impl Stack {
    pub(super) fn icmpv4(
        &mut self,
        now: Instant,
        packet: &Incoming,
        message: &mut Chain,
        tx: &mut TxQueue,
    ) {
        self.stir();
        message.pull_up(HEADER_LEN.min(message.len()), &self.ip.pool);
        let mut sum = Checksum::new();
        message.iter().for_each(|slice| sum.add(slice));
        let Ok((header, _)) = Header::ref_from_prefix(message.first()) else {
            self.stats.dropped_icmp += 1;
            return;
        };
        let header = *header;
        if sum.finish() != 0 {
            self.stats.dropped_icmp += 1;
            return;
        }
        match header.kind {
            kind::ECHO if header.code == 0 => self.echo(now, packet, header, message, tx),
            kind::UNREACHABLE | kind::TIME_EXCEEDED | kind::PARAMETER => {
                message.advance(HEADER_LEN);
                self.icmpv4_error(now, packet, header, message, tx);
            }
            _ => self.stats.dropped_icmp_unused += 1,
        }
    }

    /// The answer is a fresh header; the data goes back by reference.
    fn echo(
        &mut self,
        now: Instant,
        packet: &Incoming,
        header: Header,
        message: &mut Chain,
        tx: &mut TxQueue,
    ) {
        let Some(mut head) = self.ip.pool.alloc_reserved() else {
            self.ip.stats.no_buffer += 1;
            return;
        };
        message.advance(HEADER_LEN);
        let mut reply = Header { kind: kind::ECHO_REPLY, checksum: U16::ZERO, ..header };
        let mut sum = Checksum::new();
        sum.add(reply.as_bytes());
        message.iter().for_each(|slice| sum.add(slice));
        reply.checksum = U16::new(sum.finish());
        head.append(HEADER_LEN).copy_from_slice(reply.as_bytes());
        let mut flow = Flow::new(packet.local, packet.remote);
        let mut net = Output { ip: &mut self.ip, tx, now };
        let len = message.len();
        let data = core::iter::from_fn(|| message.pop());
        if net.transmit(&mut flow, Outgoing::usual(PROTOCOL), head, len, data).is_ok() {
            self.stats.icmp_echoes += 1;
        }
    }

    fn icmpv4_error(
        &mut self,
        now: Instant,
        packet: &Incoming,
        header: Header,
        quote: &mut Chain,
        tx: &mut TxQueue,
    ) {
        quote.pull_up(quote.len().min(68), &self.ip.pool);
        // The quoted packet may be cut short, so its length is not checked.
        let Ok(quoted) = ipv4::Header::parse(quote.first(), usize::MAX) else {
            self.stats.dropped_icmp += 1;
            return;
        };
        // Only the first fragment's quote has the transport's header.
        let whole = Some(quote.first()).filter(|_| quoted.fragment_offset == 0);
        let rest = whole
            .and_then(|quote| quote.get(quoted.header_len..))
            .and_then(|rest| rest.first_chunk::<8>());
        let Some(transport) = rest.copied().filter(|_| IpAddr::V4(quoted.src) == packet.local)
        else {
            self.stats.dropped_icmp += 1;
            return;
        };
        let kind = match (header.kind, header.code) {
            (kind::UNREACHABLE, code::PORT) => IcmpErrorKind::PortUnreachable,
            (kind::UNREACHABLE, code::PROTOCOL) => IcmpErrorKind::ProtocolUnreachable,
            (kind::UNREACHABLE, code::FRAGMENTATION_NEEDED) => {
                IcmpErrorKind::TooBig(header.sequence.get())
            }
            (kind::UNREACHABLE, _) => IcmpErrorKind::HostUnreachable,
            (kind::TIME_EXCEEDED, _) => IcmpErrorKind::TimeExceeded,
            _ => IcmpErrorKind::ParameterProblem,
        };
        self.stats.icmp_errors_in += 1;
        let error = IcmpError { local: packet.local, remote: quoted.dst.into(), kind, transport };
        log::debug!("{} and protocol {}: {kind}", quoted.dst, quoted.protocol);
        let ours = match quoted.protocol {
            tcp::PROTOCOL => self.tcp.icmp_error(&mut Output { ip: &mut self.ip, tx, now }, &error),
            udp::PROTOCOL => self.udp.icmp_error(&error),
            _ => false,
        };
        if let IcmpErrorKind::TooBig(mtu) = kind
            && ours
        {
            self.ip.too_big(error.remote, mtu, quoted.total_len, now);
        }
    }

    /// Tells the sender that its packet was not taken.
    pub(super) fn unreachable(
        &mut self,
        now: Instant,
        header: &ipv4::Header,
        code: u8,
        quote: Option<&Quote>,
        tx: &mut TxQueue,
    ) {
        // RFC 1122, 3.2.2: never about a broadcast or a group's packet.
        if self.ip.addresses.is_own(header.dst.into()) {
            let quote = quote.map_or(&[][..], Quote::as_slice);
            self.report(now, (header.dst, header.src), (kind::UNREACHABLE, code), quote, tx);
        }
    }

    /// Sends an error of this type and code. RFC 1122, 3.2.2: never about an ICMP error, a
    /// broadcast or a later fragment, which do not get here.
    pub(super) fn report(
        &mut self,
        now: Instant,
        (local, remote): (Ipv4Addr, Ipv4Addr),
        (kind, code): (u8, u8),
        quote: &[u8],
        tx: &mut TxQueue,
    ) {
        if !self.icmp_budget.take(now) {
            self.stats.icmp_limited += 1;
            return;
        }
        let Some(mut head) = self.ip.pool.alloc_reserved() else {
            self.ip.stats.no_buffer += 1;
            return;
        };
        let (ident, sequence, checksum) = (U16::ZERO, U16::ZERO, U16::ZERO);
        let error = Header { kind, code, checksum, ident, sequence };
        head.append(HEADER_LEN).copy_from_slice(error.as_bytes());
        head.append(quote.len()).copy_from_slice(quote);
        fill_checksum(&mut head);
        let mut flow = Flow::new(local.into(), remote.into());
        let mut net = Output { ip: &mut self.ip, tx, now };
        if net.transmit(&mut flow, Outgoing::usual(PROTOCOL), head, 0, []).is_ok() {
            self.stats.icmp_errors_out += 1;
        }
    }
}
