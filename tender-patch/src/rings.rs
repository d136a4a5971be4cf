//! Network devices and the service of their rings.
//!
//! Frames are moved by one owner at a time. The vCPU's thread owns them at first: the guest hands
//! over a batch by one exit, and sleeps in it. When exits get short and small, which is what a
//! ping-pong looks like, or a transfer to the guest comes, a thread of its own takes over and
//! polls, while the guest polls too: no exit is left. The guest's next sleep, or batches that grow,
//! bring them back.

mod apart;
mod linger;
mod nic;
mod policy;
mod rest;
#[cfg(test)]
mod stress;
mod thread;

use crate::{
    args::{Io, ServiceMode},
    capture::Capture,
    confine::{self, Role},
    memory::Memory,
    stats::Stats,
    sys,
    tap::Tap,
};
use apart::Place;
use linger::Linger;
use nic::{Moved, Nic};
use policy::{Pace, Sleeps, Turns};
use rest::Rest;
use shmring::{
    abi::{Features, MAJOR, MINOR, header, offer::Offer, port},
    memory::SharedMemory,
    tender::{AttachError, Limits, Span, attach},
};
use std::{
    os::fd::{AsRawFd, RawFd},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};
use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};

/// Frames read from a tap before the guest sees them.
const RX_BUDGET: usize = 64;
/// Frames taken from a guest before anything else has its turn.
const TX_BUDGET: usize = 256;

/// The devices, with whoever serves them.
struct Service {
    nics: Vec<Nic>,
    sleeps: Sleeps,
    rest: Rest,
    /// Of this tenure of the thread's, if it has the rings; it was given them then.
    turns: Turns,
    tenure: Instant,
    /// Where the vCPU was, unless the thread has moved away since.
    vcpu: Option<Place>,
    /// What came in the last exit.
    received: Moved,
}

impl Service {
    fn new(now: Instant) -> Service {
        Service {
            nics: Vec::new(),
            sleeps: Sleeps::new(now),
            rest: Rest::default(),
            turns: Turns::default(),
            tenure: now,
            vcpu: None,
            received: Moved::default(),
        }
    }

    /// Gives the rings to the thread, once it is told.
    fn begin_tenure(&mut self, now: Instant) {
        (self.tenure, self.turns, self.vcpu) = (now, Turns::default(), apart::place());
        self.nics.iter().for_each(|nic| nic.set_threaded(true));
    }

    /// Takes them back, wherever the thread was.
    fn end_tenure(&mut self, now: Instant) {
        self.sleeps.learn(Pace { time: now - self.tenure, frames: self.turns.total });
        for nic in &mut self.nics {
            nic.disarm();
            nic.set_threaded(false);
        }
    }

    /// The devices without rings among those whose taps are `readable`, bit i for `taps[i]`.
    fn bare(&self, taps: &[RawFd], readable: u64) -> u64 {
        let at = |nic: &Nic| taps.iter().position(|tap| *tap == nic.tap.as_raw_fd());
        let bare = self.nics.iter().filter(|nic| nic.rings.is_none());
        bare.filter(|nic| at(nic).is_some_and(|i| readable & 1 << i != 0))
            .fold(0, |set, nic| set | 1 << nic.handle)
    }
}

