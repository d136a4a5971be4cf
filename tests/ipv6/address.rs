//! Our own addresses: verification, autoconfiguration, membership (RFC 4862, RFC 3810).

use crate::host::*;
use std::net::Ipv6Addr;
use zerohop::{
    ip::{Address, AddressState, Origin},
    stack::{Config, Identifiers, Ipv6},
    time::Duration,
    udp,
    wire::{
        icmpv6::kind,
        ipv6::{ALL_NODES, ALL_ROUTERS, is_link_local, solicited_node},
        mld,
        ndp::flag,
    },
};

#[test]
fn the_first_packets_report_the_group_and_verify_the_address() {
    let mut host = Host::fresh(Config::default());
    let own = host.link_local();
    assert!(is_link_local(own));
    assert_eq!(host.state(own), Some(AddressState::Tentative));
    host.pass(Duration::from_millis(1100));
    let sent = host.packets();
    let kinds: Vec<_> = sent.iter().filter_map(Packet::kind).collect();
    assert_eq!(kinds[..2], [kind::LISTENER_REPORT, kind::NEIGHBOR_SOLICITATION]);
    let (report, probe) = (&sent[0], &sent[1]);
    assert_eq!((report.header.src, report.header.dst), (NOWHERE, mld::ALL_ROUTERS));
    assert_eq!((report.header.hop_limit, report.header.next_header), (1, 0));
    assert_eq!(report.payload[..8], mld::ROUTER_ALERT);
    assert_eq!(report.payload[20..36], solicited_node(own).octets());
    assert_eq!((probe.header.src, probe.header.dst), (NOWHERE, solicited_node(own)));
    assert_eq!(probe.payload.len(), 24, "no hardware address from nowhere");
    host.pass(Duration::from_secs(2));
    assert_eq!(host.state(own), Some(AddressState::Preferred));
}

#[test]
fn a_tentative_address_takes_and_answers_nothing() {
    let ipv6 = Ipv6 { optimistic: false, ..Ipv6::default() };
    let mut host = Host::fresh(Config { ipv6, ..Config::default() });
    let own = host.link_local();
    host.inject(&solicitation(peer(), own, Some(PEER_MAC)));
    assert!(host.echo(peer(), own).is_empty());
    assert_eq!(host.count("dropped_ip_foreign"), 1);
}

/// A host with a static address that has just started, and its first packets.
fn started() -> (Host, Ipv6Addr, Vec<Packet>) {
    let config = Config { addresses: vec!["2001:db8::2/64".parse().unwrap()], ..Config::default() };
    let mut host = Host::fresh(config);
    host.pass(Duration::ZERO);
    let sent = host.packets();
    (host, ip("2001:db8::2"), sent)
}

#[test]
fn an_address_is_used_while_it_is_verified() {
    let (mut host, own, sent) = started();
    let asked = |packet: &&Packet| packet.kind() == Some(kind::NEIGHBOR_SOLICITATION);
    assert!(sent.iter().filter(asked).any(|p| p.header.dst == solicited_node(own)));
    assert_eq!(host.state(own), Some(AddressState::Optimistic));
    // RFC 4429, 3.2: whoever has learnt of another host with this address is left in peace.
    let other = ip("2001:db8::1");
    let flags = |host: &mut Host| {
        host.inject(&solicitation(other, own, Some(PEER_MAC)));
        let answer = host.sent(kind::NEIGHBOR_ADVERTISEMENT).pop().unwrap();
        assert_eq!((answer.header.src, answer.header.dst), (own, other));
        answer.payload[4]
    };
    assert_eq!(flags(&mut host), flag::SOLICITED);
    assert_eq!(host.echo(other, own).len(), 1);
    host.pass(Duration::from_secs(1));
    host.packets();
    assert_eq!(host.state(own), Some(AddressState::Preferred));
    assert_eq!(flags(&mut host), flag::SOLICITED | flag::OVERRIDE);
}

