//! Services as ordinary Linux processes on a tap.

pub mod service;
mod sys;
mod tap;

pub use tap::Tap;
