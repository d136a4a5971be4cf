//! Children that do not outlive whoever started them, even if that is killed.

use nix::sys::{prctl::set_pdeathsig, signal::Signal};
use std::{os::unix::process::CommandExt, process::Command};

/// Has the kernel end the child with the thread that starts it: by SIGTERM, so that a tender leaves
/// its taps as it found them.
pub(crate) fn tie(command: &mut Command) {
    // SAFETY: one system call, which allocates and locks nothing.
    unsafe {
        command.pre_exec(|| Ok(set_pdeathsig(Signal::SIGTERM)?));
    }
}
