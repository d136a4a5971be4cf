//! Counters of one TCP instance.

use crate::stack::{Counters, named};
use zerocopy::{Immutable, IntoBytes};

macro_rules! stats {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// Counters since the start.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, IntoBytes, Immutable)]
        #[repr(C)]
        pub struct Stats {
            $($(#[$doc])* pub $name: u64,)*
        }

        impl Stats {
            /// Every counter by name.
            pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> + use<'_> {
                named(self.named())
            }

            pub(crate) fn named(&self) -> Counters<'_> {
                (&[$(concat!("tcp_", stringify!($name)),)*], self.as_bytes())
            }
        }
    };
}

stats! {
    /// Segments received.
    segments_in,
    /// Segments sent; a super-segment counts once.
    segments_out,
    /// Payload bytes received in order.
    bytes_in,
    /// Payload bytes sent for the first time.
    bytes_out,
    /// Segments sent again.
    retransmits,
    /// Retransmission timeouts.
    timeouts,
    /// Tail loss probes.
    loss_probes,
    /// Fast recoveries entered.
    recoveries,
    /// Congestion reductions undone because the retransmission was spurious.
    undos,
    /// Payload bytes copied: small pieces put together.
    payload_bytes_copied,
    /// Connections opened by us.
    active_opens,
    /// Connections accepted.
    passive_opens,
    /// Connections that ended by a reset, received or sent.
    resets,
    /// Resets sent.
    resets_out,
    /// Challenge ACKs sent (RFC 5961).
    challenge_acks,
    /// SYN cookies sent.
    syn_cookies_sent,
    /// Connections made from a valid SYN cookie.
    syn_cookies_valid,
    /// ACKs that carried no valid SYN cookie while some were expected.
    syn_cookies_invalid,
    /// Dropped: bad checksum.
    dropped_checksum,
    /// Dropped: bad header length.
    dropped_header,
    /// Dropped: bad options.
    dropped_options,
    /// Dropped: outside the window.
    dropped_window,
    /// Dropped: an old timestamp (PAWS).
    dropped_paws,
    /// Dropped: no memory for what is out of order.
    dropped_memory,
    /// Dropped: a listener's queue, or the connection table, is full.
    dropped_backlog,
    /// Dropped: not from an address that can be answered.
    dropped_address,
    /// Dropped: an acknowledgement out of range or another rule of RFC 9293.
    dropped_state,
    /// Segments that opened or filled a hole.
    out_of_order,
    /// Segments that carried only bytes already received.
    duplicates,
    /// ICMP errors ignored because they fit no outstanding segment.
    icmp_ignored,
    /// Zero-window probes sent.
    window_probes,
    /// Keep-alive probes sent.
    keepalive_probes,
    /// Segments received that were marked CE.
    ce_in,
}
