//! The figures that zerohop sets itself, and whether they are met.

use crate::results::Results;
use serde::{Deserialize, Serialize};

#[derive(Clone, Copy)]
enum Sense {
    AtMost,
    AtLeast,
}

struct Target {
    what: &'static str,
    workload: &'static str,
    metric: &'static str,
    ours: &'static str,
    /// Peer to compare with; none for an absolute figure.
    to: Option<&'static str>,
    sense: Sense,
    goal: f64,
    stretch: Option<f64>,
}

/// A figure with its measurement.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Verdict {
    pub(crate) what: String,
    pub(crate) compared: String,
    pub(crate) goal: String,
    pub(crate) stretch: Option<String>,
    pub(crate) measured: Option<f64>,
    pub(crate) met: Option<bool>,
    pub(crate) stretch_met: Option<bool>,
}

const fn ratio(
    what: &'static str,
    workload: &'static str,
    metric: &'static str,
    to: &'static str,
    sense: Sense,
    goal: f64,
    stretch: Option<f64>,
) -> Target {
    Target { what, workload, metric, ours: "rings", to: Some(to), sense, goal, stretch }
}

const fn figure(
    what: &'static str,
    workload: &'static str,
    metric: &'static str,
    goal: f64,
) -> Target {
    let (sense, stretch) = (Sense::AtMost, None);
    Target { what, workload, metric, ours: "rings", to: None, sense, goal, stretch }
}

use Sense::{AtLeast, AtMost};
const HOST: &str = "host-veth";
const SLOW: &str = "hypercall";
const TARGETS: &[Target] = &[
    ratio("TCP 64 B round trip, p50", "tcp-64-k1", "p50_us", HOST, AtMost, 0.25, Some(0.20)),
    ratio(
        "TCP 64 B round trip, both spinning, p50",
        "tcp-64-k1-spin",
        "p50_us",
        "host-veth-spin",
        AtMost,
        1.1,
        None,
    ),
    ratio("TCP 64 B round trip, p99", "tcp-64-k1", "p99_us", HOST, AtMost, 1.0, None),
    ratio("TCP 64 B, 64 outstanding, rate", "tcp-64-k64", "rate", HOST, AtLeast, 1.3, Some(1.5)),
    ratio("UDP 64 B, 64 outstanding, rate", "udp-64-k64", "rate", HOST, AtLeast, 1.3, Some(1.5)),
    ratio("TCP 64 B, 16 outstanding, rate", "tcp-64-k16", "rate", HOST, AtLeast, 0.9, Some(1.0)),
    ratio("UDP 64 B, 16 outstanding, rate", "udp-64-k16", "rate", HOST, AtLeast, 0.9, Some(1.0)),
    ratio("Bulk in", "bulk-in", "gbytes_per_s", HOST, AtLeast, 1.2, Some(1.9)),
    ratio("Bulk out", "bulk-out", "gbytes_per_s", HOST, AtLeast, 1.0, Some(1.2)),
    ratio("Packets (TCP 64 B, k=64)", "tcp-64-k64", "rate", SLOW, AtLeast, 10.0, None),
    ratio("Packets (UDP 64 B, k=64)", "udp-64-k64", "rate", SLOW, AtLeast, 10.0, None),
    ratio("Bulk in", "bulk-in", "gbytes_per_s", SLOW, AtLeast, 10.0, None),
    ratio("Bulk out", "bulk-out", "gbytes_per_s", SLOW, AtLeast, 10.0, None),
    figure("Exits a packet, TCP 64 B, k=1", "tcp-64-k1", "exits_per_packet", 0.01),
    figure("Exits a packet, TCP 64 B, k=64", "tcp-64-k64", "exits_per_packet", 0.03),
    figure("Exits a packet, UDP 64 B, k=64", "udp-64-k64", "exits_per_packet", 0.03),
    figure("Exits a MB, bulk in", "bulk-in", "exits_per_mb", 1.0),
    figure("Exits a MB, bulk out", "bulk-out", "exits_per_mb", 1.0),
    figure("Payload bytes copied, TCP 256 B", "tcp-256-k1", "copied", 0.0),
    figure("Payload bytes copied, TCP 1024 B, k=64", "tcp-1024-k64", "copied", 0.0),
    figure("Payload bytes copied, bulk in", "bulk-in", "copied", 0.0),
    figure("Payload bytes copied, bulk out", "bulk-out", "copied", 0.0),
    figure("Cores when idle", "idle", "idle_cores", 0.02),
    ratio("Round trip after 10 ms idle, p50", "idle", "p50_us", HOST, AtMost, 2.5, None),
];

impl Target {
    fn verdict(&self, results: &Results) -> Verdict {
        let measured = match self.to {
            Some(to) => results.ratio(self.workload, self.metric, self.ours, to),
            None => results.median(self.ours, self.workload, self.metric),
        };
        let sign = match self.sense {
            Sense::AtMost => "≤",
            Sense::AtLeast => "≥",
        };
        let times = if self.to.is_some() { " ×" } else { "" };
        let shown = |bound: f64| format!("{sign} {bound}{times}");
        let met = |bound: f64| {
            measured.map(|value| match self.sense {
                Sense::AtMost => value <= bound,
                Sense::AtLeast => value >= bound,
            })
        };
        Verdict {
            what: self.what.into(),
            compared: self.to.unwrap_or("absolute").into(),
            goal: shown(self.goal),
            stretch: self.stretch.map(shown),
            measured,
            met: met(self.goal),
            stretch_met: self.stretch.and_then(met),
        }
    }
}

/// Every figure, judged.
pub(crate) fn judge(results: &Results) -> Vec<Verdict> {
    TARGETS.iter().map(|target| target.verdict(results)).collect()
}
