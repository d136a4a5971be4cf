//! Windows, silly window avoidance, Nagle, delayed ACK, persist: RFC 9293, section 3.8.6.

use crate::tcp_support::trace::{Seg, Trace};
use crate::{ack, expect, inject};
use zerohop::{
    Slice,
    tcp::{Config, ConnId, Error, Event, ListenOptions, Options, Read, State},
    time::Duration,
    wire::tcp::Flags,
};

fn with_buffer(bytes: u32) -> (Trace, ConnId) {
    let options = Options { receive_buffer: Some(bytes), ..Options::default() };
    let listen = ListenOptions { socket: Some(options), ..ListenOptions::default() };
    Trace::listening_with(Config::default(), listen).established_by(Trace::syn())
}

#[test]
fn every_second_full_segment_is_acknowledged_at_once() {
    let (mut t, _) = Trace::established();
    inject!(t, ACK, seq = 1, ack = 1, len = 1000, win = 1000);
    t.silent();
    inject!(t, ACK, seq = 1001, ack = 1, len = 1000, win = 1000);
    expect!(t, ACK, seq = 1, ack = 2001);
}

#[test]
fn lone_segment_is_acknowledged_within_the_delay() {
    let (mut t, _) = Trace::established();
    inject!(t, ACK | PSH, seq = 1, ack = 1, len = 10, win = 1000);
    t.pass(Duration::from_millis(39));
    t.silent();
    t.pass(Duration::from_millis(2));
    expect!(t, ACK, ack = 11);
}

#[test]
fn one_ack_answers_a_batch() {
    let (mut t, _) = Trace::established();
    for i in 0..10 {
        let seg = Seg {
            flags: Flags::ACK,
            seq: 1 + i * 1000,
            ack: 1,
            len: 1000,
            win: 1000,
            ..Seg::default()
        };
        let bytes = t.encode(&seg);
        t.receive_only(bytes, Default::default());
    }
    t.poll();
    expect!(t, ACK, ack = 10_001);
    t.silent();
}

#[test]
fn answer_carries_the_ack() {
    let (mut t, id) = Trace::established();
    inject!(t, ACK | PSH, seq = 1, ack = 1, len = 10, win = 1000);
    assert_eq!(t.read(id, 1), 10);
    t.write(id, 10);
    expect!(t, ACK | PSH, seq = 1, ack = 11, len = 10);
    t.silent();
}

#[test]
fn nagle_holds_small_segments_until_the_ack_and_nodelay_does_not() {
    let (mut t, id) = Trace::established();
    t.write(id, 10);
    expect!(t, ACK | PSH, seq = 1, len = 10);
    t.write(id, 20);
    t.write(id, 30);
    t.silent();
    inject!(t, ACK, seq = 1, ack = 11, win = 1000);
    expect!(t, ACK | PSH, seq = 11, len = 50);
    t.tcp.set_nodelay(id, true);
    t.write(id, 5);
    expect!(t, ACK | PSH, seq = 61, len = 5);
    t.write(id, 5);
    expect!(t, ACK | PSH, seq = 66, len = 5);
}

#[test]
fn full_segments_go_out_and_the_rest_waits_under_nagle() {
    let (mut t, id) = Trace::established();
    t.write(id, 2500);
    expect!(t, ACK, seq = 1, len = 1000);
    expect!(t, ACK, seq = 1001, len = 1000);
    t.silent();
    inject!(t, ACK, seq = 1, ack = 2001, win = 1000);
    expect!(t, ACK | PSH, seq = 2001, len = 500);
}

#[test]
fn peer_window_is_obeyed_to_the_byte() {
    let (mut t, id) = Trace::established();
    inject!(t, ACK, seq = 1, ack = 1, win = 2500);
    t.tcp.set_nodelay(id, true);
    t.write(id, 5000);
    expect!(t, ACK, seq = 1, len = 1000);
    expect!(t, ACK, seq = 1001, len = 1000);
    // RFC 9293, 3.8.6.2.1: 500 bytes are neither a segment nor half the largest window.
    t.silent();
    inject!(t, ACK, seq = 1, ack = 2001, win = 3000);
    expect!(t, ACK, seq = 2001, len = 1000);
}

