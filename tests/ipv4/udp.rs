//! UDP (RFC 768; RFC 1122, section 4.1).

use crate::host::{Host, Ip, OWN, OWN_MAC, PEER, PEER_MAC, udp, udp_is_right};
use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};
use zerohop::{
    Slice,
    frame::{Gso, GsoKind, RxCsum, RxMeta},
    ip::{Address, Origin},
    udp::{Error, Target, UdpId},
    wire::MacAddr,
};

const GROUP: Ipv4Addr = Ipv4Addr::new(239, 1, 2, 3);
const GROUP_MAC: MacAddr = MacAddr([1, 0, 0x5e, 1, 2, 3]);

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn got(host: &mut Host, id: UdpId) -> Option<Vec<u8>> {
    host.stack.udp.recv(id).unwrap().map(|datagram| datagram.data.to_vec())
}

fn receive(host: &mut Host, ip: Ip, ports: (u16, u16), data: &[u8]) {
    host.inject(&ip.frame(&udp(&ip, ports, data)));
}

#[test]
fn datagrams_without_a_reader_are_kept_in_order() {
    let mut host = Host::new();
    let id = host.stack.udp.bind(at("[::]:7")).unwrap();
    for i in 0..100_u8 {
        receive(&mut host, Ip::default(), (4000, 7), &[i]);
    }
    // One event tells of all.
    assert_eq!(host.stack.udp.take_readable(), Some(id));
    assert_eq!(host.stack.udp.take_readable(), None);
    for i in 0..100_u8 {
        assert_eq!(got(&mut host, id), Some(vec![i]));
    }
    assert_eq!(got(&mut host, id), None);
}

#[test]
fn queue_is_bounded_in_datagrams_and_bytes() {
    let mut host = Host::new();
    let id = host.stack.udp.bind(at("0.0.0.0:7")).unwrap();
    host.stack.udp.set_queue(id, 10, 1 << 20);
    (0..50).for_each(|_| receive(&mut host, Ip::default(), (4000, 7), b"x"));
    assert_eq!(host.count("udp_queue_full"), 40);
    while got(&mut host, id).is_some() {}
    // Bytes are those of the buffers: three of 2 KiB.
    host.stack.udp.set_queue(id, 1000, 3 * 2048);
    (0..50).for_each(|_| receive(&mut host, Ip::default(), (4000, 7), b"x"));
    assert_eq!(std::iter::from_fn(|| got(&mut host, id)).count(), 3);
    assert_eq!(host.pool.stats().free, 1024);
}

#[test]
fn all_queues_together_leave_the_pool_to_the_device() {
    let mut host = Host::new();
    for port in 0..100 {
        host.stack.udp.bind(SocketAddr::new(OWN.into(), 7000 + port)).unwrap();
    }
    for i in 0..20_000 {
        receive(&mut host, Ip::default(), (4000, 7000 + i % 100), b"x");
    }
    assert!(host.pool.stats().free >= 1024 * 3 / 4, "{:?}", host.pool.stats());
    assert!(host.count("udp_no_memory") > 19_000);
}

#[test]
fn checksum_is_verified_and_may_be_absent() {
    let mut host = Host::new();
    let id = host.stack.udp.bind(at("0.0.0.0:7")).unwrap();
    let ip = Ip::default();
    let mut bytes = udp(&ip, (4000, 7), b"data");
    bytes[8] ^= 1;
    host.inject(&ip.frame(&bytes));
    assert_eq!((got(&mut host, id), host.count("udp_checksum")), (None, 1));
    bytes[6..8].fill(0);
    host.inject(&ip.frame(&bytes));
    assert_eq!(got(&mut host, id), Some(b"eata".to_vec()));
}

#[test]
fn wrong_lengths_are_dropped() {
    let mut host = Host::new();
    host.stack.udp.bind(at("0.0.0.0:7")).unwrap();
    let ip = Ip::default();
    for len in [0_u16, 7, 13, 1000] {
        let mut bytes = udp(&ip, (4000, 7), b"data");
        bytes[4..6].copy_from_slice(&len.to_be_bytes());
        host.inject(&ip.frame(&bytes));
    }
    host.inject(&ip.frame(b"short"));
    assert_eq!(host.count("udp_malformed"), 5);
}

