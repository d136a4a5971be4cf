//! The internet layer.
#![forbid(unsafe_code)]

mod addresses;
mod error;
#[allow(dead_code, reason = "the sender that uses it follows")]
mod fragment;
mod network;
mod output;
#[allow(dead_code, reason = "the ICMP errors that fill it follow")]
mod pmtu;
pub mod reassembly;

pub(crate) use addresses::Addresses;
pub use addresses::Cidr;
pub use error::{IcmpError, IcmpErrorKind};
pub use network::{Ecn, Flow, Incoming, Network, Outgoing, Path, SendError, Unreachable};
pub(crate) use output::{Ip, Output};
