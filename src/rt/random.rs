//! Random numbers.

use super::Rt;
use crate::time::{Duration, Instant};
use core::cell::RefCell;
use rand_chacha::ChaCha20Rng;
use rand_core::{CryptoRng, RngCore, SeedableRng};

/// Bytes and time after which fresh entropy is mixed in.
const RESEED_BYTES: usize = 1 << 20;
const RESEED_TIME: Duration = Duration::from_secs(600);

/// The generator behind every [`Random`] of a runtime.
pub(super) struct Generator {
    rng: RefCell<ChaCha20Rng>,
    /// Bytes and time left before reseeding; `None` for a seed that was given.
    left: RefCell<Option<(usize, Instant)>>,
}

impl Generator {
    pub(super) fn new(seed: [u8; 32], fixed: bool, now: Instant) -> Generator {
        let left = (!fixed).then_some((RESEED_BYTES, now + RESEED_TIME));
        Generator { rng: ChaCha20Rng::from_seed(seed).into(), left: left.into() }
    }
}

/// The service's random generator: ChaCha20, seeded and from time to time reseeded by the
/// processor's or the host's generator, or a fixed sequence when the service was given `--seed`.
/// It speaks [`rand_core`], for crates that ask for a generator.
#[derive(Clone)]
pub struct Random(pub(super) Rt);

impl Random {
    /// `N` random bytes.
    pub fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.fill_bytes(&mut bytes);
        bytes
    }

    fn reseed(&self, wanted: usize) {
        let Generator { rng, left } = &self.0.0.random;
        let Some((bytes, time)) = &mut *left.borrow_mut() else { return };
        let now = self.0.now();
        if *bytes < wanted || now >= *time {
            // The old state stays in the mix, so that a poor source cannot weaken it.
            let mut seed = self.0.0.platform.entropy();
            let mut old = [0; 32];
            rng.borrow_mut().fill_bytes(&mut old);
            seed.iter_mut().zip(old).for_each(|(new, old)| *new ^= old);
            *rng.borrow_mut() = ChaCha20Rng::from_seed(seed);
            (*bytes, *time) = (RESEED_BYTES, now + RESEED_TIME);
        }
        *bytes = bytes.saturating_sub(wanted);
    }
}

impl RngCore for Random {
    fn next_u32(&mut self) -> u32 {
        self.reseed(4);
        self.0.0.random.rng.borrow_mut().next_u32()
    }

    fn next_u64(&mut self) -> u64 {
        self.reseed(8);
        self.0.0.random.rng.borrow_mut().next_u64()
    }

    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        self.reseed(bytes.len());
        self.0.0.random.rng.borrow_mut().fill_bytes(bytes);
    }
}

impl CryptoRng for Random {}
