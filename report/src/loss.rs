//! `report loss`: goodput over a path that loses frames, ours and Linux's through the same relay.

use serde::{Deserialize, Serialize};
use socket2::SockRef;
use std::{
    collections::BTreeMap,
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::PathBuf,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};
use testbed::{Guest, Impairment, Network, Relay, turns::median};

/// The path, and what is sent through it.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Options {
    /// Lost frames in percent, separated by commas
    #[arg(long, value_delimiter = ',', default_values_t = [0.0, 0.1, 1.0])]
    percent: Vec<f64>,
    /// Round-trip time in milliseconds
    #[arg(long, default_value_t = 10)]
    rtt: u64,
    /// The line's Mbit/s
    #[arg(long, default_value_t = 1000)]
    rate: u64,
    /// Seconds of each transfer
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// Rounds in which every sender has its turn
    #[arg(long, default_value_t = 3)]
    rounds: u64,
    /// Only these senders, separated by commas
    #[arg(long, value_delimiter = ',')]
    senders: Vec<String>,
    /// Keep the samples of the last run and add to them
    #[arg(long)]
    append: bool,
}

/// Whose sender, and its algorithm.
const SENDERS: [(&str, Stack, &str); 6] = [
    ("zerohop-cubic", Stack::Zerohop, "cubic"),
    ("linux-cubic", Stack::Linux, "cubic"),
    ("zerohop-reno", Stack::Zerohop, "reno"),
    ("linux-reno", Stack::Linux, "reno"),
    ("zerohop-bbr", Stack::Zerohop, "bbr"),
    ("linux-bbr", Stack::Linux, "bbr"),
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stack {
    Zerohop,
    Linux,
}

/// What must hold at every loss: ours, the peer, the share of its goodput.
const TARGETS: [(&str, &str, f64); 3] = [
    ("zerohop-cubic", "linux-reno", 1.0),
    ("zerohop-reno", "linux-reno", 1.0),
    ("zerohop-bbr", "linux-bbr", 0.8),
];

#[derive(Clone, Debug, Deserialize, Serialize)]
struct Sample {
    sender: String,
    percent: f64,
    round: u64,
    mbit_per_s: f64,
}

const PORT: u16 = 5002;
const NEAR: &str = "10.0.0.1/24";
const FAR: &str = "10.0.0.2/24";
const SERVER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2)), PORT);

/// Measures and prints the table.
///
/// # Errors
/// What is missing here.
pub(crate) fn run(options: &Options) -> Result<(), String> {
    let known: Vec<_> = SENDERS.iter().map(|s| s.0).collect();
    if let Some(unknown) = options.senders.iter().find(|s| !known.contains(&s.as_str())) {
        return Err(format!("no sender `{unknown}`; there are {}", known.join(", ")));
    }
    println!("building ...");
    let program = testbed::example("bulk")?;
    let _network = Network::enter_as_anyone()?;
    testbed::taps()?;
    let mut samples = if options.append { read()? } else { Vec::new() };
    let first = samples.iter().map(|s| s.round + 1).max().unwrap_or(0);
    for round in first..first + options.rounds {
        for &percent in &options.percent {
            for (sender, stack, algorithm) in SENDERS {
                if !options.senders.is_empty() && !options.senders.iter().any(|s| s == sender) {
                    continue;
                }
                let transfer = Transfer { options, program: &program, stack, algorithm };
                let rate = transfer.run(percent, round)?;
                println!("{sender} at {percent} %: {rate:.1} Mbit/s");
                let sender = sender.into();
                samples.push(Sample { sender, percent, round, mbit_per_s: rate });
            }
        }
    }
    write(&samples)?;
    print!("{}", table(&samples));
    Ok(())
}

fn file() -> PathBuf {
    testbed::root().join("target/bench-report/loss.json")
}

fn read() -> Result<Vec<Sample>, String> {
    let failed = |e: &dyn std::fmt::Display| format!("{}: {e}", file().display());
    let text = std::fs::read_to_string(file()).map_err(|e| failed(&e))?;
    serde_json::from_str(&text).map_err(|e| failed(&e))
}

fn write(samples: &[Sample]) -> Result<(), String> {
    let failed = |e: &dyn std::fmt::Display| format!("{}: {e}", file().display());
    let json = serde_json::to_string_pretty(samples).map_err(|e| failed(&e))?;
    if let Some(folder) = file().parent() {
        std::fs::create_dir_all(folder).map_err(|e| failed(&e))?;
    }
    std::fs::write(file(), json).map_err(|e| failed(&e))
}

