//! Packetization layer path MTU discovery (RFC 4821; RFC 8899 for the names): sizes that work are
//! found from what is acknowledged, for paths whose routers stay silent.

use super::{conn::Conn, core::Core, recovery::Frto, recovery::Phase, timers::NEVER};
use crate::{
    ip::Network,
    time::{Duration, Instant},
    wire::tcp::SeqNum,
};
use alloc::boxed::Box;

/// RFC 8899, 5.1.2: the size that a path is taken to carry (BASE_PLPMTU).
const BASE_MTU: u16 = 1280;
/// The same when even that gets lost, over IPv4 (RFC 1122, section 3.3.3).
const LEAST_MTU_V4: u16 = 576;
/// RFC 8899, 5.1.1: how long a size is kept before a larger one is tried (PMTU_RAISE_TIMER).
const RAISE: Duration = Duration::from_secs(600);
/// RFC 8899, 5.1.2: probes of one size that may be lost (MAX_PROBES).
const MAX_PROBES: u8 = 2;
/// The search ends when it cannot win more than this.
const GRAIN: u16 = 16;
/// Time between probes.
const PAUSE: Duration = Duration::from_millis(100);
/// Timeouts in a row of full segments that make a black hole likely.
const TIMEOUTS: u8 = 2;

/// The search for the largest size.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Search {
    /// When a probe may go out; never unless the path was found to be narrow.
    next: Instant,
    /// The largest size that may still work; unknown if zero.
    high: u16,
    /// The size that was tried last, and how often it was lost.
    tried: u16,
    lost: u8,
    /// Sequence number and size of the probe that is out.
    probe: Option<(SeqNum, u16)>,
    /// Timeouts in a row at the smallest size of the moment.
    timeouts: u8,
}

impl Search {
    pub(crate) const fn new() -> Search {
        Search { next: NEVER, high: 0, tried: 0, lost: 0, probe: None, timeouts: 0 }
    }
}

impl Conn {
    /// The path carries less than was thought: some time later more is tried.
    pub(crate) fn path_narrowed(&mut self, now: Instant) {
        self.search = Some(Box::new(Search { next: now + RAISE, ..Search::new() }));
    }

    /// RFC 8899, 4.3: full segments time out again and again, and nothing says why: a smaller
    /// size is tried.
    pub(crate) fn suspect_black_hole(&mut self, now: Instant) {
        if let Some(search) = &mut self.search {
            search.probe = None;
        }
        let full = self.board.front().is_some_and(|s| s.len >= self.mss);
        if !full || self.rtt.backoff < TIMEOUTS {
            if let Some(search) = &mut self.search {
                search.timeouts = 0;
            }
            return;
        }
        let search = self.search.get_or_insert_with(|| Box::new(Search::new()));
        let failed = self.path_mtu;
        let smaller = if failed > BASE_MTU {
            (failed / 2).max(BASE_MTU)
        } else {
            search.timeouts = search.timeouts.saturating_add(1);
            let patient = search.timeouts <= TIMEOUTS;
            if patient || !self.flow.remote.is_ipv4() {
                return;
            }
            LEAST_MTU_V4
        };
        let high = failed.max(search.high);
        if self.shrink_path_mtu(smaller) {
            self.search = Some(Box::new(Search { next: now, high, ..Search::new() }));
        }
    }

    /// Whether a larger size may be tried now.
    #[inline]
    pub(crate) fn may_probe_mtu(&self, now: Instant) -> bool {
        self.search.as_ref().is_some_and(|search| search.next <= now && search.probe.is_none())
    }

    /// Whether a probe is on its way.
    #[inline]
    pub(crate) fn is_probing_mtu(&self) -> bool {
        self.search.as_ref().is_some_and(|search| search.probe.is_some())
    }

    /// Payload bytes of a probe, when it is time for one and there is enough to send: the probe,
    /// and what makes its loss known (RFC 4821, section 7.4).
    pub(crate) fn probe_len<N: Network>(
        &mut self,
        net: &N,
        data: u32,
        window: u32,
        room: u32,
        now: Instant,
    ) -> Option<u32> {
        let quiet = self.recovery.phase == Phase::Open && self.recovery.frto == Frto::Off;
        if !quiet || !self.board.is_clean() {
            return None;
        }
        let headers = self.overhead();
        let search = self.search.as_mut()?;
        if search.high == 0 {
            let path = net.path(Some(self.flow.local), self.flow.remote).ok()?;
            search.high = path.mtu;
        }
        // The peer takes no more than it said.
        let peer = u32::from(self.peer_mss) + if self.flow.remote.is_ipv4() { 40 } else { 60 };
        let high = search.high.min(u16::try_from(peer).unwrap_or(u16::MAX));
        if high < self.path_mtu.saturating_add(GRAIN) {
            self.path_narrowed(now);
            return None;
        }
        // The largest first: what was lost may have been congestion's. Then by halves.
        let size = if search.tried == 0 || search.tried == high {
            high
        } else {
            self.path_mtu + (high - self.path_mtu).div_ceil(2)
        };
        let len = u32::from(size) - headers;
        let behind = 4 * self.mss;
        if data < len + behind || window < len + behind || room < len {
            return None;
        }
        search.tried = size;
        search.probe = Some((self.snd_nxt, size));
        Some(len)
    }

    /// Bytes of the headers of a segment with data.
    fn overhead(&self) -> u32 {
        let ip = if self.flow.remote.is_ipv4() { 20 } else { 40 };
        ip + 20 + if self.ts_ok { 12 } else { 0 }
    }

    /// The link does not carry the probe.
    pub(crate) fn probe_refused(&mut self, now: Instant) {
        self.path_narrowed(now);
    }

    /// The probe could not be sent now.
    pub(crate) fn probe_unsent(&mut self) {
        if let Some(search) = &mut self.search {
            search.probe = None;
        }
    }

    /// RFC 4821, section 7.6.1: a probe that is acknowledged raises the size.
    #[inline]
    pub(crate) fn judge_mtu_probe(&mut self, now: Instant) {
        let Some(search) = &mut self.search else { return };
        let Some((_, size)) = search.probe.take_if(|(seq, _)| self.snd_una > *seq) else { return };
        search.lost = 0;
        search.next = now + PAUSE;
        self.path_mtu = size;
        self.update_mss();
    }

    /// RFC 4821, section 7.6.2: of `lost` bytes newly deemed lost, those that mean congestion. A
    /// probe that is lost alone means that it was too big.
    pub(crate) fn forgive_mtu_probe(&mut self, cx: &Core, lost: u32) -> u32 {
        let probe = self.search.as_ref().and_then(|search| search.probe);
        let Some((seq, _)) = probe.filter(|_| lost > 0) else { return lost };
        let mut segments = (0..self.board.len()).filter_map(|index| self.board.get(index));
        let probe = segments.find(|sent| sent.seq == seq);
        let Some(len) = probe.filter(|sent| sent.is_lost()).map(|sent| sent.len) else {
            return lost;
        };
        self.mtu_probe_lost(cx.now);
        lost.saturating_sub(len)
    }

    fn mtu_probe_lost(&mut self, now: Instant) {
        let Some(search) = &mut self.search else { return };
        let Some((_, size)) = search.probe.take() else { return };
        search.lost += 1;
        if search.lost >= MAX_PROBES {
            (search.high, search.lost) = (size - 1, 0);
        }
        search.next = now + PAUSE;
    }
}
