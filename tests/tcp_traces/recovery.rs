//! Loss recovery and congestion control: RFC 5681, 6582, 6675, 6928, 3042, 5682, 8985.

use crate::tcp_support::trace::{Seg, Trace};
use crate::{ack, expect, inject};
use zerohop::{
    tcp::{Config, Congestion, ConnId, ListenOptions, Options},
    time::Duration,
};

pub const RTT: Duration = Duration::from_millis(100);

pub fn open(syn: Seg, congestion: Congestion) -> (Trace, ConnId) {
    let options = Options { congestion, nodelay: true, ..Options::default() };
    let listen = ListenOptions { socket: Some(options), ..ListenOptions::default() };
    let mut t = Trace::listening_with(Config::default(), listen);
    let ts = syn.ts;
    t.inject(&syn);
    let answer = t.take_sent().unwrap();
    t.pass(RTT);
    let ts = ts.map(|(val, _)| (val, answer.ts.unwrap().0));
    ack!(t, 1, ts = ts);
    let id = t.tcp.accept(t.listener.unwrap()).unwrap().unwrap();
    (t, id)
}

/// Ten segments of 1000 bytes are in flight, an RTT has passed.
pub fn ten_in_flight(sack_ok: bool, congestion: Congestion) -> (Trace, ConnId) {
    let (mut t, id) = open(Seg { sack_ok, ..Trace::syn() }, congestion);
    t.write(id, 10_000);
    for i in 0..10 {
        assert_eq!(t.take_sent().unwrap().seq, 1 + i * 1000);
    }
    t.pass(RTT);
    (t, id)
}

#[test]
fn initial_window_is_ten_segments() {
    let (mut t, id) = open(Trace::syn(), Congestion::Cubic);
    t.write(id, 50_000);
    assert_eq!(t.net.sent.len(), 10);
}

#[test]
fn slow_start_grows_by_what_is_acknowledged() {
    for congestion in [Congestion::NewReno, Congestion::Cubic] {
        let (mut t, id) = open(Trace::syn(), congestion);
        t.write(id, 50_000);
        t.net.sent.clear();
        t.pass(RTT);
        ack!(t, 10_001);
        assert_eq!(t.info(id).cwnd, 20_000);
        assert_eq!(t.net.sent.len(), 20);
    }
}

#[test]
fn sack_of_three_segments_retransmits_the_hole_at_once() {
    let (mut t, id) = ten_in_flight(true, Congestion::Cubic);
    ack!(t, 1, sack = vec![(1001, 2001)]);
    t.silent();
    ack!(t, 1, sack = vec![(1001, 3001)]);
    t.silent();
    ack!(t, 1, sack = vec![(1001, 4001)]);
    expect!(t, ACK, seq = 1, len = 1000);
    t.silent();
    let info = t.info(id);
    // RFC 9438, 4.6: beta is 0.7.
    assert_eq!(info.ssthresh, 7001);
    ack!(t, 10_001);
    assert_eq!(t.info(id).cwnd, 7001);
    assert_eq!(t.tcp.stats().recoveries, 1);
}

#[test]
fn new_reno_halves_and_partial_acks_retransmit_the_next_hole() {
    let (mut t, id) = ten_in_flight(false, Congestion::NewReno);
    for _ in 0..2 {
        ack!(t, 1);
    }
    t.silent();
    ack!(t, 1);
    expect!(t, ACK, seq = 1, len = 1000);
    assert_eq!(t.info(id).ssthresh, 5000);
    t.pass(RTT / 2);
    // RFC 6582, 3.2: a partial ACK.
    ack!(t, 4001);
    expect!(t, ACK, seq = 4001, len = 1000);
    ack!(t, 10_001);
    assert_eq!(t.info(id).cwnd, 5000);
}

#[test]
fn limited_transmit_sends_new_data_on_the_first_duplicates() {
    for sack_ok in [false, true] {
        let (mut t, id) = ten_in_flight(sack_ok, Congestion::Cubic);
        t.write(id, 5000);
        t.silent();
        for i in 1..=2u32 {
            let sack = if sack_ok { vec![(1001, 1001 + i * 1000)] } else { vec![] };
            ack!(t, 1, sack = sack);
            expect!(t, ACK, seq = 9001 + i * 1000, len = 1000);
            t.silent();
        }
    }
}

