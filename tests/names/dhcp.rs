//! Leases: obtained, declined, renewed, lost; and what a service does without one.

use crate::{
    dhcp_server::{Asked, Manners, Server},
    dnsmasq::Dnsmasq,
    leased, network, process,
};
use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    process::Command,
    time::{Duration, Instant},
};
use testbed::{Guest, PATIENCE, need, taps, tool};

/// A connection to what the lease has started.
fn connect(guest: &mut Guest, service: SocketAddr) -> TcpStream {
    let stream = guest.wait_for(service).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// What the server is asked, without what is repeated, up to `last` after `first`.
fn asked(server: &Server, last: Asked, after: &[Asked]) -> Vec<Asked> {
    let mut all = Vec::new();
    while all.len() <= after.len() || all.last() != Some(&last) {
        all.push(server.next());
        all.dedup();
    }
    all
}

fn echoes(stream: &mut TcpStream) {
    stream.write_all(b"an echo").unwrap();
    let mut back = [0; 7];
    stream.read_exact(&mut back).unwrap();
    assert_eq!(&back, b"an echo");
}

#[test]
fn dnsmasq_leases_an_address_and_the_service_is_there_with_it() {
    need!(taps(), tool("dnsmasq"));
    let _network = network();
    let dnsmasq = Dnsmasq::start(&["--dhcp-range=10.0.0.50,10.0.0.60,255.255.255.0,2m"]);
    let mut guest = process("echo", &["--dhcp"]);
    let service = leased(&guest, 1);
    echoes(&mut connect(&mut guest, service));
    let log = dnsmasq.log();
    for exchanged in ["DHCPDISCOVER", "DHCPOFFER", "DHCPREQUEST", "DHCPACK"] {
        assert!(log.contains(exchanged), "{log}");
    }
    assert!(dnsmasq.leased().contains(&service.ip().to_string()));
}

#[test]
fn a_service_that_ends_gives_its_lease_back() {
    need!(taps(), tool("dnsmasq"));
    let _network = network();
    let dnsmasq = Dnsmasq::start(&["--dhcp-range=10.0.0.50,10.0.0.60,255.255.255.0,2m"]);
    let guest = process("resolve", &["--dhcp", "--", "none.test"]);
    assert!(guest.wait().unwrap().output.contains("the name does not exist"));
    dnsmasq.released();
}

#[test]
fn an_address_that_another_host_has_is_declined_and_another_taken() {
    need!(taps(), tool("dnsmasq"));
    let network = network();
    // The host answers ARP for this one on every link.
    network.ip(&["addr", "add", "10.0.0.50/32", "dev", "lo"]).unwrap();
    let range = "--dhcp-range=10.0.0.50,10.0.0.60,255.255.255.0,2m";
    let dnsmasq = Dnsmasq::start(&[range, "--dhcp-sequential-ip"]);
    let mut guest = process("echo", &["--dhcp"]);
    let service = leased(&guest, 1);
    assert_eq!(service.to_string(), "10.0.0.51:9000");
    let log = dnsmasq.log();
    assert!(log.contains("DHCPDECLINE(tap0) 10.0.0.50"), "{log}");
    assert!(guest.output().contains("10.0.0.50 is used by"), "{}", guest.output());
    echoes(&mut connect(&mut guest, service));
}

#[test]
fn a_lease_is_renewed_and_connections_live_on() {
    need!(taps());
    let network = network();
    let server = Server::start(&network, Manners { times: [1, 3, 4], extends: true });
    let mut guest = process("echo", &["--dhcp"]);
    let service = leased(&guest, 1);
    let mut stream = connect(&mut guest, service);
    let extend = Asked::Extend("10.0.0.77".parse().unwrap());
    let first = [Asked::Discover, Asked::Request, extend];
    assert_eq!(asked(&server, extend, &first[..2]), first);
    // Past the end of the first lease, and of the next.
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(9) {
        echoes(&mut stream);
        std::thread::sleep(Duration::from_millis(250));
    }
    let renewals: Vec<Asked> = server.asked.try_iter().collect();
    assert!(!renewals.is_empty());
    assert!(renewals.iter().all(|asked| *asked == extend), "{renewals:?}");
}

#[test]
fn a_lease_that_is_not_extended_ends_with_its_connections_and_a_new_one_is_found() {
    need!(taps());
    let network = network();
    let server = Server::start(&network, Manners { times: [2, 4, 6], extends: false });
    let mut guest = process("echo", &["--solo5:debug", "--dhcp"]);
    let service = leased(&guest, 1);
    let mut stream = connect(&mut guest, service);
    echoes(&mut stream);
    let output = guest.wait_for_output("our address was removed").unwrap();
    assert!(output.contains("10.0.0.77: the lease has ended"), "{output}");
    // An extension is asked for, then another lease.
    let extend = Asked::Extend("10.0.0.77".parse().unwrap());
    let before = [Asked::Discover, Asked::Request, extend];
    let all = asked(&server, Asked::Discover, &before);
    assert_eq!((&all[..3], all[3]), (&before[..], Asked::Discover));
    // Nobody answers for the old address any more.
    let again = leased(&guest, 2);
    assert_eq!(again.to_string(), "10.0.0.78:9000");
    echoes(&mut connect(&mut guest, again));
    if tool("arping").is_ok() {
        let asked = Command::new("arping").args(["-c2", "-w2", "-I", "tap0", "10.0.0.77"]).output();
        assert!(!asked.unwrap().status.success(), "it still answers for 10.0.0.77");
    }
}

#[test]
fn without_a_server_a_service_starts_after_a_while_and_says_so() {
    need!(taps());
    let _network = network();
    let mut guest = process("echo", &["--dhcp", "--ipv4=10.0.0.9/24"]);
    let started = Instant::now();
    drop(guest.wait_for("10.0.0.9:9000".parse().unwrap()).unwrap());
    assert!(
        started.elapsed() > Duration::from_secs(8),
        "the static address is for want of a lease"
    );
    let output = guest.output();
    assert!(output.contains("no DHCP server has answered; 10.0.0.9/24 is used"), "{output}");
    drop(guest);
    let guest = process("resolve", &["--dhcp", "--", "10.0.0.1"]);
    let ended = guest.wait().unwrap();
    assert!(ended.output.contains("the service starts without an address"), "{}", ended.output);
    assert!(ended.output.contains("add --dns=IP or --dhcp"), "{}", ended.output);
    assert_eq!(ended.code, Some(1));
}
