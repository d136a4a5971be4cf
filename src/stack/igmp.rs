//! IGMP messages in and out.

use super::Stack;
use crate::{
    frame::{Chain, TxMeta, TxQueue},
    ip::{Ip, group_mac},
    membership::Query,
    time::Instant,
    wire::{
        checksum::Checksum,
        ethernet::EtherType,
        igmp::{Message, PROTOCOL, REPORTS, report, version2},
        ipv4,
    },
};
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr};

/// Bytes of a message that are looked at: a query's, without its sources.
const LEN: usize = 12;
/// Records in one report, so that it fits into what every link carries unfragmented (RFC 791).
const RECORDS: usize = (576 - ipv4::HEADER_LEN - ipv4::ROUTER_ALERT.len() - 8) / 8;
/// RFC 3376, section 4: internetwork control.
const TOS: u8 = 0xc0;

impl Stack {
    pub(super) fn igmp(&mut self, now: Instant, ttl: u8, message: &mut Chain) {
        self.stir();
        message.pull_up(LEN.min(message.len()), &self.ip.pool);
        let mut sum = Checksum::new();
        message.iter().for_each(|slice| sum.add(slice));
        // RFC 3376, section 4: never from beyond the link.
        if sum.finish() != 0 || ttl != 1 || message.len() < 8 {
            self.stats.dropped_igmp += 1;
            return;
        }
        if let Some(message) = Message::parse(message.first()) {
            match message {
                Message::Query { group, delay, version2 } => {
                    let query = Query { group: group.into(), delay, old: version2 };
                    self.groups4.query(&query, now, &mut self.random);
                }
                Message::Report { group } => self.groups4.reported(group.into(), now),
            }
        }
    }

    pub(super) fn poll_igmp(&mut self, now: Instant, tx: &mut TxQueue) {
        if self.groups4.poll_at().is_none_or(|at| at > now) {
            return;
        }
        let joined: Vec<IpAddr> = self.ip.groups.iter().filter(IpAddr::is_ipv4).collect();
        let (records, old) = self.groups4.poll(now, &joined, &mut self.random);
        let records = records.into_iter().filter_map(|(record, group)| match group {
            IpAddr::V4(group) => Some((record, group)),
            IpAddr::V6(_) => None,
        });
        let records: Vec<_> = records.collect();
        if !old {
            for records in records.chunks(RECORDS) {
                self.ip.send_igmp(REPORTS, &report(records), tx);
            }
            return;
        }
        for (record, group) in records {
            let (message, to) = version2(record, group);
            self.ip.send_igmp(to, &message, tx);
        }
    }
}

impl Ip {
    /// Sends a message with the router alert option (RFC 2113) and a life of one hop.
    fn send_igmp(&mut self, to: Ipv4Addr, message: &[u8], tx: &mut TxQueue) {
        let Some(mut head) = self.buffer(tx) else { return };
        let header = ipv4::Header {
            header_len: ipv4::HEADER_LEN + ipv4::ROUTER_ALERT.len(),
            total_len: ipv4::HEADER_LEN + ipv4::ROUTER_ALERT.len() + message.len(),
            tos: TOS,
            ident: 0,
            dont_fragment: true,
            more_fragments: false,
            fragment_offset: 0,
            ttl: 1,
            protocol: PROTOCOL,
            // RFC 3376, section 4.2.13: unspecified while there is no address.
            src: self.addresses.source4(to).unwrap_or(Ipv4Addr::UNSPECIFIED),
            dst: to,
        };
        let header = header.encode_with_router_alert();
        head.append(header.len()).copy_from_slice(&header);
        head.append(message.len()).copy_from_slice(message);
        self.frame(group_mac(to.into()), EtherType::Ipv4, TxMeta::default(), head, [], tx);
    }
}
