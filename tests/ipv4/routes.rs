//! Routes by several routers.

use crate::host::{Host, OWN, PEER, PEER_MAC, arp};
use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};
use zerohop::{
    Slice,
    ip::{Origin, Route},
    udp::UdpId,
    wire::{MacAddr, arp::Operation},
};

const OTHER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 9);
const OTHER_MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 9]);

fn send(host: &mut Host, id: UdpId) {
    let to: SocketAddr = "10.9.1.1:9".parse().unwrap();
    host.stack.send_udp(host.now, &mut host.tx, id, to, &[Slice::from_static(b"x")]).unwrap();
}

/// A host that knows its gateway, and has a route by another router that it has not met.
fn routed() -> (Host, UdpId) {
    let mut host = Host::new();
    host.stack.add_route(Route::default_by(PEER.into(), Origin::Static)).unwrap();
    let prefix = "10.9.0.0/16".parse().unwrap();
    host.stack.add_route(Route::new(prefix, Some(OTHER.into()), Origin::Static)).unwrap();
    let id = host.stack.udp.bind("0.0.0.0:7".parse().unwrap()).unwrap();
    (host, id)
}

#[test]
fn the_longest_prefix_is_used_though_its_router_is_not_known_yet() {
    let (mut host, id) = routed();
    send(&mut host, id);
    let asked: Vec<_> = host.arps().iter().map(|(_, arp)| arp.target).collect();
    assert_eq!(asked, [OTHER]);
    host.inject(&arp(Operation::Reply, (OTHER_MAC, OTHER), OWN));
    let packets = host.packets();
    assert_eq!((packets.len(), packets[0].to), (1, OTHER_MAC));
}

#[test]
fn a_silent_router_is_passed_over_and_asked_again_once_a_minute() {
    let (mut host, id) = routed();
    send(&mut host, id);
    host.pass(Duration::from_secs(4));
    assert_eq!(host.arps().len(), 3);
    send(&mut host, id);
    let packets = host.packets();
    assert_eq!((packets.len(), packets[0].to), (1, PEER_MAC), "the other way");
    // Asked again by itself: packets go the other way meanwhile.
    host.pass(Duration::from_secs(60));
    host.meet(PEER, PEER_MAC);
    let mut asked = 0;
    for _ in 0..60 {
        host.pass(Duration::from_secs(1));
        host.meet(PEER, PEER_MAC);
        send(&mut host, id);
        let frames = host.frames();
        asked +=
            frames.iter().filter(|f| f[12..14] == [8, 6] && f[38..42] == OTHER.octets()).count();
        assert!(frames.iter().any(|f| f[12..14] == [8, 0] && f[..6] == PEER_MAC.0));
    }
    assert!(asked <= 3, "{asked}");
    // Once it answers, its prefix is reached by it.
    host.inject(&arp(Operation::Request, (OTHER_MAC, OTHER), OWN));
    host.pass(Duration::from_secs(61));
    host.frames();
    send(&mut host, id);
    assert_eq!(host.packets().last().map(|packet| packet.to), Some(OTHER_MAC));
}
