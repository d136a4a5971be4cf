//! The state of one connection (the TCB of RFC 9293, section 3.3.1), laid out so that what segments
//! touch lies together at the front: first what one that is received in order does, then what one
//! that is sent or acknowledged does.

use super::{
    cc::{Controller, Window},
    config::Options,
    core::{ConnId, Core, Pending, Source},
    demux::Tuple,
    error::Error,
    plpmtud::Search,
    rate::Delivery,
    recovery::Recovery,
    recv_queue::RecvQueue,
    rtt::Rtt,
    scoreboard::Scoreboard,
    send_queue::SendQueue,
    slab::Key,
    state::State,
    timers::Timers,
};
use crate::{
    Slice,
    ip::Flow,
    prefetch::prefetch,
    time::Instant,
    wire::{
        checksum::Checksum,
        tcp::{PROTOCOL, SeqNum, Timestamps},
    },
};
use ::core::mem::offset_of;
use alloc::{boxed::Box, sync::Arc};
use shmring::pool::Charge;

/// The receive buffer before it is tuned.
pub(crate) const INITIAL_RECEIVE_BUFFER: u32 = 0xffff;
/// The same when memory is short.
const LEAST_RECEIVE_BUFFER: u32 = 4096;
/// The send buffer before the congestion window asks for more.
const INITIAL_SEND_BUFFER: usize = 256 << 10;
const CACHE_LINE: usize = 64;
/// Those at the front that segments touch.
const HOT_LINES: usize = 12;

#[repr(C)]
pub(crate) struct Conn {
    // What tells a segment that is expected (RFC 9293, 3.3.1: receive sequence variables).
    pub(crate) flow: Flow,
    pub(crate) local_port: u16,
    pub(crate) remote_port: u16,
    pub(crate) rcv_nxt: SeqNum,
    /// The right window edge that was announced.
    pub(crate) rcv_adv: SeqNum,
    pub(crate) last_ack_sent: SeqNum,
    pub(crate) ts_recent: u32,

    // Send sequence variables.
    pub(crate) snd_una: SeqNum,
    pub(crate) snd_nxt: SeqNum,
    pub(crate) snd_wnd: u32,
    pub(crate) snd_wl1: SeqNum,
    pub(crate) snd_wl2: SeqNum,
    pub(crate) max_snd_wnd: u32,
    /// Eff.snd.MSS: payload bytes of a full segment.
    pub(crate) mss: u32,
    pub(crate) fin_at: Option<SeqNum>,
    pub(crate) state: State,
    pub(crate) snd_wscale: u8,
    pub(crate) rcv_wscale: u8,
    pub(crate) ts_ok: bool,
    pub(crate) sack_ok: bool,
    pub(crate) nodelay: bool,
    /// New data was sent in this turn: the probe timeout starts again.
    pub(crate) probe_moves: bool,
    /// An ACK has to go out in this round.
    pub(crate) ack_now: bool,
    /// Full segments received since the last ACK was sent.
    pub(crate) unacked_segments: u8,
    /// In the list of connections with output.
    pub(crate) in_output: bool,
    pub(crate) in_events: bool,
    pub(crate) in_demux: bool,
    pub(crate) pending: Pending,
    /// Nobody holds the connection any more: it goes when it is closed.
    pub(crate) orphan: bool,
    /// Counted in its listener's half-open connections.
    pub(crate) half_open: bool,
    /// The application's last write found no room.
    pub(crate) write_blocked: bool,
    /// The application has shut down sending.
    pub(crate) fin_queued: bool,
    /// The application has shut down receiving.
    pub(crate) read_closed: bool,
    /// The application was told the end of the stream.
    pub(crate) reset_queued: bool,
    /// Which end opened, for what a refused SYN means.
    pub(crate) active: bool,
    // ECN (RFC 3168, section 6.1).
    pub(crate) ecn_ok: bool,
    /// Echo congestion until CWR arrives.
    pub(crate) ecn_echo: bool,
    /// Say that the window was reduced with the next data.
    pub(crate) ecn_cwr: bool,
    /// Answer the handshake with ECN.
    pub(crate) ecn_requested: bool,
    pub(crate) error: Option<Error>,
    pub(crate) soft_error: Option<Error>,
    /// Sum of the pseudo-header without the length, folded.
    pub(crate) pseudo: u16,

