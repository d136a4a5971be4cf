//! Options: RFC 9293, 3.1 and 3.7.1; RFC 7323; RFC 2018; RFC 2883.

use crate::tcp_support::trace::{Seg, Trace};
use crate::{ack, expect, inject};
use zerohop::{
    tcp::{Config, ConnId, ListenOptions, Options},
    time::Duration,
};

fn with_timestamps() -> (Trace, ConnId) {
    Trace::listening().established_by(Seg { ts: Some((1000, 0)), ..Trace::syn() })
}

#[test]
fn mss_is_obeyed_and_defaults_to_536() {
    for (mss, want) in [(Some(700), 700), (None, 536), (Some(9000), 1460)] {
        let (mut t, id) = Trace::listening().established_by(Seg { mss, ..Trace::syn() });
        t.write(id, 5000);
        expect!(t, ACK, seq = 1, len = want);
    }
}

#[test]
fn mss_follows_the_mtu_of_the_path() {
    let mut t = Trace::listening();
    t.net.mtu = 9000;
    inject!(t, SYN, seq = 0, win = 60_000, mss = Some(8000));
    expect!(t, SYN | ACK, mss = Some(8960));
    let mut t = Trace::listening();
    t.net.mtu = 1280;
    inject!(t, SYN, seq = 0, win = 60_000, mss = Some(8000));
    expect!(t, SYN | ACK, mss = Some(1240));
}

#[test]
fn mss_over_ipv6_defaults_to_1220_and_leaves_room_for_its_header() {
    for (mss, want) in [(None, 1220), (Some(1440), 1440)] {
        let mut t = Trace::new(Config::default());
        t.net.address = "fd00::2".parse().unwrap();
        t.peer = "fd00::1".parse().unwrap();
        let local = std::net::SocketAddr::new(t.net.address, 80);
        t.listener = Some(t.tcp.listen(local, ListenOptions::default()).unwrap());
        inject!(t, SYN, seq = 0, win = 60_000, mss = mss);
        expect!(t, SYN | ACK, mss = Some(1440));
        ack!(t, 1);
        let id = t.tcp.accept(t.listener.unwrap()).unwrap().unwrap();
        t.write(id, 5000);
        expect!(t, ACK, seq = 1, len = want);
    }
}

#[test]
fn tiny_mss_is_bounded_from_below() {
    let (mut t, id) = Trace::listening().established_by(Seg { mss: Some(1), ..Trace::syn() });
    t.write(id, 500);
    expect!(t, ACK, seq = 1, len = 48);
}

#[test]
fn max_segment_option_lowers_what_is_announced() {
    let mut t = Trace::new(Config::default());
    t.connect(&Options { max_segment: Some(900), ..Options::default() });
    expect!(t, SYN | ECE | CWR, mss = Some(900));
}

#[test]
fn timestamps_come_with_every_segment_and_echo_the_peers() {
    let (mut t, id) = with_timestamps();
    t.write(id, 10);
    let a = expect!(t, ACK | PSH, seq = 1, len = 10);
    let sent = a.ts.unwrap();
    assert_eq!(sent.1, 1000);
    t.pass(Duration::from_millis(20));
    inject!(t, ACK | PSH, seq = 1, ack = 11, len = 10, win = 1000, ts = Some((1020, sent.0)));
    t.pass(Duration::from_millis(50));
    let b = expect!(t, ACK, ack = 11);
    assert_eq!(b.ts.unwrap().1, 1020);
    assert!(b.ts.unwrap().0 > sent.0);
    let rtt = t.info(id).srtt.unwrap();
    assert!(rtt < Duration::from_millis(25), "{rtt:?}");
}

#[test]
fn paws_drops_old_segments_and_acknowledges_them() {
    let (mut t, id) = with_timestamps();
    inject!(t, ACK | PSH, seq = 1, ack = 1, len = 10, win = 1000, ts = Some((2000, 0)));
    t.net.sent.clear();
    inject!(t, ACK | PSH, seq = 11, ack = 1, len = 10, win = 1000, ts = Some((1999, 0)));
    expect!(t, ACK, ack = 11);
    assert_eq!(t.tcp.stats().dropped_paws, 1);
    // A reset is not subject to it.
    inject!(t, RST, seq = 11, ts = Some((1, 0)));
    assert!(t.tcp.read(id, 100).is_ok());
    assert!(t.tcp.read(id, 100).is_err());
}

