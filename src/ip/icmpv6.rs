//! ICMPv6 messages to a hardware address that is known: discovery and membership.

use super::{Ip, select};
use crate::{
    frame::TxMeta,
    frame::TxQueue,
    neighbor::Solicit,
    wire::{
        MacAddr,
        ethernet::EtherType,
        icmpv6::{self, PROTOCOL, kind},
        ipv6::{self, solicited_node},
        mld, ndp,
    },
};
use core::net::{IpAddr, Ipv6Addr};
use zerocopy::IntoBytes;

/// A message.
pub(crate) struct Message<'a> {
    pub(crate) src: Ipv6Addr,
    pub(crate) dst: Ipv6Addr,
    pub(crate) hop_limit: u8,
    /// Behind a hop-by-hop header that alerts routers (RFC 2711).
    pub(crate) router_alert: bool,
    pub(crate) kind: u8,
    pub(crate) rest: u32,
    pub(crate) body: &'a [&'a [u8]],
}

impl Ip {
    /// Sends a message.
    pub(crate) fn send_icmpv6(&mut self, to: MacAddr, message: &Message<'_>, tx: &mut TxQueue) {
        let body: usize = message.body.iter().map(|part| part.len()).sum();
        let alert: &[u8] = if message.router_alert { &mld::ROUTER_ALERT } else { &[] };
        let len = alert.len() + icmpv6::HEADER_LEN + body;
        let Some(mut buf) = self.buffer(tx).filter(|buf| buf.tailroom() >= len) else { return };
        buf.append(alert.len()).copy_from_slice(alert);
        let mut header = icmpv6::Header::new(message.kind, 0, message.rest);
        let Message { src, dst, .. } = *message;
        let mut sum = icmpv6::pseudo_header(src, dst, icmpv6::HEADER_LEN + body);
        sum.add(header.as_bytes());
        message.body.iter().for_each(|part| sum.add(part));
        header.checksum = sum.finish().into();
        buf.append(icmpv6::HEADER_LEN).copy_from_slice(header.as_bytes());
        for part in message.body {
            buf.append(part.len()).copy_from_slice(part);
        }
        let header = ipv6::Header {
            traffic_class: 0,
            payload_len: len,
            next_header: if message.router_alert { 0 } else { PROTOCOL },
            hop_limit: message.hop_limit,
            src,
            dst,
        };
        buf.prepend(ipv6::HEADER_LEN).copy_from_slice(&header.encode());
        self.frame(to, EtherType::Ipv6, TxMeta::default(), buf, [], tx);
    }

    /// Asks for a neighbour, or whether it is still there (RFC 4861, section 7.2.2).
    pub(super) fn solicit6(&mut self, target: Ipv6Addr, solicit: Solicit, tx: &mut TxQueue) {
        // RFC 4429, 3.2: never from an address that may be another's. What waits does so until one
        // is verified.
        let verified = self.addresses.iter().filter(|a| a.is_verified());
        let Some(src) = select::source6(verified, target) else {
            if self.addresses.iter().any(|a| a.cidr.address.is_ipv6()) {
                self.neighbors.not_asked(target.into());
            }
            return;
        };
        match solicit.to {
            Some(mac) => self.send_solicitation(mac, src, target, target, tx),
            None => {
                let group = solicited_node(target);
                let mac = super::groups::group_mac(IpAddr::V6(group));
                self.send_solicitation(mac, src, group, target, tx);
            }
        }
    }

    /// A neighbour solicitation. RFC 4861, section 4.3: with our hardware address, unless it comes
    /// from nowhere.
    pub(crate) fn send_solicitation(
        &mut self,
        to: MacAddr,
        src: Ipv6Addr,
        dst: Ipv6Addr,
        target: Ipv6Addr,
        tx: &mut TxQueue,
    ) {
        let option = ndp::link_address(1, self.mac);
        let option: &[u8] = if src.is_unspecified() { &[] } else { &option };
        let message = Message {
            src,
            dst,
            hop_limit: ndp::HOP_LIMIT,
            router_alert: false,
            kind: kind::NEIGHBOR_SOLICITATION,
            rest: 0,
            body: &[&target.octets(), option],
        };
        self.send_icmpv6(to, &message, tx);
    }
}