    pub(crate) ts_recent_at: Instant,
    pub(crate) recv: RecvQueue,
    pub(crate) timers: Timers,
    /// What `Core::memory` was charged for this connection.
    pub(crate) charged: usize,
    /// The same of `Core::borrowed`.
    pub(crate) charged_borrowed: usize,
    // Here ends what a segment in order touches.
    pub(crate) send: SendQueue,
    pub(crate) board: Scoreboard,
    pub(crate) key: Key,
    /// `delivered` at which the round trip ends.
    pub(crate) round_end: u64,
    pub(crate) delivery: Delivery,
    /// Most bytes in flight in this round trip and in the one before.
    pub(crate) round_flight: [u32; 2],
    pub(crate) rtt: Rtt,
    pub(crate) window: Window,
    pub(crate) rcv_buf: u32,
    /// None as long as the path carries what the link does.
    pub(crate) search: Option<Box<Search>>,
    /// Buffers that the application holds.
    pub(crate) lent: Option<Charge>,
    /// Read by the application since `tune_at`.
    pub(crate) tune_at: Instant,
    pub(crate) tune_copied: u32,
    pub(crate) tune_space: u32,
    /// A duplicate to report (RFC 2883).
    pub(crate) dsack: Option<(SeqNum, SeqNum)>,
    /// Added to the clock for TSval.
    pub(crate) ts_offset: u32,
    /// The window field that this turn's segments have.
    pub(crate) turn_window: Option<u16>,
    pub(crate) iss: SeqNum,
    /// When pacing allows the next segment.
    pub(crate) pace_at: Instant,
    /// Until then empty segments that are unacceptable get no ACK.
    pub(crate) unacceptable_until: Instant,
    pub(crate) recovery: Recovery,
    // Here ends what one that is sent touches, but for what `controller` begins with.
    pub(crate) controller: Controller,
    /// Shared with the connections that have the same.
    pub(crate) options: Arc<Options>,
    pub(crate) retransmits: u32,
    pub(crate) irs: SeqNum,
    pub(crate) listener: Option<Key>,
    pub(crate) peer_mss: u16,
    pub(crate) path_mtu: u16,
}

/// Whoever adds to what segments touch does it knowingly: on a cold connection each line costs them
/// a wait for memory.
#[cfg(target_pointer_width = "64")]
const _: () = {
    assert!(offset_of!(Conn, send) <= 5 * CACHE_LINE, "of a segment in order");
    assert!(offset_of!(Conn, controller) + 8 <= HOT_LINES * CACHE_LINE, "of one that is sent");
    assert!(size_of::<Conn>() <= 14 * CACHE_LINE);
};

