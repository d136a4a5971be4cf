//! Multicast listener discovery (RFC 3810): queries in, reports out.

use super::Stack;
use crate::{
    frame::{Chain, TxQueue},
    ip::{group_mac, icmpv6::Message},
    membership,
    time::Instant,
    wire::{
        icmpv6::kind,
        ipv6::{self, ALL_ROUTERS, is_link_local},
        mld::{self, Query, Record, record},
    },
};
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv6Addr};

/// Records in one report of the least MTU.
const RECORDS: usize = (ipv6::MIN_MTU as usize - ipv6::HEADER_LEN - 16) / mld::RECORD_LEN;

impl Stack {
    pub(super) fn listener_query(&mut self, now: Instant, ip: &ipv6::Header, message: &mut Chain) {
        let whole = message.pull_up(message.len(), &self.ip.pool);
        // RFC 3810, section 6.2.
        let checked = whole && is_link_local(ip.src) && ip.hop_limit == 1;
        match Query::parse(message.first()).filter(|_| checked) {
            Some(Query { group, delay, version1 }) => {
                let query = membership::Query { group: group.into(), delay, old: version1 };
                self.groups6.query(&query, now, &mut self.random);
            }
            None => self.stats.dropped_mld += 1,
        }
    }

    /// Sends the reports that are due.
    pub(super) fn mld_poll(&mut self, now: Instant, tx: &mut TxQueue) {
        if self.groups6.poll_at().is_none_or(|at| at > now) {
            return;
        }
        let joined: Vec<IpAddr> = self.ip.groups.iter().filter(IpAddr::is_ipv6).collect();
        let (records, version1) = self.groups6.poll(now, &joined, &mut self.random);
        let records = records.into_iter().filter_map(|(record, group)| match group {
            IpAddr::V6(group) => Some((record, group)),
            IpAddr::V4(_) => None,
        });
        let records: Vec<_> = records.collect();
        // RFC 3590: from nowhere while there is no other.
        let src = self.link_local().unwrap_or(Ipv6Addr::UNSPECIFIED);
        if version1 {
            for (record, group) in records {
                let (kind, dst) = match record {
                    Record::ToInclude => (kind::LISTENER_DONE, ALL_ROUTERS),
                    _ => (kind::LISTENER_REPORT_V1, group),
                };
                self.send_report((src, dst), kind, 0, &group.octets(), tx);
            }
            return;
        }
        for records in records.chunks(RECORDS) {
            let bytes: Vec<u8> =
                records.iter().flat_map(|(what, group)| record(*what, *group)).collect();
            let addresses = (src, mld::ALL_ROUTERS);
            self.send_report(addresses, kind::LISTENER_REPORT, records.len() as u32, &bytes, tx);
        }
    }

    fn send_report(
        &mut self,
        (src, dst): (Ipv6Addr, Ipv6Addr),
        kind: u8,
        rest: u32,
        body: &[u8],
        tx: &mut TxQueue,
    ) {
        let message =
            Message { src, dst, hop_limit: 1, router_alert: true, kind, rest, body: &[body] };
        self.ip.send_icmpv6(group_mac(dst.into()), &message, tx);
    }
}
