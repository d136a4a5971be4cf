//! The workloads: what is asked of each peer.

use crate::{
    load::{Metrics, Until, bulk::Bulk, connections, http, idle, pingpong::PingPong},
    peer::{Running, Service},
    serve::ECHO,
};
use serde_json::Value;
use std::{io, net::SocketAddr, time::Duration};

/// Connections of the workload with many.
const MANY: usize = 1000;

/// What a workload does.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// Messages and their answers.
    PingPong(PingPong),
    /// One connection as fast as it goes.
    Bulk {
        /// Into the server.
        inward: bool,
    },
    /// Many open connections.
    Many,
    /// Connections of one message.
    Short,
    /// Nothing, then single messages.
    Idle,
    /// Requests for a page.
    Http,
}

/// Something to measure.
#[derive(Clone, Debug)]
pub struct Workload {
    /// Its name.
    pub name: String,
    /// What it does.
    pub kind: Kind,
}

/// All workloads, in order: those of one service follow each other.
pub fn all() -> Vec<Workload> {
    let mut all = Vec::new();
    for (protocol, udp) in [("tcp", false), ("udp", true)] {
        for (client, spin) in [("", false), ("-spin", true)] {
            for size in [1, 64, 256, 1024] {
                for outstanding in [1, 16, 64] {
                    // Clients that poll ask one question: how near both ends can get. 256 bytes
                    // ask another: whether payload is copied from there on.
                    if spin && size != 64 || size == 256 && outstanding != 1 {
                        continue;
                    }
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
    add("http", Kind::Http);
    all
}

/// The workload of that name.
pub fn named(name: &str) -> Option<Workload> {
    all().into_iter().find(|workload| workload.name == name)
}

impl Workload {
    /// The service that the peer must run.
    pub fn service(&self) -> Service {
        if matches!(self.kind, Kind::Http) { Service::Http } else { Service::Inetd }
    }

    /// What matters most of what comes out.
    pub(crate) fn metric(&self) -> &'static str {
        match self.kind {
            Kind::PingPong(PingPong { outstanding: 1, .. }) | Kind::Idle => "p50_us",
            Kind::Bulk { .. } => "gbytes_per_s",
            Kind::PingPong(_) | Kind::Many | Kind::Short | Kind::Http => "rate",
        }
    }

    /// The program that it needs.
    pub(crate) fn program(&self) -> Option<&'static str> {
        matches!(self.kind, Kind::Http).then_some(http::PROGRAM)
    }

    /// Runs it for about `time` against a peer that answers.
    ///
    /// # Errors
    /// A peer that does not answer, or answers wrongly.
    pub fn run(&self, peer: &Running, time: Duration) -> Result<Metrics, String> {
        let before = if peer.counts() { Some(peer.guest.stats()?) } else { None };
        let mut metrics = match self.kind {
            Kind::Http => http::run(peer.server, time * 2)?,
            _ => self.load(peer, time).map_err(|e| e.to_string())?,
        };
        if let Some(before) = before {
            // A guest publishes its counters when it goes to sleep.
            std::thread::sleep(Duration::from_millis(5));
            metrics.extend(counted(&before, &peer.guest.stats()?));
        }
        Ok(metrics)
    }

    fn load(&self, peer: &Running, time: Duration) -> io::Result<Metrics> {
        let echo = SocketAddr::new(peer.server, ECHO);
        match self.kind {
            Kind::PingPong(game) => {
                let mut player = game.open(echo)?;
                player.run(Until::Time(time / 4))?;
                player.run(Until::Time(time))?;
                Ok(player.metrics())
            }
            Kind::Bulk { inward } => {
                let mut bulk = Bulk::open(peer.server, inward)?;
                bulk.run(Until::Time(time * 2 / 3))?;
                let (bytes, elapsed) = bulk.run(Until::Time(time * 2))?;
                let rate = bytes as f64 / elapsed.as_secs_f64() / 1e9;
                Ok(Metrics::from([("gbytes_per_s".into(), rate)]))
            }
            Kind::Many => connections::many(echo, MANY, time),
            Kind::Short => connections::short(echo, time),
            Kind::Idle => idle::run(echo, Some(peer.guest.pid()), Duration::from_secs(1)),
            Kind::Http => Err(io::ErrorKind::Unsupported.into()),
        }
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
