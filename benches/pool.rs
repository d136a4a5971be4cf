//! What a packet buffer costs: taking one, sharing it and giving it back, against `Bytes` over an
//! owner (how others lend pooled memory), `Arc`, and a copy of the payload.

use bytes::Bytes;
use criterion::{BatchSize, Criterion};
use shmring::{Pool, PoolConfig};
use std::{hint::black_box, sync::Arc, time::Duration};
use testbed::turns::{self, Figure};

/// The payload of a full segment.
const SEGMENT: usize = 1448;

fn alloc_drop(c: &mut Criterion) {
    let pool = Pool::heap(PoolConfig::default());
    // SAFETY: all that this pool hands out stays in this function.
    let confined = unsafe { Pool::heap_confined(PoolConfig::default()) };
    let payload = vec![7u8; SEGMENT];
    let mut group = c.benchmark_group("pool/alloc_drop");
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
    let mut group = c.benchmark_group("pool/clone_drop");
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
    let mut group = c.benchmark_group("pool/split_to");
    group.bench_function("slice", |b| {
        b.iter_batched(fresh, |mut s| (s.split_to(54), s), BatchSize::NumIterations(256));
    });
    group.bench_function("bytes", |b| {
        let fresh = || Bytes::from(fresh());
        b.iter_batched(fresh, |mut s| (s.split_to(54), s), BatchSize::NumIterations(256));
    });
    group.finish();
}

fn figure<'a>(name: &'a str, mut work: impl FnMut() + 'a) -> Figure<'a> {
    (name, Box::new(move || turns::best_of(1000, Duration::from_millis(10), &mut work)))
}

fn table() {
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
    let copied = || drop(black_box(black_box(&shared[..]).to_vec()));
    let made = vec![
        figure("confined slice", || drop(black_box(filled(&confined)))),
        figure("shared slice", || drop(black_box(filled(&pool)))),
        figure("Bytes::from_owner", || drop(black_box(Bytes::from_owner(filled(&pool))))),
        figure("Arc<[u8]>", || drop(black_box(Arc::<[u8]>::from(black_box(&shared[..]))))),
        figure("Vec, copied", copied),
    ];
    let cloned = vec![
        figure("confined slice", || drop(black_box(black_box(&alone).clone()))),
        figure("shared slice", || drop(black_box(black_box(&shared).clone()))),
        figure("Bytes::from_owner", || drop(black_box(black_box(&bytes).clone()))),
        figure("Arc<[u8]>", || drop(black_box(black_box(&arc).clone()))),
        figure("Vec, copied", copied),
    ];
    let rows = [
        ("buffer of a segment, made and dropped".into(), made),
        ("one more reference, made and dropped".into(), cloned),
    ];
    turns::table("Nanoseconds", rows);
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
    if turns::whole() {
        table();
    }
}
