//! What the runtime asks of what is below it.

use crate::time::Instant;

/// A clock and a source of unpredictable bytes.
pub trait Platform: 'static {
    /// A monotonic clock.
    fn now(&self) -> Instant;

    /// Nanoseconds since 1970.
    fn wall_clock(&self) -> u64;

    /// A fresh seed.
    fn entropy(&self) -> [u8; 32];

    /// Sleeps until `until` when there is no device to wait for.
    fn idle(&self, until: Option<Instant>);
}
