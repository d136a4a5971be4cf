//! Opening: RFC 9293, sections 3.5, 3.10.7.1 - 3.10.7.3; RFC 4987; RFC 6528; RFC 6056.

use crate::tcp_support::trace::{PORT, Trace};
use crate::{expect, inject};
use std::net::SocketAddr;
use zerohop::{
    tcp::{Config, Error, Event, ListenOptions, Options, Read, State},
    time::Duration,
};

#[test]
fn passive_open_answers_a_syn_and_is_accepted_after_the_ack() {
    let mut t = Trace::listening();
    inject!(
        t,
        SYN,
        seq = 0,
        win = 60_000,
        mss = Some(1000),
        sack_ok = true,
        ws = Some(7),
        ts = Some((10, 0))
    );
    let a = expect!(t, SYN | ACK, seq = 0, ack = 1, len = 0, mss = Some(1460), sack_ok = true);
    assert!(a.ws.is_some());
    assert_eq!(a.ts.unwrap().1, 10);
    assert_eq!(t.tcp.accept(t.listener.unwrap()).unwrap(), None);
    inject!(t, ACK, seq = 1, ack = 1, win = 500, ts = Some((11, a.ts.unwrap().0)));
    assert_eq!(t.events(), [Event::Acceptable(t.listener.unwrap())]);
    let id = t.tcp.accept(t.listener.unwrap()).unwrap().unwrap();
    assert_eq!(t.info(id).state, State::Established);
    assert_eq!(t.info(id).send_window, 500 << 7);
    t.silent();
}

#[test]
fn active_open_sends_syn_with_all_options_and_connects() {
    let mut t = Trace::new(Config::default());
    let id = t.connect(&Options::default());
    let syn = expect!(t, SYN | ECE | CWR, seq = 0, ack = 0, mss = Some(1460), sack_ok = true);
    assert!(syn.ws.is_some() && syn.ts.is_some());
    inject!(t, SYN | ACK, seq = 0, ack = 1, win = 1000, mss = Some(1000), ws = Some(3));
    expect!(t, ACK, seq = 1, ack = 1, len = 0, ts = None);
    assert_eq!(t.events(), [Event::Connected(id), Event::Writable(id)]);
    let info = t.info(id);
    // RFC 7323, 2.2: the window of a SYN-ACK is not scaled.
    assert_eq!((info.state, info.send_window), (State::Established, 1000));
    assert!(!info.sack && !info.timestamps && !info.ecn);
}

#[test]
fn ecn_setup_syn_ack_is_no_congestion_echo() {
    let mut t = Trace::new(Config::default());
    let id = t.connect(&Options::default());
    expect!(t, SYN | ECE | CWR);
    inject!(t, SYN | ACK | ECE, seq = 0, ack = 1, win = 1000, mss = Some(1000));
    expect!(t, ACK);
    let info = t.info(id);
    assert!(info.ecn && info.cwnd >= 10_000 && info.ssthresh > 1 << 20, "{info:?}");
}

#[test]
fn simultaneous_open_reaches_established() {
    let mut t = Trace::new(Config::default());
    let id = t.connect(&Options::default());
    expect!(t, SYN | ECE | CWR, seq = 0);
    inject!(t, SYN, seq = 0, win = 60_000, mss = Some(1000));
    expect!(t, SYN | ACK, seq = 0, ack = 1);
    assert_eq!(t.info(id).state, State::SynReceived);
    inject!(t, SYN | ACK, seq = 0, ack = 1, win = 60_000, mss = Some(1000));
    assert_eq!(t.info(id).state, State::Established);
    assert!(t.events().contains(&Event::Connected(id)));
}

#[test]
fn closed_port_answers_by_the_rules_of_rfc_9293_3_10_7_1() {
    let mut t = Trace::new(Config::default());
    inject!(t, SYN, seq = 0, win = 1000);
    expect!(t, RST | ACK, ack = 1);
    inject!(t, SYN | FIN, seq = 0, win = 1000, len = 10);
    expect!(t, RST | ACK, ack = 12);
    inject!(t, ACK, seq = 5, ack = 77, win = 1000);
    expect!(t, RST, seq = 77);
    inject!(t, RST, seq = 5);
    inject!(t, RST | ACK, seq = 5, ack = 1);
    t.silent();
}

