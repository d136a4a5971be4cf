//! What all connections of an instance share: the clock of the round, timers, counters, limits.

use super::{
    config::{Config, Options},
    listener::ListenerId,
    slab::Key,
    stats::Stats,
    wheel::Wheel,
};
use crate::{
    time::{Duration, Instant},
    wire::tcp::SeqNum,
};
use alloc::{collections::VecDeque, sync::Arc};
use core::{hash::Hasher, net::IpAddr};
use siphasher::sip::SipHasher13;

use super::demux::Tuple;

/// Names a connection; stale once the connection is closed and its memory is used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConnId(pub(crate) Key);

/// Something changed since it was last looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The connection that `connect` began is established.
    Connected(ConnId),
    /// There is data, the end of the stream, or an error to read.
    Readable(ConnId),
    /// The send buffer has room again.
    Writable(ConnId),
    /// The connection is over, in good order or by an error.
    Closed(ConnId),
    /// A connection waits to be accepted.
    Acceptable(ListenerId),
}

bitflags::bitflags! {
    /// Events of a connection that were not taken yet.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub(crate) struct Pending: u8 {
        const CONNECTED = 1;
        const READABLE = 1 << 1;
        const WRITABLE = 1 << 2;
        const CLOSED = 1 << 3;
    }
}

/// Who has events.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Source {
    Conn(u32),
    Listener(u32),
}

pub(crate) struct Core {
    pub(crate) config: Config,
    /// The options of sockets that are opened without their own.
    pub(crate) defaults: Arc<Options>,
    pub(crate) stats: Stats,
    pub(crate) now: Instant,
    pub(crate) wheel: Wheel,
    /// Connections that may have something to send, each once.
    pub(crate) output: VecDeque<u32>,
    /// Connections and listeners with events, each once.
    pub(crate) events: VecDeque<Source>,
    /// Bytes of the pool that all queues together hold, and that peers were promised to have room
    /// for.
    pub(crate) memory: usize,
    /// Bytes of other memory that all send queues together hold.
    pub(crate) borrowed: usize,
    /// Connections that entered TIME-WAIT, the oldest first; some may have left it.
    pub(crate) time_wait: VecDeque<u32>,
    /// The end of the second that `challenge_left` is for.
    challenge_window: Instant,
    challenge_left: u32,
    challenges: u64,
    isn: SipHasher13,
    clock: SipHasher13,
    pub(crate) ports: SipHasher13,
    pub(crate) port_counter: u16,
}

fn key(seed: &[u8; 32], purpose: u8) -> SipHasher13 {
    let derive = |half: u8| {
        let mut hasher = SipHasher13::new_with_key(seed.first_chunk().unwrap_or(&[0; 16]));
        hasher.write(&seed[16..]);
        hasher.write(&[purpose, half]);
        hasher.finish().to_le_bytes()
    };
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&derive(0));
    bytes[8..].copy_from_slice(&derive(1));
    SipHasher13::new_with_key(&bytes)
}

/// A key for the hash table of connections.
pub(crate) fn demux_key(seed: &[u8; 32]) -> [u8; 16] {
    key(seed, 0).key()
}

/// A key for SYN cookies.
pub(crate) fn cookie_key(seed: &[u8; 32]) -> SipHasher13 {
    key(seed, 1)
}

impl Core {
    pub(crate) fn new(config: Config, seed: &[u8; 32], now: Instant) -> Core {
        Core {
            challenge_left: 0,
            challenges: 0,
            defaults: Arc::new(config.options.clone()),
            config,
            stats: Stats::default(),
            now,
            wheel: Wheel::new(now),
            output: VecDeque::new(),
            events: VecDeque::new(),
            memory: 0,
            borrowed: 0,
            time_wait: VecDeque::new(),
            challenge_window: Instant::ZERO,
            isn: key(seed, 2),
            clock: key(seed, 3),
            ports: key(seed, 4),
            port_counter: 0,
        }
    }

    /// RFC 6528, section 3: ISN = M + F(tuple, key); M ticks every 4 us.
    pub(crate) fn initial_sequence(&self, tuple: &Tuple) -> SeqNum {
        let clock = (self.now.as_nanos() >> 12) as u32;
        SeqNum(clock.wrapping_add(tuple.hash(&self.isn) as u32))
    }

    /// The offset of a pair's timestamp clock: unpredictable for others, monotonic for the pair
    /// over its connections (RFC 7323, section 5.4).
    pub(crate) fn clock_offset(&self, local: IpAddr, remote: IpAddr) -> u32 {
        let tuple = Tuple { local, remote, local_port: 0, remote_port: 0 };
        tuple.hash(&self.clock) as u32
    }

    /// Bytes that are neither held nor promised.
    #[inline]
    pub(crate) fn room(&self) -> usize {
        self.config.memory.saturating_sub(self.memory)
    }

    /// Bytes that windows may still promise: a quarter of all is left for data to send, or writers
    /// would wait for each other's ACKs while windows that nobody fills hold everything.
    #[inline]
    pub(crate) fn promisable(&self) -> usize {
        self.room().saturating_sub(self.config.memory / 4)
    }

    /// The timestamp clock: milliseconds.
    #[inline]
    pub(crate) fn millis(&self) -> u32 {
        self.now.as_millis() as u32
    }

    /// RFC 5961, section 7: whether one more challenge ACK may be sent. The limit of each second
    /// is drawn, up to the configured one: an attacker who counts the challenge ACKs that are left
    /// for it learns nothing about other connections (CVE-2016-5696).
    pub(crate) fn may_challenge(&mut self) -> bool {
        if self.now >= self.challenge_window {
            self.challenge_window = self.now + Duration::from_secs(1);
            self.challenges += 1;
            let limit = self.config.challenge_acks_per_second;
            let drawn = self.ports.hash(&self.challenges.to_le_bytes()) as u32;
            self.challenge_left = limit - drawn % (limit / 2 + 1);
        }
        if self.challenge_left == 0 {
            return false;
        }
        self.challenge_left -= 1;
        self.stats.challenge_acks += 1;
        true
    }
}
