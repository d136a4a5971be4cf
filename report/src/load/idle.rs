//! What it costs to wait.

use super::{Metrics, connect, quantile};
use std::{
    fs,
    io::{self, Read, Write},
    net::SocketAddr,
    time::{Duration, Instant},
};

/// Ticks of the clock that /proc counts processor time by (USER_HZ, 100 on every Linux of today).
const TICKS: f64 = 100.0;

/// Seconds of processor time that a process has used, its threads included.
fn used(pid: u32) -> Option<f64> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |i: usize| fields.get(i)?.parse::<f64>().ok();
    Some((ticks(11)? + ticks(12)?) / TICKS)
}

/// Cores that process `pid` keeps busy with nothing to do, and the round trip after 10 ms of it.
pub(crate) fn run(server: SocketAddr, pid: Option<u32>, time: Duration) -> io::Result<Metrics> {
    let mut metrics = Metrics::new();
    let mut stream = connect(server)?;
    let mut message = [b'x'; 64];
    stream.write_all(&message)?;
    stream.read_exact(&mut message)?;
    std::thread::sleep(Duration::from_millis(100));
    if let Some(before) = pid.and_then(used) {
        let started = Instant::now();
        std::thread::sleep(time);
        if let Some(after) = pid.and_then(used) {
            let cores = (after - before) / started.elapsed().as_secs_f64();
            metrics.insert("idle_cores".into(), cores);
        }
    }
    let mut micros = Vec::new();
    for _ in 0..40 {
        std::thread::sleep(Duration::from_millis(10));
        let at = Instant::now();
        stream.write_all(&message)?;
        stream.read_exact(&mut message)?;
        micros.push(at.elapsed().as_nanos() as f64 / 1000.0);
    }
    micros.sort_by(f64::total_cmp);
    metrics.insert("p50_us".into(), quantile(&micros, 0.5));
    metrics.insert("p99_us".into(), quantile(&micros, 0.99));
    Ok(metrics)
}
