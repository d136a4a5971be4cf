//! One stack, and the test as the rest of its link: frames in, frames out, a virtual clock.

use zerohop::{
    Pool, PoolConfig, Slice,
    device::DeviceInfo,
    frame::{Offloads, RxMeta, RxQueue, TxQueue},
    stack::{Config, Stack},
    time::{Duration, Instant},
    wire::MacAddr,
};

pub const OWN_MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 2]);
pub const PEER_MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);

pub struct Host {
    pub stack: Stack,
    pub pool: Pool,
    pub now: Instant,
    pub tx: TxQueue,
}

impl Host {
    pub fn start(config: &Config, buffers: usize) -> Host {
        let info =
            DeviceInfo { mac: OWN_MAC, mtu: 1500, offloads: Offloads::empty(), io_mode: "wire" };
        let pool = Pool::heap(PoolConfig { count: buffers, ..PoolConfig::default() });
        let now = Instant::from_millis(1_000_000);
        let stack = Stack::new(config, &info, pool.clone(), [7; 32], now);
        Host { stack, pool, now, tx: TxQueue::default() }
    }

    /// Hands a frame to the stack and lets it answer.
    pub fn inject(&mut self, frame: &[u8]) {
        self.inject_as(frame, RxMeta::default());
    }

    pub fn inject_as(&mut self, frame: &[u8], meta: RxMeta) {
        let mut rx = RxQueue::default();
        let mut slices = frame.chunks(1900).filter_map(|chunk| {
            let mut buf = self.pool.alloc()?;
            buf.append(chunk.len()).copy_from_slice(chunk);
            Some(buf.freeze())
        });
        // No buffer: the frame is lost.
        let Some(head) = slices.next() else { return };
        let rest: Vec<Slice> = slices.collect();
        rx.push(meta, head, rest);
        self.stack.receive(self.now, &mut rx, &mut self.tx);
        self.stack.poll(self.now, &mut self.tx);
    }

    /// Lets time pass; timers fire when they are due.
    pub fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(at) = self.stack.poll_at()
            && at <= end
        {
            self.now = self.now.max(at);
            self.stack.poll(self.now, &mut self.tx);
        }
        self.now = end;
        self.stack.poll(self.now, &mut self.tx);
    }

    /// The frames that were sent since the last call.
    pub fn frames(&mut self) -> Vec<Vec<u8>> {
        let mut frames = Vec::new();
        while let Some((_, slices)) = self.tx.pop() {
            frames.push(slices.flat_map(|slice| slice.to_vec()).collect());
        }
        frames
    }

    pub fn count(&self, name: &str) -> u64 {
        self.stack.stats().find(|(n, _)| *n == name).unwrap_or_else(|| panic!("{name}")).1
    }
}
