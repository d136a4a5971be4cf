//! A split virtqueue: rust-vmm's device side, and the shortest driver that drives it, both with
//! event indices.

use crate::peers::{Message, Peer, Receive, Send};
use std::sync::{
    Arc,
    atomic::{AtomicU16, AtomicU32, AtomicU64, Ordering, fence},
};
use virtio_queue::{Queue, QueueT};
use vm_memory::{GuestAddress, GuestMemoryBackend, GuestMemoryMmap};

const DESC: u64 = 0x1000;
const AVAIL: u64 = 0x4000;
const USED: u64 = 0x6000;
const MEMORY: usize = 0x10000;

/// A split virtqueue.
pub struct Split;

impl Peer for Split {
    const NAME: &str = "virtqueue";
    fn pair(entries: usize) -> (impl Send + 'static, impl Receive + 'static) {
        let memory = Arc::new(
            GuestMemoryMmap::<()>::from_ranges(&[(GuestAddress(0), MEMORY)]).expect("mmap"),
        );
        let mut queue = Queue::new(entries as u16).expect("size");
        queue.set_desc_table_address(Some(DESC as u32), None);
        queue.set_avail_ring_address(Some(AVAIL as u32), None);
        queue.set_used_ring_address(Some(USED as u32), None);
        queue.set_event_idx(true);
        queue.set_ready(true);
        assert!(queue.is_valid(&*memory));
        let free = (0..entries as u16).rev().collect();
        let base = memory.get_host_address(GuestAddress(0)).expect("mapped");
        let (_memory, entries) = (memory.clone(), entries as u16);
        let driver = Driver { _memory, base, entries, free, avail: 0, used: 0 };
        (driver, Device { memory, queue })
    }
}

struct Driver {
    _memory: Arc<GuestMemoryMmap>,
    base: *mut u8,
    entries: u16,
    free: Vec<u16>,
    avail: u16,
    used: u16,
}

// SAFETY: the pointer is into `_memory`, and every access is an atomic.
unsafe impl std::marker::Send for Driver {}

impl Driver {
    fn word<T>(&self, at: u64) -> &T {
        assert!(at < MEMORY as u64 - 8);
        // SAFETY: mapped for as long as `_memory`, aligned by the layout; T is an atomic.
        unsafe { &*self.base.add(at as usize).cast::<T>() }
    }

    fn reclaim(&mut self) {
        let used = self.word::<AtomicU16>(USED + 2).load(Ordering::Acquire);
        while self.used != used {
            let at = USED + 4 + u64::from(self.used % self.entries) * 8;
            let id = self.word::<AtomicU32>(at).load(Ordering::Relaxed);
            self.free.push(id as u16);
            self.used = self.used.wrapping_add(1);
        }
    }
}

impl Send for Driver {
    fn send(&mut self, batch: &[Message]) {
        let old = self.avail;
        for [address, len] in batch {
            let id = self.free.pop().expect("room");
            let at = DESC + u64::from(id) * 16;
            self.word::<AtomicU64>(at).store(0x8000 + address, Ordering::Relaxed);
            // No flags: one readable descriptor.
            self.word::<AtomicU64>(at + 8).store(len & 0xffff, Ordering::Relaxed);
            let slot = AVAIL + 4 + u64::from(self.avail % self.entries) * 2;
            self.word::<AtomicU16>(slot).store(id, Ordering::Relaxed);
            self.avail = self.avail.wrapping_add(1);
        }
        self.word::<AtomicU16>(AVAIL + 2).store(self.avail, Ordering::Release);
        fence(Ordering::SeqCst);
        let event_at = USED + 4 + u64::from(self.entries) * 8;
        let event = self.word::<AtomicU16>(event_at).load(Ordering::Relaxed);
        let kick = self.avail.wrapping_sub(event).wrapping_sub(1) < self.avail.wrapping_sub(old);
        std::hint::black_box(kick);
    }
    fn settled(&mut self) -> bool {
        self.reclaim();
        self.used == self.avail
    }
    fn room(&mut self) -> usize {
        self.reclaim();
        self.free.len()
    }
}

struct Device {
    memory: Arc<GuestMemoryMmap>,
    queue: Queue,
}

impl Receive for Device {
    fn take(&mut self, sum: &mut u64) -> usize {
        let mut n = 0;
        while let Some(chain) = self.queue.pop_descriptor_chain(&*self.memory) {
            let head = chain.head_index();
            for desc in chain {
                *sum = sum.wrapping_add(desc.addr().0 ^ u64::from(desc.len()));
            }
            self.queue.add_used(&*self.memory, head, 0).expect("used");
            n += 1;
        }
        if n > 0 {
            std::hint::black_box(self.queue.needs_notification(&*self.memory).expect("event"));
        }
        n
    }
}
