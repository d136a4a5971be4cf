//! The numbers of `ABI.md`, written out once more: what another implementation would write.

use shmring::{
    Pool, PoolConfig,
    abi::{
        Desc, Features, Flags, MAJOR, MAX_FRAGS, MAX_FRAME, MINOR, gso, offer, offer::Offer, port,
        status,
    },
    guest::{Region, RegionConfig},
    memory::{RawMemory, SharedMemory},
    tender::Violation,
};
use std::{alloc, ptr::NonNull};

#[test]
fn a_descriptor_has_its_fields_where_the_text_says() {
    let desc = Desc {
        id: 0x00cd_ef01,
        generation: 0x23,
        offset: 0x4567,
        len: 0x89ab,
        flags: Flags::NEXT | Flags::DATA_VALID,
        gso_size: 0x05a8,
        csum_start: 0x0022,
        csum_offset: 0x10,
        gso_type: 0x81,
    };
    assert_eq!(desc.encode(), [0x89ab_4567_23cd_ef01, 0x8110_0022_05a8_0005]);
    let sum = Desc { flags: Flags::NEEDS_CSUM, ..Desc::default() };
    assert_eq!(sum.encode(), [0, 2]);
    assert_eq!(Desc::decode([0, 1 << 15]).ok(), None);
}

#[test]
fn features_status_types_and_ports_are_these_numbers() {
    let features = [
        (Features::RINGS, 0),
        (Features::STATS, 1),
        (Features::TX_CSUM, 2),
        (Features::RX_CSUM, 3),
        (Features::TSO4, 4),
        (Features::TSO6, 5),
        (Features::USO, 6),
        (Features::RX_GSO, 7),
        (Features::MEM_CLASS, 8),
        (Features::FILL_LARGE, 9),
    ];
    for (feature, bit) in features {
        assert_eq!(feature.bits(), 1 << bit, "{feature:?}");
    }
    assert_eq!(Features::all().bits(), 0x3ff);
    assert_eq!((MAJOR, MINOR), (1, 1));
    assert_eq!((status::POLLING, status::BROKEN), (1, 2));
    assert_eq!(Violation::Segmentation.status(), 0x802);
    assert_eq!((gso::TCPV4, gso::TCPV6, gso::UDP_L4, gso::ECN), (1, 4, 5, 0x80));
    assert_eq!(
        (port::BASE, port::ATTACH, port::WAIT, port::RESET, port::KICK),
        (0x610, 0, 1, 2, 4)
    );
    assert_eq!((offer::NAME, offer::TYPE), ("shmring", 0x4000_5a52));
    assert_eq!((MAX_FRAGS, MAX_FRAME), (34, 65_549));
}

#[test]
fn an_offer_is_sixteen_bytes_in_this_order() {
    let offer = Offer {
        major: 1,
        minor: 2,
        port: 0x610,
        max_pairs: 4,
        features: Features::RINGS | Features::MEM_CLASS,
    };
    let bytes = [1, 0, 2, 0, 0x10, 6, 4, 0, 1, 1, 0, 0, 0, 0, 0, 0];
    assert_eq!(offer.encode(), bytes);
    assert_eq!(Offer::decode(bytes), offer);
    let newer = [1, 0, 2, 0, 0x10, 6, 4, 0, 1, 1, 0, 0, 0, 0, 0, 0x80];
    assert_eq!(Offer::decode(newer), offer, "an unknown feature is left out");
}

/// Fresh pages, freed when the test is over.
struct Pages(NonNull<u8>, alloc::Layout);

impl Pages {
    fn new(bytes: u64) -> Pages {
        let layout = alloc::Layout::from_size_align(bytes as usize, 4096).unwrap();
        // SAFETY: the size is not zero.
        Pages(NonNull::new(unsafe { alloc::alloc_zeroed(layout) }).unwrap(), layout)
    }

    fn words(&self) -> RawMemory {
        // SAFETY: the pages outlive the rings of a test, and are only reached by words.
        unsafe { RawMemory::new(self.0, self.1.size() as u64) }
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout.
        unsafe { alloc::dealloc(self.0.as_ptr(), self.1) };
    }
}

