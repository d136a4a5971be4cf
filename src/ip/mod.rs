//! The internet layer.
#![forbid(unsafe_code)]

mod addresses;
mod error;
mod network;
mod output;

pub(crate) use addresses::Addresses;
pub use addresses::Cidr;
pub use error::{IcmpError, IcmpErrorKind};
pub use network::{Ecn, Flow, Incoming, Network, Outgoing, Path, SendError, Unreachable};
pub(crate) use output::{Ip, Output};
