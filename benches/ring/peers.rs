//! The rings under comparison behind one shape: a sender that sees when its messages were given
//! back, a receiver that reads all that is there.

use crossbeam_queue::ArrayQueue;
use ringbuf::{
    HeapRb,
    traits::{Consumer as _, Observer as _, Producer as _, Split as _},
};
use shmring::{
    Pool, PoolConfig, Slice,
    abi::{DESC_LEN, Features, ctrl},
    guest,
    memory::{RawMemory, RawRing},
    ring::{Consumer, Layout, Producer},
    tender,
};
use std::{alloc, ptr::NonNull, sync::Arc};

/// What travels: a descriptor's two words.
pub type Message = [u64; 2];

/// The end that writes.
pub trait Send: std::marker::Send {
    /// Hands all messages over; there is room for them.
    fn send(&mut self, batch: &[Message]);
    /// Whether the other side has given everything back.
    fn settled(&mut self) -> bool;
    /// Messages that fit now.
    fn room(&mut self) -> usize;
}

/// The end that reads.
pub trait Receive: std::marker::Send {
    /// Reads what is there into `sum` and gives it back; how many.
    fn take(&mut self, sum: &mut u64) -> usize;
}

/// One kind of ring.
pub trait Peer {
    /// Name in the report.
    const NAME: &str;
    /// Its two ends.
    fn pair(entries: usize) -> (impl Send + 'static, impl Receive + 'static);
}

/// Zeroed pages that live until the process ends, like a guest's memory.
pub fn pages(bytes: usize) -> NonNull<u8> {
    let layout = alloc::Layout::from_size_align(bytes, 4096).expect("size");
    // SAFETY: the size is not zero.
    NonNull::new(unsafe { alloc::alloc_zeroed(layout) }).expect("memory")
}

/// This project's ring.
pub struct Shm;

impl Peer for Shm {
    const NAME: &str = "shmring";
    fn pair(entries: usize) -> (impl Send + 'static, impl Receive + 'static) {
        let len = 4096 + entries as u64 * DESC_LEN;
        // SAFETY: the pages stay for ever and nobody holds a reference to them.
        let memory = unsafe { RawMemory::new(pages(len as usize), len) };
        let layout = Layout { ctrl: 0, desc: 4096, entries: entries as u32 };
        const { assert!(ctrl::LEN <= 4096) };
        (
            Producer::new(&memory, layout).expect("fresh"),
            Consumer::new(&memory, layout).expect("fresh"),
        )
    }
}

impl Send for Producer<RawRing> {
    fn send(&mut self, batch: &[Message]) {
        batch.iter().for_each(|words| self.write(*words));
        let _ = self.publish();
    }
    fn settled(&mut self) -> bool {
        self.refresh().expect("index");
        self.in_flight() == 0
    }
    fn room(&mut self) -> usize {
        if Producer::room(self) < 32 {
            self.refresh().expect("index");
        }
        Producer::room(self) as usize
    }
}

impl Receive for Consumer<RawRing> {
    fn take(&mut self, sum: &mut u64) -> usize {
        let ready = self.refresh().expect("index");
        for n in 0..ready {
            let [a, b] = self.peek(n);
            *sum = sum.wrapping_add(a ^ b);
        }
        Consumer::take(self, ready);
        self.release();
        ready as usize
    }
}

/// The same ring with all that a packet needs: buffers lent and taken back by the guest's side,
/// and descriptors checked by the tender's.
pub struct Checked;