/// What the vCPU's thread and the service thread share.
struct Shared {
    service: Mutex<Service>,
    /// The thread owns the rings, or is about to.
    threaded: AtomicBool,
    mode: ServiceMode,
    kick: EventFd,
    control: EventFd,
    stats: Arc<Stats>,
    memory: Memory,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Service> {
        self.service.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All network devices of a guest.
pub(crate) struct Nets {
    shared: Arc<Shared>,
    offer: Offer,
}

/// What needs a header in front of each frame on a tap.
const OFFLOADS: Features = Features::TX_CSUM
    .union(Features::RX_CSUM)
    .union(Features::TSO4)
    .union(Features::TSO6)
    .union(Features::USO)
    .union(Features::RX_GSO)
    .union(Features::FILL_LARGE);

/// Features on offer: those that taps can do.
fn offered(io: Io) -> Features {
    match io {
        Io::Hypercall => Features::STATS,
        Io::Auto | Io::Shmring => Features::all(),
    }
}

impl Nets {
    /// No device yet.
    pub(crate) fn new(
        memory: Memory,
        stats: Arc<Stats>,
        io: Io,
        mode: ServiceMode,
    ) -> Result<Nets, String> {
        let eventfd =
            || EventFd::new(EFD_NONBLOCK).map_err(|e| format!("could not make an eventfd: {e}"));
        let service = Mutex::new(Service::new(Instant::now()));
        let (kick, control) = (eventfd()?, eventfd()?);
        let threaded = AtomicBool::new(false);
        let shared = Arc::new(Shared { service, threaded, mode, kick, control, stats, memory });
        let offer = Offer {
            major: MAJOR,
            minor: MINOR,
            port: port::BASE,
            max_pairs: 1,
            features: offered(io),
        };
        Ok(Nets { shared, offer })
    }

    /// Adds the device that the manifest names by `handle`. Only frames from `source` are sent, if
    /// there is one.
    pub(crate) fn add(
        &mut self,
        handle: u64,
        tap: Tap,
        source: Option<[u8; 6]>,
        capture: Option<Capture>,
    ) {
        if !tap.vnet {
            // A descriptor that was opened without; there is one offer for all devices.
            self.offer.features -= OFFLOADS;
        } else if !tap.segments_udp() {
            self.offer.features -= Features::USO;
        }
        self.shared.lock().nics.push(Nic::new(handle, tap, source, capture));
    }

    /// Offers no other offloads than `allowed`.
    pub(crate) fn restrict(&mut self, allowed: Features) {
        self.offer.features -= OFFLOADS - allowed;
    }

    /// What the manifest's entry says.
    pub(crate) fn offer(&self) -> Offer {
        self.offer
    }

    /// The descriptor that a kick raises.
    pub(crate) fn kick(&self) -> &EventFd {
        &self.shared.kick
    }

    /// Starts the service thread; it sleeps until the rings are handed to it.
    pub(crate) fn start(&self) -> Result<(), String> {
        if self.shared.mode == ServiceMode::Inline {
            return Ok(());
        }
        let shared = self.shared.clone();
        confine::spawn("rings", Role::Rings, move || thread::serve(&shared))
    }

    /// Attaches the region at `address` to a device.
    pub(crate) fn attach(
        &mut self,
        handle: u64,
        address: u64,
        size: u64,
    ) -> Result<(), AttachError> {
        let mut service = self.own();
        let nic = service.nics.iter_mut().find(|nic| nic.handle == handle);
        let nic = nic.filter(|nic| nic.rings.is_none()).ok_or(AttachError::Handle)?;
        let memory = &self.shared.memory;
        let region = memory.region(address, size).ok_or(AttachError::Region)?;
        let limits = Limits {
            offered: self.offer.features,
            max_pairs: self.offer.max_pairs,
            memory: memory.size(),
        };
        let mut attached = attach(region, &limits)?;
        // What the image's own text could not be written by is not written by the kernel either.
        if !attached.filled.iter().all(|range| memory.is_writable(range)) {
            return Err(AttachError::Class);
        }
        if let Some(pair) = attached.pairs.pop() {
            if nic.tap.set_offloads(attached.features).is_err() {
                return Err(AttachError::Features);
            }
            nic.open(region, pair, attached.features);
            self.shared.stats.set_io_mode("shmring");
        }
        if let Some((table, records)) = attached.stats {
            self.shared.stats.set_guest_table(handle, table, records);
        }
        Ok(())
    }

    /// Counts a region that was refused, and says why.
    pub(crate) fn refused(&self, error: AttachError) {
        let refused = &self.shared.stats.counters.attach_refused;
        if refused.get() < nic::SAID {
            log::warn!("rings refused: {error}");
        }
        refused.add(1);
        self.shared.stats.refusals.count(error);
    }

    /// Forgets a device's rings; both sides start empty.
    pub(crate) fn reset(&mut self, handle: u64) -> bool {
        let mut service = self.own();
        let nic = service.nics.iter_mut().find(|nic| nic.handle == handle);
        nic.is_some_and(Nic::close)
    }

    /// Takes the rings back from the thread.
    fn own(&self) -> MutexGuard<'_, Service> {
        let threaded = self.shared.threaded.swap(false, Ordering::SeqCst);
        if threaded {
            self.shared.stats.counters.service_switches.add(1);
            // The thread may sleep in poll.
            let _ = self.shared.control.write(1);
        }
        let mut service = self.shared.lock();
        if threaded {
            service.end_tenure(Instant::now());
        }
        service
    }

    /// Serves all rings, then sleeps until a frame has arrived or `timeout` is over; returns the
    /// devices that have frames.
    pub(crate) fn wait(&mut self, timeout: Duration) -> u64 {
        let mut service = self.own();
        let started = Instant::now();
        let counters = &self.shared.stats.counters;
        let (mut sent, mut received) = (Moved::default(), Moved::default());
        let mut linger = Linger::new(started);
        let mut slept = false;
        let ready = loop {
            let before = sent.frames;
            let mut others = service.nics.len();
            for nic in &mut service.nics {
                sent += nic.send(&self.shared, TX_BUDGET);
                // A flood at one device leaves the others their share.
                let left = RX_BUDGET - received.frames.min(RX_BUDGET);
                received += nic.receive(&self.shared, left.div_ceil(others));
                others -= 1;
            }
            let now_sent = sent.frames - before;
            let ready = service.nics.iter_mut().fold(0, |set, nic| set | nic.ready());
            let now = Instant::now();
            let left = timeout.saturating_sub(now - started);
            if ready != 0
                && linger.goes_on(received, now, left)
                && !service.nics.iter_mut().any(Nic::starved)
            {
                std::hint::spin_loop();
                continue;
            }
            if ready != 0 || left.is_zero() || now_sent >= TX_BUDGET {
                break ready;
            }
            if !slept && linger.expects_answer(service.received, sent, now) {
                std::hint::spin_loop();
                continue;
            }
            if !std::mem::replace(&mut slept, true) {
                counters.sleeps.add(1);
            }
            // A tap whose guest lends no buffers could only wake it for nothing.
            let mut taps = Vec::with_capacity(service.nics.len());
            let (mut starved, mut bare) = (0, 0);
            for nic in &mut service.nics {
                if nic.starved() {
                    starved |= 1 << nic.handle;
                } else if !nic.is_gone() {
                    bare |= u64::from(nic.rings.is_none()) << taps.len();
                    taps.push(nic.tap.as_raw_fd());
                }
            }
            if starved != 0 {
                counters.rx_no_buffer.add(1);
                if now_sent > 0 {
                    // What was sent has freed some.
                    break starved;
                }
            }
            let readable = sys::poll(&taps, Some(left));
            if readable & !bare == 0 {
                // Without rings only the guest can take what is there.
                break service.bare(&taps, readable);
            }
        };
        let now = Instant::now();
        service.received = received;
        let light = service.sleeps.add(sent, received, started, now);
        let hand_over = match self.shared.mode {
            ServiceMode::Inline => false,
            ServiceMode::Thread => true,
            ServiceMode::Auto => light,
        };
        if hand_over && service.nics.iter().any(|nic| nic.rings.is_some()) {
            service.begin_tenure(now);
            self.shared.threaded.store(true, Ordering::SeqCst);
            counters.service_switches.add(1);
            let _ = self.shared.control.write(1);
        }
        ready
    }

    /// Sleeps until a tap has a frame: the hypercall mode's wait.
    pub(crate) fn poll(&mut self, timeout: Duration) -> u64 {
        let service = self.own();
        let live = service.nics.iter().filter(|nic| !nic.is_gone());
        let (taps, handles): (Vec<_>, Vec<_>) =
            live.map(|nic| (nic.tap.as_raw_fd(), nic.handle)).unzip();
        let ready = sys::poll(&taps, Some(timeout));
        let set = handles.iter().enumerate().filter(|(i, _)| ready & 1 << i != 0);
        set.fold(0, |set, (_, handle)| set | 1 << handle)
    }

    /// Sends one frame; `None` for an unknown device.
    pub(crate) fn write(&mut self, handle: u64, frame: Span) -> Option<bool> {
        let mut service = self.own();
        let nic = service.nics.iter_mut().find(|nic| nic.handle == handle)?;
        Some(nic.write_one(&self.shared, frame))
    }

    /// Receives one frame; `None` for an unknown device.
    pub(crate) fn read(&mut self, handle: u64, buffer: Span) -> Option<Option<usize>> {
        let mut service = self.own();
        let nic = service.nics.iter_mut().find(|nic| nic.handle == handle)?;
        Some(nic.read_one(&self.shared, buffer))
    }
}

/// Where the guest reads who serves its rings.
const STATUS: u64 = header::TENDER_STATUS;

fn fence(region: &impl SharedMemory) {
    region.fence();
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixDatagram;

    #[test]
    fn offloads_are_on_offer_only_where_every_tap_has_their_header() {
        let memory = Memory::new(1 << 20).unwrap();
        let stats = Arc::new(Stats::new(memory.clone(), None).unwrap());
        let mut nets = Nets::new(memory, stats, Io::Auto, ServiceMode::Inline).unwrap();
        let mut add = |vnet| {
            let fd = UnixDatagram::unbound().unwrap().into();
            nets.add(1, Tap::of_socket(fd, vnet), None, None);
            nets.offer().features
        };
        assert!(add(true).contains(Features::TX_CSUM | Features::RX_GSO | Features::FILL_LARGE));
        let plain = Features::RINGS | Features::STATS | Features::MEM_CLASS;
        assert_eq!(add(false), plain);
        assert_eq!(add(true), plain);
    }

    #[test]
    fn no_other_offloads_are_on_offer_than_were_asked_for() {
        let memory = Memory::new(1 << 20).unwrap();
        let stats = Arc::new(Stats::new(memory.clone(), None).unwrap());
        let mut nets = Nets::new(memory, stats, Io::Auto, ServiceMode::Inline).unwrap();
        let plain = Features::RINGS | Features::STATS | Features::MEM_CLASS;
        nets.restrict(Features::TX_CSUM | Features::TSO4);
        assert_eq!(nets.offer().features, plain | Features::TX_CSUM | Features::TSO4);
        nets.restrict(Features::empty());
        assert_eq!(nets.offer().features, plain);
    }
}
