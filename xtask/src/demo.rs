//! `cargo demo`: boots the echo service on a tap of its own and talks to it.

use crate::unikernel;
use serde_json::Value;
use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    path::Path,
    time::{Duration, Instant},
};
use testbed::{Guest, Network};

const SERVICE: &str = "10.0.0.2:9000";
const TAP: &str = "tap0";
const WARM_UP: usize = 200;
const ROUNDS: usize = 2000;
const BULK: usize = 16 << 20;

/// Runs the demo.
pub(crate) fn run() -> Result<(), String> {
    let kvm = testbed::kvm();
    println!("building ...");
    let program = match &kvm {
        Ok(()) => {
            let image = unikernel::build(&["echo"])?.remove(0);
            (testbed::tender()?, Some(image))
        }
        Err(why) => {
            println!("no usable /dev/kvm ({why}): the service runs as a process on the same tap");
            (testbed::example("echo")?, None)
        }
    };
    let network = Network::enter_as_anyone()?;
    network.tap(TAP, "10.0.0.1/24")?;
    let started = Instant::now();
    let mut guest = start(&program.0, program.1.as_deref())?;
    let service: SocketAddr = SERVICE.parse().map_err(|e| format!("{e}"))?;
    let stream = guest.wait_for(service)?;
    let ready = started.elapsed();
    let result = talk(stream, service, ready);
    let stats = if program.1.is_some() { Some(guest.stats()?) } else { None };
    let ended = guest.terminate()?;
    result?;
    if let Some(stats) = stats {
        report(&stats);
    }
    println!("\nthe service said:\n{}", indent(&ended.output));
    Ok(())
}

fn start(program: &Path, image: Option<&Path>) -> Result<Guest, String> {
    match image {
        Some(image) => {
            let net = format!("--net:service={TAP}");
            Guest::boot(program, &["--mem=64", &net], image, &[])
        }
        None => Guest::process(program, &[&format!("--tap={TAP}")]),
    }
}

fn talk(mut stream: TcpStream, service: SocketAddr, ready: Duration) -> Result<(), String> {
    let failed = |what: &'static str| move |e: std::io::Error| format!("{what}: {e}");
    stream.set_nodelay(true).map_err(failed("nodelay"))?;
    stream.set_read_timeout(Some(Duration::from_secs(10))).map_err(failed("timeout"))?;
    let line = b"Hello from the host's kernel, is anybody there?";
    let mut back = vec![0; line.len()];
    stream.write_all(line).map_err(failed("send"))?;
    stream.read_exact(&mut back).map_err(failed("receive"))?;
    println!("\nsent      {}", String::from_utf8_lossy(line));
    println!("came back {}", String::from_utf8_lossy(&back));
    if back != line {
        return Err("what came back is not what was sent".into());
    }
    let mut times = Vec::with_capacity(ROUNDS);
    let mut message = [0x5a; 64];
    for round in 0..WARM_UP + ROUNDS {
        let sent = Instant::now();
        stream.write_all(&message).map_err(failed("send"))?;
        stream.read_exact(&mut message).map_err(failed("receive"))?;
        if round >= WARM_UP {
            times.push(sent.elapsed());
        }
    }
    times.sort();
    let bulk = bulk(service)?;
    let micros = |t: Duration| t.as_secs_f64() * 1e6;
    println!(
        "\n{:<34}{:>14}",
        "start to first connection",
        format!("{:.1} ms", micros(ready) / 1e3)
    );
    println!(
        "{:<34}{:>14}",
        "round trip of 64 bytes, p50",
        format!("{:.1} us", micros(times[ROUNDS / 2]))
    );
    println!(
        "{:<34}{:>14}",
        "round trip of 64 bytes, p99",
        format!("{:.1} us", micros(times[ROUNDS * 99 / 100]))
    );
    println!("{:<34}{:>14}", "16 MiB through the echo", format!("{:.2} GB/s", bulk / 1e9));
    Ok(())
}

/// Bytes a second through the echo, each way.
fn bulk(service: SocketAddr) -> Result<f64, String> {
    let failed = |e: std::io::Error| format!("bulk transfer: {e}");
    let mut stream = TcpStream::connect(service).map_err(failed)?;
    stream.set_read_timeout(Some(Duration::from_secs(20))).map_err(failed)?;
    let mut writer = stream.try_clone().map_err(failed)?;
    let started = Instant::now();
    let sender = std::thread::spawn(move || {
        let chunk: Vec<u8> = (0..=255).cycle().take(64 << 10).collect();
        (0..BULK / chunk.len()).try_for_each(|_| writer.write_all(&chunk))
    });
    let mut chunk = vec![0; 256 << 10];
    let mut got = 0;
    while got < BULK {
        let n = stream.read(&mut chunk).map_err(failed)?;
        if n == 0 || (0..n).any(|i| chunk[i] != (got + i) as u8) {
            return Err("bulk transfer: what came back is not what was sent".into());
        }
        got += n;
    }
    sender.join().map_err(|_| "the sender panicked")?.map_err(failed)?;
    Ok(BULK as f64 / started.elapsed().as_secs_f64())
}

fn report(stats: &Value) {
    let rows = [
        ("I/O mode", &stats["io_mode"]),
        ("exits", &stats["exits"]),
        ("kicks", &stats["kicks"]),
        ("frames received", &stats["rx_frames"]),
        ("frames sent", &stats["tx_frames"]),
        ("payload bytes copied in the guest", &stats["guest"]["payload_bytes_copied"]),
        ("segments sent again", &stats["guest"]["tcp_retransmits"]),
    ];
    for (name, value) in rows {
        println!("{name:<34}{:>14}", value.as_str().map_or_else(|| value.to_string(), Into::into));
    }
    println!("(copied: payloads of up to 128 bytes, which go behind their headers)");
    println!("exits by reason: {}", stats["exits_by_reason"]);
}

fn indent(text: &str) -> String {
    text.lines().map(|line| format!("  {line}\n")).collect()
}
