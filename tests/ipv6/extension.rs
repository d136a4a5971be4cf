//! Extension headers (RFC 8200, section 4).

use crate::host::*;
use std::net::Ipv6Addr;
use zerohop::{
    time::Duration,
    wire::{
        icmpv6::{PROTOCOL, kind},
        ipv6::{ALL_NODES, extension::next},
    },
};

fn known() -> (Host, Ipv6Addr) {
    let mut host = Host::new();
    host.meet(peer(), PEER_MAC);
    let own = host.link_local();
    (host, own)
}

fn echo(own: Ipv6Addr, data: &[u8]) -> Vec<u8> {
    message((peer(), own), (kind::ECHO, 0), 1, data)
}

/// An extension header of eight bytes.
fn header(next: u8, rest: [u8; 6]) -> Vec<u8> {
    [&[next, 0][..], &rest].concat()
}

/// The code and the pointer of the one parameter problem that was sent.
fn problem(host: &mut Host) -> Option<(u8, u32)> {
    let sent = host.sent(kind::PARAMETER);
    assert!(sent.len() <= 1);
    sent.first().map(|p| (p.payload[1], u32::from_be_bytes(p.payload[4..8].try_into().unwrap())))
}

const PAD: [u8; 6] = [1, 4, 0, 0, 0, 0];

#[test]
fn known_headers_are_walked() {
    let (mut host, own) = known();
    let chain = [
        header(next::DESTINATION, PAD),
        header(next::ROUTING, PAD),
        // Its way is at the end: passed over.
        header(next::FRAGMENT, [0, 0, 0, 0, 0, 0]),
        // An atomic fragment.
        vec![next::DESTINATION, 0, 0, 0, 1, 2, 3, 4],
        header(PROTOCOL, PAD),
        echo(own, b"x"),
    ];
    host.inject(&frame(peer(), own, 64, next::HOP_BY_HOP, &chain.concat()));
    assert_eq!(host.sent(kind::ECHO_REPLY).len(), 1);
}

#[test]
fn chains_without_end_are_dropped() {
    let (mut host, own) = known();
    let long = [header(next::DESTINATION, PAD).repeat(150), echo(own, b"x")].concat();
    host.inject(&frame(peer(), own, 64, next::DESTINATION, &long));
    let mut wide = vec![0; 8 * 100];
    (wide[0], wide[1]) = (PROTOCOL, 99);
    wide.extend(echo(own, b"x"));
    host.inject(&frame(peer(), own, 64, next::DESTINATION, &wide));
    // Cut off in the midst of a header.
    host.inject(&frame(peer(), own, 64, next::DESTINATION, &[PROTOCOL, 5, 0, 0]));
    host.inject(&frame(peer(), own, 64, next::HOP_BY_HOP, &[PROTOCOL]));
    assert!(host.packets().is_empty());
    assert_eq!(host.count("dropped_ip_extension"), 4);
}

#[test]
fn unknown_options_do_what_their_bits_say() {
    let (mut host, own) = known();
    let send = |host: &mut Host, dst: Ipv6Addr, option: u8| {
        let request = message((peer(), dst), (kind::ECHO, 0), 1, b"");
        let payload = [header(PROTOCOL, [option, 4, 0, 0, 0, 0]), request].concat();
        host.inject(&frame(peer(), dst, 64, next::DESTINATION, &payload));
        let sent = host.packets();
        sent.iter().filter_map(Packet::kind).collect::<Vec<_>>()
    };
    assert_eq!(send(&mut host, own, 0x1e), [kind::ECHO_REPLY]);
    assert!(send(&mut host, own, 0x5e).is_empty());
    assert_eq!(send(&mut host, own, 0x9e), [kind::PARAMETER]);
    assert_eq!(send(&mut host, own, 0xde), [kind::PARAMETER]);
    assert_eq!(send(&mut host, ALL_NODES, 0x9e), [kind::PARAMETER], "told to groups' senders too");
    assert!(send(&mut host, ALL_NODES, 0xde).is_empty());
    let payload = [header(PROTOCOL, [0xde, 4, 0, 0, 0, 0]), echo(own, b"")].concat();
    host.inject(&frame(peer(), own, 64, next::DESTINATION, &payload));
    assert_eq!(problem(&mut host), Some((2, 42)), "at the option");
}

#[test]
fn routing_header_0_is_refused() {
    let (mut host, own) = known();
    let mut routing = vec![PROTOCOL, 2, 0, 1, 0, 0, 0, 0];
    routing.extend(ip("2001:db8::66").octets());
    routing.extend(echo(own, b"x"));
    host.inject(&frame(peer(), own, 64, next::ROUTING, &routing));
    assert_eq!(problem(&mut host), Some((0, 42)), "at the routing type");
}

#[test]
fn unknown_next_headers_are_reported_where_they_are_named() {
    let (mut host, own) = known();
    host.inject(&frame(peer(), own, 64, 200, &[0; 20]));
    assert_eq!(problem(&mut host), Some((1, 6)));
    let payload = [header(200, PAD), vec![0; 20]].concat();
    host.inject(&frame(peer(), own, 64, next::DESTINATION, &payload));
    assert_eq!(problem(&mut host), Some((1, 40)));
    // Hop-by-hop options anywhere but first.
    let payload = [header(next::HOP_BY_HOP, PAD), header(PROTOCOL, PAD), echo(own, b"")].concat();
    host.inject(&frame(peer(), own, 64, next::DESTINATION, &payload));
    assert_eq!(problem(&mut host), Some((1, 40)));
    host.inject(&frame(peer(), own, 64, next::NONE, b"whatever"));
    assert!(host.packets().is_empty());
}

