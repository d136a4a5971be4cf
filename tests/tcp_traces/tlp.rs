//! Tail loss probes: RFC 8985, section 7.

use crate::recovery::{RTT, open, ten_in_flight};
use crate::tcp_support::trace::Trace;
use crate::{ack, expect, inject};
use zerohop::{
    tcp::{Congestion, ConnId},
    time::Duration,
};

#[test]
fn tail_loss_is_probed_after_two_rtts() {
    let (mut t, _) = ten_in_flight(true, Congestion::Cubic);
    ack!(t, 8001);
    t.pass(Duration::from_millis(195));
    t.silent();
    t.pass(Duration::from_millis(10));
    expect!(t, ACK | PSH, seq = 9001, len = 1000);
    t.silent();
    assert_eq!((t.tcp.stats().loss_probes, t.tcp.stats().timeouts), (1, 0));
    // The probe shows that the segment before it is missing: recovery without a timeout.
    t.pass(RTT);
    ack!(t, 8001, sack = vec![(9001, 10_001)]);
    t.pass(Duration::from_millis(30));
    expect!(t, ACK, seq = 8001, len = 1000);
    assert_eq!(t.tcp.stats().timeouts, 0);
}

#[test]
fn tail_probe_prefers_new_data() {
    let (mut t, id) = open(Trace::syn(), Congestion::Cubic);
    t.write(id, 30_000);
    t.net.sent.clear();
    t.pass(Duration::from_millis(220));
    expect!(t, ACK, seq = 10_001, len = 1000);
    t.silent();
}

/// Ten segments, of which the last was sent again by a probe that is acknowledged.
fn probed() -> (Trace, ConnId) {
    let (mut t, id) = ten_in_flight(true, Congestion::Cubic);
    ack!(t, 8001);
    t.pass(Duration::from_millis(205));
    expect!(t, ACK | PSH, seq = 9001, len = 1000);
    ack!(t, 10_001);
    assert!(t.info(id).ssthresh > 1 << 20, "not judged yet");
    (t, id)
}

#[test]
fn loss_that_a_probe_repaired_reduces_the_window_all_the_same() {
    // RFC 8985, 7.4.2: the segment, or its copy, was lost.
    let (mut t, id) = probed();
    let before = t.info(id).cwnd;
    t.write(id, 1000);
    ack!(t, 11_001);
    let info = t.info(id);
    assert!(info.ssthresh < before && info.cwnd <= info.ssthresh, "{info:?}, {before} before");
}

#[test]
fn probe_that_arrived_beside_its_original_reduces_nothing() {
    for in_flight in [false, true] {
        let (mut t, id) = probed();
        if in_flight {
            t.write(id, 1000);
        }
        ack!(t, 10_001, sack = vec![(9001, 10_001)]);
        if !in_flight {
            t.write(id, 1000);
        }
        ack!(t, 11_001);
        let info = t.info(id);
        assert!(info.ssthresh > 1 << 20, "{in_flight}: {info:?}");
    }
}

#[test]
fn probe_that_a_peer_without_dsack_answers_twice_reduces_nothing() {
    // RFC 8985, 7.4.2: a duplicate ACK that reports nothing says that both copies arrived.
    let (mut t, id) = probed();
    ack!(t, 10_001);
    t.write(id, 1000);
    ack!(t, 11_001);
    let info = t.info(id);
    assert!(info.ssthresh > 1 << 20, "{info:?}");
    // An update of the window is none.
    let (mut t, id) = probed();
    inject!(t, ACK, seq = 1, ack = 10_001, win = 61_000);
    t.write(id, 1000);
    inject!(t, ACK, seq = 1, ack = 11_001, win = 61_000);
    let info = t.info(id);
    assert!(info.ssthresh < 1 << 20, "{info:?}");
}
