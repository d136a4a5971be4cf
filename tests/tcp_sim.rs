//! TCP over a simulated network: whatever happens to packets, every byte arrives once and in order.

mod tcp_support;

use tcp_support::{
    Random,
    sim::{Link, Sim, pattern, transfer},
};
use zerohop::{
    Slice,
    frame::Offloads,
    tcp::{Config, Congestion, ConnId, Event, ListenOptions, Options, Read, State},
    time::Duration,
};

/// How many seeds a test tries: ZEROHOP_SEEDS, if it is set.
fn seeds(usual: u64) -> u64 {
    std::env::var("ZEROHOP_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(usual)
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
    for seed in 0..seeds(1000) {
        let mut random = Random(seed);
        let link = Link {
            cut_ppm: if seed % 3 == 0 { 300_000 } else { 0 },
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
        let data = pattern(if seed % 50 == 0 { 200_000 } else { 15_000 }, seed);
        transfer(&mut sim, (0, client), (1, server), &data);
        transfer(&mut sim, (1, server), (0, client), &data[..10_000]);
        assert_ne!(sim.hosts[0].tcp.info(client).unwrap().state, State::Established);
    }
}

#[test]
fn offloads_and_every_algorithm_survive_a_bad_network() {
    for seed in 0..120 {
        let mut random = Random(seed + 1000);
        let link = Link {
            delay: Duration::from_micros(500 + random.below(10_000)),
            loss_ppm: random.below(30_000) as u32,
            reorder_ppm: random.below(50_000) as u32,
            rate: [0, 12_500_000, 1_250_000][random.below(3) as usize],
            queue: 300_000,
            mark: random.below(2) == 0,
            ..Link::default()
        };
        let congestion = [Congestion::NewReno, Congestion::Cubic, Congestion::Bbr];
        let options = Options { congestion: congestion[seed as usize % 3], ..Options::default() };
        let mut sim = Sim::new(seed, Config::default(), link);
        for host in &mut sim.hosts {
            if random.below(2) == 0 {
                host.net.offloads = Offloads::TX_CSUM | Offloads::TSO4 | Offloads::TSO6;
            }
        }
        let (client, server) = sim.pair(&options);
        let data = pattern(1_000_000, seed);
        transfer(&mut sim, (0, client), (1, server), &data);
    }
}

/// Bytes a second that arrive from host 0 at host 1 within `time`, with writers that never pause.
fn bulk(sim: &mut Sim, client: ConnId, server: ConnId, time: Duration) -> f64 {
    let chunk = Slice::from(vec![0x77; 65_536]);
    let start = sim.now;
    let end = start + time;
    let mut got = 0;
    let mut more = true;
    while more {
        loop {
            let mut piece = chunk.clone();
            let taken = sim.hosts[0].tcp.write(client, &mut piece).unwrap();
            if taken < chunk.len() {
                break;
            }
        }
        while let Read::Data(slice) = sim.hosts[1].tcp.read(server, usize::MAX).unwrap() {
            got += slice.len();
        }
        more = sim.step(end);
    }
    got as f64 / time.as_secs_f64()
}

fn gigabit_100_ms() -> Link {
    Link {
        delay: Duration::from_millis(50),
        rate: 125_000_000,
        queue: 12_500_000,
        ..Link::default()
    }
}

#[test]
fn one_gigabit_at_100_ms_is_filled_to_90_percent_within_5_s() {
    for congestion in [Congestion::Cubic, Congestion::Bbr] {
        let mut sim = Sim::new(5, Config::default(), gigabit_100_ms());
        let options = Options { congestion, ..Options::default() };
        for host in &mut sim.hosts {
            host.net.offloads = Offloads::TX_CSUM | Offloads::TSO4;
        }
        let (client, server) = sim.pair(&options);
        bulk(&mut sim, client, server, Duration::from_millis(4000));
        let rate = bulk(&mut sim, client, server, Duration::from_millis(1000));
        let share = rate / 125e6;
        println!("{congestion:?}: {:.1} % of the line in the fifth second", share * 100.0);
        let info = sim.hosts[0].tcp.info(client).unwrap();
        assert!(share > 0.9, "{congestion:?}: {share} {info:?}");
    }
}

#[test]
fn the_side_that_was_connected_to_fills_a_gigabit_too() {
    for congestion in [Congestion::NewReno, Congestion::Cubic, Congestion::Bbr] {
        let link = Link {
            delay: Duration::from_millis(5),
            rate: 125_000_000,
            queue: 2_500_000,
            ..Link::default()
        };
        let mut sim = Sim::new(3, Config::default(), link);
        let options = Options { congestion, ..Options::default() };
        for host in &mut sim.hosts {
            host.net.offloads = Offloads::TX_CSUM | Offloads::TSO4;
        }
        let (client, server) = sim.pair(&options);
        sim.hosts.swap(0, 1);
        // The roles change: host 0 is now the one that was connected to.
        let (sender, receiver) = (server, client);
        for second in 0..3 {
            let rate = bulk(&mut sim, sender, receiver, Duration::from_secs(1));
            let share = rate / 125e6;
            println!("{congestion:?}: {:.1} % of the line in second {second}", share * 100.0);
            let info = sim.hosts[0].tcp.info(sender).unwrap();
            assert!(second == 0 || share > 0.9, "{congestion:?}: {share} {info:?}");
        }
    }
}

/// Bytes a second of a writer that hands over large pieces and waits to be told of room.
fn goodput(congestion: Congestion, loss_ppm: u32, seed: u64, nap: Duration) -> f64 {
    const TIME: Duration = Duration::from_secs(3);
    let link = Link {
        delay: Duration::from_millis(5),
        rate: LINE,
        queue: LINE / 50,
        loss_ppm,
        ..Link::default()
    };
    let mut sim = Sim::new(seed, Config::default(), link);
    sim.links[1].loss_ppm = 0;
    sim.nap = nap;
    sim.hosts[0].net.offloads = Offloads::TX_CSUM | Offloads::TSO4;
    let (client, server) = sim.pair(&Options { congestion, ..Options::default() });
    let piece = Slice::from(vec![0x77; 256 << 10]);
    let mut left = piece.clone();
    let end = sim.now + TIME;
    let mut got = 0;
    let (mut writable, mut more) = (true, true);
    while more {
        writable |= sim.events(0).contains(&Event::Writable(client));
        while core::mem::take(&mut writable) {
            sim.hosts[0].tcp.write(client, &mut left).unwrap();
            if left.is_empty() {
                left = piece.clone();
                writable = true;
            }
        }
        while let Read::Data(slice) = sim.hosts[1].tcp.read(server, usize::MAX).unwrap() {
            got += slice.len();
        }
        more = sim.step(end);
    }
    got as f64 / TIME.as_secs_f64()
}

/// The line's bytes a second.
const LINE: u64 = 125_000_000;

/// Reno by the book, round trip by round trip: slow start, one segment more a round, half after a
/// loss and one round to repair it.
fn textbook_reno(loss_ppm: u32, seed: u64) -> f64 {
    const ROUNDS: u32 = 300;
    const MSS: f64 = 1448.0;
    let line = LINE as f64 * 0.03 / 1500.0;
    let mut random = Random(seed);
    let (mut cwnd, mut ssthresh, mut got, mut round) = (10.0f64, line, 0.0, 0);
    while round < ROUNDS {
        let sent = cwnd as u64;
        let lost = (0..sent).filter(|_| random.ppm(loss_ppm)).count() as u64;
        got += (sent - lost) as f64;
        round += 1;
        if lost > 0 || cwnd > line {
            ssthresh = (cwnd / 2.0).max(2.0);
            cwnd = ssthresh;
            got += if round < ROUNDS { cwnd } else { 0.0 };
            round += 1;
        } else if cwnd < ssthresh {
            cwnd *= 2.0;
        } else {
            cwnd += 1.0;
        }
    }
    got * MSS / 3.0
}

fn mean(of: impl Fn(u64) -> f64) -> f64 {
    let n = seeds(30);
    (0..n).map(of).sum::<f64>() / n as f64
}

#[test]
fn loss_at_10_ms_costs_what_the_textbook_says() {
    for loss_ppm in [1000, 10_000] {
        let book = mean(|seed| textbook_reno(loss_ppm, seed));
        for congestion in [Congestion::NewReno, Congestion::Cubic] {
            // Whether ACKs come one by one or in batches; a nap makes the round trip longer.
            for (nap, least) in [(0, 0.93), (500, 0.85)] {
                let nap = Duration::from_micros(nap);
                let rate = mean(|seed| goodput(congestion, loss_ppm, seed, nap));
                let share = rate / book;
                println!(
                    "{congestion:?}, {loss_ppm} ppm, {nap:?}: {:.1} Mbit/s, {share:.2}",
                    rate * 8e-6
                );
                // CUBIC grows as fast, and gives up less.
                assert!(share > least, "{congestion:?}, {loss_ppm}, {nap:?}: {share}");
            }
        }
    }
}

#[test]
fn bbr_fills_the_line_whatever_is_lost() {
    for loss_ppm in [0, 1000, 10_000] {
        let share = goodput(Congestion::Bbr, loss_ppm, 9, Duration::ZERO) / LINE as f64;
        println!("BBR at {loss_ppm} ppm: {share:.2} of the line");
        assert!(share > 0.85, "{loss_ppm}: {share}");
    }
}

#[test]
fn a_hundred_thousand_connections_are_held_and_served() {
    let mut sim = Sim::new(1, Config::default(), Link { delay: Duration::ZERO, ..Link::default() });
    let options = ListenOptions { backlog: 200_000, ..ListenOptions::default() };
    let listener = sim.listen(1, 80, options);
    let mut pairs = Vec::new();
    for port in 0..100_000u32 {
        // More than one address, as there are not so many ports.
        let host = &mut sim.hosts[0];
        let local: std::net::IpAddr = [10, 0, 1, (port / 50_000) as u8].into();
        host.net.address = local;
        let remote = (tcp_support::sim::address(1), 80).into();
        let local = Some((local, 10_000 + (port % 50_000) as u16).into());
        let client = host.tcp.connect(&mut host.net, remote, local, &Options::default()).unwrap();
        if port % 1000 == 999 {
            sim.run_for(Duration::from_millis(1));
            while let Some(server) = sim.hosts[1].tcp.accept(listener).unwrap() {
                pairs.push(server);
            }
        }
        assert!(sim.hosts[0].tcp.info(client).is_some());
        sim.hosts[0].tcp.take_event();
    }
    assert_eq!(pairs.len(), 100_000);
    assert_eq!(sim.hosts[1].tcp.connections(), 100_000);
    // Each of them still works.
    for (i, &server) in pairs.iter().enumerate().step_by(997) {
        let mut data = Slice::from_static(b"hello");
        assert_eq!(sim.hosts[1].tcp.write(server, &mut data), Ok(5), "{i}");
    }
    sim.run_for(Duration::from_millis(100));
    assert_eq!(sim.hosts[0].tcp.stats().bytes_in, 5 * 101);
}