#[test]
fn timestamp_of_the_first_unacknowledged_segment_is_echoed() {
    let (mut t, _) = with_timestamps();
    // RFC 7323, 4.3: of two segments that one ACK covers, the earlier one counts.
    inject!(t, ACK, seq = 1, ack = 1, len = 100, win = 1000, ts = Some((1010, 0)));
    inject!(t, ACK, seq = 101, ack = 1, len = 100, win = 1000, ts = Some((1020, 0)));
    t.pass(Duration::from_millis(50));
    let ack = expect!(t, ACK, ack = 201);
    assert_eq!(ack.ts.unwrap().1, 1010);
}

#[test]
fn timestamp_of_a_segment_behind_a_hole_is_not_echoed() {
    let (mut t, _) = with_timestamps();
    // RFC 7323, 4.3: the one that brought the edge here counts.
    inject!(t, ACK, seq = 1, ack = 1, len = 100, win = 1000, ts = Some((1010, 0)));
    t.pass(Duration::from_millis(50));
    assert_eq!(expect!(t, ACK, ack = 101).ts.unwrap().1, 1010);
    inject!(t, ACK, seq = 201, ack = 1, len = 100, win = 1000, ts = Some((1020, 0)));
    assert_eq!(expect!(t, ACK, ack = 101).ts.unwrap().1, 1010);
    inject!(t, ACK, seq = 101, ack = 1, len = 100, win = 1000, ts = Some((1030, 0)));
    assert_eq!(expect!(t, ACK, ack = 301).ts.unwrap().1, 1030);
}

#[test]
fn timestamps_take_their_room_off_the_segment() {
    let (mut t, id) = with_timestamps();
    t.write(id, 5000);
    expect!(t, ACK, len = 988);
}

#[test]
fn sack_blocks_name_what_arrived_latest_first() {
    let (mut t, id) = Trace::established();
    inject!(t, ACK, seq = 1001, ack = 1, len = 100, win = 1000);
    expect!(t, ACK, ack = 1, sack = vec![(1001, 1101)]);
    inject!(t, ACK, seq = 2001, ack = 1, len = 100, win = 1000);
    expect!(t, ACK, ack = 1, sack = vec![(2001, 2101), (1001, 1101)]);
    inject!(t, ACK, seq = 1101, ack = 1, len = 100, win = 1000);
    expect!(t, ACK, ack = 1, sack = vec![(1001, 1201), (2001, 2101)]);
    inject!(t, ACK, seq = 1, ack = 1, len = 1000, win = 1000);
    expect!(t, ACK, ack = 1201, sack = vec![(2001, 2101)]);
    assert_eq!(t.read(id, 1), 1200);
}

#[test]
fn at_most_four_blocks_are_sent_and_three_beside_timestamps() {
    let (mut t, _) = Trace::established();
    for i in 1..8 {
        inject!(t, ACK, seq = i * 1000, ack = 1, len = 10, win = 1000);
    }
    let last = std::iter::from_fn(|| t.take_sent()).last().unwrap();
    assert_eq!(last.sack, [(7000, 7010), (6000, 6010), (5000, 5010), (4000, 4010)]);
    let (mut t, _) = with_timestamps();
    for i in 1..8 {
        inject!(t, ACK, seq = i * 1000, ack = 1, len = 10, win = 1000, ts = Some((1001, 0)));
    }
    let last = std::iter::from_fn(|| t.take_sent()).last().unwrap();
    assert_eq!(last.sack.len(), 3);
}

#[test]
fn no_sack_unless_permitted() {
    let (mut t, _) = Trace::listening().established_by(Seg { sack_ok: false, ..Trace::syn() });
    inject!(t, ACK, seq = 1001, ack = 1, len = 100, win = 1000);
    expect!(t, ACK, ack = 1, sack = vec![]);
}

#[test]
fn duplicate_is_reported_once_by_d_sack() {
    let (mut t, _) = Trace::established();
    inject!(t, ACK, seq = 1, ack = 1, len = 1000, win = 1000);
    inject!(t, ACK, seq = 1001, ack = 1, len = 1000, win = 1000);
    expect!(t, ACK, ack = 2001, sack = vec![]);
    inject!(t, ACK, seq = 1001, ack = 1, len = 1000, win = 1000);
    expect!(t, ACK, ack = 2001, sack = vec![(1001, 2001)]);
    inject!(t, ACK, seq = 3001, ack = 1, len = 100, win = 1000);
    expect!(t, ACK, ack = 2001, sack = vec![(3001, 3101)]);
    // RFC 2883, 4.2: above the cumulative ACK, with the block that it is in behind it.
    inject!(t, ACK, seq = 3001, ack = 1, len = 100, win = 1000);
    expect!(t, ACK, ack = 2001, sack = vec![(3001, 3101), (3001, 3101)]);
}

