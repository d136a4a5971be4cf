//! Seeds for random generators.

use super::{boot, hypercall};
use core::hash::Hasher;
use shmring::abi::{MAJOR, port};
use siphasher::sip::SipHasher13;

/// 32 bytes: of the processor's generator and the tender's host, where they have them, mixed with
/// the clocks. Neither source can weaken the other.
pub(crate) fn seed() -> [u8; 32] {
    let host = tender();
    if host.is_none() && hardware().is_none() {
        log::warn!("neither processor nor tender has random numbers: clocks have to do");
    }
    let mut seed = [0; 32];
    for (i, part) in seed.chunks_exact_mut(8).enumerate() {
        // SAFETY: as in `clock`.
        let tsc = unsafe { core::arch::x86_64::_rdtsc() };
        let mut mixer = SipHasher13::new_with_keys(tsc, i as u64);
        mixer.write_u64(hypercall::walltime());
        mixer.write_u64(hardware().unwrap_or(0));
        part.copy_from_slice(&mixer.finish().to_le_bytes());
    }
    for (byte, host) in seed.iter_mut().zip(host.into_iter().flatten()) {
        *byte ^= host;
    }
    seed
}

/// Random bytes of the host's, from a tender that offers them.
fn tender() -> Option<[u8; 32]> {
    #[repr(C)]
    struct Entropy([u8; 32], i32, u32);
    let offer = boot::manifest().rings()?;
    if (offer.major, offer.minor) < (MAJOR, 1) {
        return None;
    }
    let mut arg = Entropy([0; 32], -1, 0);
    // SAFETY: the struct of this port.
    unsafe { hypercall::call(offer.port + port::ENTROPY, &mut arg) };
    (arg.1 == 0).then_some(arg.0)
}

/// A number of the processor's: of its noise source where it has one for that.
fn hardware() -> Option<u64> {
    const RDSEED: u32 = 1 << 18;
    const RDRAND: u32 = 1 << 30;
    #[target_feature(enable = "rdseed")]
    fn noise() -> Option<u64> {
        let mut value = 0;
        (core::arch::x86_64::_rdseed64_step(&mut value) == 1).then_some(value)
    }
    if core::arch::x86_64::__cpuid(0).eax >= 7
        && core::arch::x86_64::__cpuid_count(7, 0).ebx & RDSEED != 0
        // SAFETY: the processor has the instruction, as just asked.
        && let Some(value) = (0..16).find_map(|_| unsafe { noise() })
    {
        return Some(value);
    }
    if core::arch::x86_64::__cpuid(1).ecx & RDRAND == 0 {
        return None;
    }
    #[target_feature(enable = "rdrand")]
    fn step() -> Option<u64> {
        let mut value = 0;
        (core::arch::x86_64::_rdrand64_step(&mut value) == 1).then_some(value)
    }
    // The generator may be out of numbers for a moment.
    // SAFETY: the processor has the instruction, as just asked.
    (0..16).find_map(|_| unsafe { step() })
}
