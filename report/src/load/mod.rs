//! The load: host sockets that measure a server.

pub mod bulk;
pub(crate) mod connections;
pub(crate) mod http;
pub(crate) mod idle;
pub mod pingpong;

use std::{
    collections::BTreeMap,
    io::{self, ErrorKind},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

/// What a workload measured, by name.
pub type Metrics = BTreeMap<String, f64>;

/// When a load has done enough.
#[derive(Clone, Copy, Debug)]
pub enum Until {
    /// After this time.
    Time(Duration),
    /// After so many messages, or bytes.
    Count(u64),
}

impl Until {
    fn reached(self, started: Instant, count: u64) -> bool {
        match self {
            Until::Time(time) => started.elapsed() >= time,
            Until::Count(goal) => count >= goal,
        }
    }
}

/// How long a call may take before the server counts as broken.
const PATIENCE: Duration = Duration::from_secs(5);

/// Socket options that every benchmark sets on both sides.
pub(crate) fn tune(stream: &TcpStream) {
    let socket = socket2::SockRef::from(stream);
    // The default here may be BBR, whose pacing hides every design.
    if let Err(e) = socket.set_tcp_congestion(b"cubic") {
        eprintln!("TCP_CONGESTION=cubic: {e}");
    }
    if let Err(e) = stream.set_nodelay(true) {
        eprintln!("TCP_NODELAY: {e}");
    }
}

/// A tuned connection to `server` that fails rather than hangs.
pub(crate) fn connect(server: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&server, PATIENCE)?;
    tune(&stream);
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// Repeats a call on a non-blocking socket until it has worked, without sleeping.
pub(crate) fn polling<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    let started = Instant::now();
    loop {
        for _ in 0..10_000 {
            match call() {
                Err(e) if e.kind() == ErrorKind::WouldBlock => std::hint::spin_loop(),
                result => return result,
            }
        }
        if started.elapsed() > PATIENCE {
            return Err(ErrorKind::TimedOut.into());
        }
    }
}

/// The value below which a share `q` of the sorted `values` lies.
pub(crate) fn quantile(values: &[f64], q: f64) -> f64 {
    let last = values.len().saturating_sub(1);
    values.get((last as f64 * q).round() as usize).copied().unwrap_or(f64::NAN)
}

/// Latency metrics in microseconds of round trips in nanoseconds, and their rate.
fn latencies(nanos: &mut [f64], elapsed: Duration) -> Metrics {
    let count = nanos.len() as f64;
    nanos.sort_by(f64::total_cmp);
    let at = |q| quantile(nanos, q) / 1000.0;
    let metric = |name: &str, value| (name.to_string(), value);
    Metrics::from([
        metric("p50_us", at(0.5)),
        metric("p99_us", at(0.99)),
        metric("p999_us", at(0.999)),
        metric("rate", count / elapsed.as_secs_f64()),
    ])
}
