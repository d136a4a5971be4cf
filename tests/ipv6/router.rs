//! Router advertisements and redirects (RFC 4861, section 6; RFC 4191; RFC 4862, section 5.5).

use crate::host::*;
use std::net::{IpAddr, Ipv6Addr};
use zerohop::{
    ip::{Address, AddressState, Cidr, Origin, Preference, Route},
    stack::{Config, Ipv6},
    time::{Duration, Instant},
    wire::{MacAddr, icmpv6::kind, ipv6::ALL_NODES, ndp},
};

const HOUR: u32 = 3600;

/// A prefix information option: flags, valid and preferred lifetime.
fn prefix(prefix: &str, flags: u8, valid: u32, preferred: u32) -> Vec<u8> {
    let times = [valid.to_be_bytes(), preferred.to_be_bytes()].concat();
    [&[3, 4, 64, flags][..], &times, &[0; 4], &ip(prefix).octets()].concat()
}

/// An advertisement of `router`: the four bytes of hop limit, flags and lifetime, and options.
fn from(router: Ipv6Addr, rest: u32, options: &[Vec<u8>]) -> Vec<u8> {
    let body = [vec![0; 8], options.concat()].concat();
    icmp(router, ALL_NODES, 255, (kind::ROUTER_ADVERTISEMENT, 0), rest, &body)
}

fn usual(options: &[Vec<u8>]) -> Vec<u8> {
    let source = ndp::link_address(1, PEER_MAC).to_vec();
    from(peer(), 64 << 24 | 1800, &[&[source][..], options].concat())
}

const BOTH: u8 = 0xc0;

fn address(host: &Host) -> zerohop::ip::Address {
    host.addresses(Origin::Router)[0]
}

fn routers(host: &Host) -> Vec<Ipv6Addr> {
    let defaults = host.stack.routes().filter(|route| route.prefix.prefix == 0);
    let via = defaults.filter_map(|route| match route.via? {
        IpAddr::V6(via) => Some(via),
        IpAddr::V4(_) => None,
    });
    via.collect()
}

#[test]
fn routers_are_asked_for_until_one_answers() {
    let mut host = Host::fresh(Config::default());
    host.pass(Duration::from_secs(12));
    let asked = host.sent(kind::ROUTER_SOLICITATION);
    assert!((2..=3).contains(&asked.len()), "{}", asked.len());
    assert_eq!(asked[0].payload[8..], ndp::link_address(1, OWN_MAC));
    host.inject(&usual(&[]));
    host.pass(Duration::from_secs(60));
    assert!(host.sent(kind::ROUTER_SOLICITATION).is_empty());
}

#[test]
fn an_advertised_prefix_makes_an_address_and_the_router_a_way_out() {
    let mut host = Host::new();
    host.inject(&usual(&[prefix("2001:db8:1::", BOTH, 2 * HOUR, HOUR)]));
    let own = v6(address(&host));
    assert_eq!(own.segments()[..4], [0x2001, 0xdb8, 1, 0]);
    host.pass(Duration::from_secs(2));
    assert_eq!(host.state(own), Some(AddressState::Preferred));
    assert_eq!(routers(&host), [peer()]);
    // From far away, answered by the router, from the address that was asked.
    let far = ip("2001:db8:9::9");
    let reply = &host.echo(far, own)[0];
    assert_eq!((reply.to, reply.header.src, reply.header.hop_limit), (PEER_MAC, own, 64));
    // Once the lifetimes are over, both are gone.
    host.pass(Duration::from_secs(u64::from(HOUR)));
    assert_eq!(host.state(own), Some(AddressState::Deprecated));
    assert!(routers(&host).is_empty());
    host.pass(Duration::from_secs(u64::from(HOUR)));
    assert_eq!(host.state(own), None);
}

#[test]
fn a_router_without_a_lifetime_is_none_and_preference_decides_between_others() {
    let mut host = Host::new();
    let second = ip("fe80::2");
    host.inject(&usual(&[]));
    host.inject(&from(second, 0x08 << 16 | 1800, &[]));
    let preference = |host: &Host, via: Ipv6Addr| {
        host.stack.routes().find(|r| r.via == Some(via.into())).map(|r| r.preference)
    };
    assert_eq!(preference(&host, peer()), Some(Preference::Medium));
    assert_eq!(preference(&host, second), Some(Preference::High));
    // The reserved value counts as medium.
    host.inject(&from(second, 0x10 << 16 | 1800, &[]));
    assert_eq!(preference(&host, second), Some(Preference::Medium));
    host.inject(&from(second, 0, &[]));
    assert_eq!(routers(&host), [peer()]);
}

