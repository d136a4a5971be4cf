//! A client and the server's messages, under a clock that the test turns.

use super::*;
use crate::{
    time::{Duration, Instant},
    wire::MacAddr,
};
use alloc::{vec, vec::Vec};
use core::net::Ipv4Addr;

const MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 9]);
const SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const OURS: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 77);
const ANYBODY: Destination = Destination::Broadcast { from: Ipv4Addr::UNSPECIFIED };

const OFFER: u8 = 2;
const ACK: u8 = 5;
const NAK: u8 = 6;

/// What a server says beside the type and its identifier.
const USUAL: &[(u8, &[u8])] = &[
    (1, &[255, 255, 255, 0]),
    (3, &[10, 0, 0, 1]),
    (6, &[10, 0, 0, 1, 10, 0, 0, 2]),
    (26, &[0x05, 0x14]),
    (51, &[0, 0, 0x03, 0x84]),
];

struct Run {
    client: Client,
    now: Instant,
    xid: [u8; 4],
}

impl Run {
    fn new() -> Run {
        let now = Instant::from_millis(1_000);
        Run { client: Client::new(MAC, [1, 2], now), now, xid: [0; 4] }
    }

    fn action(&mut self) -> Option<Action> {
        self.client.poll(self.now)
    }

    /// The message that is due now: where it goes, and its options.
    fn sent(&mut self) -> (Destination, Vec<u8>) {
        match self.action() {
            Some(Action::Send(to, message)) => {
                self.xid.copy_from_slice(&message[4..8]);
                (to, message)
            }
            other => panic!("no message but {other:?}"),
        }
    }

    /// Turns the clock to when the client wants to be polled.
    fn wake(&mut self) -> Duration {
        let at = self.client.poll_at().expect("the client waits for nothing");
        let passed = at - self.now;
        self.now = self.now.max(at);
        passed
    }

    fn says(&mut self, kind: u8, your: Ipv4Addr, options: &[(u8, &[u8])]) {
        let mut message = reply(self.xid, your);
        message.extend([53, 1, kind, 54, 4, 10, 0, 0, 1]);
        for (code, value) in options {
            message.extend([*code, value.len() as u8]);
            message.extend(*value);
        }
        message.push(255);
        self.client.receive(self.now, &message);
    }

    /// Goes the usual way to a lease of 900 s.
    fn bound() -> (Run, Lease) {
        let mut run = Run::new();
        run.sent();
        run.says(OFFER, OURS, USUAL);
        run.sent();
        run.says(ACK, OURS, USUAL);
        assert!(matches!(run.action(), Some(Action::Check(_))));
        run.client.checked(run.now, false);
        let Some(Action::Bind(lease)) = run.action() else { panic!("no lease") };
        assert_eq!(run.action(), None);
        (run, lease)
    }
}

fn reply(xid: [u8; 4], your: Ipv4Addr) -> Vec<u8> {
    let mut message = vec![2, 1, 6, 0];
    message.extend(xid);
    message.resize(16, 0);
    message.extend(your.octets());
    message.resize(28, 0);
    message.extend(MAC.0);
    message.resize(236, 0);
    message.extend([0x63, 0x82, 0x53, 0x63]);
    message
}

/// The value of an option of ours.
fn option(message: &[u8], wanted: u8) -> Option<Vec<u8>> {
    let mut rest = &message[240..];
    while let [code, len, tail @ ..] = rest {
        if *code == 255 {
            return None;
        }
        let (value, tail) = tail.split_at((*len).into());
        if *code == wanted {
            return Some(value.to_vec());
        }
        rest = tail;
    }
    None
}

