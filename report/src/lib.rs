//! The comparison with peers, end to end: servers of several kinds, the load on them, and a page
//! about what came out. The benches of this crate use the same parts.
#![forbid(unsafe_code)]

pub mod cli;
mod environment;
pub mod load;
mod loss;
mod page;
pub mod peer;
pub mod results;
pub mod runner;
pub mod serve;
mod targets;
pub mod workload;
