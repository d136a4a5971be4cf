//! RFC 4821 and RFC 8899: paths whose routers drop what is too big, and say nothing.

use crate::tcp_support::trace::{Seg, Trace, flags::ACK};
use std::{collections::BTreeMap, time::Duration};
use zerohop::tcp::ConnId;

/// A peer behind a path that carries packets of up to `mtu` bytes.
struct Path {
    mtu: u32,
    received: u32,
    early: BTreeMap<u32, u32>,
    largest: u32,
}

impl Path {
    fn new(mtu: u32) -> Path {
        Path { mtu, received: 1, early: BTreeMap::new(), largest: 0 }
    }

    /// Carries everything for `time` in round trips of 20 ms.
    fn carry(&mut self, t: &mut Trace, time: Duration) {
        for _ in 0..time.as_millis() / 20 {
            let segs: Vec<Seg> = std::iter::from_fn(|| t.take_sent()).collect();
            t.pass(Duration::from_millis(20));
            for seg in segs.into_iter().filter(|seg| seg.len > 0 && seg.len + 40 <= self.mtu) {
                self.largest = self.largest.max(seg.len);
                self.early.insert(seg.seq, seg.seq + seg.len);
                while let Some((start, end)) = self.early.pop_first() {
                    if start > self.received {
                        self.early.insert(start, end);
                        break;
                    }
                    self.received = self.received.max(end);
                }
                let sack = self.early.iter().fold(None, |block, (&start, &end)| match block {
                    Some((first, last)) if start <= last => Some((first, end.max(last))),
                    Some(block) => Some(block),
                    None => Some((start, end)),
                });
                t.inject(&Seg {
                    flags: ACK,
                    seq: 1,
                    ack: self.received,
                    win: 60_000,
                    sack: sack.into_iter().collect(),
                    ..Seg::default()
                });
            }
        }
    }
}

fn connection(mtu: u16) -> (Trace, ConnId) {
    let mut t = Trace::listening();
    t.net.mtu = mtu;
    let mss = Some(mtu - 40);
    t.established_by(Seg { mss, ws: Some(0), ..Trace::syn() })
}

#[test]
fn silent_narrow_path_is_found_and_used_fully() {
    let (mut t, id) = connection(1500);
    let mut path = Path::new(1400);
    for _ in 0..40 {
        t.write(id, 50_000);
        path.carry(&mut t, Duration::from_secs(1));
    }
    assert_eq!(path.received, 40 * 50_000 + 1);
    // Within the grain of what the path carries.
    let mss = t.info(id).mss;
    assert!((1400 - 40 - 16..=1400 - 40).contains(&mss), "{mss}");
    assert_eq!(path.largest, mss);
}

#[test]
fn lost_probes_are_no_congestion() {
    let (mut t, id) = connection(1500);
    let mut path = Path::new(1400);
    // Until the black hole was found and left.
    t.write(id, 50_000);
    path.carry(&mut t, Duration::from_secs(4));
    let before = t.tcp.stats().recoveries;
    for _ in 0..40 {
        t.write(id, 50_000);
        path.carry(&mut t, Duration::from_secs(1));
    }
    assert!(t.tcp.stats().retransmits > 4, "probes were lost");
    assert_eq!(t.tcp.stats().recoveries, before);
    assert_eq!(path.received, 41 * 50_000 + 1);
}

#[test]
fn path_that_widens_is_used_again_after_ten_minutes() {
    let (mut t, id) = connection(1500);
    let mut path = Path::new(1300);
    for _ in 0..40 {
        t.write(id, 50_000);
        path.carry(&mut t, Duration::from_secs(1));
    }
    assert!(t.info(id).mss <= 1260);
    path.mtu = 1500;
    t.pass(Duration::from_secs(601));
    for _ in 0..4 {
        t.write(id, 50_000);
        path.carry(&mut t, Duration::from_secs(1));
    }
    assert_eq!(t.info(id).mss, 1460);
}

#[test]
fn path_narrower_than_the_base_is_survived() {
    let (mut t, id) = connection(1500);
    let mut path = Path::new(600);
    t.write(id, 20_000);
    path.carry(&mut t, Duration::from_secs(60));
    assert_eq!(path.received, 20_001);
    assert!(t.info(id).mss <= 560);
}
