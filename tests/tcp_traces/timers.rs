//! Timers: RFC 6298, RFC 9293, sections 3.8.3 and 3.8.4, RFC 5482.

use crate::tcp_support::trace::{Seg, Trace};
use crate::{ack, expect, inject};
use zerohop::{
    tcp::{Error, Keepalive, MIN_RTO, State},
    time::Duration,
};

/// Milliseconds until the next segment.
fn until_sent(t: &mut Trace) -> u64 {
    let start = t.net.now;
    while t.net.sent.is_empty() {
        t.pass(Duration::from_millis(1));
        assert!(t.net.now.saturating_since(start) < Duration::from_secs(300));
    }
    t.net.now.saturating_since(start).as_millis() as u64
}

#[test]
fn rto_backs_off_by_doubling_and_an_ack_resets_it() {
    let (mut t, id) = Trace::listening().established_by(Seg { sack_ok: false, ..Trace::syn() });
    t.write(id, 100);
    expect!(t, ACK | PSH, seq = 1);
    let mut waits = Vec::new();
    for _ in 0..4 {
        waits.push(until_sent(&mut t));
        expect!(t, ACK | PSH, seq = 1, len = 100);
    }
    assert!(waits[0].abs_diff(200) < 5, "{waits:?}");
    for pair in waits.windows(2) {
        assert!(pair[1].abs_diff(2 * pair[0]) <= 3, "{waits:?}");
    }
    ack!(t, 101);
    // Karn: the retransmitted segment gave no sample.
    assert!(t.info(id).rto <= Duration::from_millis(250));
    assert!(MIN_RTO <= Duration::from_millis(200));
}

#[test]
fn rtt_is_measured_and_sets_the_rto() {
    let (mut t, id) = Trace::established();
    for _ in 0..20 {
        let seq = 1 + t.info(id).delivered as u32;
        t.write(id, 1000);
        expect!(t, ACK | PSH, seq = seq);
        t.pass(Duration::from_millis(50));
        t.net.sent.clear();
        ack!(t, seq + 1000);
    }
    let info = t.info(id);
    let srtt = info.srtt.unwrap().as_millis();
    assert!((40..=51).contains(&srtt), "{srtt}");
    assert_eq!(info.rto, MIN_RTO);
}

#[test]
fn user_timeout_ends_the_connection() {
    let (mut t, id) = Trace::established();
    t.tcp.set_user_timeout(id, Some(Duration::from_secs(10)));
    t.write(id, 100);
    t.pass(Duration::from_secs(9));
    assert_eq!(t.info(id).state, State::Established);
    t.pass(Duration::from_secs(20));
    assert_eq!(t.tcp.read(id, 1).unwrap_err(), Error::TimedOut);
}

#[test]
fn r2_is_at_least_100_seconds() {
    let (mut t, id) = Trace::established();
    t.write(id, 100);
    t.pass(Duration::from_secs(100));
    assert_eq!(t.info(id).state, State::Established);
    t.pass(Duration::from_secs(1200));
    assert_eq!(t.tcp.read(id, 1).unwrap_err(), Error::TimedOut);
}

#[test]
fn keepalive_is_off_by_default() {
    let (mut t, id) = Trace::established();
    t.pass(Duration::from_secs(3 * 3600));
    t.silent();
    assert_eq!(t.info(id).state, State::Established);
}

#[test]
fn keepalive_probes_and_gives_up() {
    let (mut t, id) = Trace::established();
    let keepalive =
        Keepalive { idle: Duration::from_secs(60), interval: Duration::from_secs(5), probes: 3 };
    t.tcp.set_keepalive(id, Some(keepalive));
    t.pass(Duration::from_millis(60_100));
    expect!(t, ACK, seq = 0, len = 0);
    inject!(t, ACK, seq = 1, ack = 1, win = 1000);
    t.silent();
    t.pass(Duration::from_millis(60_500));
    expect!(t, ACK, seq = 0);
    t.pass(Duration::from_secs(11));
    expect!(t, ACK, seq = 0);
    expect!(t, ACK, seq = 0);
    t.pass(Duration::from_secs(10));
    expect!(t, RST | ACK, seq = 1);
    assert_eq!(t.tcp.read(id, 1).unwrap_err(), Error::TimedOut);
    assert_eq!(Keepalive::default().idle, Duration::from_secs(7200));
}

#[test]
fn keepalive_of_the_peer_is_answered() {
    let (mut t, _) = Trace::established();
    inject!(t, ACK, seq = 0, ack = 1, win = 1000);
    expect!(t, ACK, seq = 1, ack = 1);
    inject!(t, ACK, seq = 0, ack = 1, len = 1, win = 1000);
    expect!(t, ACK, seq = 1, ack = 1);
}

#[test]
fn timers_have_a_granularity_below_a_millisecond() {
    let (mut t, _) = Trace::established();
    inject!(t, ACK | PSH, seq = 1, ack = 1, len = 10, win = 1000);
    let due = t.net.now + Duration::from_millis(40);
    let at = t.tcp.poll_at().unwrap();
    assert!(at.saturating_since(due) < Duration::from_millis(1));
}

#[test]
fn user_timeout_is_kept_to_the_moment() {
    let (mut t, id) = Trace::established();
    t.tcp.set_user_timeout(id, Some(Duration::from_secs(5)));
    t.write(id, 100);
    t.pass(Duration::from_millis(4990));
    assert_eq!(t.info(id).state, State::Established);
    t.pass(Duration::from_millis(20));
    assert_eq!(t.info(id).state, State::Closed);
}

#[test]
fn what_waited_behind_a_retransmission_gives_no_rtt() {
    let (mut t, id) = Trace::listening().established_by(Seg { sack_ok: false, ..Trace::syn() });
    t.tcp.set_nodelay(id, true);
    t.write(id, 3000);
    t.pass(Duration::from_secs(8));
    ack!(t, 3001);
    assert!(t.info(id).srtt.unwrap() < Duration::from_millis(1));
}

#[test]
fn what_is_written_while_there_is_no_route_goes_out_when_there_is_one() {
    let (mut t, id) = Trace::established();
    t.pass(Duration::from_secs(3600));
    t.net.reachable = false;
    t.write(id, 100);
    t.pass(Duration::from_secs(60));
    t.silent();
    t.net.reachable = true;
    t.pass(Duration::from_secs(121));
    expect!(t, ACK | PSH, seq = 1, len = 100);
}

#[test]
fn what_finds_no_route_is_given_up_after_the_user_timeout() {
    let (mut t, id) = Trace::established();
    t.tcp.set_user_timeout(id, Some(Duration::from_secs(30)));
    t.pass(Duration::from_secs(3600));
    t.net.reachable = false;
    t.write(id, 100);
    t.pass(Duration::from_secs(29));
    assert_eq!(t.info(id).state, State::Established);
    t.pass(Duration::from_secs(60));
    assert_eq!(t.tcp.read(id, 1).unwrap_err(), Error::Unreachable);
}

#[test]
fn ack_that_finds_no_route_does_not_keep_the_next_one_back() {
    let (mut t, _) = Trace::established();
    t.net.reachable = false;
    inject!(t, ACK, seq = 0, ack = 1, win = 1000);
    t.net.reachable = true;
    inject!(t, ACK, seq = 1, ack = 1, len = 10, win = 60_000);
    t.pass(Duration::from_millis(41));
    expect!(t, ACK, ack = 11);
}
