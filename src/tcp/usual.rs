//! New data while nothing is unusual: nothing is lost, probed, paced, echoed or about to end. One
//! look tells what [`Conn::output_next`] would come to.

use super::{
    cc::Control,
    conn::Conn,
    core::Core,
    emit::{self, Out},
    output::Stop,
    scoreboard::Mark,
    state::State,
};
use crate::{
    frame::Offloads,
    ip::{Ecn, Network},
    wire::{
        checksum::Checksum,
        tcp::{Flags, Header},
    },
};

impl Conn {
    /// Sends the next segment; `None` where that takes a closer look, and nothing was sent.
    #[inline]
    pub(super) fn send_usual<N: Network>(
        &mut self,
        cx: &mut Core,
        net: &mut N,
    ) -> Option<Result<(), Stop>> {
        let len = self.usual_segment(cx, net)?;
        let seq = self.snd_nxt;
        let window = match self.turn_window {
            Some(window) => window,
            None => self.select_window(cx),
        };
        self.turn_window = Some(window);
        let last = seq + len == self.send.end();
        let header = Header {
            src_port: self.local_port,
            dst_port: self.remote_port,
            seq,
            ack: self.rcv_nxt,
            header_len: 0,
            flags: if last { Flags::ACK | Flags::PSH } else { Flags::ACK },
            window,
        };
        let ecn = if self.ecn_ok { Ecn::Ect0 } else { Ecn::NotEct };
        let out = Out { header, ecn, gso_size: None, pseudo: Checksum::resumed(self.pseudo) };
        let timestamps = self.timestamps(cx);
        let payload = self.send.piece(seq, len)?;
        match emit::transmit_lean(net, &mut self.flow, &out, timestamps, payload) {
            Ok(copied) => cx.stats.payload_bytes_copied += copied as u64,
            Err(error) => return Some(Err(error.into())),
        }
        cx.stats.segments_out += 1;
        self.note_acked();
        self.note_sent(cx, seq, len, len, Mark::empty());
        Some(Ok(()))
    }

    /// Bytes of the segment that goes out next.
    #[inline]
    fn usual_segment<N: Network>(&mut self, cx: &Core, net: &N) -> Option<u32> {
        let usual = self.state == State::Established
            && !(self.fin_queued | self.ecn_echo | self.ecn_cwr)
            && self.recv.in_order()
            && self.dsack.is_none()
            && self.is_undisturbed()
            && self.search.is_none()
            && !self.recovery.owes()
            && self.controller.pacing_rate().is_none();
        let data = self.send.end() - self.snd_nxt;
        if !usual || data == 0 {
            return None;
        }
        self.restart_after_idle(cx);
        let flight = self.flight();
        // RFC 9293, 3.7.4 and 3.8.6.2.1: a whole segment, or the rest if it need not wait.
        let goes = if data < self.mss {
            self.nodelay || flight == 0
        } else {
            data == self.mss || !net.offloads().intersects(Offloads::TSO4 | Offloads::TSO6)
        };
        let len = data.min(self.mss);
        (goes && flight + len <= self.snd_wnd.min(self.window.cwnd)).then_some(len)
    }
}
