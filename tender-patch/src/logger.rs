//! Diagnostics on standard error; `ZEROHOP_LOG` sets the level.
#![forbid(unsafe_code)]

use crate::sys;
use std::{io::Write, os::fd::AsFd};

struct Stderr;

/// Writes a line to standard error, or nowhere: a closed one is no reason to stop a guest.
pub(crate) fn say(message: impl std::fmt::Display) {
    let line = format!("zerohop-hvt: {message}\n");
    let _ = std::io::stderr().write_all(line.as_bytes());
}

/// Like [`say`], but rather not at all than late: standard error may be a pipe that nobody empties,
/// and its lock with a thread that waits for that.
pub(crate) fn say_at_once(message: impl std::fmt::Display) {
    if sys::is_writable(std::io::stderr().as_fd()) {
        say(message);
    }
}

impl log::Log for Stderr {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        say(format_args!("{}: {}", record.level().as_str().to_lowercase(), record.args()));
    }

    fn flush(&self) {}
}

pub(crate) fn init() {
    let level = std::env::var("ZEROHOP_LOG").ok().and_then(|level| level.parse().ok());
    if log::set_logger(&Stderr).is_ok() {
        log::set_max_level(level.unwrap_or(log::LevelFilter::Warn));
    }
}
