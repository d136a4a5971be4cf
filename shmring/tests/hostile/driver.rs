//! One run of the rings between an honest side and a victim whose every load may lie, driven by
//! bytes: from a fuzzer, or from a seeded generator.

use super::words::{Source, View};
use shmring::{
    Pool, PoolConfig, Slice,
    abi::{Features, MAX_FRAGS, MAX_FRAME, MIN_ENTRIES_RX_GSO, gso},
    guest::{self, MemClass, Region, RegionConfig, TxInfo},
    tender::{self, Attached, Limits, Violation, attach},
};
use std::{
    cell::{Cell, RefCell},
    collections::BTreeSet,
    ptr::NonNull,
    rc::Rc,
};

/// Where the pools lie in the guest's memory.
const POOL_AT: usize = 0x1_0000;
const LARGE_AT: usize = 0x5_0000;
const MEMORY: usize = 0xb_0000;
const BUFFERS: usize = 96;
const LARGE: usize = 6;

/// What a run came to.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Frames that went all the way.
    pub frames: u64,
    /// Whether the victim found a lie.
    pub broken: bool,
}

struct World {
    source: Rc<RefCell<Source>>,
    pool: Pool,
    large: Pool,
    memory: View,
    config: RegionConfig,
    limits: Limits,
    held: Vec<Slice>,
    /// The pools' bytes, which go last.
    _bytes: Vec<u64>,
}

impl World {
    fn new(data: &[u8]) -> World {
        let source = Source::new(data);
        let mut bytes = vec![0u64; MEMORY / 8];
        let base = NonNull::from(bytes.as_mut_slice()).cast::<u8>();
        let shape = source.borrow_mut().byte();
        let small =
            PoolConfig { stride: 2048, count: BUFFERS, reserve: 2, ..PoolConfig::default() };
        // Some guests lend large buffers that are too short to be of use.
        let stride = if shape & 64 == 0 { 1 << 16 } else { 4096 };
        let large = PoolConfig { stride, count: LARGE, headroom: 0, reserve: 0 };
        // SAFETY: two areas of memory that stays where it is until all buffers are gone.
        let (pool, large) = unsafe {
            (Pool::from_raw(small, base.add(POOL_AT)), Pool::from_raw(large, base.add(LARGE_AT)))
        };
        let all = Features::all() - Features::STATS;
        let entries = 2 << (shape >> 1 & 7).min(5);
        let single = shape & 16 != 0 || entries < MIN_ENTRIES_RX_GSO;
        let accepted = match (single, shape & 32 != 0) {
            (true, _) => all - Features::RX_GSO - Features::FILL_LARGE,
            (false, true) => all - Features::FILL_LARGE,
            (false, false) => all,
        };
        let config = RegionConfig {
            pairs: 1 + u16::from(shape & 1),
            entries,
            offered: Features::all(),
            accepted,
            origin: base.as_ptr() as u64,
            mem: Some(MemClass { size: MEMORY as u64 }),
            stats: None,
        };
        let memory = View::new(config.size(), &source);
        let limits = Limits { offered: Features::all(), max_pairs: 2, memory: MEMORY as u64 };
        World { source, pool, large, memory, config, limits, held: Vec::new(), _bytes: bytes }
    }

    fn build(&self, view: View) -> Region<View> {
        Region::build_with(view, &self.config, &self.pool, Some(&self.large))
    }

    fn byte(&self) -> u8 {
        self.source.borrow_mut().byte()
    }

    fn done(&self) -> bool {
        self.source.borrow().is_done()
    }

    fn check_span(&self, span: tender::Span) {
        assert!(span.len > 0, "an empty span");
        let end = span.address.checked_add(span.len.into());
        assert!(end.is_some_and(|end| end <= self.limits.memory), "a span outside memory");
    }

    fn send(&mut self, tx: &mut guest::TxRing<View>) -> Result<u64, guest::Broken> {
        tx.reclaim()?;
        let frags = 1 + usize::from(self.byte() % 3);
        if tx.room() < frags {
            return Ok(0);
        }
        let mut slices = Vec::new();
        for _ in 0..frags {
            let Some(mut buf) = self.pool.alloc() else { return Ok(0) };
            buf.append(64 + usize::from(self.byte()));
            slices.push(buf.freeze());
        }
        let how = self.byte();
        let info = TxInfo {
            csum: (how & 1 != 0).then_some((20, 16)),
            gso: (how & 3 == 3).then_some((gso::TCPV4, 1448)),
        };
        tx.push(info, slices.into_iter());
        let _ = tx.publish();
        Ok(0)
    }

    fn take(&mut self, rx: &mut guest::RxRing<View>) -> Result<u64, guest::Broken> {
        let mut frames = 0;
        rx.refresh()?;
        for _ in 0..4 {
            let mut frags = Vec::new();
            let popped = rx.pop(|slice| frags.push(slice));
            for (n, slice) in frags.iter().enumerate() {
                let pool = if slice.is_of(&self.pool) { &self.pool } else { &self.large };
                assert!(slice.is_of(pool) && slice.len() <= pool.config().stride);
                assert!(n > 0 || slice.is_of(&self.pool), "a frame starts in a large buffer");
            }
            if popped?.is_none() {
                break;
            }
            assert!(!frags.is_empty() && frags.len() <= MAX_FRAGS);
            frames += 1;
            self.held.extend(frags);
        }
        rx.release();
        self.held.drain(..self.held.len().saturating_sub(6));
        let _ = rx.refill(usize::from(self.byte() % 64))?;
        let _ = rx.refill_large(usize::from(self.byte() % 8))?;
        Ok(frames)
    }

