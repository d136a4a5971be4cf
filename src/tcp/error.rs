//! Why a connection cannot go on.

use core::fmt;

/// An error of a connection or of a call. A connection's error is reported once, after the data
/// that arrived before it; later calls give [`Error::Closed`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// The peer reset the connection.
    Reset,
    /// The peer answered the connection attempt with a reset.
    Refused,
    /// The peer did not answer for too long (R2, the user timeout, or keep-alive).
    TimedOut,
    /// The network reported the peer or its port unreachable.
    Unreachable,
    /// The connection's address is not ours any more: its lease or its lifetime has ended.
    AddressRemoved,
    /// This side aborted the connection.
    Aborted,
    /// The handle is stale, or that direction of the connection is closed.
    Closed,
    /// The connection is not established yet.
    NotConnected,
    /// The address to connect from is not ours: not verified yet, or its lease or lifetime has ended.
    AddressNotAvailable,
    /// The address is used by another listener or connection: choose another port.
    AddressInUse,
    /// All ephemeral ports or connection slots are in use: close some or raise the limits.
    Exhausted,
    /// The address cannot be connected to.
    InvalidAddress,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Error::Reset => "connection reset by peer",
            Error::Refused => "connection refused: check that the service listens on that port",
            Error::TimedOut => "connection timed out: the peer does not answer",
            Error::Unreachable => "unreachable: check the route and the peer's address",
            Error::AddressRemoved => {
                "our address was removed: its lease or lifetime ended; connect again"
            }
            Error::Aborted => "connection aborted",
            Error::Closed => "connection closed",
            Error::NotConnected => "not connected yet: wait for the connection to be established",
            Error::AddressNotAvailable => "the address to connect from is not ours now",
            Error::AddressInUse => "address in use: choose another port",
            Error::Exhausted => "no free port or connection slot: close some or raise the limits",
            Error::InvalidAddress => "not an address that can be connected to",
        })
    }
}

impl core::error::Error for Error {}
