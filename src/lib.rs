//! zerohop: a zero-copy TCP/IP stack and runtime for unikernels.
#![cfg_attr(not(feature = "host"), no_std)]
extern crate alloc;

pub mod device;
pub mod frame;
pub mod ip;
pub mod tcp;
pub mod time;
pub mod wire;

pub use shmring::{PacketBuf, Pool, PoolConfig, Slice};