#[test]
fn no_question_comes_from_an_address_that_is_being_verified() {
    let (mut host, own, _) = started();
    let id = host.stack.udp.bind((own, 7).into()).unwrap();
    let other = ip("2001:db8::1");
    host.stack
        .send_udp(host.now, &mut host.tx, id, std::net::SocketAddr::from((other, 9)), &["x".into()])
        .unwrap();
    host.pass(Duration::from_millis(990));
    assert!(host.packets().iter().all(|packet| packet.header.src == NOWHERE));
    // What waits is asked for when the address is verified.
    host.pass(Duration::from_secs(2));
    let asked = host.sent(kind::NEIGHBOR_SOLICITATION);
    assert!(asked.iter().any(|p| p.header.src == own && p.header.dst == solicited_node(other)));
    let flags = flag::SOLICITED | flag::OVERRIDE;
    host.inject(&advertisement((other, own), other, flags, PEER_MAC));
    let sent = host.packets();
    assert_eq!((sent.len(), &sent[0].payload[8..]), (1, &b"x"[..]));
}

#[test]
fn what_is_sent_first_waits_for_as_long_as_addresses_are_verified() {
    for dad_transmits in [2, 3, 10] {
        let addresses = vec!["2001:db8::2/64".parse().unwrap()];
        let ipv6 = Ipv6 { dad_transmits, ..Ipv6::default() };
        let mut host = Host::fresh(Config { addresses, ipv6, ..Config::default() });
        host.pass(Duration::ZERO);
        let (own, other) = (ip("2001:db8::2"), ip("2001:db8::1"));
        let id = host.stack.udp.bind((own, 7).into()).unwrap();
        let to = std::net::SocketAddr::from((other, 9));
        host.stack.send_udp(host.now, &mut host.tx, id, to, &["x".into()]).unwrap();
        host.pass(Duration::from_secs(dad_transmits.into()) + Duration::from_millis(1100));
        let asked = host.sent(kind::NEIGHBOR_SOLICITATION);
        let asked: Vec<_> = asked.iter().filter(|p| p.header.src == own).collect();
        assert!(!asked.is_empty() && asked[0].header.dst == solicited_node(other));
        let flags = flag::SOLICITED | flag::OVERRIDE;
        host.inject(&advertisement((other, own), other, flags, PEER_MAC));
        let sent = host.packets();
        assert_eq!((sent.len(), &sent[0].payload[8..]), (1, &b"x"[..]), "{dad_transmits}");
    }
}

#[test]
fn what_waits_for_an_address_that_is_anothers_is_lost_at_last() {
    let (mut host, own, _) = started();
    let id = host.stack.udp.bind((own, 7).into()).unwrap();
    let to = std::net::SocketAddr::from((ip("2001:db8::1"), 9));
    host.stack.send_udp(host.now, &mut host.tx, id, to, &["x".into()]).unwrap();
    host.inject(&solicitation(NOWHERE, own, None));
    host.inject(&solicitation(NOWHERE, host.link_local(), None));
    host.pass(Duration::from_secs(12));
    assert_eq!(host.count("neighbor_lost"), 1);
}

#[test]
fn a_duplicate_is_given_up_though_it_was_used_already() {
    let claims =
        |own| [solicitation(NOWHERE, own, None), advertisement((own, ALL_NODES), own, 0, EVIL_MAC)];
    for n in [0, 1] {
        let (mut host, own, _) = started();
        let other = ip("2001:db8::1");
        host.inject(&solicitation(other, own, Some(PEER_MAC)));
        assert_eq!(host.echo(other, own).len(), 1);
        host.inject(&claims(own)[n]);
        assert_eq!((host.state(own), host.count("dad_duplicates")), (None, 1));
        assert!(host.echo(other, own).is_empty());
        host.pass(Duration::from_secs(10));
        assert_eq!(host.state(own), None);
    }
}

