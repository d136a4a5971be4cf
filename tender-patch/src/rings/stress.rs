//! The rings in changing hands: a guest that echoes on two networks, clients that wait or spin, and
//! the service thread of a tender, all at once. No frame is lost, doubled or out of order, and
//! nobody sleeps while one waits.
#![forbid(unsafe_code)]

use super::*;
use shmring::{
    abi::{DESC_LOG2, Desc, MAGIC, class, ctrl, queue, status},
    memory::RawMemory,
    ring::{Consumer, Layout, Producer},
};
use std::{collections::VecDeque, hint::spin_loop, os::unix::net::UnixDatagram, thread::sleep};

type Ring = <RawMemory as SharedMemory>::Ring;
type Frame = [u8; 60];

const SIDES: u64 = 2;
const REGION_LEN: u64 = 0x6000;
/// Buffers of a network: the first half is lent, the other sent from.
const BUFFERS: u32 = 64;
const STRIDE: u32 = 2048;
const ENTRIES: u32 = 64;
/// A frame that takes longer was forgotten.
const PATIENCE: Duration = Duration::from_secs(10);
/// Ends the guest.
const LAST: u64 = u64::MAX;

/// Numbers that depend on the seed alone.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize]
    }
}

fn frame(number: u64) -> Frame {
    let mut frame = [0; 60];
    frame[14..22].copy_from_slice(&number.to_le_bytes());
    frame
}

fn number(frame: &[u8]) -> u64 {
    u64::from_le_bytes(frame[14..22].try_into().unwrap())
}

/// A guest's end of one network.
struct Side {
    handle: u64,
    memory: Memory,
    region: RawMemory,
    tx: Producer<Ring>,
    fill: Producer<Ring>,
    rx: Consumer<Ring>,
    /// Buffers that frames were sent from, in order, and others.
    sent: VecDeque<(u32, Frame)>,
    free: Vec<u32>,
    /// Buffers to be lent.
    owed: Vec<u32>,
    echoes: VecDeque<Frame>,
    over: bool,
}

impl Side {
    fn new(handle: u64, memory: &Memory, nets: &mut Nets) -> Side {
        let (region, [tx, fill, rx]) = Side::attach(handle, memory, nets);
        Side {
            handle,
            memory: memory.clone(),
            region,
            tx: Producer::new(&region, tx).unwrap(),
            fill: Producer::new(&region, fill).unwrap(),
            rx: Consumer::new(&region, rx).unwrap(),
            sent: VecDeque::new(),
            free: (BUFFERS / 2..BUFFERS).collect(),
            owed: (0..BUFFERS / 2).collect(),
            echoes: VecDeque::new(),
            over: false,
        }
    }

    fn attach(handle: u64, memory: &Memory, nets: &mut Nets) -> (RawMemory, [Layout; 3]) {
        let at = handle * 0x1_0000;
        let region = memory.region(at, REGION_LEN).unwrap();
        (0..REGION_LEN / 8).for_each(|word| region.store_u64(word * 8, 0));
        region.store_u64(header::MAGIC, MAGIC);
        region.store_u64(header::VERSION, u64::from(MAJOR) | header::LEN << 32);
        region.store_u64(header::REGION_SIZE, REGION_LEN);
        region.store_u64(header::COUNTS, 3 | 1 << 16);
        region.store_u64(header::FEATURES_ACCEPTED, Features::RINGS.bits());
        region.store_u64(header::CLASSES + class::BASE, buffer(handle, 0));
        let shape = u64::from(STRIDE) | u64::from(BUFFERS) << 32;
        region.store_u64(header::CLASSES + class::SHAPE, shape);
        let queues = [queue::TX, queue::FILL, queue::RX].map(|kind| {
            let n = u64::from(kind) - 1;
            let (row, start) = (header::QUEUES + n * queue::ROW, 0x1000 + n * ctrl::LEN);
            let layout = Layout { ctrl: start, desc: 0x2000 + n * 0x1000, entries: ENTRIES };
            region.store_u64(row + queue::TYPE, kind.into());
            region.store_u64(row + queue::CTRL, layout.ctrl);
            region.store_u64(row + queue::DESC, layout.desc);
            let log2 = u64::from(ENTRIES.trailing_zeros());
            region.store_u64(row + queue::SHAPE, log2 | u64::from(DESC_LOG2) << 8);
            region.store_u32(start + ctrl::CONS_EVENT, u32::MAX, Ordering::Relaxed);
            region.store_u32(start + ctrl::PROD_EVENT, u32::MAX, Ordering::Relaxed);
            layout
        });
        nets.attach(handle, at, REGION_LEN).unwrap();
        (region, queues)
    }