#[test]
fn listen_ignores_rst_and_resets_ack() {
    let mut t = Trace::listening();
    inject!(t, RST, seq = 5);
    t.silent();
    inject!(t, ACK, seq = 5, ack = 99);
    expect!(t, RST, seq = 99);
    inject!(t, SYN | ACK, seq = 5, ack = 99);
    expect!(t, RST, seq = 99);
    inject!(t, FIN, seq = 5);
    t.silent();
}

#[test]
fn syn_sent_refuses_a_wrong_ack_and_believes_only_a_right_reset() {
    let mut t = Trace::new(Config::default());
    let id = t.connect(&Options::default());
    expect!(t, SYN | ECE | CWR);
    inject!(t, SYN | ACK, seq = 0, ack = 100, win = 1000);
    expect!(t, RST, seq = 100);
    inject!(t, RST | ACK, seq = 0, ack = 100);
    inject!(t, RST, seq = 0);
    inject!(t, ACK, seq = 0, ack = 1);
    t.silent();
    assert_eq!(t.info(id).state, State::SynSent);
    inject!(t, RST | ACK, seq = 0, ack = 1);
    t.silent();
    assert_eq!(t.events(), [Event::Readable(id), Event::Writable(id), Event::Closed(id)]);
    assert_eq!(t.tcp.read(id, 1).unwrap_err(), Error::Refused);
    assert_eq!(t.tcp.read(id, 1).unwrap_err(), Error::Closed);
}

#[test]
fn lost_syn_ack_is_sent_again_for_a_repeated_syn_and_by_timer() {
    let mut t = Trace::listening();
    inject!(t, SYN, seq = 0, win = 1000, mss = Some(1000));
    let first = expect!(t, SYN | ACK, seq = 0, ack = 1);
    inject!(t, SYN, seq = 0, win = 1000, mss = Some(1000));
    assert_eq!(expect!(t, SYN | ACK, seq = 0, ack = 1).mss, first.mss);
    t.pass(Duration::from_millis(1100));
    expect!(t, SYN | ACK, seq = 0, ack = 1);
    t.pass(Duration::from_secs(10));
    assert!(t.net.sent.len() >= 2);
}

#[test]
fn wrong_ack_in_syn_received_is_answered_with_a_reset() {
    let mut t = Trace::listening();
    inject!(t, SYN, seq = 0, win = 1000);
    expect!(t, SYN | ACK);
    inject!(t, ACK, seq = 1, ack = 500, win = 1000);
    expect!(t, RST, seq = 500);
    inject!(t, ACK, seq = 1, ack = 1, win = 1000);
    assert!(t.tcp.accept(t.listener.unwrap()).unwrap().is_some());
}

#[test]
fn reset_in_syn_received_returns_to_listen() {
    let mut t = Trace::listening();
    inject!(t, SYN, seq = 0, win = 1000);
    expect!(t, SYN | ACK);
    inject!(t, RST, seq = 1);
    t.silent();
    assert_eq!(t.events(), []);
    t.poll();
    assert_eq!(t.tcp.connections(), 0);
}

#[test]
fn data_with_the_final_ack_and_data_in_the_syn_ack_are_delivered() {
    let mut t = Trace::listening();
    inject!(t, SYN, seq = 0, win = 1000);
    expect!(t, SYN | ACK);
    inject!(t, ACK | PSH, seq = 1, ack = 1, len = 100, win = 1000);
    let id = t.tcp.accept(t.listener.unwrap()).unwrap().unwrap();
    assert_eq!(t.read(id, 1), 100);
}

