//! The usual packet: to a neighbour that is known, no longer than the link carries, and with one
//! slice of payload at most.

use super::{
    Flow, Network, Outgoing, SendError,
    output::{HOP_LIMIT, Output},
};
use crate::{
    PacketBuf, Slice,
    frame::{PartialCsum, TxMeta},
    wire::{
        ethernet::{self, EtherType, HEADER_LEN},
        ipv4, ipv6,
    },
};
use core::net::IpAddr;

impl Output<'_> {
    /// Sends a packet if it is a usual one; else takes the way of all others.
    #[inline]
    pub(super) fn lean(
        &mut self,
        flow: &mut Flow,
        how: Outgoing,
        mut head: PacketBuf,
        payload: Option<Slice>,
    ) -> Result<(), SendError> {
        let behind = payload.as_ref().map_or(0, |slice| slice.len());
        let Some(start) = self.head(flow, &how, &mut head, behind) else {
            return self.transmit(flow, how, head, behind, payload);
        };
        self.ip.stats.sent += 1;
        let csum = how.csum_offset.map(|offset| PartialCsum { start: start as u16, offset });
        let meta = TxMeta { csum, gso: None };
        self.tx.push(meta, head.freeze(), payload);
        self.ended(flow, &how, meta);
        Ok(())
    }

    /// Puts both headers in front of a usual packet; how long they are.
    #[inline]
    fn head(
        &mut self,
        flow: &Flow,
        how: &Outgoing,
        head: &mut PacketBuf,
        behind: usize,
    ) -> Option<usize> {
        let mac = self.ip.neighbors.cached(flow.cache, self.now)?;
        if self.room() == 0 || how.gso.is_some() || !self.ip.path_mtus.is_empty() {
            return None;
        }
        let len = head.len() + behind;
        match (flow.local, flow.remote) {
            (IpAddr::V4(src), IpAddr::V4(dst)) if len + ipv4::HEADER_LEN <= self.ip.mtu.into() => {
                const LEN: usize = HEADER_LEN + ipv4::HEADER_LEN;
                // RFC 6864, section 4.1: as in `header4`.
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
                let (link, ip) = head.prepend(LEN).split_first_chunk_mut()?;
                *link = ethernet::bytes(mac, &self.ip.mac, EtherType::Ipv4);
                *ip.first_chunk_mut()? = header.bytes();
                Some(LEN)
            }
            (IpAddr::V6(src), IpAddr::V6(dst)) if len + ipv6::HEADER_LEN <= self.ip.mtu6.into() => {
                const LEN: usize = HEADER_LEN + ipv6::HEADER_LEN;
                let (link, ip) = head.prepend(LEN).split_first_chunk_mut()?;
                *link = ethernet::bytes(mac, &self.ip.mac, EtherType::Ipv6);
                *ip.first_chunk_mut()? = self.header6((src, dst), how, len).encode();
                Some(LEN)
            }
            _ => None,
        }
    }
}