/// Fragments of `payload`, each of `size` bytes.
fn fragments(own: Ipv6Addr, ident: u8, payload: &[u8], size: usize) -> Vec<Vec<u8>> {
    let count = payload.len().div_ceil(size);
    let one = |(i, part): (usize, &[u8])| {
        let field = (i * size) as u16 | u16::from(i + 1 < count);
        let head = [&[PROTOCOL, 0][..], &field.to_be_bytes(), &[0, 0, 0, ident]].concat();
        frame(peer(), own, 64, next::FRAGMENT, &[&head[..], part].concat())
    };
    payload.chunks(size).enumerate().map(one).collect()
}

#[test]
fn fragments_are_put_together_in_any_order() {
    let (mut host, own) = known();
    let mut parts = fragments(own, 1, &echo(own, &[5; 3000]), 1000);
    parts.reverse();
    parts.iter().for_each(|part| host.inject(part));
    let replies = host.packets();
    assert_eq!(replies.len(), 3, "and the answer goes in fragments");
    assert!(replies.iter().all(|r| r.header.next_header == next::FRAGMENT));
}

#[test]
fn overlapping_fragments_are_dropped_whole() {
    let (mut host, own) = known();
    let parts = fragments(own, 1, &echo(own, &[5; 2000]), 1000);
    host.inject(&parts[0]);
    let mut overlap = parts[1].clone();
    // Eight bytes earlier than it belongs.
    overlap[57] -= 8;
    host.inject(&overlap);
    parts[1..].iter().for_each(|part| host.inject(part));
    assert!(host.packets().is_empty());
    assert_eq!(host.count("fragments_overlap"), 1);
}

#[test]
fn fragments_with_lengths_that_cannot_be_are_reported() {
    let (mut host, own) = known();
    let odd = [&[PROTOCOL, 0, 0, 1, 0, 0, 0, 1][..], &echo(own, &[0; 7])].concat();
    host.inject(&frame(peer(), own, 64, next::FRAGMENT, &odd));
    assert_eq!(problem(&mut host), Some((0, 4)), "at the payload length");
    let far = [&[PROTOCOL, 0, 0xff, 0xf8, 0, 0, 0, 2][..], &[0; 64]].concat();
    host.inject(&frame(peer(), own, 64, next::FRAGMENT, &far));
    assert_eq!(problem(&mut host), Some((0, 42)), "at the offset");
}

#[test]
fn a_first_fragment_without_its_headers_is_dropped() {
    let (mut host, own) = known();
    let part = [&[next::DESTINATION, 0, 0, 1, 0, 0, 0, 1][..], &[PROTOCOL, 1, 1, 4, 0, 0, 0, 0]];
    host.inject(&frame(peer(), own, 64, next::FRAGMENT, &part.concat()));
    assert_eq!(host.count("dropped_ip_extension"), 1);
}

#[test]
fn the_sender_of_fragments_that_stay_alone_is_told_after_a_minute() {
    let (mut host, own) = known();
    host.inject(&fragments(own, 1, &echo(own, &[5; 2000]), 1000)[0]);
    host.pass(Duration::from_secs(59));
    assert!(host.sent(kind::TIME_EXCEEDED).is_empty());
    host.pass(Duration::from_secs(2));
    // The neighbour is stale by now and probed; the error goes to it all the same.
    let errors = host.sent(kind::TIME_EXCEEDED);
    assert_eq!((errors.len(), errors[0].payload[1]), (1, 1));
}

#[test]
fn a_flood_of_fragments_keeps_memory_flat() {
    let (mut host, own) = known();
    for n in 0..20_000_u32 {
        let ident = n.to_be_bytes();
        let part = [&[PROTOCOL, 0, 0, 1][..], &ident, &echo(own, &[0; 992])].concat();
        host.inject(&frame(peer(), own, 64, next::FRAGMENT, &part));
    }
    assert!(host.pool.stats().free > 300, "{:?}", host.pool.stats());
    assert_eq!(host.echo(peer(), own).len(), 1);
}

#[test]
fn discovery_in_fragments_is_dropped() {
    let (mut host, own) = known();
    let target = own.octets();
    let asked = message((peer(), own), (kind::NEIGHBOR_SOLICITATION, 0), 0, &target);
    host.inject(&frame(peer(), own, 255, PROTOCOL, &asked));
    assert_eq!(host.sent(kind::NEIGHBOR_ADVERTISEMENT).len(), 1);
    // RFC 6980: in an atomic fragment, and in two.
    let head = |field: u16| [&[PROTOCOL, 0][..], &field.to_be_bytes(), &[0, 0, 0, 7]].concat();
    let parts = [(0, &asked[..]), (1, &asked[..16]), (16, &asked[16..])];
    for (field, part) in parts {
        let part = [&head(field)[..], part].concat();
        host.inject(&frame(peer(), own, 255, next::FRAGMENT, &part));
    }
    assert!(host.packets().is_empty());
    assert_eq!(host.count("dropped_ndp"), 2);
    // Echo requests may come so.
    let whole = [head(0), echo(own, b"x")].concat();
    host.inject(&frame(peer(), own, 64, next::FRAGMENT, &whole));
    assert_eq!(host.sent(kind::ECHO_REPLY).len(), 1);
}
