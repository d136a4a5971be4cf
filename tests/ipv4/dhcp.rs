//! Leases of servers with bad manners (RFC 2131).

use crate::host::{Host, Ip, PEER, udp};
use std::{net::Ipv4Addr, time::Duration};
use zerohop::{stack::Config, wire::MacAddr};

const LEASED: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 77);
const OFFER: u8 = 2;
const ACK: u8 = 5;

/// The type and the message of each of the client's messages since the last call.
fn messages(host: &mut Host) -> Vec<(u8, Vec<u8>)> {
    let dhcp = |p: &crate::host::Packet| p.payload[2..4] == [0, 67];
    let sent = host.packets().into_iter().filter(dhcp);
    sent.map(|p| (p.payload[8 + 242], p.payload[8..].to_vec())).collect()
}

/// Answers a message of the client.
fn answer(host: &mut Host, asked: &[u8], kind: u8, options: &[u8]) {
    let mut message = [&[2, 1, 6, 0][..], &asked[4..8], &[0; 8], &LEASED.octets()].concat();
    message.resize(28, 0);
    message.extend(&asked[28..34]);
    message.resize(236, 0);
    message.extend([0x63, 0x82, 0x53, 0x63, 53, 1, kind, 54, 4]);
    message.extend(PEER.octets());
    message.extend([1, 4, 255, 255, 255, 0]);
    message.extend(options);
    message.push(255);
    let all = Ip { dst: Ipv4Addr::BROADCAST, to: MacAddr::BROADCAST, src: PEER, ..Ip::default() };
    host.inject(&all.frame(&udp(&all, (67, 68), &message)));
}

/// A host that was leased an address with these options; its address is still being checked.
fn acknowledged(config: &Config, options: &[u8]) -> Host {
    let mut host = Host::fresh(&Config { dhcp: true, ..config.clone() }, 1024);
    host.pass(Duration::ZERO);
    for kind in [OFFER, ACK] {
        let (_, asked) = messages(&mut host).pop().expect("the client asks");
        answer(&mut host, &asked, kind, options);
    }
    host
}

fn without_static() -> Config {
    Config { addresses: Vec::new(), ..Config::default() }
}

fn lease(seconds: u8, renew: Option<u8>) -> Vec<u8> {
    let renew = renew.map(|t1| vec![58, 4, 0, 0, 0, t1]).unwrap_or_default();
    [vec![51, 4, 0, 0, 0, seconds], renew].concat()
}

#[test]
fn a_lease_of_no_time_is_not_taken_and_others_are_looked_for() {
    let mut host = acknowledged(&without_static(), &lease(120, None));
    host.pass(Duration::from_secs(2));
    assert_eq!(host.stack.lease().map(|lease| lease.ip()), Some(LEASED));
    let mut host = Host::fresh(&Config { dhcp: true, ..without_static() }, 1024);
    host.pass(Duration::ZERO);
    let (_, asked) = messages(&mut host).pop().unwrap();
    answer(&mut host, &asked, OFFER, &lease(0, None));
    host.pass(Duration::from_secs(5));
    assert!(messages(&mut host).iter().all(|(kind, _)| *kind == 1), "the search goes on");
    assert_eq!(host.count("dhcp_dropped"), 1);
}

#[test]
fn an_address_that_goes_while_it_is_checked_does_not_end_the_search() {
    let mut host = acknowledged(&without_static(), &lease(120, None));
    assert!(host.stack.remove_address(LEASED.into()));
    host.pass(Duration::from_secs(20));
    let discovers = messages(&mut host).iter().filter(|(kind, _)| *kind == 1).count();
    assert!(discovers > 0, "the client looks for an address again");
}

#[test]
fn a_static_address_that_is_leased_too_is_bound() {
    let cidr = format!("{LEASED}/24").parse().unwrap();
    let config = Config { addresses: vec![cidr], ..Config::default() };
    let mut host = Host::fresh(&Config { dhcp: true, ..config }, 1024);
    // The static address comes while the leased one is being checked.
    host.pass(Duration::from_millis(9_900));
    let (_, asked) = messages(&mut host).pop().unwrap();
    answer(&mut host, &asked, OFFER, &lease(120, None));
    let (_, asked) = messages(&mut host).pop().unwrap();
    answer(&mut host, &asked, ACK, &lease(120, None));
    host.pass(Duration::from_secs(3));
    assert_eq!(host.stack.lease().map(|lease| lease.ip()), Some(LEASED));
}

#[test]
fn a_server_that_wants_to_be_asked_at_once_is_not_asked_in_a_loop() {
    let mut host = acknowledged(&without_static(), &lease(120, Some(0)));
    messages(&mut host);
    host.pass(Duration::from_secs(9));
    assert_eq!(host.stack.lease().map(|lease| lease.ip()), Some(LEASED));
    assert!(messages(&mut host).is_empty());
}
