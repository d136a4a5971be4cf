//! ICMP errors and the path's MTU: RFC 5927; RFC 1191; RFC 8899; RFC 9293, section 3.9.2.2.

use crate::tcp_support::trace::{PEER_PORT, Trace};
use crate::{ack, expect};
use zerohop::{
    ip::{IcmpError, IcmpErrorKind},
    tcp::{Config, Error, Options, State},
    time::Duration,
};

impl Trace {
    fn icmp(&mut self, kind: IcmpErrorKind, seq: u32) {
        let mut transport = [0; 8];
        transport[..2].copy_from_slice(&self.port.to_be_bytes());
        transport[2..4].copy_from_slice(&PEER_PORT.to_be_bytes());
        transport[4..].copy_from_slice(&self.iss.wrapping_add(seq).to_be_bytes());
        let error = IcmpError { local: self.net.address, remote: self.peer, kind, transport };
        self.tcp.icmp_error(&mut self.net, &error);
        self.poll();
    }
}

#[test]
fn port_unreachable_ends_an_attempt_to_connect() {
    let mut t = Trace::new(Config::default());
    let id = t.connect(&Options::default());
    expect!(t, SYN | ECE | CWR);
    t.icmp(IcmpErrorKind::PortUnreachable, 0);
    assert_eq!(t.tcp.read(id, 1).unwrap_err(), Error::Unreachable);
}

#[test]
fn soft_error_is_told_when_the_attempt_times_out() {
    let mut t = Trace::new(Config::default());
    let id = t.connect(&Options::default());
    expect!(t, SYN | ECE | CWR);
    t.icmp(IcmpErrorKind::HostUnreachable, 0);
    assert_eq!(t.info(id).state, State::SynSent);
    t.pass(Duration::from_secs(400));
    assert_eq!(t.tcp.read(id, 1).unwrap_err(), Error::Unreachable);
}

#[test]
fn established_connection_survives_every_error() {
    let (mut t, id) = Trace::established();
    t.write(id, 100);
    for kind in [
        IcmpErrorKind::PortUnreachable,
        IcmpErrorKind::ProtocolUnreachable,
        IcmpErrorKind::HostUnreachable,
        IcmpErrorKind::TimeExceeded,
        IcmpErrorKind::ParameterProblem,
    ] {
        t.icmp(kind, 1);
    }
    assert_eq!(t.info(id).state, State::Established);
}

#[test]
fn error_about_a_sequence_number_not_in_flight_is_ignored() {
    let mut t = Trace::new(Config::default());
    let id = t.connect(&Options::default());
    expect!(t, SYN | ECE | CWR);
    t.icmp(IcmpErrorKind::PortUnreachable, 1);
    t.icmp(IcmpErrorKind::PortUnreachable, 0u32.wrapping_sub(1));
    assert_eq!(t.tcp.stats().icmp_ignored, 2);
    assert_eq!(t.info(id).state, State::SynSent);
}

#[test]
fn smaller_path_mtu_repacketises_what_is_in_flight() {
    let syn = crate::tcp_support::trace::Seg { mss: Some(1460), ..Trace::syn() };
    let (mut t, id) = Trace::listening().established_by(syn);
    t.write(id, 2920);
    expect!(t, ACK, seq = 1, len = 1460);
    expect!(t, ACK | PSH, seq = 1461, len = 1460);
    t.icmp(IcmpErrorKind::TooBig(1000), 1);
    expect!(t, ACK, seq = 1, len = 960);
    expect!(t, ACK, seq = 961);
    assert_eq!(t.info(id).mss, 960);
    // It was no congestion.
    assert_eq!(t.tcp.stats().recoveries, 0);
    // A larger or an absurd one changes nothing.
    t.icmp(IcmpErrorKind::TooBig(1400), 1);
    t.icmp(IcmpErrorKind::TooBig(20), 1);
    assert_eq!(t.info(id).mss, 960);
}

#[test]
fn router_that_names_no_mtu_lowers_it_by_a_plateau() {
    let syn = crate::tcp_support::trace::Seg { mss: Some(1460), ..Trace::syn() };
    let (mut t, id) = Trace::listening().established_by(syn);
    t.write(id, 2920);
    t.icmp(IcmpErrorKind::TooBig(0), 1);
    assert_eq!(t.info(id).mss, 1492 - 40);
}

#[test]
fn network_that_refuses_the_size_makes_segments_smaller() {
    let syn = crate::tcp_support::trace::Seg { mss: Some(1460), ..Trace::syn() };
    let (mut t, id) = Trace::listening().established_by(syn);
    t.net.mtu = 800;
    t.write(id, 2000);
    expect!(t, ACK, seq = 1, len = 760);
    expect!(t, ACK, seq = 761, len = 760);
}

#[test]
fn black_hole_makes_segments_smaller() {
    let syn = crate::tcp_support::trace::Seg { mss: Some(8960), win: 60_000, ..Trace::syn() };
    let mut t = Trace::listening();
    t.net.mtu = 9000;
    let (mut t, id) = t.established_by(syn);
    t.write(id, 20_000);
    t.net.sent.clear();
    t.pass(Duration::from_secs(40));
    let last = std::iter::from_fn(|| t.take_sent()).last().unwrap();
    assert_eq!((last.seq, last.len), (1, 1240));
    ack!(t, 1241);
    assert!(t.take_sent().unwrap().len <= 1240);
}
