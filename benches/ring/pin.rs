//! Threads on cores of their own, and the table of ratios.

use std::{fs, path::PathBuf, sync::OnceLock};

/// Pins the calling thread where there is a second core. The first call is the main thread's: a
/// thread that it starts later inherits its one core, and would find no other.
pub fn to_core(n: usize) {
    static CORES: OnceLock<Vec<core_affinity::CoreId>> = OnceLock::new();
    let cores = CORES.get_or_init(|| core_affinity::get_core_ids().unwrap_or_default());
    match cores.get(n) {
        Some(core) if cores.len() > 1 => {
            core_affinity::set_for_current(*core);
        }
        _ => println!("one core: not pinned, and nothing here means much"),
    }
}

fn median(group: &str, peer: &str) -> Option<f64> {
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| "target".into(), PathBuf::from);
    let dir = target.join("criterion").join(group.replace('/', "_")).join(peer);
    let text = fs::read_to_string(dir.join("new/estimates.json")).ok()?;
    let (_, median) = text.split_once("\"median\"")?;
    let (_, point) = median.split_once("\"point_estimate\":")?;
    point.split([',', '}']).next()?.trim().parse().ok()
}

/// Prints the medians of the last run, and each as a multiple of the first peer's.
pub fn table(groups: &[&str], peers: &[&str]) {
    print!("\n{:12}", "ns (ratio)");
    peers.iter().for_each(|peer| print!("{peer:>20}"));
    println!();
    for group in groups {
        let base = median(group, peers[0]);
        print!("{group:12}");
        for peer in peers {
            match (median(group, peer), base) {
                (Some(ns), Some(base)) => print!("{:>20}", format!("{ns:.1} ({:.2})", ns / base)),
                _ => print!("{:>20}", "-"),
            }
        }
        println!();
    }
}
