//! Services: what an image or a process is made from. [`service!`](crate::service!) declares its
//! devices and its `main`; everything else follows from that.
#![forbid(unsafe_code)]

mod args;
mod declare;
mod macros;

pub use args::{Args, HELP};
pub(crate) use declare::{Attached, Board, run, undeclared};
pub use declare::{Attaching, Declared, Device, Kind};

use crate::rt::{Random, Rt};
use alloc::string::String;
use core::fmt::{Debug, Display};

/// What a service gets beside its devices.
#[derive(Clone)]
pub struct Env {
    rt: Rt,
    args: Args,
}

impl Env {
    /// The runtime: time and tasks.
    pub fn rt(&self) -> &Rt {
        &self.rt
    }

    /// The random generator.
    pub fn random(&self) -> Random {
        self.rt.random()
    }

    /// Arguments that the runtime does not know, in order: the service's own.
    pub fn args(&self) -> impl Iterator<Item = &str> {
        self.args.rest.iter().map(String::as_str)
    }
}

/// What a service's `main` may return.
#[diagnostic::on_unimplemented(
    message = "a service's `main` cannot return `{Self}`",
    note = "it returns `()` or `Result<(), E>`, where E implements `Debug` and `Display`"
)]
pub trait Outcome {
    /// The exit status; an error is logged.
    fn status(self) -> i32;
}

impl Outcome for () {
    fn status(self) -> i32 {
        0
    }
}

impl<E: Display + Debug> Outcome for Result<(), E> {
    fn status(self) -> i32 {
        match self {
            Ok(()) => 0,
            Err(error) => {
                log::error!("the service failed: {error}");
                1
            }
        }
    }
}

/// The level that a leading `--solo5:LEVEL` sets.
pub(crate) fn log_level<'a>(mut args: impl Iterator<Item = &'a str>) -> log::LevelFilter {
    use log::LevelFilter as L;
    match args.next().and_then(|first| first.strip_prefix("--solo5:")) {
        Some("quiet") => L::Off,
        Some("error") => L::Error,
        Some("warn") => L::Warn,
        Some("debug") => L::Debug,
        _ => L::Info,
    }
}
