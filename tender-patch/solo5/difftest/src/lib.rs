//! The C tender's ring service behind the Rust tender's interface, so that a test can hold one
//! against the other. For tests only.

mod ffi;
mod service;
mod world;

pub use service::{Frame, Rx, Service, Tx};
pub use world::World;
