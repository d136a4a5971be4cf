//! `zerohop-hvt`: a Solo5-hvt-compatible tender with shared-memory rings. A library only so that
//! its service of rings can be fuzzed as it is.

mod args;
mod block;
mod boot;
mod capture;
mod confine;
mod crash;
mod elf_image;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod hypercall;
mod logger;
mod machine;
mod manifest;
mod memory;
mod rings;
mod signals;
mod stats;
mod sys;
mod tap;

use std::{io::Write, process::ExitCode};

/// The program.
pub fn main() -> ExitCode {
    let config = match args::parse(std::env::args_os().skip(1)) {
        Ok(args::Command::Run(config)) => config,
        Ok(args::Command::Print(text)) => {
            // Nobody may be left to read it.
            let _ = writeln!(std::io::stdout(), "{text}");
            return ExitCode::SUCCESS;
        }
        Err(message) => return fail(&message),
    };
    logger::init();
    match machine::run(config) {
        Ok(status) => ExitCode::from(status),
        Err(message) => fail(&message),
    }
}

fn fail(message: &str) -> ExitCode {
    logger::say(message);
    ExitCode::FAILURE
}
