//! Every interleaving and every reordering that the memory model allows, of publishing, arming,
//! looking again, waking and giving back: explored by loom on the very code that runs in production.
//!
//! Each mutant weakens one thing in the memory below the rings, and must be caught.

#[path = "loom/ring_memory.rs"]
mod ring_memory;

use loom::{cell::UnsafeCell, model::Builder, sync::Notify, thread};
use ring_memory::{End, Mutant, Shared};
use shmring::ring::{Consumer, Producer};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

/// The bytes that descriptors name: loom reports any access that is not ordered.
struct Buffers(Vec<UnsafeCell<u64>>);

// SAFETY: what the models prove: each buffer has one owner at a time.
unsafe impl Sync for Buffers {}
// SAFETY: as above.
unsafe impl Send for Buffers {}

impl Buffers {
    fn new(n: usize) -> Arc<Buffers> {
        Arc::new(Buffers((0..n).map(|_| UnsafeCell::new(0)).collect()))
    }

    fn put(&self, i: u64, value: u64) {
        // SAFETY: loom checks it.
        self.0[i as usize].with_mut(|cell| unsafe { *cell = value });
    }

    fn get(&self, i: u64) -> u64 {
        // SAFETY: loom checks it.
        self.0[i as usize].with(|cell| unsafe { *cell })
    }
}

/// Runs a model to the end; how many executions there were.
fn explore(name: &str, model: impl Fn() + Sync + Send + 'static) -> u64 {
    let count = Arc::new(AtomicU64::new(0));
    let counted = count.clone();
    let mut builder = Builder::new();
    builder.max_branches = 100_000;
    builder.check(move || {
        counted.fetch_add(1, Ordering::Relaxed);
        model();
    });
    let count = count.load(Ordering::Relaxed);
    println!("{name}: {count} executions");
    count
}

/// A consumer that sleeps whenever it finds nothing, a producer that publishes `messages` one by
/// one and kicks when it is told to. Everything arrives, in order, and nobody sleeps for ever.
fn sleeping_consumer(mutant: Mutant, messages: u64) {
    let shared = Shared::new(2);
    let buffers = Buffers::new(messages as usize);
    let kick = Arc::new(Notify::new());
    let consumer = {
        let (shared, buffers, kick) = (shared.clone(), buffers.clone(), kick.clone());
        thread::spawn(move || {
            let mut ring = Consumer::of(shared.end(End::Consumer, mutant), 2).unwrap();
            let mut seen = 0;
            while seen < messages {
                if ring.refresh().unwrap() == 0 {
                    if ring.may_sleep().unwrap() {
                        kick.wait();
                    }
                    continue;
                }
                let [id, value] = ring.peek(0);
                assert_eq!((id, value), (seen, seen + 100), "a descriptor is not what was written");
                assert_eq!(buffers.get(id), value);
                seen += 1;
                ring.take(1);
                ring.release();
            }
        })
    };
    let mut ring = Producer::of(shared.end(End::Producer, mutant), 2).unwrap();
    for id in 0..messages {
        buffers.put(id, id + 100);
        ring.write([id, id + 100]);
        if ring.publish() {
            kick.notify();
        }
    }
    consumer.join().unwrap();
}

/// A producer that sleeps when its ring of one entry is full, and reuses a buffer once it is given
/// back; a consumer that sleeps too.
fn sleeping_producer(mutant: Mutant) {
    const MESSAGES: u64 = 2;
    let shared = Shared::new(1);
    let buffers = Buffers::new(1);
    let (wake, kick) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let producer = {
        let (shared, buffers) = (shared.clone(), buffers.clone());
        let (wake, kick) = (wake.clone(), kick.clone());
        thread::spawn(move || {
            let mut ring = Producer::of(shared.end(End::Producer, mutant), 1).unwrap();
            for n in 0..MESSAGES {
                while ring.room() == 0 {
                    ring.refresh().unwrap();
                    if ring.room() == 0 && ring.may_sleep(1).unwrap() {
                        wake.wait();
                    }
                }
                buffers.put(0, n);
                ring.write([0, n]);
                if ring.publish() {
                    kick.notify();
                }
            }
        })
    };
    let mut ring = Consumer::of(shared.end(End::Consumer, mutant), 1).unwrap();
    for n in 0..MESSAGES {
        while ring.refresh().unwrap() == 0 {
            if ring.may_sleep().unwrap() {
                kick.wait();
            }
        }
        let [id, value] = ring.peek(0);
        assert_eq!((value, buffers.get(id)), (n, n));
        ring.take(1);
        if ring.release_notify() {
            wake.notify();
        }
    }
    producer.join().unwrap();
}

/// A batch of two with one fence arrives whole.
fn batch(mutant: Mutant) {
    let shared = Shared::new(2);
    let kick = Arc::new(Notify::new());
    let consumer = {
        let (shared, kick) = (shared.clone(), kick.clone());
        thread::spawn(move || {
            let mut ring = Consumer::of(shared.end(End::Consumer, mutant), 2).unwrap();
            while ring.refresh().unwrap() == 0 {
                if ring.may_sleep().unwrap() {
                    kick.wait();
                }
            }
            assert_eq!(ring.ready(), 2);
            assert_eq!([ring.peek(0), ring.peek(1)], [[1, 2], [3, 4]]);
        })
    };
    let mut ring = Producer::of(shared.end(End::Producer, mutant), 2).unwrap();
    ring.write([1, 2]);
    ring.write([3, 4]);
    if ring.publish() {
        kick.notify();
    }
    consumer.join().unwrap();
}

const LOST_WAKE: &str = "deadlock";
const RACE: &str = "Causality violation";
const STALE: &str = "a descriptor is not what was written";

/// Runs a model that must fail, for the reason `why`.
fn caught(name: &str, why: &str, model: impl Fn() + Sync + Send + 'static) {
    let result = catch_unwind(AssertUnwindSafe(|| explore(name, model)));
    let Err(panic) = result else { panic!("{name} was not caught") };
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic");
    assert!(text.contains(why), "{name} failed for another reason: {text}");
    println!("{name}: caught: {}", text.lines().next().unwrap_or_default());
}

#[test]
fn a_sleeping_consumer_gets_every_message() {
    explore("sleeping consumer", || sleeping_consumer(Mutant::None, 2));
}

#[test]
fn a_sleeping_producer_gets_its_room_back() {
    explore("sleeping producer", || sleeping_producer(Mutant::None));
}

#[test]
fn a_batch_arrives_whole() {
    explore("batch", || batch(Mutant::None));
}

#[test]
fn mutant_release_only_fence_is_caught() {
    caught("release-only fence", LOST_WAKE, || sleeping_consumer(Mutant::ReleaseOnlyFence, 1));
}

#[test]
fn mutant_missing_producer_fence_is_caught() {
    caught("missing producer fence", LOST_WAKE, || sleeping_consumer(Mutant::NoProducerFence, 1));
}

#[test]
fn mutant_missing_recheck_is_caught() {
    caught("missing re-check", LOST_WAKE, || sleeping_consumer(Mutant::NoRecheck, 1));
}

#[test]
fn mutant_relaxed_publish_is_caught() {
    caught("relaxed publish", STALE, || sleeping_consumer(Mutant::RelaxedPublish, 1));
}

#[test]
fn mutant_relaxed_release_is_caught() {
    caught("relaxed release", RACE, || sleeping_producer(Mutant::RelaxedRelease));
}

#[test]
fn mutant_missing_consumer_fence_is_caught() {
    caught("missing consumer fence", LOST_WAKE, || sleeping_producer(Mutant::NoConsumerFence));
}
