//! What a packet buffer costs: taking one, sharing it and giving it back, against `Bytes` over an
//! owner (how others lend pooled memory), `Arc`, and a copy of the payload.

use bytes::Bytes;
use criterion::{BatchSize, Criterion};
use shmring::{Pool, PoolConfig};
use std::{
    hint::black_box,
    sync::Arc,
    time::{Duration, Instant},
};

/// The payload of a full segment.
const SEGMENT: usize = 1448;

fn alloc_drop(c: &mut Criterion) {
    let pool = Pool::heap(PoolConfig::default());
    // SAFETY: all that this pool hands out stays in this function.
    let confined = unsafe { Pool::heap_confined(PoolConfig::default()) };
    let payload = vec![7u8; SEGMENT];
    let mut group = c.benchmark_group("alloc_drop");
    group.bench_function("pool", |b| b.iter(|| drop(black_box(pool.alloc()))));
    group.bench_function("pool_confined", |b| b.iter(|| drop(black_box(confined.alloc()))));
    for (name, pool) in [("slice", &pool), ("slice_confined", &confined)] {
        group.bench_function(name, |b| {
            b.iter(|| {
                let mut buf = pool.alloc().expect("buffer");
                buf.append(SEGMENT);
                drop(black_box(buf.freeze()));
            });
        });
    }
    group.bench_function("pool_batch_32", |b| {
        let mut held = Vec::with_capacity(32);
        b.iter(|| {
            held.extend((0..32).filter_map(|_| pool.alloc()));
            black_box(&mut held).clear();
        });
    });
    static PAGE: [u8; SEGMENT] = [7; SEGMENT];
    group.bench_function("bytes_from_owner", |b| {
        b.iter(|| drop(black_box(Bytes::from_owner(black_box(&PAGE[..])))));
    });
    group.bench_function("arc_slice", |b| {
        b.iter(|| drop(black_box(Arc::<[u8]>::from(black_box(&payload[..])))));
    });
    group.bench_function("vec", |b| {
        b.iter(|| drop(black_box(Vec::<u8>::with_capacity(black_box(SEGMENT)))));
    });
    group.bench_function("vec_copy", |b| {
        b.iter(|| drop(black_box(black_box(&payload[..]).to_vec())));
    });
    group.finish();
}

fn clone_drop(c: &mut Criterion) {
    let pool = Pool::heap(PoolConfig::default());
    let mut buf = pool.alloc().expect("buffer");
    buf.append(SEGMENT);
    let slice = buf.freeze();
    let bytes = Bytes::from(slice.clone());
    // SAFETY: all that this pool hands out stays in this function.
    let confined = unsafe { Pool::heap_confined(PoolConfig::default()) };
    let alone = confined.alloc().expect("buffer").freeze();
    let arc: Arc<[u8]> = Arc::from(&slice[..]);
    let mut group = c.benchmark_group("clone_drop");
    group.bench_function("slice", |b| b.iter(|| drop(black_box(black_box(&slice).clone()))));
    group.bench_function("slice_confined", |b| {
        b.iter(|| drop(black_box(black_box(&alone).clone())));
    });
    group.bench_function("bytes", |b| b.iter(|| drop(black_box(black_box(&bytes).clone()))));
    group.bench_function("arc_slice", |b| b.iter(|| drop(black_box(black_box(&arc).clone()))));
    group.bench_function("copy", |b| {
        let mut to = [0u8; SEGMENT];
        b.iter(|| black_box(&mut to).copy_from_slice(black_box(&slice)));
    });
    group.finish();
}

fn split(c: &mut Criterion) {
    let pool = Pool::heap(PoolConfig::default());
    let fresh = || {
        let mut buf = pool.alloc().expect("buffer");
        buf.append(SEGMENT);
        buf.freeze()
    };
    let mut group = c.benchmark_group("split_to");
    group.bench_function("slice", |b| {
        b.iter_batched(fresh, |mut s| (s.split_to(54), s), BatchSize::NumIterations(256));
    });
    group.bench_function("bytes", |b| {
        let fresh = || Bytes::from(fresh());
        b.iter_batched(fresh, |mut s| (s.split_to(54), s), BatchSize::NumIterations(256));
    });
    group.finish();
}

