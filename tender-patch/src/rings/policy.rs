//! Who serves the rings: the vCPU's thread, or one of its own.
//!
//! An exit costs as much as moving ten small frames, so a thread that moves them meanwhile wins as
//! long as few come at a time; more of them pay for the exit, and transfers from the guest want
//! one copy after the other on one processor. Those to the guest are copied by the thread while
//! the guest acknowledges what came before.
#![forbid(unsafe_code)]

use super::nic::Moved;
use std::time::{Duration, Instant};

/// A sleep shorter than this speaks for the thread, if few frames came and went in it, or a
/// transfer came.
const SHORT: Duration = Duration::from_micros(150);
/// The same for one in which a transfer's frames were waited for.
const SHORT_TRANSFER: Duration = Duration::from_micros(400);
/// That many in a row hand the rings to it, at least and at most.
const STREAK: (u32, u32) = (4, 256);
/// Frames received and bytes moved in one sleep that are few.
const FEW: usize = 18;
const LIGHT: usize = 64 << 10;
/// Frames of a peer that waits for each answer.
pub(super) const SINGLE: usize = 2;
/// Frames between two batches of the guest's, on average, above which the vCPU's thread wins.
const MANY: usize = 28;

/// What a number of received frames took, everything included.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pace {
    pub(super) time: Duration,
    pub(super) frames: usize,
}

impl Pace {
    fn is_faster_than(self, other: Pace) -> bool {
        let cross = |time: Duration, frames: usize| time.as_nanos() * frames as u128;
        cross(self.time, other.frames) < cross(other.time, self.frames)
    }
}

/// Whether this is a transfer to the guest, of which nothing but acknowledgements come back.
fn is_inbound(sent: Moved, received: Moved) -> bool {
    received.is_transfer() && sent.bytes * 16 <= received.bytes
}

/// What the guest's sleeps speak for.
pub(super) struct Sleeps {
    streak: u32,
    needed: u32,
    /// The streak's first sleep ended then.
    since: Instant,
    /// What came in the streak's sleeps after the first.
    pace: Pace,
}

impl Sleeps {
    pub(super) fn new(now: Instant) -> Sleeps {
        Sleeps { streak: 0, needed: STREAK.0, since: now, pace: Pace::default() }
    }

    /// Whether the thread should take over, after a sleep from `start` to `end`.
    pub(super) fn add(
        &mut self,
        sent: Moved,
        received: Moved,
        start: Instant,
        end: Instant,
    ) -> bool {
        let few = received.frames <= FEW && sent.bytes + received.bytes <= LIGHT;
        let inbound = is_inbound(sent, received);
        let short = if inbound { SHORT_TRANSFER } else { SHORT };
        let idle = sent.frames + received.frames == 0;
        if end - start >= short || !(few || inbound) || idle {
            self.streak = 0;
            return false;
        }
        if self.streak == 0 {
            (self.since, self.pace) = (end, Pace::default());
        } else {
            self.pace = Pace { time: end - self.since, frames: self.pace.frames + received.frames };
        }
        self.streak += 1;
        let enough = self.streak >= self.needed;
        if enough {
            self.streak = 0;
        }
        enough
    }

    /// Learns from a tenure of the thread's: if it was not faster than the sleeps that led to it,
    /// the next one has to wait for longer.
    pub(super) fn learn(&mut self, tenure: Pace) {
        let longer = (self.needed * 2).min(STREAK.1);
        self.needed = if tenure.is_faster_than(self.pace) { STREAK.0 } else { longer };
    }
}

/// What the thread has moved since the guest's last batch, and on average between two, in
/// sixteenths.
#[derive(Default)]
pub(super) struct Turns {
    sent: Moved,
    received: Moved,
    frames: usize,
    /// Frames received and bytes moved, but for those of transfers to the guest.
    messages: Moved,
    /// Frames received in all this tenure.
    pub(super) total: usize,
}

impl Turns {
    /// Whether the vCPU's thread should take over, after a round.
    pub(super) fn add(&mut self, sent: Moved, received: Moved) -> bool {
        self.total += received.frames;
        self.sent += sent;
        self.received += received;
        if sent.frames > 0 {
            let (sent, received) =
                (std::mem::take(&mut self.sent), std::mem::take(&mut self.received));
            self.frames += received.frames;
            if !is_inbound(sent, received) {
                self.messages.frames += received.frames;
                self.messages.bytes += received.bytes + sent.bytes;
            }
            let averages = [&mut self.frames, &mut self.messages.frames, &mut self.messages.bytes];
            averages.into_iter().for_each(|sum| *sum -= *sum / 16);
        }
        self.messages.frames > MANY * 16 || self.messages.bytes > LIGHT * 16
    }