#[test]
fn several_holes_are_filled_in_one_round_trip() {
    let (mut t, _) = ten_in_flight(true, Congestion::Cubic);
    let sack = vec![(9001, 10_001), (5001, 6001), (2001, 3001)];
    ack!(t, 1, sack = sack);
    let mut again: Vec<u32> = std::iter::from_fn(|| t.take_sent()).map(|s| s.seq).collect();
    for i in 0..6 {
        ack!(t, 1 + i * 1000, sack = vec![(9001, 10_001), (5001, 6001)]);
        again.extend(std::iter::from_fn(|| t.take_sent()).map(|s| s.seq));
    }
    for hole in [1, 1001, 3001] {
        assert_eq!(again.iter().filter(|&&s| s == hole).count(), 1, "{hole}: {again:?}");
    }
}

#[test]
fn lost_retransmission_is_sent_again_without_a_timeout() {
    let (mut t, id) = ten_in_flight(true, Congestion::Cubic);
    ack!(t, 1, sack = vec![(1001, 10_001)]);
    expect!(t, ACK, seq = 1, len = 1000);
    t.pass(Duration::from_millis(5));
    t.write(id, 4000);
    while let Some(seg) = t.take_sent() {
        assert!(seg.seq >= 10_001);
    }
    t.pass(RTT);
    t.net.sent.clear();
    // RFC 8985: what was sent after the retransmission arrived, it did not.
    ack!(t, 1, sack = vec![(1001, 12_001)]);
    t.pass(Duration::from_millis(30));
    let again: Vec<u32> = std::iter::from_fn(|| t.take_sent()).map(|s| s.seq).collect();
    assert!(again.contains(&1), "{again:?}");
    assert_eq!(t.tcp.stats().timeouts, 0);
}

#[test]
fn reordering_within_a_quarter_rtt_causes_no_retransmission_once_seen() {
    let (mut t, id) = ten_in_flight(true, Congestion::Cubic);
    // Reordering of two is seen: 1 arrives after 2.
    ack!(t, 1, sack = vec![(1001, 2001)]);
    ack!(t, 2001);
    ack!(t, 10_001);
    t.net.sent.clear();
    t.write(id, 10_000);
    t.net.sent.clear();
    t.pass(RTT);
    t.net.sent.clear();
    ack!(t, 10_001, sack = vec![(11_001, 18_001)]);
    t.pass(Duration::from_millis(10));
    assert!(t.net.sent.iter().all(|p| p.len() < 1000), "within the reordering window");
    ack!(t, 20_001);
    assert_eq!(t.tcp.stats().retransmits, 0);
    assert_eq!(t.tcp.stats().recoveries, 0);
}

#[test]
fn timeout_collapses_the_window_and_retransmits_in_slow_start() {
    let (mut t, id) = open(Seg { sack_ok: false, ..Trace::syn() }, Congestion::NewReno);
    t.write(id, 10_000);
    t.net.sent.clear();
    t.pass(Duration::from_millis(320));
    expect!(t, ACK, seq = 1, len = 1000);
    t.silent();
    let info = t.info(id);
    assert_eq!((info.cwnd, info.ssthresh), (1000, 5000));
    t.pass(RTT);
    ack!(t, 1001);
    expect!(t, ACK, seq = 1001, len = 1000);
    expect!(t, ACK, seq = 2001, len = 1000);
    t.silent();
}

#[test]
fn spurious_timeout_is_found_by_f_rto_and_undone() {
    let (mut t, id) = open(Seg { sack_ok: false, ..Trace::syn() }, Congestion::NewReno);
    t.write(id, 20_000);
    t.net.sent.clear();
    t.pass(Duration::from_millis(320));
    expect!(t, ACK, seq = 1, len = 1000);
    // The ACKs of the first transmissions were only late.
    ack!(t, 1001);
    expect!(t, ACK, seq = 10_001, len = 1000);
    expect!(t, ACK, seq = 11_001, len = 1000);
    ack!(t, 2001);
    let info = t.info(id);
    assert!(info.cwnd >= 10_000, "{info:?}");
    assert_eq!((t.tcp.stats().undos, t.tcp.stats().retransmits), (1, 1));
}

