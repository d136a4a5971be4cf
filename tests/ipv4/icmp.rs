//! ICMP (RFC 792; RFC 1122, section 3.2.2) and path MTUs (RFC 1191).

use crate::host::{Host, Ip, OWN, OWN_MAC, PEER, icmp, joined, pattern, udp};
use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};
use zerohop::{
    Slice,
    udp::Error,
    wire::{MacAddr, checksum::Checksum},
};

const ICMP: Ip = Ip {
    src: PEER,
    dst: OWN,
    to: OWN_MAC,
    protocol: 1,
    ident: 9,
    offset: 0,
    more: false,
    tos: 0,
    ttl: 64,
};

/// A SYN to a port where nobody listens.
fn syn(ip: &Ip) -> Vec<u8> {
    let mut bytes = vec![0; 20];
    bytes[..4].copy_from_slice(&[0x0f, 0xa0, 0, 99]);
    (bytes[12], bytes[13]) = (5 << 4, 2);
    let mut sum = Checksum::pseudo_header(ip.src.into(), ip.dst.into(), 6, bytes.len());
    sum.add(&bytes);
    bytes[16..18].copy_from_slice(&sum.finish().to_be_bytes());
    bytes
}

fn to() -> SocketAddr {
    "10.0.0.1:9000".parse().unwrap()
}

#[test]
fn closed_port_and_unknown_protocol_are_told_within_a_limit() {
    let mut host = Host::new();
    let ip = Ip::default();
    host.inject(&ip.frame(&udp(&ip, (4000, 99), b"x")));
    host.inject(&Ip { protocol: 200, ..ip }.frame(b"what is this"));
    let packets = host.packets();
    assert_eq!(packets[0].payload[..2], [3, 3]);
    assert_eq!(packets[1].payload[..2], [3, 2]);
    for _ in 0..1000 {
        host.inject(&ip.frame(&udp(&ip, (4000, 99), b"x")));
    }
    assert!(host.packets().len() <= 10);
    assert!(host.count("icmp_limited") >= 990);
}

#[test]
fn little_time_to_live_is_no_reason_to_drop_and_none_is_never_sent() {
    // RFC 1122, 3.2.1.7.
    let mut host = Host::new();
    let id = host.stack.udp.bind("0.0.0.0:7".parse().unwrap()).unwrap();
    for ttl in [0, 1] {
        let ip = Ip { ttl, ..Ip::default() };
        host.inject(&ip.frame(&udp(&ip, (4000, 7), b"x")));
        let asked = host.stack.udp.recv(id).unwrap().expect("taken");
        host.stack.send_udp(host.now, &mut host.tx, id, asked.from, &asked.data).unwrap();
        // An answer of each kind: an echo, an error, a reset.
        host.inject(&Ip { ttl, ..ICMP }.frame(&icmp(8, 0, [1, 1], b"ping")));
        host.inject(&ip.frame(&udp(&ip, (4000, 99), b"x")));
        let tcp = Ip { protocol: 6, ..ip };
        host.inject(&tcp.frame(&syn(&tcp)));
        let sent = host.packets();
        let kinds: Vec<_> = sent.iter().map(|packet| packet.header.protocol).collect();
        assert_eq!(kinds, [17, 1, 1, 6], "{ttl}");
        assert!(sent.iter().all(|packet| packet.header.ttl == 64), "{ttl}");
    }
}

#[test]
fn no_error_about_an_error_a_broadcast_a_group_or_a_later_fragment() {
    let mut host = Host::new();
    let ip = Ip::default();
    // About an error: one whose quote makes no sense, and one about an unknown protocol.
    for kind in [3, 4, 5, 11, 12] {
        host.inject(&ICMP.frame(&icmp(kind, 0, [0, 0], &[0; 28])));
    }
    let all = MacAddr::BROADCAST;
    let broadcast = Ipv4Addr::new(10, 0, 0, 255);
    for dst in [broadcast, Ipv4Addr::BROADCAST] {
        let ip = Ip { dst, to: all, ..ip };
        host.inject(&ip.frame(&udp(&ip, (4000, 99), b"x")));
        host.inject(&Ip { protocol: 200, ..ip }.frame(b"x"));
        host.inject(&Ip { protocol: 1, ..ip }.frame(&icmp(8, 0, [1, 1], b"ping")));
    }
    // A unicast packet in a broadcast frame is for nobody.
    let odd = Ip { to: all, ..ip };
    host.inject(&odd.frame(&udp(&odd, (4000, 99), b"x")));
    host.inject(&Ip { offset: 8, ..ip }.frame(b"a later fragment"));
    host.pass(Duration::from_secs(60));
    assert!(host.packets().is_empty());
}

/// A fragmentation-needed message about a datagram of ours.
fn needs(mtu: u16, dst: Ipv4Addr, ports: (u16, u16), sent: usize) -> Vec<u8> {
    let ours = Ip { src: OWN, dst, ..Ip::default() };
    let mut quote = ours.header(sent - 20).to_vec();
    quote.extend(&udp(&ours, ports, &vec![0; sent - 28])[..8]);
    ICMP.frame(&icmp(3, 4, [0, mtu], &quote))
}

