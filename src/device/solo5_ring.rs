//! The ring that Solo5's own tender offers since 0.11, for a tender that knows no other.
//!
//! A thread of the tender's takes entries in order: a write sends one piece of memory as a frame, a
//! read takes one frame from the tap or finds none. Writes go through the ring, a batch for one
//! fence and at most one kick. Reads do so while frames come in numbers, posted ahead so that the
//! thread works while the guest does; else a hypercall is quicker than waking the thread.
#![forbid(unsafe_code)]

use super::{Device, DeviceInfo, DeviceStats, mtu_of_one_buffer};
use crate::{
    PacketBuf, Pool, Slice,
    frame::{RxMeta, RxQueue, TxQueue},
    time::{Duration, Instant},
};
use alloc::collections::VecDeque;
use core::sync::atomic::Ordering;
use shmring::memory::SharedMemory;

/// Bytes of the ring.
pub(crate) const LEN: u64 = COMMITS + ENTRIES as u64 * COMMIT;

const ENTRIES: u32 = 1024;
const ENT_TAIL: u64 = 0;
const COM_HEAD: u64 = 4;
const ENT_HEAD: u64 = 64;
const COM_TAIL: u64 = 68;
const NEEDS_KICK: u64 = 72;
const FIRST_ENTRY: u64 = 128;
const ENTRY: u64 = 32;
const COMMITS: u64 = FIRST_ENTRY + ENTRIES as u64 * ENTRY;
const COMMIT: u64 = 16;

const WRITE: u64 = 1;
const READ: u64 = 2;

/// One entry stays free, or a full ring would look empty.
const MOST: usize = ENTRIES as usize - 1;
/// Frames in one go from which on reads are worth the thread's attention.
const MANY: usize = 4;
/// Most reads ahead.
const AHEAD: usize = 32;
/// Bytes left free in front of a received frame.
const HEADROOM: usize = 64;
/// How long the thread may take before it is kicked once more.
const PATIENCE: Duration = Duration::from_millis(1);

/// The way to the tender beside the ring.
pub(crate) trait Host {
    /// Wakes the ring's thread.
    fn kick(&mut self);
    /// Receives one frame by hypercall; its length.
    fn read(&mut self, buffer: &mut [u8]) -> Option<usize>;
    /// Sleeps until a frame has come or `timeout` is over.
    fn poll(&mut self, timeout: Duration);
    /// The clock.
    fn now(&self) -> Instant;
}

/// The tender broke its protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Broken;

/// A network device over Solo5's ring.
pub(crate) struct Solo5RingDevice<M, H> {
    info: DeviceInfo,
    handle: u32,
    pool: Pool,
    memory: M,
    host: H,
    ent_tail: u32,
    ent_head: u32,
    com_head: u32,
    published: u32,
    /// What each entry that the thread has not passed lends it.
    lent: VecDeque<Option<Slice>>,
    /// Reads posted, by id.
    reads: VecDeque<(u32, PacketBuf)>,
    /// Reads to post at once; 0 for hypercalls.
    ahead: usize,
    /// Frames of the reads posted last.
    came: usize,
    /// The ring was full.
    blocked: bool,
    broken: bool,
    /// Payload bytes gathered into one piece, since an entry names only one.
    copied: u64,
    /// Frames that did not fit into a buffer.
    dropped: u64,
}

impl<M: SharedMemory, H: Host> Solo5RingDevice<M, H> {
    /// A device over the ring in `memory`, [`LEN`] zeroed bytes that the tender serves.
    pub(crate) fn new(info: DeviceInfo, handle: u32, pool: Pool, memory: M, host: H) -> Self {
        let mtu = mtu_of_one_buffer(info.mtu, pool.config().stride - HEADROOM);
        Solo5RingDevice {
            info: DeviceInfo { mtu, ..info },
            handle,
            pool,
            memory,
            host,
            ent_tail: 0,
            ent_head: 0,
            com_head: 0,
            published: 0,
            lent: VecDeque::with_capacity(ENTRIES as usize),
            reads: VecDeque::with_capacity(AHEAD),
            ahead: 0,
            came: 0,
            blocked: false,
            broken: false,
            copied: 0,
            dropped: 0,
        }
    }

    fn load(&self, at: u64) -> u32 {
        self.memory.load_u32(at, Ordering::Acquire)
    }

    fn fail(&mut self) {
        if !self.broken {
            log::error!("the tender broke the protocol of its ring; the network is down");
            self.broken = true;
        }
    }

    /// Takes back what the thread is done with.
    fn reclaim(&mut self) -> Result<(), Broken> {
        let head = self.load(ENT_HEAD);
        let done = head.wrapping_sub(self.ent_head) as usize;
        if done > self.lent.len() {
            return Err(Broken);
        }
        (0..done).for_each(|_| drop(self.lent.pop_front()));
        self.ent_head = head;
        Ok(())
    }

    /// Writes one entry; its id.
    fn push(&mut self, operation: u64, data: &[u8], lent: Option<Slice>) -> u32 {
        let (address, len) = (data.as_ptr() as u64, data.len() as u64);
        let id = self.ent_tail;
        let at = FIRST_ENTRY + u64::from(id % ENTRIES) * ENTRY;
        self.memory.store_u64(at, operation | u64::from(self.handle) << 32);
        self.memory.store_u64(at + 8, address);
        self.memory.store_u64(at + 16, len | u64::from(id) << 32);
        self.lent.push_back(lent);
        self.ent_tail = id.wrapping_add(1);
        id
    }

    /// Shows every entry to the thread, and wakes it if it sleeps.
    fn publish(&mut self) {
        if self.published == self.ent_tail {
            return;
        }
        self.memory.store_u32(ENT_TAIL, self.ent_tail, Ordering::Release);
        self.published = self.ent_tail;
        // Pairs with the fence of the thread between its wish for a kick and its second look.
        self.memory.fence();
        if self.load(NEEDS_KICK) != 0 {
            self.host.kick();
        }
    }

