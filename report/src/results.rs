//! What was measured, and what follows from it.

use crate::load::Metrics;
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};
use testbed::turns::{self, Spread, median};

/// One workload of one peer in one round.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Sample {
    /// Round, from 0.
    pub round: u32,
    /// Name of the peer.
    pub peer: String,
    /// Name of the workload.
    pub workload: String,
    /// Empty when it failed.
    pub metrics: Metrics,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// A run of the comparison.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Results {
    pub(crate) environment: BTreeMap<String, String>,
    /// What makes the numbers doubtful.
    #[serde(default)]
    pub(crate) warnings: Vec<String>,
    /// All that was measured.
    pub samples: Vec<Sample>,
    #[serde(default)]
    pub(crate) skipped: Vec<String>,
    /// Written for readers of the file; computed anew from the samples.
    #[serde(default)]
    pub(crate) targets: Vec<crate::targets::Verdict>,
}

impl Results {
    /// Those of an earlier run.
    pub(crate) fn read(path: &Path) -> Result<Results, String> {
        let text = std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
        serde_json::from_str(&text).map_err(|e| format!("{}: {e}", path.display()))
    }

    /// First round that is free.
    pub(crate) fn next_round(&self) -> u32 {
        self.samples.iter().map(|s| s.round + 1).max().unwrap_or(0)
    }

    fn values<'a>(
        &'a self,
        peer: &'a str,
        workload: &'a str,
        metric: &'a str,
    ) -> impl Iterator<Item = (u32, f64)> + 'a {
        self.samples
            .iter()
            .filter(move |s| s.peer == peer && s.workload == workload)
            .filter_map(move |s| Some((s.round, *s.metrics.get(metric)?)))
    }

    /// Median over the rounds.
    pub(crate) fn median(&self, peer: &str, workload: &str, metric: &str) -> Option<f64> {
        median(self.values(peer, workload, metric).map(|(_, v)| v).collect())
    }

    /// The least, the median and the greatest over the rounds.
    pub fn spread(&self, peer: &str, workload: &str, metric: &str) -> Option<Spread> {
        turns::spread(self.values(peer, workload, metric).map(|(_, v)| v))
    }

    /// Names of everything that was measured in a workload.
    pub(crate) fn metrics(&self, workload: &str) -> BTreeSet<&str> {
        let of = self.samples.iter().filter(|s| s.workload == workload);
        of.flat_map(|s| s.metrics.keys()).map(String::as_str).collect()
    }

    /// Median over the rounds of the ratio within a round.
    pub fn ratio(&self, workload: &str, metric: &str, of: &str, to: &str) -> Option<f64> {
        let base: BTreeMap<u32, f64> = self.values(to, workload, metric).collect();
        let ratio = |(round, value)| Some(value / base.get(&round)?);
        median(self.values(of, workload, metric).filter_map(ratio).collect())
    }

    /// Why a workload failed, if it did.
    pub(crate) fn failure(&self, peer: &str, workload: &str) -> Option<&str> {
        let mut of = self.samples.iter().filter(|s| s.peer == peer && s.workload == workload);
        of.find_map(|s| s.error.as_deref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(round: u32, peer: &str, value: f64) -> Sample {
        let metrics = Metrics::from([("m".into(), value)]);
        Sample { round, peer: peer.into(), workload: "w".into(), metrics, error: None }
    }

    #[test]
    fn ratios_are_taken_within_a_round() {
        let samples = vec![
            sample(0, "a", 1.0),
            sample(0, "b", 2.0),
            sample(1, "a", 10.0),
            sample(1, "b", 40.0),
            sample(2, "a", 7.0),
        ];
        let results = Results { samples, ..Results::default() };
        assert_eq!(results.ratio("w", "m", "a", "b"), Some(0.375));
        assert_eq!(results.median("a", "w", "m"), Some(7.0));
        assert_eq!(results.median("c", "w", "m"), None);
        assert_eq!(results.next_round(), 3);
    }
}
