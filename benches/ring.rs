//! The shared ring against others of its kind, side by side in one run: `ringbuf`, crossbeam's
//! `ArrayQueue` and rust-vmm's split virtqueue, which all carry the same 16-byte messages between
//! two pinned threads that spin.
//!
//! `batch/K/PEER` hands K messages over and waits until all were read and given back.
//! `throughput/PEER` streams in batches of 32. `ping_pong/PEER` sends one message and waits for
//! its answer. A table of the ratios is printed at the end.

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

fn batch<P: Peer>(c: &mut Criterion) {
    for size in [1, 8, 32] {
        let (mut tx, rx) = P::pair(256);
        let reader = reader(rx);
        let batch = messages(size);
        let mut group = c.benchmark_group(format!("batch/{size}"));
        group.bench_function(BenchmarkId::from_parameter(P::NAME), |b| {
            b.iter(|| {
                tx.send(&batch);
                while !tx.settled() {
                    spin_loop();
                }
            });
        });
        group.finish();
        drop(reader);
    }
}

fn throughput<P: Peer>(c: &mut Criterion) {
    let (mut tx, rx) = P::pair(256);
    let reader = reader(rx);
    let batch = messages(32);
    let mut group = c.benchmark_group("throughput");
    group.throughput(Throughput::Elements(32));
    group.bench_function(BenchmarkId::from_parameter(P::NAME), |b| {
        b.iter_custom(|n| {
            let start = Instant::now();
            for _ in 0..n {
                while tx.room() < batch.len() {
                    spin_loop();
                }
                tx.send(&batch);
            }
            while !tx.settled() {
                spin_loop();
            }
            start.elapsed()
        });
    });
    group.finish();
    drop(reader);
}

fn ping_pong<P: Peer>(c: &mut Criterion) {
    let (mut ping, mut pinged) = P::pair(256);
    let (mut pong, mut ponged) = P::pair(256);
    let answer = messages(1);
    let reader = Reader::spawn(move |sum| {
        if pinged.take(sum) == 0 {
            return spin_loop();
        }
        while pong.room() == 0 {
            spin_loop();
        }
        pong.send(&answer);
    });
    let question = messages(1);
    let mut group = c.benchmark_group("ping_pong");
    group.bench_function(BenchmarkId::from_parameter(P::NAME), |b| {
        let mut sum = 0;
        b.iter(|| {
            while ping.room() == 0 {
                spin_loop();
            }
            ping.send(&question);
            while ponged.take(&mut sum) == 0 {
                spin_loop();
            }
        });
    });
    group.finish();
    drop(reader);
}

fn all<P: Peer>(c: &mut Criterion) {
    batch::<P>(c);
    throughput::<P>(c);
    ping_pong::<P>(c);
}

fn main() {
    pin::to_core(0);
    let mut c = Criterion::default()
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(600))
        .sample_size(20)
        .configure_from_args();
    all::<peers::Shm>(&mut c);
    all::<peers::RingBuf>(&mut c);
    all::<peers::Array>(&mut c);
    all::<virtqueue::Split>(&mut c);
    batch::<Checked>(&mut c);
    throughput::<Checked>(&mut c);
    c.final_summary();
    pin::table(
        &["batch/1", "batch/8", "batch/32", "throughput", "ping_pong"],
        &["shmring", "shmring_checked", "ringbuf", "array_queue", "virtqueue"],
    );
}
