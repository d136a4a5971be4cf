//! What an application calls (RFC 9293, section 3.10.1 - 3.10.6), and the round of output.

use super::{
    config::{Congestion, Keepalive, ListenOptions, Options},
    conn::Conn,
    core::{ConnId, Event, Pending, Source},
    demux::Tuple,
    error::Error,
    listener::{Listener, ListenerId},
    output::Turn,
    receive::{Tcp, is_unicast},
    state::State,
    timers::NEVER,
};
use crate::{
    Slice,
    ip::{Flow, Network, NoPath},
    time::{Duration, Instant},
};
use ::core::net::SocketAddr;
use alloc::{boxed::Box, sync::Arc};

/// What [`Tcp::read`] found.
#[derive(Debug)]
pub enum Read {
    /// The next bytes of the stream.
    Data(Slice),
    /// The peer sent its last byte.
    End,
    /// Nothing yet.
    Empty,
}

/// Directions to shut down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shutdown {
    /// Nothing more will be read: what arrives is thrown away.
    Read,
    /// Nothing more will be written: FIN goes out behind what was.
    Write,
    /// Both.
    Both,
}

/// RFC 6335: the dynamic ports.
const EPHEMERAL: core::ops::RangeInclusive<u16> = 49152..=65535;

impl Tcp {
    /// Passive OPEN. An unspecified address takes connections to any of ours; `[::]` takes both
    /// families.
    ///
    /// # Errors
    /// [`Error::AddressInUse`].
    pub fn listen(
        &mut self,
        local: SocketAddr,
        options: ListenOptions,
    ) -> Result<ListenerId, Error> {
        if self.listeners.iter().any(|l| l.local == local) {
            return Err(Error::AddressInUse);
        }
        let defaults = &self.cx.defaults;
        let key = self.listeners.insert_with(|key| Listener::new(key, local, options, defaults));
        Ok(ListenerId(key))
    }

    /// Takes the next established connection; `None` if there is none yet.
    ///
    /// # Errors
    /// [`Error::Closed`] when the listener is.
    pub fn accept(&mut self, id: ListenerId) -> Result<Option<ConnId>, Error> {
        let listener = self.listeners.get_mut(id.0).ok_or(Error::Closed)?;
        let Some(index) = listener.ready.pop_front() else {
            return Ok(None);
        };
        let Some(conn) = self.conns.at(index) else {
            return Ok(None);
        };
        conn.listener = None;
        if conn.recv.len() > 0 || conn.state != State::Established {
            conn.notify(&mut self.cx, Pending::READABLE);
        }
        Ok(Some(conn.id()))
    }

    /// Ends a listener; connections that nobody accepted are reset.
    pub fn close_listener(&mut self, id: ListenerId) {
        if self.listeners.remove(id.0.index).is_none() {
            return;
        }
        let indices: alloc::vec::Vec<u32> = self.conns.indices().collect();
        for index in indices {
            if let Some(conn) = self.conns.at(index)
                && conn.listener == Some(id.0)
            {
                conn.orphan = true;
                conn.abort(&mut self.cx, Error::Aborted);
                self.settle(index);
            }
        }
    }

    /// Active OPEN: the connection is in SYN-SENT; [`Event::Connected`] or [`Event::Closed`]
    /// tells how it went.
    ///
    /// # Errors
    /// [`Error::InvalidAddress`], [`Error::AddressNotAvailable`], [`Error::Unreachable`],
    /// [`Error::AddressInUse`] or [`Error::Exhausted`].
    pub fn connect<N: Network>(
        &mut self,
        net: &mut N,
        remote: SocketAddr,
        local: Option<SocketAddr>,
        options: &Options,
    ) -> Result<ConnId, Error> {
        self.cx.now = net.now();
        if remote.port() == 0 || !is_unicast(remote.ip()) {
            return Err(Error::InvalidAddress);
        }
        let from = local.map(|l| l.ip()).filter(|ip| !ip.is_unspecified());
        let path = net.path(from, remote.ip()).map_err(|no_path| match no_path {
            NoPath::NotOurs => Error::AddressNotAvailable,
            NoPath::Unreachable => Error::Unreachable,
        })?;
        if !self.make_slot() {
            return Err(Error::Exhausted);
        }
        let mut tuple = Tuple {
            local: path.local,
            remote: remote.ip(),
            local_port: local.map_or(0, |l| l.port()),
            remote_port: remote.port(),
        };
        if tuple.local_port == 0 {
            tuple.local_port = self.choose_port(tuple).ok_or(Error::Exhausted)?;
        } else if self.is_used(&tuple) {
            return Err(Error::AddressInUse);
        }
        let flow = Flow::new(tuple.local, tuple.remote);
        let ports = (tuple.local_port, tuple.remote_port);
        let cx = &mut self.cx;
        let shared =
            if *options == *cx.defaults { cx.defaults.clone() } else { Arc::new(options.clone()) };
        let key = self.conns.insert_with(|key| Box::new(Conn::new(key, flow, ports, shared, cx)));
        let conn = self.conns.get_mut(key).ok_or(Error::Exhausted)?;
        conn.active = true;
        conn.state = State::SynSent;
        conn.path_mtu = path.mtu;
        conn.ecn_requested = options.ecn;
        conn.start_handshake(cx);
        conn.in_demux = true;
        self.demux.insert(&tuple, key.index);
        conn.arm(cx);
        cx.stats.active_opens += 1;
        Ok(ConnId(key))
    }

