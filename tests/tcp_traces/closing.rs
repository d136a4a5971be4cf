//! Closing: RFC 9293, sections 3.6 and 3.10.4, 3.10.5; RFC 6191.

use crate::tcp_support::trace::Trace;
use crate::{ack, expect, inject};
use zerohop::{
    Slice,
    tcp::{Error, Event, ListenOptions, Options, Read, Shutdown, State},
    time::Duration,
};

#[test]
fn active_close_goes_through_fin_wait_and_time_wait() {
    let (mut t, id) = Trace::established();
    t.tcp.close(id);
    t.poll();
    expect!(t, FIN | ACK, seq = 1, ack = 1);
    assert_eq!(t.info(id).state, State::FinWait1);
    inject!(t, ACK, seq = 1, ack = 2, win = 1000);
    assert_eq!(t.info(id).state, State::FinWait2);
    inject!(t, FIN | ACK, seq = 1, ack = 2, win = 1000);
    expect!(t, ACK, seq = 2, ack = 2);
    assert_eq!(t.info(id).state, State::TimeWait);
    // A repeated FIN is acknowledged and restarts 2 MSL.
    t.pass(Duration::from_secs(50));
    inject!(t, FIN | ACK, seq = 1, ack = 2, win = 1000);
    expect!(t, ACK, seq = 2, ack = 2);
    t.pass(Duration::from_secs(50));
    assert_eq!(t.tcp.connections(), 1);
    t.pass(Duration::from_secs(11));
    assert_eq!(t.tcp.connections(), 0);
}

#[test]
fn passive_close_reads_the_end_and_leaves_after_last_ack() {
    let (mut t, id) = Trace::established();
    inject!(t, FIN | ACK | PSH, seq = 1, ack = 1, len = 5, win = 1000);
    expect!(t, ACK, ack = 7);
    assert_eq!(t.events(), [Event::Readable(id)]);
    assert_eq!(t.read(id, 1), 5);
    assert!(matches!(t.tcp.read(id, 1), Ok(Read::End)));
    assert_eq!(t.info(id).state, State::CloseWait);
    // Half closed: data still goes out.
    t.write(id, 10);
    expect!(t, ACK | PSH, seq = 1, ack = 7, len = 10);
    t.tcp.close(id);
    t.poll();
    expect!(t, FIN | ACK, seq = 11, ack = 7);
    assert_eq!(t.info(id).state, State::LastAck);
    inject!(t, ACK, seq = 7, ack = 12, win = 1000);
    t.silent();
    assert_eq!(t.tcp.connections(), 0);
}

#[test]
fn half_close_still_receives() {
    let (mut t, id) = Trace::established();
    t.tcp.shutdown(id, Shutdown::Write);
    t.poll();
    expect!(t, FIN | ACK, seq = 1);
    inject!(t, ACK | PSH, seq = 1, ack = 2, len = 100, win = 1000);
    assert_eq!(t.read(id, 1), 100);
    let mut data = Slice::from_static(b"x");
    assert_eq!(t.tcp.write(id, &mut data), Err(Error::Closed));
    inject!(t, FIN | ACK, seq = 101, ack = 2, win = 1000);
    expect!(t, ACK, seq = 2, ack = 102);
    assert!(matches!(t.tcp.read(id, 1), Ok(Read::End)));
    assert!(t.events().contains(&Event::Closed(id)));
}

#[test]
fn simultaneous_close_goes_through_closing() {
    let (mut t, id) = Trace::established();
    t.tcp.shutdown(id, Shutdown::Write);
    t.poll();
    expect!(t, FIN | ACK, seq = 1, ack = 1);
    inject!(t, FIN | ACK, seq = 1, ack = 1, win = 1000);
    expect!(t, ACK, seq = 2, ack = 2);
    assert_eq!(t.info(id).state, State::Closing);
    inject!(t, ACK, seq = 2, ack = 2, win = 1000);
    assert_eq!(t.info(id).state, State::TimeWait);
}

