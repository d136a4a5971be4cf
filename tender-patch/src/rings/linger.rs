//! How long an exit waits without sleeping: for more frames, since it costs as much as several of
//! them, and for the answer to a single one, since waking costs as much as an exit.
#![forbid(unsafe_code)]

use super::{nic::Moved, policy::SINGLE};
use std::time::{Duration, Instant};

/// A kind of traffic: how long its next frame is worth waiting for.
struct Kind {
    /// Frames of one exit that tell it, up to those that are enough.
    frames: std::ops::Range<usize>,
    /// Longest wait for a frame.
    gap: Duration,
    /// Longest wait in all.
    most: Duration,
}

/// A transfer: a peer makes a frame of 64 KiB in about 10 us. With more of them the guest would
/// have to lend more large buffers than a cache holds.
const BULK: Kind =
    Kind { frames: 4..24, gap: Duration::from_micros(20), most: Duration::from_micros(100) };
/// Many messages at a time: the answers to the previous ones bring the next.
const MESSAGES: Kind =
    Kind { frames: 16..40, gap: Duration::from_micros(4), most: Duration::from_micros(40) };

/// How long the peer of a ping-pong may take to answer: one that never sleeps takes 10 us, and the
/// sleep that this saves costs 20.
const ANSWER: Duration = Duration::from_micros(30);
/// Bytes of a frame that is one packet on an Ethernet, at most. What was coalesced has more.
const PACKET: usize = 1514;

/// The wait of one exit.
pub(super) struct Linger {
    started: Instant,
    seen: usize,
    first: Instant,
    last: Instant,
}

impl Linger {
    /// Nothing has come yet.
    pub(super) fn new(now: Instant) -> Linger {
        Linger { started: now, seen: 0, first: now, last: now }
    }

    /// Whether more is worth waiting for, with what has come so far, while `left` is left of the
    /// guest's own wait.
    pub(super) fn goes_on(&mut self, received: Moved, now: Instant, left: Duration) -> bool {
        let frames = received.frames;
        if frames > self.seen {
            if self.seen == 0 {
                self.first = now;
            }
            self.seen = frames;
            self.last = now;
        }
        let kind = if received.is_transfer() { BULK } else { MESSAGES };
        kind.frames.contains(&frames)
            && now - self.last < kind.gap
            && now - self.first < kind.most
            && !left.is_zero()
    }

    /// Whether what was sent is likely to be answered at once, when nothing has come yet; `before`
    /// is what came in the exit before.
    pub(super) fn expects_answer(&self, before: Moved, sent: Moved, now: Instant) -> bool {
        let single = |moved: Moved| (1..=SINGLE).contains(&moved.frames);
        single(before)
            && single(sent)
            && before.bytes <= before.frames * PACKET
            && now - self.started < ANSWER
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(1);

    fn micros(n: u64) -> Duration {
        Duration::from_micros(n)
    }

    #[test]
    fn a_request_is_not_kept_waiting() {
        let now = Instant::now();
        for frames in [0, 1, 3, 15] {
            assert!(!Linger::new(now).goes_on(Moved { frames, bytes: frames * 100 }, now, LONG));
        }
    }

    #[test]
    fn a_transfer_is_waited_for_until_it_pauses_or_the_batch_is_full() {
        let start = Instant::now();
        let mut linger = Linger::new(start);
        let received = |frames| Moved { frames, bytes: frames * 60_000 };
        assert!(linger.goes_on(received(4), start, LONG));
        assert!(linger.goes_on(received(4), start + micros(19), LONG));
        assert!(linger.goes_on(received(5), start + micros(30), LONG));
        assert!(!linger.goes_on(received(5), start + micros(50), LONG));
        assert!(linger.goes_on(received(23), start + micros(90), LONG));
        assert!(!linger.goes_on(received(24), start + micros(91), LONG));
        assert!(!linger.goes_on(received(23), start + micros(100), LONG));
        assert!(!Linger::new(start).goes_on(received(24), start, LONG), "at once full");
    }

    #[test]
    fn many_messages_are_waited_for_a_little() {
        let start = Instant::now();
        let mut linger = Linger::new(start);
        let received = |frames| Moved { frames, bytes: frames * 100 };
        assert!(linger.goes_on(received(16), start + micros(1), LONG));
        assert!(!linger.goes_on(received(16), start + micros(5), LONG));
        assert!(linger.goes_on(received(20), start + micros(6), LONG));
        assert!(!linger.goes_on(received(40), start + micros(6), LONG));
    }

    #[test]
    fn the_answer_to_a_single_message_is_looked_for_a_little() {
        let start = Instant::now();
        let moved = |frames, bytes| Moved { frames, bytes };
        let (one, none) = (moved(1, 130), Moved::default());
        let linger = Linger::new(start);
        assert!(linger.expects_answer(one, one, start + micros(29)));
        assert!(!linger.expects_answer(one, one, start + micros(30)));
        assert!(!linger.expects_answer(none, one, start), "the first is sent");
        assert!(!linger.expects_answer(one, none, start), "nothing is sent");
        assert!(!linger.expects_answer(moved(8, 8 * 130), one, start), "many messages");
        assert!(!linger.expects_answer(moved(1, 1570), one, start), "a transfer's last bytes");
    }

    #[test]
    fn a_guest_whose_time_has_come_is_not_kept_waiting() {
        let start = Instant::now();
        let mut linger = Linger::new(start);
        let received = Moved { frames: 8, bytes: 8 * 60_000 };
        assert!(linger.goes_on(received, start, micros(10)));
        assert!(!linger.goes_on(received, start + micros(10), Duration::ZERO));
    }
}
