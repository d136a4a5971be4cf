//! Why a name has no address.

use core::fmt;

/// Why a name was not resolved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// The text is no domain name.
    InvalidName,
    /// The name does not exist.
    NotFound,
    /// The name exists, and has no address of the family that was asked for.
    NoAddress,
    /// No name server is known.
    NoServers,
    /// No name server answered.
    TimedOut,
    /// The name servers answered that they could not find out.
    ServerFailure,
    /// An alias leads to an alias, and so on without an end.
    AliasLoop,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Error::InvalidName => {
                "not a domain name: letters, digits and hyphens, 63 a label (xn-- for others)"
            }
            Error::NotFound => "the name does not exist: check its spelling",
            Error::NoAddress => "the name has no address of this family",
            Error::NoServers => "no name server is known: add --dns=IP or --dhcp",
            Error::TimedOut => "no name server answered: check --dns and the route to it",
            Error::ServerFailure => "the name servers could not resolve the name: try again later",
            Error::AliasLoop => "the name's aliases do not end",
        })
    }
}

impl core::error::Error for Error {}
