//! The internet layer.
#![forbid(unsafe_code)]

mod addresses;
mod cidr;
mod conflict;
mod destinations;
mod error;
mod fragment;
mod groups;
pub(crate) mod icmpv6;
mod lean;
mod network;
mod output;
mod pmtu;
pub mod reassembly;
mod routes;
mod select;
mod train;

pub(crate) use addresses::Addresses;
pub use addresses::{Address, AddressState, Origin, TableError};
pub use cidr::Cidr;
pub(crate) use conflict::{Action, Conflicts, Heard, Pace};
pub(crate) use destinations::sort as sort_destinations;
pub use error::{IcmpError, IcmpErrorKind};
pub(crate) use groups::{Groups, group_mac};
pub use network::{Ecn, Flow, Incoming, Network, NoPath, Outgoing, Path, SendError};
pub(crate) use output::{Ip, Output};
pub(crate) use pmtu::{MIN_V4, lower_plateau};
pub(crate) use routes::Routes;
pub use routes::{Preference, Route};