#[test]
fn the_socket_that_names_most_gets_the_datagram() {
    let mut host = Host::new();
    let any = host.stack.udp.bind(at("[::]:7")).unwrap();
    let own = host.stack.udp.bind(at("10.0.0.2:7")).unwrap();
    let peer = host.stack.udp.open(at("10.0.0.2:7"), Some(at("10.0.0.1:4000"))).unwrap();
    receive(&mut host, Ip::default(), (4000, 7), b"peer");
    receive(&mut host, Ip::default(), (4001, 7), b"own");
    assert_eq!(got(&mut host, peer), Some(b"peer".to_vec()));
    assert_eq!(got(&mut host, own), Some(b"own".to_vec()));
    host.stack.close_udp(host.now, own);
    receive(&mut host, Ip::default(), (4001, 7), b"any");
    assert_eq!(got(&mut host, any), Some(b"any".to_vec()));
    host.stack.close_udp(host.now, any);
    host.stack.close_udp(host.now, peer);
    receive(&mut host, Ip::default(), (4001, 7), b"none");
    assert_eq!(host.count("udp_no_port"), 1);
}

#[test]
fn same_addresses_twice_are_refused() {
    let mut host = Host::new();
    let udp = &mut host.stack.udp;
    udp.bind(at("0.0.0.0:7")).unwrap();
    for taken in ["0.0.0.0:7", "[::]:7"] {
        assert_eq!(udp.bind(at(taken)), Err(Error::AddressInUse));
    }
    let other = udp.bind(at("10.0.0.2:7")).unwrap();
    udp.open(at("10.0.0.2:7"), Some(at("10.0.0.1:1"))).unwrap();
    assert_eq!(udp.connect(other, Some(at("10.0.0.1:1"))), Err(Error::AddressInUse));
    udp.connect(other, Some(at("10.0.0.1:2"))).unwrap();
}

#[test]
fn connected_socket_hears_its_peer_only() {
    let mut host = Host::new();
    let id = host.stack.udp.bind(at("0.0.0.0:7")).unwrap();
    receive(&mut host, Ip::default(), (4001, 7), b"before");
    receive(&mut host, Ip::default(), (4000, 7), b"peer");
    host.stack.udp.connect(id, Some(at("10.0.0.1:4000"))).unwrap();
    receive(&mut host, Ip::default(), (4001, 7), b"after");
    assert_eq!(got(&mut host, id), Some(b"peer".to_vec()));
    assert_eq!(got(&mut host, id), None);
    assert_eq!(host.count("udp_no_port"), 1);
}

#[test]
fn ports_are_random_and_in_the_dynamic_range() {
    let mut host = Host::new();
    let ports: Vec<u16> = (0..200)
        .map(|_| {
            let id = host.stack.udp.bind(at("[::]:0")).unwrap();
            host.stack.udp.local_addr(id).unwrap().port()
        })
        .collect();
    assert!(ports.iter().all(|port| *port >= 49_152));
    let near = ports.windows(2).filter(|w| w[0].abs_diff(w[1]) < 16).count();
    assert!(near < 10, "{near} of 199 choices are next to the one before");
}

#[test]
fn send_with_writes_in_place() {
    let mut host = Host::new();
    let id = host.stack.udp.bind(at("0.0.0.0:7")).unwrap();
    let to = Target::from(at("10.0.0.1:9"));
    for len in [0, 1, 64, 1472, 5000] {
        let fill = |bytes: &mut [u8]| {
            bytes.fill(0x5a);
            bytes.len()
        };
        let now = host.now;
        assert_eq!(host.stack.send_udp_with(now, &mut host.tx, id, to, len, fill), Ok(len));
        if len <= 1472 {
            // The header and the data lie in one buffer.
            assert_eq!(host.tx.peek().unwrap().1, 1);
        }
        let packets = host.packets();
        let bytes = crate::host::joined(&packets);
        assert_eq!(bytes[8..], vec![0x5a; len]);
        assert!(packets.len() > 1 || udp_is_right(&packets[0]));
    }
    let sent = host.stack.send_udp_with(host.now, &mut host.tx, id, to, 65_508, |_| ());
    assert_eq!(sent, Err(Error::TooLong));
}

