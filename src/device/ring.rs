//! Shared rings as a device (see `shmring`).
#![forbid(unsafe_code)]

use super::{Device, DeviceInfo, DeviceStats, Look};
use crate::{
    Pool, Slice,
    frame::{Gso, GsoKind, Offloads, RxCsum, RxMeta, RxQueue, TxMeta, TxQueue},
    time::{Duration, Instant},
};
use alloc::vec::Vec;
use shmring::{
    abi::{Features, MAX_FRAGS, gso},
    guest::{Broken, RxRing, TxInfo, TxRing},
    memory::SharedMemory,
};

/// Large buffers lent at the same time: a batch of coalesced frames.
pub const LARGE_LENT: usize = 32;

/// Times that a device starts its rings again before it gives up.
const RESTARTS: u32 = 8;

/// A pair's rings.
pub type Rings<M> = (TxRing<M>, RxRing<M>);

/// What the rings need of the way to the tender.
pub trait Doorbell<M: SharedMemory> {
    /// Tells a service thread that sleeps.
    fn kick(&mut self);
    /// Lets the tender serve the rings, and sleeps until a frame has come or `timeout` is over.
    fn wait(&mut self, timeout: Duration);
    /// Whether a thread of the tender's serves the rings now, so that polling pays.
    ///
    /// # Errors
    /// [`Broken`] when the tender serves them no more.
    fn polling(&self) -> Result<bool, Broken>;
    /// Makes the tender forget the rings, and attaches fresh ones; `None` when it refuses.
    fn restart(&mut self, pool: &Pool) -> Option<Rings<M>>;
    /// The clock.
    fn now(&self) -> Instant;
}

/// A network device over rings.
pub struct RingDevice<M: SharedMemory, B> {
    info: DeviceInfo,
    pool: Pool,
    tx: TxRing<M>,
    rx: RxRing<M>,
    doorbell: B,
    broken: Option<Broken>,
    restarts: u32,
    stats: DeviceStats,
    /// Descriptors that the next frame waits for.
    blocked: Option<usize>,
}

/// Offloads of the stack that the accepted features stand for.
pub fn offloads(features: Features) -> Offloads {
    let pairs = [
        (Features::TX_CSUM, Offloads::TX_CSUM),
        (Features::TSO4, Offloads::TSO4),
        (Features::TSO6, Offloads::TSO6),
        (Features::USO, Offloads::USO),
        (Features::RX_CSUM, Offloads::RX_CSUM),
        (Features::RX_GSO, Offloads::RX_GSO),
    ];
    pairs.into_iter().filter(|(f, _)| features.contains(*f)).map(|(_, o)| o).collect()
}

impl<M: SharedMemory + Copy, B: Doorbell<M>> RingDevice<M, B> {
    /// A device over rings that were attached.
    pub fn new(info: DeviceInfo, pool: Pool, rings: Rings<M>, doorbell: B) -> Self {
        let (tx, rx) = rings;
        let mut device = RingDevice {
            info,
            pool,
            tx,
            rx,
            doorbell,
            broken: None,
            restarts: 0,
            stats: DeviceStats::default(),
            blocked: None,
        };
        device.refill();
        device
    }

    /// Starts over with fresh rings; what was on its way is lost, as on a wire.
    fn fail(&mut self, broken: Broken) {
        if self.broken.is_some() {
            return;
        }
        self.restarts += 1;
        let fresh = if self.restarts > RESTARTS { None } else { self.doorbell.restart(&self.pool) };
        let Some((tx, rx)) = fresh else {
            log::error!("{broken}; the network is down");
            self.broken = Some(broken);
            return;
        };
        log::warn!("{broken}; the rings start again");
        // The tender has forgotten the old ones, so what they lent is ours again.
        core::mem::replace(&mut self.tx, tx).after_reset();
        core::mem::replace(&mut self.rx, rx).after_reset();
        self.stats.restarts += 1;
        self.refill();
    }

    /// Lends buffers: half of the pool at most, so that the other half can be sent from.
    fn refill(&mut self) {
        let most = self.pool.config().count / 2;
        let kicks = self.rx.refill(most).and_then(|kick| {
            let kick_large = self.rx.refill_large(LARGE_LENT)?;
            Ok(kick || kick_large)
        });
        match kicks {
            Ok(true) => self.doorbell.kick(),
            Ok(false) => {}
            Err(broken) => self.fail(broken),
        }
    }

    /// Copies of a frame's slices in buffers of the pool, where the tender can reach them.
    fn copied(&mut self, frags: &mut Vec<Slice>) -> bool {
        let stride = self.pool.config().stride;
        let mut copies = Vec::new();
        for slice in frags.drain(..) {
            if self.tx.descriptors(&slice).is_some() {
                copies.push(slice);
                continue;
            }
            for part in slice.chunks(stride) {
                let Some(mut buf) = self.pool.alloc_reserved() else { return false };
                buf.reset(0);
                buf.append(part.len()).copy_from_slice(part);
                self.stats.payload_bytes_copied += part.len() as u64;
                copies.push(buf.freeze());
            }
        }
        *frags = copies;
        true
    }