#[test]
fn real_timeout_is_not_undone_by_f_rto() {
    let (mut t, id) = open(Seg { sack_ok: false, ..Trace::syn() }, Congestion::NewReno);
    t.write(id, 20_000);
    t.net.sent.clear();
    t.pass(Duration::from_millis(320));
    expect!(t, ACK, seq = 1);
    t.pass(RTT);
    ack!(t, 1001);
    expect!(t, ACK, seq = 10_001);
    expect!(t, ACK, seq = 11_001);
    ack!(t, 1001);
    expect!(t, ACK, seq = 1001, len = 1000);
    assert_eq!(t.tcp.stats().undos, 0);
}

#[test]
fn sack_reneging_is_survived() {
    let (mut t, _) = ten_in_flight(true, Congestion::Cubic);
    ack!(t, 1, sack = vec![(1001, 10_001)]);
    expect!(t, ACK, seq = 1);
    // The peer acknowledges the hole, and has thrown away what it had sacked.
    ack!(t, 1001);
    t.pass(Duration::from_secs(2));
    let again: Vec<u32> = std::iter::from_fn(|| t.take_sent()).map(|s| s.seq).collect();
    assert!(again.contains(&1001), "{again:?}");
}

#[test]
fn nonsense_sack_blocks_are_ignored() {
    let (mut t, id) = ten_in_flight(true, Congestion::Cubic);
    for sack in [
        vec![(5001, 1001)],
        vec![(50_000, 60_000)],
        vec![(9001, 20_001)],
        vec![(1, 1)],
        vec![(0u32.wrapping_sub(5000), 0u32.wrapping_sub(4000))],
    ] {
        ack!(t, 1, sack = sack);
    }
    assert_eq!(t.info(id).in_flight, 10_000);
    assert_eq!(t.tcp.stats().retransmits, 0);
}

#[test]
fn bbr_paces_and_keeps_its_window_through_a_loss() {
    let (mut t, id) = open(Trace::syn(), Congestion::Bbr);
    let mut acked = 1;
    let mut written = 0;
    for _ in 0..30 {
        while written < acked + 60_000 {
            t.write(id, 1000);
            written += 1000;
        }
        t.pass(RTT / 2);
        let sent: u32 = std::iter::from_fn(|| t.take_sent()).map(|s| s.len).sum();
        acked += sent;
        t.pass(RTT / 2);
        ack!(t, acked);
    }
    let info = t.info(id);
    assert!(info.delivery_rate > 100_000, "{info:?}");
    assert_eq!(t.tcp.stats().retransmits, 0);
}

#[test]
fn timeout_of_a_lost_head_is_not_undone_when_the_rest_had_arrived() {
    // Without SACK one ACK covers the retransmission and what waited behind it: no sign that the
    // timeout was spurious.
    let (mut t, id) = open(Seg { sack_ok: false, ..Trace::syn() }, Congestion::NewReno);
    t.write(id, 2000);
    t.net.sent.clear();
    t.pass(Duration::from_millis(320));
    expect!(t, ACK, seq = 1, len = 1000);
    t.pass(RTT);
    ack!(t, 2001);
    assert_eq!(t.tcp.stats().undos, 0);
    assert!(t.info(id).cwnd <= 2000);
}

#[test]
fn duplicate_acks_do_not_put_the_timeout_off() {
    let (mut t, id) = open(Seg { sack_ok: false, ..Trace::syn() }, Congestion::NewReno);
    t.write(id, 2000);
    t.net.sent.clear();
    for i in 0..40u16 {
        t.pass(Duration::from_millis(10));
        // RFC 6298, 5.3: only new data restarts the timer. Windows differ: no duplicates.
        inject!(t, ACK, seq = 1, ack = 1, win = 50_000 + i);
    }
    expect!(t, ACK, seq = 1, len = 1000);
    assert_eq!(t.tcp.stats().timeouts, 1);
}