#[test]
fn syn_without_answer_times_out_after_r2() {
    let mut t = Trace::new(Config::default());
    let id = t.connect(&Options::default());
    expect!(t, SYN | ECE | CWR);
    t.pass(Duration::from_millis(1001));
    // RFC 3168, 6.1.1.1: the retransmission does without ECN.
    expect!(t, SYN, seq = 0);
    t.pass(Duration::from_secs(170));
    assert_eq!(t.info(id).state, State::SynSent);
    t.pass(Duration::from_secs(200));
    assert_eq!(t.tcp.read(id, 1).unwrap_err(), Error::TimedOut);
}

#[test]
fn initial_sequence_numbers_differ_by_tuple_and_grow_with_time() {
    let mut t = Trace::listening();
    let mut numbers = Vec::new();
    for port in [4000, 4001] {
        t.peer_port = port;
        inject!(t, SYN, seq = 0, win = 1000);
        expect!(t, SYN | ACK);
        numbers.push(t.iss);
        inject!(t, RST, seq = 1);
    }
    assert!(numbers[0].abs_diff(numbers[1]) > 1000);
    t.pass(Duration::from_secs(1));
    inject!(t, SYN, seq = 0, win = 1000);
    expect!(t, SYN | ACK);
    let step = t.iss.wrapping_sub(numbers[1]);
    assert!((200_000..300_000).contains(&step), "4 us a tick: {step}");
}

#[test]
fn ephemeral_ports_are_dynamic_ones_and_unpredictable() {
    let mut t = Trace::new(Config::default());
    let mut ports = Vec::new();
    for _ in 0..50 {
        let id = t.connect(&Options::default());
        ports.push(t.tcp.local_addr(id).unwrap().port());
    }
    assert!(ports.iter().all(|&p| p >= 49152));
    ports.sort();
    ports.dedup();
    assert_eq!(ports.len(), 50);
}

fn cookie_listener() -> Trace {
    let options = ListenOptions { backlog: 2, socket: None };
    let mut t = Trace::listening_with(Config::default(), options);
    for port in [1, 2] {
        t.peer_port = port;
        inject!(t, SYN, seq = 0, win = 1000);
        expect!(t, SYN | ACK);
    }
    t.peer_port = 3;
    t
}

#[test]
fn full_backlog_answers_with_cookies_that_carry_mss_scale_and_sack() {
    let mut t = cookie_listener();
    inject!(
        t,
        SYN,
        seq = 0,
        win = 1000,
        mss = Some(1400),
        sack_ok = true,
        ws = Some(9),
        ts = Some((5, 0))
    );
    let a = expect!(t, SYN | ACK, seq = 0, ack = 1, sack_ok = true);
    assert!(a.ws.is_some());
    assert_eq!((t.tcp.connections(), t.tcp.stats().syn_cookies_sent), (2, 1));
    inject!(t, ACK, seq = 1, ack = 1, win = 100, ts = Some((6, a.ts.unwrap().0)));
    let id = t.tcp.accept(t.listener.unwrap()).unwrap().expect("by cookie");
    let info = t.info(id);
    assert_eq!((info.mss, info.sack, info.send_window), (1360 - 12, true, 100 << 9));
    inject!(t, ACK, seq = 1, ack = 1, len = 10, win = 100, ts = Some((6, a.ts.unwrap().0)));
    assert_eq!(t.read(id, 1), 10);
    t.write(id, 50);
    expect!(t, ACK | PSH, seq = 1, ack = 11, len = 50);
}

#[test]
fn cookie_without_timestamps_carries_the_mss_alone() {
    let mut t = cookie_listener();
    inject!(t, SYN, seq = 0, win = 1000, mss = Some(1460), sack_ok = true, ws = Some(9));
    expect!(t, SYN | ACK, seq = 0, ack = 1, sack_ok = false, ws = None, ts = None);
    inject!(t, ACK, seq = 1, ack = 1, win = 100);
    let id = t.tcp.accept(t.listener.unwrap()).unwrap().expect("by cookie");
    assert_eq!(t.info(id).mss, 1460);
}

