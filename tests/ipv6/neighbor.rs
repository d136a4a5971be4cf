//! Neighbour solicitations and advertisements (RFC 4861, section 7).

use crate::host::*;
use zerohop::{
    time::Duration,
    wire::{
        MacAddr,
        icmpv6::kind,
        ipv6::{ALL_NODES, solicited_node},
        ndp::flag,
    },
};

#[test]
fn a_solicitation_is_answered_to_the_address_that_it_names() {
    let mut host = Host::new();
    let own = host.link_local();
    host.inject(&solicitation(peer(), own, Some(PEER_MAC)));
    let answers = host.sent(kind::NEIGHBOR_ADVERTISEMENT);
    assert_eq!(answers.len(), 1);
    let answer = &answers[0];
    assert_eq!((answer.to, answer.header.dst, answer.header.src), (PEER_MAC, peer(), own));
    assert_eq!(answer.header.hop_limit, 255);
    assert_eq!(answer.payload[4], flag::SOLICITED | flag::OVERRIDE);
    assert_eq!(answer.payload[8..24], own.octets());
    assert_eq!(answer.payload[24..], [2, 1, 2, 0, 0, 0, 0, 2]);
}

#[test]
fn a_probe_for_an_address_in_use_is_answered_to_all_nodes() {
    let mut host = Host::new();
    let own = host.link_local();
    host.inject(&solicitation(NOWHERE, own, None));
    let answers = host.sent(kind::NEIGHBOR_ADVERTISEMENT);
    assert_eq!(answers.len(), 1);
    assert_eq!((answers[0].header.dst, answers[0].payload[4]), (ALL_NODES, flag::OVERRIDE));
}

#[test]
fn messages_from_beyond_the_link_are_dropped() {
    let mut host = Host::new();
    let own = host.link_local();
    for hop_limit in [0, 1, 64, 254] {
        for what in kind::ROUTER_SOLICITATION..=kind::REDIRECT {
            host.inject(&icmp(peer(), own, hop_limit, (what, 0), 0, &own.octets()));
        }
    }
    assert!(host.packets().is_empty());
    assert_eq!(host.count("dropped_ndp_hop_limit"), 20);
}

#[test]
fn malformed_solicitations_are_dropped_and_counted() {
    let mut host = Host::new();
    let (own, group) = (host.link_local(), solicited_node(host.link_local()));
    let what = (kind::NEIGHBOR_SOLICITATION, 0);
    let with = |option: &[u8]| [&own.octets()[..], option].concat();
    let bad = [
        // A code, too short, an option without length, one that is cut off.
        icmp(peer(), group, 255, (what.0, 1), 0, &with(&[])),
        icmp(peer(), group, 255, what, 0, &own.octets()[..15]),
        icmp(peer(), group, 255, what, 0, &with(&[1, 0, 0, 0, 0, 0, 0, 0])),
        icmp(peer(), group, 255, what, 0, &with(&[1, 2, 0, 0, 0, 0, 0, 0])),
        // A group as target; a probe to one host, or with a hardware address.
        icmp(peer(), group, 255, what, 0, &group.octets()),
        icmp(NOWHERE, own, 255, what, 0, &with(&[])),
        icmp(NOWHERE, group, 255, what, 0, &with(&[1, 1, 2, 0, 0, 0, 0, 1])),
    ];
    for frame in &bad {
        host.inject(frame);
    }
    assert!(host.packets().is_empty());
    assert_eq!(host.count("dropped_ndp"), bad.len() as u64);
    let mut wrong = solicitation(peer(), own, None);
    wrong[60] ^= 1;
    host.inject(&wrong);
    assert_eq!(host.count("dropped_icmp"), 1, "a wrong checksum");
}

#[test]
fn packets_to_an_unresolved_neighbour_wait_for_it() {
    let mut host = Host::new();
    let own = host.link_local();
    for n in 0..3 {
        host.inject(&icmp(peer(), own, 64, (kind::ECHO, 0), n, b""));
    }
    let sent = host.packets();
    assert_eq!(sent.len(), 1, "one solicitation");
    assert_eq!(sent[0].kind(), Some(kind::NEIGHBOR_SOLICITATION));
    assert_eq!(sent[0].header.dst, solicited_node(peer()));
    let flags = flag::SOLICITED | flag::OVERRIDE;
    host.inject(&advertisement((peer(), own), peer(), flags, PEER_MAC));
    let replies = host.sent(kind::ECHO_REPLY);
    assert_eq!(replies.len(), 3);
    assert!(replies.iter().all(|reply| reply.to == PEER_MAC));
}

