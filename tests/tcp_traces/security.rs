//! Blind attacks and bad input: RFC 5961; RFC 9293, sections 3.1 and 3.10.7.4.

use crate::tcp_support::trace::{Seg, Trace};
use crate::{ack, expect, inject};
use zerohop::{
    tcp::{Config, ListenOptions, Options, State},
    time::Duration,
    wire::tcp::Flags,
};

#[test]
fn rst_in_the_window_but_not_at_its_left_edge_is_challenged() {
    let (mut t, id) = Trace::established();
    inject!(t, RST, seq = 100);
    expect!(t, ACK, seq = 1, ack = 1);
    assert_eq!(t.info(id).state, State::Established);
    inject!(t, RST, seq = 1 + 70_000);
    inject!(t, RST, seq = 0);
    t.silent();
    assert_eq!(t.info(id).state, State::Established);
    inject!(t, RST, seq = 1);
    t.silent();
    assert_eq!(t.info(id).state, State::Closed);
}

#[test]
fn syn_on_a_synchronized_connection_is_challenged() {
    let (mut t, id) = Trace::established();
    for seq in [0, 1, 500, 1_000_000] {
        inject!(t, SYN, seq = seq, win = 1000);
        expect!(t, ACK, seq = 1, ack = 1);
    }
    assert_eq!(t.info(id).state, State::Established);
}

#[test]
fn ack_outside_the_acceptable_range_is_challenged_and_its_data_dropped() {
    let (mut t, id) = Trace::established();
    inject!(t, ACK | PSH, seq = 1, ack = 2, len = 10, win = 1000);
    expect!(t, ACK, seq = 1, ack = 1);
    inject!(t, ACK | PSH, seq = 1, ack = 0u32.wrapping_sub(100_000), len = 10, win = 1000);
    expect!(t, ACK, seq = 1, ack = 1);
    assert_eq!(t.read(id, 1), 0);
}

#[test]
fn challenge_acks_are_rate_limited() {
    let config = Config { challenge_acks_per_second: 5, ..Config::default() };
    let (mut t, _) =
        Trace::listening_with(config, ListenOptions::default()).established_by(Trace::syn());
    let mut limits = std::collections::BTreeSet::new();
    for _ in 0..20 {
        for _ in 0..50 {
            inject!(t, RST, seq = 100);
        }
        // Up to the limit, and not the same number each second: CVE-2016-5696.
        assert!((3..=5).contains(&t.net.sent.len()), "{}", t.net.sent.len());
        limits.insert(t.net.sent.len());
        t.net.sent.clear();
        t.pass(Duration::from_secs(1));
    }
    assert!(limits.len() > 1, "{limits:?}");
}

#[test]
fn acks_out_of_the_window_are_not_answered_for_ever() {
    let (mut t, _) = Trace::established();
    for _ in 0..100 {
        inject!(t, ACK, seq = 200_000, ack = 1, win = 1000);
    }
    expect!(t, ACK, seq = 1, ack = 1);
    t.silent();
    t.pass(Duration::from_millis(500));
    inject!(t, ACK, seq = 200_000, ack = 1, win = 1000);
    expect!(t, ACK, seq = 1, ack = 1);
}

#[test]
fn fin_at_the_edge_of_a_shut_window_leaves_no_window() {
    let options = Options { receive_buffer: Some(4096), ..Options::default() };
    let listen = ListenOptions { socket: Some(options), ..ListenOptions::default() };
    let (mut t, id) = Trace::listening_with(Config::default(), listen).established_by(Trace::syn());
    let mut seq = 1;
    loop {
        inject!(t, ACK, seq = seq, ack = 1, len = 512, win = 1000);
        seq += 512;
        let Some(ack) = t.take_sent() else { continue };
        if ack.win == 0 {
            seq = ack.ack;
            break;
        }
    }
    inject!(t, FIN | ACK, seq = seq, ack = 1, win = 1000);
    expect!(t, ACK, ack = seq + 1);
    assert_eq!(t.info(id).state, State::CloseWait);
    inject!(t, ACK, seq = seq + 1_000_000, ack = 1, len = 5, win = 2000);
    assert_eq!(t.info(id).send_window, 1000);
}

