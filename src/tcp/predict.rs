//! Header prediction (Van Jacobson): the next segment of an established connection that has
//! nothing unusual about it is told by comparing its header with what the connection expects, and
//! is taken without being taken apart.

use super::{
    ack::{Samples, Told},
    conn::Conn,
    core::Core,
    rate::Sampler,
    receive::Tcp,
    recovery::{Phase, Progress},
    scoreboard::Sent,
    segment::checksum_is_right,
    state::State,
    text::is_short,
};
use crate::{
    Pool,
    frame::{Chain, RxCsum},
    ip::{Ecn, Incoming, Network},
    time::Instant,
    wire::tcp::{Flags, HEADER_LEN, Header, SeqNum, Timestamps},
};

/// What a predicted segment says.
struct Predicted {
    ack: SeqNum,
    window: u32,
    timestamps: Option<Timestamps>,
    header_len: usize,
    /// Payload bytes.
    len: u32,
}

impl Tcp {
    /// Takes a segment if it is what the connection of the last one expects; of another, nothing
    /// was touched.
    #[inline]
    pub(super) fn take_predicted<N: Network>(
        &mut self,
        net: &mut N,
        packet: &Incoming,
        chain: &mut Chain,
    ) -> bool {
        let Some(conn) = self.conns.at(self.last) else { return false };
        let Some(seg) = conn.predict(packet, chain, net.pool()) else { return false };
        chain.advance(seg.header_len);
        let before = conn.snd_una;
        let gso_size = packet.gso.map_or(0, |gso| gso.size);
        conn.predicted_arrives(&mut self.cx, &seg, gso_size, chain, net.pool());
        if conn.snd_una != before {
            net.confirm(&conn.flow);
        }
        // The ACK that is due sees to both else.
        if !conn.ack_now {
            conn.recharge(&mut self.cx);
            conn.arm(&mut self.cx);
        }
        true
    }
}

impl Conn {
    #[inline]
    fn predict(&self, packet: &Incoming, chain: &Chain, pool: &Pool) -> Option<Predicted> {
        let first = chain.first();
        let header = Header::parse(first).ok()?;
        let usual = self.remote_port == header.src_port
            && self.local_port == header.dst_port
            && header.seq == self.rcv_nxt
            && header.flags & !Flags::PSH == Flags::ACK
            && self.state == State::Established
            && self.recv.in_order()
            && !self.read_closed
            && !self.orphan
            && self.fin_at.is_none()
            && packet.ecn != Ecn::Ce
            && self.flow.remote == packet.remote
            && self.flow.local == packet.local;
        if !usual {
            return None;
        }
        let header_len = usize::from(header.header_len);
        let options = first.get(HEADER_LEN..header_len)?;
        let timestamps = match self.ts_ok {
            true => {
                let timestamps = Timestamps::parse_only(options.try_into().ok()?)?;
                if (timestamps.val.wrapping_sub(self.ts_recent) as i32) < 0 {
                    return None;
                }
                Some(timestamps)
            }
            false if options.is_empty() => None,
            false => return None,
        };
        let len = (chain.len() - header_len) as u32;
        if len > self.rcv_adv - self.rcv_nxt || (len > 0 && is_short(pool)) {
            return None;
        }
        let window = u32::from(header.window) << self.snd_wscale;
        let acked = header.ack - self.snd_una;
        let plain = match acked {
            // Without data it is a duplicate or an update of the window.
            0 => len > 0 && window == self.snd_wnd,
            _ => acked <= self.flight() && self.snd_wnd > 0 && self.is_undisturbed(),
        };
        if !plain || (packet.csum == RxCsum::Unknown && !checksum_is_right(packet, chain)) {
            return None;
        }
        let ack = header.ack;
        Some(Predicted { ack, window, timestamps, header_len, len })
    }

    /// Whether nothing that was sent gave reason to suspect a loss, or waits to be judged by the
    /// next ACK.
    #[inline(always)]
    pub(super) fn is_undisturbed(&self) -> bool {
        self.sack_ok
            && self.board.is_clean()
            && self.recovery.phase == Phase::Open
            && self.recovery.tlp_end.is_none()
            && !self.is_probing_mtu()
    }

    #[inline]
    fn predicted_arrives(
        &mut self,
        cx: &mut Core,
        seg: &Predicted,
        gso_size: u16,
        payload: &mut Chain,
        pool: &Pool,
    ) {
        self.timers.heard_at = cx.now;
        self.timers.probes = 0;
        // RFC 7323, 4.3 (2): of segments that cover the last ACK sent.
        if let Some(timestamps) = seg.timestamps
            && self.rcv_nxt <= self.last_ack_sent
        {
            self.ts_recent = timestamps.val;
            self.ts_recent_at = cx.now;
        }
        // RFC 9293, 3.10.7.4: in order, so no older than the segment that told the window last.
        self.snd_wnd = seg.window;
        self.max_snd_wnd = self.max_snd_wnd.max(seg.window);
        self.snd_wl1 = self.rcv_nxt;
        self.snd_wl2 = seg.ack;
        if seg.ack != self.snd_una {
            self.acknowledge_undisturbed(cx, seg.ack, seg.timestamps.map(|ts| ts.ecr));
        }
        if seg.len > 0 {
            self.take_in_order(cx, seg.len, gso_size, payload, pool);
        }
    }

    /// What [`Conn::process_ack`] comes to when new data is acknowledged and nothing else is to be
    /// told.
    fn acknowledge_undisturbed(&mut self, cx: &mut Core, ack: SeqNum, ts_ecr: Option<u32>) {
        let prior_in_flight = self.pipe();
        let mut sampler = Sampler::default();
        let mut samples = Samples::default();
        if let Some(sent) = self.board.take_lone(ack) {
            self.take_lone(cx.now, &sent, &mut sampler, &mut samples);
        } else {
            let mut progress = Progress { ts_ecr, ..Progress::default() };
            self.take_cumulative(cx.now, ack, &mut sampler, &mut samples, &mut progress);
            self.measure(cx, &samples, &progress);
        }
        let sample = self.delivery.on_ack(&sampler, cx.now, self.rtt.min_nanos());
        let round_start = self.begin_round(&sample, &sampler, prior_in_flight);
        self.recovery.rack.on_round(false, self.snd_una, self.snd_nxt);
        if sampler.newly > 0 {
            let told = Told {
                newly: sampler.newly,
                lost: 0,
                samples: &samples,
                prior_in_flight,
                round_start,
                rate: sample,
            };
            self.steer(cx.now, &told);
        }
        self.timers.progress_at = cx.now;
        self.rtt.backoff = 0;
        self.make_room(cx);
        self.stop_or_restart_rtx(cx);
        if self.unsent() > 0 {
            self.want_output(cx);
        }
    }

    /// What [`Conn::take_cumulative`] and [`Conn::measure`] come to for the only segment in flight,
    /// sent once.
    #[inline]
    fn take_lone(
        &mut self,
        now: Instant,
        sent: &Sent,
        sampler: &mut Sampler,
        samples: &mut Samples,
    ) {
        sampler.segment(sent, sent.len);
        self.recovery.rack.delivered(sent, now, self.rtt.min_nanos(), false);
        let rtt = now.nanos_since(sent.sent_at);
        *samples = Samples::of(rtt);
        self.snd_una = sent.end();
        self.send.acknowledge(self.snd_una);
        self.rtt.sample(rtt, now);
    }
}
