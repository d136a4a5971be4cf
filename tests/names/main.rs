//! DHCP, DNS and connecting by name, with real servers on the other side of a tap.

mod connect;
mod dhcp;
mod dhcp_server;
mod dns;
mod dns_server;
mod dnsmasq;
mod kvm;

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    time::{Duration, Instant},
};
use testbed::{Guest, Network, PATIENCE};

fn network() -> Network {
    Network::with_tap().unwrap()
}

/// Example `name` as a process on the tap.
fn process(name: &str, args: &[&str]) -> Guest {
    let program: PathBuf = testbed::example(name).unwrap();
    Guest::process(&program, &[&["--tap=tap0"], args].concat()).unwrap()
}

/// The addresses that `output` tells of as leased, in order.
fn leases(output: &str) -> Vec<IpAddr> {
    let leased = output.lines().filter_map(|line| line.split_once(": leased by"));
    let cidr = leased.filter_map(|(before, _)| before.rsplit(' ').next()?.split_once('/'));
    cidr.map(|(address, _)| address.parse().unwrap()).collect()
}

/// Waits for the `n`th lease; where echo serves then.
fn leased(guest: &Guest, n: usize) -> SocketAddr {
    let started = Instant::now();
    loop {
        let output = guest.output();
        if let Some(address) = leases(&output).get(n - 1) {
            return SocketAddr::new(*address, 9000);
        }
        assert!(started.elapsed() < PATIENCE, "no lease {n} in: {output}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
