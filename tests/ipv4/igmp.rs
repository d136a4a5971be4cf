//! IGMP (RFC 3376, RFC 2236).

use crate::host::{Host, Ip, Packet, icmp};
use std::{
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};
use zerohop::wire::MacAddr;

const GROUP: Ipv4Addr = Ipv4Addr::new(239, 1, 2, 3);
const ALL_HOSTS: Ip = Ip {
    src: crate::host::PEER,
    dst: Ipv4Addr::new(224, 0, 0, 1),
    to: MacAddr([1, 0, 0x5e, 0, 0, 1]),
    protocol: 2,
    ident: 1,
    offset: 0,
    more: false,
    tos: 0xc0,
    ttl: 1,
};

fn joined() -> Host {
    let mut host = Host::new();
    host.stack.join_group(host.now, IpAddr::V4(GROUP)).unwrap();
    host
}

/// A query of version 3, about all groups.
fn query3(host: &mut Host) {
    host.inject(&ALL_HOSTS.frame(&icmp(0x11, 100, [0, 0], &[2, 125, 0, 0])));
}

fn query2(host: &mut Host, group: Ipv4Addr) {
    let [a, b, c, d] = group.octets();
    let words = [u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])];
    host.inject(&ALL_HOSTS.frame(&icmp(0x11, 100, words, &[])));
}

/// Type of the one record and its group, of a report of version 3.
fn record(packet: &Packet) -> (u8, Ipv4Addr) {
    assert_eq!(packet.header.dst, Ipv4Addr::new(224, 0, 0, 22));
    assert_eq!(packet.to, MacAddr([1, 0, 0x5e, 0, 0, 22]));
    assert_eq!((packet.header.ttl, &packet.options[..]), (1, &[0x94, 4, 0, 0][..]));
    let bytes = &packet.payload;
    assert_eq!((bytes[0], &bytes[6..8], bytes.len()), (0x22, &[0, 1][..], 16));
    let mut again = bytes.clone();
    zerohop::wire::icmpv4::fill_checksum(&mut again);
    assert_eq!(again, *bytes);
    (bytes[8], Ipv4Addr::new(bytes[12], bytes[13], bytes[14], bytes[15]))
}

#[test]
fn joining_and_leaving_are_reported_twice_each() {
    let mut host = joined();
    host.pass(Duration::from_secs(5));
    let reports: Vec<_> = host.packets().iter().map(record).collect();
    assert_eq!(reports, [(4, GROUP), (4, GROUP)]);
    // Only the last one that leaves is told.
    host.stack.join_group(host.now, IpAddr::V4(GROUP)).unwrap();
    host.stack.leave_group(host.now, IpAddr::V4(GROUP));
    host.pass(Duration::from_secs(5));
    assert!(host.packets().is_empty());
    host.stack.leave_group(host.now, IpAddr::V4(GROUP));
    host.pass(Duration::from_secs(5));
    let reports: Vec<_> = host.packets().iter().map(record).collect();
    assert_eq!(reports, [(3, GROUP), (3, GROUP)]);
}

#[test]
fn query_is_answered_within_its_delay() {
    let mut host = joined();
    host.pass(Duration::from_secs(5));
    host.packets();
    query3(&mut host);
    host.pass(Duration::from_secs(10));
    let reports: Vec<_> = host.packets().iter().map(record).collect();
    assert_eq!(reports, [(2, GROUP)]);
}

#[test]
fn router_of_version_2_is_answered_in_its_language_for_a_while() {
    let mut host = joined();
    host.pass(Duration::from_secs(5));
    host.packets();
    query2(&mut host, Ipv4Addr::UNSPECIFIED);
    host.pass(Duration::from_secs(10));
    let packets = host.packets();
    assert_eq!(packets.len(), 1);
    assert_eq!((packets[0].header.dst, packets[0].payload[0]), (GROUP, 0x16));
    host.stack.leave_group(host.now, IpAddr::V4(GROUP));
    host.pass(Duration::from_secs(5));
    let packets = host.packets();
    assert_eq!(packets[0].header.dst, Ipv4Addr::new(224, 0, 0, 2));
    assert_eq!(packets[0].payload[0], 0x17);
    // RFC 3376, section 8.12: after 260 seconds without one, version 3 again.
    host.pass(Duration::from_secs(260));
    host.stack.join_group(host.now, IpAddr::V4(GROUP)).unwrap();
    host.pass(Duration::from_secs(5));
    assert_eq!(host.packets().iter().map(record).next(), Some((4, GROUP)));
}

#[test]
fn answer_of_another_host_is_enough_in_version_2() {
    let mut host = joined();
    host.pass(Duration::from_secs(5));
    host.packets();
    query2(&mut host, GROUP);
    let [a, b, c, d] = GROUP.octets();
    let words = [u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])];
    let to_group = Ip { dst: GROUP, to: MacAddr([1, 0, 0x5e, 1, 2, 3]), ..ALL_HOSTS };
    host.inject(&to_group.frame(&icmp(0x16, 0, words, &[])));
    host.pass(Duration::from_secs(20));
    assert!(host.packets().is_empty());
}

#[test]
fn bad_messages_are_counted_and_not_answered() {
    let mut host = joined();
    host.pass(Duration::from_secs(5));
    host.packets();
    let far = Ip { ttl: 2, ..ALL_HOSTS };
    host.inject(&far.frame(&icmp(0x11, 1, [0, 0], &[2, 125, 0, 0])));
    let mut wrong = icmp(0x11, 1, [0, 0], &[2, 125, 0, 0]);
    wrong[3] ^= 1;
    host.inject(&ALL_HOSTS.frame(&wrong));
    host.inject(&ALL_HOSTS.frame(&[0x11, 1]));
    host.pass(Duration::from_secs(20));
    assert!(host.packets().is_empty());
    assert_eq!(host.count("dropped_igmp"), 3);
}

#[test]
fn flood_of_queries_and_joins_keeps_memory_flat() {
    let mut host = joined();
    for i in 0..20_000_u32 {
        let group = Ipv4Addr::from_bits(0xe100_0000 + i);
        query2(&mut host, group);
        let _ = host.stack.join_group(host.now, IpAddr::V4(group));
    }
    host.pass(Duration::from_secs(60));
    // The groups are bounded, and so is what is said of them.
    assert!(host.packets().len() < 1000);
    assert_eq!(host.pool.stats().free, 1024);
}

#[test]
fn reports_of_many_groups_fit_into_packets() {
    let mut host = Host::new();
    for i in 0..128 {
        let group = Ipv4Addr::from_bits(0xe100_0000 + i);
        host.stack.join_group(host.now, IpAddr::V4(group)).unwrap();
    }
    // All changes and the answer are due at once.
    host.inject(&ALL_HOSTS.frame(&icmp(0x11, 0, [0, 0], &[2, 125, 0, 0])));
    let reports = host.packets();
    let records = |p: &Packet| usize::from(u16::from_be_bytes([p.payload[6], p.payload[7]]));
    assert_eq!(reports.iter().map(records).sum::<usize>(), 256);
    assert!(reports.iter().all(|p| p.header.total_len <= 576));
    assert!(reports.iter().all(|p| p.payload.len() == 8 + 8 * records(p)));
}
