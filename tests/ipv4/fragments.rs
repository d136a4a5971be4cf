//! RFC 791, section 3.2; RFC 1122, section 3.3.

use crate::host::{Host, Ip, OWN, PEER, icmp, joined, pattern, udp, udp_is_right};
use std::time::Duration;
use zerohop::Slice;

#[test]
fn datagram_in_fragments_is_delivered_and_answered_in_fragments() {
    let mut host = Host::new();
    let id = host.stack.udp.bind("0.0.0.0:7".parse().unwrap()).unwrap();
    let (ip, data) = (Ip::default(), pattern(65_507));
    for frame in ip.fragments(&udp(&ip, (4000, 7), &data), 1480) {
        host.inject(&frame);
    }
    let datagram = host.stack.udp.recv(id).unwrap().unwrap();
    assert_eq!(datagram.data.to_vec(), data);
    assert_eq!(datagram.from, "10.0.0.1:4000".parse().unwrap());
    host.stack.send_udp(host.now, &mut host.tx, id, datagram.from, &datagram.data).unwrap();
    let packets = host.packets();
    assert_eq!(packets.len(), 45);
    let whole = joined(&packets);
    assert_eq!(whole[8..], data);
    // The answer differs in its ports only, so it has the same checksum.
    assert_eq!(whole[6..8], udp(&ip, (4000, 7), &data)[6..8]);
    drop(datagram);
    assert_eq!(host.count("payload_bytes_copied"), 0);
    assert_eq!(host.pool.stats().free, 1024);
}

#[test]
fn echo_of_any_size_is_answered() {
    let mut host = Host::new();
    let ip = Ip { protocol: 1, ..Ip::default() };
    for len in [0, 1, 56, 1472, 1473, 9000, 65_507] {
        for frame in ip.fragments(&icmp(8, 0, [7, 1], &pattern(len)), 1480) {
            host.inject(&frame);
        }
        let whole = joined(&host.packets());
        assert_eq!((whole[0], &whole[4..8]), (0, &[0, 7, 0, 1][..]));
        assert_eq!(whole[8..], pattern(len));
        assert_eq!(whole, icmp(0, 0, [7, 1], &pattern(len)));
    }
    assert_eq!(host.count("icmp_echoes"), 7);
}

#[test]
fn overlapping_fragments_are_dropped_without_an_error() {
    let mut host = Host::new();
    let id = host.stack.udp.bind("0.0.0.0:7".parse().unwrap()).unwrap();
    let ip = Ip::default();
    let bytes = udp(&ip, (4000, 7), &pattern(1000));
    host.inject(&Ip { more: true, ..ip }.frame(&bytes[..512]));
    host.inject(&Ip { more: true, offset: 504, ..ip }.frame(&bytes[504..800]));
    host.inject(&Ip { offset: 800, ..ip }.frame(&bytes[800..]));
    host.pass(Duration::from_secs(40));
    assert!(host.stack.udp.recv(id).unwrap().is_none());
    assert!(host.packets().is_empty());
    assert_eq!((host.count("fragments_overlap"), host.count("fragments_late")), (1, 1));
}

#[test]
fn time_exceeded_tells_the_sender_when_fragments_do_not_arrive() {
    let mut host = Host::new();
    let ip = Ip::default();
    let bytes = udp(&ip, (4000, 7), &pattern(1000));
    host.inject(&Ip { more: true, ..ip }.frame(&bytes[..512]));
    // Another datagram's first fragment is missing: nothing is said.
    host.inject(&Ip { offset: 512, ident: 2, ..ip }.frame(&bytes[512..]));
    host.pass(Duration::from_secs(29));
    assert!(host.packets().is_empty());
    host.meet(PEER, crate::host::PEER_MAC);
    host.pass(Duration::from_secs(2));
    let packets = host.packets();
    assert_eq!(packets.len(), 1);
    assert_eq!((packets[0].header.src, packets[0].header.dst), (OWN, PEER));
    // RFC 792: time exceeded, fragment reassembly; the header and the first bytes are quoted.
    assert_eq!(packets[0].payload[..2], [11, 1]);
    let quoted = &packets[0].payload[8..];
    assert_eq!(quoted[..20], Ip { more: true, ..ip }.header(512));
    assert_eq!(quoted[20..28], bytes[..8]);
    assert_eq!(host.count("fragments_expired"), 2);
}

