//! Standard hvt mode: a hypercall a frame.
#![forbid(unsafe_code)]

use super::{Device, DeviceInfo, DeviceStats, mtu_of_one_buffer};
use crate::{
    Pool, Slice,
    frame::{Offloads, RxMeta, RxQueue, TxQueue},
    hvt::{
        clock::Clock,
        hypercall::{self, Status},
    },
    time::{Duration, Instant},
    wire::MacAddr,
};

/// Bytes left free in front of a received frame.
const HEADROOM: usize = 64;

/// A network device of a tender without rings.
pub(crate) struct HypercallDevice {
    info: DeviceInfo,
    handle: u64,
    pool: Pool,
    clock: Clock,
    frame: alloc::vec::Vec<u8>,
    stats: DeviceStats,
}

impl HypercallDevice {
    pub(crate) fn new(handle: u64, mac: MacAddr, mtu: u16, pool: Pool, clock: Clock) -> Self {
        let mtu = mtu_of_one_buffer(mtu, pool.config().stride - HEADROOM);
        let info = DeviceInfo { mac, mtu, offloads: Offloads::empty(), io_mode: "hypercall" };
        let frame = alloc::vec![0; usize::from(mtu) + 18];
        HypercallDevice { info, handle, pool, clock, frame, stats: DeviceStats::default() }
    }
}

impl Device for HypercallDevice {
    fn info(&self) -> &DeviceInfo {
        &self.info
    }

    fn pool(&self) -> &Pool {
        &self.pool
    }

    fn receive(&mut self, queue: &mut RxQueue, budget: usize) -> usize {
        for count in 0..budget {
            let Some(mut buf) = self.pool.alloc() else { return count };
            buf.reset(HEADROOM);
            let room = buf.tailroom();
            let Some(len) = hypercall::net_read(self.handle, buf.append(room)) else {
                return count;
            };
            if len == room {
                self.stats.dropped += 1;
                continue;
            }
            buf.truncate(len);
            queue.push(RxMeta::default(), buf.freeze(), []);
        }
        budget
    }

    fn transmit(&mut self, queue: &mut TxQueue) -> usize {
        let mut count = 0;
        while let Some((_, frags)) = queue.pop() {
            let mut frags = frags.peekable();
            let Some(first) = frags.next() else { continue };
            let frame: Slice = if frags.peek().is_none() {
                first
            } else {
                let mut len = 0;
                for (i, slice) in core::iter::once(first).chain(frags).enumerate() {
                    let Some(part) = self.frame.get_mut(len..len + slice.len()) else { break };
                    part.copy_from_slice(&slice);
                    len += slice.len();
                    // The hypercall takes no list: payload is gathered behind its headers.
                    self.stats.payload_bytes_copied += if i > 0 { slice.len() as u64 } else { 0 };
                }
                let _ = hypercall::net_write(self.handle, &self.frame[..len]);
                count += 1;
                continue;
            };
            // A frame that the host does not take is lost, as on a wire.
            if hypercall::net_write(self.handle, &frame) == Status::Ok {
                count += 1;
            }
        }
        count
    }

    fn stats(&self) -> DeviceStats {
        self.stats
    }

    fn wait(&mut self, until: Option<Instant>) {
        let longest = Duration::from_secs(1);
        let now = self.clock.now();
        let timeout = until.map_or(longest, |until| (until - now).min(longest));
        hypercall::poll(timeout.as_nanos() as u64);
    }
}
