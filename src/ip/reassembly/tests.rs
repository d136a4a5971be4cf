use super::*;
use crate::PoolConfig;
use alloc::{vec, vec::Vec};

const NOW: Instant = Instant::from_millis(1000);

fn pool(count: usize) -> Pool {
    Pool::heap(PoolConfig { count, ..PoolConfig::default() })
}

fn key(ident: u32) -> Key {
    let [local, remote] = [2, 1].map(|n| IpAddr::V4(core::net::Ipv4Addr::new(10, 0, 0, n)));
    Key { local, remote, ident, protocol: 17 }
}

fn key6(ident: u32) -> Key {
    let [local, remote] = ["fd00::2", "fd00::1"].map(|a| a.parse().unwrap());
    Key { local, remote, ident, protocol: 0 }
}

fn byte(at: usize) -> u8 {
    (at % 251) as u8
}

struct Bench {
    table: Reassembly,
    pool: Pool,
    ecn: Ecn,
    now: Instant,
}

impl Bench {
    fn new(count: usize) -> Bench {
        Bench { table: Reassembly::default(), pool: pool(count), ecn: Ecn::NotEct, now: NOW }
    }

    /// A fragment in a buffer of its own behind 20 bytes of header.
    fn send(&mut self, key: Key, range: core::ops::Range<usize>, more: bool) -> Option<Vec<u8>> {
        self.send_bytes(key, range.start, &range.map(byte).collect::<Vec<_>>(), more)
    }

    fn send_bytes(&mut self, key: Key, offset: usize, bytes: &[u8], more: bool) -> Option<Vec<u8>> {
        let mut buf = self.pool.alloc_reserved().expect("a buffer");
        buf.append(20).fill(0x45);
        buf.append(bytes.len()).copy_from_slice(bytes);
        let start = buf.freeze();
        let mut payload = Chain::new();
        payload.push(start.slice(20..start.len()));
        let fragment = Fragment { key, protocol: 17, offset, more, most: 65_515, ecn: self.ecn };
        match self.table.add(self.now, &fragment, start, &mut payload, &self.pool) {
            Verdict::Complete(whole) => {
                assert_eq!(whole.protocol, 17);
                assert_eq!(whole.start[0], 0x45);
                Some(payload.iter().flat_map(|slice| slice.to_vec()).collect())
            }
            _ => None,
        }
    }
}

fn expected(len: usize) -> Vec<u8> {
    (0..len).map(byte).collect()
}