#[test]
fn fin_and_ack_of_ours_together_enter_time_wait_at_once() {
    let (mut t, id) = Trace::established();
    t.tcp.shutdown(id, Shutdown::Write);
    t.poll();
    expect!(t, FIN | ACK);
    inject!(t, FIN | ACK, seq = 1, ack = 2, win = 1000);
    expect!(t, ACK, seq = 2, ack = 2);
    assert_eq!(t.info(id).state, State::TimeWait);
}

#[test]
fn close_sends_what_was_written_and_then_fin() {
    let (mut t, id) = Trace::established();
    let mut data = Slice::from(vec![1; 2500]);
    t.tcp.write(id, &mut data).unwrap();
    t.tcp.close(id);
    t.poll();
    expect!(t, ACK, seq = 1, len = 1000);
    expect!(t, ACK, seq = 1001, len = 1000);
    expect!(t, FIN | ACK | PSH, seq = 2001, len = 500);
    t.silent();
}

#[test]
fn data_after_close_is_answered_with_reset() {
    let (mut t, id) = Trace::established();
    t.tcp.close(id);
    t.poll();
    expect!(t, FIN | ACK);
    inject!(t, ACK | PSH, seq = 1, ack = 2, len = 10, win = 1000);
    expect!(t, RST | ACK, seq = 2);
    assert_eq!(t.tcp.connections(), 0);
    inject!(t, ACK | PSH, seq = 11, ack = 2, len = 10, win = 1000);
    expect!(t, RST, seq = 2);
}

#[test]
fn close_with_unread_data_resets() {
    let (mut t, id) = Trace::established();
    inject!(t, ACK | PSH, seq = 1, ack = 1, len = 10, win = 1000);
    t.tcp.close(id);
    t.poll();
    expect!(t, RST | ACK, seq = 1, ack = 11);
}

#[test]
fn abort_and_zero_linger_reset() {
    let (mut t, id) = Trace::established();
    t.tcp.abort(id);
    t.poll();
    expect!(t, RST | ACK, seq = 1, ack = 1);
    assert_eq!(t.tcp.read(id, 1).unwrap_err(), Error::Closed);
    let (mut t, id) = Trace::established();
    t.tcp.set_linger(id, Some(Duration::ZERO));
    t.tcp.close(id);
    t.poll();
    expect!(t, RST | ACK, seq = 1, ack = 1);
}

#[test]
fn lingering_resets_when_its_time_is_over() {
    let (mut t, id) = Trace::established();
    t.tcp.set_linger(id, Some(Duration::from_secs(3)));
    t.write(id, 100);
    t.tcp.close(id);
    t.pass(Duration::from_millis(2900));
    assert_eq!(t.tcp.connections(), 1);
    t.net.sent.clear();
    t.pass(Duration::from_millis(200));
    expect!(t, RST | ACK, seq = 102);
}

#[test]
fn received_reset_is_told_after_the_data() {
    let (mut t, id) = Trace::established();
    inject!(t, ACK | PSH, seq = 1, ack = 1, len = 10, win = 1000);
    inject!(t, RST, seq = 11);
    t.silent();
    assert!(t.events().contains(&Event::Closed(id)));
    assert!(matches!(t.tcp.read(id, 100), Ok(Read::Data(_))));
    assert_eq!(t.tcp.read(id, 100).unwrap_err(), Error::Reset);
    assert_eq!(t.tcp.read(id, 100).unwrap_err(), Error::Closed);
    t.tcp.close(id);
    t.events();
    assert_eq!(t.tcp.connections(), 0);
}

#[test]
fn orphaned_fin_wait_2_ends() {
    let (mut t, id) = Trace::established();
    t.tcp.close(id);
    t.poll();
    expect!(t, FIN | ACK);
    inject!(t, ACK, seq = 1, ack = 2, win = 1000);
    t.pass(Duration::from_secs(61));
    assert_eq!(t.tcp.connections(), 0);
}