#[test]
fn zero_window_is_probed_for_ever_while_it_is_acknowledged() {
    let (mut t, id) = Trace::established();
    t.tcp.set_nodelay(id, true);
    inject!(t, ACK, seq = 1, ack = 1, win = 0);
    t.write(id, 3000);
    t.silent();
    for round in 0..40 {
        t.pass(Duration::from_secs(125));
        let probe = t.take_sent().expect("a probe");
        assert_eq!((probe.seq, probe.len), (1, 1), "round {round}");
        t.net.sent.clear();
        inject!(t, ACK, seq = 1, ack = 1, win = 0);
    }
    t.net.sent.clear();
    inject!(t, ACK, seq = 1, ack = 1, win = 10_000);
    let mut next = 1;
    while let Some(seg) = t.take_sent() {
        assert_eq!(seg.seq, next);
        next += seg.len;
    }
    assert_eq!(next, 3001);
}

#[test]
fn zero_window_of_a_silent_peer_is_given_up_in_the_end() {
    // RFC 9293, 3.8.3: R2, as for any data.
    let (mut t, id) = Trace::established();
    inject!(t, ACK, seq = 1, ack = 1, win = 0);
    t.write(id, 3000);
    t.pass(Duration::from_secs(100));
    assert_eq!(t.info(id).state, State::Established);
    t.pass(Duration::from_secs(1200));
    assert_eq!(t.tcp.read(id, 1).unwrap_err(), Error::TimedOut);
}

#[test]
fn probe_interval_backs_off_from_the_rto() {
    let (mut t, id) = Trace::established();
    inject!(t, ACK, seq = 1, ack = 1, win = 0);
    t.write(id, 3000);
    let start = t.net.now;
    let mut at = Vec::new();
    for _ in 0..4 {
        while t.net.sent.is_empty() {
            t.pass(Duration::from_millis(1));
        }
        t.net.sent.clear();
        at.push(t.net.now.saturating_since(start).as_millis() as u64);
    }
    assert!(at[1] - at[0] > at[0] && at[2] - at[1] > at[1] - at[0], "{at:?}");
}

#[test]
fn accepted_probe_byte_counts_and_the_rest_follows() {
    let (mut t, id) = Trace::established();
    inject!(t, ACK, seq = 1, ack = 1, win = 0);
    t.write(id, 3000);
    t.pass(Duration::from_secs(3));
    expect!(t, ACK, seq = 1, len = 1);
    t.net.sent.clear();
    inject!(t, ACK, seq = 1, ack = 2, win = 10_000);
    expect!(t, ACK, seq = 2, len = 1000);
}

#[test]
fn right_edge_never_moves_back() {
    let (mut t, id) = with_buffer(8000);
    let mut edge = 0;
    let mut seq = 1;
    for i in 0..8 {
        inject!(t, ACK, seq = seq, ack = 1, len = 1000, win = 1000);
        seq += 1000;
        while let Some(ack) = t.take_sent() {
            let new = ack.ack + u32::from(ack.win);
            assert!(new >= edge, "{i}: {new} < {edge}");
            edge = new;
        }
    }
    assert_eq!(edge, 8001);
    // Beyond the edge nothing is taken.
    inject!(t, ACK, seq = seq, ack = 1, len = 1000, win = 1000);
    expect!(t, ACK, ack = 8001, win = 0);
    assert_eq!(t.read(id, 1), 8000);
    let update = expect!(t, ACK, ack = 8001);
    assert!(update.win >= 4000, "{update:?}");
}

#[test]
fn scaled_right_edge_never_moves_back() {
    // RFC 7323, 2.4: what is left of a window is seldom a multiple of its unit.
    let options = Options { receive_buffer: Some(1 << 20), ..Options::default() };
    let listen = ListenOptions { socket: Some(options), ..ListenOptions::default() };
    let mut t = Trace::listening_with(Config::default(), listen);
    t.inject(&Seg { ws: Some(2), ..Trace::syn() });
    let scale = expect!(t, SYN | ACK).ws.unwrap();
    assert!(scale > 3);
    inject!(t, ACK, seq = 1, ack = 1, win = 1000);
    let (mut edge, mut seq) = (0, 1);
    for _ in 0..60 {
        inject!(t, ACK, seq = seq, ack = 1, len = 997, win = 1000);
        seq += 997;
        t.pass(Duration::from_millis(50));
        while let Some(ack) = t.take_sent() {
            let new = ack.ack + (u32::from(ack.win) << scale);
            assert!(new >= edge, "{new} < {edge}");
            edge = new;
        }
    }
}