#[test]
fn fragments_in_any_order_make_the_datagram_without_a_copy() {
    let orders: [[usize; 3]; 6] =
        [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
    for order in orders {
        let mut b = Bench::new(512);
        let parts = [(0..1480, true), (1480..2960, true), (2960..3000, false)];
        let mut done = None;
        for i in order {
            assert!(done.is_none());
            let (range, more) = parts[i].clone();
            done = b.send(key(1), range, more);
        }
        assert_eq!(done.unwrap(), expected(3000));
        assert_eq!(b.table.stats.payload_bytes_copied, 0);
        assert_eq!(b.table.held(), (0, 0));
    }
    assert_eq!(pool(512).stats().free, 512);
}

#[test]
fn eight_datagrams_of_64_kib_arrive_at_once() {
    let mut b = Bench::new(2048);
    let len = 65_507 + 8;
    let mut complete = 0;
    for at in (0..len).step_by(1480) {
        for ident in 0..8 {
            let end = (at + 1480).min(len);
            if let Some(whole) = b.send(key(ident), at..end, end < len) {
                assert_eq!(whole, expected(len));
                complete += 1;
            }
        }
    }
    assert_eq!((complete, b.table.stats.evicted), (8, 0));
    assert_eq!(b.table.stats.payload_bytes_copied, 0);
}

#[test]
fn overlap_drops_the_whole_datagram_and_what_follows() {
    for k in [key(1), key6(1)] {
        let mut b = Bench::new(512);
        b.send(k, 0..16, true);
        b.send(k, 8..24, true);
        assert_eq!(b.table.stats.overlap, 1);
        // Even a complete set does not bring it back.
        assert!(b.send(k, 0..16, true).is_none() && b.send(k, 16..32, false).is_none());
        assert_eq!(b.table.stats.late, 2);
        assert_eq!(b.table.held(), (0, 0));
        // Another datagram is not concerned.
        b.send(key(2), 0..16, true);
        assert_eq!(b.send(key(2), 16..20, false).unwrap(), expected(20));
    }
}

#[test]
fn fragment_inside_or_around_another_is_an_overlap() {
    for (first, second) in [(0..64, 8..16), (8..16, 0..64), (0..16, 0..8), (0..8, 0..16)] {
        let mut b = Bench::new(512);
        b.send(key(1), first, true);
        b.send(key(1), second, true);
        assert_eq!(b.table.stats.overlap, 1);
    }
}

#[test]
fn exact_duplicate_is_dropped_alone() {
    let mut b = Bench::new(512);
    b.send(key(1), 0..16, true);
    b.send(key(1), 0..16, true);
    b.send(key(1), 24..30, false);
    b.send(key(1), 24..30, false);
    assert_eq!(b.table.stats.duplicate, 2);
    assert_eq!(b.send(key(1), 16..24, true).unwrap(), expected(30));
}

#[test]
fn same_range_with_other_bytes_is_an_overlap() {
    let mut b = Bench::new(512);
    b.send(key(1), 0..16, true);
    b.send_bytes(key(1), 0, &[0xee; 16], true);
    assert_eq!(b.table.stats.overlap, 1);
}

#[test]
fn fragments_that_disagree_about_the_end_drop_the_datagram() {
    let ends = [(16..32, false, 32..40, true), (16..32, false, 8..16, false)];
    for (first, more, second, more2) in ends {
        let mut b = Bench::new(512);
        b.send(key(1), first, more);
        b.send(key(1), second, more2);
        assert_eq!(b.table.stats.overlap, 1);
    }
    let mut b = Bench::new(512);
    b.send(key(1), 16..32, true);
    b.send(key(1), 8..16, false);
    assert_eq!(b.table.stats.overlap, 1);
}

#[test]
fn lengths_that_cannot_be_are_refused() {
    let mut b = Bench::new(512);
    b.send(key(1), 0..15, true);
    b.send(key(1), 8..8, false);
    b.send(key(1), 65_512..65_520, true);
    assert_eq!(b.table.stats.malformed, 3);
    assert_eq!(b.table.held(), (0, 0));
}

#[test]
fn sender_is_told_when_time_runs_out_after_the_first_fragment() {
    for (k, seconds) in [(key(1), 30), (key6(1), 60)] {
        let mut b = Bench::new(512);
        b.send(k, 0..16, true);
        b.now = NOW + Duration::from_secs(5);
        // One whose first fragment is missing ends in silence.
        b.send(Key { ident: 2, ..k }, 16..32, true);
        let mut told = Vec::new();
        b.table.poll(NOW + Duration::from_millis(seconds * 1000 - 1), |e| told.push(e.key));
        assert!(told.is_empty());
        assert_eq!(b.table.poll_at(), Some(NOW + Duration::from_secs(seconds)));
        b.table.poll(NOW + Duration::from_secs(seconds), |e| told.push(e.key));
        b.table.poll(NOW + Duration::from_secs(seconds + 5), |e| told.push(e.key));
        assert_eq!(told, vec![k]);
        assert_eq!((b.table.stats.expired, b.table.poll_at()), (2, None));
    }
}

#[test]
fn overlapping_datagram_ends_without_an_error() {
    let mut b = Bench::new(512);
    b.send(key(1), 0..16, true);
    b.send(key(1), 8..24, true);
    b.table.poll(NOW + Duration::from_secs(31), |_| panic!("RFC 8200: no ICMP error"));
    assert_eq!(b.table.stats.expired, 0);
}

#[test]
fn congestion_of_one_fragment_is_the_datagrams() {
    let mut b = Bench::new(512);
    let cases = [
        ([Ecn::Ect0, Ecn::Ce], Some(Ecn::Ce)),
        ([Ecn::NotEct, Ecn::Ce], None),
        ([Ecn::Ect0, Ecn::Ect0], Some(Ecn::Ect0)),
        ([Ecn::NotEct, Ecn::Ect1], Some(Ecn::NotEct)),
    ];
    for (ident, (bits, result)) in cases.into_iter().enumerate() {
        b.ecn = bits[0];
        b.send(key(ident as u32), 0..8, true);
        b.ecn = bits[1];
        assert_eq!(b.send(key(ident as u32), 8..9, false).is_some(), result.is_some());
    }
    assert_eq!(b.table.stats.ecn, 1);
}

#[test]
fn flood_of_fragments_keeps_memory_flat() {
    // A small pool, as with --mem=4.
    let mut b = Bench::new(512);
    let mut most = (0, 0);
    for ident in 0..20_000 {
        let at = (ident as usize * 8) % 4096;
        b.send(key(ident / 7), at..at + 8, true);
        let held = b.table.held();
        most = (most.0.max(held.0), most.1.max(held.1));
    }
    assert!(most.0 <= 128 && most.1 <= MAX_FRAGMENTS, "{most:?}");
    assert!(b.pool.stats().free >= 512 - 129);
    assert!(b.table.stats.evicted > 2000);
    // And a datagram still gets through.
    b.send(key(99_999), 0..1480, true);
    assert_eq!(b.send(key(99_999), 1480..2000, false).unwrap(), expected(2000));
}

#[test]
fn tiny_fragments_are_copied_together() {
    let mut b = Bench::new(512);
    let len = 4096;
    for at in (0..len).step_by(8) {
        let done = b.send(key(1), at..at + 8, at + 8 < len);
        assert!(b.table.held().0 <= 80, "{:?}", b.table.held());
        assert_eq!(done.is_some(), at + 8 == len);
        if let Some(whole) = done {
            assert_eq!(whole, expected(len));
        }
    }
    assert!(b.table.stats.payload_bytes_copied as usize > len * 3 / 4);
}

#[test]
fn a_pool_that_is_nearly_empty_is_left_to_the_device() {
    let mut b = Bench::new(512);
    for ident in 0..8 {
        b.send(key(ident), 0..1480, true);
    }
    assert_eq!(b.table.held().0, 8);
    let hoard: Vec<_> = (0..420).filter_map(|_| b.pool.alloc()).collect();
    b.send(key(100), 0..1480, true);
    assert_eq!(b.table.held(), (0, 0));
    drop(hoard);
}
