//! The clock: the TSC, which the host shares.

use super::boot;
use crate::time::Instant;

fn tsc() -> u64 {
    // SAFETY: every x86_64 processor has it, and the tender leaves it usable at CPL3.
    unsafe { core::arch::x86_64::_rdtsc() }
}

/// Nanoseconds by the TSC.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    origin: u64,
    /// Nanoseconds a cycle, as a fraction of 2^32.
    scale: u64,
}

impl Clock {
    /// A clock that starts a second after zero, so that an `Instant` a little before it exists.
    pub(crate) fn new() -> Clock {
        let hz = boot::info().tsc_hz.max(1);
        Clock { origin: tsc(), scale: ((1_000_000_000u128 << 32) / u128::from(hz)) as u64 }
    }

    pub(crate) fn now(&self) -> Instant {
        let cycles = tsc().wrapping_sub(self.origin);
        let nanos = (u128::from(cycles) * u128::from(self.scale)) >> 32;
        Instant::from_nanos(1_000_000_000 + nanos as u64)
    }
}
