//! How fast a sender goes on: after a loss (RFC 6937, RFC 9937), and after a pause (RFC 5681, 4.1;
//! RFC 6582, 3.2).

use crate::ack;
use crate::recovery::{RTT, open};
use crate::tcp_support::trace::Trace;
use zerohop::{
    tcp::{Congestion, ConnId},
    time::Duration,
};

#[test]
fn window_restarts_after_idle() {
    let (mut t, id) = open(Trace::syn(), Congestion::Cubic);
    t.write(id, 10_000);
    t.net.sent.clear();
    t.pass(RTT);
    ack!(t, 10_001);
    t.write(id, 20_000);
    t.net.sent.clear();
    t.pass(RTT);
    ack!(t, 30_001);
    assert!(t.info(id).cwnd >= 30_000);
    t.pass(Duration::from_secs(5));
    t.write(id, 40_000);
    assert_eq!(t.net.sent.len(), 10);
}

#[test]
fn window_does_not_grow_while_the_application_is_the_limit() {
    let (mut t, id) = open(Trace::syn(), Congestion::Cubic);
    let mut seq = 1;
    for _ in 0..50 {
        t.write(id, 1000);
        t.net.sent.clear();
        seq += 1000;
        t.pass(Duration::from_millis(20));
        ack!(t, seq);
    }
    assert_eq!(t.info(id).cwnd, 10_000);
}

#[test]
fn bbr_keeps_its_window_after_a_pause() {
    let (mut t, id) = open(Trace::syn(), Congestion::Bbr);
    let mut sent = 0;
    for _ in 0..8 {
        t.write(id, 20_000);
        t.pass(RTT);
        while let Some(seg) = t.take_sent() {
            sent = sent.max(seg.seq + seg.len);
        }
        ack!(t, sent);
    }
    t.pass(Duration::from_secs(3));
    let before = t.info(id).cwnd;
    t.write(id, 1000);
    assert!(before > 10_000);
    assert_eq!(t.info(id).cwnd, before);
}

/// How many segments were sent since the last look.
fn sent(t: &mut Trace) -> usize {
    std::iter::from_fn(|| t.take_sent()).filter(|seg| seg.len > 0).count()
}

/// Twenty segments of 1000 bytes are in flight, from 10,001 on, and more waits to be sent.
fn twenty_in_flight() -> (Trace, ConnId) {
    let (mut t, id) = open(Trace::syn(), Congestion::Cubic);
    t.write(id, 60_000);
    t.pass(RTT);
    ack!(t, 10_001);
    assert_eq!(sent(&mut t), 30);
    t.pass(RTT);
    (t, id)
}

#[test]
fn above_the_threshold_seven_tenths_of_what_arrives_are_sent() {
    let (mut t, id) = twenty_in_flight();
    ack!(t, 10_001, sack = vec![(11_001, 14_001)]);
    let mut total = sent(&mut t);
    let threshold = t.info(id).ssthresh;
    assert_eq!(threshold, 20_000 * 717 / 1024);
    for arrived in 4..20 {
        let sack = vec![(11_001, 11_001 + arrived * 1000)];
        ack!(t, 10_001, sack = sack);
        total += sent(&mut t);
        let most = (f64::from(arrived * threshold) / 20_000.0).ceil() as usize;
        // The first is the retransmission; the window is given out by whole segments.
        assert!(total <= most + 1 && total + 2 >= most, "{total} after {arrived}");
    }
}

#[test]
fn below_the_threshold_no_more_is_sent_than_arrives() {
    let (mut t, id) = twenty_in_flight();
    // Of twenty, twelve are lost: the pipe is empty, the threshold at fourteen.
    let sack = vec![(22_001, 30_001)];
    ack!(t, 10_001, sack = sack.clone());
    assert_eq!(sent(&mut t), 8);
    assert!(t.info(id).ssthresh > 14_000);
    // One more for each ACK that shows progress and no new loss.
    t.pass(RTT / 2);
    for n in 1..=3 {
        let ack = 10_001 + n * 1000;
        ack!(t, ack, sack = sack.clone());
        assert_eq!(sent(&mut t), 2, "{n}");
    }
}

/// A window of forty segments, of which the application has used one at a time for a while.
fn mostly_idle() -> (Trace, ConnId, u32) {
    let (mut t, id) = open(Trace::syn(), Congestion::Cubic);
    let mut next = 1;
    for n in [10, 20, 40] {
        t.write(id, n * 1000);
        t.pass(RTT);
        next += n as u32 * 1000;
        ack!(t, next);
    }
    assert!(t.info(id).cwnd >= 40_000);
    for _ in 0..4 {
        t.write(id, 4000);
        t.pass(RTT);
        next += 4000;
        ack!(t, next);
    }
    assert!(t.info(id).cwnd >= 40_000, "nothing was wrong");
    sent(&mut t);
    (t, id, next)
}

#[test]
fn end_of_a_recovery_opens_no_window_that_was_not_used() {
    let (mut t, id, next) = mostly_idle();
    t.write(id, 4000);
    t.pass(RTT);
    ack!(t, next, sack = vec![(next + 1000, next + 4000)]);
    assert_eq!((sent(&mut t), t.tcp.stats().retransmits), (5, 1));
    t.pass(RTT);
    ack!(t, next + 4000);
    // Half of what the window was, says RFC 9438; that much at once would be a burst.
    assert!(t.info(id).ssthresh > 10_000);
    t.write(id, 50_000);
    assert_eq!(sent(&mut t), 10, "as after an idle time");
    // The ACK clock brings the rest.
    t.pass(RTT);
    ack!(t, next + 14_000);
    assert!(t.info(id).cwnd > 13_000);
}

#[test]
fn what_was_in_flight_before_a_pause_opens_no_window_in_a_recovery() {
    let (mut t, id) = open(Trace::syn(), Congestion::Cubic);
    t.write(id, 10_000);
    t.pass(RTT);
    ack!(t, 10_001);
    t.write(id, 20_000);
    t.pass(RTT);
    ack!(t, 30_001);
    // A round trip later there are four.
    t.write(id, 4000);
    t.pass(RTT);
    sent(&mut t);
    ack!(t, 30_001, sack = vec![(31_001, 34_001)]);
    assert_eq!(sent(&mut t), 1, "the hole");
    t.write(id, 50_000);
    assert!(sent(&mut t) <= 3, "what arrived, not what the window was");
}