impl Conn {
    /// A connection in CLOSED with its own numbers chosen.
    pub(crate) fn new(
        key: Key,
        flow: Flow,
        ports: (u16, u16),
        options: Arc<Options>,
        cx: &Core,
    ) -> Conn {
        let (local_port, remote_port) = ports;
        let tuple = Tuple { local: flow.local, remote: flow.remote, local_port, remote_port };
        let iss = cx.initial_sequence(&tuple);
        let max = options.receive_buffer.unwrap_or(cx.config.max_receive_buffer).max(2048);
        // A newcomer is promised an eighth of what is left.
        let share =
            u32::try_from(cx.promisable() / 8).unwrap_or(u32::MAX).max(LEAST_RECEIVE_BUFFER);
        let first = options.receive_buffer.unwrap_or(share);
        Conn {
            key,
            flow,
            local_port,
            remote_port,
            state: State::Closed,
            snd_una: iss,
            snd_nxt: iss,
            snd_wnd: 0,
            snd_wl1: SeqNum(0),
            snd_wl2: SeqNum(0),
            max_snd_wnd: 0,
            mss: 536,
            rcv_nxt: SeqNum(0),
            rcv_adv: SeqNum(0),
            last_ack_sent: SeqNum(0),
            ts_recent: 0,
            ts_recent_at: Instant::ZERO,
            ts_offset: cx.clock_offset(flow.local, flow.remote),
            unacceptable_until: Instant::ZERO,
            snd_wscale: 0,
            rcv_wscale: window_scale(max),
            ts_ok: false,
            sack_ok: false,
            nodelay: options.nodelay,
            probe_moves: false,
            turn_window: None,
            pseudo: Checksum::pseudo_header(flow.local, flow.remote, PROTOCOL, 0).folded(),
            ack_now: false,
            unacked_segments: 0,
            in_output: false,
            in_events: false,
            in_demux: false,
            pending: Pending::empty(),
            orphan: false,
            half_open: false,
            write_blocked: false,
            fin_queued: false,
            read_closed: false,
            reset_queued: false,
            active: false,
            ecn_ok: false,
            ecn_echo: false,
            ecn_cwr: false,
            ecn_requested: false,
            send: SendQueue::new(iss + 1),
            recv: RecvQueue::new(),
            board: Scoreboard::default(),
            window: Window::initial(536),
            rtt: Rtt::new(),
            delivery: Delivery::new(cx.now),
            timers: Timers::new(),
            recovery: Recovery::new(iss),
            controller: Controller::new(options.congestion, cx.now),
            round_flight: [0; 2],
            round_end: 0,
            pace_at: Instant::ZERO,
            lent: None,
            rcv_buf: max.min(INITIAL_RECEIVE_BUFFER).min(first),
            tune_copied: 0,
            tune_space: 0,
            tune_at: cx.now,
            dsack: None,
            fin_at: None,
            error: None,
            soft_error: None,
            charged: 0,
            charged_borrowed: 0,
            iss,
            irs: SeqNum(0),
            peer_mss: 0,
            path_mtu: 0,
            search: None,
            listener: None,
            retransmits: 0,
            options,
        }
    }

    /// Begins the stream that is sent at another initial sequence number.
    pub(crate) fn set_iss(&mut self, iss: SeqNum) {
        self.iss = iss;
        self.snd_una = iss;
        self.snd_nxt = iss;
        self.send = SendQueue::new(iss + 1);
        self.recovery = Recovery::new(iss);
    }

    /// Has the processor fetch what a segment touches.
    #[inline]
    pub(crate) fn fetch_ahead(&self) {
        prefetch(self, HOT_LINES);
    }

    pub(crate) fn id(&self) -> ConnId {
        ConnId(self.key)
    }

    #[inline]
    pub(crate) fn tuple(&self) -> Tuple {
        Tuple {
            local: self.flow.local,
            remote: self.flow.remote,
            local_port: self.local_port,
            remote_port: self.remote_port,
        }
    }

    #[inline]
    pub(crate) fn is(&self, tuple: &Tuple) -> bool {
        self.remote_port == tuple.remote_port
            && self.local_port == tuple.local_port
            && self.flow.remote == tuple.remote
            && self.flow.local == tuple.local
    }

    /// Bytes sent and not acknowledged.
    #[inline]
    pub(crate) fn flight(&self) -> u32 {
        self.snd_nxt - self.snd_una
    }

    /// RFC 6675, section 2: bytes deemed to be in the network.
    #[inline]
    pub(crate) fn pipe(&self) -> u32 {
        let gone = self.board.sacked() + self.board.lost() + self.recovery.reno_sacked;
        (self.flight() + self.board.resent()).saturating_sub(gone)
    }

    /// Puts the connection on the list of those with output.
    #[inline]
    pub(crate) fn want_output(&mut self, cx: &mut Core) {
        if !self.in_output {
            self.in_output = true;
            cx.output.push_back(self.key.index);
        }
    }

    #[inline]
    pub(crate) fn want_ack(&mut self, cx: &mut Core) {
        self.ack_now = true;
        self.want_output(cx);
    }

    /// RFC 5961: an ACK to a segment that a blind attacker may have sent, rate limited.
    pub(crate) fn challenge(&mut self, cx: &mut Core) {
        if cx.may_challenge() {
            self.want_ack(cx);
        }
    }

    #[inline]
    pub(crate) fn notify(&mut self, cx: &mut Core, event: Pending) {
        if self.orphan {
            return;
        }
        self.pending |= event;
        if !self.in_events {
            self.in_events = true;
            cx.events.push_back(Source::Conn(self.key.index));
        }
    }