    /// Whether several frames come at a time. Their sender then has more to do than this thread,
    /// and should not wait for it; a single one's had better find it awake.
    pub(super) fn are_full(&self) -> bool {
        self.frames > SINGLE * 16
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn small(frames: usize) -> Moved {
        Moved { frames, bytes: frames * 118 }
    }

    fn large(frames: usize) -> Moved {
        Moved { frames, bytes: frames * 65_000 }
    }

    /// Sleeps one after the other, each `micros` long and as long after the one before; the first
    /// that hands over.
    fn hand_over(sleeps: &mut Sleeps, sent: Moved, received: Moved, micros: u64) -> Option<u32> {
        let time = Duration::from_micros(micros);
        let mut now = Instant::now();
        (1..=1000).find(|_| {
            now += 2 * time;
            sleeps.add(sent, received, now - time, now)
        })
    }

    #[test]
    fn short_sleeps_with_few_frames_hand_over() {
        let sleeps = |sent, received, micros| {
            hand_over(&mut Sleeps::new(Instant::now()), sent, received, micros)
        };
        assert_eq!(sleeps(small(1), small(1), 30), Some(STREAK.0));
        assert_eq!(sleeps(small(9), small(9), 60), Some(STREAK.0));
        assert_eq!(sleeps(small(32), small(32), 100), None);
        assert_eq!(sleeps(large(2), small(1), 30), None);
        assert_eq!(sleeps(small(1), large(20), 200), Some(STREAK.0), "a transfer to the guest");
        assert_eq!(sleeps(large(1), large(1), 30), None);
        assert_eq!(sleeps(small(1), small(1), 1000), None);
        assert_eq!(sleeps(small(0), small(0), 10), None);
    }

    #[test]
    fn a_sleep_of_another_kind_begins_anew() {
        let now = Instant::now();
        let mut sleeps = Sleeps::new(now);
        let short = now + Duration::from_micros(30);
        for _ in 0..5 {
            for _ in 1..STREAK.0 {
                assert!(!sleeps.add(small(1), small(1), now, short));
            }
            assert!(!sleeps.add(small(1), small(40), now, short));
        }
    }

    #[test]
    fn a_thread_that_is_not_faster_has_to_wait_for_longer_each_time() {
        let mut sleeps = Sleeps::new(Instant::now());
        let mut until = |micros| {
            sleeps.learn(Pace { time: Duration::from_micros(micros), frames: 10 });
            hand_over(&mut sleeps, small(1), small(1), 20)
        };
        assert_eq!(until(100), Some(STREAK.0 * 2), "there is nothing to compare with");
        assert_eq!(until(390), Some(STREAK.0));
        assert_eq!(until(410), Some(STREAK.0 * 2));
        assert_eq!(until(410), Some(STREAK.0 * 4));
        assert_eq!((0..20).filter_map(|_| until(410)).last(), Some(STREAK.1));
        assert_eq!(until(390), Some(STREAK.0));
    }

    #[test]
    fn a_tenure_in_which_nothing_came_was_not_worth_while() {
        let mut sleeps = Sleeps::new(Instant::now());
        hand_over(&mut sleeps, small(1), small(1), 20);
        sleeps.learn(Pace { time: Duration::from_micros(1), frames: 0 });
        assert_eq!(hand_over(&mut sleeps, small(1), small(1), 20), Some(STREAK.0 * 2));
    }

    #[test]
    fn many_frames_a_turn_take_the_rings_back() {
        let rounds = |sent, received| {
            let mut turns = Turns::default();
            (0..200).any(|_| turns.add(sent, received))
        };
        assert!(!rounds(small(16), small(20)));
        assert!(rounds(small(1), small(40)));
        assert!(rounds(large(2), small(2)));
        assert!(!rounds(small(1), large(20)), "a transfer to the guest");
        assert!(!rounds(small(0), large(2)));
    }

    #[test]
    fn frames_are_counted_by_the_guests_turn_and_not_by_the_round() {
        let mut turns = Turns::default();
        let mut round = |sent| turns.add(small(sent), small(8));
        assert!((0..200).any(|n| round(usize::from(n % 5 == 4))));
    }
}