#[test]
fn a_lease_is_discovered_requested_checked_and_bound() {
    let mut run = Run::new();
    let (to, discover) = run.sent();
    assert_eq!((to, discover.len()), (ANYBODY, 300));
    assert_eq!(option(&discover, 53), Some(vec![1]));
    assert_eq!(option(&discover, 61), Some([&[1][..], &MAC.0].concat()));
    assert_eq!(option(&discover, 55).unwrap()[..3], [1, 121, 3]);
    run.says(OFFER, OURS, USUAL);
    let (to, request) = run.sent();
    assert_eq!((to, &request[12..16]), (ANYBODY, &[0; 4][..]));
    assert_eq!(option(&request, 53), Some(vec![3]));
    assert_eq!(option(&request, 50), Some(OURS.octets().to_vec()));
    assert_eq!(option(&request, 54), Some(SERVER.octets().to_vec()));
    assert_eq!(request[4..8], discover[4..8], "one transaction");
    let asked = run.now;
    run.now += Duration::from_millis(300);
    run.says(ACK, OURS, USUAL);
    let Some(Action::Check(checked)) = run.action() else { panic!("the address is checked") };
    assert_eq!((run.client.lease(), run.client.poll_at()), (None, None));
    run.client.checked(run.now, false);
    assert_eq!(run.action(), Some(Action::Bind(checked.clone())));
    assert_eq!(checked.address.to_string(), "10.0.0.77/24");
    assert_eq!(checked.dns, [SERVER, Ipv4Addr::new(10, 0, 0, 2)]);
    assert_eq!(checked.mtu, Some(1300));
    assert_eq!(checked.routes.len(), 1);
    assert_eq!(checked.routes[0].via, Some(SERVER.into()));
    let at = |seconds| asked + Duration::from_millis(seconds);
    assert_eq!(checked.renew, at(450_000), "counted from the request");
    assert_eq!((checked.rebind, checked.expiry), (at(788_000), at(900_000)));
    assert_eq!(run.client.poll_at(), Some(checked.renew));
}

#[test]
fn discovery_is_repeated_with_doubled_waits_up_to_64_seconds() {
    let mut run = Run::new();
    for wait in [1, 2, 4, 8, 16, 32, 64, 64, 64] {
        run.sent();
        assert_eq!(run.action(), None);
        let waited = run.wake().as_millis();
        assert!((wait * 750..=wait * 1250).contains(&waited), "{waited} ms instead of {wait} s");
    }
}

#[test]
fn an_offer_that_nobody_confirms_is_dropped() {
    let mut run = Run::new();
    run.sent();
    run.says(OFFER, OURS, USUAL);
    for _ in 0..4 {
        assert_eq!(option(&run.sent().1, 53), Some(vec![3]));
        run.wake();
    }
    assert_eq!(run.action(), None);
    run.wake();
    assert_eq!(option(&run.sent().1, 53), Some(vec![1]), "and the search begins anew");
}

#[test]
fn a_refused_request_begins_anew() {
    let mut run = Run::new();
    run.sent();
    run.says(OFFER, OURS, USUAL);
    let old = run.sent().1;
    run.says(NAK, Ipv4Addr::UNSPECIFIED, &[]);
    assert_eq!(run.action(), None);
    assert_eq!(run.wake(), Duration::from_secs(1));
    let (_, discover) = run.sent();
    assert_eq!(option(&discover, 53), Some(vec![1]));
    assert_ne!(discover[4..8], old[4..8], "of a new transaction");
}

#[test]
fn an_address_in_use_is_declined_and_another_asked_for_after_ten_seconds() {
    let mut run = Run::new();
    run.sent();
    run.says(OFFER, OURS, USUAL);
    run.sent();
    run.says(ACK, OURS, USUAL);
    assert!(matches!(run.action(), Some(Action::Check(_))));
    run.client.checked(run.now, true);
    let (to, decline) = run.sent();
    assert_eq!(to, ANYBODY);
    assert_eq!(option(&decline, 53), Some(vec![4]));
    assert_eq!(option(&decline, 50), Some(OURS.octets().to_vec()));
    assert_eq!(option(&decline, 54), Some(SERVER.octets().to_vec()));
    assert_eq!(option(&decline, 55), None);
    assert_eq!(run.wake(), Duration::from_secs(10));
    assert_eq!(option(&run.sent().1, 53), Some(vec![1]));
    assert_eq!(run.client.stats().declined, 1);
}

#[test]
fn an_address_that_another_host_takes_later_is_given_up_and_declined() {
    let (mut run, _) = Run::bound();
    run.client.conflict(run.now);
    assert_eq!(run.action(), Some(Action::Unbind(OURS)));
    assert_eq!(option(&run.sent().1, 53), Some(vec![4]));
    assert_eq!(run.client.lease(), None);
}

