//! Tail loss probes (RFC 8985, section 7).

use super::{
    conn::Conn,
    core::Core,
    recovery::{Phase, Progress},
    timers::DELAYED_ACK,
};
use crate::time::Duration;

/// RFC 8985, 7.2: what a lone segment's ACK may be delayed by (RACK.WCDelAckT).
const WORST_ACK_DELAY: Duration = Duration::from_millis(200);

impl Conn {
    /// The probe timeout in nanoseconds; `None` when a probe must not be sent.
    pub(crate) fn probe_timeout(&self) -> Option<u64> {
        // RFC 8985, 7.2: no probe is out, no loss is being repaired, nothing is sacked, and
        // SACK tells what the probe's answer means.
        if self.recovery.phase != Phase::Open
            || self.recovery.tlp_end.is_some()
            || !self.sack_ok
            || !self.board.is_clean()
            || self.syn_in_flight()
        {
            return None;
        }
        let mut pto = 2 * self.rtt.srtt_nanos();
        if pto == 0 {
            return None;
        }
        if self.flight() <= self.mss {
            pto += WORST_ACK_DELAY.as_nanos() as u64;
        }
        Some(pto.max(DELAYED_ACK.as_nanos() as u64 / 4))
    }

    /// RFC 8985, 7.3: new data if the window has room, else the last segment again.
    pub(crate) fn on_probe_timeout(&mut self, cx: &mut Core) {
        if self.board.is_empty() {
            return;
        }
        cx.stats.loss_probes += 1;
        self.recovery.tlp_due = true;
        self.recovery.tlp_end = Some(self.snd_nxt);
        self.recovery.tlp_resent = false;
        self.restart_rtx(cx);
        self.want_output(cx);
    }

    /// RFC 8985, 7.4.2: what the answer to a probe means.
    pub(crate) fn judge_probe(&mut self, cx: &mut Core, progress: &Progress) {
        let Some(end) = self.recovery.tlp_end else {
            return;
        };
        if self.snd_una < end {
            return;
        }
        if !self.recovery.tlp_resent || progress.dsack {
            // New data arrived, or both copies did: nothing was lost.
            self.recovery.tlp_end = None;
        } else if self.snd_una > end {
            self.recovery.tlp_end = None;
            self.on_repaired_loss(cx);
        } else if progress.duplicate && progress.sacked == 0 {
            self.recovery.tlp_end = None;
        }
    }
}