#[test]
fn ooo_segment_fills_hole_and_acks_once() {
    let (mut t, id) = Trace::established();
    inject!(t, ACK, seq = 1001, ack = 1, len = 1000, win = 1000);
    expect!(t, ACK, ack = 1);
    inject!(t, ACK, seq = 1, ack = 1, len = 1000, win = 1000);
    expect!(t, ACK, ack = 2001, sack = vec![]);
    t.silent();
    assert_eq!(t.read(id, 1), 2000);
}

#[test]
fn fin_before_a_hole_waits_for_it() {
    let (mut t, id) = Trace::established();
    inject!(t, FIN | ACK, seq = 1001, ack = 1, len = 100, win = 1000);
    expect!(t, ACK, ack = 1);
    inject!(t, ACK, seq = 1, ack = 1, len = 1000, win = 1000);
    expect!(t, ACK, ack = 1102);
    assert_eq!(t.read(id, 1), 1100);
    assert!(matches!(t.tcp.read(id, 1), Ok(zerohop::tcp::Read::End)));
}

#[test]
fn out_of_order_queue_is_bounded_by_the_window() {
    let (mut t, id) = Trace::established();
    for i in 0..2000 {
        inject!(t, ACK, seq = 10 + i * 1000, ack = 1, len = 500, win = 1000);
    }
    t.net.sent.clear();
    inject!(t, ACK, seq = 1, ack = 1, len = 9, win = 1000);
    t.net.sent.clear();
    assert!(t.read(id, 1) <= 65_535);
}

#[test]
fn urgent_data_is_delivered_in_line() {
    let (mut t, id) = Trace::established();
    let seg = Seg {
        flags: zerohop::wire::tcp::Flags::ACK | zerohop::wire::tcp::Flags::URG,
        seq: 1,
        ack: 1,
        len: 10,
        win: 1000,
        ..Seg::default()
    };
    let mut bytes = t.encode(&seg);
    bytes[18..20].copy_from_slice(&5u16.to_be_bytes());
    t.finish(&mut bytes);
    t.inject_bytes(bytes, Default::default());
    assert_eq!(t.read(id, 1), 10);
}

#[test]
fn segment_without_the_negotiated_timestamps_is_dropped_in_silence() {
    // RFC 7323, 3.2.
    let (mut t, id) = with_timestamps();
    inject!(t, ACK | PSH, seq = 1, ack = 1, len = 10, win = 1000);
    t.pass(Duration::from_millis(50));
    t.silent();
    assert_eq!((t.read(id, 1), t.tcp.stats().dropped_paws), (0, 1));
    inject!(t, RST, seq = 1);
    assert!(t.tcp.read(id, 1).is_err());
}

#[test]
fn timestamp_that_is_24_days_old_says_nothing() {
    let (mut t, _) = with_timestamps();
    t.pass(Duration::from_secs(25 * 24 * 3600));
    inject!(t, ACK | PSH, seq = 1, ack = 1, len = 10, win = 1000, ts = Some((5, 0)));
    t.pass(Duration::from_millis(50));
    expect!(t, ACK, ack = 11);
    assert_eq!(t.tcp.stats().dropped_paws, 0);
}

#[test]
fn data_right_behind_the_syn_ack_is_taken() {
    let mut t = Trace::new(Config::default());
    let id = t.connect(&Options { ecn: false, ..Options::default() });
    expect!(t, SYN);
    // One batch: the window of our SYN holds before our first ACK is out.
    let syn = t.encode(&crate::seg!(SYN | ACK, seq = 0, ack = 1, win = 1000, mss = Some(1000)));
    let data = t.encode(&crate::seg!(ACK | PSH, seq = 1, ack = 1, len = 700, win = 1000));
    t.receive_only(syn, zerohop::ip::Ecn::NotEct);
    t.receive_only(data, zerohop::ip::Ecn::NotEct);
    t.poll();
    assert_eq!(t.read(id, 1), 700);
    expect!(t, ACK, ack = 701);
}