#[test]
fn bytes_sacked_here_and_there_do_not_multiply_segments() {
    let (mut t, id) = Trace::established();
    t.write(id, 10_000);
    t.net.sent.clear();
    for at in (2..10_000).step_by(50) {
        ack!(t, 1, sack = vec![(at, at + 1)]);
    }
    assert_eq!(t.info(id).in_flight, 10_000);
}

#[test]
fn tiny_pieces_out_of_order_are_bounded() {
    let (mut t, _) = Trace::established();
    for at in 0..5000 {
        inject!(t, ACK, seq = 3 + 2 * at, ack = 1, len = 1, win = 60_000);
        t.net.sent.clear();
    }
    assert!(t.tcp.stats().dropped_memory > 4000, "{:?}", t.tcp.stats());
}

#[test]
fn segment_outside_the_window_is_acknowledged_and_not_taken() {
    let (mut t, id) = Trace::established();
    inject!(t, ACK, seq = 1 + 100_000, ack = 1, len = 10, win = 1000);
    expect!(t, ACK, seq = 1, ack = 1);
    inject!(t, ACK, seq = 0u32.wrapping_sub(500), ack = 1, len = 10, win = 1000);
    expect!(t, ACK, seq = 1, ack = 1);
    assert_eq!(t.read(id, 1), 0);
}

#[test]
fn segment_without_ack_is_dropped() {
    let (mut t, id) = Trace::established();
    inject!(t, none(), seq = 1, len = 10, win = 1000);
    t.silent();
    assert_eq!(t.read(id, 1), 0);
}

#[test]
fn bad_checksum_header_length_and_options_are_dropped_and_counted() {
    let (mut t, id) = Trace::established();
    let seg = Seg { flags: Flags::ACK, seq: 1, ack: 1, len: 10, win: 1000, ..Seg::default() };
    let mut bytes = t.encode(&seg);
    bytes[25] ^= 1;
    t.inject_bytes(bytes, Default::default());
    assert_eq!(t.tcp.stats().dropped_checksum, 1);
    for words in [0u8, 4, 15] {
        let mut bytes = t.encode(&seg);
        bytes[12] = words << 4;
        t.finish(&mut bytes);
        t.inject_bytes(bytes, Default::default());
    }
    assert_eq!(t.tcp.stats().dropped_header, 3);
    let with_ts = Seg { ts: Some((1, 1)), ..seg.clone() };
    for len in [0u8, 1, 9, 40] {
        let mut bytes = t.encode(&with_ts);
        bytes[23] = len;
        t.finish(&mut bytes);
        t.inject_bytes(bytes, Default::default());
    }
    assert_eq!(t.tcp.stats().dropped_options, 4);
    let mut short = vec![0; 12];
    t.inject_bytes(std::mem::take(&mut short), Default::default());
    t.silent();
    assert_eq!(t.read(id, 1), 0);
}

#[test]
fn header_in_several_slices_is_understood() {
    let (mut t, id) = Trace::established();
    let seg = Seg { flags: Flags::ACK, seq: 1, ack: 1, len: 50, win: 1000, ..Seg::default() };
    let bytes = t.encode(&seg);
    t.receive_pieces(&bytes, 8);
    assert_eq!(t.read(id, 1), 50);
}

#[test]
fn any_flags_in_any_state_neither_panic_nor_hang() {
    for close in [false, true] {
        for bits in 0..=255u8 {
            for (seq, ack) in [(1, 1), (0, 0), (100, 1), (1, 50), (u32::MAX, u32::MAX)] {
                let (mut t, id) = Trace::established();
                if close {
                    t.tcp.close(id);
                    t.poll();
                }
                let flags = Flags::from_bits_retain(bits);
                let seg = Seg { flags, seq, ack, len: 20, win: 10, ..Seg::default() };
                t.inject(&seg);
                t.inject(&Seg { len: 0, ..seg });
                t.pass(Duration::from_secs(3));
            }
        }
    }
}