    /// Enters CLOSED; `error` is what the application is told.
    pub(crate) fn enter_closed(&mut self, cx: &mut Core, error: Option<Error>) {
        self.state = State::Closed;
        if self.error.is_none() {
            self.error = error;
        }
        self.send.clear();
        self.board.clear();
        self.timers = Timers::new();
        self.notify(cx, Pending::CLOSED | Pending::READABLE | Pending::WRITABLE);
    }

    /// Resets the connection (ABORT, RFC 9293, 3.10.5).
    pub(crate) fn abort(&mut self, cx: &mut Core, error: Error) {
        let told = self.state != State::SynSent && self.state != State::TimeWait;
        if self.state == State::Closed {
            return;
        }
        cx.stats.resets += 1;
        self.recv.clear();
        self.enter_closed(cx, Some(error));
        if told {
            self.reset_queued = true;
            self.want_output(cx);
        }
    }

    /// RFC 7323, section 5.4: our timestamp now.
    #[inline]
    pub(crate) fn timestamps(&self, cx: &Core) -> Option<Timestamps> {
        self.ts_ok.then(|| Timestamps {
            val: cx.millis().wrapping_add(self.ts_offset),
            ecr: self.ts_recent,
        })
    }

    /// Charges the memory limit for what the queues hold now and what the peer may send.
    #[inline(always)]
    pub(crate) fn recharge(&mut self, cx: &mut Core) {
        // An announced window is a promise of memory.
        let promised = if self.state.can_receive() { self.announced() as usize } else { 0 };
        let charge = self.send.pinned() + self.recv.charge() + promised;
        cx.memory = cx.memory + charge - self.charged;
        self.charged = charge;
        let borrowed = self.send.borrowed();
        cx.borrowed = cx.borrowed + borrowed - self.charged_borrowed;
        self.charged_borrowed = borrowed;
    }

    /// Charges the memory limit for a piece that is about to be queued.
    #[inline]
    pub(crate) fn charge_piece(&mut self, cx: &mut Core, piece: &Slice) {
        let (account, charged) = match piece.buffer() {
            Some(_) => (&mut cx.memory, &mut self.charged),
            None => (&mut cx.borrowed, &mut self.charged_borrowed),
        };
        let pinned = piece.pinned();
        *account += pinned;
        *charged += pinned;
    }

    /// Bytes that the send queue may be charged for. Autotuned: twice the congestion window, so
    /// that the next window is there when the ACKs come; or twice what is in flight, because new
    /// data goes on during a recovery whose window is smaller than what waits behind the hole.
    pub(crate) fn send_buffer(&self, cx: &Core) -> usize {
        match self.options.send_buffer {
            Some(fixed) => fixed as usize,
            None => {
                let most = self.window.cwnd.max(self.flight()) as usize;
                let wanted = (2 * most).max(INITIAL_SEND_BUFFER);
                wanted.min(cx.config.max_send_buffer as usize)
            }
        }
    }

    /// The largest payload of a segment, from what the peer announced and the path carries.
    pub(crate) fn update_mss(&mut self) {
        let ip = if self.flow.remote.is_ipv4() { 20 } else { 40 };
        // RFC 9293, 3.7.1: without the option, 536 or 1220.
        let peer = match self.peer_mss {
            0 if self.flow.remote.is_ipv4() => 536,
            0 => 1220,
            // Linux's floor; a smaller one is an attack on the sender's cycles.
            mss => mss.max(48),
        };
        let path = self.path_mtu.saturating_sub(ip + 20).max(48);
        // RFC 6691: the options of every segment come off here, on the sender's side.
        let options = if self.ts_ok { 12 } else { 0 };
        self.mss = u32::from(peer.min(path)) - options;
        self.window.mss = self.mss;
    }
}

/// The smallest scale with which a window field expresses `buffer` (RFC 7323, section 2.2).
pub(crate) fn window_scale(buffer: u32) -> u8 {
    let mut scale = 0;
    while scale < 14 && buffer >> scale > 0xffff {
        scale += 1;
    }
    scale
}