    fn is_used(&self, tuple: &Tuple) -> bool {
        self.demux.find(tuple, |i| self.conns.peek(i).is_some_and(|c| c.is(tuple))).is_some()
    }

    /// RFC 6056, algorithm 3: an offset that depends on the peer, and a counter.
    fn choose_port(&mut self, mut tuple: Tuple) -> Option<u16> {
        let count = EPHEMERAL.end() - EPHEMERAL.start() + 1;
        let offset = tuple.hash(&self.cx.ports) as u16;
        for _ in 0..count {
            self.cx.port_counter = self.cx.port_counter.wrapping_add(1);
            let n = offset.wrapping_add(self.cx.port_counter) % count;
            tuple.local_port = EPHEMERAL.start() + n;
            let listens = self.listeners.iter().any(|l| l.local.port() == tuple.local_port);
            if !listens && !self.is_used(&tuple) {
                return Some(tuple.local_port);
            }
        }
        None
    }

    /// Takes up to `max` bytes out of the receive queue: a slice of the buffer that they arrived
    /// in. Data comes first, then the end of the stream or, once, the error.
    ///
    /// # Errors
    /// The connection's error; [`Error::Closed`] afterwards or for a stale handle.
    #[inline]
    pub fn read(&mut self, id: ConnId, max: usize) -> Result<Read, Error> {
        let conn = self.conns.get_mut(id.0).ok_or(Error::Closed)?;
        if let Some(slice) = conn.recv.read(max) {
            conn.lend(&slice);
            conn.on_read(&mut self.cx, slice.len() as u32);
            // The ACK that is due, now or soon, sees to it else.
            if !conn.ack_now && conn.timers.ack == NEVER {
                conn.recharge(&mut self.cx);
            }
            return Ok(Read::Data(slice));
        }
        if let Some(error) = conn.error.take() {
            conn.read_closed = true;
            return Err(error);
        }
        match conn.state {
            _ if conn.read_closed => Err(Error::Closed),
            State::CloseWait | State::Closing | State::LastAck | State::TimeWait => Ok(Read::End),
            State::Closed => Ok(Read::End),
            _ => Ok(Read::Empty),
        }
    }

    /// Queues as much of `data` as the send buffer has room for, by reference, and leaves the
    /// rest in it; returns how many bytes that was. After 0, [`Event::Writable`] tells when there
    /// is room.
    ///
    /// # Errors
    /// The connection's error, or [`Error::Closed`] after a shutdown.
    #[inline]
    pub fn write(&mut self, id: ConnId, data: &mut Slice) -> Result<usize, Error> {
        let conn = self.conns.get_mut(id.0).ok_or(Error::Closed)?;
        match conn.state {
            State::Closed => return Err(conn.error.take().unwrap_or(Error::Closed)),
            _ if conn.fin_queued => return Err(Error::Closed),
            State::SynSent | State::SynReceived => {
                conn.write_blocked = true;
                return Ok(0);
            }
            _ => {}
        }
        let cx = &mut self.cx;
        // Whoever has nothing in flight may always write a little: only its own ACKs wake it.
        let least = if conn.send.charge() == 0 { 2 * conn.mss as usize } else { 0 };
        let room = conn.send_buffer(cx).saturating_sub(conn.send.charge());
        let memory = if data.buffer().is_some() {
            cx.room().min((cx.config.memory / 2).saturating_sub(conn.send.pinned()))
        } else {
            cx.config.borrowed.saturating_sub(cx.borrowed)
        };
        let room = room.min(memory.max(least));
        let n = data.len().min(room);
        if n < data.len() {
            conn.write_blocked = true;
        }
        if n == 0 {
            return Ok(0);
        }
        let piece = if n == data.len() { core::mem::take(data) } else { data.split_to(n) };
        conn.charge_piece(cx, &piece);
        conn.send.push(piece);
        conn.start_tidy(cx);
        conn.want_output(cx);
        Ok(n)
    }