#[test]
fn only_a_claim_is_taken_from_an_address_that_is_being_verified() {
    let (mut host, own, _) = started();
    host.stack.udp.bind((own, 7).into()).unwrap();
    assert!(host.echo(own, own).is_empty());
    // It claims another's.
    let other = ip("2001:db8::1");
    host.inject(&advertisement((own, own), other, flag::OVERRIDE, EVIL_MAC));
    let payload = crate::icmp::datagram((own, own), 7, b"x");
    host.inject(&frame(own, own, 64, zerohop::wire::udp::PROTOCOL, &payload));
    assert_eq!((host.count("dropped_ip_source"), host.count("udp_received")), (2, 0));
    assert_eq!(host.state(own), Some(AddressState::Optimistic));
}

#[test]
fn an_address_that_another_host_defends_is_replaced_by_the_next() {
    for advertised in [true, false] {
        let mut host = Host::fresh(Config::default());
        let first = host.link_local();
        let conflict = match advertised {
            true => advertisement((first, ALL_NODES), first, flag::OVERRIDE, EVIL_MAC),
            // Somebody else is verifying the same.
            false => solicitation(NOWHERE, first, None),
        };
        host.inject(&conflict);
        let second = host.link_local();
        assert_ne!(first, second);
        assert_eq!((host.state(first), host.count("dad_duplicates")), (None, 1));
        host.pass(Duration::from_secs(4));
        assert_eq!(host.state(second), Some(AddressState::Preferred));
        assert_eq!(host.echo(peer(), first).len(), 0);
    }
}

#[test]
fn after_enough_duplicates_there_is_no_address() {
    let mut host = Host::fresh(Config::default());
    for _ in 0..4 {
        let own = host.link_local();
        host.inject(&solicitation(NOWHERE, own, None));
    }
    assert!(host.addresses(Origin::LinkLocal).is_empty());
    host.pass(Duration::from_secs(60));
    assert!(host.sent(kind::ROUTER_SOLICITATION).is_empty());
}

#[test]
fn a_static_address_that_is_a_duplicate_is_not_used() {
    let own = ip("2001:db8::2");
    let config = Config { addresses: vec!["2001:db8::2/64".parse().unwrap()], ..Config::default() };
    let mut host = Host::fresh(config);
    host.inject(&solicitation(NOWHERE, own, None));
    host.pass(Duration::from_secs(5));
    assert!(host.state(own).is_none() && host.echo(ip("2001:db8::1"), own).is_empty());
}

#[test]
fn a_conflict_over_an_address_in_use_is_counted_only() {
    let mut host = Host::new();
    let own = host.link_local();
    host.inject(&advertisement((own, ALL_NODES), own, flag::OVERRIDE, EVIL_MAC));
    assert_eq!(host.count("dropped_ip_source"), 1, "from our own address");
    host.inject(&advertisement((peer(), ALL_NODES), own, flag::OVERRIDE, EVIL_MAC));
    assert_eq!(host.count("address_conflicts"), 1);
    assert_eq!(host.state(own), Some(AddressState::Preferred));
}

#[test]
fn addresses_come_and_go_at_run_time() {
    let mut host = Host::new();
    let own = ip("2001:db8::7");
    let address = Address::new("2001:db8::7/64".parse().unwrap(), Origin::Static);
    host.stack.add_address(host.now, address).unwrap();
    host.pass(Duration::from_secs(2));
    host.meet(ip("2001:db8::1"), PEER_MAC);
    assert_eq!(host.echo(ip("2001:db8::1"), own).len(), 1);
    assert!(host.stack.remove_address(own.into()));
    assert_eq!(host.echo(ip("2001:db8::1"), own).len(), 0);
    host.pass(Duration::from_secs(2));
    let reports = host.sent(kind::LISTENER_REPORT);
    let left = |packet: &Packet| packet.payload[16] == mld::Record::ToInclude as u8;
    assert!(reports.iter().any(left), "its group is left");
}

