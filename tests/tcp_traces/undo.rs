//! Reductions that prove to have been for nothing: RFC 2883, 3522, 3708.

use crate::recovery::{RTT, open, ten_in_flight};
use crate::tcp_support::trace::{Seg, Trace};
use crate::{ack, expect};
use zerohop::{tcp::Congestion, time::Duration};

#[test]
fn eifel_undoes_a_recovery_by_the_timestamp() {
    let (mut t, id) = open(Seg { ts: Some((1, 0)), ..Trace::syn() }, Congestion::Cubic);
    t.write(id, 9880);
    let first = t.take_sent().unwrap().ts.unwrap().0;
    t.net.sent.clear();
    t.pass(RTT);
    ack!(t, 1, ts = Some((2, first)), sack = vec![(989, 5000)]);
    assert_eq!(t.take_sent().unwrap().seq, 1);
    let cwnd = t.info(id).cwnd;
    t.pass(Duration::from_millis(5));
    // TSecr is older than the retransmission: the first transmission arrived late.
    ack!(t, 5000, ts = Some((3, first)));
    assert_eq!(t.tcp.stats().undos, 1);
    assert!(t.info(id).cwnd > cwnd);
}

#[test]
fn d_sack_of_every_retransmission_undoes_the_recovery() {
    let (mut t, id) = ten_in_flight(true, Congestion::Cubic);
    ack!(t, 1, sack = vec![(1001, 4001)]);
    expect!(t, ACK, seq = 1);
    ack!(t, 4001);
    t.net.sent.clear();
    ack!(t, 4001, sack = vec![(1, 1001)]);
    assert_eq!(t.tcp.stats().undos, 1);
    assert!(t.info(id).cwnd >= 10_000);
}

#[test]
fn d_sack_after_the_end_of_a_recovery_undoes_it() {
    for rounds in [0, 1, 2] {
        let (mut t, id) = ten_in_flight(true, Congestion::Cubic);
        ack!(t, 1, sack = vec![(1001, 4001)]);
        expect!(t, ACK, seq = 1);
        // The first transmission arrives, and all else: the recovery is over before the answer to
        // the retransmission.
        ack!(t, 10_001);
        let reduced = t.info(id).cwnd;
        assert_eq!(reduced, 7001);
        let mut acked = 10_001;
        t.write(id, 50_000);
        for _ in 0..rounds {
            t.pass(RTT);
            t.net.sent.clear();
            acked += 1000 * (reduced / 1000);
            ack!(t, acked);
        }
        ack!(t, acked, sack = vec![(1, 1001)]);
        let undone = u64::from(rounds < 2);
        assert_eq!(t.tcp.stats().undos, undone, "after {rounds} round trips");
        assert_eq!(t.info(id).cwnd >= 10_000, undone == 1);
    }
}

#[test]
fn answer_to_an_earlier_recovery_does_not_undo_this_one() {
    let (mut t, id) = open(Seg { ts: Some((1, 0)), ..Trace::syn() }, Congestion::Cubic);
    t.write(id, 988 * 60);
    let first = t.take_sent().unwrap().ts.unwrap().0;
    let at = |n: u32| 1 + 988 * n;
    let mut now = 0;
    // At some millisecond the peer acknowledges all before segment `ack`, and echoes what was sent
    // at another one.
    let mut peer = |t: &mut Trace, ms: u64, ack: u32, sent: u32, sack: &[(u32, u32)]| {
        t.pass(Duration::from_millis(ms - core::mem::replace(&mut now, ms)));
        t.net.sent.clear();
        let sack = sack.iter().map(|&(from, to)| (at(from), at(to))).collect();
        let ts = Some((2 + ms as u32, first + sent));
        ack!(t, at(ack), ts = ts, sack = sack);
        std::iter::from_fn(|| t.take_sent()).map(|s| s.seq / 988).collect::<Vec<_>>()
    };
    // Of the first ten, 0 and 8 are lost.
    assert_eq!(peer(&mut t, 100, 0, 0, &[(1, 4)]), [0]);
    assert_eq!(peer(&mut t, 102, 0, 0, &[(1, 8)]), [10, 11, 12, 13]);
    assert_eq!(peer(&mut t, 105, 0, 0, &[(9, 10), (1, 8)])[0], 8);
    // 10 is lost as well, and in flight again when the recovery of 0 and 8 ends.
    peer(&mut t, 200, 8, 100, &[(9, 10)]);
    assert_eq!(peer(&mut t, 202, 8, 100, &[(11, 14), (9, 10)])[0], 10);
    peer(&mut t, 205, 10, 105, &[(11, 14)]);
    assert_eq!(t.tcp.stats().recoveries, 1);
    // And 14.
    assert_eq!(peer(&mut t, 300, 10, 105, &[(15, 16), (11, 14)])[0], 14);
    assert_eq!(t.tcp.stats().recoveries, 2);
    // What answers is the retransmission of 10, which is older than that of 14.
    peer(&mut t, 302, 14, 202, &[(15, 16)]);
    assert_eq!(t.tcp.stats().undos, 0);
}

#[test]
fn late_d_sack_with_nothing_in_flight_undoes_a_timeout() {
    let (mut t, id) = open(Trace::syn(), Congestion::Cubic);
    t.write(id, 2000);
    t.net.sent.clear();
    // Both wait somewhere: a probe sends the second again, a timeout the first.
    t.pass(Duration::from_millis(600));
    expect!(t, ACK | PSH, seq = 1001, len = 1000);
    expect!(t, ACK, seq = 1, len = 1000);
    ack!(t, 2001);
    let reduced = t.info(id);
    assert!(reduced.ssthresh < 10_000 && reduced.in_flight == 0, "{reduced:?}");
    assert_eq!(t.tcp.stats().timeouts, 1);
    // One of them may have been lost.
    ack!(t, 2001, sack = vec![(1001, 2001)]);
    assert_eq!(t.tcp.stats().undos, 0);
    ack!(t, 2001, sack = vec![(1, 1001)]);
    let info = t.info(id);
    assert_eq!((t.tcp.stats().undos, info.cwnd), (1, 10_000));
    assert!(info.ssthresh > 1 << 20, "{info:?}");
}

#[test]
fn late_d_sack_with_nothing_in_flight_undoes_a_recovery() {
    let (mut t, id) = ten_in_flight(true, Congestion::Cubic);
    ack!(t, 1, sack = vec![(1001, 4001)]);
    expect!(t, ACK, seq = 1);
    ack!(t, 10_001);
    assert_eq!(t.info(id).cwnd, 7001);
    ack!(t, 10_001, sack = vec![(1, 1001)]);
    let info = t.info(id);
    assert_eq!((t.tcp.stats().undos, info.in_flight), (1, 0));
    assert!(info.cwnd >= 10_000 && info.ssthresh > 1 << 20, "{info:?}");
    // And once only.
    ack!(t, 10_001, sack = vec![(1, 1001)]);
    assert_eq!(t.tcp.stats().undos, 1);
}

#[test]
fn late_d_sack_of_something_else_undoes_nothing() {
    let (mut t, id) = ten_in_flight(true, Congestion::Cubic);
    ack!(t, 2001);
    ack!(t, 2001, sack = vec![(3001, 7001)]);
    ack!(t, 10_001);
    let reduced = t.info(id).ssthresh;
    // Before what was sent again, beyond what was sent at all, and no range.
    for sack in [(1, 1001), (10_001, 11_001), (4001, 3001)] {
        ack!(t, 10_001, sack = vec![sack]);
    }
    assert_eq!((t.tcp.stats().undos, t.info(id).ssthresh), (0, reduced));
}
