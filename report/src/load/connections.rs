//! Many connections, and short ones.

use super::{Metrics, connect, latencies};
use std::{
    io::{self, Read, Write},
    net::SocketAddr,
    time::{Duration, Instant},
};

const MESSAGE: [u8; 64] = [b'x'; 64];
/// Connections that have a message on its way at the same time.
const GROUP: usize = 50;

/// Opens `count` connections, then sends 64 bytes and takes the answer on each in turn.
pub(crate) fn many(server: SocketAddr, count: usize, time: Duration) -> io::Result<Metrics> {
    let opening = Instant::now();
    let mut streams = (0..count).map(|_| connect(server)).collect::<io::Result<Vec<_>>>()?;
    let opened = count as f64 / opening.elapsed().as_secs_f64();
    let mut nanos = Vec::new();
    let started = Instant::now();
    let mut back = [0; MESSAGE.len()];
    'time: loop {
        for group in streams.chunks_mut(GROUP) {
            let mut sent = Vec::with_capacity(GROUP);
            for stream in group.iter_mut() {
                sent.push(Instant::now());
                stream.write_all(&MESSAGE)?;
            }
            for (stream, at) in group.iter_mut().zip(sent) {
                stream.read_exact(&mut back)?;
                nanos.push(at.elapsed().as_nanos() as f64);
            }
            if started.elapsed() >= time && nanos.len() >= count {
                break 'time;
            }
        }
    }
    let mut metrics = latencies(&mut nanos, started.elapsed());
    metrics.insert("opened_per_s".into(), opened);
    Ok(metrics)
}

/// Connects, sends 64 bytes, takes the answer and closes, again and again.
pub(crate) fn short(server: SocketAddr, time: Duration) -> io::Result<Metrics> {
    let mut nanos = Vec::new();
    let mut back = [0; MESSAGE.len()];
    let started = Instant::now();
    while started.elapsed() < time {
        let at = Instant::now();
        let mut stream = connect(server)?;
        stream.write_all(&MESSAGE)?;
        stream.read_exact(&mut back)?;
        drop(stream);
        nanos.push(at.elapsed().as_nanos() as f64);
    }
    Ok(latencies(&mut nanos, started.elapsed()))
}