fn assert_queues(memory: &RawMemory, kinds: &[u64], per_pair: u64) {
    let word = |at: u64| memory.load_u64(at);
    for (i, kind) in kinds.iter().enumerate() {
        let row = 0x300 + i as u64 * 64;
        assert_eq!(word(row), kind | (i as u64 / per_pair) << 16);
        let (ctrl, desc) = (word(row + 8), word(row + 16));
        assert!(ctrl.is_multiple_of(128) && desc.is_multiple_of(16));
        assert_eq!(word(row + 24), 6 | 4 << 8);
        assert_eq!((word(ctrl), word(ctrl + 0x80)), (0, 0));
        assert_eq!((word(ctrl + 0x100), word(ctrl + 0x180)), (0xffff_ffff, 0xffff_ffff));
    }
    assert_eq!(word(0x300 + kinds.len() as u64 * 64), 0, "no further row");
}

#[test]
fn a_region_has_its_words_where_the_text_says() {
    let pool = Pool::heap(PoolConfig { count: 64, reserve: 4, ..PoolConfig::default() });
    let config = RegionConfig {
        pairs: 2,
        entries: 64,
        offered: Features::all(),
        accepted: Features::RINGS | Features::STATS,
        origin: (pool.base().as_ptr() as u64).wrapping_sub(0x20_0000),
        mem: None,
        stats: Some((0x12_3000, 9)),
    };
    let pages = Pages::new(config.size());
    let memory = pages.words();
    let _region = Region::build(memory, &config, &pool);
    let word = |at: u64| memory.load_u64(at);
    assert_eq!(&word(0).to_le_bytes(), b"SHMRING1");
    assert_eq!(word(0x008), 1 | 1 << 16 | 0xb00 << 32);
    assert_eq!(word(0x010), config.size());
    assert_eq!(word(0x018), 0x3ff);
    assert_eq!(word(0x020), 6 | 1 << 16);
    assert_eq!((word(0x038), word(0x040)), (0x12_3000, 9));
    assert_eq!(word(0x080), 3);
    assert_eq!((word(0x200), word(0x208), word(0x210)), (0x20_0000, 2048 | 64 << 32, 0));
    assert_queues(&memory, &[1, 2, 3, 1, 2, 3], 3);
}

#[test]
fn a_region_with_large_buffers_has_a_fourth_queue_a_pair_and_a_second_class() {
    let pages = Pages::new(0x10_0000);
    let small = PoolConfig { count: 64, reserve: 4, ..PoolConfig::default() };
    let large = PoolConfig { stride: 65_536, count: 4, headroom: 0, reserve: 0 };
    // SAFETY: two areas of the pages, behind those of the region.
    let (pool, large) = unsafe {
        let at = |offset| pages.0.add(offset);
        (Pool::from_raw(small, at(0x2_0000)), Pool::from_raw(large, at(0x8_0000)))
    };
    let accepted = Features::RINGS | Features::RX_CSUM | Features::RX_GSO | Features::FILL_LARGE;
    let config = RegionConfig {
        pairs: 2,
        entries: 64,
        offered: Features::all(),
        accepted,
        origin: pages.0.as_ptr() as u64,
        mem: None,
        stats: None,
    };
    let memory = pages.words();
    let mut region = Region::build_with(memory, &config, &pool, Some(&large));
    let word = |at: u64| memory.load_u64(at);
    assert_eq!(word(0x020), 8 | 2 << 16);
    assert_eq!(word(0x080), 0x289);
    assert_eq!((word(0x200), word(0x208), word(0x210)), (0x2_0000, 2048 | 64 << 32, 0));
    assert_eq!((word(0x220), word(0x228), word(0x230)), (0x8_0000, 65_536 | 4 << 32, 64));
    assert_queues(&memory, &[1, 2, 3, 4, 1, 2, 3, 4], 4);

    let rx = &mut region.pairs[1].1;
    let _ = rx.refill_large(1).unwrap();
    let (ctrl, desc) = (word(0x300 + 7 * 64 + 8), word(0x300 + 7 * 64 + 16));
    assert_eq!(word(ctrl), 1);
    let id = word(desc) & 0xff_ffff;
    assert!((64..68).contains(&id));
    assert_eq!((word(desc), word(desc + 8)), (id | 0xffff << 48, 0), "all of it that 16 bits say");
    drop(region);
}