#[test]
fn advertisements_that_are_against_the_rules_are_dropped() {
    let mut host = Host::new();
    host.inject(&from(ip("2001:db8::1"), 1800, &[]));
    host.inject(&from(peer(), 1800, &[vec![5, 0, 0, 0, 0, 0, 0, 0]]));
    let short = icmp(peer(), ALL_NODES, 255, (kind::ROUTER_ADVERTISEMENT, 0), 1800, &[0; 7]);
    host.inject(&short);
    assert_eq!(host.count("dropped_ndp"), 3);
    assert!(routers(&host).is_empty());
}

#[test]
fn absurd_lifetimes_do_no_harm() {
    let mut host = Host::new();
    let first = "2001:db8:1::";
    host.inject(&usual(&[prefix(first, BOTH, u32::MAX, u32::MAX)]));
    let own = v6(address(&host));
    assert_eq!(address(&host).valid_until, Instant::NEVER);
    host.pass(Duration::from_secs(2));
    // The two-hour rule: nobody ends an address at once.
    host.inject(&usual(&[prefix(first, BOTH, 0, 0)]));
    assert_eq!(address(&host).valid_until - host.now, Duration::from_secs(7200));
    assert_eq!(host.state(own), Some(AddressState::Deprecated));
    host.inject(&usual(&[prefix(first, BOTH, 1, 1)]));
    assert_eq!(address(&host).valid_until - host.now, Duration::from_secs(7200));
    host.inject(&usual(&[prefix(first, BOTH, u32::MAX - 1, 5)]));
    assert!(address(&host).valid_until > host.now + Duration::from_secs(u64::from(u32::MAX) - 2));
    assert_eq!(host.state(own), Some(AddressState::Preferred));
    // Preferred for longer than valid; no life at all; and lengths that cannot be.
    host.inject(&usual(&[prefix("2001:db8:2::", BOTH, 10, 11)]));
    host.inject(&usual(&[prefix("2001:db8:3::", BOTH, 0, 0)]));
    let mut long = prefix("2001:db8:4::", BOTH, HOUR, HOUR);
    long[2] = 255;
    host.inject(&usual(&[long]));
    host.inject(&usual(&[prefix("fe80::", BOTH, HOUR, HOUR)]));
    host.inject(&usual(&[prefix("ff02::", BOTH, HOUR, HOUR)]));
    assert_eq!(host.addresses(Origin::Router).len(), 1);
}

#[test]
fn a_flood_of_advertisements_keeps_tables_bounded() {
    let mut host = Host::new();
    host.inject(&usual(&[]));
    for n in 0..5000_u16 {
        let prefixes = [
            prefix(&format!("2001:db8:{n:x}::"), BOTH, HOUR, HOUR),
            [&[24, 3, 64, 0][..], &HOUR.to_be_bytes(), &ip(&format!("fd00:{n:x}::")).octets()]
                .concat(),
            [&[25, 3, 0, 0][..], &HOUR.to_be_bytes(), &ip(&format!("fd00::{n:x}")).octets()]
                .concat(),
        ];
        host.inject(&from(ip(&format!("fe80::5:{n:x}")), 1800, &prefixes));
        host.packets();
    }
    assert!(host.stack.routes().count() <= 40 && host.stack.addresses().count() <= 20);
    assert!(routers(&host).contains(&peer()), "the first stays");
}

#[test]
fn parameters_of_the_link_are_taken_within_bounds() {
    let mut host = Host::new();
    let own = host.link_local();
    let mtu = |mtu: u32| [&[5, 1, 0, 0][..], &mtu.to_be_bytes()].concat();
    host.meet(peer(), PEER_MAC);
    let longest = |host: &mut Host| {
        host.inject(&icmp(peer(), own, 64, (kind::ECHO, 0), 0, &[0; 1440]));
        host.packets().iter().map(|p| p.payload.len() + 40).max().unwrap()
    };
    for absurd in [0, 1279, 1501, 65_536 + 1400, u32::MAX] {
        host.inject(&usual(&[mtu(absurd)]));
        assert_eq!(longest(&mut host), 1488, "{absurd}");
    }
    host.inject(&usual(&[mtu(1400)]));
    assert_eq!(longest(&mut host), 1400 / 8 * 8);
    let hop_limit = |host: &mut Host, said: u32| {
        host.inject(&from(peer(), said << 24 | 1800, &[]));
        host.echo(peer(), own)[0].header.hop_limit
    };
    assert_eq!(hop_limit(&mut host, 200), 200);
    assert_eq!(hop_limit(&mut host, 0), 200, "not said");
    assert_eq!(hop_limit(&mut host, 1), 200, "that would cut us off");
}

