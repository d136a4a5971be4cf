//! What can be set: for a whole TCP instance, and for one socket.

use crate::time::Duration;

/// Heap that a connection may take, with its task and its share of the tables.
const CONNECTION: usize = 4096;

/// Limits and defaults of a TCP instance.
#[derive(Clone, Debug)]
pub struct Config {
    /// Connections in any state, at most.
    pub max_connections: usize,
    /// Bytes of the pool that all queues together may hold, at most. One connection's data to send
    /// takes half of that at most.
    pub memory: usize,
    /// Bytes of other memory that all data to send together may hold, at most.
    pub borrowed: usize,
    /// Largest receive buffer that autotuning reaches; decides the window scale.
    pub max_receive_buffer: u32,
    /// Largest send buffer that autotuning reaches.
    pub max_send_buffer: u32,
    /// Twice the maximum segment lifetime: how long TIME-WAIT lasts.
    pub time_wait: Duration,
    /// Challenge ACKs a second, at most (RFC 5961, section 7).
    pub challenge_acks_per_second: u32,
    /// Defaults of new sockets.
    pub options: Options,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            max_connections: 131_072,
            memory: 256 << 20,
            borrowed: 256 << 20,
            max_receive_buffer: 32 << 20,
            max_send_buffer: 32 << 20,
            time_wait: Duration::from_secs(60),
            challenge_acks_per_second: 1000,
            options: Options::default(),
        }
    }
}

impl Config {
    /// The limits that a pool can carry: queues hold its buffers, and what they hold the device
    /// cannot receive into.
    pub(crate) fn bounded_by(&self, pool: &crate::Pool) -> Config {
        let bytes = pool.config().bytes();
        let quarter = u32::try_from(bytes / 4).unwrap_or(u32::MAX);
        Config {
            memory: self.memory.min(bytes / 2),
            max_receive_buffer: self.max_receive_buffer.min(quarter),
            ..self.clone()
        }
    }

    /// The limits that a heap of so many bytes can carry.
    pub(crate) fn bounded_by_heap(self, bytes: usize) -> Config {
        Config {
            max_connections: self.max_connections.min(bytes / CONNECTION),
            borrowed: self.borrowed.min(bytes / 4),
            ..self
        }
    }
}

/// A congestion control algorithm.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Congestion {
    /// RFC 5681 and RFC 6582.
    NewReno,
    /// RFC 9438 with HyStart++ (RFC 9406).
    #[default]
    Cubic,
    /// BBR version 1: sends at the bandwidth that it measures, whatever is lost.
    Bbr,
}

impl core::str::FromStr for Congestion {
    type Err = &'static str;

    fn from_str(name: &str) -> Result<Congestion, &'static str> {
        match name {
            "reno" => Ok(Congestion::NewReno),
            "cubic" => Ok(Congestion::Cubic),
            "bbr" => Ok(Congestion::Bbr),
            _ => Err("expected cubic, reno or bbr"),
        }
    }
}

/// Keep-alive (RFC 9293, section 3.8.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keepalive {
    /// Idle time before the first probe.
    pub idle: Duration,
    /// Time between probes.
    pub interval: Duration,
    /// Unanswered probes that end the connection.
    pub probes: u8,
}

impl Default for Keepalive {
    /// Two hours, then nine probes of 75 s.
    fn default() -> Keepalive {
        Keepalive {
            idle: Duration::from_secs(2 * 3600),
            interval: Duration::from_secs(75),
            probes: 9,
        }
    }
}

/// Options of one socket. A listener's options are those of the connections that it accepts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Send small segments at once (no Nagle algorithm).
    pub nodelay: bool,
    /// Probe an idle peer; off unless set.
    pub keepalive: Option<Keepalive>,
    /// What `close` does with data that is not acknowledged: `None` goes on sending in the
    /// background, zero resets, another time resets after it.
    pub linger: Option<Duration>,
    /// How long sent data may stay unacknowledged (RFC 5482); `None` is R2 of RFC 9293.
    pub user_timeout: Option<Duration>,
    /// Congestion control.
    pub congestion: Congestion,
    /// Negotiate ECN (RFC 3168).
    pub ecn: bool,
    /// A fixed receive buffer in bytes instead of autotuning.
    pub receive_buffer: Option<u32>,
    /// A fixed send buffer in bytes instead of autotuning.
    pub send_buffer: Option<u32>,
    /// Largest segment to announce, below what the path allows.
    pub max_segment: Option<u16>,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            nodelay: false,
            keepalive: None,
            linger: None,
            user_timeout: None,
            congestion: Congestion::default(),
            ecn: true,
            receive_buffer: None,
            send_buffer: None,
            max_segment: None,
        }
    }
}

/// Options of a listener.
#[derive(Clone, Debug)]
pub struct ListenOptions {
    /// Connections that wait to be accepted, and half-open ones, at most each. Further SYNs are
    /// answered with cookies (RFC 4987).
    pub backlog: usize,
    /// Options of the accepted connections; `None` takes the instance's.
    pub socket: Option<Options>,
}

impl Default for ListenOptions {
    fn default() -> ListenOptions {
        ListenOptions { backlog: 1024, socket: None }
    }
}