    /// Ends one or both directions.
    pub fn shutdown(&mut self, id: ConnId, how: Shutdown) {
        let Some(conn) = self.conns.get_mut(id.0) else {
            return;
        };
        if how != Shutdown::Write {
            conn.read_closed = true;
            conn.recv.clear();
            conn.recharge(&mut self.cx);
        }
        if how != Shutdown::Read {
            conn.close_write(&mut self.cx);
        }
        self.settle(id.0.index);
    }

    /// CLOSE (RFC 9293, section 3.10.4): the handle ends; what was written is still sent, unless
    /// lingering is set otherwise. Data that was not read makes it a reset (RFC 9293, 3.6.1).
    pub fn close(&mut self, id: ConnId) {
        let Some(conn) = self.conns.get_mut(id.0) else {
            return;
        };
        let cx = &mut self.cx;
        conn.orphan = true;
        conn.pending = Pending::empty();
        let unread = conn.recv.len() > 0;
        conn.recv.clear();
        match (conn.state, conn.options.linger) {
            (State::Closed, _) => {}
            (State::SynSent, _) => conn.enter_closed(cx, None),
            _ if unread => conn.abort(cx, Error::Aborted),
            (_, Some(Duration::ZERO)) => conn.abort(cx, Error::Aborted),
            (_, linger) => {
                conn.close_write(cx);
                match (conn.state, linger) {
                    (State::FinWait2, _) => conn.start_life(cx),
                    (State::TimeWait | State::Closed, _) | (_, None) => {}
                    (_, Some(time)) => {
                        conn.timers.lingering = true;
                        conn.timers.life = cx.now + time;
                    }
                }
            }
        }
        self.settle(id.0.index);
    }

    /// ABORT (RFC 9293, section 3.10.5): the handle ends, the peer gets a reset.
    pub fn abort(&mut self, id: ConnId) {
        if let Some(conn) = self.conns.get_mut(id.0) {
            conn.orphan = true;
            conn.pending = Pending::empty();
            conn.abort(&mut self.cx, Error::Aborted);
            self.settle(id.0.index);
        }
    }

    /// Sends small segments at once, or lets them wait for the ACK of what is in flight.
    pub fn set_nodelay(&mut self, id: ConnId, nodelay: bool) {
        if let Some(conn) = self.conns.get_mut(id.0) {
            conn.nodelay = nodelay;
            conn.want_output(&mut self.cx);
        }
    }

    /// Turns keep-alive on or off.
    pub fn set_keepalive(&mut self, id: ConnId, keepalive: Option<Keepalive>) {
        if let Some(conn) = self.conns.get_mut(id.0) {
            Arc::make_mut(&mut conn.options).keepalive = keepalive;
            conn.timers.probes = 0;
            conn.start_life(&self.cx);
            conn.arm(&mut self.cx);
        }
    }

    /// What `close` does with data that is not acknowledged; see [`Options::linger`].
    pub fn set_linger(&mut self, id: ConnId, linger: Option<Duration>) {
        if let Some(conn) = self.conns.get_mut(id.0) {
            Arc::make_mut(&mut conn.options).linger = linger;
        }
    }

    /// How long sent data may stay unacknowledged (RFC 5482).
    pub fn set_user_timeout(&mut self, id: ConnId, timeout: Option<Duration>) {
        if let Some(conn) = self.conns.get_mut(id.0) {
            Arc::make_mut(&mut conn.options).user_timeout = timeout;
        }
    }

    /// Changes the congestion control algorithm; it starts from the window as it is.
    pub fn set_congestion(&mut self, id: ConnId, congestion: Congestion) {
        if let Some(conn) = self.conns.get_mut(id.0) {
            Arc::make_mut(&mut conn.options).congestion = congestion;
            conn.controller = super::cc::Controller::new(congestion, self.cx.now);
        }
    }

    /// Fixes the buffers' sizes in bytes, or has them tuned.
    pub fn set_buffers(&mut self, id: ConnId, receive: Option<u32>, send: Option<u32>) {
        if let Some(conn) = self.conns.get_mut(id.0) {
            let options = Arc::make_mut(&mut conn.options);
            (options.receive_buffer, options.send_buffer) = (receive, send);
            if let Some(size) = receive {
                conn.rcv_buf = size.clamp(2048, self.cx.config.max_receive_buffer.max(2048));
            }
        }
    }

