//! The device against a tender that serves one frame of each kind at a time, as Solo5's does.

use super::*;
use crate::{
    PoolConfig,
    frame::{Offloads, TxMeta},
    wire::MacAddr,
};
use alloc::{rc::Rc, vec::Vec};
use core::{cell::RefCell, sync::atomic::AtomicU32};
use shmring::{memory::RawRing, ring::Layout};

/// The ring's memory, word by word.
#[derive(Clone)]
struct Words(Rc<Vec<[AtomicU32; 2]>>);

impl Words {
    fn new() -> Words {
        Words(Rc::new((0..LEN / 8).map(|_| Default::default()).collect()))
    }

    fn word(&self, at: u64) -> &AtomicU32 {
        &self.0[at as usize / 8][at as usize / 4 % 2]
    }
}

impl SharedMemory for Words {
    type Ring = RawRing;

    fn len(&self) -> u64 {
        LEN
    }
    fn load_u32(&self, at: u64, order: Ordering) -> u32 {
        self.word(at).load(order)
    }
    fn store_u32(&self, at: u64, value: u32, order: Ordering) {
        self.word(at).store(value, order);
    }
    fn load_u64(&self, at: u64) -> u64 {
        let half = |at| u64::from(self.word(at).load(Ordering::Relaxed));
        half(at) | half(at + 4) << 32
    }
    fn store_u64(&self, at: u64, value: u64) {
        self.word(at).store(value as u32, Ordering::Relaxed);
        self.word(at + 4).store((value >> 32) as u32, Ordering::Relaxed);
    }
    fn fence(&self) {}
    fn ring(&self, _: Layout) -> RawRing {
        unreachable!("not a ring of ours")
    }
}

/// What the tender has done and has ready.
#[derive(Default)]
struct Tender {
    kicks: usize,
    polls: usize,
    sent: Vec<usize>,
    /// Lengths of frames in the tap.
    tap: VecDeque<usize>,
    now: u64,
}

#[derive(Clone)]
struct Fake(Rc<RefCell<Tender>>, Words);

impl Fake {
    /// Serves what is in the ring.
    fn serve(&self) {
        let (mut tender, words) = (self.0.borrow_mut(), &self.1);
        let mut head = words.load_u32(ENT_HEAD, Ordering::Relaxed);
        while head != words.load_u32(ENT_TAIL, Ordering::Relaxed) {
            let at = FIRST_ENTRY + u64::from(head % ENTRIES) * ENTRY;
            let (operation, last) = (words.load_u64(at), words.load_u64(at + 16));
            assert_eq!(operation >> 32, 7, "the handle");
            if operation as u32 == WRITE as u32 {
                tender.sent.push(last as u32 as usize);
            } else {
                let tail = words.load_u32(COM_TAIL, Ordering::Relaxed);
                let at = COMMITS + u64::from(tail % ENTRIES) * COMMIT;
                let frame = tender.tap.pop_front();
                let again = u64::from(frame.is_none());
                words.store_u64(at, last >> 32 | again << 32);
                words.store_u64(at + 8, frame.unwrap_or(0) as u64);
                words.store_u32(COM_TAIL, tail.wrapping_add(1), Ordering::Relaxed);
            }
            head = head.wrapping_add(1);
            words.store_u32(ENT_HEAD, head, Ordering::Relaxed);
        }
    }
}

impl Host for Fake {
    fn kick(&mut self) {
        self.0.borrow_mut().kicks += 1;
    }
    fn read(&mut self, buffer: &mut [u8]) -> Option<usize> {
        self.0.borrow_mut().tap.pop_front().map(|len| len.min(buffer.len()))
    }
    fn poll(&mut self, _: Duration) {
        self.0.borrow_mut().polls += 1;
    }
    fn now(&self) -> Instant {
        self.0.borrow_mut().now += 1000;
        Instant::from_nanos(self.0.borrow().now)
    }
}

fn device() -> (Solo5RingDevice<Words, Fake>, Fake) {
    let pool = Pool::heap(PoolConfig { count: 128, reserve: 8, ..PoolConfig::default() });
    let words = Words::new();
    let fake = Fake(Rc::default(), words.clone());
    let info = DeviceInfo {
        mac: MacAddr([2, 0, 0, 0, 0, 1]),
        mtu: 1500,
        offloads: Offloads::empty(),
        io_mode: "solo5-ring",
    };
    (Solo5RingDevice::new(info, 7, pool, words, fake.clone()), fake)
}

fn frame(device: &Solo5RingDevice<Words, Fake>, len: usize) -> Slice {
    let mut buf = device.pool().alloc().unwrap();
    buf.append(len);
    buf.freeze()
}

