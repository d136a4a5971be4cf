//! Explicit congestion notification: RFC 3168, section 6.1.

use crate::tcp_support::trace::{Seg, Trace};
use crate::{ack, expect, inject};
use zerohop::{
    ip::Ecn,
    tcp::{Config, ConnId, ListenOptions, Options},
    time::Duration,
    wire::tcp::Flags,
};

fn capable() -> (Trace, ConnId) {
    let flags = Flags::SYN | Flags::ECE | Flags::CWR;
    Trace::listening().established_by(Seg { flags, ..Trace::syn() })
}

#[test]
fn ecn_setup_syn_is_answered_with_ece_and_data_is_ect() {
    let mut t = Trace::listening();
    inject!(t, SYN | ECE | CWR, seq = 0, win = 60_000, mss = Some(1000));
    expect!(t, SYN | ACK | ECE, ecn = Ecn::NotEct);
    ack!(t, 1);
    let id = t.tcp.accept(t.listener.unwrap()).unwrap().unwrap();
    t.write(id, 100);
    expect!(t, ACK | PSH, ecn = Ecn::Ect0);
    // Neither pure ACKs nor retransmissions are ECT.
    inject!(t, ACK, seq = 1, ack = 1, len = 1000, win = 60_000);
    inject!(t, ACK, seq = 1001, ack = 1, len = 1000, win = 60_000);
    expect!(t, ACK, ecn = Ecn::NotEct);
    t.pass(Duration::from_secs(4));
    expect!(t, ACK | PSH, seq = 1, ecn = Ecn::NotEct);
}

#[test]
fn ce_is_echoed_until_cwr() {
    let (mut t, _) = capable();
    inject!(t, ACK, seq = 1, ack = 1, len = 10, win = 1000, ecn = Ecn::Ce);
    expect!(t, ACK | ECE, ack = 11);
    inject!(t, ACK, seq = 11, ack = 1, len = 1000, win = 1000, ecn = Ecn::Ect0);
    inject!(t, ACK, seq = 1011, ack = 1, len = 1000, win = 1000, ecn = Ecn::Ect0);
    expect!(t, ACK | ECE, ack = 2011);
    inject!(t, ACK | CWR, seq = 2011, ack = 1, len = 1000, win = 1000, ecn = Ecn::Ect0);
    inject!(t, ACK, seq = 3011, ack = 1, len = 1000, win = 1000, ecn = Ecn::Ect0);
    expect!(t, ACK, ack = 4011);
}

#[test]
fn echo_reduces_the_window_once_a_round_trip_and_is_answered_with_cwr() {
    let (mut t, id) = capable();
    t.write(id, 20_000);
    assert_eq!(t.net.sent.len(), 10);
    t.net.sent.clear();
    t.pass(Duration::from_millis(10));
    inject!(t, ACK | ECE, seq = 1, ack = 2001, win = 60_000);
    let ssthresh = t.info(id).ssthresh;
    assert_eq!(ssthresh, 10_000 * 717 / 1024);
    inject!(t, ACK | ECE, seq = 1, ack = 6001, win = 60_000);
    assert_eq!(t.info(id).ssthresh, ssthresh);
    let sent: Vec<Seg> = std::iter::from_fn(|| t.take_sent()).collect();
    let cwr = sent.iter().filter(|s| s.flags.contains(Flags::CWR)).count();
    assert_eq!(cwr, 1, "{sent:?}");
    assert_eq!(t.tcp.stats().retransmits, 0);
}

#[test]
fn no_d_sack_undoes_what_an_echo_took() {
    // RFC 3168, 6.1.2: the router was congested whatever became of the segments.
    let (mut t, id) = capable();
    t.write(id, 20_000);
    t.pass(Duration::from_millis(10));
    inject!(t, ACK | ECE, seq = 1, ack = 2001, win = 60_000);
    let reduced = t.info(id).ssthresh;
    // A loss in the same round trip, which was none: the retransmission arrives as a copy.
    ack!(t, 2001, sack = vec![(3001, 7001)]);
    ack!(t, 7001);
    assert_eq!(t.tcp.stats().retransmits, 1);
    ack!(t, 7001, sack = vec![(2001, 3001)]);
    let info = t.info(id);
    assert_eq!((t.tcp.stats().undos, info.cwnd, info.ssthresh), (1, reduced, reduced));
}

#[test]
fn no_d_sack_undoes_an_echo_that_came_before_a_probe() {
    let (mut t, id) = capable();
    t.write(id, 10_000);
    t.pass(Duration::from_millis(10));
    inject!(t, ACK | ECE, seq = 1, ack = 9001, win = 60_000);
    ack!(t, 10_001);
    let reduced = t.info(id);
    t.write(id, 3000);
    // The tail is probed, and has arrived before.
    t.pass(Duration::from_millis(180));
    assert_eq!(t.tcp.stats().retransmits, 1);
    t.write(id, 1000);
    ack!(t, 13_001, sack = vec![(12_001, 13_001)]);
    let info = t.info(id);
    assert_eq!((t.tcp.stats().undos, info.ssthresh), (0, reduced.ssthresh));
}

#[test]
fn without_negotiation_nothing_is_marked() {
    let (mut t, id) = Trace::established();
    t.write(id, 100);
    expect!(t, ACK | PSH, ecn = Ecn::NotEct);
    inject!(t, ACK, seq = 1, ack = 1, len = 10, win = 1000, ecn = Ecn::Ce);
    t.pass(Duration::from_millis(50));
    expect!(t, ACK, ack = 11);
}

#[test]
fn ecn_can_be_switched_off() {
    let options = Options { ecn: false, ..Options::default() };
    let listen = ListenOptions { socket: Some(options.clone()), ..ListenOptions::default() };
    let mut t = Trace::listening_with(Config::default(), listen);
    inject!(t, SYN | ECE | CWR, seq = 0, win = 60_000);
    expect!(t, SYN | ACK);
    t.connect(&options);
    expect!(t, SYN);
}

#[test]
fn reserved_combination_in_a_syn_ack_is_no_consent() {
    let mut t = Trace::new(Config::default());
    let id = t.connect(&Options::default());
    expect!(t, SYN | ECE | CWR);
    inject!(t, SYN | ACK | ECE | CWR, seq = 0, ack = 1, win = 1000);
    assert!(!t.info(id).ecn);
}

#[test]
fn window_probes_are_not_marked() {
    // RFC 3168, 6.1.6.
    let (mut t, id) = capable();
    inject!(t, ACK, seq = 1, ack = 1, win = 0);
    t.write(id, 1000);
    t.pass(Duration::from_secs(2));
    let probe = t.take_sent().unwrap();
    assert_eq!((probe.len, probe.ecn), (1, Ecn::NotEct));
}
