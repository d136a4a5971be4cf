//! What UDP costs: a datagram of 64 bytes is parsed, demultiplexed, taken from its socket, and one
//! is built and sent back, by the stack alone; smoltcp beside it.
//!
//! `--datagrams=N` echoes that many and exits, for an instruction count:
//! `valgrind --tool=callgrind target/release/deps/udp_stack-* --datagrams=20000`, with the count
//! for half as many subtracted; `smoltcp` behind it counts smoltcp's.

#[path = "udp_stack/smoltcp.rs"]
mod peer;
#[path = "udp_stack/zerohop.rs"]
mod stack;

use criterion::{Criterion, Throughput};
use std::time::Duration;
use testbed::turns::{self, Figure};

/// Bytes of a datagram.
pub const DATA: usize = 64;
/// Datagrams that arrive together.
pub const BATCH: usize = 32;

fn echo(c: &mut Criterion) {
    let mut group = c.benchmark_group("udp_stack/echo_64_bytes");
    group.throughput(Throughput::Elements(BATCH as u64));
    for (name, checksums) in [("checksums_offloaded", false), ("checksums", true)] {
        let mut host = stack::Host::new(checksums);
        group.bench_function(format!("zerohop/{name}"), |b| b.iter(|| host.echo()));
        let mut host = stack::Host::new(checksums);
        group.bench_function(format!("zerohop_in_place/{name}"), |b| b.iter(|| host.answer()));
        let mut host = peer::Host::new(checksums);
        group.bench_function(format!("smoltcp/{name}"), |b| b.iter(|| host.echo()));
    }
    group.finish();
}

fn table() {
    let figure = |name, mut batch: Box<dyn FnMut()>| -> Figure<'_> {
        let time = Duration::from_millis(10);
        (name, Box::new(move || turns::best_of(30, time, &mut batch) / BATCH as f64))
    };
    let rows =
        [("checksums offloaded", false), ("with checksums", true)].map(|(name, checksums)| {
            let mut taken = stack::Host::new(checksums);
            let mut in_place = stack::Host::new(checksums);
            let mut theirs = peer::Host::new(checksums);
            let figures = vec![
                figure("zerohop", Box::new(move || taken.echo())),
                figure("zerohop, in place", Box::new(move || in_place.answer())),
                figure("smoltcp", Box::new(move || theirs.echo())),
            ];
            (format!("a datagram of {DATA} bytes taken and sent back, {name}"), figures)
        });
    turns::table("Nanoseconds", rows);
}

fn main() {
    let mut arguments = std::env::args();
    if let Some(n) = arguments.find_map(|a| a.strip_prefix("--datagrams=")?.parse::<usize>().ok()) {
        let rounds = n / BATCH;
        match arguments.next().as_deref() {
            Some("smoltcp") => {
                let mut host = peer::Host::new(false);
                (0..rounds).for_each(|_| host.echo());
            }
            _ => {
                let mut host = stack::Host::new(false);
                (0..rounds).for_each(|_| host.echo());
            }
        }
        return;
    }
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(1))
        .sample_size(50)
        .configure_from_args();
    echo(&mut criterion);
    criterion.final_summary();
    if turns::whole() {
        table();
    }
}
