//! Counters of UDP.

use crate::stack::Counters;
use zerocopy::{Immutable, IntoBytes};

/// Counters.
#[derive(Clone, Copy, Debug, Default, IntoBytes, Immutable)]
#[repr(C)]
pub struct Stats {
    /// Datagrams received.
    pub received: u64,
    /// Datagrams sent.
    pub sent: u64,
    /// Datagrams dropped: a wrong length.
    pub malformed: u64,
    /// Datagrams dropped: a wrong checksum, or none where there must be one.
    pub checksum: u64,
    /// Datagrams dropped: the socket's queue was full.
    pub queue_full: u64,
    /// Datagrams dropped: all queues together held too much of the pool.
    pub no_memory: u64,
    /// Datagrams to a port that nobody listens at.
    pub no_port: u64,
    /// ICMP errors told to connected sockets.
    pub icmp_errors: u64,
    /// ICMP errors that were about no socket.
    pub icmp_ignored: u64,
    /// Bytes of short datagrams that were copied behind their headers.
    pub payload_bytes_copied: u64,
}

impl Stats {
    /// Every counter by its name.
    pub(crate) fn named(&self) -> Counters<'_> {
        const NAMES: &[&str] = &[
            "udp_received",
            "udp_sent",
            "udp_malformed",
            "udp_checksum",
            "udp_queue_full",
            "udp_no_memory",
            "udp_no_port",
            "udp_icmp_errors",
            "udp_icmp_ignored",
            "udp_payload_bytes_copied",
        ];
        (NAMES, self.as_bytes())
    }
}
