//! Starting a service in an image: its devices, attached as the tender offers.

use super::{
    boot,
    clock::Clock,
    disk::Disk,
    entropy,
    hypercall::{self, call},
};
use crate::{
    Pool, PoolConfig,
    block::Sectors,
    device::{
        Device, DeviceInfo,
        hypercall::HypercallDevice,
        ring::{Doorbell, LARGE_LENT, RingDevice, Rings, offloads},
        solo5_ring::{self, Solo5RingDevice},
    },
    frame::Offloads,
    net::Publish,
    rt::Platform,
    service::{
        Args, Attached, Attaching, Board, Device as Declaration, Env, HELP, Kind, Outcome,
        undeclared,
    },
    time::{Duration, Instant},
    wire::MacAddr,
};
use alloc::{alloc::alloc_zeroed, boxed::Box, format, string::String, vec::Vec};
use core::{alloc::Layout, ptr::NonNull};
use shmring::{
    abi::{Features, MAJOR, MAX_STATS, STAT_LEN, STAT_NAME, offer::Offer, port},
    guest::{Broken, MemClass, Region, RegionConfig, Watch},
    memory::{RawMemory, SharedMemory},
};

pub use super::manifest::{ABI, Desc, Note, note};

/// The processor as a platform.
struct Processor(Clock);

impl Platform for Processor {
    fn now(&self) -> Instant {
        self.0.now()
    }

    fn wall_clock(&self) -> u64 {
        hypercall::walltime()
    }

    fn entropy(&self) -> [u8; 32] {
        entropy::seed()
    }

    fn idle(&self, until: Option<Instant>) {
        let left = until.map_or(Duration::from_secs(1), |until| until - self.now());
        hypercall::poll(u64::try_from(left.as_nanos()).unwrap_or(u64::MAX));
    }
}

/// Zeroed pages that stay for ever.
fn pages(bytes: usize) -> Option<NonNull<u8>> {
    let layout = Layout::from_size_align(bytes.max(1), 4096).ok()?;
    // SAFETY: the size is not zero.
    NonNull::new(unsafe { alloc_zeroed(layout) })
}

/// A pool of a quarter of memory, shared by `nets` networks, within bounds.
fn pool(nets: usize) -> Option<Pool> {
    let stride = PoolConfig::default().stride;
    let count = (boot::memory() as usize / 4 / nets / stride).clamp(128, 4096);
    let config = PoolConfig { count, ..PoolConfig::default() };
    let base = pages(config.bytes())?;
    // SAFETY: fresh pages that nobody else knows; the tender keeps the rings' protocol, which is
    // the one assumption about it. A unikernel has one thread.
    Some(unsafe { Pool::from_raw_confined(config, base) })
}

/// The shape of a pool of large buffers, for the rest of coalesced frames, of an eighth of memory;
/// none where memory is so small that the other pool needs it.
fn large_config(nets: usize) -> Option<PoolConfig> {
    let stride = 1 << 16;
    let count = (boot::memory() as usize / 8 / nets / stride).min(64);
    (count >= LARGE_LENT).then_some(PoolConfig { stride, count, headroom: 0, reserve: 0 })
}

fn large_pool(nets: usize) -> Option<Pool> {
    let config = large_config(nets)?;
    let base = pages(config.bytes())?;
    // SAFETY: as in `pool`.
    Some(unsafe { Pool::from_raw_confined(config, base) })
}

/// The table of statistics that the tender reads.
struct Table {
    memory: RawMemory,
    address: u64,
}

impl Table {
    fn new() -> Option<Table> {
        let len = u64::from(MAX_STATS) * STAT_LEN;
        let base = pages(len as usize)?;
        // SAFETY: fresh pages, reached only by words from here on.
        let memory = unsafe { RawMemory::new(base, len) };
        Some(Table { memory, address: base.as_ptr() as u64 })
    }