#[test]
fn a_lease_is_renewed_at_its_server() {
    let (mut run, lease) = Run::bound();
    run.now = lease.renew;
    let (to, request) = run.sent();
    assert_eq!(to, Destination::Unicast { from: OURS, to: SERVER });
    assert_eq!(request[12..16], OURS.octets(), "ciaddr");
    assert_eq!((option(&request, 50), option(&request, 54)), (None, None));
    run.says(ACK, OURS, USUAL);
    let Some(Action::Bind(new)) = run.action() else { panic!("not extended") };
    assert_eq!(new.expiry, run.now + Duration::from_secs(900));
    assert_eq!(run.client.lease(), Some(&new));
}

#[test]
fn a_silent_server_is_asked_again_then_all_are_and_then_the_address_goes() {
    let (mut run, lease) = Run::bound();
    let (mut unicast, mut broadcast) = (0, 0);
    loop {
        run.wake();
        match run.action() {
            Some(Action::Send(Destination::Unicast { .. }, _)) => unicast += 1,
            Some(Action::Send(Destination::Broadcast { from }, _)) => {
                assert_eq!(from, OURS);
                broadcast += 1;
            }
            Some(Action::Unbind(address)) => break assert_eq!(address, OURS),
            Some(other) => panic!("{other:?}"),
            None => {}
        }
    }
    // 338 s: at once, and after 169, 85 and 60 s. 112 s: at once, and after 60 s.
    assert_eq!((unicast, broadcast, run.now), (4, 2, lease.expiry));
    assert_eq!(run.client.stats().expired, 1);
    assert_eq!(option(&run.sent().1, 53), Some(vec![1]), "the search begins at once");
}

#[test]
fn another_server_may_extend_a_lease_that_is_being_rebound() {
    let (mut run, lease) = Run::bound();
    run.now = lease.rebind;
    run.sent();
    run.says(ACK, OURS, USUAL);
    assert!(matches!(run.action(), Some(Action::Bind(_))));
}

#[test]
fn a_refusal_to_renew_takes_the_address_at_once() {
    let (mut run, lease) = Run::bound();
    run.now = lease.renew;
    run.sent();
    run.says(NAK, Ipv4Addr::UNSPECIFIED, &[]);
    assert_eq!(run.action(), Some(Action::Unbind(OURS)));
    assert_eq!(run.client.lease(), None);
}

#[test]
fn an_infinite_lease_never_ends() {
    let mut run = Run::new();
    run.sent();
    let forever: &[(u8, &[u8])] = &[(51, &[255; 4])];
    run.says(OFFER, OURS, forever);
    run.sent();
    run.says(ACK, OURS, forever);
    run.action();
    run.client.checked(run.now, false);
    run.action();
    run.now += Duration::from_secs(1 << 32);
    assert_eq!(run.action(), None);
    assert_eq!(
        run.client.lease().unwrap().address.prefix,
        8,
        "the class of old for want of a mask"
    );
}

#[test]
fn times_out_of_order_give_way_to_the_usual_ones() {
    let mut run = Run::new();
    run.sent();
    let odd: &[(u8, &[u8])] = &[(51, &[0, 0, 0, 80]), (58, &[0, 0, 0, 90]), (59, &[0, 0, 0, 10])];
    run.says(OFFER, OURS, odd);
    run.sent();
    run.says(ACK, OURS, odd);
    let Some(Action::Check(lease)) = run.action() else { panic!("no lease") };
    assert_eq!(lease.renew, run.now + Duration::from_secs(40));
    assert_eq!(lease.rebind, run.now + Duration::from_secs(70));
}

#[test]
fn classless_routes_stand_in_for_routers() {
    let mut run = Run::new();
    run.sent();
    let routes = [
        24, 192, 168, 7, 10, 0, 0, 2, // through a router
        16, 172, 16, 0, 0, 0, 0, // on the link
        0, 10, 0, 0, 3, // the default
        33, 1, 2, 3, 4, 5, // malformed
    ];
    let options: &[(u8, &[u8])] = &[
        (1, &[255, 255, 255, 0]),
        (3, &[10, 0, 0, 1]),
        (51, &[0, 0, 3, 0]),
        // RFC 3396: one option in two parts.
        (121, &routes[..5]),
        (121, &routes[5..]),
    ];
    run.says(OFFER, OURS, options);
    run.sent();
    run.says(ACK, OURS, options);
    let Some(Action::Check(lease)) = run.action() else { panic!("no lease") };
    let shown = lease.routes.iter().map(|r| (r.prefix.to_string(), r.via.map(|v| v.to_string())));
    assert_eq!(
        shown.collect::<Vec<_>>(),
        [
            ("192.168.7.0/24".into(), Some("10.0.0.2".into())),
            ("172.16.0.0/16".into(), None),
            ("0.0.0.0/0".into(), Some("10.0.0.3".into()))
        ]
    );
}

