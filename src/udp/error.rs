//! Errors of UDP sockets.

/// Why a call fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// The address and port are taken: choose others.
    AddressInUse,
    /// The address that the socket is bound to, or is to answer from, is not ours: not verified yet,
    /// or its lease or lifetime has ended.
    AddressNotAvailable,
    /// Too many sockets, no buffer, or the transmit queue is full: try again later.
    Exhausted,
    /// The handle is stale.
    Closed,
    /// The socket has no peer: name a destination, or connect it first.
    NotConnected,
    /// Nobody listens at the peer's port, says the peer.
    Refused,
    /// No route to the destination, or a router says that it cannot be reached.
    Unreachable,
    /// The datagram is longer than can be sent.
    TooLong,
    /// It is no multicast group, or too many were joined.
    BadGroup,
}

impl core::fmt::Display for Error {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Error::AddressInUse => "the port is in use: choose another",
            Error::AddressNotAvailable => {
                "the socket's address is not ours now: bind to one that is, or to all"
            }
            Error::Exhausted => "too many sockets, or no free buffer: try again later",
            Error::Closed => "the socket is closed",
            Error::NotConnected => "the socket has no peer: name a destination, or connect it",
            Error::Refused => "nobody listens at the peer's port",
            Error::Unreachable => "no route to the destination: check the gateway",
            Error::TooLong => "the datagram is longer than can be sent",
            Error::BadGroup => "no multicast group, or too many of them: leave one first",
        })
    }
}

impl core::error::Error for Error {}
