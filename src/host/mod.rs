//! Services as ordinary Linux processes on a tap.

mod disk;
mod macros;
pub mod service;
mod sys;
mod tap;

pub(crate) use disk::Disk;
pub use tap::{Tap, Wakers};