#[test]
fn a_batch_of_frames_is_one_kick_and_every_buffer_comes_back() {
    let (mut device, tender) = device();
    let free = device.pool().stats().free;
    tender.1.store_u32(NEEDS_KICK, 1, Ordering::Relaxed);
    let mut queue = TxQueue::default();
    for len in 60..70 {
        queue.push(TxMeta::default(), frame(&device, len), []);
    }
    assert_eq!(device.transmit(&mut queue), 10);
    assert_eq!(tender.0.borrow().kicks, 1);
    assert_eq!(device.pool().stats().free, free - 10);
    tender.serve();
    assert_eq!(device.transmit(&mut queue), 0);
    assert_eq!(tender.0.borrow().sent, (60..70).collect::<Vec<_>>());
    assert_eq!(device.pool().stats().free, free);
}

#[test]
fn a_frame_of_several_pieces_is_gathered_and_counted() {
    let (mut device, tender) = device();
    let mut queue = TxQueue::default();
    queue.push(TxMeta::default(), frame(&device, 54), [frame(&device, 1000), frame(&device, 400)]);
    assert_eq!(device.transmit(&mut queue), 1);
    tender.serve();
    assert_eq!((tender.0.borrow().sent.clone(), device.copied), (alloc::vec![1454], 1400));
    assert_eq!(tender.0.borrow().kicks, 0, "the thread did not sleep");
}

#[test]
fn few_frames_come_by_hypercall_and_many_by_the_ring() {
    let (mut device, tender) = device();
    let mut queue = RxQueue::default();
    tender.0.borrow_mut().tap.extend([60, 61]);
    assert_eq!(device.receive(&mut queue, 64), 2);
    assert!(device.reads.is_empty());

    tender.0.borrow_mut().tap.extend(100..106);
    assert_eq!(device.receive(&mut queue, 64), 6);
    assert_eq!(device.reads.len(), 2 * MANY);
    assert_eq!(device.receive(&mut queue, 64), 0, "nothing is finished yet");
    tender.0.borrow_mut().tap.extend(200..208);
    tender.serve();
    device.wait(None);
    assert_eq!(device.receive(&mut queue, 64), 8);
    assert_eq!(device.reads.len(), 4 * MANY);
    tender.serve();
    assert_eq!(device.receive(&mut queue, 64), 0);
    assert!(device.reads.is_empty(), "the tap was empty: back to hypercalls");
    device.wait(None);
    assert_eq!(tender.0.borrow().polls, 1);

    let mut lens = Vec::new();
    while let Some((_, frags)) = queue.pop() {
        lens.push(frags.map(|slice| slice.len()).sum::<usize>());
    }
    assert_eq!(lens, [60, 61].into_iter().chain(100..106).chain(200..208).collect::<Vec<_>>());
}

#[test]
fn a_thread_that_does_not_answer_is_kicked_again() {
    let (mut device, tender) = device();
    tender.0.borrow_mut().tap.extend([60; MANY]);
    assert_eq!(device.receive(&mut RxQueue::default(), 64), MANY);
    let before = tender.0.borrow().kicks;
    device.wait(None);
    assert_eq!(tender.0.borrow().kicks, before + 1);
}

#[test]
fn a_full_ring_blocks_and_goes_on_when_the_thread_does() {
    let (mut device, tender) = device();
    let page = Slice::from_static(&[0; 64]);
    let mut queue = TxQueue::default();
    for _ in 0..2 * ENTRIES {
        queue.push(TxMeta::default(), page.clone(), []);
    }
    let first = device.transmit(&mut queue);
    assert!(first < ENTRIES as usize && device.blocked);
    tender.serve();
    device.wait(None);
    assert_eq!(device.transmit(&mut queue), first);
    assert_eq!(tender.0.borrow().polls, 0);
}

#[test]
fn a_tender_that_lies_takes_the_network_down_and_nothing_else() {
    let lies: [fn(&Words); 4] = [
        |words| words.store_u32(COM_TAIL, 100, Ordering::Relaxed),
        |words| words.store_u32(ENT_HEAD, 1000, Ordering::Relaxed),
        |words| {
            words.store_u64(COMMITS, 99);
            words.store_u32(COM_TAIL, 1, Ordering::Relaxed);
        },
        |words| {
            words.store_u64(COMMITS + 8, 1 << 20);
            words.store_u32(COM_TAIL, 1, Ordering::Relaxed);
        },
    ];
    for lie in lies {
        let (mut device, tender) = device();
        tender.0.borrow_mut().tap.extend([60; MANY]);
        assert_eq!(device.receive(&mut RxQueue::default(), 64), MANY);
        lie(&tender.1);
        assert_eq!(device.receive(&mut RxQueue::default(), 64), 0);
        assert!(device.broken);
        let mut queue = TxQueue::default();
        queue.push(TxMeta::default(), frame(&device, 60), []);
        assert_eq!(device.transmit(&mut queue), 0);
        assert!(queue.is_empty(), "frames are dropped");
    }
}
