//! How long a start takes, from the process's on: until the guest's first instruction (from the
//! tender's `main` on, by its own clock), until its first ARP packet is on the tap, until it has
//! answered a SYN; and how long a guest lives that only prints its help. The echo service under
//! our tender, with rings and with hypercalls, and as a process.
//!
//! `SOLO5_HVT=FILE` puts Solo5's own tender beside them.

use criterion::{BenchmarkId, Criterion, SamplingMode};
use socket2::{Domain, Protocol, Socket, Type};
use std::{
    io::Read,
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};
use testbed::{Guest, Network, turns};

const TAP: &str = "tap0";
const NET: &str = "--net:service=tap0";
const SERVICE: ([u8; 4], u16) = ([10, 0, 0, 2], 9000);
const PATIENCE: Duration = Duration::from_secs(10);
/// Ethernet's type of ARP.
const ARP: u16 = 0x0806;

/// What is waited for.
#[derive(Clone, Copy, PartialEq)]
enum Event {
    Entry,
    Arp,
    Syn,
    Help,
}

const EVENTS: [(Event, &str); 4] = [
    (Event::Entry, "guest_entry"),
    (Event::Arp, "first_arp"),
    (Event::Syn, "first_answered_syn"),
    (Event::Help, "help_to_the_end"),
];

/// A way to run the echo service.
struct Starter {
    name: &'static str,
    program: PathBuf,
    options: Vec<&'static str>,
    /// None for a process.
    image: Option<PathBuf>,
    /// It says when its guest started.
    counts: bool,
}

impl Starter {
    /// All arguments, with those of the service.
    fn line<'a>(&'a self, args: &[&'a str]) -> Result<Vec<&'a str>, String> {
        let mut line = self.options.clone();
        if let Some(image) = &self.image {
            line.extend(["--", image.to_str().ok_or("the image's path is not UTF-8")?]);
        }
        line.extend(args);
        Ok(line)
    }

    /// Starts it and kills it; the time until `event`.
    fn time(&self, network: &Network, event: Event) -> Result<Duration, String> {
        if event == Event::Help {
            return self.help();
        }
        // Another guest with another hardware address was there a moment ago.
        network.ip(&["neigh", "flush", "dev", TAP])?;
        let frames = arp_packets().map_err(|e| format!("a packet socket: {e}"))?;
        let started = Instant::now();
        let guest = match &self.image {
            Some(image) if event == Event::Entry => {
                Guest::boot(&self.program, &self.options, image, &[])?
            }
            _ => Guest::process(&self.program, &self.line(&[])?)?,
        };
        let failed = |e: std::io::Error| format!("{e}; it said: {}", guest.output());
        (&frames).read(&mut [0; 64]).map_err(failed)?;
        if event == Event::Syn {
            connect().map_err(failed)?;
        }
        let elapsed = started.elapsed();
        if event == Event::Entry {
            let stats = guest.stats()?;
            let micros = stats["boot_us"].as_u64().ok_or("no boot_us in the statistics")?;
            return Ok(Duration::from_micros(micros));
        }
        Ok(elapsed)
    }

    /// The whole life of one that prints its help.
    fn help(&self) -> Result<Duration, String> {
        let started = Instant::now();
        let output = Command::new(&self.program).args(self.line(&["--help"])?).output();
        let (elapsed, output) = (started.elapsed(), output.map_err(|e| e.to_string())?);
        if output.status.success() {
            Ok(elapsed)
        } else {
            Err(format!("{}: {output:?}", self.name))
        }
    }
}

/// Sees every ARP packet from now on.
fn arp_packets() -> std::io::Result<Socket> {
    let protocol = Protocol::from(i32::from(ARP.to_be()));
    let socket = Socket::new(Domain::PACKET, Type::RAW, Some(protocol))?;
    socket.set_read_timeout(Some(PATIENCE))?;
    Ok(socket)
}

/// Sends SYNs until one is answered: a kernel would wait for a second before its second.
fn connect() -> std::io::Result<TcpStream> {
    let started = Instant::now();
    loop {
        let tried =
            TcpStream::connect_timeout(&SocketAddr::from(SERVICE), Duration::from_millis(5));
        if tried.is_ok() || started.elapsed() > PATIENCE {
            return tried;
        }
    }
}

/// The ways that there are here; says what is skipped, and why.
fn starters() -> Result<Vec<Starter>, String> {
    let process = Starter {
        name: "process",
        program: testbed::example("echo")?,
        options: vec!["--tap=tap0"],
        image: None,
        counts: false,
    };
    if let Err(why) = testbed::kvm() {
        println!("guests: skipped, {why}");
        return Ok(vec![process]);
    }
    let image = testbed::image("echo")?;
    let guest = |name, program: &Path, options: &[&'static str], counts| Starter {
        name,
        program: program.into(),
        options: [&["--mem=16", NET], options].concat(),
        image: Some(image.clone()),
        counts,
    };
    let tender = testbed::tender()?;
    let mut all = vec![
        guest("rings", &tender, &["--io=shmring"], true),
        guest("hypercall", &tender, &["--io=hypercall"], true),
        process,
    ];
    match std::env::var_os("SOLO5_HVT") {
        Some(file) => all.push(guest("solo5-hvt", Path::new(&file), &[], false)),
        None => println!("solo5-hvt: skipped, SOLO5_HVT does not name it"),
    }
    Ok(all)
}

fn bench(c: &mut Criterion, network: &Network, starters: &[Starter]) {
    for (event, name) in EVENTS {
        let mut group = c.benchmark_group(format!("boot/{name}"));
        group.sampling_mode(SamplingMode::Flat);
        for starter in starters.iter().filter(|s| s.counts || event != Event::Entry) {
            let time = || starter.time(network, event).unwrap_or_else(|why| panic!("{why}"));
            group.bench_function(BenchmarkId::from_parameter(starter.name), |b| {
                b.iter_custom(|n| (0..n).map(|_| time()).sum());
            });
        }
        group.finish();
    }
}

fn table(network: &Network, starters: &[Starter]) {
    let rows = EVENTS.map(|(event, name)| {
        let known = starters.iter().filter(|s| s.counts || event != Event::Entry);
        let figure = |starter| Box::new(move || millis(starter, network, event));
        (name.into(), known.map(|s| (s.name, figure(s) as _)).collect())
    });
    turns::table("Milliseconds", rows);
}

fn millis(starter: &Starter, network: &Network, event: Event) -> f64 {
    starter.time(network, event).unwrap_or_else(|why| panic!("{why}")).as_secs_f64() * 1e3
}

fn run() -> Result<(), String> {
    let starters = starters()?;
    let network = Network::enter_as_anyone()?;
    network.tap(TAP, "10.0.0.1/24")?;
    let mut c = Criterion::default()
        .warm_up_time(Duration::from_millis(50))
        .measurement_time(Duration::from_millis(500))
        .sample_size(10)
        .configure_from_args();
    bench(&mut c, &network, &starters);
    c.final_summary();
    if turns::whole() {
        table(&network, &starters);
    }
    Ok(())
}

fn main() {
    if let Err(why) = testbed::taps() {
        return println!("skipped: {why}");
    }
    if let Err(why) = run() {
        eprintln!("{why}");
        std::process::exit(1);
    }
}