#[test]
fn routes_that_routers_offer_go_before_the_default() {
    let mut host = Host::new();
    let second = ip("fe80::2");
    host.inject(&usual(&[prefix("2001:db8:1::", BOTH, HOUR, HOUR)]));
    let mac = ndp::link_address(1, EVIL_MAC).to_vec();
    let route =
        [&[24, 2, 32, 0][..], &HOUR.to_be_bytes(), &ip("2001:db9::").octets()[..8]].concat();
    host.inject(&from(second, 0, &[mac, route]));
    host.pass(Duration::from_secs(2));
    let own = v6(address(&host));
    assert_eq!(host.echo(ip("2001:db9::1"), own)[0].to, EVIL_MAC);
    assert_eq!(host.echo(ip("2001:dba::1"), own)[0].to, PEER_MAC);
}

/// Where routes to `prefix` that name no router, or the peer, come from.
fn origins(host: &Host, prefix: &str) -> Vec<Origin> {
    let prefix: Cidr = prefix.parse().unwrap();
    let near = [None, Some(peer().into())];
    let same = host.stack.routes().filter(|r| r.prefix == prefix && near.contains(&r.via));
    same.map(|route| route.origin).collect()
}

#[test]
fn what_a_router_tells_ends_no_route_that_was_configured_nor_does_that_end_it() {
    use Origin::{Router, Static};
    let (on_link, any) = ("2001:db8:1::/64", "::/0");
    let told = |lifetime: u32| {
        let prefix = prefix("2001:db8:1::", 0x80, lifetime, lifetime);
        from(peer(), 64 << 24 | lifetime, &[ndp::link_address(1, PEER_MAC).to_vec(), prefix])
    };
    let address = Address::new("2001:db8:1::2/64".parse().unwrap(), Static);
    let default = Route::default_by(peer().into(), Static);
    let both = |host: &Host| [origins(host, on_link), origins(host, any)];
    for static_first in [true, false] {
        let mut host = Host::new();
        let configure = |host: &mut Host| {
            host.stack.add_address(host.now, address).unwrap();
            host.stack.add_route(default).unwrap();
        };
        if static_first {
            configure(&mut host);
        }
        host.inject(&told(600));
        if !static_first {
            configure(&mut host);
        }
        assert!(both(&host).iter().all(|o| o.contains(&Static) && o.contains(&Router)));
        // The router withdraws both, then tells of them again until their life is over.
        host.inject(&told(0));
        assert_eq!(both(&host), [[Static], [Static]]);
        host.inject(&told(600));
        host.pass(Duration::from_secs(601));
        assert_eq!(both(&host), [[Static], [Static]]);
        host.inject(&told(600));
        assert!(host.stack.remove_address(address.cidr.address));
        assert!(host.stack.remove_route(default.prefix, default.via, Static));
        assert!(!host.stack.remove_route(default.prefix, default.via, Static));
        assert_eq!(both(&host), [[Router], [Router]]);
    }
}

#[test]
fn temporary_addresses_are_made_on_demand_and_preferred() {
    let ipv6 = Ipv6 { temporary: true, ..Ipv6::default() };
    let mut host = Host::with(Config { ipv6, ..Config::default() });
    let week = 7 * 24 * HOUR;
    host.inject(&usual(&[prefix("2001:db8:1::", BOTH, week, week)]));
    host.pass(Duration::from_secs(2));
    let first = host.addresses(Origin::Temporary)[0];
    assert_ne!(v6(first), v6(address(&host)));
    assert!(first.preferred_until - host.now <= Duration::from_secs(24 * 3600));
    // Before it gets old there is the next one, and in the end it goes.
    host.pass(first.preferred_until - host.now);
    let all = host.addresses(Origin::Temporary);
    assert_eq!(all.len(), 2);
    assert_eq!(all.iter().filter(|a| a.state == AddressState::Preferred).count(), 1);
    host.pass(Duration::from_secs(2 * 24 * 3600));
    assert!(host.state(v6(first)).is_none());
    assert!(host.addresses(Origin::Temporary).len() <= 4);
}