#[test]
fn forged_or_old_cookies_are_reset() {
    let mut t = cookie_listener();
    inject!(t, SYN, seq = 0, win = 1000);
    expect!(t, SYN | ACK);
    inject!(t, ACK, seq = 1, ack = 2, win = 100);
    expect!(t, RST, seq = 2);
    inject!(t, ACK, seq = 2, ack = 1, win = 100);
    expect!(t, RST, seq = 1);
    assert_eq!(t.tcp.stats().syn_cookies_invalid, 2);
    t.pass(Duration::from_secs(200));
    t.net.sent.clear();
    inject!(t, ACK, seq = 1, ack = 1, win = 100);
    expect!(t, RST, seq = 1);
}

#[test]
fn accept_queue_is_bounded_and_a_connection_waits_for_room() {
    let options = ListenOptions { backlog: 1, socket: None };
    let mut t = Trace::listening_with(Config::default(), options);
    inject!(t, SYN, seq = 0, win = 1000);
    expect!(t, SYN | ACK);
    inject!(t, ACK, seq = 1, ack = 1, win = 1000);
    t.peer_port += 1;
    inject!(t, SYN, seq = 0, win = 1000);
    t.silent();
    assert_eq!(t.tcp.stats().dropped_backlog, 1);
    t.tcp.accept(t.listener.unwrap()).unwrap().unwrap();
    inject!(t, SYN, seq = 0, win = 1000);
    expect!(t, SYN | ACK);
}

#[test]
fn second_listener_on_an_address_is_refused_and_stale_handles_are_closed() {
    let mut t = Trace::listening();
    let local = SocketAddr::new(t.net.address, PORT);
    assert_eq!(t.tcp.listen(local, ListenOptions::default()).unwrap_err(), Error::AddressInUse);
    let id = t.listener.unwrap();
    t.tcp.close_listener(id);
    assert_eq!(t.tcp.accept(id).unwrap_err(), Error::Closed);
    inject!(t, SYN, seq = 0, win = 1000);
    expect!(t, RST | ACK, ack = 1);
}

#[test]
fn closing_a_listener_resets_what_was_not_accepted() {
    let mut t = Trace::listening();
    inject!(t, SYN, seq = 0, win = 1000);
    expect!(t, SYN | ACK);
    inject!(t, ACK, seq = 1, ack = 1, win = 1000);
    t.tcp.close_listener(t.listener.unwrap());
    t.poll();
    expect!(t, RST | ACK, seq = 1, ack = 1);
    t.events();
    assert_eq!(t.tcp.connections(), 0);
}

#[test]
fn wildcard_listener_takes_any_address_and_a_specific_one_goes_first() {
    let mut t = Trace::new(Config::default());
    let any = t.tcp.listen("0.0.0.0:80".parse().unwrap(), ListenOptions::default()).unwrap();
    let own = t.tcp.listen("10.0.0.2:80".parse().unwrap(), ListenOptions::default()).unwrap();
    for (listener, close) in [(own, true), (any, false)] {
        t.peer_port += 1;
        inject!(t, SYN, seq = 0, win = 1000);
        expect!(t, SYN | ACK);
        inject!(t, ACK, seq = 1, ack = 1, win = 1000);
        let id = t.tcp.accept(listener).unwrap().unwrap();
        assert!(matches!(t.tcp.read(id, 1), Ok(Read::Empty)));
        if close {
            t.tcp.close_listener(listener);
        }
    }
}

#[test]
fn multicast_and_zero_destinations_are_refused() {
    let mut t = Trace::new(Config::default());
    for remote in ["224.0.0.1:80", "255.255.255.255:80", "0.0.0.0:80", "10.0.0.1:0"] {
        let remote = remote.parse().unwrap();
        let error = t.tcp.connect(&mut t.net, remote, None, &Options::default());
        assert_eq!(error.unwrap_err(), Error::InvalidAddress);
    }
    t.net.reachable = false;
    let remote = "10.9.9.9:80".parse().unwrap();
    let error = t.tcp.connect(&mut t.net, remote, None, &Options::default());
    assert_eq!(error.unwrap_err(), Error::Unreachable);
}
