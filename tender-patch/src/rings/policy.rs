//! Who serves the rings: the vCPU's thread, or one of its own.
//!
//! An exit costs as much as moving ten small frames, so a thread that moves them meanwhile wins as
//! long as few come at a time; more of them pay for the exit, and transfers want one copy after
//! the other on one processor.
#![forbid(unsafe_code)]

use super::nic::Moved;
use std::time::{Duration, Instant};

/// A sleep shorter than this speaks for the thread, if it was [`light`].
const SHORT: Duration = Duration::from_micros(150);
/// That many in a row hand the rings to it, at least and at most.
const STREAK: (u32, u32) = (4, 256);
/// Batches of the guest's that a tenure of the thread was worth while with.
const WORTH: u32 = 32;
/// Frames received and bytes moved in one sleep that are few.
const FEW: usize = 18;
const LIGHT: usize = 64 << 10;
/// Frames of a peer that waits for each answer; and few, while somebody keeps the thread from its
/// processor, since each frame wakes it anew then.
pub(super) const SINGLE: usize = 2;
/// Frames between two batches of the guest's, on average, above which the vCPU's thread wins.
const MANY: usize = 28;

/// What the guest's sleeps speak for.
pub(super) struct Sleeps {
    streak: u32,
    needed: u32,
}

impl Default for Sleeps {
    fn default() -> Sleeps {
        Sleeps { streak: 0, needed: STREAK.0 }
    }
}

impl Sleeps {
    /// Whether the thread should take over, after a sleep of `time`.
    pub(super) fn add(&mut self, sent: Moved, received: Moved, time: Duration, hogs: bool) -> bool {
        let few = if hogs { SINGLE } else { FEW };
        let light = received.frames <= few && sent.bytes + received.bytes <= LIGHT;
        let idle = sent.frames + received.frames == 0;
        self.streak = if time < SHORT && light && !idle { self.streak + 1 } else { 0 };
        let enough = self.streak >= self.needed;
        if enough {
            self.streak = 0;
        }
        enough
    }

    /// Learns from a tenure of the thread's in which the guest sent so many batches.
    pub(super) fn learn(&mut self, batches: u32) {
        let longer = (self.needed * 2).min(STREAK.1);
        self.needed = if batches < WORTH { longer } else { STREAK.0 };
    }
}

/// What the thread has moved since the guest's last batch, and on average between two, in
/// sixteenths.
#[derive(Default)]
pub(super) struct Turns {
    turn: Moved,
    frames: usize,
    bytes: usize,
    /// Batches of the guest's.
    pub(super) batches: u32,
}

impl Turns {
    /// Whether the vCPU's thread should take over, after a round.
    pub(super) fn add(&mut self, sent: Moved, received: Moved, hogs: bool) -> bool {
        self.turn.frames += received.frames;
        self.turn.bytes += received.bytes + sent.bytes;
        if sent.frames > 0 {
            self.batches = self.batches.saturating_add(1);
            let turn = std::mem::take(&mut self.turn);
            self.frames += turn.frames;
            self.frames -= self.frames / 16;
            self.bytes += turn.bytes;
            self.bytes -= self.bytes / 16;
        }
        let most = if hogs { SINGLE } else { MANY };
        // While nothing is answered no average tells.
        self.frames > most * 16 || self.bytes > LIGHT * 16 || self.turn.bytes > LIGHT * 16
    }
}

impl Turns {
    /// Whether several frames come at a time. Their sender then has more to do than this thread,
    /// and should not wait for it; a single one's had better find it awake.
    pub(super) fn are_full(&self) -> bool {
        self.frames > SINGLE * 16
    }
}

/// Whether somebody who never sleeps shares the thread's processor. Then giving it away for a
/// moment gives it away for milliseconds.
#[derive(Default)]
pub(super) struct Hogs {
    until: Option<Instant>,
    pause: Duration,
}

