//! How long an exit waits for more frames, since it costs as much as several of them.
#![forbid(unsafe_code)]

use super::nic::Moved;
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

/// Bytes of a transfer's frames on average, at least.
const LARGE: usize = 8192;
/// A transfer: a peer makes a frame of 64 KiB in about 10 us. With more of them the guest would
/// have to lend more large buffers than a cache holds.
const BULK: Kind =
    Kind { frames: 4..24, gap: Duration::from_micros(20), most: Duration::from_micros(100) };
/// Many messages at a time: the answers to the previous ones bring the next.
const MESSAGES: Kind =
    Kind { frames: 16..40, gap: Duration::from_micros(4), most: Duration::from_micros(40) };

/// The wait of one exit.
pub(super) struct Linger {
    seen: usize,
    first: Instant,
    last: Instant,
}

impl Linger {
    /// Nothing has come yet.
    pub(super) fn new(now: Instant) -> Linger {
        Linger { seen: 0, first: now, last: now }
    }

    /// Whether more is worth waiting for, with what has come so far, while `left` is left of the
    /// guest's own wait.
    pub(super) fn goes_on(&mut self, received: Moved, now: Instant, left: Duration) -> bool {
        let Moved { frames, bytes } = received;
        if frames > self.seen {
            if self.seen == 0 {
                self.first = now;
            }
            self.seen = frames;
            self.last = now;
        }
        let kind = if bytes >= frames * LARGE { BULK } else { MESSAGES };
        kind.frames.contains(&frames)
            && now - self.last < kind.gap
            && now - self.first < kind.most
            && !left.is_zero()
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
    fn a_guest_whose_time_has_come_is_not_kept_waiting() {
        let start = Instant::now();
        let mut linger = Linger::new(start);
        let received = Moved { frames: 8, bytes: 8 * 60_000 };
        assert!(linger.goes_on(received, start, micros(10)));
        assert!(!linger.goes_on(received, start + micros(10), Duration::ZERO));
    }
}
