//! What an idle connection costs in memory: its state, its share of the tables, and what its queues
//! keep, counted by the allocator.

mod tcp_support;

use std::time::Duration;
use tcp_support::sim::{Link, Sim, address};
use testbed::{Allocations, Counting};
use zerohop::{
    Slice,
    tcp::{Config, ListenOptions, Options, Read},
};

/// Connections, and how many bytes each end of one may take.
const CONNECTIONS: usize = 100_000;
const MOST: usize = 1024;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn an_idle_established_connection_takes_a_kibibyte_at_most() {
    let mut sim = Sim::new(1, Config::default(), Link { delay: Duration::ZERO, ..Link::default() });
    let options = ListenOptions { backlog: 2 * CONNECTIONS, ..ListenOptions::default() };
    let listener = sim.listen(1, 80, options);
    let mut ends = Vec::with_capacity(CONNECTIONS);
    let before = Allocations::so_far();
    for port in 0..CONNECTIONS {
        // More than one address, as there are not so many ports.
        let host = &mut sim.hosts[0];
        let local: std::net::IpAddr = [10, 0, 1, (port / 50_000) as u8].into();
        host.net.address = local;
        let local = Some((local, 10_000 + (port % 50_000) as u16).into());
        let remote = (address(1), 80).into();
        let client = host.tcp.connect(&mut host.net, remote, local, &Options::default()).unwrap();
        sim.run_for(Duration::from_micros(100));
        let server = sim.hosts[1].tcp.accept(listener).unwrap().expect("a connection");
        ends.push((client, server));
    }
    // Every queue of each was in use.
    for &(client, server) in &ends {
        for (from, out, to, into) in [(0, client, 1, server), (1, server, 0, client)] {
            let mut data = Slice::from_static(b"hello");
            assert_eq!(sim.hosts[from].tcp.write(out, &mut data), Ok(5));
            sim.run_for(Duration::from_micros(100));
            let read = sim.hosts[to].tcp.read(into, 100);
            assert!(matches!(read, Ok(Read::Data(data)) if *data == b"hello"[..]));
            for host in &mut sim.hosts {
                while host.tcp.take_event().is_some() {}
            }
        }
    }
    sim.run_for(Duration::from_secs(3));
    let each = before.since().bytes as usize / (2 * CONNECTIONS);
    println!("{each} bytes for each end of an idle connection");
    assert!(each <= MOST, "{each} bytes");
}