/// Nanoseconds of `work`: the best of short runs in 10 ms.
fn sample(work: &mut dyn FnMut()) -> f64 {
    const ROUNDS: u32 = 1000;
    let begin = Instant::now();
    let mut best = Duration::MAX;
    while begin.elapsed() < Duration::from_millis(10) {
        let start = Instant::now();
        (0..ROUNDS).for_each(|_| work());
        best = best.min(start.elapsed());
    }
    best.as_nanos() as f64 / f64::from(ROUNDS)
}

/// All in turn, many times, so that what the machine does meanwhile hits all alike.
fn table() {
    const TURNS: usize = 15;
    let pool = Pool::heap(PoolConfig::default());
    // SAFETY: all that this pool hands out stays in this function.
    let confined = unsafe { Pool::heap_confined(PoolConfig::default()) };
    let filled = |pool: &Pool| {
        let mut buf = pool.alloc().expect("buffer");
        buf.append(SEGMENT);
        buf.freeze()
    };
    let (shared, alone) = (filled(&pool), filled(&confined));
    let (bytes, arc) = (Bytes::from(shared.clone()), Arc::<[u8]>::from(&shared[..]));
    let lent = filled(&pool);
    type Row<'a> = (&'static str, [(&'static str, Box<dyn FnMut() + 'a>); 5]);
    let mut rows: [Row<'_>; 2] = [
        (
            "buffer of a segment, made and dropped",
            [
                ("confined slice", Box::new(|| drop(black_box(filled(&confined))))),
                ("shared slice", Box::new(|| drop(black_box(filled(&pool))))),
                (
                    "Bytes::from_owner",
                    Box::new(|| drop(black_box(Bytes::from_owner(filled(&pool))))),
                ),
                (
                    "Arc<[u8]>",
                    Box::new(|| drop(black_box(Arc::<[u8]>::from(black_box(&lent[..]))))),
                ),
                ("Vec, copied", Box::new(|| drop(black_box(black_box(&lent[..]).to_vec())))),
            ],
        ),
        (
            "one more reference, made and dropped",
            [
                ("confined slice", Box::new(|| drop(black_box(black_box(&alone).clone())))),
                ("shared slice", Box::new(|| drop(black_box(black_box(&shared).clone())))),
                ("Bytes::from_owner", Box::new(|| drop(black_box(black_box(&bytes).clone())))),
                ("Arc<[u8]>", Box::new(|| drop(black_box(black_box(&arc).clone())))),
                ("Vec, copied", Box::new(|| drop(black_box(black_box(&lent[..]).to_vec())))),
            ],
        ),
    ];
    println!(
        "\nMedians of {TURNS} turns: ns, and the median of the ratio to the first in each turn."
    );
    for (what, peers) in &mut rows {
        println!("{what}");
        let turns: Vec<Vec<f64>> =
            (0..TURNS).map(|_| peers.iter_mut().map(|(_, work)| sample(work)).collect()).collect();
        for (i, (name, _)) in peers.iter().enumerate() {
            let ns = median(turns.iter().map(|turn| turn[i]).collect());
            let ratio = median(turns.iter().map(|turn| turn[i] / turn[0]).collect());
            println!("  {name:20}{ns:>8.1} ({ratio:.2})");
        }
    }
}

fn median(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    all[all.len() / 2]
}

fn main() {
    let mut c = Criterion::default()
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(500))
        .sample_size(30)
        .configure_from_args();
    alloc_drop(&mut c);
    clone_drop(&mut c);
    split(&mut c);
    c.final_summary();
    if !std::env::args().any(|arg| arg == "--test") {
        table();
    }
}