impl Peer for Checked {
    const NAME: &str = "shmring_checked";
    fn pair(entries: usize) -> (impl Send + 'static, impl Receive + 'static) {
        let config = guest::RegionConfig {
            pairs: 1,
            entries: entries as u32,
            offered: Features::all(),
            accepted: Features::RINGS,
            origin: 0,
            mem: None,
            stats: None,
        };
        let len = config.size();
        // SAFETY: the pages stay for ever and nobody holds a reference to them.
        let memory = unsafe { RawMemory::new(pages(len as usize), len) };
        let pool = Pool::heap(PoolConfig::default());
        let mut region = guest::Region::build(memory, &config, &pool);
        let limits = tender::Limits { offered: Features::all(), max_pairs: 1, memory: u64::MAX };
        let mut attached = tender::attach(memory, &limits).expect("region");
        let frames = (0..entries).map(|_| {
            let mut buf = pool.alloc().expect("buffer");
            buf.append(64);
            buf.freeze()
        });
        let frames: Vec<Slice> = frames.collect();
        let tx = region.pairs.remove(0).0;
        (Guest { tx, frames, next: 0 }, Tender(attached.pairs.remove(0).tx))
    }
}

struct Guest {
    tx: guest::TxRing<RawMemory>,
    frames: Vec<Slice>,
    next: usize,
}

impl Send for Guest {
    fn send(&mut self, batch: &[Message]) {
        for _ in batch {
            let frame = self.frames[self.next].clone();
            self.next = (self.next + 1) % self.frames.len();
            self.tx.push(guest::TxInfo::default(), std::iter::once(frame));
        }
        let _ = self.tx.publish();
    }
    fn settled(&mut self) -> bool {
        self.tx.reclaim().expect("index");
        self.tx.in_flight() == 0
    }
    fn room(&mut self) -> usize {
        self.tx.reclaim().expect("index");
        self.tx.room()
    }
}

struct Tender(tender::TxRing<RawMemory>);

impl Receive for Tender {
    fn take(&mut self, sum: &mut u64) -> usize {
        let ready = self.0.refresh().expect("index");
        if ready == 0 {
            return 0;
        }
        while let Some(frame) = self.0.next().expect("frame") {
            *sum = frame.spans().iter().fold(*sum, |sum, span| sum.wrapping_add(span.address));
        }
        let _ = self.0.release_notify();
        ready as usize
    }
}

/// `ringbuf`, with its calls for batches.
pub struct RingBuf;

impl Peer for RingBuf {
    const NAME: &str = "ringbuf";
    fn pair(entries: usize) -> (impl Send + 'static, impl Receive + 'static) {
        HeapRb::<Message>::new(entries).split()
    }
}

impl Send for ringbuf::HeapProd<Message> {
    fn send(&mut self, batch: &[Message]) {
        assert_eq!(self.push_slice(batch), batch.len());
    }
    fn settled(&mut self) -> bool {
        self.is_empty()
    }
    fn room(&mut self) -> usize {
        self.vacant_len()
    }
}

impl Receive for ringbuf::HeapCons<Message> {
    fn take(&mut self, sum: &mut u64) -> usize {
        let mut batch = [[0; 2]; 256];
        let n = self.pop_slice(&mut batch);
        *sum = batch[..n].iter().fold(*sum, |sum, [a, b]| sum.wrapping_add(a ^ b));
        n
    }
}

/// crossbeam's bounded queue; it has no batches.
pub struct Array;

impl Peer for Array {
    const NAME: &str = "array_queue";
    fn pair(entries: usize) -> (impl Send + 'static, impl Receive + 'static) {
        let queue = Arc::new(ArrayQueue::<Message>::new(entries));
        (queue.clone(), queue)
    }
}

impl Send for Arc<ArrayQueue<Message>> {
    fn send(&mut self, batch: &[Message]) {
        batch.iter().for_each(|words| self.push(*words).expect("room"));
    }
    fn settled(&mut self) -> bool {
        self.is_empty()
    }
    fn room(&mut self) -> usize {
        self.capacity() - self.len()
    }
}

impl Receive for Arc<ArrayQueue<Message>> {
    fn take(&mut self, sum: &mut u64) -> usize {
        let mut n = 0;
        while let Some([a, b]) = self.pop() {
            *sum = sum.wrapping_add(a ^ b);
            n += 1;
        }
        n
    }
}
