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
use testbed::{Guest, Network};

/// How long anything may take before it counts as broken.
const PATIENCE: Duration = Duration::from_secs(25);

fn network() -> Network {
    let network = Network::enter().unwrap();
    network.tap("tap0", "10.0.0.1/24").unwrap();
    network
}

/// Example `name` as a process on the tap.
fn process(name: &str, args: &[&str]) -> Guest {
    let program: PathBuf = testbed::example(name).unwrap();
    Guest::process(&program, &[&["--tap=tap0"], args].concat()).unwrap()
}

/// Waits until `guest` has printed `text`; what it printed.
fn wait_for_output(guest: &Guest, text: &str) -> String {
    let started = Instant::now();
    loop {
        let output = guest.output();
        if output.contains(text) {
            return output;
        }
        assert!(started.elapsed() < PATIENCE, "no {text:?} in: {output}");
        std::thread::sleep(Duration::from_millis(5));
    }
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
