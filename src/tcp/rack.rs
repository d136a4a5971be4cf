//! RACK: loss by the time of sending (RFC 8985, section 6).

use super::scoreboard::{Mark, Scoreboard, Sent};
use crate::{
    time::{Duration, Instant},
    wire::tcp::SeqNum,
};

const REO_WND_PERSIST: u8 = 16;

pub(crate) struct Rack {
    /// RACK.xmit_ts and RACK.end_seq: the newest segment known to be delivered.
    xmit_at: Instant,
    end: SeqNum,
    /// RACK.rtt, in nanoseconds.
    rtt: u64,
    /// RACK.fack
    fack: Option<SeqNum>,
    pub(crate) reordering_seen: bool,
    pub(crate) reo_wnd_mult: u8,
    reo_wnd_persist: u8,
    /// The round in which a D-SACK was counted last ends here.
    dsack_round: Option<SeqNum>,
}

impl Rack {
    pub(crate) const fn new() -> Rack {
        Rack {
            xmit_at: Instant::ZERO,
            end: SeqNum(0),
            rtt: 0,
            fack: None,
            reordering_seen: false,
            reo_wnd_mult: 1,
            reo_wnd_persist: REO_WND_PERSIST,
            dsack_round: None,
        }
    }

    /// Steps 1 to 3: a segment was delivered. `too_early` tells whether an ACK of a retransmitted
    /// segment must be for its first transmission.
    #[inline(always)]
    pub(crate) fn delivered(&mut self, sent: &Sent, now: Instant, min_rtt: u64, too_early: bool) {
        let rtt = now.nanos_since(sent.sent_at);
        let resent = sent.mark.contains(Mark::EVER_RESENT);
        if resent && (too_early || rtt < min_rtt) {
            return;
        }
        let end = sent.end();
        if sent_after(sent.sent_at, end, self.xmit_at, self.end) {
            self.xmit_at = sent.sent_at;
            self.end = end;
            self.rtt = rtt;
        }
        match self.fack {
            Some(fack) if end < fack => self.reordering_seen |= !resent,
            _ => self.fack = Some(end),
        }
    }

    /// Step 4: the reordering window widens with every round that has a D-SACK.
    #[inline]
    pub(crate) fn on_round(&mut self, dsack: bool, snd_una: SeqNum, snd_nxt: SeqNum) {
        // Nothing that was sent since: that is still the same round.
        if self.dsack_round.is_some_and(|end| snd_una >= end && snd_nxt != end) {
            self.dsack_round = None;
        }
        if dsack && self.dsack_round.is_none() {
            self.dsack_round = Some(snd_nxt);
            self.reo_wnd_mult = self.reo_wnd_mult.saturating_add(1);
            self.reo_wnd_persist = REO_WND_PERSIST;
        }
    }

    /// A recovery ended: the widened window is kept for some of them.
    pub(crate) fn on_recovery_exit(&mut self) {
        self.reo_wnd_persist = self.reo_wnd_persist.saturating_sub(1);
        if self.reo_wnd_persist == 0 {
            self.reo_wnd_mult = 1;
            self.reo_wnd_persist = REO_WND_PERSIST;
        }
    }

    /// Step 5: marks what was sent long enough before the newest delivered segment; returns after
    /// which time to look again.
    pub(crate) fn detect(
        &self,
        board: &mut Scoreboard,
        reo_wnd: Duration,
        now: Instant,
    ) -> Option<Duration> {
        let mut again: Option<Duration> = None;
        let mut resent = board.resent();
        for index in 0..board.len() {
            let Some(sent) = board.get(index) else { break };
            if sent.mark.contains(Mark::SACKED)
                || sent.mark & (Mark::LOST | Mark::RESENT) == Mark::LOST
            {
                continue;
            }
            if sent.mark.contains(Mark::RESENT) {
                resent -= sent.len;
            }
            if !sent_after(self.xmit_at, self.end, sent.sent_at, sent.end()) {
                // What was sent once is in order of time: none behind it was sent earlier.
                if resent == 0 && !sent.mark.contains(Mark::EVER_RESENT) {
                    break;
                }
                continue;
            }
            let deadline = sent.sent_at.plus_nanos(self.rtt) + reo_wnd;
            if deadline <= now {
                board.mark_lost(index);
            } else {
                let left = deadline.saturating_since(now);
                again = Some(again.map_or(left, |a| a.max(left)));
            }
        }
        again
    }
}

#[inline]
fn sent_after(at: Instant, end: SeqNum, other_at: Instant, other_end: SeqNum) -> bool {
    at > other_at || (at == other_at && end > other_end)
}
