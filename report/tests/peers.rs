//! Peers answer every kind of workload. Short runs: what comes out is looked at, not how fast.

use report::{
    peer::{self, Programs},
    results::Results,
    runner, workload,
};
use std::{path::Path, time::Duration};
use testbed::need;

const WORKLOADS: [&str; 6] =
    ["tcp-64-k16", "udp-1024-k16", "tcp-64-k1-spin", "bulk-in", "bulk-out", "short"];

/// Runs the workloads against the peers; each must have been answered.
fn all_answer(peers: &[&str]) {
    let peers: Vec<_> = peers.iter().map(|name| peer::named(name).unwrap()).collect();
    let programs = Programs::build(&peers, Path::new(env!("CARGO_BIN_EXE_report"))).unwrap();
    let mut names = WORKLOADS.to_vec();
    match testbed::tool("wrk") {
        Ok(()) => names.push("http"),
        Err(why) => eprintln!("http: skipped, {why}"),
    }
    let workloads: Vec<_> = names.iter().map(|name| workload::named(name).unwrap()).collect();
    let mut results = Results::default();
    let time = Duration::from_millis(50);
    runner::turns(&mut results, &peers, &workloads, &programs, 1, time, &mut |_| ());
    for peer in &peers {
        for name in &names {
            let of = |s: &&report::results::Sample| s.peer == peer.name && s.workload == *name;
            let sample = results.samples.iter().find(of).expect("a sample");
            assert_eq!(sample.error, None, "{} {name}", peer.name);
            let metric = if name.starts_with("bulk") { "gbytes_per_s" } else { "rate" };
            assert!(sample.metrics[metric] > 0.0, "{} {name}: {:?}", peer.name, sample.metrics);
        }
    }
}

#[test]
fn host_sockets_and_smoltcp_answer_every_workload() {
    need!(testbed::taps());
    all_answer(&["host-veth", "host-veth-spin", "loopback", "smoltcp"]);
}

#[test]
fn zerohop_answers_every_workload_as_a_process_and_as_a_guest() {
    need!(testbed::kvm(), testbed::taps());
    all_answer(&["tap", "rings", "hypercall"]);
}
