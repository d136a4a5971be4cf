//! Services as ordinary Linux processes on a tap.

mod disk;
mod macros;
pub mod service;
mod sys;
mod tap;

pub(crate) use disk::Disk;
pub use tap::{Tap, Wakers};

/// The process's clock: one for all that sleep by it.
pub(crate) fn now() -> crate::time::Instant {
    static STARTED: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
    let started = STARTED.get_or_init(std::time::Instant::now);
    crate::time::Instant::from_nanos(1_000_000_000 + started.elapsed().as_nanos() as u64)
}
