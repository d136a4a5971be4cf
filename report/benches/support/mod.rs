//! Peers under Criterion. Each is started for its benchmark, in a thread that is also its client
//! and has network namespaces of its own, and ends with it, so that those that poll do not slow
//! the others. The tables at the end give every peer its turn, round after round, since whatever
//! the machine does meanwhile then hits all alike.

use criterion::{BenchmarkId, Criterion, Throughput};
use report::{
    load::{Until, bulk::Bulk},
    peer::{self, Peer, Programs, Running},
    results::Results,
    runner,
    serve::ECHO,
    workload::{self, Kind, Workload},
};
use std::{
    net::SocketAddr,
    path::Path,
    sync::{Arc, mpsc},
    thread::JoinHandle,
    time::Duration,
};
use testbed::{Network, turns};

/// Whom ratios are to.
const HOST: &str = "host-veth";
/// Bytes of an iteration in bulk.
const MEGABYTE: u64 = 1_000_000;

/// Short runs: what is measured takes microseconds.
pub fn criterion() -> Criterion {
    Criterion::default()
        .warm_up_time(Duration::from_millis(100))
        .measurement_time(Duration::from_millis(300))
        .sample_size(10)
        .configure_from_args()
}

/// The peers that can run here.
pub struct Lab {
    peers: Vec<&'static Peer>,
    programs: Arc<Programs>,
    _network: Network,
}

impl Lab {
    /// Builds what the peers need; says what is skipped, and why.
    pub fn open(names: &[&str]) -> Option<Lab> {
        if let Err(why) = testbed::taps() {
            println!("skipped: {why}");
            return None;
        }
        let kvm = testbed::kvm();
        let runs = |peer: &&Peer| match &kvm {
            Err(why) if peer.is_guest() => {
                println!("{}: skipped, {why}", peer.name);
                false
            }
            _ => true,
        };
        let peers: Vec<_> = names.iter().filter_map(|n| peer::named(n)).filter(runs).collect();
        let programs = Programs::build(&peers, Path::new(env!("CARGO_BIN_EXE_report")));
        let programs = Arc::new(programs.unwrap_or_else(|why| panic!("{why}")));
        let network = Network::enter_as_anyone().unwrap_or_else(|why| panic!("{why}"));
        Some(Lab { peers, programs, _network: network })
    }

    /// One benchmark a workload and peer: an iteration is a message and its answer, or 1 MB.
    pub fn bench(&self, c: &mut Criterion, group: &str, workloads: &[&str]) {
        for workload in chosen(workloads) {
            let mut group = c.benchmark_group(format!("{group}/{}", workload.name));
            group.throughput(match workload.kind {
                Kind::Bulk { .. } => Throughput::Bytes(MEGABYTE),
                _ => Throughput::Elements(1),
            });
            for peer in &self.peers {
                let mut subject = None;
                group.bench_function(BenchmarkId::from_parameter(peer.name), |b| {
                    let subject = subject.get_or_insert_with(|| self.start(peer, &workload));
                    b.iter_custom(|n| subject.run(n));
                });
            }
            group.finish();
        }
    }

    /// Prints `metric` of every workload: medians over the turns, and ratios within them.
    pub fn table(&self, metric: &str, workloads: &[&str]) {
        if !turns::whole() {
            return;
        }
        const TURNS: u32 = 5;
        let mut results = Results::default();
        let time = Duration::from_millis(100);
        let all = chosen(workloads);
        runner::turns(&mut results, &self.peers, &all, &self.programs, TURNS, time, &mut |_| ());
        println!(
            "\n{metric}: medians of {TURNS} turns (least - greatest), ratio to {HOST} in each"
        );
        for workload in all.iter().map(|w| &*w.name) {
            println!("{workload}");
            for peer in self.peers.iter().map(|p| p.name) {
                let spread = results.spread(peer, workload, metric);
                turns::line(peer, spread, results.ratio(workload, metric, peer, HOST));
            }
        }
    }

    fn start(&self, peer: &'static Peer, workload: &Workload) -> Subject {
        let (programs, workload) = (self.programs.clone(), workload.clone());
        let (ask, asked) = mpsc::channel();
        let (answer, answers) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            let running = match peer.start(&programs, workload.service()) {
                Ok(running) => running,
                Err(why) => return answer.send(Err(why)).unwrap_or(()),
            };
            let result = load(&running, workload.kind, &asked, &answer);
            if let Err(error) = result {
                let _ = answer.send(Err(format!("{error} {}", running.guest.output())));
            }
        });
        Subject { name: peer.name, ask: Some(ask), answers, thread: Some(thread) }
    }
}

fn chosen(names: &[&str]) -> Vec<Workload> {
    names.iter().filter_map(|name| workload::named(name)).collect()
}

/// What was done, and how long it took.
type Done = (u64, Duration);

fn load(
    peer: &Running,
    kind: Kind,
    asked: &mpsc::Receiver<u64>,
    answer: &mpsc::Sender<Result<Done, String>>,
) -> std::io::Result<()> {
    let mut run: Box<dyn FnMut(u64) -> std::io::Result<Done>> = match kind {
        Kind::PingPong(game) => {
            let mut player = game.open(SocketAddr::new(peer.server, ECHO))?;
            // The first datagram may wait for the server's hardware address.
            player.run(Until::Time(Duration::from_millis(50)))?;
            Box::new(move |n| player.run(Until::Count(n)))
        }
        Kind::Bulk { inward } => {
            let mut bulk = Bulk::open(peer.server, inward)?;
            // What only fills buffers is not counted.
            bulk.run(Until::Time(Duration::from_millis(50)))?;
            Box::new(move |n| {
                let (bytes, elapsed) = bulk.run(Until::Count(n * MEGABYTE))?;
                Ok((bytes, elapsed * MEGABYTE as u32))
            })
        }
        _ => return Err(std::io::ErrorKind::Unsupported.into()),
    };
    for n in asked {
        if answer.send(Ok(run(n)?)).is_err() {
            break;
        }
    }
    Ok(())
}

/// A peer under load.
struct Subject {
    name: &'static str,
    ask: Option<mpsc::Sender<u64>>,
    answers: mpsc::Receiver<Result<Done, String>>,
    thread: Option<JoinHandle<()>>,
}

impl Subject {
    /// Time of `n` iterations.
    fn run(&mut self, n: u64) -> Duration {
        if let Some(ask) = &self.ask {
            // A thread that has ended says why below.
            let _ = ask.send(n);
        }
        match self.answers.recv() {
            Ok(Ok((done, elapsed))) => elapsed.mul_f64(n as f64 / done.max(1) as f64),
            Ok(Err(why)) => panic!("{}: {why}", self.name),
            Err(_) => panic!("{}: its client ended", self.name),
        }
    }
}

impl Drop for Subject {
    fn drop(&mut self) {
        self.ask = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
