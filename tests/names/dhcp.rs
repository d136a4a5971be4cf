//! Leases: obtained, declined, renewed, lost; and what a service does without one.

use crate::{
    PATIENCE,
    dhcp_server::{Asked, Manners, Server},
    dnsmasq::Dnsmasq,
    leased, network, process, wait_for_output,
};
use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    process::Command,
    time::{Duration, Instant},
};
use testbed::{need, taps, tool};

fn connect(service: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect_timeout(&service, Duration::from_secs(2)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    stream
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
    let guest = process("echo", &["--dhcp"]);
    let service = leased(&guest, 1);
    // `main` is started by the lease; nothing is waited for.
    std::thread::sleep(Duration::from_millis(20));
    echoes(&mut connect(service));
    let log = dnsmasq.log();
    for exchanged in ["DHCPDISCOVER", "DHCPOFFER", "DHCPREQUEST", "DHCPACK"] {
        assert!(log.contains(exchanged), "{log}");
    }
    assert!(dnsmasq.leased().contains(&service.ip().to_string()));
}

#[test]
fn an_address_that_another_host_has_is_declined_and_another_taken() {
    need!(taps(), tool("dnsmasq"));
    let network = network();
    // The host answers ARP for this one on every link.
    network.ip(&["addr", "add", "10.0.0.50/32", "dev", "lo"]).unwrap();
    let range = "--dhcp-range=10.0.0.50,10.0.0.60,255.255.255.0,2m";
    let dnsmasq = Dnsmasq::start(&[range, "--dhcp-sequential-ip"]);
    let guest = process("echo", &["--dhcp"]);
    let service = leased(&guest, 1);
    assert_eq!(service.to_string(), "10.0.0.51:9000");
    let log = dnsmasq.log();
    assert!(log.contains("DHCPDECLINE(tap0) 10.0.0.50"), "{log}");
    assert!(guest.output().contains("10.0.0.50 is used by"), "{}", guest.output());
    std::thread::sleep(Duration::from_millis(20));
    echoes(&mut connect(service));
}

#[test]
fn a_lease_is_renewed_and_connections_live_on() {
    need!(taps());
    let network = network();
    let server = Server::start(&network, Manners { times: [1, 3, 4], extends: true });
    let guest = process("echo", &["--dhcp"]);
    let service = leased(&guest, 1);
    std::thread::sleep(Duration::from_millis(20));
    let mut stream = connect(service);
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(7) {
        echoes(&mut stream);
        std::thread::sleep(Duration::from_millis(250));
    }
    assert_eq!([server.next(), server.next()], [Asked::Discover, Asked::Request]);
    let address = "10.0.0.77".parse().unwrap();
    let renewals: Vec<Asked> = server.asked.try_iter().collect();
    assert!(renewals.len() >= 5, "{renewals:?}");
    assert!(renewals.iter().all(|asked| *asked == Asked::Extend(address)), "{renewals:?}");
}

#[test]
fn a_lease_that_is_not_extended_ends_with_its_connections_and_a_new_one_is_found() {
    need!(taps());
    let network = network();
    let server = Server::start(&network, Manners { times: [1, 2, 3], extends: false });
    let guest = process("echo", &["--solo5:debug", "--dhcp"]);
    let service = leased(&guest, 1);
    std::thread::sleep(Duration::from_millis(20));
    let mut stream = connect(service);
    echoes(&mut stream);
    let output = wait_for_output(&guest, "our address was removed");
    assert!(output.contains("10.0.0.77: the lease has ended"), "{output}");
    // T1 by unicast, T2 by broadcast, then anew.
    let address = "10.0.0.77".parse().unwrap();
    let extend = Asked::Extend(address);
    let asked: Vec<Asked> = (0..5).map(|_| server.next()).collect();
    assert_eq!(asked[..2], [Asked::Discover, Asked::Request]);
    assert_eq!(asked[2..4], [extend, extend]);
    assert_eq!(asked[4], Asked::Discover);
    // Nobody answers for the old address any more.
    let again = leased(&guest, 2);
    assert_eq!(again.to_string(), "10.0.0.78:9000");
    std::thread::sleep(Duration::from_millis(20));
    echoes(&mut connect(again));
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
    assert!(started.elapsed() < PATIENCE);
    let output = guest.output();
    assert!(output.contains("no DHCP server has answered; 10.0.0.9/24 is used"), "{output}");
    drop(guest);
    let guest = process("resolve", &["--dhcp", "--", "10.0.0.1"]);
    let ended = guest.wait().unwrap();
    assert!(ended.output.contains("the service starts without an address"), "{}", ended.output);
    assert!(ended.output.contains("add --dns=IP or --dhcp"), "{}", ended.output);
    assert_eq!(ended.code, Some(1));
}
