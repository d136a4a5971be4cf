//! ARP (RFC 826) and conflicts about addresses (RFC 5227).

use crate::host::{Host, OWN, OWN_MAC, PEER, PEER_MAC, arp};
use std::{net::Ipv4Addr, time::Duration};
use zerohop::{
    ip::{Address, AddressState, Origin},
    stack::Config,
    wire::{
        MacAddr,
        arp::{Arp, Operation},
    },
};

const OTHER: MacAddr = MacAddr([2, 9, 9, 9, 9, 9]);

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn is_announcement(arp: &Arp) -> bool {
    (arp.operation, arp.sender, arp.target) == (Operation::Request, OWN, OWN)
}

fn is_probe(arp: &Arp) -> bool {
    (arp.operation, arp.sender, arp.target) == (Operation::Request, Ipv4Addr::UNSPECIFIED, OWN)
}

#[test]
fn address_is_announced_twice_at_start() {
    let mut host = Host::fresh(&Config::default(), 256);
    host.pass(Duration::from_millis(1));
    let (to, first) = host.arps().remove(0);
    assert!(is_announcement(&first) && to == MacAddr::BROADCAST);
    host.pass(seconds(1));
    assert!(host.arps().is_empty());
    host.pass(seconds(1));
    assert!(is_announcement(&host.arps()[0].1));
    host.pass(seconds(60));
    assert!(host.arps().is_empty());
}

#[test]
fn probed_address_is_used_after_three_probes_without_an_answer() {
    let mut host = Host::fresh(&Config { probe_ipv4: true, ..Config::default() }, 256);
    let started = host.now;
    let mut at = Vec::new();
    while at.len() < 3 {
        host.pass(Duration::from_millis(10));
        for (_, arp) in host.arps() {
            assert!(is_probe(&arp));
            at.push(host.now - started);
        }
    }
    assert!(at[0] <= seconds(1) + Duration::from_millis(10));
    for pair in at.windows(2) {
        let apart = pair[1] - pair[0];
        assert!(apart >= Duration::from_millis(990) && apart <= Duration::from_millis(2010));
    }
    // Not used meanwhile: nobody gets an answer.
    host.inject(&arp(Operation::Request, (PEER_MAC, PEER), OWN));
    assert!(host.arps().is_empty());
    host.pass(seconds(2));
    assert!(is_announcement(&host.arps()[0].1));
    host.inject(&arp(Operation::Request, (PEER_MAC, PEER), OWN));
    assert_eq!(host.arps()[0].1.operation, Operation::Reply);
}

#[test]
fn address_that_somebody_has_or_probes_for_is_not_used() {
    let claims = [
        arp(Operation::Reply, (OTHER, OWN), Ipv4Addr::UNSPECIFIED),
        arp(Operation::Request, (OTHER, OWN), OWN),
        arp(Operation::Request, (OTHER, Ipv4Addr::UNSPECIFIED), OWN),
    ];
    for claim in claims {
        let mut host = Host::fresh(&Config { probe_ipv4: true, ..Config::default() }, 256);
        host.pass(seconds(2));
        host.frames();
        host.inject(&claim);
        host.pass(seconds(60));
        assert!(host.arps().is_empty());
        assert_eq!(host.stack.addresses().count(), 0);
        assert_eq!(host.count("arp_conflicts"), 1);
    }
}

#[test]
fn address_in_use_is_defended_once_in_ten_seconds_and_kept() {
    let mut host = Host::new();
    let claim = arp(Operation::Request, (OTHER, OWN), PEER);
    for _ in 0..5 {
        host.inject(&claim);
    }
    let defence = host.arps();
    assert_eq!(defence.len(), 1);
    assert!(is_announcement(&defence[0].1));
    host.pass(seconds(11));
    host.inject(&claim);
    assert_eq!(host.arps().len(), 1);
    assert_eq!(host.stack.addresses().count(), 1);
    assert_eq!(host.count("arp_conflicts"), 6);
    // It taught us nothing: we do not send to ourselves.
    host.inject(&arp(Operation::Request, (PEER_MAC, PEER), OWN));
    assert_eq!(host.arps()[0].1.sender_mac, OWN_MAC);
}

#[test]
fn leased_address_that_is_contested_is_given_up() {
    let mut host = Host::new();
    let leased = Ipv4Addr::new(10, 0, 0, 50);
    let address = Address::new("10.0.0.50/24".parse().unwrap(), Origin::Dhcp);
    host.stack.add_address(host.now, address).unwrap();
    host.pass(seconds(5));
    host.frames();
    host.inject(&arp(Operation::Request, (OTHER, leased), leased));
    assert_eq!(host.arps().len(), 1);
    host.inject(&arp(Operation::Request, (OTHER, leased), leased));
    assert!(host.stack.addresses().all(|a| a.cidr.address != leased));
}

