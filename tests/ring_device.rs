//! The ring device against the crate's tender side, in one process: its start over after a fault.

use shmring::{
    Pool, PoolConfig,
    abi::{Features, header},
    guest::{Broken, Region, RegionConfig, Watch},
    memory::{RawMemory, SharedMemory},
    tender::{Limits, Pair, Violation, attach},
};
use std::{alloc, cell::RefCell, ptr::NonNull, rc::Rc, sync::atomic::Ordering};
use zerohop::{
    device::{
        Device, DeviceInfo,
        ring::{Doorbell, LARGE_LENT, RingDevice, Rings},
    },
    frame::{Offloads, RxQueue, TxMeta, TxQueue},
    time::{Duration, Instant},
    wire::MacAddr,
};

/// What guest and tender share, and the tender's side of it.
struct Host {
    memory: RawMemory,
    config: RegionConfig,
    large: Option<Pool>,
    pair: RefCell<Option<Pair<RawMemory>>>,
    epoch: RefCell<u32>,
    attach: bool,
}

impl Host {
    fn attach(&self) -> bool {
        let limits = Limits { offered: Features::all(), max_pairs: 1, memory: u64::MAX };
        let Ok(mut attached) = attach(self.memory, &limits) else { return false };
        *self.epoch.borrow_mut() += 1;
        self.memory.store_u32(header::EPOCH, *self.epoch.borrow(), Ordering::Relaxed);
        self.memory.store_u32(header::TENDER_STATUS, 0, Ordering::Relaxed);
        self.pair.replace(attached.pairs.pop());
        true
    }
}

struct Bell {
    host: Rc<Host>,
    watch: Watch<RawMemory>,
}

impl Doorbell<RawMemory> for Bell {
    fn kick(&mut self) {}
    fn wait(&mut self, _: Duration) {}
    fn polling(&self) -> Result<bool, Broken> {
        self.watch.polling()
    }
    fn restart(&mut self, pool: &Pool) -> Option<Rings<RawMemory>> {
        self.host.pair.replace(None);
        let Host { memory, config, large, .. } = &*self.host;
        let mut region = Region::build_with(*memory, config, pool, large.as_ref());
        if !self.host.attach || !self.host.attach() {
            return None;
        }
        self.watch = Watch::new(self.host.memory);
        region.pairs.pop()
    }
    fn now(&self) -> Instant {
        Instant::ZERO
    }
}

fn device(attach: bool) -> (Rc<Host>, Pool, RingDevice<RawMemory, Bell>) {
    device_with(attach, None)
}

fn device_with(attach: bool, large: Option<Pool>) -> (Rc<Host>, Pool, RingDevice<RawMemory, Bell>) {
    let coalesced = Features::RX_CSUM | Features::RX_GSO | Features::FILL_LARGE;
    let pool = Pool::heap(PoolConfig { count: 256, ..PoolConfig::default() });
    let config = RegionConfig {
        pairs: 1,
        entries: 64,
        offered: Features::all(),
        accepted: Features::RINGS | large.as_ref().map_or(Features::empty(), |_| coalesced),
        origin: 0,
        mem: None,
        stats: None,
    };
    let layout = alloc::Layout::from_size_align(config.size() as usize, 4096).unwrap();
    // SAFETY: the size is not zero.
    let pages = NonNull::new(unsafe { alloc::alloc_zeroed(layout) }).unwrap();
    // SAFETY: fresh pages that stay, and to which nobody refers.
    let memory = unsafe { RawMemory::new(pages, config.size()) };
    let rings = Region::build_with(memory, &config, &pool, large.as_ref()).pairs.remove(0);
    let (pair, epoch) = (RefCell::new(None), RefCell::new(0));
    let host = Rc::new(Host { memory, config, large, pair, epoch, attach });
    assert!(host.attach());
    let bell = Bell { host: host.clone(), watch: Watch::new(memory) };
    let mac = MacAddr([2, 0, 0, 0, 0, 1]);
    let offloads = Offloads::empty();
    let info = DeviceInfo { mac, mtu: 1500, offloads, io_mode: "shmring" };
    (host, pool.clone(), RingDevice::new(info, pool, rings, bell))
}

