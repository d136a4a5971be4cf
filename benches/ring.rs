//! The shared ring against others of its kind, side by side in one run: `ringbuf`, crossbeam's
//! `ArrayQueue` and rust-vmm's split virtqueue, which all carry the same 16-byte messages between
//! two pinned threads that spin.
//!
//! `ring/batch/K/PEER` hands K messages over and waits until all were read and given back.
//! `ring/throughput/PEER` streams in batches of 32. `ring/ping_pong/PEER` sends one message and waits for
//! its answer. The table of ratios at the end takes the peers in turn. `shmring_checked` is the whole
//! way of a frame: lent by the guest's side, checked by the tender's, taken back.

#[path = "ring/peers.rs"]
mod peers;
#[path = "ring/pin.rs"]
mod pin;
#[path = "ring/virtqueue.rs"]
mod virtqueue;

use criterion::{BenchmarkId, Criterion, Throughput};
use peers::{Checked, Message, Peer, Receive, Send};
use std::{
    hint::{black_box, spin_loop},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};
use testbed::turns::{self, Figure};

/// A consumer on the other core that reads whatever comes until it is told to stop.
struct Reader {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<u64>>,
}

impl Reader {
    fn spawn(mut work: impl FnMut(&mut u64) + std::marker::Send + 'static) -> Reader {
        let stop = Arc::new(AtomicBool::new(false));
        let seen = stop.clone();
        let thread = std::thread::spawn(move || {
            pin::to_core(1);
            let mut sum = 0;
            while !seen.load(Ordering::Relaxed) {
                work(&mut sum);
            }
            sum
        });
        Reader { stop, thread: Some(thread) }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = black_box(thread.join());
        }
    }
}

fn reader<R: Receive + 'static>(mut rx: R) -> Reader {
    Reader::spawn(move |sum| {
        if rx.take(sum) == 0 {
            spin_loop();
        }
    })
}

fn messages(n: usize) -> Vec<Message> {
    (0..n as u64).map(|i| [i, i << 16 | 1514]).collect()
}

/// What is measured.
#[derive(Clone, Copy)]
enum Case {
    Batch(usize),
    Throughput,
    PingPong,
}

const CASES: [(Case, &str); 5] = [
    (Case::Batch(1), "batch/1"),
    (Case::Batch(8), "batch/8"),
    (Case::Batch(32), "batch/32"),
    (Case::Throughput, "throughput"),
    (Case::PingPong, "ping_pong"),
];

fn until(mut condition: impl FnMut() -> bool) {
    while !condition() {
        spin_loop();
    }
}

/// A case on rings of `P`, with the other side running: called with a number of rounds, it returns
/// the time that they took.
fn start<P: Peer>(case: Case) -> (Reader, Box<dyn FnMut(u64) -> Duration>) {
    let (mut tx, mut rx) = P::pair(256);
    let timed = |mut round: Box<dyn FnMut()>| -> Box<dyn FnMut(u64) -> Duration> {
        Box::new(move |n| {
            let start = Instant::now();
            (0..n).for_each(|_| round());
            start.elapsed()
        })
    };
    match case {
        Case::Batch(size) => {
            let batch = messages(size);
            let round = move || {
                tx.send(&batch);
                until(|| tx.settled());
            };
            (reader(rx), timed(Box::new(round)))
        }
        Case::Throughput => {
            let batch = messages(32);
            let round = move || {
                until(|| tx.room() >= batch.len());
                tx.send(&batch);
            };
            (reader(rx), timed(Box::new(round)))
        }
        Case::PingPong => {
            let (mut pong, mut ponged) = P::pair(256);
            let (question, answer) = (messages(1), messages(1));
            let reader = Reader::spawn(move |sum| {
                if rx.take(sum) == 0 {
                    return spin_loop();
                }
                until(|| pong.room() > 0);
                pong.send(&answer);
            });
            let mut sum = 0;
            let round = move || {
                until(|| tx.room() > 0);
                tx.send(&question);
                until(|| ponged.take(&mut sum) > 0);
            };
            (reader, timed(Box::new(round)))
        }
    }
}

fn criterion<P: Peer>(c: &mut Criterion, case: Case, name: &str) {
    let (reader, mut run) = start::<P>(case);
    let mut group = c.benchmark_group(format!("ring/{name}"));
    if matches!(case, Case::Throughput) {
        group.throughput(Throughput::Elements(32));
    }
    group.bench_function(BenchmarkId::from_parameter(P::NAME), |b| b.iter_custom(&mut run));
    group.finish();
    drop(reader);
}

fn sample<P: Peer>(case: Case) -> f64 {
    let (reader, run) = start::<P>(case);
    let best = turns::best(200, Duration::from_millis(12), run);
    drop(reader);
    best
}

fn figure<P: Peer>(case: Case) -> Figure<'static> {
    (P::NAME, Box::new(move || sample::<P>(case)))
}

fn table() {
    let rows = CASES.map(|(case, name)| {
        let peers = vec![
            figure::<peers::Shm>(case),
            figure::<peers::RingBuf>(case),
            figure::<peers::Array>(case),
            figure::<virtqueue::Split>(case),
            figure::<Checked>(case),
        ];
        (name.into(), peers)
    });
    turns::table("Nanoseconds a round", rows);
}

fn main() {
    pin::to_core(0);
    let mut c = Criterion::default()
        .warm_up_time(Duration::from_millis(100))
        .measurement_time(Duration::from_millis(300))
        .sample_size(20)
        .configure_from_args();
    for (case, name) in CASES {
        criterion::<peers::Shm>(&mut c, case, name);
        criterion::<peers::RingBuf>(&mut c, case, name);
        criterion::<peers::Array>(&mut c, case, name);
        criterion::<virtqueue::Split>(&mut c, case, name);
        criterion::<Checked>(&mut c, case, name);
    }
    c.final_summary();
    if turns::whole() {
        table();
    }
}
