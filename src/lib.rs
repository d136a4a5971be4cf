//! zerohop: a zero-copy TCP/IP stack and runtime for unikernels.
#![cfg_attr(not(feature = "host"), no_std)]
extern crate alloc;

pub mod block;
pub mod device;
pub mod dhcp;
pub mod dns;
pub mod frame;
#[cfg(feature = "host")]
pub mod host;
#[cfg(not(feature = "host"))]
pub mod hvt;
pub mod ip;
mod membership;
mod ndp;
mod neighbor;
pub mod net;
mod prefetch;
pub mod rt;
pub mod service;
mod slab;
pub mod stack;
pub mod tcp;
pub mod time;
pub mod udp;
pub mod wire;

pub use block::Block;
pub use net::Net;
pub use shmring::{PacketBuf, Pool, PoolConfig, Slice};