#[test]
fn broadcast_reaches_every_socket_at_the_port() {
    let mut host = Host::new();
    let any = host.stack.udp.bind(at("0.0.0.0:7")).unwrap();
    let peer = host.stack.udp.open(at("0.0.0.0:7"), Some(at("10.0.0.1:4000"))).unwrap();
    let own = host.stack.udp.bind(at("10.0.0.2:7")).unwrap();
    for dst in [Ipv4Addr::BROADCAST, Ipv4Addr::new(10, 0, 0, 255)] {
        let ip = Ip { dst, to: MacAddr::BROADCAST, ..Ip::default() };
        receive(&mut host, ip, (4000, 7), b"all");
        for id in [any, peer] {
            let datagram = host.stack.udp.recv(id).unwrap().unwrap();
            assert_eq!((datagram.local, datagram.data.to_vec()), (dst.into(), b"all".to_vec()));
        }
        assert_eq!(got(&mut host, own), None);
    }
}

#[test]
fn group_is_heard_between_join_and_leave() {
    let mut host = Host::new();
    let id = host.stack.udp.bind(at("0.0.0.0:7")).unwrap();
    let other = host.stack.udp.bind(at("10.0.0.2:7")).unwrap();
    let ip = Ip { dst: GROUP, to: GROUP_MAC, ttl: 1, ..Ip::default() };
    let group = IpAddr::V4(GROUP);
    receive(&mut host, ip, (4000, 7), b"early");
    assert_eq!(host.count("dropped_ip_group"), 1);
    host.stack.join_udp(host.now, id, group).unwrap();
    receive(&mut host, ip, (4000, 7), b"group");
    assert_eq!(got(&mut host, id), Some(b"group".to_vec()));
    assert_eq!(got(&mut host, other), None);
    host.stack.leave_udp(host.now, id, group);
    receive(&mut host, ip, (4000, 7), b"late");
    assert_eq!(host.count("dropped_ip_group"), 2);
    // A socket that is closed has left.
    host.stack.join_udp(host.now, id, group).unwrap();
    host.stack.close_udp(host.now, id);
    receive(&mut host, ip, (4000, 7), b"closed");
    assert_eq!(host.count("dropped_ip_group"), 3);
    assert_eq!(host.stack.join_udp(host.now, other, IpAddr::V4(PEER)), Err(Error::BadGroup));
}

#[test]
fn datagram_to_a_group_goes_to_its_address_with_a_life_of_one_hop() {
    let mut host = Host::new();
    let id = host.stack.udp.bind(at("0.0.0.0:7")).unwrap();
    let to = SocketAddr::new(GROUP.into(), 9);
    host.stack.send_udp(host.now, &mut host.tx, id, to, &[Slice::from_static(b"x")]).unwrap();
    let packets = host.packets();
    assert_eq!((packets[0].to, packets[0].header.ttl), (GROUP_MAC, 1));
}

#[test]
fn answer_comes_from_the_address_that_was_asked() {
    let mut host = Host::new();
    let second = Ipv4Addr::new(10, 0, 0, 77);
    let cidr = "10.0.0.77/24".parse().unwrap();
    let address = Address::new(cidr, Origin::Static);
    host.stack.add_address(host.now, address).unwrap();
    let id = host.stack.udp.bind(at("0.0.0.0:7")).unwrap();
    host.frames();
    for dst in [OWN, second, OWN] {
        receive(&mut host, Ip { dst, ..Ip::default() }, (4000, 7), b"?");
        let asked = host.stack.udp.recv(id).unwrap().unwrap();
        let target = Target { to: Some(asked.from), from: Some(asked.local) };
        host.stack.send_udp(host.now, &mut host.tx, id, target, &asked.data).unwrap();
        assert_eq!(host.packets()[0].header.src, dst);
    }
    // An address that has gone is no source any more, nor is another in its place.
    host.stack.remove_address(second.into());
    let target = Target { to: Some(at("10.0.0.1:4000")), from: Some(second.into()) };
    let sent = host.stack.send_udp(host.now, &mut host.tx, id, target, &[]);
    assert_eq!(sent, Err(Error::AddressNotAvailable));
    assert!(host.packets().is_empty());
    // A question to all is answered from an address of ours.
    let ip = Ip { dst: Ipv4Addr::new(10, 0, 0, 255), to: MacAddr::BROADCAST, ..Ip::default() };
    receive(&mut host, ip, (4000, 7), b"?");
    let asked = host.stack.udp.recv(id).unwrap().unwrap();
    let target = Target { to: Some(asked.from), from: Some(asked.local) };
    host.stack.send_udp(host.now, &mut host.tx, id, target, &asked.data).unwrap();
    assert_eq!(host.packets()[0].header.src, OWN);
}

