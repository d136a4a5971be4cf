//! Congestion control: one small trait, three algorithms, chosen per socket.

mod bbr;
mod cubic;
mod hystart;
mod new_reno;

use super::{config::Congestion, rate::RateSample};
use crate::time::{Duration, Instant};
use alloc::boxed::Box;
use bbr::Bbr;
use cubic::Cubic;
use new_reno::NewReno;

/// The window that an algorithm steers, in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    pub(crate) cwnd: u32,
    pub(crate) ssthresh: u32,
    /// SMSS.
    pub(crate) mss: u32,
}

/// No window grows beyond this.
const MAX_CWND: u32 = 1 << 30;

impl Window {
    /// RFC 6928, section 2: ten segments at the start.
    pub(crate) fn initial(mss: u32) -> Window {
        Window { cwnd: initial_window(mss), ssthresh: MAX_CWND, mss }
    }

    pub(crate) fn in_slow_start(&self) -> bool {
        self.cwnd < self.ssthresh
    }

    fn grow(&mut self, by: u32) {
        self.cwnd = self.cwnd.saturating_add(by).min(MAX_CWND);
    }
}

/// RFC 6928, section 2.
pub(crate) fn initial_window(mss: u32) -> u32 {
    (10 * mss).min((2 * mss).max(14_600))
}

/// What an ACK says to congestion control.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ack {
    pub(crate) now: Instant,
    /// Bytes newly acknowledged or sacked.
    pub(crate) newly: u32,
    /// Bytes newly deemed lost.
    pub(crate) lost: u32,
    /// RTT of the newest segment, if it was sent once.
    pub(crate) rtt: Option<Duration>,
    pub(crate) srtt: Duration,
    /// Bytes in flight after this ACK.
    pub(crate) in_flight: u32,
    /// Bytes in flight before this ACK.
    pub(crate) prior_in_flight: u32,
    /// The first ACK of a round trip.
    pub(crate) round_start: bool,
    /// Bytes delivered in all.
    pub(crate) delivered: u64,
    pub(crate) rate: RateSample,
    /// Loss recovery is going on.
    pub(crate) in_recovery: bool,
}

#[cfg(test)]
impl Ack {
    /// An ACK while the window is the limit.
    fn limited() -> Ack {
        Ack {
            now: Instant::ZERO,
            newly: 0,
            lost: 0,
            rtt: None,
            srtt: Duration::ZERO,
            in_flight: 0,
            prior_in_flight: 0,
            round_start: true,
            delivered: 0,
            rate: RateSample::default(),
            in_recovery: false,
        }
    }
}

/// A congestion control algorithm.
pub(crate) trait Control {
    /// An ACK arrived. Outside recovery, or always if [`Control::owns_recovery`].
    fn on_ack(&mut self, window: &mut Window, ack: &Ack);

    /// An ACK arrived while the application, not the window, limited what was in flight (RFC
    /// 7661's simple form). Whether that is all the algorithm asks about it; else
    /// [`Control::on_ack`] follows.
    fn on_ack_unlimited(&mut self, _now: Instant) -> bool {
        false
    }

    /// Loss or ECN: the new slow start threshold.
    fn on_congestion(&mut self, window: &Window, in_flight: u32, now: Instant) -> u32;

    /// The last reduction was for nothing; the window is restored by the caller.
    fn on_undo(&mut self) {}

    /// The connection was idle for longer than an RTO.
    fn on_idle(&mut self, _now: Instant) {}

    /// Bytes a second to send at; `None` leaves it to the ACK clock.
    fn pacing_rate(&self) -> Option<u64> {
        None
    }

    /// Whether the algorithm sets the window during recovery itself, instead of PRR.
    fn owns_recovery(&self) -> bool {
        false
    }
}

/// The algorithm of a connection.
pub(crate) enum Controller {
    NewReno(NewReno),
    Cubic(Cubic),
    Bbr(Box<Bbr>),
}

impl Controller {
    pub(crate) fn new(which: Congestion, now: Instant) -> Controller {
        match which {
            Congestion::NewReno => Controller::NewReno(NewReno::default()),
            Congestion::Cubic => Controller::Cubic(Cubic::default()),
            Congestion::Bbr => Controller::Bbr(Box::new(Bbr::new(now))),
        }
    }

    fn get(&mut self) -> &mut dyn Control {
        match self {
            Controller::NewReno(c) => c,
            Controller::Cubic(c) => c,
            Controller::Bbr(c) => c.as_mut(),
        }
    }
}

impl Control for Controller {
    #[inline]
    fn on_ack(&mut self, window: &mut Window, ack: &Ack) {
        match self {
            Controller::NewReno(c) => c.on_ack(window, ack),
            Controller::Cubic(c) => c.on_ack(window, ack),
            Controller::Bbr(c) => c.on_ack(window, ack),
        }
    }

    #[inline]
    fn on_ack_unlimited(&mut self, now: Instant) -> bool {
        match self {
            Controller::NewReno(c) => c.on_ack_unlimited(now),
            Controller::Cubic(c) => c.on_ack_unlimited(now),
            Controller::Bbr(c) => c.on_ack_unlimited(now),
        }
    }

    fn on_congestion(&mut self, window: &Window, in_flight: u32, now: Instant) -> u32 {
        self.get().on_congestion(window, in_flight, now)
    }

    fn on_undo(&mut self) {
        self.get().on_undo();
    }

    fn on_idle(&mut self, now: Instant) {
        self.get().on_idle(now);
    }

    #[inline]
    fn pacing_rate(&self) -> Option<u64> {
        match self {
            Controller::Bbr(c) => c.pacing_rate(),
            _ => None,
        }
    }

    #[inline]
    fn owns_recovery(&self) -> bool {
        matches!(self, Controller::Bbr(_))
    }
}
