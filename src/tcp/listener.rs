//! Listeners (LISTEN state) and their queues.

use super::{
    config::{ListenOptions, Options},
    slab::Key,
};
use alloc::{collections::VecDeque, sync::Arc};
use core::net::{IpAddr, SocketAddr};

/// Names a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ListenerId(pub(crate) Key);

pub(crate) struct Listener {
    pub(crate) key: Key,
    pub(crate) local: SocketAddr,
    pub(crate) backlog: usize,
    pub(crate) options: Arc<Options>,
    /// Connections in SYN-RECEIVED.
    pub(crate) half_open: usize,
    /// Established connections that wait to be accepted.
    pub(crate) ready: VecDeque<u32>,
    /// An event is pending.
    pub(crate) notified: bool,
    /// Cookies were sent until shortly ago: an ACK out of nowhere may carry one.
    pub(crate) cookies_until: crate::time::Instant,
}

impl Listener {
    pub(crate) fn new(
        key: Key,
        local: SocketAddr,
        options: ListenOptions,
        defaults: &Arc<Options>,
    ) -> Listener {
        Listener {
            key,
            local,
            backlog: options.backlog.max(1),
            options: options.socket.map_or_else(|| defaults.clone(), Arc::new),
            half_open: 0,
            ready: VecDeque::new(),
            notified: false,
            cookies_until: crate::time::Instant::ZERO,
        }
    }

    /// How well the listener fits a segment to `address`: a listener for the address itself goes
    /// before one for any. An IPv6 wildcard takes both families.
    pub(crate) fn fit(&self, address: IpAddr, port: u16) -> u8 {
        if self.local.port() != port {
            return 0;
        }
        match (self.local.ip(), address) {
            (own, address) if own == address => 3,
            (IpAddr::V4(own), IpAddr::V4(_)) if own.is_unspecified() => 2,
            (IpAddr::V6(own), _) if own.is_unspecified() => 1,
            _ => 0,
        }
    }

    /// Whether a SYN finds a place without a cookie.
    pub(crate) fn has_room(&self) -> bool {
        !self.is_full() && self.half_open < self.backlog
    }

    pub(crate) fn is_full(&self) -> bool {
        self.ready.len() >= self.backlog
    }
}
