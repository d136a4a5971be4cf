//! The C tender's ring service and the Rust guest in one process.

use shmring::{
    Pool, Slice,
    abi::{Features, MAX_FRAME, gso},
    guest::{Region, RegionConfig, RxRing, TxInfo, TxRing},
    memory::RawMemory,
    tender::{Limits, RxInfo, Violation},
};
use shmring_difftest::{Service, World};

const LIMITS: Limits =
    Limits { offered: Features::all(), max_pairs: 1, memory: World::SIZE as u64 };
/// Enough for the fragments of a coalesced frame.
const ENTRIES: u32 = 64;

struct Guest {
    tx: TxRing<RawMemory>,
    rx: RxRing<RawMemory>,
    pool: Pool,
    large: Pool,
    region: u64,
}

fn guest(world: &World) -> Guest {
    let config = RegionConfig {
        pairs: 1,
        entries: ENTRIES,
        offered: Features::all(),
        accepted: Features::all() - Features::STATS - Features::MEM_CLASS,
        origin: world.base().as_ptr() as u64,
        mem: None,
        stats: None,
    };
    let (pool, large) = (world.pool(), world.large_pool());
    let region = config.size();
    let mut built = Region::build_with(world.words(region), &config, &pool, Some(&large));
    let (tx, rx) = built.pairs.remove(0);
    Guest { tx, rx, pool, large, region }
}

impl Guest {
    fn buffer(&self, data: &[u8]) -> Slice {
        let mut buf = self.pool.alloc().unwrap();
        buf.append(data.len()).copy_from_slice(data);
        buf.freeze()
    }

    fn receive(&mut self) -> Option<(RxInfo, Vec<u8>)> {
        self.rx.refresh().unwrap();
        let mut bytes = Vec::new();
        let info = self.rx.pop(|slice| bytes.extend_from_slice(&slice)).unwrap()?;
        Some((RxInfo { csum_valid: info.csum_valid, gso: info.gso }, bytes))
    }
}

#[test]
fn frames_travel_both_ways_and_every_buffer_comes_back() {
    let world = World::new();
    let mut guest = guest(&world);
    let mut service = Service::attach(&world, guest.region, &LIMITS).unwrap();
    let (mut tx, mut rx) = service.pair(0);
    let _ = guest.rx.refill(ENTRIES as usize).unwrap();
    for round in 0..1000usize {
        let payload = vec![round as u8; 1 + round % 1400];
        let info = TxInfo { csum: Some((20, 16)), gso: Some((gso::TCPV4, 1448)) };
        let frags = [guest.buffer(&[7; 54]), guest.buffer(&payload)];
        guest.tx.push(info, frags.into_iter());
        let _ = guest.tx.publish();

        assert_eq!(tx.refresh(), Ok(2));
        let sent = tx.next().unwrap().unwrap();
        assert_eq!((sent.csum, sent.gso), (Some((20, 16)), Some((gso::TCPV4, 1448))));
        let bytes: Vec<u8> = sent.spans.iter().flat_map(|span| world.read(*span)).collect();
        assert_eq!(bytes.len(), sent.len);
        assert_eq!(tx.next(), Ok(None));
        let _ = tx.release();

        // Back to the guest, as a coalesced frame over several buffers.
        let echo = bytes.repeat(3);
        let mut rest = &echo[..];
        for span in rx.buffers().unwrap() {
            let (now, later) = rest.split_at(rest.len().min(span.len as usize));
            world.write(span, now);
            rest = later;
        }
        let info = RxInfo { csum_valid: true, gso: Some((gso::TCPV4, 1448)) };
        assert!(rest.is_empty() && rx.commit(echo.len(), info));
        let _ = rx.publish();
        assert_eq!(rx.pending(), Ok(true));

        assert_eq!(guest.receive(), Some((info, echo)));
        guest.rx.release();
        assert_eq!(rx.pending(), Ok(false));
        let _ = guest.rx.refill(ENTRIES as usize).unwrap();
        guest.tx.reclaim().unwrap();
        let here = guest.pool.stats().free + guest.rx.lent() + guest.tx.in_flight();
        assert_eq!(here, World::BUFFERS.0);
    }
}

#[test]
fn frames_of_every_size_lie_in_a_small_and_a_large_buffer() {
    let world = World::new();
    let mut guest = guest(&world);
    let mut service = Service::attach(&world, guest.region, &LIMITS).unwrap();
    let (_, mut rx) = service.pair(0);
    let _ = guest.rx.refill(ENTRIES as usize).unwrap();
    for round in 0..300usize {
        // Every third round finds no large buffer.
        if !round.is_multiple_of(3) {
            let _ = guest.rx.refill_large(1).unwrap();
        }
        let len = 14 + (round * 7919) % (MAX_FRAME - 13);
        let frame: Vec<u8> = (0..len).map(|i| (i * 31 + round) as u8).collect();
        let spans = rx.buffers().unwrap();
        assert_eq!(spans.len() == 2, guest.rx.lent_large() > 0, "round {round}");
        let mut rest = &frame[..];
        for span in spans {
            let (now, later) = rest.split_at(rest.len().min(span.len as usize));
            world.write(span, now);
            rest = later;
        }
        assert!(rest.is_empty() && rx.commit(len, RxInfo::default()));
        let _ = rx.publish();
        assert_eq!(guest.receive(), Some((RxInfo::default(), frame)));
        guest.rx.release();
        let _ = guest.rx.refill(ENTRIES as usize).unwrap();
        assert_eq!(guest.pool.stats().free + guest.rx.lent(), World::BUFFERS.0);
        assert_eq!(guest.large.stats().free + guest.rx.lent_large(), World::LARGE.0);
    }
}