#[test]
fn a_socket_leaves_an_address_that_becomes_deprecated() {
    // RFC 6724, rule 3; also where the socket has sent from it before.
    let mut host = Host::new();
    let (one, two) = ("2001:db8:1::", "2001:db8:2::");
    host.inject(&usual(&[prefix(one, BOTH, 2 * HOUR, HOUR), prefix(two, BOTH, 2 * HOUR, HOUR)]));
    host.pass(Duration::from_secs(2));
    host.packets();
    let id = host.stack.udp.bind("[::]:9".parse().unwrap()).unwrap();
    let far: std::net::SocketAddr = "[2001:db8:9::9]:9".parse().unwrap();
    let source = |host: &mut Host| {
        host.stack.send_udp(host.now, &mut host.tx, id, far, &[b"x".into()]).unwrap();
        host.packets().pop().unwrap().header.src
    };
    let first = source(&mut host);
    assert_eq!(source(&mut host), first);
    let (old, new) = if first.segments()[2] == 1 { (one, two) } else { (two, one) };
    host.inject(&usual(&[prefix(old, BOTH, 2 * HOUR, 0), prefix(new, BOTH, 2 * HOUR, 600)]));
    assert_eq!(host.state(first), Some(AddressState::Deprecated));
    let second = source(&mut host);
    assert_eq!(second.segments()[..4], ip(new).segments()[..4]);
    // By its lifetime, too; the router gives the other a new one, then.
    host.inject(&usual(&[prefix(old, BOTH, 2 * HOUR, HOUR)]));
    host.pass(Duration::from_secs(601));
    host.meet(peer(), PEER_MAC);
    assert_eq!(host.state(second), Some(AddressState::Deprecated));
    assert_eq!(source(&mut host), first);
}

/// A redirect from `router`: a better first hop for a destination.
fn redirect(router: Ipv6Addr, to: Ipv6Addr, target: Ipv6Addr, destination: Ipv6Addr) -> Vec<u8> {
    let option = ndp::link_address(2, EVIL_MAC);
    let body = [&target.octets()[..], &destination.octets(), &option].concat();
    icmp(router, to, 255, (kind::REDIRECT, 0), 0, &body)
}

#[test]
fn only_the_first_hop_may_redirect() {
    let mut host = Host::new();
    host.inject(&usual(&[prefix("2001:db8:1::", BOTH, HOUR, HOUR)]));
    host.pass(Duration::from_secs(2));
    let (own, far, better) = (v6(address(&host)), ip("2001:db9::1"), ip("fe80::3"));
    let bad = [
        redirect(ip("fe80::66"), own, better, far),
        redirect(ip("2001:db8:1::5"), own, better, far),
        redirect(peer(), own, better, ip("ff0e::1")),
        redirect(peer(), own, ip("2001:db8:1::7"), far),
        redirect(peer(), own, host.link_local(), far),
    ];
    for frame in &bad {
        host.inject(frame);
    }
    assert_eq!(host.count("dropped_ndp"), bad.len() as u64);
    assert_eq!(host.echo(far, own)[0].to, PEER_MAC);
    host.inject(&redirect(peer(), own, better, far));
    assert_eq!(host.echo(far, own)[0].to, EVIL_MAC);
    assert_eq!(host.echo(ip("2001:db9::2"), own)[0].to, PEER_MAC, "that destination only");
    // When the better hop does not answer, the old way is gone again.
    host.pass(Duration::from_secs(10));
    host.inject(&usual(&[]));
    host.packets();
    assert_eq!(host.echo(far, own).first().map(|p| p.to), Some(PEER_MAC));
}

#[test]
fn a_flood_of_redirects_keeps_the_table_bounded() {
    let mut host = Host::new();
    host.inject(&usual(&[prefix("2001:db8:1::", BOTH, HOUR, HOUR)]));
    host.pass(Duration::from_secs(2));
    let own = v6(address(&host));
    for n in 0..1000 {
        let destination = ip(&format!("2001:db9::{n:x}"));
        host.inject(&redirect(peer(), own, ip("fe80::3"), destination));
        host.packets();
    }
    let redirected = host.stack.routes().filter(|r| r.origin == Origin::Redirect).count();
    assert_eq!((redirected, host.count("redirects")), (16, 1000));
}

#[test]
fn a_router_that_fails_is_passed_over_for_another() {
    let mut host = Host::new();
    let (second, mac) = (ip("fe80::2"), MacAddr([2, 0, 0, 0, 0, 9]));
    host.inject(&usual(&[prefix("2001:db8:1::", BOTH, HOUR, HOUR)]));
    host.inject(&from(second, 1800, &[ndp::link_address(1, mac).to_vec()]));
    host.pass(Duration::from_secs(2));
    let (own, far) = (v6(address(&host)), ip("2001:db9::1"));
    assert_eq!(host.echo(far, own)[0].to, PEER_MAC);
    // It does not answer probes.
    host.pass(Duration::from_secs(9));
    host.packets();
    assert_eq!(host.echo(far, own)[0].to, mac);
}