#[test]
fn tentative_address_can_be_added_at_run_time() {
    let mut host = Host::new();
    let mut address = Address::new("10.0.0.50/24".parse().unwrap(), Origin::Static);
    address.state = AddressState::Tentative;
    host.stack.add_address(host.now, address).unwrap();
    host.pass(seconds(10));
    assert_eq!(host.arps().len(), 3 + 2);
    assert!(host.stack.addresses().all(|a| a.state == AddressState::Preferred));
}

#[test]
fn request_for_our_address_is_answered_and_others_are_not() {
    let mut host = Host::new();
    host.inject(&arp(Operation::Request, (PEER_MAC, PEER), OWN));
    let answers = host.arps();
    assert_eq!(answers.len(), 1);
    let (to, answer) = answers[0];
    assert_eq!((to, answer.target_mac, answer.target), (PEER_MAC, PEER_MAC, PEER));
    assert_eq!((answer.sender_mac, answer.sender), (OWN_MAC, OWN));
    // RFC 5227: a probe is answered, too.
    host.inject(&arp(Operation::Request, (PEER_MAC, Ipv4Addr::UNSPECIFIED), OWN));
    assert_eq!(host.arps().len(), 1);
    host.inject(&arp(Operation::Request, (PEER_MAC, PEER), Ipv4Addr::new(10, 0, 0, 3)));
    assert!(host.arps().is_empty());
}

/// Where a datagram to the peer goes.
fn destination(host: &mut Host) -> Option<MacAddr> {
    let id = host.stack.udp.bind("0.0.0.0:0".parse().unwrap()).unwrap();
    let to = std::net::SocketAddr::from((PEER, 9));
    host.stack.send_udp(host.now, &mut host.tx, id, to, &[]).unwrap();
    host.stack.close_udp(host.now, id);
    host.packets().first().map(|packet| packet.to)
}

#[test]
fn spoofed_claims_do_not_move_a_neighbour() {
    let mut host = Host::new();
    for claim in [
        arp(Operation::Reply, (OTHER, PEER), OWN),
        arp(Operation::Request, (OTHER, PEER), PEER),
        arp(Operation::Request, (OTHER, PEER), OWN),
    ] {
        host.inject(&claim);
        host.inject(&claim);
        // The neighbour itself is asked, and nothing is sent elsewhere meanwhile.
        let asked: Vec<_> = host.arps().into_iter().filter(|(to, _)| *to == PEER_MAC).collect();
        assert_eq!(asked.len(), 1);
        assert_eq!((asked[0].1.operation, asked[0].1.target), (Operation::Request, PEER));
        assert_eq!(destination(&mut host), Some(PEER_MAC));
        host.inject(&arp(Operation::Reply, (PEER_MAC, PEER), OWN));
        host.pass(seconds(5));
        assert_eq!(destination(&mut host), Some(PEER_MAC));
        host.frames();
    }
}

#[test]
fn neighbour_that_moved_is_found_when_its_old_address_stays_silent() {
    let mut host = Host::new();
    host.inject(&arp(Operation::Request, (OTHER, PEER), PEER));
    host.pass(seconds(4));
    host.frames();
    assert_eq!(destination(&mut host), None);
    host.inject(&arp(Operation::Reply, (OTHER, PEER), OWN));
    assert_eq!(host.packets()[0].to, OTHER);
    assert_eq!(destination(&mut host), Some(OTHER));
}

#[test]
fn malformed_packets_are_counted() {
    let mut host = Host::new();
    let good = arp(Operation::Request, (PEER_MAC, PEER), OWN);
    for (at, value) in [(14, 9), (17, 9), (18, 7), (19, 5), (21, 9), (22, 1)] {
        let mut bad = good.clone();
        bad[at] = value;
        host.inject(&bad);
    }
    host.inject(&good[..40]);
    assert_eq!(host.count("dropped_arp"), 7);
    assert!(host.arps().is_empty());
}

#[test]
fn flood_keeps_memory_flat() {
    let mut host = Host::new();
    for i in 0..50_000_u32 {
        let [_, b, c, d] = i.to_be_bytes();
        let mac = MacAddr([2, 1, b, c, d, 0]);
        // Every one of our network, asking for us, and strangers.
        host.inject(&arp(Operation::Request, (mac, Ipv4Addr::new(10, 0, 0, d)), OWN));
        host.inject(&arp(Operation::Request, (mac, Ipv4Addr::new(10, b, c, d)), OWN));
        host.frames();
    }
    assert_eq!(host.pool.stats().free, 1024);
}

#[test]
fn questions_that_come_faster_than_answers_go_leave_buffers_for_others() {
    let mut host = Host::new();
    for _ in 0..2000 {
        host.inject(&arp(Operation::Request, (PEER_MAC, PEER), OWN));
    }
    assert!(host.tx.len() <= 512 && host.pool.stats().free >= 512);
    assert_eq!(host.count("ip_no_buffer"), 2000 - 512);
    host.frames();
    host.inject(&arp(Operation::Request, (PEER_MAC, PEER), OWN));
    assert_eq!(host.arps().len(), 1);
}