    fn publish(self) -> Publish {
        // Counters come in the same order each time, so that each name is written once.
        let mut named = 0;
        Box::new(move |counters| {
            let own = [("heap_requests", boot::heap_requests())];
            for (i, (name, value)) in (0..u64::from(MAX_STATS)).zip(counters.chain(own)) {
                self.memory.store_u64(i * STAT_LEN + STAT_NAME as u64, value);
                if i < named {
                    continue;
                }
                named = i + 1;
                let mut text = [0; STAT_NAME];
                let len = name.len().min(STAT_NAME);
                text[..len].copy_from_slice(&name.as_bytes()[..len]);
                for (word, bytes) in text.chunks_exact(8).enumerate() {
                    let bytes = bytes.try_into().map_or(0, u64::from_le_bytes);
                    self.memory.store_u64(i * STAT_LEN + word as u64 * 8, bytes);
                }
            }
        })
    }
}

/// The ports of a tender that offers rings, and the region that was laid out for it.
struct Ports {
    base: u16,
    handle: u64,
    region: RawMemory,
    address: u64,
    config: RegionConfig,
    large: Option<Pool>,
    watch: Watch<RawMemory>,
    clock: Clock,
}

impl Ports {
    /// Hands the region over; the tender's reason when it refuses.
    fn attach(base: u16, handle: u64, address: u64, config: &RegionConfig) -> Result<(), i32> {
        #[repr(C)]
        struct Attach(u64, u64, u64, i32, u32);
        let mut arg = Attach(handle, address, config.size(), -1, 0);
        // SAFETY: the struct of this port; the region and what it names is for the tender to reach.
        unsafe { call(base + port::ATTACH, &mut arg) };
        if arg.3 == 0 { Ok(()) } else { Err(arg.3) }
    }
}

impl Doorbell<RawMemory> for Ports {
    fn kick(&mut self) {
        hypercall::kick(self.base + port::KICK);
    }

    fn wait(&mut self, timeout: Duration) {
        #[repr(C)]
        struct Wait(u64, u64, i32, u32);
        let nanos = u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX);
        // SAFETY: the struct of this port.
        unsafe { call(self.base + port::WAIT, &mut Wait(nanos, 0, 0, 0)) };
    }

    fn polling(&self) -> Result<bool, Broken> {
        self.watch.polling()
    }

    fn restart(&mut self, pool: &Pool) -> Option<Rings<RawMemory>> {
        #[repr(C)]
        struct Reset(u64, i32, u32);
        let mut arg = Reset(self.handle, -1, 0);
        // SAFETY: the struct of this port.
        unsafe { call(self.base + port::RESET, &mut arg) };
        let large = self.large.as_ref();
        let mut region = Region::build_with(self.region, &self.config, pool, large);
        Ports::attach(self.base, self.handle, self.address, &self.config).ok()?;
        self.watch = Watch::new(self.region);
        region.pairs.pop()
    }

    fn now(&self) -> Instant {
        self.clock.now()
    }
}

/// What a tender with Solo5's ring has beside it.
struct Hypercalls {
    handle: u64,
    clock: Clock,
}

impl solo5_ring::Host for Hypercalls {
    fn kick(&mut self) {
        hypercall::kick(0x600);
    }

    fn read(&mut self, buffer: &mut [u8]) -> Option<usize> {
        hypercall::net_read(self.handle, buffer)
    }

    fn poll(&mut self, timeout: Duration) {
        hypercall::poll(u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX));
    }

    fn now(&self) -> Instant {
        self.clock.now()
    }
}

const ENTRIES: u32 = 256;

/// What a tender that offers our ABI serves: the statistics, and rings if it has them.
struct Offered {
    rings: Option<(Rings<RawMemory>, Ports)>,
    publish: Publish,
}

/// Lays a region out and attaches it.
fn attach(offer: &Offer, handle: u64, pool: &Pool, nets: usize, clock: Clock) -> Option<Offered> {
    let table = Table::new()?;
    let wants_large = offer.features.contains(Features::FILL_LARGE);
    let large = wants_large.then(|| large_pool(nets)).flatten();
    let declined = if large.is_some() { Features::empty() } else { Features::FILL_LARGE };
    let config = RegionConfig {
        pairs: 1,
        entries: ENTRIES,
        offered: offer.features,
        accepted: offer.features - declined,
        origin: 0,
        mem: Some(MemClass { size: boot::memory() }),
        stats: Some((table.address, MAX_STATS)),
    };
    let base = pages(config.size() as usize)?;
    let address = base.as_ptr() as u64;
    // SAFETY: fresh pages, reached only by words from here on.
    let region = unsafe { RawMemory::new(base, config.size()) };
    let mut pairs = Region::build_with(region, &config, pool, large.as_ref()).pairs;
    if let Err(reason) = Ports::attach(offer.port, handle, address, &config) {
        log::warn!("the tender refused the rings (reason {reason}); falling back");
        return None;
    }
    let watch = Watch::new(region);
    let ports = Ports { base: offer.port, handle, region, address, config, large, watch, clock };
    Some(Offered { rings: pairs.pop().map(|rings| (rings, ports)), publish: table.publish() })
}

