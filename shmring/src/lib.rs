//! Shared-memory packet rings and the packet pool.
#![no_std]
extern crate alloc;

pub mod pool;

pub use pool::{PacketBuf, Pool, PoolConfig, PoolStats, Slice};
