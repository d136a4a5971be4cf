//! Threads on cores of their own.

use std::sync::OnceLock;

/// Pins the calling thread where there is a second core. The first call is the main thread's: a
/// thread that it starts later inherits its one core, and would find no other.
pub fn to_core(n: usize) {
    static CORES: OnceLock<Vec<core_affinity::CoreId>> = OnceLock::new();
    let cores = CORES.get_or_init(|| core_affinity::get_core_ids().unwrap_or_default());
    if cores.len() > 1 {
        core_affinity::set_for_current(cores[n % cores.len()]);
    } else if n == 0 {
        println!("one core: the two sides take turns, and nothing here means much");
    }
}
