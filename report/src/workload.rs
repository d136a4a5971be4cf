//! The workloads: what is asked of each peer.

use crate::{
    load::{Metrics, bulk, connections, idle, pingpong::PingPong},
    peer::Running,
    serve::ECHO,
};
use serde_json::Value;
use std::{net::SocketAddr, time::Duration};

/// Connections of the workload with many.
const MANY: usize = 1000;

#[derive(Clone, Copy)]
enum Kind {
    PingPong(PingPong),
    Bulk { inward: bool },
    Many,
    Short,
    Idle,
}

/// Something to measure.
#[derive(Clone)]
pub(crate) struct Workload {
    pub(crate) name: String,
    kind: Kind,
}

/// All workloads, in order.
pub(crate) fn all() -> Vec<Workload> {
    let mut all = Vec::new();
    for (protocol, udp) in [("tcp", false), ("udp", true)] {
        for (client, spin) in [("", false), ("-spin", true)] {
            for size in [1, 64, 1024] {
                // Clients that poll ask one question: how near both ends can get.
                if spin && size != 64 {
                    continue;
                }
                for outstanding in [1, 16, 64] {
                    all.push(Workload {
                        name: format!("{protocol}-{size}-k{outstanding}{client}"),
                        kind: Kind::PingPong(PingPong { udp, size, outstanding, spin }),
                    });
                }
            }
        }
    }
    let mut add = |name: &str, kind| all.push(Workload { name: name.into(), kind });
    add("bulk-in", Kind::Bulk { inward: true });
    add("bulk-out", Kind::Bulk { inward: false });
    add("short", Kind::Short);
    add("idle", Kind::Idle);
    add("many", Kind::Many);
    all
}

impl Workload {
    /// Runs it for about `time` against a peer that answers.
    ///
    /// # Errors
    /// A peer that does not answer, or answers wrongly.
    pub(crate) fn run(
        &self,
        peer: &Running,
        guest: bool,
        time: Duration,
    ) -> Result<Metrics, String> {
        let echo = SocketAddr::new(peer.server, ECHO);
        let before = if guest { Some(peer.guest.stats()?) } else { None };
        let mut metrics = match self.kind {
            Kind::PingPong(ping_pong) => ping_pong.run(echo, time),
            Kind::Bulk { inward } => bulk::run(peer.server, inward, time * 2),
            Kind::Many => connections::many(echo, MANY, time),
            Kind::Short => connections::short(echo, time),
            Kind::Idle => idle::run(echo, Some(peer.guest.pid()), Duration::from_secs(1)),
        }
        .map_err(|e| e.to_string())?;
        if let Some(before) = before {
            // A guest publishes its counters when it goes to sleep.
            std::thread::sleep(Duration::from_millis(5));
            metrics.extend(counted(&before, &peer.guest.stats()?));
        }
        Ok(metrics)
    }
}

/// What a tender and its guest counted between two looks.
fn counted(before: &Value, after: &Value) -> Metrics {
    let difference = |path: &str| {
        let number = |value: &Value| value.pointer(path).and_then(Value::as_f64).unwrap_or(0.0);
        number(after) - number(before)
    };
    // Reading the statistics interrupts the guest.
    let exits = difference("/exits") - difference("/exits_by_reason/interrupted");
    let packets = difference("/rx_frames");
    let megabytes = (difference("/rx_bytes") + difference("/tx_bytes")) / 1e6;
    let mut metrics = Metrics::new();
    let mut add = |name: &str, value: f64| metrics.insert(name.into(), value);
    add("exits", exits);
    add("exits_per_packet", exits / packets.max(1.0));
    add("exits_per_mb", exits / megabytes.max(1e-6));
    add("frames_in", packets);
    add("frames_out", difference("/tx_frames"));
    for (name, path) in [
        ("kicks", "/kicks"),
        ("sleeps", "/sleeps"),
        ("switches", "/service_switches"),
        ("rx_batches", "/rx_batches"),
        ("tx_batches", "/tx_batches"),
        ("copied", "/guest/payload_bytes_copied"),
        ("retransmits", "/guest/tcp_retransmits"),
    ] {
        add(name, difference(path));
    }
    metrics
}
