//! Loss detection and recovery on the sender: RACK (RFC 8985), PRR (RFC 6937), F-RTO (RFC 5682),
//! NewReno without SACK (RFC 6582), and the undoing of spurious reductions (RFC 3522, RFC 3708).

use super::{
    cc::{Control, initial_window},
    conn::Conn,
    core::Core,
    rack::Rack,
    rate::Sampler,
    scoreboard::Mark,
    timers::NEVER,
};
use crate::{time::Duration, wire::tcp::SeqNum};

/// RFC 5681, section 3.2.
pub(crate) const DUP_THRESH: u32 = 3;

/// Round trips after a recovery in which a D-SACK may still show that it was for nothing: the
/// answer to a retransmission comes after the ACK that ends the recovery.
const UNDO_ROUNDS: u8 = 2;

/// What the sender is doing about loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Nothing is wrong.
    Open,
    /// The window is being reduced because of an ECN echo.
    Reduced,
    /// Fast recovery.
    Recovery,
    /// After a retransmission timeout.
    Loss,
}

/// How far F-RTO is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Frto {
    Off,
    /// The first segment was sent again.
    Armed,
    /// New data was sent to see what the peer says.
    Probing,
}

/// With what segments seldom touch at the front: of a connection it comes behind what they do.
#[repr(C)]
pub(crate) struct Recovery {
    prr_delivered: u32,
    pub(crate) prr_out: u32,
    recover_fs: u32,
    /// The window and threshold before the reduction.
    prior: Option<(u32, u32)>,
    /// Bytes sent again since the reduction that no D-SACK has answered.
    pub(crate) undo_resent: u32,
    /// What was sent again since the reduction lies from here on.
    pub(crate) undo_from: SeqNum,
    /// TSval of the first retransmission that is in flight, or was since the reduction.
    pub(crate) resent_ts: Option<u32>,
    /// The phase ends when this is acknowledged (RecoveryPoint).
    pub(crate) point: SeqNum,
    /// Duplicate ACKs in a row, without SACK.
    pub(crate) dup_acks: u32,
    undo_rounds: u8,
    pub(crate) frto: Frto,
    /// The probe was a retransmission.
    pub(crate) tlp_resent: bool,
    pub(crate) rack: Rack,
    /// End of the outstanding tail loss probe.
    pub(crate) tlp_end: Option<SeqNum>,
    pub(crate) phase: Phase,
    /// A tail loss probe has to be sent.
    pub(crate) tlp_due: bool,
    /// A zero-window probe has to be sent.
    pub(crate) window_probe: bool,
    pub(crate) keepalive_probe: bool,
    /// Bytes that duplicate ACKs without SACK stand for.
    pub(crate) reno_sacked: u32,
}

impl Recovery {
    pub(crate) const fn new(iss: SeqNum) -> Recovery {
        Recovery {
            phase: Phase::Open,
            point: iss,
            rack: Rack::new(),
            frto: Frto::Off,
            tlp_end: None,
            tlp_resent: false,
            tlp_due: false,
            window_probe: false,
            keepalive_probe: false,
            dup_acks: 0,
            reno_sacked: 0,
            prr_delivered: 0,
            prr_out: 0,
            recover_fs: 0,
            prior: None,
            undo_resent: 0,
            undo_from: iss,
            undo_rounds: 0,
            resent_ts: None,
        }
    }
}

impl Recovery {
    /// Whether a segment has to go out that is neither new data nor lost.
    #[inline]
    pub(crate) fn owes(&self) -> bool {
        self.tlp_due | self.window_probe | self.keepalive_probe
    }
}

/// What an ACK was about, for recovery.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Progress {
    /// Bytes by which `snd_una` advanced.
    pub(crate) acked: u32,
    /// Bytes newly sacked.
    pub(crate) sacked: u32,
    /// A segment was delivered that was never sent again though it was marked lost.
    pub(crate) original_delivered: bool,
    /// A D-SACK came.
    pub(crate) dsack: bool,
    /// It is a duplicate ACK (RFC 5681, section 2).
    pub(crate) duplicate: bool,
    /// TSecr, if there are timestamps.
    pub(crate) ts_ecr: Option<u32>,
}

