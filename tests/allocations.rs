//! No segment and no datagram asks for memory: whole stacks on both ends, counted by the allocator
//! once every queue has grown to its use. The same through sockets and tasks is in
//! `src/net/tests/allocations.rs`, and in a unikernel in `kvm_allocations.rs`.

#[path = "allocations/pair.rs"]
mod pair;

use pair::{Pair, SEGMENT};
use testbed::{Allocations, Counting};
use zerohop::{Slice, frame::Offloads};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const SEGMENTS: usize = 10_000;
const CHECKSUMS: Offloads = Offloads::TX_CSUM.union(Offloads::RX_CSUM);
const ALL: Offloads = CHECKSUMS.union(Offloads::TSO4).union(Offloads::TSO6).union(Offloads::RX_GSO);

/// With each kind of device, over both families.
fn each(mut test: impl FnMut(Pair, &str)) {
    for offloads in [Offloads::empty(), CHECKSUMS, ALL] {
        for v6 in [false, true] {
            let what = format!("{offloads:?}, {}", if v6 { "IPv6" } else { "IPv4" });
            test(Pair::new(offloads, v6), &what);
        }
    }
}

fn counted(mut work: impl FnMut()) -> Allocations {
    work();
    let before = Allocations::so_far();
    work();
    before.since()
}

#[test]
fn what_allocates_is_counted() {
    let one = counted(|| drop(std::hint::black_box(Box::new(1))));
    assert_eq!(one, Allocations { made: 1, freed: 1, ..Allocations::NONE });
}

#[test]
fn full_segments_one_way_allocate_nothing() {
    each(|mut pair, what| {
        assert_eq!(counted(|| pair.transfer(SEGMENTS)), Allocations::NONE, "{what}");
    });
}

#[test]
fn a_byte_there_and_back_allocates_nothing() {
    each(|mut pair, what| {
        let byte = Slice::from_static(b"x");
        let work = || (0..SEGMENTS).for_each(|_| pair.round_trip(&byte));
        assert_eq!(counted(work), Allocations::NONE, "{what}");
    });
}

#[test]
fn short_segments_that_are_put_together_allocate_nothing() {
    each(|mut pair, what| {
        let short = Slice::from_static(&[1; 100]);
        let work = || (0..100).for_each(|_| pair.burst(&short, 8));
        assert_eq!(counted(work), Allocations::NONE, "{what}");
    });
}

#[test]
fn timers_that_fire_allocate_nothing() {
    each(|mut pair, what| {
        // The receiver's delayed ACK fires each time.
        let one = Slice::from_static(&[2; SEGMENT]);
        let work = || (0..100).for_each(|_| pair.burst(&one, 1));
        assert_eq!(counted(work), Allocations::NONE, "{what}");
    });
}

#[test]
fn datagrams_echoed_by_reference_and_in_place_allocate_nothing() {
    each(|mut pair, what| {
        for len in [64, 1200] {
            let data = Slice::from(vec![3; len]);
            let by_reference =
                counted(|| (0..SEGMENTS / 32).for_each(|_| pair.datagrams(&data, 32, false)));
            let in_place =
                counted(|| (0..SEGMENTS / 32).for_each(|_| pair.datagrams(&data, 32, true)));
            assert_eq!([by_reference, in_place], [Allocations::NONE; 2], "{len} bytes, {what}");
        }
    });
}

#[test]
fn segments_that_change_places_allocate_nothing() {
    each(|mut pair, what| {
        pair.swap_every = Some(10);
        assert_eq!(counted(|| pair.transfer(SEGMENTS)), Allocations::NONE, "{what}");
    });
}

#[test]
fn losses_allocate_nothing_while_no_more_than_a_few_pieces_lie_behind_a_hole() {
    each(|mut pair, what| {
        pair.lose_every = Some(500);
        let before = pair.lost;
        assert_eq!(counted(|| pair.transfer(20 * SEGMENTS)), Allocations::NONE, "{what}");
        assert!(pair.lost - before >= 20, "{} lost, {what}", pair.lost - before);
    });
}
