//! What the thread does when it has answered a single message: it looks for the next one, or it
//! sleeps at once.
//!
//! Looking saves a wake where the peer sleeps meanwhile or has a processor of its own. A peer that
//! never sleeps and shares the thread's cannot go on before the thread sleeps. Nothing tells which
//! it is but the time, so both are tried.
#![forbid(unsafe_code)]

use std::time::{Duration, Instant};

/// Turns of one trial.
const TRIAL: u32 = 16;
/// Turns from one trial to the next: at first, and when the other way loses again and again.
const BETWEEN: (u32, u32) = (256, 2048);
/// A longer turn than this was longer for another reason: the peer had something else to do.
const TURN: Duration = Duration::from_micros(50);

/// How the thread rests after an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Look,
    Sleep,
}

impl Way {
    fn other(self) -> Way {
        match self {
            Way::Look => Way::Sleep,
            Way::Sleep => Way::Look,
        }
    }
}

/// The way that has proved faster.
#[derive(Debug)]
pub(super) struct Rest {
    way: Way,
    /// The other way is being tried, against this time of as many turns.
    trial: Option<Duration>,
    turns: u32,
    /// Time of the turns in this trial, or in this part between two.
    time: Duration,
    between: u32,
    until_trial: u32,
    last: Option<Instant>,
}

impl Default for Rest {
    fn default() -> Rest {
        let (turns, time) = (0, Duration::ZERO);
        let (between, until_trial) = (BETWEEN.0, TRIAL);
        Rest { way: Way::Look, trial: None, turns, time, between, until_trial, last: None }
    }
}

impl Rest {
    /// What happened before tells nothing about the next turn.
    pub(super) fn begin(&mut self) {
        self.last = None;
    }

    /// Takes note of an answer sent at `now`; whether to sleep at once.
    pub(super) fn answered(&mut self, now: Instant) -> bool {
        if let Some(last) = self.last.replace(now) {
            self.turn((now - last).min(TURN));
        }
        let way = if self.trial.is_some() { self.way.other() } else { self.way };
        way == Way::Sleep
    }

    fn turn(&mut self, time: Duration) {
        self.turns += 1;
        self.time += time;
        self.until_trial = self.until_trial.saturating_sub(1);
        if self.turns < TRIAL {
            return;
        }
        let time = std::mem::take(&mut self.time);
        self.turns = 0;
        match self.trial.take() {
            Some(other) => {
                // A sixteenth less, or it was noise.
                if time * 16 <= other * 15 {
                    self.way = self.way.other();
                    self.between = BETWEEN.0;
                } else {
                    self.between = (self.between * 2).min(BETWEEN.1);
                }
                self.until_trial = self.between;
            }
            None if self.until_trial == 0 => self.trial = Some(time),
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Turns that take so many microseconds each way; how many of the last half slept.
    fn sleeps(rest: &mut Rest, turns: u32, look: u64, sleep: u64) -> u32 {
        let mut now = Instant::now();
        let mut asleep = rest.answered(now);
        let mut count = 0;
        for turn in 0..turns {
            now += Duration::from_micros(if asleep { sleep } else { look });
            asleep = rest.answered(now);
            count += u32::from(asleep && turn >= turns / 2);
        }
        count
    }

    #[test]
    fn the_faster_way_is_found_and_kept() {
        let mut rest = Rest::default();
        assert!(sleeps(&mut rest, 2000, 21, 15) > 900);
        rest.begin();
        assert!(sleeps(&mut rest, 20_000, 13, 15) < 800);
        rest.begin();
        assert!(sleeps(&mut rest, 200_000, 21, 15) > 95_000);
    }

    #[test]
    fn what_makes_no_difference_is_tried_less_and_less() {
        let mut rest = Rest::default();
        assert!(sleeps(&mut rest, 1 << 16, 20, 20) <= 34 * TRIAL);
        assert_eq!(rest.between, BETWEEN.1);
    }

    #[test]
    fn a_turn_in_which_the_peer_did_something_else_does_not_decide() {
        let mut rest = Rest::default();
        let mut now = Instant::now();
        let mut asleep = rest.answered(now);
        for turn in 0..10_000 {
            let long = if turn % 500 == 0 { 50_000 } else { 0 };
            now += Duration::from_micros(if asleep { 13 } else { 20 } + long);
            asleep = rest.answered(now);
        }
        assert_eq!(rest.way, Way::Sleep);
    }
}