/// Sends one frame; the bytes that the tender sees.
fn send(host: &Host, pool: &Pool, device: &mut impl Device) -> Option<usize> {
    let mut queue = TxQueue::default();
    let mut frame = pool.alloc()?;
    frame.append(60).fill(1);
    queue.push(TxMeta::default(), frame.freeze(), []);
    device.transmit(&mut queue);
    let mut pair = host.pair.borrow_mut();
    let tx = &mut pair.as_mut()?.tx;
    tx.refresh().ok()?;
    let len = tx.next().ok()?.map(|frame| frame.len);
    tx.release();
    len
}

/// Receives one frame of this many bytes.
fn receive(host: &Host, device: &mut impl Device, len: usize) -> usize {
    if let Some(pair) = host.pair.borrow_mut().as_mut() {
        assert!(pair.rx.buffers().unwrap().next().is_some(), "buffers are lent");
        pair.rx.commit(len, Default::default());
        pair.rx.publish();
    }
    let mut queue = RxQueue::default();
    device.receive(&mut queue, 8)
}

#[test]
fn closed_rings_start_again_and_no_buffer_is_lost() {
    let (host, pool, mut device) = device(true);
    assert_eq!(send(&host, &pool, &mut device), Some(60));
    assert_eq!(receive(&host, &mut device, 100), 1);
    let whole = pool.stats().free;
    for fault in [Violation::Chain.status(), Violation::Index.status()] {
        host.memory.store_u32(header::TENDER_STATUS, fault, Ordering::Relaxed);
        device.wait(None);
        assert_eq!(send(&host, &pool, &mut device), Some(60));
        assert_eq!(receive(&host, &mut device, 100), 1);
    }
    // The tender was replaced by another.
    host.memory.store_u32(header::EPOCH, 77, Ordering::Relaxed);
    device.wait(None);
    assert_eq!(send(&host, &pool, &mut device), Some(60));
    // An index that cannot be.
    let cons = 0x1000 + 0x80;
    host.memory.store_u32(cons, 9999, Ordering::Relaxed);
    send(&host, &pool, &mut device);
    assert_eq!(send(&host, &pool, &mut device), Some(60));
    assert_eq!(device.stats().restarts, 4);
    assert!(pool.stats().free >= whole - 2, "{:?}, {whole} before", pool.stats());
}

#[test]
fn large_buffers_are_lent_given_back_and_survive_a_start_over() {
    let config = PoolConfig { stride: 1 << 16, count: LARGE_LENT + 8, headroom: 0, reserve: 0 };
    let large = Pool::heap(config);
    let (host, pool, mut device) = device_with(true, Some(large.clone()));
    let idle = pool.stats().free;
    assert_eq!(large.stats().free, 8);
    for round in 0..200 {
        assert_eq!(receive(&host, &mut device, 60_000), 1);
        // Every frame was dropped; what came back is lent again in batches.
        assert!((idle..idle + 16).contains(&pool.stats().free), "{:?}", pool.stats());
        assert!((8..12).contains(&large.stats().free), "{:?}", large.stats());
        if round % 50 == 49 {
            host.memory.store_u32(
                header::TENDER_STATUS,
                Violation::Range.status(),
                Ordering::Relaxed,
            );
            device.wait(None);
            assert_eq!(large.stats().free, 8);
        }
    }
    assert_eq!(device.stats().restarts, 4);
}

#[test]
fn a_tender_that_refuses_leaves_the_network_down_and_the_guest_alive() {
    let (host, pool, mut device) = device(false);
    host.memory.store_u32(header::TENDER_STATUS, Violation::Range.status(), Ordering::Relaxed);
    device.wait(None);
    for _ in 0..100 {
        assert_eq!(send(&host, &pool, &mut device), None);
        assert_eq!(receive(&host, &mut device, 100), 0);
        device.wait(None);
    }
    assert_eq!(device.stats().restarts, 0);
}

#[test]
fn a_device_that_keeps_failing_is_given_up() {
    let (host, _pool, mut device) = device(true);
    for _ in 0..20 {
        host.memory.store_u32(header::TENDER_STATUS, Violation::Flags.status(), Ordering::Relaxed);
        device.wait(None);
    }
    assert_eq!(device.stats().restarts, 8);
}