fn time_wait(ts: Option<(u32, u32)>) -> (Trace, u32) {
    let syn = crate::tcp_support::trace::Seg { ts, ..Trace::syn() };
    let (mut t, id) = Trace::listening().established_by(syn);
    t.tcp.close(id);
    t.poll();
    let fin = expect!(t, FIN | ACK);
    let iss = t.iss;
    let ts = ts.map(|(val, _)| (val + 1, fin.ts.unwrap().0));
    inject!(t, FIN | ACK, seq = 1, ack = 2, win = 1000, ts = ts);
    expect!(t, ACK, seq = 2, ack = 2);
    (t, iss)
}

#[test]
fn time_wait_is_reused_by_a_syn_with_a_higher_sequence_number() {
    let (mut t, _) = time_wait(None);
    inject!(t, SYN, seq = 1, win = 1000);
    expect!(t, ACK, seq = 2, ack = 2);
    inject!(t, SYN, seq = 5000, win = 1000);
    expect!(t, SYN | ACK, seq = 0, ack = 5001);
    assert_eq!(t.tcp.connections(), 1);
}

#[test]
fn time_wait_is_reused_by_a_syn_with_a_later_timestamp() {
    let (mut t, _) = time_wait(Some((100, 0)));
    // RFC 6191: a later timestamp counts, even with a lower sequence number.
    inject!(t, SYN, seq = 0u32.wrapping_sub(50_000), win = 1000, ts = Some((90, 0)));
    expect!(t, ACK, seq = 2, ack = 2);
    inject!(t, SYN, seq = 0u32.wrapping_sub(50_000), win = 1000, ts = Some((200, 0)));
    expect!(t, SYN | ACK, seq = 0);
}

#[test]
fn time_wait_gives_way_when_the_table_is_full() {
    let config = zerohop::tcp::Config { max_connections: 1, ..Default::default() };
    let t = Trace::listening_with(config, ListenOptions::default());
    let (mut t, id) = t.established_by(Trace::syn());
    t.tcp.close(id);
    t.poll();
    expect!(t, FIN | ACK);
    inject!(t, FIN | ACK, seq = 1, ack = 2, win = 1000);
    expect!(t, ACK);
    t.events();
    t.peer_port += 1;
    inject!(t, SYN, seq = 0, win = 1000);
    expect!(t, SYN | ACK, seq = 0, ack = 1);
    assert_eq!(t.tcp.connections(), 1);
}

#[test]
fn ends_are_told_apart() {
    let (mut t, id) = Trace::established();
    t.tcp.set_user_timeout(id, Some(Duration::from_secs(5)));
    t.write(id, 10);
    t.pass(Duration::from_secs(20));
    assert_eq!(t.tcp.read(id, 1).unwrap_err(), Error::TimedOut);
    let (mut t, id) = Trace::established();
    inject!(t, RST, seq = 1);
    assert_eq!(t.tcp.read(id, 1).unwrap_err(), Error::Reset);
    let mut t = Trace::new(Default::default());
    let id = t.connect(&Options::default());
    t.tcp.abort(id);
    assert!(t.tcp.read(id, 1).is_err());
}

#[test]
fn shutdown_of_reading_throws_data_away_and_acknowledges_it() {
    let (mut t, id) = Trace::established();
    t.tcp.shutdown(id, Shutdown::Read);
    inject!(t, ACK | PSH, seq = 1, ack = 1, len = 1000, win = 1000);
    inject!(t, ACK | PSH, seq = 1001, ack = 1, len = 1000, win = 1000);
    expect!(t, ACK, ack = 2001);
    assert_eq!(t.tcp.read(id, 1).unwrap_err(), Error::Closed);
}