#[test]
fn receiver_avoids_silly_windows() {
    let (mut t, id) = with_buffer(8000);
    for i in 0..8 {
        inject!(t, ACK, seq = 1 + i * 1000, ack = 1, len = 1000, win = 1000);
    }
    t.net.sent.clear();
    // RFC 9293, 3.8.6.2.2: a few bytes read are no reason to open the window.
    assert!(matches!(t.tcp.read(id, 100), Ok(Read::Data(_))));
    t.poll();
    t.silent();
    inject!(t, ACK, seq = 8001, ack = 1, len = 1, win = 1000);
    expect!(t, ACK, ack = 8001, win = 0);
}

#[test]
fn window_is_charged_until_the_application_drops_what_it_read() {
    let (mut t, id) = with_buffer(16_000);
    let mut held = Vec::new();
    let pool = t.net.pool.clone();
    let mut seq = 1;
    loop {
        let seg = Seg { flags: Flags::ACK, seq, ack: 1, len: 1000, win: 1000, ..Seg::default() };
        let bytes = t.encode(&seg);
        let mut buf = pool.alloc().unwrap();
        buf.append(bytes.len()).copy_from_slice(&bytes);
        t.receive_slice(buf.freeze());
        t.poll();
        seq += 1000;
        while let Read::Data(slice) = t.tcp.read(id, usize::MAX).unwrap() {
            held.push(slice);
        }
        let last = std::iter::from_fn(|| t.take_sent()).last();
        if last.is_some_and(|ack| ack.win == 0) {
            break;
        }
        assert!(held.len() < 40, "the window never shuts");
    }
    drop(held);
    t.pass(Duration::from_millis(50));
    let update = std::iter::from_fn(|| t.take_sent()).last().expect("a window update");
    assert!(update.win > 8000, "{update:?}");
}

#[test]
fn scaled_window_goes_beyond_64_kib() {
    let syn = Seg { ws: Some(4), ..Trace::syn() };
    let (mut t, id) = Trace::listening().established_by(syn);
    assert_eq!(t.info(id).send_window, 60_000 << 4);
    let mut seq = 1;
    for _ in 0..400 {
        for _ in 0..30 {
            inject!(t, ACK, seq = seq, ack = 1, len = 1000, win = 1000);
            seq += 1000;
        }
        t.read(id, seq - 30_000);
        t.net.sent.clear();
        t.pass(Duration::from_millis(1));
    }
    assert!(t.info(id).receive_window > 65_535);
}

#[test]
fn writer_is_told_when_there_is_room_again() {
    let (mut t, id) = Trace::established();
    t.tcp.set_buffers(id, None, Some(4000));
    let mut data = Slice::from(vec![0; 10_000]);
    let taken = t.tcp.write(id, &mut data).unwrap();
    assert!((3500..=4000).contains(&taken));
    assert_eq!(data.len(), 10_000 - taken);
    assert_eq!(t.tcp.write(id, &mut data), Ok(0));
    t.poll();
    t.events();
    ack!(t, 1 + taken as u32 / 1000 * 1000);
    assert_eq!(t.events(), [Event::Writable(id)]);
}

#[test]
fn many_small_writes_are_put_together() {
    let (mut t, id) = Trace::established();
    t.write(id, 1);
    expect!(t, ACK | PSH, len = 1);
    for _ in 0..600 {
        t.write(id, 3);
    }
    expect!(t, ACK, seq = 2, len = 1000);
    ack!(t, 1002);
    expect!(t, ACK | PSH, seq = 1002, len = 800);
    assert!(t.tcp.stats().payload_bytes_copied <= 1801);
}

#[test]
fn a_short_write_lies_behind_its_header_in_one_slice() {
    let (mut t, id) = Trace::established();
    let mut end = 1;
    for (len, slices) in [(1, 1), (128, 1), (129, 2)] {
        t.write(id, len);
        let packet = t.net.sent.pop_front().unwrap();
        assert_eq!(packet.slices.len(), slices, "{len} bytes");
        end += len as u32;
        ack!(t, end);
    }
    assert_eq!(t.tcp.stats().payload_bytes_copied, 129);
}

