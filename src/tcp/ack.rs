//! Fifth, check the ACK field (RFC 9293, section 3.10.7.4): the sender's half of a segment.

use super::{
    cc::{Ack, Control, initial_window},
    conn::Conn,
    core::{Core, Pending},
    rate::{RateSample, Sampler},
    recovery::{Phase, Progress},
    scoreboard::Mark,
    segment::Segment,
};
use crate::{
    time::{Duration, Instant},
    wire::tcp::{Flags, SeqNum},
};

/// Whether the rest of a segment is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Continue,
    Drop,
}

/// RTTs that one ACK yields, in nanoseconds.
#[derive(Default)]
pub(super) struct Samples {
    /// Of the segment sent first, with the peer's delay: for the RTO.
    oldest: Option<u64>,
    /// Of the segment sent last: for the path's RTT.
    newest: Option<u64>,
}

impl Samples {
    /// Of a single segment.
    #[inline]
    pub(super) fn of(rtt: u64) -> Samples {
        Samples { oldest: Some(rtt), newest: Some(rtt) }
    }
}

/// What one ACK told of data on its way, for congestion control.
pub(super) struct Told<'a> {
    /// Bytes newly acknowledged or sacked.
    pub(super) newly: u32,
    /// Bytes newly deemed lost.
    pub(super) lost: u32,
    pub(super) samples: &'a Samples,
    /// Bytes in flight before.
    pub(super) prior_in_flight: u32,
    pub(super) round_start: bool,
    pub(super) rate: RateSample,
}

/// RFC 2883, section 4: a first block below the cumulative ACK, or inside the second.
fn reports_duplicate(blocks: &[(SeqNum, SeqNum)], ack: SeqNum) -> bool {
    let inside = |(start, end)| {
        blocks.get(1).is_some_and(|second: &(SeqNum, SeqNum)| second.0 <= start && end <= second.1)
    };
    blocks.first().is_some_and(|&first| first.0 < ack || inside(first))
}

/// Whether all that a segment has is its ACK.
fn is_plain(seg: &Segment) -> bool {
    seg.len == 0 && !seg.flags.intersects(Flags::SYN | Flags::FIN)
}

impl Conn {
    pub(crate) fn process_ack(&mut self, cx: &mut Core, seg: &Segment) -> Verdict {
        // RFC 5961, 5.2: SND.UNA - MAX.SND.WND <= SEG.ACK <= SND.NXT, else a challenge ACK.
        if seg.ack > self.snd_nxt || seg.ack < self.snd_una - self.max_snd_wnd {
            cx.stats.dropped_state += 1;
            self.challenge(cx);
            return Verdict::Drop;
        }
        let now = cx.now;
        let window = u32::from(seg.window) << self.snd_wscale;
        let before = self.snd_una;
        let was_shut = self.snd_wnd == 0;
        let window_same = window == self.snd_wnd;
        if seg.ack >= self.snd_una {
            self.update_window(seg, window);
        }
        if was_shut && self.snd_wnd > 0 && seg.ack == before {
            // What was sent as a probe lay beyond the window: the peer threw it away.
            self.board.mark_all_lost();
        }
        if self.board.is_empty() {
            if was_shut && self.snd_wnd > 0 {
                self.rtt.backoff = 0;
            }
            if let Some((start, end)) = self.duplicate(seg) {
                self.on_late_duplicate(cx, start, end);
            } else if seg.ack == before && is_plain(seg) && window_same {
                // RFC 8985, 7.4.2: a peer that reports no duplicates answers a probe's copy so.
                let progress = Progress { duplicate: true, ..Progress::default() };
                self.judge_probe(cx, &progress);
            }
            if self.unsent() > 0 {
                self.choose_rtx(cx);
                self.want_output(cx);
            }
            return Verdict::Continue;
        }
        let prior_in_flight = self.pipe();
        let mut sampler = Sampler::default();
        let mut samples = Samples::default();
        let mut progress =
            Progress { ts_ecr: seg.options.timestamps.map(|t| t.ecr), ..Progress::default() };
        if !self.ts_ok {
            progress.ts_ecr = None;
        }
        if seg.ack > self.snd_una {
            self.take_cumulative(now, seg.ack, &mut sampler, &mut samples, &mut progress);
        } else {
            // RFC 5681, section 2.
            progress.duplicate = seg.ack == before && is_plain(seg) && window_same;
        }
        if self.sack_ok && !seg.options.sack.is_empty() {
            self.take_sack(now, seg, &mut sampler, &mut samples, &mut progress);
        }
        let nothing = progress.acked == 0 && progress.sacked == 0;
        if nothing && !progress.duplicate && !progress.dsack && window_same {
            return Verdict::Continue;
        }
        self.measure(cx, &samples, &progress);
        let sample = self.delivery.on_ack(&sampler, now, self.rtt.min_nanos());
        let round_start = self.begin_round(&sample, &sampler, prior_in_flight);
        self.recovery.rack.on_round(progress.dsack, self.snd_una, self.snd_nxt);
        self.judge_probe(cx, &progress);
        self.judge_mtu_probe(now);
        let phase = self.recovery.phase;
        let was_open = phase == Phase::Open;
        let lost = if was_open && self.board.is_clean() && self.sack_ok && !progress.dsack {
            0
        } else {
            self.recover(cx, &progress, &sampler)
        };
        // In a SYN-ACK it means something else.
        if seg.flags & (Flags::ECE | Flags::SYN) == Flags::ECE && self.ecn_ok && progress.acked > 0
        {
            self.on_congestion_echo(cx);
        }
        let in_recovery = |phase| matches!(phase, Phase::Recovery | Phase::Reduced);
        // The ACK that ends a recovery does not grow the window that it leaves.
        let grows = progress.acked > 0 && !in_recovery(phase) && !in_recovery(self.recovery.phase);
        if sampler.newly > 0 && (grows || self.controller.owns_recovery()) {
            // RFC 3465, 2.3: after a timeout an ACK may cover much that had arrived before, which
            // only SACK tells.
            let unknown = !self.sack_ok && self.recovery.phase == Phase::Loss;
            let newly = if unknown { sampler.newly.min(self.mss) } else { sampler.newly };
            let told =
                Told { newly, lost, samples: &samples, prior_in_flight, round_start, rate: sample };
            self.steer(now, &told);
        }
        if progress.acked > 0 {
            self.timers.progress_at = now;
            self.rtt.backoff = 0;
            self.make_room(cx);
        } else if was_shut && self.snd_wnd > 0 {
            self.rtt.backoff = 0;
        }
        // RFC 6298, 5.3: for an ACK of new data; others must not put the timeout off.
        if progress.acked > 0 || lost > 0 || (was_shut && self.snd_wnd > 0) {
            self.restart_rtx(cx);
        } else {
            self.choose_rtx(cx);
        }
        if self.unsent() > 0 || self.board.lost() > self.board.resent() {
            self.want_output(cx);
        }
        Verdict::Continue
    }