    /// Our address of a connection.
    pub fn local_addr(&self, id: ConnId) -> Option<SocketAddr> {
        let conn = self.conns.get(id.0)?;
        Some(SocketAddr::new(conn.flow.local, conn.local_port))
    }

    /// The peer's address of a connection.
    pub fn peer_addr(&self, id: ConnId) -> Option<SocketAddr> {
        let conn = self.conns.get(id.0)?;
        Some(SocketAddr::new(conn.flow.remote, conn.remote_port))
    }

    /// The address of a listener.
    pub fn listener_addr(&self, id: ListenerId) -> Option<SocketAddr> {
        self.listeners.get(id.0).map(|l| l.local)
    }

    /// Takes the next change that was not taken yet.
    #[inline]
    pub fn take_event(&mut self) -> Option<Event> {
        if self.cx.events.is_empty() { None } else { self.next_event() }
    }

    fn next_event(&mut self) -> Option<Event> {
        while let Some(&source) = self.cx.events.front() {
            match source {
                Source::Listener(index) => {
                    self.cx.events.pop_front();
                    if let Some(listener) = self.listeners.at(index)
                        && core::mem::take(&mut listener.notified)
                    {
                        return Some(Event::Acceptable(ListenerId(listener.key)));
                    }
                }
                Source::Conn(index) => {
                    if let Some(event) = self.take_conn_event(index) {
                        return Some(event);
                    }
                }
            }
        }
        None
    }

    /// One event of the connection at the front of the queue, which leaves with the last.
    fn take_conn_event(&mut self, index: u32) -> Option<Event> {
        let Some(conn) = self.conns.at(index) else {
            self.cx.events.pop_front();
            return None;
        };
        let id = conn.id();
        let bit = conn.pending.bits() & conn.pending.bits().wrapping_neg();
        let first = Pending::from_bits_retain(bit);
        conn.pending.remove(first);
        conn.in_events = !conn.pending.is_empty();
        if !conn.in_events {
            self.cx.events.pop_front();
        }
        Some(match first {
            Pending::CONNECTED => Event::Connected(id),
            Pending::READABLE => Event::Readable(id),
            Pending::WRITABLE => Event::Writable(id),
            Pending::CLOSED => Event::Closed(id),
            _ => {
                self.settle(index);
                return None;
            }
        })
    }

    /// Serves the timers that are due and sends what may be sent, until the network's room is
    /// used up.
    pub fn poll<N: Network>(&mut self, net: &mut N) {
        self.cx.now = net.now();
        while let Some(index) = self.cx.wheel.expire(self.cx.now) {
            if let Some(conn) = self.conns.at(index) {
                conn.on_timer(&mut self.cx);
                self.settle(index);
            }
        }
        while let Some(&index) = self.cx.output.front() {
            if self.cx.output.len() > 1 {
                self.fetch_next();
            }
            let Some(conn) = self.conns.at(index) else {
                self.cx.output.pop_front();
                continue;
            };
            let turn = conn.output(&mut self.cx, net);
            if turn == Turn::Blocked {
                conn.arm(&mut self.cx);
                return;
            }
            self.cx.output.pop_front();
            match turn {
                Turn::More => self.cx.output.push_back(index),
                _ => conn.in_output = false,
            }
            if conn.state == State::Closed {
                self.settle(index);
            } else {
                conn.arm(&mut self.cx);
            }
        }
    }

    /// Has what the next connection sends by fetched while the first one sends.
    #[inline(never)]
    fn fetch_next(&self) {
        if let Some(next) = self.cx.output.get(1).and_then(|&next| self.conns.peek(next)) {
            next.fetch_ahead();
        }
    }

    /// When [`Tcp::poll`] has to be called again: at once while output is pending, else with the
    /// next timer.
    pub fn poll_at(&self) -> Option<Instant> {
        if !self.cx.output.is_empty() {
            return Some(self.cx.now);
        }
        self.cx.wheel.next()
    }
}

impl Conn {
    /// CLOSE as far as the wire is concerned: FIN behind what was written.
    fn close_write(&mut self, cx: &mut super::core::Core) {
        if self.fin_queued {
            return;
        }
        self.state = match self.state {
            // RFC 9293, 3.10.4: queued until the connection is established.
            State::SynSent | State::SynReceived => self.state,
            State::Established => State::FinWait1,
            State::CloseWait => State::LastAck,
            _ => return,
        };
        self.fin_queued = true;
        self.timers.life = super::timers::NEVER;
        self.want_output(cx);
    }
}
