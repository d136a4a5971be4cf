//! TCP over a simulated network: whatever happens to packets, every byte arrives once and in order.

mod tcp_support;

use tcp_support::{
    Random,
    sim::{Link, Sim},
};
use zerohop::{
    Slice,
    tcp::{Config, Congestion, ConnId, Options, Shutdown, State},
    time::Duration,
};

fn pattern(n: usize, seed: u64) -> Vec<u8> {
    let mut random = Random(seed);
    (0..n.div_ceil(8)).flat_map(|_| random.next().to_le_bytes()).take(n).collect()
}

/// Writes `data` in pieces of random sizes while the network runs, and reads at the other end.
fn transfer(sim: &mut Sim, from: (usize, ConnId), to: (usize, ConnId), data: &[u8]) {
    let mut left = Slice::from(data.to_vec());
    let mut got = Vec::new();
    let end = sim.now + Duration::from_secs(600);
    let mut closed = false;
    loop {
        while !left.is_empty() {
            let n = (sim.random.below(20_000) as usize + 1).min(left.len());
            let mut piece = left.split_to(n);
            let taken = sim.hosts[from.0].tcp.write(from.1, &mut piece).unwrap();
            if taken < n {
                let consumed = data.len() - left.len() - (n - taken);
                left = Slice::from(data[consumed..].to_vec());
                break;
            }
        }
        if left.is_empty() && !closed {
            closed = true;
            sim.hosts[from.0].tcp.shutdown(from.1, Shutdown::Write);
        }
        if sim.read(to.0, to.1, &mut got) {
            break;
        }
        assert!(
            sim.step(end),
            "stalled: {:?} {:?}",
            sim.hosts[from.0].tcp.info(from.1),
            sim.hosts[from.0].tcp.stats()
        );
    }
    assert_eq!(got.len(), data.len());
    assert!(got == data, "bytes differ");
}

#[test]
fn a_clean_network_carries_a_megabyte_both_ways() {
    let mut sim = Sim::new(1, Config::default(), Link::default());
    let (client, server) = sim.pair(&Options::default());
    let data = pattern(1 << 20, 1);
    transfer(&mut sim, (0, client), (1, server), &data);
    transfer(&mut sim, (1, server), (0, client), &data);
    sim.hosts[0].tcp.close(client);
    sim.hosts[1].tcp.close(server);
    sim.run_for(Duration::from_secs(1));
    sim.events(1);
    assert_eq!(sim.hosts[1].tcp.connections(), 0);
    sim.run_for(Duration::from_secs(61));
    sim.events(0);
    assert_eq!(sim.hosts[0].tcp.connections(), 0);
    for host in &sim.hosts {
        assert_eq!(host.tcp.stats().retransmits, 0);
        assert_eq!(host.tcp.stats().resets_out, 0);
    }
}

#[test]
fn loss_reordering_duplication_and_corruption_are_survived() {
    for seed in 0..200 {
        let mut random = Random(seed);
        let link = Link {
            delay: Duration::from_micros(random.below(20_000)),
            loss_ppm: random.below(50_000) as u32,
            duplicate_ppm: random.below(30_000) as u32,
            corrupt_ppm: random.below(30_000) as u32,
            reorder_ppm: random.below(100_000) as u32,
            reorder_by: Duration::from_micros(random.below(10_000)),
            ..Link::default()
        };
        let options = Options {
            congestion: [Congestion::NewReno, Congestion::Cubic][seed as usize % 2],
            nodelay: random.below(2) == 0,
            ..Options::default()
        };
        let mut sim = Sim::new(seed, Config::default(), link);
        let (client, server) = sim.pair(&options);
        let data = pattern(200_000, seed);
        transfer(&mut sim, (0, client), (1, server), &data);
        transfer(&mut sim, (1, server), (0, client), &data[..50_000]);
        assert_ne!(sim.hosts[0].tcp.info(client).unwrap().state, State::Established);
    }
}