    /// Whether the ACK is the first of a round trip.
    #[inline(always)]
    pub(super) fn begin_round(
        &mut self,
        sample: &RateSample,
        sampler: &Sampler,
        prior_in_flight: u32,
    ) -> bool {
        let round_start = sample.prior_delivered >= self.round_end && sampler.newly > 0;
        if round_start {
            self.round_end = self.delivery.delivered;
            self.round_flight = [prior_in_flight, self.round_flight[0]];
            self.on_recovery_round();
        }
        round_start
    }

    /// Tells congestion control of an ACK.
    #[inline]
    pub(super) fn steer(&mut self, now: Instant, told: &Told) {
        let limited = self.is_cwnd_limited(told.prior_in_flight);
        if limited || !self.controller.on_ack_unlimited(now) {
            self.steer_limited(now, told);
        }
    }

    #[inline(never)]
    fn steer_limited(&mut self, now: Instant, told: &Told) {
        let ack = Ack {
            now,
            newly: told.newly,
            lost: told.lost,
            rtt: told.samples.newest.map(Duration::from_nanos),
            srtt: self.rtt.srtt().unwrap_or_default(),
            in_flight: self.pipe(),
            prior_in_flight: told.prior_in_flight,
            round_start: told.round_start,
            delivered: self.delivery.delivered,
            rate: told.rate,
            in_recovery: self.recovery.phase != Phase::Open,
        };
        self.controller.on_ack(&mut self.window, &ack);
    }

    /// RFC 9293, 3.10.7.4: the window is taken from segments that are not older than the one
    /// which it was taken from last.
    #[inline]
    fn update_window(&mut self, seg: &Segment, window: u32) {
        if self.snd_wl1 < seg.seq || (self.snd_wl1 == seg.seq && self.snd_wl2 <= seg.ack) {
            self.snd_wnd = window;
            self.snd_wl1 = seg.seq;
            self.snd_wl2 = seg.ack;
            self.max_snd_wnd = self.max_snd_wnd.max(window);
        }
    }

    /// RFC 2018 and RFC 2883.
    fn take_sack(
        &mut self,
        now: Instant,
        seg: &Segment,
        sampler: &mut Sampler,
        samples: &mut Samples,
        progress: &mut Progress,
    ) {
        let blocks = seg.options.sack.as_slice();
        let dsack = reports_duplicate(blocks, seg.ack);
        let mut valid = crate::wire::tcp::SackBlocks::default();
        let (una, nxt) = (self.snd_una.max(seg.ack), self.snd_nxt);
        for (i, &(start, end)) in blocks.iter().enumerate() {
            if i == 0 && dsack {
                if self.is_of_use(start, end) {
                    progress.dsack = true;
                    self.on_duplicate_sack(start, end);
                }
            } else if start - una < end - una && end - una <= nxt - una {
                valid.push(start, end);
            }
        }
        // In order of sequence, or blocks of one ACK would look like reordering.
        valid.sort();
        let rack = &mut self.recovery.rack;
        let min_rtt = self.rtt.min_nanos();
        self.board.sack_blocks(&valid, self.mss, |sent| {
            progress.sacked += sent.len;
            sampler.segment(sent, sent.len);
            rack.delivered(sent, now, min_rtt, false);
            if !sent.mark.contains(Mark::EVER_RESENT) {
                progress.original_delivered |= sent.mark.contains(Mark::LOST);
                samples.newest = Some(now.nanos_since(sent.sent_at));
            }
        });
    }