/// Medians, and whether the targets are met.
fn table(samples: &[Sample]) -> String {
    let mut by_loss: BTreeMap<u64, BTreeMap<&str, Vec<f64>>> = BTreeMap::new();
    for sample in samples {
        let ppm = (sample.percent * 10_000.0).round() as u64;
        let of_loss = by_loss.entry(ppm).or_default();
        of_loss.entry(&sample.sender).or_default().push(sample.mbit_per_s);
    }
    let mut text = String::from("| loss, % |");
    SENDERS.iter().for_each(|(sender, ..)| text += &format!(" {sender} |"));
    TARGETS.iter().for_each(|(ours, peer, _)| text += &format!(" {ours} / {peer} |"));
    text += &format!("\n|{}\n", "---|".repeat(1 + SENDERS.len() + TARGETS.len()));
    for (ppm, senders) in by_loss {
        let of = |name: &str| senders.get(name).and_then(|rates| median(rates.clone()));
        let shown = |rate: Option<f64>| rate.map_or("-".into(), |rate| format!("{rate:.1}"));
        text += &format!("| {} |", ppm as f64 / 10_000.0);
        SENDERS.iter().for_each(|(sender, ..)| text += &format!(" {} |", shown(of(sender))));
        for (ours, peer, least) in TARGETS {
            text += &match (of(ours), of(peer)) {
                (Some(a), Some(b)) => {
                    let verdict = if a / b >= least { "met" } else { "missed" };
                    format!(" {:.2}, {verdict} |", a / b)
                }
                _ => " - |".into(),
            };
        }
        text += "\n";
    }
    text
}

/// One transfer over a fresh path.
struct Transfer<'a> {
    options: &'a Options,
    program: &'a std::path::Path,
    stack: Stack,
    algorithm: &'static str,
}

impl Transfer<'_> {
    /// Mbit/s that arrive; the namespaces end with the threads.
    fn run(&self, percent: f64, round: u64) -> Result<f64, String> {
        thread::scope(|scope| {
            let (tell, server) = mpsc::channel();
            let (over, wait) = mpsc::channel::<()>();
            let serving = scope.spawn(move || self.serve(&tell, &wait));
            let client = scope.spawn(move || {
                let network = Network::enter()?;
                network.tap("relay0", NEAR)?;
                let far = server.recv().map_err(|_| String::from("no server"))?;
                let path = self.path(percent);
                let quiet = Impairment { loss_ppm: 0, ..path };
                let near = network.namespace()?;
                let relay = Relay::start((near, "relay0"), (far, "relay0"), [quiet, path], round)?;
                let rate = receive(Duration::from_secs_f64(self.options.seconds));
                drop(over);
                drop(relay);
                rate
            });
            let panicked = |_| String::from("a thread panicked");
            let rate = client.join().map_err(panicked)?;
            serving.join().map_err(panicked)??;
            rate
        })
    }

    fn path(&self, percent: f64) -> Impairment {
        let delay = Duration::from_micros(self.options.rtt * 500);
        let rate = self.options.rate * 125_000;
        // Two bandwidth-delay products.
        let queue = (rate * self.options.rtt / 500).max(100_000);
        Impairment { delay, rate, queue, loss_ppm: (percent * 10_000.0).round() as u32 }
    }

    /// Sends without end from a namespace of its own until `over` says nothing more.
    fn serve(
        &self,
        tell: &mpsc::Sender<std::fs::File>,
        over: &mpsc::Receiver<()>,
    ) -> Result<(), String> {
        let network = Network::enter()?;
        let namespace = network.namespace()?;
        let tell = || tell.send(namespace).map_err(|_| String::from("no client"));
        match self.stack {
            Stack::Linux => {
                network.tap("relay0", FAR)?;
                let listener = TcpListener::bind(SERVER).map_err(|e| e.to_string())?;
                tell()?;
                let (mut stream, _) = listener.accept().map_err(|e| e.to_string())?;
                SockRef::from(&stream)
                    .set_tcp_congestion(self.algorithm.as_bytes())
                    .map_err(|e| format!("TCP_CONGESTION={}: {e}", self.algorithm))?;
                stream
                    .set_write_timeout(Some(Duration::from_secs(5)))
                    .map_err(|e| e.to_string())?;
                let piece = vec![b'z'; 256 << 10];
                while stream.write_all(&piece).is_ok() {}
                Ok(())
            }
            Stack::Zerohop => {
                network.bare_tap("tap0")?;
                network.bare_tap("relay0")?;
                network.join("bridge0", &["tap0", "relay0"])?;
                let congestion = format!("--congestion={}", self.algorithm);
                let _guest = Guest::process(self.program, &["--tap=tap0", &congestion])?;
                tell()?;
                // Until the client has dropped the other end.
                let _ = over.recv();
                Ok(())
            }
        }
    }
}

/// Reads for some time what the server sends, and how fast it comes in Mbit/s.
fn receive(time: Duration) -> Result<f64, String> {
    let failed = |e: std::io::Error| format!("{SERVER}: {e}");
    let started = Instant::now();
    let mut stream = loop {
        match TcpStream::connect_timeout(&SERVER, Duration::from_secs(2)) {
            Ok(stream) => break stream,
            Err(e) if started.elapsed() > Duration::from_secs(10) => return Err(failed(e)),
            Err(_) => thread::sleep(Duration::from_millis(10)),
        }
    };
    stream.set_read_timeout(Some(Duration::from_secs(5))).map_err(failed)?;
    stream.write_all(b"\n").map_err(failed)?;
    let mut buffer = vec![0; 1 << 20];
    let mut bytes = stream.read(&mut buffer).map_err(failed)? as u64;
    let started = Instant::now();
    while started.elapsed() < time {
        match stream.read(&mut buffer).map_err(failed)? {
            0 => return Err("the server closed".into()),
            n => bytes += n as u64,
        }
    }
    Ok(bytes as f64 * 8e-6 / started.elapsed().as_secs_f64())
}