#[test]
fn whole_write_is_sent_by_reference() {
    let (mut t, id) = Trace::established();
    let data = Slice::from(vec![7; 1000]);
    let address = data.as_ptr();
    t.tcp.write(id, &mut data.clone()).unwrap();
    t.poll();
    let packet = t.net.sent.pop_front().unwrap();
    assert_eq!(packet.slices[1].as_ptr(), address);
    // And so is the retransmission, behind a fresh header.
    t.pass(Duration::from_millis(3500));
    let again = t.net.sent.pop_front().unwrap();
    assert_eq!(again.slices[1].as_ptr(), address);
    assert_ne!(again.slices[0].as_ptr(), packet.slices[0].as_ptr());
    assert_eq!(t.tcp.stats().payload_bytes_copied, 0);
}

#[test]
fn what_a_closed_application_left_does_not_wait_for_a_shut_window_for_ever() {
    // RFC 6429, section 3.
    let (mut t, id) = Trace::established();
    inject!(t, ACK, seq = 1, ack = 1, win = 0);
    t.write(id, 1000);
    t.tcp.close(id);
    let mut closed = false;
    for _ in 0..400 {
        t.pass(Duration::from_secs(1));
        while let Some(seg) = t.take_sent() {
            closed |= seg.flags.contains(zerohop::wire::tcp::Flags::RST);
        }
        inject!(t, ACK, seq = 1, ack = 1, win = 0);
        t.net.sent.clear();
    }
    assert!(closed);
    assert_eq!(t.tcp.connections(), 0);
}

#[test]
fn acknowledged_part_of_a_large_piece_has_room_at_once() {
    let syn = Seg { ws: Some(7), ..Trace::syn() };
    let (mut t, id) = Trace::listening().established_by(syn);
    let piece = Slice::from(vec![0; 256 << 10]);
    assert_eq!(t.tcp.write(id, &mut piece.clone()), Ok(256 << 10));
    assert_eq!(t.tcp.write(id, &mut piece.clone()), Ok(0));
    t.poll();
    let mut acked = 0;
    while acked < 100_000 {
        while let Some(seg) = t.take_sent() {
            acked += seg.len;
        }
        ack!(t, 1 + acked);
    }
    assert_eq!(t.tcp.take_event(), Some(Event::Writable(id)));
    let taken = t.tcp.write(id, &mut piece.clone()).unwrap();
    assert!(taken as u32 > acked - 1000, "{taken} of {acked}");
}

#[test]
fn data_to_send_is_bounded_by_the_memory_that_it_lies_in() {
    let config = Config { borrowed: 100_000, memory: 40_000, ..Config::default() };
    let (mut t, id) = Trace::listening_with(config, ListenOptions::default())
        .established_by(Seg { win: 0, ..Trace::syn() });
    assert_eq!(t.tcp.write(id, &mut Slice::from(vec![0; 200_000])), Ok(100_000));
    assert_eq!(t.tcp.write(id, &mut Slice::from(vec![0; 1])), Ok(0));
    let mut pooled = 0;
    for _ in 0..20 {
        let mut buf = t.net.pool.alloc().unwrap();
        buf.append(1000);
        pooled += t.tcp.write(id, &mut buf.freeze()).unwrap();
    }
    // Half of what TCP may hold of the pool, by whole buffers.
    assert_eq!(pooled, 10_000);
    // A closed connection gives back what it held.
    t.tcp.abort(id);
    t.poll();
    while t.take_sent().is_some() {}
    t.peer_port += 1;
    let (mut t, id) = t.established_by(Trace::syn());
    assert_eq!(t.tcp.write(id, &mut Slice::from(vec![0; 200_000])), Ok(100_000));
}

#[test]
fn windows_that_nobody_fills_leave_room_for_data_to_send() {
    let config = Config { memory: 70_000, ..Config::default() };
    let options = Options { receive_buffer: Some(65_535), ..Options::default() };
    let listen = ListenOptions { socket: Some(options), ..ListenOptions::default() };
    let (mut t, id) = Trace::listening_with(config, listen).established_by(Trace::syn());
    let mut seq = 1;
    for _ in 0..100 {
        inject!(t, ACK, seq = seq, ack = 1, len = 1000, win = 1000);
        assert_eq!(t.read(id, seq), 1000);
        seq += 1000;
        t.pass(Duration::from_millis(50));
    }
    t.net.sent.clear();
    // A quarter of what TCP may hold of the pool, by whole buffers.
    let mut pooled = 0;
    for _ in 0..40 {
        let mut buf = t.net.pool.alloc().unwrap();
        buf.append(1000);
        pooled += t.tcp.write(id, &mut buf.freeze()).unwrap();
    }
    assert!(pooled >= 8000, "{pooled}");
}