    /// Takes what has come; whether anything has.
    fn take(&mut self) -> bool {
        let ready = self.rx.refresh().unwrap();
        for _ in 0..ready {
            let desc = Desc::decode(self.rx.peek(0)).unwrap();
            let mut frame = [0; 60];
            assert_eq!(usize::from(desc.len), frame.len());
            let at = buffer(self.handle, desc.id) + u64::from(desc.offset);
            assert!(self.memory.read(at, &mut frame));
            self.rx.take(1);
            self.owed.push(desc.id);
            self.over |= number(&frame) == LAST;
            self.echoes.push_back(frame);
        }
        self.rx.release();
        ready > 0
    }

    /// Hands echoes over; whether to kick.
    fn send(&mut self) -> bool {
        self.tx.refresh().unwrap();
        while self.sent.len() > self.tx.in_flight() as usize {
            self.free.extend(self.sent.pop_front().map(|(id, _)| id));
        }
        while !self.echoes.is_empty() && self.tx.room() > 0 {
            let Some(id) = self.free.pop() else { break };
            let frame = self.echoes.pop_front().unwrap();
            self.memory.write(buffer(self.handle, id), &frame).unwrap();
            let desc = Desc { id, len: frame.len() as u16, ..Desc::default() };
            self.tx.write(desc.encode());
            self.sent.push_back((id, frame));
        }
        self.tx.publish()
    }

    /// Lends what it owes; whether to kick.
    fn lend(&mut self) -> bool {
        self.fill.refresh().unwrap();
        for id in self.owed.drain(..) {
            self.fill.write(Desc { id, len: STRIDE as u16, ..Desc::default() }.encode());
        }
        self.fill.publish()
    }

    fn polled(&self) -> bool {
        self.region.load_u32(header::TENDER_STATUS, Ordering::Relaxed) & status::POLLING != 0
    }

    /// Starts over with other rings, without losing what lay in these.
    fn reset(&mut self, nets: &mut Nets) {
        assert!(nets.reset(self.handle));
        self.take();
        self.send_back();
        let (region, [tx, fill, rx]) = Side::attach(self.handle, &self.memory, nets);
        self.region = region;
        self.tx = Producer::new(&region, tx).unwrap();
        self.fill = Producer::new(&region, fill).unwrap();
        self.rx = Consumer::new(&region, rx).unwrap();
        self.owed = (0..BUFFERS / 2).collect();
        self.free = (BUFFERS / 2..BUFFERS).collect();
    }

    /// What the tender has not sent is sent by the next rings.
    fn send_back(&mut self) {
        self.tx.refresh().unwrap();
        let unsent = self.tx.in_flight() as usize;
        let gone = self.sent.len() - unsent;
        for (_, frame) in self.sent.drain(..).skip(gone).rev() {
            self.echoes.push_front(frame);
        }
    }
}

fn buffer(handle: u64, id: u32) -> u64 {
    0x4_0000 + handle * 0x2_0000 + u64::from(id * STRIDE)
}

/// Echoes until each client has said that it is over, or one has failed.
fn guest(nets: &mut Nets, sides: &mut [Side], dice: &mut Dice, failed: &AtomicBool) {
    while !failed.load(Ordering::Relaxed) {
        if sides.iter().all(|side| side.over && side.echoes.is_empty() && side.sent.is_empty()) {
            return;
        }
        // What is lent or sent late finds the thread asleep, or about to sleep.
        let (lends_late, sends_late) = (dice.one_in(4), dice.one_in(3));
        let (mut news, mut kick) = (false, dice.one_in(200));
        for side in sides.iter_mut() {
            news |= side.take();
            kick |= !sends_late && side.send();
            kick |= !lends_late && side.lend();
        }
        if kick {
            nets.kick().write(1).unwrap();
        }
        if dice.one_in(300) {
            let side = dice.below(sides.len() as u64) as usize;
            sides[side].reset(nets);
        }
        if news && !sends_late {
            continue;
        }
        // Nothing but a frame ends the longest of these while the thread has the rings.
        let patience = Duration::from_micros(dice.of(&[0, 30, 100, u64::MAX]));
        let started = Instant::now();
        let most = dice.of(&[12_000, 100_000]);
        let mut late = Duration::from_nanos(dice.below(most));
        while sides.iter().all(Side::polled)
            && sides.iter_mut().all(|side| side.rx.refresh().unwrap() == 0)
            && started.elapsed() < patience
            && !failed.load(Ordering::Relaxed)
        {
            if started.elapsed() > late {
                late = Duration::MAX;
                if sides.iter_mut().fold(false, |kick, side| side.lend() | side.send() | kick) {
                    nets.kick().write(1).unwrap();
                }
            }
            if sides.iter().all(|side| side.over) {
                break;
            }
            spin_loop();
        }
        if sides.iter_mut().all(|side| side.rx.refresh().unwrap() == 0) {
            for side in sides.iter_mut() {
                side.lend();
                side.send();
            }
            let waits = !sides.iter().any(|side| side.over);
            if dice.one_in(8) {
                // What the tenures before taught would end the changes.
                nets.shared.lock().sleeps = Sleeps::new(Instant::now());
            }
            nets.wait(if waits { 2 * PATIENCE } else { Duration::from_millis(1) });
        }
    }
}

