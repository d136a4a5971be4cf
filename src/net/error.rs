//! Errors of sockets.

use crate::{dns, tcp, udp};
use core::fmt;

/// Why a socket's call failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// Of a TCP socket: reset, refused, timed out, unreachable and others, told apart.
    Tcp(tcp::Error),
    /// Of a UDP socket.
    Udp(udp::Error),
    /// Of a name: it does not exist, or no server tells.
    Dns(dns::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Tcp(error) => error.fmt(f),
            Error::Udp(error) => error.fmt(f),
            Error::Dns(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for Error {}

impl From<tcp::Error> for Error {
    fn from(error: tcp::Error) -> Error {
        Error::Tcp(error)
    }
}

impl From<dns::Error> for Error {
    fn from(error: dns::Error) -> Error {
        Error::Dns(error)
    }
}

impl From<udp::Error> for Error {
    fn from(error: udp::Error) -> Error {
        Error::Udp(error)
    }
}