    /// Writes the next frame, if there is room for it; false when there is none.
    fn send_next(&mut self, queue: &mut TxQueue) -> bool {
        let (mut needed, mut reachable) = (0, true);
        for slice in queue.peek_frags() {
            match self.tx.descriptors(slice) {
                Some(n) => needed += n,
                None => (needed, reachable) = (needed + slice.len() / 1024 + 1, false),
            }
        }
        if needed > self.tx.room() {
            self.blocked = Some(needed);
            return false;
        }
        let Some((meta, frags)) = queue.pop() else { return false };
        if reachable && needed <= MAX_FRAGS {
            self.tx.push(info(&meta), frags);
            return true;
        }
        let mut frags: Vec<Slice> = frags.collect();
        if self.copied(&mut frags) && frags.len() <= MAX_FRAGS {
            self.tx.push(info(&meta), frags.into_iter());
        } else {
            self.stats.dropped += 1;
        }
        true
    }
}

impl<M: SharedMemory + Copy, B: Doorbell<M>> Device for RingDevice<M, B> {
    fn info(&self) -> &DeviceInfo {
        &self.info
    }

    fn pool(&self) -> &Pool {
        &self.pool
    }

    fn receive(&mut self, queue: &mut RxQueue, budget: usize) -> usize {
        if self.broken.is_some() {
            return 0;
        }
        match self.take(queue, budget) {
            Ok(count) => {
                if count > 0 {
                    self.refill();
                }
                count
            }
            Err(broken) => {
                self.fail(broken);
                0
            }
        }
    }

    fn transmit(&mut self, queue: &mut TxQueue) -> usize {
        if self.broken.is_some() {
            while queue.pop().is_some() {}
            return 0;
        }
        if let Err(broken) = self.tx.reclaim() {
            self.fail(broken);
            return 0;
        }
        let mut count = 0;
        self.blocked = None;
        while !queue.is_empty() && self.send_next(queue) {
            count += 1;
        }
        if self.tx.publish() {
            self.doorbell.kick();
        }
        count
    }

    fn stats(&self) -> DeviceStats {
        self.stats
    }

    fn look(&mut self, due: bool) -> Look {
        if self.broken.is_some() {
            return Look::Wait;
        }
        match self.doorbell.polling() {
            Ok(true) => {}
            Ok(false) => return Look::Wait,
            Err(broken) => {
                self.fail(broken);
                return Look::Ready;
            }
        }
        let frames = self.rx.refresh().is_ok_and(|ready| ready > 0);
        let over = match self.blocked {
            Some(needed) => self.tx.reclaim().is_ok() && self.tx.room() >= needed,
            None => due,
        };
        if frames || over { Look::Ready } else { Look::Again }
    }

    fn wait(&mut self, until: Option<Instant>) {
        let now = self.doorbell.now();
        if self.look(until.is_some_and(|until| now >= until)) == Look::Ready {
            return;
        }
        let longest = if self.blocked.is_some() { Duration::ZERO } else { Duration::from_secs(1) };
        self.refill();
        self.doorbell.wait(until.map_or(longest, |until| (until - now).min(longest)));
    }
}

impl<M: SharedMemory + Copy, B: Doorbell<M>> RingDevice<M, B> {
    fn take(&mut self, queue: &mut RxQueue, budget: usize) -> Result<usize, Broken> {
        if self.rx.refresh()? == 0 {
            return Ok(0);
        }
        let mut count = 0;
        while count < budget {
            queue.begin();
            let Some(info) = self.rx.pop(|slice| queue.add(slice))? else {
                queue.abandon();
                break;
            };
            queue.finish(meta(info));
            count += 1;
        }
        self.rx.release();
        Ok(count)
    }
}

fn info(meta: &TxMeta) -> TxInfo {
    TxInfo {
        csum: meta.csum.map(|csum| (csum.start, csum.offset as u8)),
        gso: meta.gso.map(|g| {
            let kind = match g.kind {
                GsoKind::Tcp4 => gso::TCPV4,
                GsoKind::Tcp6 => gso::TCPV6,
                GsoKind::Udp => gso::UDP_L4,
            };
            (if g.ecn { kind | gso::ECN } else { kind }, g.size)
        }),
    }
}

fn meta(info: shmring::guest::RxInfo) -> RxMeta {
    let kind = |kind: u8| match kind & !gso::ECN {
        gso::TCPV4 => Some(GsoKind::Tcp4),
        gso::TCPV6 => Some(GsoKind::Tcp6),
        gso::UDP_L4 => Some(GsoKind::Udp),
        _ => None,
    };
    let csum = if info.csum_valid { RxCsum::Valid } else { RxCsum::Unknown };
    let gso = info
        .gso
        .and_then(|(bits, size)| Some(Gso { kind: kind(bits)?, size, ecn: bits & gso::ECN != 0 }));
    RxMeta { csum, gso }
}