#[test]
fn path_mtu_is_learnt_from_errors_about_our_datagrams_and_ages() {
    let mut host = Host::new();
    let id = host.stack.udp.bind("0.0.0.0:7".parse().unwrap()).unwrap();
    let data = [Slice::from(pattern(1472))];
    let send = |host: &mut Host| {
        host.stack.send_udp(host.now, &mut host.tx, id, to(), &data).unwrap();
        host.packets()
    };
    assert_eq!(send(&mut host).len(), 1);
    // About a port that we do not have: forged.
    host.inject(&needs(1400, PEER, (8, 9000), 1500));
    assert_eq!(send(&mut host).len(), 1);
    host.inject(&needs(1400, PEER, (7, 9000), 1500));
    let packets = send(&mut host);
    assert_eq!(packets.len(), 2);
    assert!(packets.iter().all(|packet| packet.header.total_len <= 1400));
    assert_eq!(joined(&packets)[8..], pattern(1472));
    // Never raised by a message, never under the least.
    host.inject(&needs(9000, PEER, (7, 9000), 1500));
    assert_eq!(send(&mut host).len(), 2);
    host.inject(&needs(100, PEER, (7, 9000), 1400));
    let packets = send(&mut host);
    assert_eq!(packets.iter().map(|p| p.header.total_len).max(), Some(548));
    host.pass(Duration::from_secs(601));
    host.meet(PEER, crate::host::PEER_MAC);
    assert_eq!(send(&mut host).len(), 1);
}

#[test]
fn connected_socket_is_told_and_stays_usable() {
    let mut host = Host::new();
    let id = host.stack.udp.open("0.0.0.0:7".parse().unwrap(), Some(to())).unwrap();
    let quote = |code| {
        let ours = Ip { src: OWN, dst: PEER, ..Ip::default() };
        let bytes = [&ours.header(9)[..], &udp(&ours, (7, 9000), b"x")].concat();
        ICMP.frame(&icmp(3, code, [0, 0], &bytes))
    };
    host.inject(&quote(3));
    assert_eq!(host.stack.udp.take_readable(), Some(id));
    assert_eq!(host.stack.udp.recv(id).unwrap_err(), Error::Refused);
    assert!(host.stack.udp.recv(id).unwrap().is_none());
    host.inject(&quote(1));
    let send = |host: &mut Host| {
        let data = [Slice::from_static(b"x")];
        host.stack.send_udp(host.now, &mut host.tx, id, zerohop::udp::Target::default(), &data)
    };
    assert_eq!(send(&mut host), Err(Error::Unreachable));
    assert_eq!(send(&mut host), Ok(()));
    assert_eq!(host.packets().len(), 1);
}

#[test]
fn unconnected_socket_is_not_told() {
    let mut host = Host::new();
    let id = host.stack.udp.bind("0.0.0.0:7".parse().unwrap()).unwrap();
    let ours = Ip { src: OWN, dst: PEER, ..Ip::default() };
    let bytes = [&ours.header(9)[..], &udp(&ours, (7, 9000), b"x")].concat();
    host.inject(&ICMP.frame(&icmp(3, 3, [0, 0], &bytes)));
    assert!(host.stack.udp.recv(id).unwrap().is_none());
}

#[test]
fn error_about_another_hosts_packet_is_dropped() {
    let mut host = Host::new();
    host.stack.udp.bind("0.0.0.0:7".parse().unwrap()).unwrap();
    let theirs = Ip { src: Ipv4Addr::new(10, 0, 0, 9), dst: PEER, ..Ip::default() };
    let bytes = [&theirs.header(9)[..], &udp(&theirs, (7, 9000), b"x")].concat();
    host.inject(&ICMP.frame(&icmp(3, 3, [0, 0], &bytes)));
    assert_eq!(host.count("dropped_icmp"), 1);
    let mut wrong = icmp(8, 0, [1, 1], b"ping");
    wrong[2] ^= 1;
    host.inject(&ICMP.frame(&wrong));
    assert_eq!(host.count("dropped_icmp"), 2);
}

#[test]
fn nobody_is_answered_who_has_no_address() {
    let mut host = Host::new();
    let gateway = zerohop::ip::Route::default_by(PEER.into(), zerohop::ip::Origin::Static);
    host.stack.add_route(gateway).unwrap();
    let ip = Ip { src: Ipv4Addr::UNSPECIFIED, ..Ip::default() };
    host.inject(&ip.frame(&udp(&ip, (4000, 99), b"x")));
    host.inject(&Ip { protocol: 1, ..ip }.frame(&icmp(8, 0, [1, 1], b"ping")));
    assert!(host.frames().is_empty());
    assert_eq!(host.count("dropped_ip_source"), 2);
    // To all it may speak: as a DHCP client does.
    let id = host.stack.udp.bind("0.0.0.0:67".parse().unwrap()).unwrap();
    let all = Ip { dst: Ipv4Addr::BROADCAST, to: MacAddr::BROADCAST, ..ip };
    host.inject(&all.frame(&udp(&all, (68, 67), b"discover")));
    assert!(host.stack.udp.recv(id).unwrap().is_some());
}
