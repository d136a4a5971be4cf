//! Connecting by name.

use crate::{dnsmasq::Dnsmasq, network, process};
use std::{
    io::{Read, Write},
    net::TcpListener,
    time::{Duration, Instant},
};
use testbed::{Ended, PATIENCE, need, taps, tool};

/// How long `/slow` takes.
const SLOW: Duration = Duration::from_secs(4);

/// A web server at port 8000 of `address` with one page, sent in chunks, after a while at `/slow`.
pub fn web(address: &str) {
    let listener = TcpListener::bind((address, 8000)).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut request = Vec::new();
            let mut byte = [0];
            while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|n| n > 0) {
                request.push(byte[0]);
            }
            if request.starts_with(b"GET /slow ") {
                std::thread::sleep(SLOW);
            }
            let answer = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
                          6\r\nhello \r\n5\r\nworld\r\n0\r\n\r\n";
            let _ = stream.write_all(answer.as_bytes());
        }
    });
}

fn fetch(args: &[&str]) -> (Ended, Duration) {
    testbed::example("fetch").unwrap();
    let started = Instant::now();
    let guest = process("fetch", &[&["--ipv4=10.0.0.2/24", "--dns=10.0.0.1"], args].concat());
    (guest.wait().unwrap(), started.elapsed())
}

#[test]
fn a_page_is_fetched_by_name() {
    need!(taps(), tool("dnsmasq"));
    let _network = network();
    web("10.0.0.1");
    let _dnsmasq = Dnsmasq::start(&["--host-record=web.test,10.0.0.1"]);
    let (ended, _) = fetch(&["--", "http://web.test:8000/page", "http://10.0.0.1:8000/"]);
    assert_eq!(ended.code, Some(0), "{}", ended.output);
    assert_eq!(ended.output.matches("200, 11 bytes").count(), 2, "{}", ended.output);
    assert_eq!(ended.output.matches("hello world").count(), 2, "{}", ended.output);
}

#[test]
fn a_dead_ipv6_address_costs_a_quarter_of_a_second() {
    need!(taps(), tool("dnsmasq"));
    let network = network();
    web("10.0.0.1");
    // The host says that 2001:db8::9, which comes first, is behind it, and drops what is sent there.
    std::fs::write("/proc/sys/net/ipv6/conf/all/forwarding", "1").unwrap();
    std::fs::write("/proc/sys/net/ipv6/conf/tap0/proxy_ndp", "1").unwrap();
    network.ip(&["-6", "neigh", "add", "proxy", "2001:db8::9", "dev", "tap0"]).unwrap();
    network.ip(&["-6", "route", "add", "blackhole", "2001:db8::9/128"]).unwrap();
    let _dnsmasq = Dnsmasq::start(&["--host-record=web.test,10.0.0.1,2001:db8::9"]);
    // An address of ours is not a source before nobody has claimed it for up to two seconds (RFC 4862).
    let pages = ["http://10.0.0.1:8000/slow", "http://web.test:8000/"];
    let (ended, took) = fetch(&[&["--ipv6=2001:db8::2/64", "--"], &pages[..]].concat());
    assert!(ended.output.contains("hello world"), "{}", ended.output);
    assert!(ended.output.contains("connected to 10.0.0.1:8000"), "{}", ended.output);
    // TCP itself would have tried for minutes.
    assert!(took - SLOW > Duration::from_millis(250) && took < PATIENCE, "{took:?}");
}

#[test]
fn a_refused_address_gives_way_at_once() {
    need!(taps(), tool("dnsmasq"));
    let network = network();
    for n in 2..6 {
        network.ip(&["addr", "add", &format!("10.0.0.1{n}/24"), "dev", "tap0"]).unwrap();
    }
    web("10.0.0.14");
    let records = ["--host-record=web.test,10.0.0.12", "--host-record=web.test,10.0.0.13"];
    let others = ["--host-record=web.test,10.0.0.14", "--host-record=web.test,10.0.0.15"];
    let _dnsmasq = Dnsmasq::start(&[records, others].concat());
    let (ended, _) = fetch(&["--", "http://web.test:8000/"]);
    assert!(ended.output.contains("connected to 10.0.0.14:8000"), "{}", ended.output);
}

#[test]
fn failures_say_what_is_wrong() {
    need!(taps(), tool("dnsmasq"));
    let _network = network();
    let _dnsmasq = Dnsmasq::start(&["--host-record=web.test,10.0.0.1"]);
    for (url, problem) in [
        ("http://none.test/", "the name does not exist"),
        ("http://web.test:8000/", "connection refused"),
        ("https://web.test/", "expected a URL as http://host/path"),
        ("http://two..dots/", "not a domain name"),
    ] {
        let (ended, _) = fetch(&["--", url]);
        assert!(ended.output.contains(problem), "{}", ended.output);
        assert_eq!(ended.code, Some(1));
    }
}