#[test]
fn an_advertisement_about_another_target_never_changes_an_entry() {
    let mut host = Host::new();
    let own = host.link_local();
    host.meet(peer(), PEER_MAC);
    let flags = flag::SOLICITED | flag::OVERRIDE;
    // From the peer's address, to whoever it is, about somebody else.
    host.inject(&advertisement((peer(), own), ip("fe80::99"), flags, EVIL_MAC));
    host.inject(&advertisement((peer(), ALL_NODES), ip("fe80::98"), flag::OVERRIDE, EVIL_MAC));
    assert_eq!(host.echo(peer(), own)[0].to, PEER_MAC);
}

#[test]
fn a_spoofed_advertisement_without_override_changes_nothing() {
    let mut host = Host::new();
    let own = host.link_local();
    host.meet(peer(), PEER_MAC);
    host.inject(&advertisement((peer(), own), peer(), flag::SOLICITED, EVIL_MAC));
    assert_eq!(host.echo(peer(), own)[0].to, PEER_MAC);
    // Solicited, but sent to all: against the rules.
    let flags = flag::SOLICITED | flag::OVERRIDE;
    host.inject(&advertisement((peer(), ALL_NODES), peer(), flags, EVIL_MAC));
    assert_eq!(host.echo(peer(), own)[0].to, PEER_MAC);
    assert_eq!(host.count("dropped_ndp"), 1);
}

#[test]
fn a_neighbour_that_is_silent_is_probed_and_asked_for_anew() {
    let mut host = Host::new();
    let own = host.link_local();
    host.meet(peer(), PEER_MAC);
    host.echo(peer(), own);
    host.pass(Duration::from_secs(9));
    let probes = host.sent(kind::NEIGHBOR_SOLICITATION);
    assert_eq!(probes.len(), 3);
    assert!(probes.iter().all(|p| p.to == PEER_MAC && p.header.dst == peer()));
    host.inject(&icmp(peer(), own, 64, (kind::ECHO, 0), 0, b""));
    let asked = host.sent(kind::NEIGHBOR_SOLICITATION);
    assert_eq!(asked[0].header.dst, solicited_node(peer()), "by multicast again");
}

#[test]
fn a_flood_of_solicitations_keeps_memory_flat() {
    let mut host = Host::new();
    let own = host.link_local();
    host.befriend();
    let free = host.pool.stats().free;
    for n in 0..50_000_u32 {
        let [_, b, c, d] = n.to_be_bytes();
        let src = ip(&format!("fe80::1:{:x}:{:x}", u16::from(b), u16::from_be_bytes([c, d])));
        host.inject(&solicitation(src, own, Some(MacAddr([2, 1, 0, b, c, d]))));
        if n % 100 == 0 {
            host.packets();
        }
    }
    host.packets();
    assert_eq!(host.pool.stats().free, free);
    assert_eq!(host.echo(peer(), own)[0].to, PEER_MAC);
}

#[test]
fn a_flood_from_neighbours_that_do_not_exist_leaves_buffers_for_others() {
    let mut host = Host::new();
    let own = host.link_local();
    host.befriend();
    for n in 0..20_000_u32 {
        let src = ip(&format!("fe80::2:{:x}:{:x}", n >> 16, n & 0xffff));
        host.inject(&icmp(src, own, 64, (kind::ECHO, 0), 0, &[0; 1000]));
        host.packets();
    }
    assert!(host.pool.stats().free > 512 * 3 / 4 - 64, "{:?}", host.pool.stats());
    assert_eq!(host.echo(peer(), own).len(), 1);
}

#[test]
fn questions_that_come_faster_than_answers_go_leave_buffers_for_others() {
    let mut host = Host::new();
    host.meet(peer(), PEER_MAC);
    let own = host.link_local();
    let free = host.pool.stats().free;
    for _ in 0..2000 {
        host.inject(&solicitation(peer(), own, Some(PEER_MAC)));
    }
    assert!(host.tx.len() <= 512 && host.tx.len() + host.pool.stats().free >= free);
}