/// The tender as a board.
struct Tender {
    clock: Clock,
    /// Networks that share the memory.
    nets: usize,
}

impl Board for Tender {
    fn net(&mut self, name: &str) -> Result<Attached, String> {
        let Some((handle, mac, mtu)) = boot::manifest().net(name) else {
            return Err(format!(
                "network device {name} is not attached; start the tender with --net:{name}=TAP"
            ));
        };
        let pool = pool(self.nets).ok_or("no memory for packet buffers; raise --mem")?;
        let clock = self.clock;
        let offer = boot::manifest().rings().filter(|offer| offer.major == MAJOR);
        let wants_large = offer.is_some_and(|o| o.features.contains(Features::FILL_LARGE));
        let large = large_config(self.nets).filter(|_| wants_large).map_or(0, |c| c.bytes());
        let heap = boot::heap().saturating_sub(self.nets * (pool.config().bytes() + large));
        let offered = offer.and_then(|offer| attach(&offer, handle, &pool, self.nets, clock));
        let (rings, publish) = match offered {
            Some(Offered { rings, publish }) => (rings, Some(publish)),
            None => (None, None),
        };
        let device: Box<dyn Device> = if let Some((rings, ports)) = rings {
            let offloads = offloads(ports.config.accepted);
            let info = DeviceInfo { mac, mtu, offloads, io_mode: "shmring" };
            Box::new(RingDevice::new(info, pool, rings, ports))
        } else if let Some(base) = boot::solo5_ring().filter(|_| self.nets == 1) {
            let info = DeviceInfo { mac, mtu, offloads: Offloads::empty(), io_mode: "solo5-ring" };
            // SAFETY: the tender keeps these pages for the ring alone, and the entry has mapped
            // them.
            let memory = unsafe { RawMemory::new(base, solo5_ring::LEN) };
            let host = Hypercalls { handle, clock };
            Box::new(Solo5RingDevice::new(info, handle as u32, pool, memory, host))
        } else {
            Box::new(HypercallDevice::new(handle, MacAddr(mac.0), mtu, pool, clock))
        };
        Ok(Attached { device, publish, heap: heap / self.nets })
    }

    fn block(&mut self, name: &str) -> Result<Box<dyn Sectors>, String> {
        match boot::manifest().block(name) {
            Some((handle, capacity, sector)) => Ok(Box::new(Disk::new(handle, capacity, sector))),
            None => Err(format!(
                "block device {name} is not attached; start the tender with --block:{name}=FILE"
            )),
        }
    }
}

/// Runs a service with the devices that it declares; its exit status.
#[doc(hidden)]
pub fn run<D, F, T>(
    declared: &[Declaration],
    attach: impl FnOnce(&mut Attaching<'_>) -> Result<D, String>,
    main: impl FnOnce(D, Env) -> F,
) -> i32
where
    F: Future<Output = T> + 'static,
    T: Outcome + 'static,
{
    let args = match Args::parse(boot::cmdline().split(' ')) {
        Ok(args) if args.help => {
            super::console::print(&format!("{HELP}\n"));
            return 0;
        }
        Ok(args) => args,
        Err(problem) => {
            super::console::print(&format!("{problem}; try --help\n"));
            return 1;
        }
    };
    let nets = declared.iter().filter(|device| device.kind == Kind::Net);
    let nets: Vec<&str> = nets.map(|device| device.name).collect();
    if let Some(name) = args.unknown_net(&nets)
        && let Err(problem) = undeclared(declared, name, Kind::Net)
    {
        log::error!("{problem}");
        return 1;
    }
    let clock = Clock::new();
    let mut tender = Tender { clock, nets: nets.len().max(1) };
    crate::service::run(Processor(clock), &mut tender, args, attach, main)
}