/// Exchanges frames until `until`; what went wrong.
fn client(wire: &UnixDatagram, dice: &mut Dice, until: Instant) -> Result<u64, String> {
    let (mut next, mut expected) = (0, 0);
    while Instant::now() < until {
        let outstanding = dice.of(&[1, 1, 2, 8, 16, 24, 60]);
        let pause = dice.of(&[0, 0, 0, 20, 200, 2000]);
        wire.set_nonblocking(dice.one_in(2)).unwrap();
        for _ in 0..dice.below(200) {
            for _ in 0..outstanding {
                wire.send(&frame(next)).map_err(|e| e.to_string())?;
                next += 1;
            }
            let started = Instant::now();
            while expected < next {
                let mut back = [0; 100];
                match wire.recv(&mut back) {
                    Ok(len) if len == 60 && number(&back) == expected => expected += 1,
                    Ok(len) => return Err(format!("{} of {len} B: not {expected}", number(&back))),
                    Err(_) if started.elapsed() < PATIENCE => spin_loop(),
                    Err(_) => return Err(format!("{expected} of {next} is missing")),
                }
            }
            if pause > 0 {
                sleep(Duration::from_micros(dice.below(pause)));
            }
        }
    }
    wire.send(&frame(LAST)).map_err(|e| e.to_string())?;
    Ok(expected)
}

fn frames_survive(mode: ServiceMode, seed: u64, time: Duration) {
    let memory = Memory::new(1 << 20).unwrap();
    let stats = Arc::new(Stats::new(memory.clone(), None).unwrap());
    let mut nets = Nets::new(memory.clone(), stats.clone(), Io::Auto, mode).unwrap();
    let wires = (0..SIDES).map(|handle| {
        let (tap, wire) = UnixDatagram::pair().unwrap();
        tap.set_nonblocking(true).unwrap();
        wire.set_read_timeout(Some(PATIENCE)).unwrap();
        nets.add(handle, Tap::of_socket(tap.into(), false), None, None);
        wire
    });
    let wires: Vec<_> = wires.collect();
    nets.start().unwrap();
    let mut sides: Vec<_> = (0..SIDES).map(|n| Side::new(n, &memory, &mut nets)).collect();
    let failed = AtomicBool::new(false);
    let until = Instant::now() + time;
    std::thread::scope(|scope| {
        let clients = wires.iter().zip(1..).map(|(wire, n)| {
            let failed = &failed;
            scope.spawn(move || {
                let result = client(wire, &mut Dice(seed ^ n), until);
                failed.fetch_or(result.is_err(), Ordering::Relaxed);
                result
            })
        });
        let clients: Vec<_> = clients.collect();
        guest(&mut nets, &mut sides, &mut Dice(seed), &failed);
        let results: Vec<_> = clients.into_iter().map(|c| c.join().unwrap()).collect();
        let counters = &stats.counters;
        assert!(results.iter().all(Result::is_ok), "{mode:?}, seed {seed}: {results:?}");
        assert_eq!(counters.queue_broken.get() + counters.tx_dropped.get(), 0);
        let switched = counters.service_switches.get() > 0;
        assert_eq!(switched, mode != ServiceMode::Inline, "{mode:?}, seed {seed}");
    });
}

#[test]
fn frames_survive_any_change_of_hands() {
    let time = Duration::from_millis(500);
    for seed in [0x9e37_79b9_7f4a_7c15, 0xd1b5_4a32_d192_ed03] {
        for mode in [ServiceMode::Auto, ServiceMode::Thread, ServiceMode::Inline] {
            frames_survive(mode, seed, time);
        }
    }
}