#[test]
fn socket_whose_address_went_away_sends_from_no_other() {
    let mut host = Host::new();
    let leased = Ipv4Addr::new(10, 0, 0, 77);
    let address = Address::new("10.0.0.77/24".parse().unwrap(), Origin::Dhcp);
    let address = address.until(host.now + Duration::from_secs(60));
    host.stack.add_address(host.now, address).unwrap();
    host.frames();
    let id = host.stack.udp.bind(at("10.0.0.77:7")).unwrap();
    let send = |host: &mut Host| {
        host.stack.send_udp(
            host.now,
            &mut host.tx,
            id,
            at("10.0.0.1:9"),
            &[Slice::from_static(b"x")],
        )
    };
    send(&mut host).unwrap();
    assert_eq!(host.packets()[0].header.src, leased);
    // The lease ends.
    host.pass(Duration::from_secs(61));
    host.meet(PEER, PEER_MAC);
    assert_eq!(send(&mut host), Err(Error::AddressNotAvailable));
    assert!(host.packets().is_empty());
    // And when it is ours again, it is used again.
    host.stack.add_address(host.now, Address::new(address.cidr, Origin::Dhcp)).unwrap();
    host.frames();
    send(&mut host).unwrap();
    assert_eq!(host.packets()[0].header.src, leased);
}

#[test]
fn coalesced_datagrams_are_taken_apart() {
    let mut host = Host::new();
    let id = host.stack.udp.bind(at("0.0.0.0:7")).unwrap();
    let ip = Ip::default();
    let gso = Some(Gso { kind: GsoKind::Udp, size: 100, ecn: false });
    let frame = ip.frame(&udp(&ip, (4000, 7), &[7; 250]));
    host.inject_as(&frame, RxMeta { csum: RxCsum::Valid, gso });
    let lens: Vec<_> = std::iter::from_fn(|| got(&mut host, id)).map(|data| data.len()).collect();
    assert_eq!(lens, [100, 100, 50]);
}

#[test]
fn first_datagram_to_an_unresolved_neighbour_is_not_lost() {
    let mut host = Host::fresh(&zerohop::stack::Config::default(), 1024);
    host.pass(Duration::from_secs(20));
    host.frames();
    let id = host.stack.udp.bind(at("0.0.0.0:7")).unwrap();
    let data = [Slice::from_static(b"first")];
    host.stack.send_udp(host.now, &mut host.tx, id, at("10.0.0.1:9"), &data).unwrap();
    assert_eq!(host.arps().len(), 1);
    let answer = crate::host::arp(zerohop::wire::arp::Operation::Reply, (PEER_MAC, PEER), OWN);
    host.inject(&answer);
    let packets = host.packets();
    assert_eq!((packets.len(), &packets[0].payload[8..]), (1, &b"first"[..]));
    assert_eq!((packets[0].to, OWN_MAC == packets[0].to), (PEER_MAC, false));
}

#[test]
fn what_no_longer_fits_a_queue_gives_its_memory_back() {
    let mut host = Host::new();
    let id = host.stack.udp.bind(at("0.0.0.0:7")).unwrap();
    for _ in 0..50 {
        host.stack.udp.set_queue(id, 10, 1 << 20);
        (0..10).for_each(|_| receive(&mut host, Ip::default(), (4000, 7), b"x"));
        host.stack.udp.set_queue(id, 1, 1 << 20);
        host.stack.udp.connect(id, None).unwrap();
        assert_eq!(std::iter::from_fn(|| got(&mut host, id)).count(), 1);
    }
    assert_eq!(host.count("udp_no_memory"), 0);
}
