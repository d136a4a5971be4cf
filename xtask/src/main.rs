//! The project's commands behind cargo aliases.
#![forbid(unsafe_code)]

mod demo;
mod unikernel;

use std::{
    path::PathBuf,
    process::{Command, ExitCode},
};

const HELP: &str = "\
usage: cargo unikernel NAME... | --all    Build images from examples/NAME.rs
       cargo demo                         Boot the echo service and talk to it";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    if args.iter().any(|arg| ["--help", "-h"].contains(arg)) {
        println!("{HELP}");
        return ExitCode::SUCCESS;
    }
    let result = match args[..] {
        ["unikernel", ref names @ ..] if !names.is_empty() => unikernel::build(names).map(|_| ()),
        ["demo"] => demo::run(),
        _ => Err(HELP.into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("{problem}");
            ExitCode::FAILURE
        }
    }
}

/// The workspace's folder.
fn root() -> PathBuf {
    let manifest = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().map_or_else(PathBuf::new, PathBuf::from)
}

/// Cargo, in the workspace.
fn cargo() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root());
    cargo
}
