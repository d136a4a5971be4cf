//! Network namespaces, taps and guests for tests, demos and benches.
#![deny(unsafe_code)]

#[expect(unsafe_code, reason = "an allocator")]
mod allocations;
mod build;
mod capture;
mod guest;
#[expect(unsafe_code, reason = "between fork and exec")]
mod leash;
mod network;
mod relay;
pub mod turns;

pub use allocations::{Allocations, Counting};
pub use build::{cargo_in, example, image, tender};
pub use capture::Capture;
pub use guest::{Ended, Guest, boot};
pub use network::Network;
pub use relay::{Counts, Impairment, Relay};

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

/// How long anything may take before it counts as broken.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// The workspace's folder.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map_or_else(PathBuf::new, Path::to_path_buf)
}

fn usable(device: &str) -> Result<(), String> {
    let file = File::options().read(true).write(true).open(device);
    file.map(drop).map_err(|e| format!("{device}: {e}"))
}

/// Whether virtual machines can run here.
///
/// # Errors
/// The reason why not.
pub fn kvm() -> Result<(), String> {
    let machine = kvm_ioctls::Kvm::new().and_then(|kvm| kvm.create_vm());
    machine.map(drop).map_err(|e| format!("/dev/kvm: {e}"))
}

/// Whether taps can be made here, in namespaces of our own.
///
/// # Errors
/// The reason why not.
pub fn taps() -> Result<(), String> {
    usable("/dev/net/tun")?;
    Network::probe()
}

/// Whether the program `name` is installed.
///
/// # Errors
/// That it is missing.
pub fn tool(name: &str) -> Result<(), String> {
    let found = std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|dir| dir.join(name).is_file()));
    if found { Ok(()) } else { Err(format!("`{name}` is not installed")) }
}

/// Leaves the calling test when something that it needs is missing, and says so.
#[macro_export]
macro_rules! need {
    ($($check:expr),+ $(,)?) => {
        $(if let Err(why) = $check {
            eprintln!("skipped: {why}");
            return;
        })+
    };
}

fn run(command: &mut Command) -> Result<String, String> {
    let shown = format!("{command:?}");
    let output = command.output().map_err(|e| format!("{shown}: {e}"))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        let why = String::from_utf8_lossy(&output.stderr);
        Err(format!("{shown}: {}: {}", output.status, why.trim()))
    }
}