    /// Whether a duplicate is about what was sent not too long ago.
    fn is_of_use(&self, start: SeqNum, end: SeqNum) -> bool {
        start < end && end <= self.snd_nxt && end - start <= self.max_snd_wnd
    }

    /// The duplicate that a segment reports.
    fn duplicate(&self, seg: &Segment) -> Option<(SeqNum, SeqNum)> {
        let blocks = seg.options.sack.as_slice();
        let &(start, end) = blocks.first()?;
        let told = self.sack_ok && reports_duplicate(blocks, seg.ack);
        (told && self.is_of_use(start, end)).then_some((start, end))
    }

    pub(super) fn take_cumulative(
        &mut self,
        now: Instant,
        ack: SeqNum,
        sampler: &mut Sampler,
        samples: &mut Samples,
        progress: &mut Progress,
    ) {
        progress.acked = ack - self.snd_una;
        let too_early = matches!((progress.ts_ecr, self.recovery.resent_ts), (Some(ecr), Some(ts))
            if (ecr.wrapping_sub(ts) as i32) < 0);
        let rack = &mut self.recovery.rack;
        let min_rtt = self.rtt.min_nanos();
        let mut resent = false;
        self.board.acknowledge(ack, self.mss, |sent| {
            if sent.mark.contains(Mark::SACKED) {
                return;
            }
            // A SYN says nothing about how much the path carries.
            if !sent.mark.contains(Mark::SYN) {
                sampler.segment(sent, sent.len);
            }
            rack.delivered(sent, now, min_rtt, too_early);
            if sent.mark.contains(Mark::EVER_RESENT) {
                resent = true;
            } else {
                progress.original_delivered |= sent.mark.contains(Mark::LOST);
                let rtt = now.nanos_since(sent.sent_at);
                samples.oldest.get_or_insert(rtt);
                samples.newest = Some(rtt);
            }
        });
        if resent {
            // The retransmission may have filled a hole before what waited behind it: that was
            // delivered long ago.
            *samples = Samples::default();
            progress.original_delivered &= self.sack_ok;
        }
        self.snd_una = ack;
        self.send.acknowledge(ack);
    }

    /// RFC 6298: RTT by segments sent once; else by the timestamp (RFC 7323, section 4).
    pub(super) fn measure(&mut self, cx: &Core, samples: &Samples, progress: &Progress) {
        if let Some(newest) = samples.newest {
            self.rtt.observe(newest, cx.now);
        }
        if let Some(oldest) = samples.oldest {
            self.rtt.sample(oldest, cx.now);
        } else if progress.acked > 0
            && self.ts_ok
            && let Some(ecr) = progress.ts_ecr
            && ecr != 0
        {
            let now = cx.millis().wrapping_add(self.ts_offset);
            let ms = now.wrapping_sub(ecr);
            if ms < 120_000 {
                self.rtt.sample(u64::from(ms.max(1)) * 1_000_000, cx.now);
            }
        }
    }

    /// Whether the window is what limits the sender: only then it may grow (RFC 9438, 5.8).
    #[inline]
    fn is_cwnd_limited(&self, prior_in_flight: u32) -> bool {
        let most = prior_in_flight.max(self.round_flight[0]).max(self.round_flight[1]);
        if self.window.in_slow_start() {
            self.window.cwnd < most.saturating_mul(2)
        } else {
            self.window.cwnd <= most.saturating_add(2 * self.mss)
        }
    }

    /// Tells a writer that found the buffer full once a third of it is free.
    #[inline(always)]
    pub(crate) fn make_room(&mut self, cx: &mut Core) {
        if self.write_blocked && self.send.charge() <= self.send_buffer(cx) / 3 * 2 {
            self.write_blocked = false;
            self.notify(cx, Pending::WRITABLE);
        }
    }

    /// RFC 5681, 4.1: the window does not outlive an idle time of more than an RTO.
    #[inline(always)]
    pub(crate) fn restart_after_idle(&mut self, cx: &Core) {
        if !self.board.is_empty() || self.delivery.delivered == 0 {
            return;
        }
        // An algorithm with a model of the path paces itself into it.
        let keeps = self.controller.owns_recovery();
        if cx.now.nanos_since(self.delivery.last_sent_at) > self.rtt.rto_nanos() {
            if !keeps {
                self.window.cwnd = self.window.cwnd.min(initial_window(self.mss));
            }
            self.controller.on_idle(cx.now);
        }
    }
}