#[test]
fn reopened_connection_counts_on_from_where_the_old_one_ended() {
    // RFC 9293, 3.6.1: even when more was sent than the clock of the ISN has moved.
    let (mut t, id) = Trace::established();
    let iss = t.iss;
    for i in 0..200u32 {
        t.write(id, 10_000);
        t.net.sent.clear();
        ack!(t, 1 + (i + 1) * 10_000);
    }
    t.tcp.close(id);
    t.poll();
    expect!(t, FIN | ACK, seq = 2_000_001);
    inject!(t, FIN | ACK, seq = 1, ack = 2_000_002, win = 60_000);
    expect!(t, ACK, seq = 2_000_002, ack = 2);
    inject!(t, SYN, seq = 5000, win = 60_000);
    expect!(t, SYN | ACK, ack = 5001);
    let gap = t.iss.wrapping_sub(iss);
    assert!((2_000_003..100_000_000).contains(&gap), "{gap}");
    inject!(t, ACK, seq = 5001, ack = 1, win = 60_000);
    assert!(t.tcp.accept(t.listener.unwrap()).unwrap().is_some());
}

#[test]
fn time_wait_stands_while_nobody_listens() {
    let (mut t, _) = time_wait(None);
    t.tcp.close_listener(t.listener.unwrap());
    inject!(t, SYN, seq = 5000, win = 1000);
    expect!(t, ACK, seq = 2, ack = 2);
    t.silent();
}

#[test]
fn retransmitted_fin_restarts_time_wait() {
    let (mut t, _) = time_wait(None);
    t.pass(Duration::from_secs(59));
    inject!(t, FIN | ACK, seq = 1, ack = 2, win = 1000);
    expect!(t, ACK, seq = 2, ack = 2);
    t.pass(Duration::from_secs(59));
    assert_eq!(t.tcp.connections(), 1);
    t.pass(Duration::from_secs(2));
    t.events();
    assert_eq!(t.tcp.connections(), 0);
}

#[test]
fn reset_in_each_closing_state_ends_the_connection() {
    for (close, fin) in [(true, false), (false, true), (true, true)] {
        let (mut t, id) = Trace::established();
        if close {
            t.tcp.shutdown(id, Shutdown::Write);
            t.poll();
            expect!(t, FIN | ACK, seq = 1);
        }
        if fin {
            inject!(t, FIN | ACK, seq = 1, ack = 1, win = 1000);
            expect!(t, ACK, ack = 2);
        }
        inject!(t, RST, seq = 1 + u32::from(fin));
        assert_eq!(t.info(id).state, State::Closed);
        t.silent();
    }
}

#[test]
fn shutdown_of_reading_still_asks_for_what_is_missing() {
    let (mut t, id) = Trace::established();
    t.tcp.shutdown(id, Shutdown::Read);
    inject!(t, ACK, seq = 101, ack = 1, len = 100, win = 1000);
    expect!(t, ACK, ack = 1);
    inject!(t, ACK, seq = 1, ack = 1, len = 100, win = 1000);
    inject!(t, ACK, seq = 101, ack = 1, len = 100, win = 1000);
    t.pass(Duration::from_millis(50));
    expect!(t, ACK, ack = 201);
}

#[test]
fn close_before_the_connection_stands_waits_for_it() {
    // RFC 9293, 3.10.4, in SYN-SENT (half a close) and in SYN-RECEIVED (simultaneous open).
    for simultaneous in [false, true] {
        let mut t = Trace::new(zerohop::tcp::Config::default());
        let id = t.connect(&Options { ecn: false, ..Options::default() });
        expect!(t, SYN);
        if simultaneous {
            inject!(t, SYN, seq = 0, win = 1000);
            expect!(t, SYN | ACK, seq = 0, ack = 1);
        }
        t.tcp.shutdown(id, Shutdown::Write);
        t.poll();
        t.silent();
        inject!(t, SYN | ACK, seq = 0, ack = 1, win = 1000);
        expect!(t, FIN | ACK, seq = 1, ack = 1);
        assert_eq!(t.info(id).state, State::FinWait1);
        inject!(t, FIN | ACK, seq = 1, ack = 2, win = 1000);
        expect!(t, ACK, seq = 2, ack = 2);
        assert_eq!(t.info(id).state, State::TimeWait);
    }
}