impl Conn {
    /// Runs loss detection and recovery for an ACK; returns the bytes newly deemed lost.
    pub(crate) fn recover(&mut self, cx: &mut Core, progress: &Progress, sampler: &Sampler) -> u32 {
        let lost_before = self.board.lost() - self.board.resent();
        self.try_undo(cx, progress);
        if self.recovery.phase != Phase::Open {
            self.try_exit(progress);
        }
        if self.recovery.phase == Phase::Loss && self.recovery.frto != Frto::Off {
            self.step_frto(cx, progress);
        }
        if self.sack_ok {
            if !self.board.is_clean() {
                self.detect_losses(cx);
            }
        } else {
            self.detect_reno(progress);
        }
        let lost = (self.board.lost() - self.board.resent()).saturating_sub(lost_before);
        let lost = self.forgive_mtu_probe(cx, lost);
        if lost > 0 && matches!(self.recovery.phase, Phase::Open | Phase::Reduced) {
            self.enter_recovery(cx);
        }
        if matches!(self.recovery.phase, Phase::Recovery | Phase::Reduced)
            && !self.controller.owns_recovery()
        {
            self.reduce_proportionally(sampler.newly, progress, lost);
        }
        lost
    }

    fn detect_losses(&mut self, cx: &Core) {
        let reo_wnd = self.reorder_window();
        let timeout = self.recovery.rack.detect(&mut self.board, reo_wnd, cx.now);
        self.timers.reorder = timeout.map_or(NEVER, |after| cx.now + after);
    }

    /// RFC 8985, section 6.2, step 4.
    fn reorder_window(&self) -> Duration {
        let rack = &self.recovery.rack;
        if !rack.reordering_seen {
            let in_recovery = matches!(self.recovery.phase, Phase::Recovery | Phase::Loss);
            if in_recovery || self.board.sacked() >= DUP_THRESH * self.mss {
                return Duration::ZERO;
            }
        }
        let quarter = self.rtt.min() / 4 * u32::from(rack.reo_wnd_mult);
        quarter.min(self.rtt.srtt().unwrap_or(quarter))
    }

    /// The reordering timer fired.
    pub(crate) fn on_reorder_timeout(&mut self, cx: &mut Core) {
        self.timers.reorder = NEVER;
        let before = self.board.lost() - self.board.resent();
        self.detect_losses(cx);
        let lost = (self.board.lost() - self.board.resent()).saturating_sub(before);
        let lost = self.forgive_mtu_probe(cx, lost) > 0;
        if lost && matches!(self.recovery.phase, Phase::Open | Phase::Reduced) {
            self.enter_recovery(cx);
            self.reduce_proportionally(0, &Progress::default(), 1);
        }
        self.restart_rtx(cx);
        self.want_output(cx);
    }

    /// Without SACK: three duplicate ACKs (RFC 5681, 3.2), or a partial ACK (RFC 6582, 3.2).
    fn detect_reno(&mut self, progress: &Progress) {
        let r = &mut self.recovery;
        if progress.acked > 0 {
            r.dup_acks = 0;
            r.reno_sacked = r.reno_sacked.saturating_sub(progress.acked);
            if r.phase == Phase::Recovery && self.snd_una < r.point {
                self.mark_front_lost();
            }
        } else if progress.duplicate {
            r.dup_acks += 1;
            let others = (self.snd_nxt - self.snd_una).saturating_sub(self.mss);
            r.reno_sacked = (r.reno_sacked + self.mss).min(others);
            // RFC 6582, 3.2, step 2: the ACK must cover more than the last recovery's point, or
            // the duplicates may be answers to what that one sent again.
            if r.dup_acks == DUP_THRESH && r.phase != Phase::Loss && self.snd_una > r.point {
                self.mark_front_lost();
            }
        }
        if self.board.is_empty() {
            self.recovery.reno_sacked = 0;
        }
    }

    fn mark_front_lost(&mut self) {
        if self.board.front().is_some_and(|s| s.len > self.mss) {
            self.board.split(0, self.mss);
        }
        self.board.mark_lost(0);
    }

    fn enter_recovery(&mut self, cx: &mut Core) {
        cx.stats.recoveries += 1;
        self.reduce(cx, Phase::Recovery);
        // A probe that is out now says nothing any more (RFC 8985, 7.4).
        self.recovery.tlp_end = None;
    }

    /// RFC 3168, 6.1.2: an ECN echo reduces the window, at most once a round trip.
    pub(crate) fn on_congestion_echo(&mut self, cx: &mut Core) {
        if self.recovery.phase != Phase::Open {
            return;
        }
        self.reduce(cx, Phase::Reduced);
        self.ecn_cwr = true;
    }

    /// RFC 8985, 7.4.2: a tail loss probe repaired a loss; the window is reduced all the same.
    pub(crate) fn on_repaired_loss(&mut self, cx: &mut Core) {
        if self.recovery.phase == Phase::Open {
            self.reduce(cx, Phase::Reduced);
        }
    }