    fn post_reads(&mut self) {
        while self.reads.len() < self.ahead && self.lent.len() < MOST {
            let Some(mut buf) = self.pool.alloc() else { break };
            buf.reset(HEADROOM);
            let room = buf.tailroom();
            let id = self.push(READ, buf.append(room), None);
            self.reads.push_back((id, buf));
        }
        self.publish();
    }

    /// Takes up to `budget` finished reads; how many of them had a frame.
    fn harvest(&mut self, queue: &mut RxQueue, budget: usize) -> Result<usize, Broken> {
        let done = self.load(COM_TAIL).wrapping_sub(self.com_head) as usize;
        if done > self.reads.len() {
            return Err(Broken);
        }
        let mut frames = 0;
        for _ in 0..done.min(budget) {
            let at = COMMITS + u64::from(self.com_head % ENTRIES) * COMMIT;
            let (verdict, len) = (self.memory.load_u64(at), self.memory.load_u64(at + 8) as u32);
            let (id, mut buf) = self.reads.pop_front().ok_or(Broken)?;
            self.com_head = self.com_head.wrapping_add(1);
            if verdict as u32 != id || len as usize > buf.len() {
                return Err(Broken);
            }
            if verdict >> 32 == 0 && len as usize == buf.len() {
                self.dropped += 1;
            } else if verdict >> 32 == 0 && len > 0 {
                buf.truncate(len as usize);
                queue.push(RxMeta::default(), buf.freeze(), []);
                frames += 1;
            }
        }
        self.memory.store_u32(COM_HEAD, self.com_head, Ordering::Release);
        Ok(frames)
    }

    fn receive_by_ring(&mut self, queue: &mut RxQueue, budget: usize) -> Result<usize, Broken> {
        let frames = self.harvest(queue, budget)?;
        self.reclaim()?;
        self.came += frames;
        if self.reads.is_empty() {
            self.ahead = if self.came < MANY { 0 } else { (self.ahead * 2).min(AHEAD) };
            self.came = 0;
            self.post_reads();
        }
        Ok(frames)
    }

    fn receive_by_hypercall(&mut self, queue: &mut RxQueue, budget: usize) -> usize {
        for count in 0..budget {
            let Some(mut buf) = self.pool.alloc() else { return count };
            buf.reset(HEADROOM);
            let room = buf.tailroom();
            let Some(len) = self.host.read(buf.append(room)) else { return count };
            if len == room {
                self.dropped += 1;
                continue;
            }
            buf.truncate(len);
            queue.push(RxMeta::default(), buf.freeze(), []);
        }
        budget
    }
}

impl<M: SharedMemory, H: Host> Device for Solo5RingDevice<M, H> {
    fn info(&self) -> &DeviceInfo {
        &self.info
    }

    fn stats(&self) -> DeviceStats {
        DeviceStats {
            payload_bytes_copied: self.copied,
            dropped: self.dropped,
            ..DeviceStats::default()
        }
    }

    fn pool(&self) -> &Pool {
        &self.pool
    }

    fn receive(&mut self, queue: &mut RxQueue, budget: usize) -> usize {
        if self.broken {
            return 0;
        }
        if !self.reads.is_empty() {
            return self.receive_by_ring(queue, budget).unwrap_or_else(|Broken| {
                self.fail();
                0
            });
        }
        let count = self.receive_by_hypercall(queue, budget);
        if count >= MANY {
            self.ahead = 2 * MANY;
            self.post_reads();
        }
        count
    }

    fn transmit(&mut self, queue: &mut TxQueue) -> usize {
        if self.broken || self.reclaim().is_err() {
            self.fail();
            while queue.pop().is_some() {}
            return 0;
        }
        let mut count = 0;
        self.blocked = false;
        while !queue.is_empty() {
            if self.lent.len() >= MOST - AHEAD {
                self.blocked = true;
                break;
            }
            let Some((_, frags)) = queue.pop() else { break };
            // A frame that does not fit into a buffer, or finds none, is lost as on a wire.
            if let Some(frame) = gather(&self.pool, &mut self.copied, frags) {
                self.push(WRITE, &frame.clone(), Some(frame));
            }
            count += 1;
        }
        self.publish();
        count
    }

    fn wait(&mut self, until: Option<Instant>) {
        let started = self.host.now();
        if self.reads.is_empty() && !self.blocked {
            let longest = Duration::from_secs(1);
            return self.host.poll(until.map_or(longest, |until| (until - started).min(longest)));
        }
        loop {
            let moved = self.load(COM_TAIL) != self.com_head;
            let room = self.blocked && self.load(ENT_HEAD) != self.ent_head;
            let now = self.host.now();
            if self.broken || moved || room || until.is_some_and(|until| now >= until) {
                return;
            }
            if now - started > PATIENCE {
                return self.host.kick();
            }
            core::hint::spin_loop();
        }
    }
}

/// The frame as one piece.
fn gather(pool: &Pool, copied: &mut u64, mut frags: impl Iterator<Item = Slice>) -> Option<Slice> {
    let first = frags.next()?;
    let Some(second) = frags.next() else { return Some(first) };
    let mut buf = pool.alloc_reserved()?;
    buf.reset(0);
    for (i, slice) in [first, second].into_iter().chain(frags).enumerate() {
        if slice.len() > buf.tailroom() {
            return None;
        }
        buf.append(slice.len()).copy_from_slice(&slice);
        *copied += if i > 0 { slice.len() as u64 } else { 0 };
    }
    Some(buf.freeze())
}

#[cfg(test)]
mod tests;