#[test]
fn sockets_of_an_address_send_from_no_other() {
    let mut host = Host::new();
    let (own, other) = (ip("2001:db8::7"), std::net::SocketAddr::from((ip("2001:db8::1"), 9)));
    host.stack
        .add_address(host.now, Address::new("2001:db8::8/64".parse().unwrap(), Origin::Static))
        .unwrap();
    host.pass(Duration::from_secs(3));
    host.meet(ip("2001:db8::1"), PEER_MAC);
    let id = host.stack.udp.bind((own, 7).into()).unwrap();
    let send = |host: &mut Host| {
        let sent = host.stack.send_udp(host.now, &mut host.tx, id, other, &["x".into()]);
        (sent, host.packets().pop().map(|packet| packet.header.src))
    };
    let gone = (Err(udp::Error::AddressNotAvailable), None);
    assert_eq!(send(&mut host), gone, "not ours yet");
    let address = Address::new("2001:db8::7/64".parse().unwrap(), Origin::Static);
    let mut address = address.until(host.now + Duration::from_secs(60));
    address.preferred_until = host.now + Duration::from_secs(30);
    host.stack.add_address(host.now, address).unwrap();
    host.pass(Duration::from_secs(3));
    host.packets();
    assert_eq!(send(&mut host), (Ok(()), Some(own)));
    // RFC 4862, 5.5.4: a deprecated address goes on being used by what uses it.
    host.pass(Duration::from_secs(30));
    host.meet(ip("2001:db8::1"), PEER_MAC);
    assert_eq!(host.state(own), Some(AddressState::Deprecated));
    assert_eq!(send(&mut host), (Ok(()), Some(own)));
    host.pass(Duration::from_secs(30));
    host.meet(ip("2001:db8::1"), PEER_MAC);
    assert_eq!(send(&mut host), gone);
}

#[test]
fn identifiers_are_opaque_or_of_the_hardware_as_asked() {
    let with = |identifiers| {
        let ipv6 = Ipv6 { identifiers, ..Ipv6::default() };
        Host::fresh(Config { ipv6, ..Config::default() }).link_local()
    };
    assert_eq!(with(Identifiers::Eui64), ip("fe80::ff:fe00:2"));
    let opaque = with(Identifiers::Opaque(Some([1; 16])));
    assert_eq!(opaque, with(Identifiers::Opaque(Some([1; 16]))));
    assert_ne!(opaque, with(Identifiers::Opaque(Some([2; 16]))));
}

#[test]
fn without_ipv6_nothing_is_sent_and_everything_dropped() {
    let ipv6 = Ipv6 { enabled: false, ..Ipv6::default() };
    let mut host = Host::fresh(Config { ipv6, ..Config::default() });
    host.pass(Duration::from_secs(10));
    host.inject(&solicitation(peer(), ip("fe80::2"), None));
    assert!(host.packets().is_empty());
    assert_eq!(host.count("dropped_ethertype"), 1);
}

#[test]
fn listener_queries_are_answered_and_checked() {
    let mut host = Host::new();
    host.pass(Duration::from_secs(5));
    host.packets();
    let query = |hop_limit, len| {
        let mut body = vec![0; len];
        body[16..].fill(0);
        let what = (kind::LISTENER_QUERY, 0);
        icmp(peer(), ALL_NODES, hop_limit, what, 1000 << 16, &body)
    };
    host.inject(&query(1, 20));
    host.pass(Duration::from_secs(1));
    let reports = host.sent(kind::LISTENER_REPORT);
    assert_eq!(reports.len(), 1);
    assert_eq!(reports[0].payload[20..36], solicited_node(host.link_local()).octets());
    assert_eq!(reports[0].header.src, host.link_local());
    // RFC 3810, section 8.2.1: in the language of an older querier.
    host.inject(&query(1, 16));
    host.pass(Duration::from_secs(1));
    assert_eq!(host.sent(kind::LISTENER_REPORT_V1).len(), 1);
    host.inject(&query(64, 20));
    assert_eq!(host.count("dropped_mld"), 1);
}

#[test]
fn groups_that_nobody_joined_are_dropped() {
    let mut host = Host::new();
    assert!(host.echo(peer(), ip("ff02::1:2")).is_empty());
    assert!(host.echo(peer(), ALL_ROUTERS).is_empty());
    assert_eq!(host.count("dropped_ip_group"), 2);
}
