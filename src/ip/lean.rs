//! The usual packet: to a neighbour that is known, no longer than the link carries, and with one
//! slice of payload at most.

use super::{
    Flow, Network, Outgoing,
    output::{HOP_LIMIT, Output},
};
use crate::{
    PacketBuf,
    frame::{PartialCsum, TxMeta},
    wire::{
        ethernet::{self, EtherType, HEADER_LEN},
        ipv4, ipv6, tcp, udp,
    },
};
use core::net::IpAddr;

/// Facts of packets whose sums the device completes: by IP version, and whether it is UDP. Ready
/// made, as loading them in words right after their fields were stored would be slow.
static USUAL: [[TxMeta; 2]; 2] = {
    const fn meta(ip_len: usize, offset: u16) -> TxMeta {
        let start = (HEADER_LEN + ip_len) as u16;
        TxMeta { csum: Some(PartialCsum { start, offset }), gso: None }
    }
    const fn of(ip_len: usize) -> [TxMeta; 2] {
        [meta(ip_len, tcp::CHECKSUM_OFFSET), meta(ip_len, udp::CHECKSUM_OFFSET)]
    }
    [of(ipv4::HEADER_LEN), of(ipv6::HEADER_LEN)]
};

impl Output<'_> {
    /// Makes a usual packet ready to be queued: puts the headers in front, counts it, and tells its
    /// facts.
    #[inline]
    pub(super) fn lean(
        &mut self,
        flow: &Flow,
        how: &Outgoing,
        head: &mut PacketBuf,
        behind: usize,
    ) -> Option<TxMeta> {
        if !self.head(flow, how, head, behind) {
            return None;
        }
        self.ip.stats.sent += 1;
        let datagram = how.protocol == udp::PROTOCOL;
        Some(match how.csum_offset {
            Some(_) => USUAL[usize::from(flow.remote.is_ipv6())][usize::from(datagram)],
            None => TxMeta::default(),
        })
    }

    /// Puts both headers in front of a usual packet, if it is one.
    #[inline]
    fn head(&mut self, flow: &Flow, how: &Outgoing, head: &mut PacketBuf, behind: usize) -> bool {
        let Some(mac) = self.ip.neighbors.cached(flow.cache, self.now) else { return false };
        let other = !matches!(how.protocol, tcp::PROTOCOL | udp::PROTOCOL) || how.gso.is_some();
        if other || self.room() == 0 || !self.ip.path_mtus.is_empty() {
            return false;
        }
        let len = head.len() + behind;
        match (flow.local, flow.remote) {
            (IpAddr::V4(src), IpAddr::V4(dst)) if len + ipv4::HEADER_LEN <= self.ip.mtu.into() => {
                // RFC 6864, section 4.1: as in `header4`, whose use here costs 3 % more instructions.
                let ident = match how.dont_fragment {
                    true => 0,
                    false => self.ip.idents.next(src.into(), dst.into()) as u16,
                };
                let header = ipv4::Header {
                    header_len: ipv4::HEADER_LEN,
                    total_len: ipv4::HEADER_LEN + len,
                    tos: how.ecn as u8,
                    ident,
                    dont_fragment: how.dont_fragment,
                    more_fragments: false,
                    fragment_offset: 0,
                    ttl: how.hop_limit.unwrap_or(HOP_LIMIT),
                    protocol: how.protocol,
                    src,
                    dst,
                };
                let bytes = head.prepend(HEADER_LEN + ipv4::HEADER_LEN);
                let (link, ip) = bytes.split_at_mut(HEADER_LEN);
                link.copy_from_slice(&ethernet::bytes(mac, &self.ip.mac, EtherType::Ipv4));
                ip.copy_from_slice(&header.bytes());
                true
            }
            (IpAddr::V6(src), IpAddr::V6(dst)) if len + ipv6::HEADER_LEN <= self.ip.mtu6.into() => {
                let header = self.header6((src, dst), how, len).encode();
                let bytes = head.prepend(HEADER_LEN + ipv6::HEADER_LEN);
                let (link, ip) = bytes.split_at_mut(HEADER_LEN);
                link.copy_from_slice(&ethernet::bytes(mac, &self.ip.mac, EtherType::Ipv6));
                ip.copy_from_slice(&header);
                true
            }
            _ => false,
        }
    }
}