#[test]
fn closed_port_is_told_of_a_datagram_in_fragments() {
    let mut host = Host::new();
    let ip = Ip::default();
    let bytes = udp(&ip, (4000, 99), &pattern(2000));
    // The last fragment first: the error quotes the first one all the same.
    for frame in ip.fragments(&bytes, 1480).iter().rev() {
        host.inject(frame);
    }
    let packets = host.packets();
    assert_eq!(packets[0].payload[..2], [3, 3]);
    assert_eq!(packets[0].payload[28..36], bytes[..8]);
}

#[test]
fn tiny_fragments_are_put_together_and_answered() {
    let mut host = Host::new();
    let ip = Ip { protocol: 1, ..Ip::default() };
    let message = icmp(8, 0, [1, 1], &pattern(4000));
    for frame in ip.fragments(&message, 8) {
        host.inject(&frame);
    }
    let mut frags = 0;
    while let Some((_, n)) = host.tx.peek() {
        frags = frags.max(n);
        let (_, slices) = host.tx.pop().unwrap();
        drop(slices);
    }
    assert_eq!(host.count("icmp_echoes"), 1);
    // What devices take: a head and 32 slices.
    assert!((1..=33).contains(&frags), "{frags}");
}

#[test]
fn flood_of_fragments_keeps_the_pool_for_others() {
    for buffers in [512, 2048] {
        let config = zerohop::stack::Config::default();
        let mut host = Host::fresh(&config, buffers);
        host.pass(Duration::from_secs(20));
        host.meet(PEER, crate::host::PEER_MAC);
        for i in 0..50_000_u32 {
            let ip =
                Ip { ident: i as u16, offset: 8 * (i as usize % 500), more: true, ..Ip::default() };
            host.inject(&ip.frame(&[0; 1400]));
        }
        host.frames();
        assert!(host.pool.stats().free * 4 >= buffers * 3 - 4, "{:?}", host.pool.stats());
        let ip = Ip { protocol: 1, ..Ip::default() };
        host.inject(&ip.frame(&icmp(8, 0, [1, 1], b"hello")));
        assert_eq!(host.packets().len(), 1);
    }
}

#[test]
fn datagram_of_many_slices_fits_a_device() {
    let mut host = Host::new();
    let id = host.stack.udp.bind("0.0.0.0:7".parse().unwrap()).unwrap();
    let slices: Vec<Slice> = (0..200_u8).map(|i| Slice::from(vec![i; 5])).collect();
    let to = "10.0.0.1:9".parse::<std::net::SocketAddr>().unwrap();
    host.stack.send_udp(host.now, &mut host.tx, id, to, &slices).unwrap();
    assert!(host.tx.peek().unwrap().1 <= 33);
    let packets = host.packets();
    assert!(udp_is_right(&packets[0]));
    assert_eq!(packets[0].payload[8..], slices.iter().flat_map(|s| s.to_vec()).collect::<Vec<_>>());
}

#[test]
fn datagram_in_fragments_waits_for_its_neighbour_whole() {
    let mut host = Host::fresh(&zerohop::stack::Config::default(), 1024);
    host.pass(Duration::from_secs(20));
    host.frames();
    let id = host.stack.udp.bind("0.0.0.0:7".parse().unwrap()).unwrap();
    let to = "10.0.0.1:9".parse::<std::net::SocketAddr>().unwrap();
    let data = Slice::from(pattern(60_000));
    host.stack.send_udp(host.now, &mut host.tx, id, to, &[data]).unwrap();
    assert!(host.packets().is_empty());
    host.inject(&crate::host::arp(
        zerohop::wire::arp::Operation::Reply,
        (crate::host::PEER_MAC, PEER),
        OWN,
    ));
    assert_eq!(joined(&host.packets())[8..], pattern(60_000));
}
