//! The internet layer.
#![forbid(unsafe_code)]

mod network;

pub use network::{Ecn, Flow, Incoming, Network, Outgoing, Path, SendError, Unreachable};