#[test]
fn options_are_found_in_overloaded_fields() {
    let mut run = Run::new();
    run.sent();
    let mut message = reply(run.xid, OURS);
    message[108..120].copy_from_slice(&[51, 4, 0, 0, 1, 0, 1, 4, 255, 255, 0, 0]);
    message[44..51].copy_from_slice(&[54, 4, 10, 0, 0, 1, 255]);
    message.extend([53, 1, OFFER, 52, 1, 3, 255]);
    run.client.receive(run.now, &message);
    assert_eq!(option(&run.sent().1, 54), Some(SERVER.octets().to_vec()));
}

#[test]
fn foreign_and_malformed_messages_are_dropped_and_counted() {
    let mut run = Run::new();
    run.sent();
    let mut good = reply(run.xid, OURS);
    good.extend([53, 1, OFFER, 54, 4, 10, 0, 0, 1, 51, 4, 0, 0, 1, 0, 255]);
    let spoil = |at: usize, value: u8| {
        let mut message = good.clone();
        message[at] = value;
        message
    };
    let bad = [
        vec![],
        good[..239].to_vec(),
        good[..good.len() - 4].to_vec(), // its lease time is cut off
        spoil(0, 1),                     // a request
        spoil(1, 6),                     // another medium
        spoil(4, good[4] ^ 1),           // another transaction
        spoil(16, 0),                    // 0.0.0.77
        spoil(16, 127),
        spoil(16, 224),
        spoil(28, 4),    // another station
        spoil(236, 0),   // no DHCP
        spoil(242, 1),   // a DHCPDISCOVER
        spoil(242, ACK), // nothing was requested
        spoil(245, 0),   // a server at 0.0.0.1
    ];
    for (i, message) in bad.iter().enumerate() {
        run.client.receive(run.now, message);
        assert_eq!(run.client.stats().dropped, i as u64 + 1, "message {i}");
        assert_eq!(run.action(), None);
    }
    run.client.receive(run.now, &good);
    assert!(matches!(run.action(), Some(Action::Send(..))));
}

#[test]
fn any_cut_and_any_changed_byte_of_a_message_is_survived() {
    let (run, _) = Run::bound();
    let mut message = reply(run.xid, OURS);
    message.extend([53, 1, ACK, 54, 4, 10, 0, 0, 1, 51, 4, 0, 0, 1, 0, 52, 1, 3, 255]);
    for at in 0..message.len() {
        for value in [0, 1, 4, 127, 255] {
            let mut run = Run::bound().0;
            run.now = run.client.poll_at().unwrap();
            run.sent();
            let mut changed = message.clone();
            changed[4..8].copy_from_slice(&run.xid);
            changed[at] = value;
            run.client.receive(run.now, &changed);
            run.client.receive(run.now, &changed[..at]);
            while run.action().is_some() {}
        }
    }
}

#[test]
fn a_lease_is_given_back_at_its_server_and_no_other_is_looked_for() {
    let (mut run, _) = Run::bound();
    run.client.release(run.now);
    let (to, release) = run.sent();
    assert_eq!(to, Destination::Unicast { from: OURS, to: SERVER });
    assert_eq!(option(&release, 53), Some(vec![7]));
    assert_eq!(option(&release, 54), Some(SERVER.octets().to_vec()));
    assert_eq!(release[12..16], OURS.octets(), "ciaddr");
    // RFC 2131, table 5.
    assert_eq!((option(&release, 50), option(&release, 55)), (None, None));
    assert_eq!(run.client.lease(), None);
    run.now += Duration::from_secs(100_000);
    assert_eq!(run.action(), None);
    run.client.release(run.now);
    assert_eq!(run.action(), None);
}