    fn reduce(&mut self, cx: &mut Core, phase: Phase) {
        let flight = self.recent_flight();
        let first = self.recovery.phase == Phase::Open;
        match phase {
            Phase::Recovery => self.remember(),
            // A router's word, or a loss that was repaired: nothing shows that it was for nothing.
            _ => self.recovery.prior = None,
        }
        if first {
            self.window.ssthresh = self.controller.on_congestion(&self.window, flight, cx.now);
        }
        // An application that paused has let it drain, not a batch of ACKs.
        let paused = self.delivery.app_limited != 0;
        let drained = if paused { 0 } else { flight - self.flight() };
        let r = &mut self.recovery;
        r.phase = phase;
        r.point = self.snd_nxt;
        r.prr_delivered = drained;
        r.prr_out = 0;
        r.recover_fs = flight.max(1);
        if self.ecn_ok {
            self.ecn_cwr = true;
        }
    }

    /// FlightSize (RFC 5681, 3.1; RFC 9438, 4.6) as a sender has it that answers every ACK at
    /// once. A batch of ACKs is processed before anything is sent: those in front of the one that
    /// tells of the loss have drained the flight, and nothing took its place.
    fn recent_flight(&self) -> u32 {
        let most = self.round_flight[0].max(self.round_flight[1]).min(self.window.cwnd);
        self.flight().max(most)
    }

    /// The window that a recovery leaves: the threshold, but no more than was in flight lately, or
    /// than what may follow a pause. What waits for it would be a burst (RFC 6582, 3.2, step 3).
    fn used_window(&self) -> u32 {
        let used = self.round_flight[0].max(self.round_flight[1]).max(self.flight());
        self.window.ssthresh.min(used.max(initial_window(self.mss)))
    }

    /// Before a recovery: what it takes to undo it. What an ECN echo took stays taken.
    fn remember(&mut self) {
        let stays = self.recovery.phase == Phase::Reduced && !self.controller.owns_recovery();
        let r = &mut self.recovery;
        r.prior = (!stays).then_some((self.window.cwnd, self.window.ssthresh));
        // A copy that is on its way may be answered by a D-SACK as well.
        let probe = if r.tlp_end.is_some() && r.tlp_resent { self.mss } else { 0 };
        r.undo_resent = self.board.resent() + probe;
        r.undo_from = self.snd_una;
        r.undo_rounds = UNDO_ROUNDS;
        // An ACK of what an earlier recovery sent again says nothing about this one.
        if self.board.resent() == 0 {
            r.resent_ts = None;
        }
    }

    /// RFC 6937, section 3.1, with the slow start reduction bound.
    fn reduce_proportionally(&mut self, newly: u32, progress: &Progress, lost: u32) {
        let pipe = self.pipe();
        let mss = self.mss;
        let r = &mut self.recovery;
        r.prr_delivered = r.prr_delivered.saturating_add(newly);
        let ssthresh = self.window.ssthresh;
        let send = if pipe > ssthresh {
            let target = u64::from(r.prr_delivered) * u64::from(ssthresh);
            let target = target.div_ceil(u64::from(r.recover_fs)) as u32;
            target.saturating_sub(r.prr_out)
        } else {
            let mut limit = r.prr_delivered.saturating_sub(r.prr_out).max(newly);
            // RFC 9937: slow start only while the ACK shows progress and no new loss.
            if progress.acked > 0 && lost == 0 {
                limit += mss;
            }
            limit.min(ssthresh.saturating_sub(pipe))
        };
        // The fast retransmit itself goes out at once.
        // So does that of a partial ACK without SACK (RFC 6582, 3.2, step 3).
        let at_once = r.prr_out == 0 || (!self.sack_ok && progress.acked > 0);
        let send = if at_once { send.max(mss) } else { send };
        self.window.cwnd = pipe + send;
    }

    /// Ends a phase whose point is acknowledged.
    fn try_exit(&mut self, progress: &Progress) {
        if progress.acked == 0 || self.snd_una < self.recovery.point {
            return;
        }
        match self.recovery.phase {
            Phase::Open => return,
            Phase::Loss => {}
            Phase::Recovery | Phase::Reduced if self.controller.owns_recovery() => {}
            Phase::Recovery | Phase::Reduced => self.window.cwnd = self.used_window(),
        }
        self.open();
    }

    fn open(&mut self) {
        let r = &mut self.recovery;
        if matches!(r.phase, Phase::Recovery | Phase::Loss) {
            r.rack.on_recovery_exit();
        }
        r.phase = Phase::Open;
        r.frto = Frto::Off;
        r.dup_acks = 0;
        r.reno_sacked = 0;
    }