    fn serve_tx(&self, tx: &mut tender::TxRing<View>) -> Result<u64, Violation> {
        let mut frames = 0;
        tx.refresh()?;
        for _ in 0..usize::from(self.byte() % 8) {
            let Some(frame) = tx.next()? else { break };
            frame.spans().iter().for_each(|span| self.check_span(*span));
            let len: usize = frame.spans().iter().map(|span| span.len as usize).sum();
            assert!(len == frame.len && (14..=MAX_FRAME).contains(&len));
            let head = frame.spans()[0].len;
            assert!(frame.csum.is_none_or(|(s, o)| u32::from(s) + u32::from(o) + 2 <= head));
            assert!(frame.gso.is_none_or(|(_, size)| size > 0 && frame.csum.is_some()));
            frames += 1;
        }
        let _ = tx.release_notify();
        if self.byte() & 1 != 0 {
            tx.arm();
        }
        Ok(frames)
    }

    fn serve_rx(&self, rx: &mut tender::RxRing<View>) -> Result<u64, Violation> {
        for _ in 0..usize::from(self.byte() % 4) {
            let mut room = 0;
            for span in rx.buffers()? {
                self.check_span(span);
                room += span.len as usize;
            }
            if room == 0 {
                break;
            }
            let len = (usize::from(self.byte()) * 255 + 14).min(room);
            let how = self.byte();
            let gso = (how & 3 == 3 && self.config.accepted.contains(Features::RX_GSO))
                .then_some((gso::TCPV4, 1448));
            rx.commit(len, tender::RxInfo { csum_valid: how & 1 != 0, gso });
        }
        let _ = rx.publish_notify();
        rx.pending()?;
        Ok(0)
    }
}

/// Both sides take turns until the bytes are used up. Without lies nobody finds fault; with them
/// both may: an honest side sees what a deceived one wrote.
fn run(world: &mut World, region: &mut Region<View>, attached: &mut Attached<View>) -> Outcome {
    let mut outcome = Outcome::default();
    let pairs = region.pairs.len().min(attached.pairs.len());
    for turn in 0..400 {
        if world.done() || pairs == 0 {
            break;
        }
        let (guest_tx, guest_rx) = &mut region.pairs[turn % pairs];
        let pair = &mut attached.pairs[turn % pairs];
        let frames = match world.byte() % 4 {
            0 => world.send(guest_tx).map_err(|broken| {
                assert_eq!(guest_tx.reclaim(), Err(broken), "a broken queue is used");
            }),
            1 => world.take(guest_rx).map_err(|broken| {
                assert_eq!(guest_rx.refresh(), Err(broken), "a broken queue is used");
            }),
            2 => world.serve_tx(&mut pair.tx).map_err(|violation| {
                assert_eq!(pair.tx.next().err(), Some(violation), "a broken queue is served");
            }),
            _ => world.serve_rx(&mut pair.rx).map_err(|violation| {
                assert_eq!(pair.rx.buffers().err(), Some(violation), "a broken queue is served");
            }),
        };
        match frames {
            Ok(frames) => outcome.frames += frames,
            Err(()) => outcome.broken = true,
        }
    }
    outcome
}

/// Every buffer is in one place; and in its pool after a reset.
fn conserved(mut world: World, region: Region<View>) {
    let mut seen = BTreeSet::new();
    for slice in &world.held {
        let place = slice.buffer().map(|(id, _)| (slice.is_of(&world.pool), id));
        assert!(seen.insert(place), "a buffer is in two places");
    }
    let small = world.held.iter().filter(|slice| slice.is_of(&world.pool)).count();
    let lent: usize = region.pairs.iter().map(|(tx, rx)| tx.in_flight() + rx.lent()).sum();
    assert_eq!(world.pool.stats().free + lent + small, BUFFERS, "a buffer is lost");
    let lent: usize = region.pairs.iter().map(|(_, rx)| rx.lent_large()).sum();
    let large = world.held.len() - small;
    assert_eq!(world.large.stats().free + lent + large, LARGE, "a large buffer is lost");
    for (tx, rx) in region.pairs {
        tx.after_reset();
        rx.after_reset();
    }
    world.held.clear();
    let free = (world.pool.stats().free, world.large.stats().free);
    assert_eq!(free, (BUFFERS, LARGE), "a buffer is lost in a reset");
}

/// The tender reads words that a guest changes at will.
pub fn hostile_guest(data: &[u8], lies: u8) -> Outcome {
    let mut world = World::new(data);
    let mut region = world.build(world.memory.clone());
    // Half of the guests lie from the start, the others once they are trusted.
    let lying = Rc::new(Cell::new(if world.byte() & 1 == 0 { lies } else { 0 }));
    let Ok(mut attached) = attach(world.memory.lying(&lying), &world.limits) else {
        assert!(lies > 0, "an honest region is refused");
        return Outcome { frames: 0, broken: true };
    };
    lying.set(lies);
    let outcome = run(&mut world, &mut region, &mut attached);
    conserved(world, region);
    assert!(lies > 0 || !outcome.broken, "an honest peer is refused");
    outcome
}

/// The guest reads words that a tender changes at will.
pub fn hostile_tender(data: &[u8], lies: u8) -> Outcome {
    let mut world = World::new(data);
    // Laid out honestly: nobody else knows the region yet.
    let lying = Rc::new(Cell::new(0));
    let view = world.memory.lying(&lying);
    let mut region = world.build(view);
    lying.set(lies);
    let Ok(mut attached) = attach(world.memory.clone(), &world.limits) else {
        panic!("an honest region is refused");
    };
    let outcome = run(&mut world, &mut region, &mut attached);
    conserved(world, region);
    assert!(lies > 0 || !outcome.broken, "an honest peer is refused");
    outcome
}
