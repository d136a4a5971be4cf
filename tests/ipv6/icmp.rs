//! Echo and errors (RFC 4443).

use crate::host::*;
use std::net::{Ipv6Addr, SocketAddr};
use zerohop::{
    Slice,
    time::Duration,
    wire::{
        checksum::Checksum,
        icmpv6::{PROTOCOL, code, kind},
        ipv6::{ALL_NODES, HEADER_LEN},
        udp,
    },
};

/// A UDP datagram with its checksum.
pub fn datagram((src, dst): (Ipv6Addr, Ipv6Addr), port: u16, data: &[u8]) -> Vec<u8> {
    let len = 8 + data.len();
    let mut bytes = [&[0x12, 0x34][..], &port.to_be_bytes(), &[0, 0, 0, 0], data].concat();
    bytes[4..6].copy_from_slice(&(len as u16).to_be_bytes());
    let mut sum = Checksum::pseudo_header(src.into(), dst.into(), udp::PROTOCOL, len);
    sum.add(&bytes);
    bytes[6..8].copy_from_slice(&sum.finish().to_be_bytes());
    bytes
}

fn known() -> (Host, Ipv6Addr) {
    let mut host = Host::new();
    host.meet(peer(), PEER_MAC);
    let own = host.link_local();
    (host, own)
}

#[test]
fn echo_requests_to_a_group_are_answered_from_an_address_of_ours() {
    let (mut host, own) = known();
    let reply = &host.echo(peer(), ALL_NODES)[0];
    assert_eq!((reply.header.src, reply.header.dst), (own, peer()));
    assert_eq!(reply.payload[4..], [0, 1, 0, 2, b'd', b'a', b't', b'a']);
}

#[test]
fn a_closed_port_is_reported_with_as_much_of_the_packet_as_fits() {
    let (mut host, own) = known();
    let payload = datagram((peer(), own), 9, &[7; 1400]);
    host.inject(&frame(peer(), own, 64, udp::PROTOCOL, &payload));
    let errors = host.sent(kind::UNREACHABLE);
    assert_eq!((errors.len(), errors[0].payload[1]), (1, code::PORT));
    assert_eq!(errors[0].payload.len() + HEADER_LEN, 1280);
    assert_eq!(errors[0].payload[48..56], payload[..8]);
}

#[test]
fn no_error_is_sent_about_errors_groups_or_nobody() {
    let (mut host, own) = known();
    let closed = |src, dst| frame(src, dst, 64, udp::PROTOCOL, &datagram((src, dst), 9, b"x"));
    host.inject(&closed(peer(), ALL_NODES));
    host.inject(&closed(NOWHERE, own));
    // An error behind an option that asks for one.
    let error = message((peer(), own), (kind::UNREACHABLE, 0), 0, &[0; 48]);
    let options = [&[PROTOCOL, 0, 0xde, 4, 0, 0, 0, 0][..], &error].concat();
    host.inject(&frame(peer(), own, 64, 60, &options));
    assert!(host.packets().is_empty());
}

#[test]
fn packets_with_no_hops_left_are_for_us_all_the_same() {
    // RFC 8200, section 3: their destination is no router.
    let mut host = Host::new();
    host.meet(peer(), PEER_MAC);
    let own = host.link_local();
    for hops in [0, 1] {
        host.inject(&icmp(peer(), own, hops, (kind::ECHO, 0), 1, b"data"));
        let answer = host.sent(kind::ECHO_REPLY);
        assert_eq!(answer.iter().map(|p| p.header.hop_limit).collect::<Vec<_>>(), [64]);
    }
}

#[test]
fn errors_are_rate_limited() {
    let (mut host, own) = known();
    for _ in 0..1000 {
        let payload = datagram((peer(), own), 9, b"x");
        host.inject(&frame(peer(), own, 64, udp::PROTOCOL, &payload));
    }
    assert_eq!(host.sent(kind::UNREACHABLE).len(), 10);
    assert_eq!(host.count("icmp_limited"), 990);
    host.pass(Duration::from_secs(1));
    host.inject(&frame(peer(), own, 64, udp::PROTOCOL, &datagram((peer(), own), 9, b"x")));
    assert_eq!(host.sent(kind::UNREACHABLE).len(), 1);
}

#[test]
fn packet_too_big_lowers_the_path_but_not_below_1280_and_not_for_strangers() {
    let (mut host, own) = known();
    let socket = host.stack.udp.bind("[::]:7000".parse().unwrap()).unwrap();
    let to = SocketAddr::new(peer().into(), 9);
    let data = [Slice::from(vec![1; 1400])];
    let send = |host: &mut Host| {
        host.stack.send_udp(host.now, &mut host.tx, socket, to, &data).unwrap();
        host.packets()
    };
    let sent = send(&mut host).remove(0);
    let quote = |src: Ipv6Addr, ports: [u8; 4]| {
        let header = zerohop::wire::ipv6::Header { src, ..sent.header }.encode();
        [&header[..], &ports, &sent.payload[4..200]].concat()
    };
    let ours = quote(own, sent.payload[..4].try_into().unwrap());
    let too_big = |mtu: u32, quote: &[u8]| icmp(peer(), own, 64, (kind::TOO_BIG, 0), mtu, quote);
    host.inject(&too_big(1279, &ours));
    host.inject(&too_big(0, &ours));
    host.inject(&too_big(1300, &quote(ip("fe80::77"), [0x1b, 0x58, 0, 9])));
    host.inject(&too_big(1300, &quote(own, [0, 1, 0, 9])));
    host.inject(&too_big(9000, &ours));
    assert_eq!(send(&mut host).len(), 1, "none of these is believed");
    host.inject(&too_big(1300, &ours));
    let fragments = send(&mut host);
    assert_eq!(fragments.len(), 2);
    assert!(fragments.iter().all(|f| f.payload.len() + HEADER_LEN <= 1300));
}

#[test]
fn udp_without_a_checksum_is_dropped() {
    let (mut host, own) = known();
    host.stack.udp.bind("[::]:7".parse().unwrap()).unwrap();
    let mut payload = datagram((peer(), own), 7, b"x");
    payload[6..8].fill(0);
    host.inject(&frame(peer(), own, 64, udp::PROTOCOL, &payload));
    assert_eq!((host.count("udp_received"), host.count("udp_checksum")), (0, 1));
}

#[test]
fn datagrams_of_nobody_or_of_an_ipv4_address_are_dropped() {
    let (mut host, own) = known();
    host.stack.udp.bind("[::]:7".parse().unwrap()).unwrap();
    for src in [NOWHERE, ip("::ffff:10.0.0.1")] {
        let payload = datagram((src, own), 7, b"x");
        host.inject(&frame(src, own, 64, udp::PROTOCOL, &payload));
    }
    assert_eq!((host.count("udp_received"), host.count("dropped_ip_source")), (0, 2));
    assert!(host.echo(NOWHERE, own).is_empty());
    host.inject(&icmp(peer(), own, 64, (kind::ECHO_REPLY, 0), 1, b"x"));
    assert_eq!(host.count("dropped_icmp_unused"), 2);
}