#[test]
fn a_frame_longer_than_the_lent_buffers_is_refused_and_nothing_is_lost() {
    let world = World::new();
    let mut guest = guest(&world);
    let mut service = Service::attach(&world, guest.region, &LIMITS).unwrap();
    let (_, mut rx) = service.pair(0);
    let _ = guest.rx.refill(ENTRIES as usize).unwrap();
    let room: u32 = rx.buffers().unwrap().iter().map(|span| span.len).sum();
    assert!(room as usize > MAX_FRAME);
    assert!(!rx.commit(room as usize + 1, RxInfo::default()));
    assert!(rx.commit(MAX_FRAME, RxInfo::default()));
    let _ = rx.publish();
    assert_eq!(guest.receive().unwrap().1.len(), MAX_FRAME);
}

#[test]
fn a_broken_queue_stays_broken_and_says_why() {
    let world = World::new();
    let mut guest = guest(&world);
    let mut service = Service::attach(&world, guest.region, &LIMITS).unwrap();
    let (mut tx, _) = service.pair(0);
    let frame = guest.buffer(&[7; 54]);
    guest.tx.push(TxInfo { csum: Some((60, 16)), gso: None }, [frame].into_iter());
    let _ = guest.tx.publish();
    assert_eq!(tx.refresh(), Ok(1));
    assert_eq!(tx.next(), Err(Violation::Checksum));
    assert_eq!(tx.refresh(), Err(Violation::Checksum));
    assert_eq!(tx.next(), Err(Violation::Checksum));
}

#[test]
fn a_sleeper_that_armed_is_kicked_once() {
    let world = World::new();
    let mut guest = guest(&world);
    let mut service = Service::attach(&world, guest.region, &LIMITS).unwrap();
    let (mut tx, _) = service.pair(0);
    let mut send = || {
        let frame = guest.buffer(&[0; 60]);
        guest.tx.push(TxInfo::default(), [frame].into_iter());
        guest.tx.publish()
    };
    assert!(!send(), "nobody sleeps");
    tx.refresh().unwrap();
    tx.arm();
    assert!(send(), "the tender armed");
    assert!(!send(), "it was kicked already");
    tx.refresh().unwrap();
    tx.arm();
    tx.disarm();
    assert!(!send(), "it took the wish back");
}

/// A guest's thread and a tender's thread, without any other synchronisation than the rings.
#[test]
fn two_threads_exchange_frames_in_order() {
    const FRAMES: u64 = 50_000;
    let world = World::new();
    let mut guest = guest(&world);
    let mut service = Service::attach(&world, guest.region, &LIMITS).unwrap();
    let _ = guest.rx.refill(ENTRIES as usize).unwrap();
    std::thread::scope(|scope| {
        let world = &world;
        scope.spawn(move || {
            let (mut tx, mut rx) = service.pair(0);
            let mut echoed = 0;
            while echoed < FRAMES {
                let mut idle = tx.refresh().unwrap() == 0;
                while let Some(span) = rx.buffers().unwrap().first().copied() {
                    let Some(frame) = tx.next().unwrap() else { break };
                    world.write(span, &world.read(frame.spans[0]));
                    assert!(rx.commit(frame.len, RxInfo::default()));
                    echoed += 1;
                    idle = false;
                }
                let _ = (tx.release(), rx.publish());
                if idle {
                    std::thread::yield_now();
                }
            }
        });
        let (mut sent, mut got) = (0u64, 0u64);
        while got < FRAMES {
            guest.tx.reclaim().unwrap();
            while sent < FRAMES && sent - got < 32 && guest.tx.room() > 0 {
                let frame = guest.buffer(&[&sent.to_le_bytes()[..], &[0; 52]].concat());
                guest.tx.push(TxInfo::default(), [frame].into_iter());
                sent += 1;
            }
            let _ = guest.tx.publish();
            let before = got;
            while let Some((_, bytes)) = guest.receive() {
                assert_eq!(bytes[..8], got.to_le_bytes());
                got += 1;
            }
            guest.rx.release();
            let _ = guest.rx.refill(ENTRIES as usize).unwrap();
            if got == before {
                std::thread::yield_now();
            }
        }
    });
}