#[test]
fn duplicates_after_a_timeout_start_no_second_recovery() {
    // RFC 6582, 3.2, step 2.
    let (mut t, id) = open(Seg { sack_ok: false, ..Trace::syn() }, Congestion::NewReno);
    t.write(id, 5000);
    t.net.sent.clear();
    t.pass(Duration::from_millis(320));
    expect!(t, ACK, seq = 1, len = 1000);
    t.pass(RTT);
    ack!(t, 5001);
    t.write(id, 3000);
    t.net.sent.clear();
    for _ in 0..4 {
        ack!(t, 5001);
    }
    assert_eq!((t.tcp.stats().recoveries, t.tcp.stats().retransmits), (0, 1));
}

#[test]
fn reordering_window_widens_with_every_round_that_has_a_d_sack() {
    // RFC 8985, 6.2, step 4: a quarter of the RTT more with each.
    let (mut t, id) = ten_in_flight(true, Congestion::Cubic);
    ack!(t, 1, sack = vec![(1001, 2001)]);
    ack!(t, 10_001);
    let mut una = 10_001;
    let mut waited = Vec::new();
    for _ in 0..3 {
        t.write(id, 10_000);
        t.net.sent.clear();
        t.pass(RTT);
        t.net.sent.clear();
        let start = t.net.now;
        let sack = vec![(una + 1000, una + 10_000)];
        ack!(t, una, sack = sack);
        while !std::iter::from_fn(|| t.take_sent()).any(|s| s.seq == una) {
            t.pass(Duration::from_millis(1));
            assert!(t.net.now.saturating_since(start) < Duration::from_millis(150));
        }
        waited.push(t.net.now.saturating_since(start).as_millis());
        // It was reordering: both copies arrived.
        una += 10_000;
        let sack = vec![(una - 10_000, una - 9000)];
        ack!(t, una, sack = sack);
        t.net.sent.clear();
    }
    assert!(waited.windows(2).all(|w| w[1] >= w[0] + 20), "{waited:?}");
}

#[test]
fn d_sacks_with_nothing_in_flight_widen_the_reordering_window_once() {
    let waited = |d_sacks: u32| {
        let (mut t, id) = ten_in_flight(true, Congestion::Cubic);
        ack!(t, 1, sack = vec![(1001, 2001)]);
        ack!(t, 10_001);
        for n in 0..d_sacks {
            let copy = vec![(1 + 1000 * n, 1001 + 1000 * n)];
            ack!(t, 10_001, sack = copy);
        }
        t.write(id, 10_000);
        t.pass(RTT);
        t.net.sent.clear();
        let start = t.net.now;
        ack!(t, 10_001, sack = vec![(11_001, 20_001)]);
        while !std::iter::from_fn(|| t.take_sent()).any(|s| s.seq == 10_001) {
            t.pass(Duration::from_millis(1));
        }
        t.net.now.saturating_since(start).as_millis()
    };
    assert_eq!(waited(3), waited(1));
    assert!(waited(1) >= waited(0) + 20);
}

#[test]
fn widened_reordering_window_is_given_up_after_sixteen_recoveries() {
    // RFC 8985, 6.2, step 4.
    let (mut t, id) = ten_in_flight(true, Congestion::Cubic);
    ack!(t, 1, sack = vec![(1001, 2001)]);
    ack!(t, 10_001);
    let mut una = 10_001;
    let mut waited = Vec::new();
    for round in 0..20 {
        t.write(id, 2000);
        t.net.sent.clear();
        t.pass(RTT);
        t.net.sent.clear();
        let start = t.net.now;
        let sack = vec![(una + 1000, una + 2000)];
        ack!(t, una, sack = sack);
        while !std::iter::from_fn(|| t.take_sent()).any(|s| s.seq == una) {
            t.pass(Duration::from_millis(1));
            assert!(t.net.now.saturating_since(start) < Duration::from_millis(150));
        }
        waited.push(t.net.now.saturating_since(start).as_millis());
        t.pass(RTT);
        una += 2000;
        // The first was reordering; the others are lost.
        let sack = if round == 0 { vec![(una - 2000, una - 1000)] } else { vec![] };
        ack!(t, una, sack = sack);
        t.net.sent.clear();
    }
    let narrow = waited[0];
    let wide = waited.iter().filter(|&&wait| wait > narrow + 20).count();
    assert!((15..=16).contains(&wide), "{waited:?}");
    assert!(waited[1] > narrow + 20 && waited[19] <= narrow + 2, "{waited:?}");
}
