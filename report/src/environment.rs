//! Where the numbers come from.

use std::{collections::BTreeMap, fs, process::Command};

fn read(path: &str) -> Option<String> {
    Some(fs::read_to_string(path).ok()?.trim().to_string())
}

fn cpu() -> Option<String> {
    let text = read("/proc/cpuinfo")?;
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().into())
}

fn said(program: &str, args: &[&str]) -> Option<String> {
    let output = Command::new(program).args(args).current_dir(testbed::root()).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_string();
    (output.status.success() && !text.is_empty()).then_some(text)
}

/// The machine, its system and its load, by name.
pub(crate) fn look() -> BTreeMap<String, String> {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kvm = testbed::kvm().map_or_else(|why| why, |()| "usable".into());
    let found = [
        ("Processor", cpu()),
        ("Cores", Some(cores.to_string())),
        ("Kernel", read("/proc/sys/kernel/osrelease")),
        ("/dev/kvm", Some(kvm)),
        ("Load average at the start", read("/proc/loadavg")),
        ("Pinning", Some("none: threads run where the scheduler puts them".into())),
        ("Congestion control", Some("CUBIC on both sides".into())),
        ("Revision", said("git", &["describe", "--always", "--dirty"])),
        ("Compiler", said("rustc", &["--version"])),
        ("Date", said("date", &["-u", "+%Y-%m-%d %H:%M UTC"])),
    ];
    found.into_iter().filter_map(|(name, value)| Some((name.into(), value?))).collect()
}