    /// A round trip begins.
    #[inline]
    pub(crate) fn on_recovery_round(&mut self) {
        let r = &mut self.recovery;
        if r.phase == Phase::Open && r.prior.is_some() {
            r.undo_rounds = r.undo_rounds.saturating_sub(1);
            if r.undo_rounds == 0 {
                r.prior = None;
            }
        }
    }

    /// RFC 2883: a copy of `[start, end)` arrived that the peer had already.
    pub(crate) fn on_duplicate_sack(&mut self, start: SeqNum, end: SeqNum) {
        let r = &mut self.recovery;
        if start >= r.undo_from {
            r.undo_resent = r.undo_resent.saturating_sub(end - start);
        }
    }

    /// RFC 2883: the same once everything is acknowledged. It may tell that the last reduction, or
    /// a tail loss probe, was for nothing.
    pub(crate) fn on_late_duplicate(&mut self, cx: &mut Core, start: SeqNum, end: SeqNum) {
        self.on_duplicate_sack(start, end);
        self.recovery.rack.on_round(true, self.snd_una, self.snd_nxt);
        let progress = Progress { dsack: true, ..Progress::default() };
        self.judge_probe(cx, &progress);
        self.try_undo(cx, &progress);
    }

    /// Takes the reduction back when all retransmissions prove to have been for nothing: by the
    /// timestamp (RFC 3522, Eifel) or by D-SACK (RFC 3708).
    pub(crate) fn try_undo(&mut self, cx: &mut Core, progress: &Progress) {
        let r = &self.recovery;
        if r.phase == Phase::Reduced {
            return;
        }
        let eifel = r.phase != Phase::Open
            && progress.acked > 0
            && matches!((progress.ts_ecr, r.resent_ts), (Some(ecr), Some(ts))
                if (ecr.wrapping_sub(ts) as i32) < 0);
        let all_dsacked = progress.dsack && r.resent_ts.is_some() && r.undo_resent == 0;
        if eifel || all_dsacked {
            self.undo(cx);
        }
    }

    fn undo(&mut self, cx: &mut Core) {
        match self.recovery.prior.take() {
            Some((cwnd, ssthresh)) => {
                self.window.cwnd = self.window.cwnd.max(cwnd);
                self.window.ssthresh = self.window.ssthresh.max(ssthresh);
                self.controller.on_undo();
            }
            None if self.recovery.phase == Phase::Open => return,
            // The window was reduced before for another reason (RFC 3168, 6.1.2).
            None => self.window.cwnd = self.window.cwnd.max(self.window.ssthresh),
        }
        cx.stats.undos += 1;
        self.board.unmark_lost();
        self.rtt.backoff = 0;
        self.open();
    }

    /// RFC 6298, 5.4-5.6 and RFC 5681, 3.1, equation 4: everything in flight is deemed lost.
    pub(crate) fn enter_loss(&mut self, cx: &mut Core) {
        let first = self.recovery.phase != Phase::Loss || self.rtt.backoff == 0;
        if matches!(self.recovery.phase, Phase::Open | Phase::Reduced) {
            self.remember();
        }
        if first && self.state.is_synchronized() && self.recovery.phase != Phase::Recovery {
            let flight = self.recent_flight();
            self.window.ssthresh = self.controller.on_congestion(&self.window, flight, cx.now);
        }
        if self.board.front().is_some_and(|s| s.mark.contains(Mark::SACKED)) {
            // RFC 2018, section 8: the peer reneged.
            self.board.forget_sacks();
        }
        self.board.mark_all_lost();
        self.window.cwnd = self.mss;
        // RFC 5682, 2.1: not when this very data already went through a timeout.
        let frto = first && self.recovery.phase != Phase::Loss;
        let r = &mut self.recovery;
        r.frto = if frto { Frto::Armed } else { Frto::Off };
        r.phase = Phase::Loss;
        r.point = self.snd_nxt;
        r.dup_acks = 0;
        r.reno_sacked = 0;
        r.tlp_end = None;
        self.timers.reorder = NEVER;
    }

    /// RFC 5682, section 2.1 and 3.1.
    fn step_frto(&mut self, cx: &mut Core, progress: &Progress) {
        if progress.original_delivered {
            // What was deemed lost arrives from its first transmission: the timeout was spurious.
            self.undo(cx);
            return;
        }
        match self.recovery.frto {
            Frto::Armed if progress.acked > 0 => {
                // Step 2b: new data instead of retransmissions, if there is any.
                let new_data = self.unsent() > 0 && self.flight() < self.snd_wnd;
                self.recovery.frto = if new_data { Frto::Probing } else { Frto::Off };
            }
            // Step 3a, or the first ACK was a duplicate: the loss is real.
            _ if progress.duplicate || progress.sacked > 0 => self.recovery.frto = Frto::Off,
            _ => {}
        }
    }
}
