//! What TCP costs: two ends in one process through whole stacks, at an MTU of 1500; smoltcp beside
//! it.
//!
//! `--segments=N` transfers that many full segments and exits, for an instruction count:
//! `valgrind --tool=callgrind target/release/deps/tcp_stack-* --segments=20000`, with the count
//! for half as many subtracted.

#[path = "tcp_stack/smoltcp.rs"]
mod peer;
#[path = "tcp_stack/zerohop.rs"]
mod stack;

use criterion::{Criterion, Throughput};
use std::time::Duration;
use testbed::turns::{self, Figure};

/// Payload of a full segment with timestamps; smoltcp sends none, and so 1460.
pub const SEGMENT: usize = 1448;

fn bulk(c: &mut Criterion) {
    let mut group = c.benchmark_group("tcp_stack/full_segment");
    group.throughput(Throughput::Elements(1));
    for (name, checksums) in [("checksums_offloaded", false), ("checksums", true)] {
        let mut pair = stack::Pair::new(checksums, false);
        group.bench_function(format!("zerohop/{name}"), |b| {
            b.iter_custom(|n| pair.transfer(n));
        });
        let mut pair = peer::Pair::new(checksums);
        group.bench_function(format!("smoltcp/{name}"), |b| {
            b.iter_custom(|n| pair.transfer(n));
        });
    }
    let mut pair = stack::Pair::new(false, true);
    group.bench_function("zerohop/super_segments", |b| b.iter_custom(|n| pair.transfer(n)));
    group.finish();
}

/// The cost must not grow with the number of connections.
fn beside_idle_connections(c: &mut Criterion) {
    let mut group = c.benchmark_group("tcp_stack/beside_idle_connections");
    group.throughput(Throughput::Elements(1));
    for idle in [1, 10_000, 100_000] {
        let mut pair = stack::Pair::beside(idle);
        group.bench_function(idle.to_string(), |b| b.iter_custom(|n| pair.transfer(n)));
    }
    group.finish();
}

fn round_trip(c: &mut Criterion) {
    let mut group = c.benchmark_group("tcp_stack/one_byte_round_trip");
    let mut pair = stack::Pair::new(false, false);
    group.bench_function("zerohop", |b| b.iter(|| pair.round_trip()));
    let mut pair = peer::Pair::new(false);
    group.bench_function("smoltcp", |b| b.iter(|| pair.round_trip()));
    group.finish();
}

/// Connections whose state is cold when their turn comes.
fn active_connections(c: &mut Criterion) {
    let mut group = c.benchmark_group("tcp_stack/one_byte_round_trip_of_active_connections");
    for active in [1, 1_000, 100_000] {
        let mut pair = stack::Pair::beside(active);
        group.bench_function(active.to_string(), |b| {
            b.iter_custom(|n| pair.active_round_trips(n));
        });
    }
    group.finish();
}

fn table() {
    let time = Duration::from_millis(10);
    let mut rows: Vec<(String, Vec<Figure<'_>>)> = Vec::new();
    for (name, checksums) in [("checksums offloaded", false), ("with checksums", true)] {
        let mut ours = stack::Pair::new(checksums, false);
        let mut theirs = peer::Pair::new(checksums);
        let figures: Vec<Figure<'_>> = vec![
            ("zerohop", Box::new(move || turns::best(1000, time, |n| ours.transfer(n)))),
            ("smoltcp", Box::new(move || turns::best(1000, time, |n| theirs.transfer(n)))),
        ];
        rows.push((format!("full segment, {name}"), figures));
    }
    let (mut ours, mut theirs) = (stack::Pair::new(false, false), peer::Pair::new(false));
    let figures: Vec<Figure<'_>> = vec![
        ("zerohop", Box::new(move || turns::best_of(1000, time, || ours.round_trip()))),
        ("smoltcp", Box::new(move || turns::best_of(1000, time, || theirs.round_trip()))),
    ];
    rows.push(("one byte there and back".into(), figures));
    turns::table("Nanoseconds", rows);
}

fn main() {
    let mut arguments = std::env::args();
    if let Some(n) = arguments.find_map(|a| a.strip_prefix("--segments=")?.parse().ok()) {
        let which = std::env::args().nth(2).unwrap_or_default();
        if which == "round-trips" {
            let mut pair = stack::Pair::new(false, false);
            (0..n).for_each(|_| pair.round_trip());
            return;
        }
        match which.as_str() {
            "smoltcp" => peer::Pair::new(false).transfer(n),
            "checksums" => stack::Pair::new(true, false).transfer(n),
            "active-1000" => stack::Pair::beside(1000).active_round_trips(n),
            "beside-100000" => stack::Pair::beside(100_000).transfer(n),
            _ => stack::Pair::new(false, false).transfer(n),
        };
        return;
    }
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(1))
        .sample_size(50)
        .configure_from_args();
    bulk(&mut criterion);
    beside_idle_connections(&mut criterion);
    round_trip(&mut criterion);
    active_connections(&mut criterion);
    criterion.final_summary();
    if turns::whole() {
        table();
    }
}