/// Longer than a client works on what one round brought it.
const HOG: Duration = Duration::from_micros(500);
/// How long a hog is believed in, at first and when it is met again and again.
const PAUSE: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(1280));

impl Hogs {
    /// Whether one is believed in.
    pub(super) fn any(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| now < until)
    }

    /// Takes note of how long a yield lasted that ended at `now`.
    pub(super) fn yielded(&mut self, time: Duration, now: Instant) {
        if time < HOG {
            return;
        }
        let again = self.until.is_some_and(|until| now < until + PAUSE.0);
        self.pause = if again { (self.pause * 2).min(PAUSE.1) } else { PAUSE.0 };
        self.until = Some(now + self.pause);
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

    #[test]
    fn short_sleeps_with_few_frames_hand_over() {
        let sleeps = |sent, received, micros| {
            let mut sleeps = Sleeps::default();
            (1..=20).find(|_| sleeps.add(sent, received, Duration::from_micros(micros), false))
        };
        assert_eq!(sleeps(small(1), small(1), 30), Some(STREAK.0));
        assert_eq!(sleeps(small(9), small(9), 60), Some(STREAK.0));
        assert_eq!(sleeps(small(32), small(32), 100), None);
        assert_eq!(sleeps(large(2), small(1), 30), None);
        assert_eq!(sleeps(small(1), small(1), 1000), None);
        assert_eq!(sleeps(small(0), small(0), 10), None);
    }

    #[test]
    fn a_sleep_of_another_kind_begins_anew() {
        let mut sleeps = Sleeps::default();
        let short = Duration::from_micros(30);
        for _ in 0..5 {
            for _ in 1..STREAK.0 {
                assert!(!sleeps.add(small(1), small(1), short, false));
            }
            assert!(!sleeps.add(small(1), small(40), short, false));
        }
    }

    #[test]
    fn a_thread_that_is_soon_left_again_has_to_wait_for_longer_each_time() {
        let mut sleeps = Sleeps::default();
        let mut until = |tenure| {
            sleeps.learn(tenure);
            (1..).find(|_| sleeps.add(small(1), small(1), Duration::ZERO, false))
        };
        assert_eq!(until(WORTH), Some(STREAK.0));
        assert_eq!(until(3), Some(STREAK.0 * 2));
        assert_eq!(until(3), Some(STREAK.0 * 4));
        assert_eq!((0..20).filter_map(|_| until(3)).last(), Some(STREAK.1));
        assert_eq!(until(WORTH), Some(STREAK.0));
    }

    #[test]
    fn many_frames_a_turn_take_the_rings_back() {
        let rounds = |sent, received| {
            let mut turns = Turns::default();
            (0..200).any(|_| turns.add(sent, received, false))
        };
        assert!(!rounds(small(16), small(20)));
        assert!(rounds(small(1), small(40)));
        assert!(rounds(large(2), small(2)));
        assert!(rounds(small(0), large(2)));
    }

    #[test]
    fn frames_are_counted_by_the_guests_turn_and_not_by_the_round() {
        let mut turns = Turns::default();
        let mut round = |sent| turns.add(small(sent), small(8), false);
        assert!((0..200).any(|n| round(usize::from(n % 5 == 4))));
    }

    #[test]
    fn a_hog_is_believed_in_for_longer_each_time_it_is_met() {
        let start = Instant::now();
        let mut hogs = Hogs::default();
        hogs.yielded(Duration::from_micros(90), start);
        assert!(!hogs.any(start));
        hogs.yielded(Duration::from_millis(3), start);
        assert!(hogs.any(start + Duration::from_millis(19)));
        let later = start + Duration::from_millis(21);
        assert!(!hogs.any(later));
        hogs.yielded(Duration::from_millis(3), later);
        assert!(hogs.any(later + Duration::from_millis(39)));
        let much_later = later + Duration::from_secs(1);
        hogs.yielded(Duration::from_millis(3), much_later);
        assert!(!hogs.any(much_later + Duration::from_millis(21)));
    }
}
