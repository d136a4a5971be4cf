//! Counters of UDP.

/// Counters.
#[derive(Clone, Copy, Debug, Default)]
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
}

impl Stats {
    /// Every counter by its name.
    pub(crate) fn named(&self) -> impl Iterator<Item = (&'static str, u64)> {
        [
            ("udp_received", self.received),
            ("udp_sent", self.sent),
            ("udp_malformed", self.malformed),
            ("udp_checksum", self.checksum),
            ("udp_queue_full", self.queue_full),
            ("udp_no_memory", self.no_memory),
            ("udp_no_port", self.no_port),
            ("udp_icmp_errors", self.icmp_errors),
            ("udp_icmp_ignored", self.icmp_ignored),
        ]
        .into_iter()
    }
}
