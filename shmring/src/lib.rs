//! Shared-memory packet rings and the packet pool.
//!
//! [`abi`] is the layout that both sides agree on, [`ring`] the indices and their ordering,
//! [`guest`] and [`tender`] the two sides, [`pool`] the buffers, and [`memory`] how shared words
//! are reached.
#![no_std]
extern crate alloc;

pub mod abi;
pub mod guest;
pub mod memory;
pub mod pool;
pub mod ring;
pub mod tender;

pub use pool::{PacketBuf, Pool, PoolConfig, PoolStats, Slice};

/// The README's example is a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
