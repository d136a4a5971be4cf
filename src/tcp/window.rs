//! The receive window: how much is announced (RFC 9293, section 3.8.6), and how the buffer behind
//! it grows to the bandwidth-delay product.

use super::{conn::Conn, core::Core, timers::NEVER};
use crate::{Slice, time::Duration};
use shmring::pool::Charge;

/// How often the buffer is tuned before there is a round-trip time.
const UNKNOWN_RTT: Duration = Duration::from_millis(100);
/// What a buffer counts for in the window.
const PINNED: usize = 2048;
/// How often the window is computed again while the application's buffers shut it.
const WINDOW_CHECK: Duration = Duration::from_millis(5);

impl Conn {
    /// The window field of a SYN: not scaled (RFC 7323, section 2.2).
    pub(crate) fn syn_window(&mut self) -> u16 {
        let window = self.rcv_buf.min(0xffff);
        let edge = self.rcv_nxt + window;
        if self.state == super::State::SynReceived && edge > self.rcv_adv {
            self.rcv_adv = edge;
        }
        window as u16
    }

    /// Buffers that the application read and has not dropped.
    fn held(&self) -> usize {
        self.lent.as_ref().map_or(0, Charge::held)
    }

    /// Charges the window with what the application takes, until it drops it.
    #[inline]
    pub(crate) fn lend(&mut self, slice: &Slice) {
        slice.charge(self.lent.get_or_insert_with(Charge::new));
    }

    /// Bytes that the peer may still send, as announced.
    pub(crate) fn announced(&self) -> u32 {
        if self.rcv_adv > self.rcv_nxt { self.rcv_adv - self.rcv_nxt } else { 0 }
    }

    /// Dropped buffers tell nobody: while they are what shuts the window, they are looked after.
    pub(crate) fn on_window_check(&mut self, cx: &mut Core) {
        if !self.state.can_receive() {
            return;
        }
        if self.free_buffer() >= self.announced() + self.mss.min(self.rcv_buf / 2) {
            self.want_ack(cx);
        } else if self.held() > 0 {
            self.timers.window = cx.now + WINDOW_CHECK;
        }
    }

    /// Bytes that the receive buffer still takes.
    fn free_buffer(&self) -> u32 {
        let held = self.recv.charge() + self.held() * PINNED;
        let held = held.min(u32::MAX as usize) as u32;
        self.rcv_buf.saturating_sub(held)
    }

    /// The largest window that memory allows: what was announced, and half of what nobody was
    /// promised. Whoever has nothing may always send two segments.
    fn affordable(&self, cx: &Core) -> u32 {
        let room = u32::try_from(cx.promisable() / 2).unwrap_or(u32::MAX);
        let announced = self.announced();
        let least = if self.recv.len() == 0 { 2 * self.mss } else { 0 };
        announced.saturating_add(room).max(least)
    }

    /// RFC 9293, 3.8.6.2.2: the edge moves by at least a segment or half the buffer; RFC 9293,
    /// 3.8.6: it never moves back.
    #[inline]
    pub(crate) fn select_window(&mut self, cx: &mut Core) -> u16 {
        let scale = self.rcv_wscale;
        let announced = self.announced();
        let least = announced + self.mss.min(self.rcv_buf / 2);
        let mut field = 0;
        // The whole buffer would not do, often.
        if self.rcv_buf >= least {
            let free = self.free_buffer().min(0xffff << scale).min(self.affordable(cx));
            field = if free > announced && free >= least { free >> scale } else { 0 };
        }
        if field << scale < announced {
            // Round up, or the edge would move back by the scale's remainder.
            field = (announced + (1 << scale) - 1) >> scale;
        }
        let field = field.min(0xffff);
        self.rcv_adv = self.rcv_adv.max(self.rcv_nxt + (field << scale));
        if field << scale < self.mss && self.timers.window == NEVER && self.held() > 0 {
            self.timers.window = cx.now + WINDOW_CHECK;
        }
        self.recharge(cx);
        field as u16
    }

    /// The application read `n` bytes: the buffer is tuned, and the window announced anew once
    /// that is worth a segment.
    #[inline]
    pub(crate) fn on_read(&mut self, cx: &mut Core, n: u32) {
        self.tune_copied = self.tune_copied.saturating_add(n);
        self.tune(cx);
        // The ACK that is due carries the window; and there may be plenty of it.
        let announced = self.announced();
        if self.ack_now || announced > self.rcv_buf / 2 {
            return;
        }
        if self.read_closed || !self.state.can_receive() {
            return;
        }
        let free = self.free_buffer().min(0xffff << self.rcv_wscale);
        // While the peer still has plenty of window, the next ACK carries the update.
        if free / 2 >= announced && free - announced >= (2 * self.mss).min(self.rcv_buf / 2) {
            self.want_ack(cx);
        }
    }

    /// Dynamic right-sizing: the buffer holds twice what the application reads in a round trip,
    /// and as much more as that has grown.
    #[inline]
    fn tune(&mut self, cx: &Core) {
        let rtt = match self.rtt.srtt_nanos() {
            0 => UNKNOWN_RTT.as_nanos() as u64,
            rtt => rtt,
        };
        if cx.now.nanos_since(self.tune_at) >= rtt {
            self.tune_now(cx);
        }
    }

    fn tune_now(&mut self, cx: &Core) {
        self.tune_at = cx.now;
        let copied = core::mem::take(&mut self.tune_copied);
        if self.options.receive_buffer.is_some() {
            return;
        }
        let growth = copied.saturating_sub(self.tune_space);
        self.tune_space = copied;
        let wanted = copied.saturating_add(growth).saturating_mul(2).saturating_add(16 * self.mss);
        if wanted > self.rcv_buf {
            let affordable = u32::try_from(cx.promisable() / 2).unwrap_or(u32::MAX);
            let largest = self.rcv_buf.saturating_add(affordable);
            self.rcv_buf = wanted.min(cx.config.max_receive_buffer).min(largest);
        }
    }
}
