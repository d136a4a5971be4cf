//! A snapshot of a connection, like Linux's `tcp_info`.

use super::{core::ConnId, receive::Tcp, state::State};
use crate::time::Duration;

/// How a connection is doing.
#[derive(Clone, Copy, Debug)]
pub struct Info {
    /// Its state.
    pub state: State,
    /// Congestion window in bytes.
    pub cwnd: u32,
    /// Slow start threshold in bytes.
    pub ssthresh: u32,
    /// Smoothed RTT; `None` before the first sample.
    pub srtt: Option<Duration>,
    /// RTT variation.
    pub rttvar: Duration,
    /// Smallest recent RTT.
    pub min_rtt: Duration,
    /// Retransmission timeout with its back-off.
    pub rto: Duration,
    /// Bytes deemed to be in the network.
    pub in_flight: u32,
    /// Bytes sent and not acknowledged.
    pub unacknowledged: u32,
    /// Segments sent again.
    pub retransmits: u32,
    /// Bytes a second, as last measured.
    pub delivery_rate: u64,
    /// Bytes acknowledged or sacked so far.
    pub delivered: u64,
    /// Payload bytes of a full segment.
    pub mss: u32,
    /// The peer's window in bytes.
    pub send_window: u32,
    /// Our window in bytes, as announced.
    pub receive_window: u32,
    /// Scale of the peer's window and of ours.
    pub window_scale: (u8, u8),
    /// Bytes written and not acknowledged, with what holding them costs.
    pub send_queue: usize,
    /// Bytes to read.
    pub receive_queue: usize,
    /// Whether timestamps, SACK and ECN are in use.
    pub timestamps: bool,
    /// SACK was permitted by both sides.
    pub sack: bool,
    /// ECN was negotiated.
    pub ecn: bool,
}

impl Tcp {
    /// A snapshot; `None` for a stale handle.
    pub fn info(&self, id: ConnId) -> Option<Info> {
        let c = self.conns.get(id.0)?;
        Some(Info {
            state: c.state,
            cwnd: c.window.cwnd,
            ssthresh: c.window.ssthresh,
            srtt: c.rtt.srtt(),
            rttvar: c.rtt.rttvar(),
            min_rtt: c.rtt.min(),
            rto: c.rtt.rto(),
            in_flight: c.pipe(),
            unacknowledged: c.flight(),
            retransmits: c.retransmits,
            delivery_rate: c.delivery.rate.per_second(),
            delivered: c.delivery.delivered,
            mss: c.mss,
            send_window: c.snd_wnd,
            receive_window: c.rcv_adv - c.rcv_nxt,
            window_scale: (c.snd_wscale, c.rcv_wscale),
            send_queue: c.send.charge(),
            receive_queue: c.recv.len(),
            timestamps: c.ts_ok,
            sack: c.sack_ok,
            ecn: c.ecn_ok,
        })
    }

    /// Connections in any state.
    pub fn connections(&self) -> usize {
        self.conns.len()
    }
}
