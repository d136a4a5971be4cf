//! The programs under test, built when they are first asked for.

use crate::{root, run};
use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::Mutex,
};

/// Builds by one test at a time.
static BUILDING: Mutex<()> = Mutex::new(());

fn cargo(args: &[&str]) -> Result<(), String> {
    cargo_in(&root(), args)
}

/// Runs cargo in a project outside the workspace, which shares what other such projects have built.
/// What the environment says about this build is not meant for that one.
///
/// # Errors
/// What cargo said.
pub fn cargo_in(project: &Path, args: &[&str]) -> Result<(), String> {
    let _one = BUILDING.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(program);
    command.args(args).current_dir(project);
    if project != root() {
        command.env("CARGO_TARGET_DIR", root().join("target/projects"));
    }
    run(&mut command).map(drop)
}

/// The tender.
///
/// # Errors
/// What cargo said.
pub fn tender() -> Result<PathBuf, String> {
    cargo(&["build", "--release", "--quiet", "--package", "zerohop-hvt"])?;
    Ok(root().join("target/release/zerohop-hvt"))
}

/// The image of example `name`.
///
/// # Errors
/// What cargo said.
pub fn image(name: &str) -> Result<PathBuf, String> {
    cargo(&["run", "--release", "--quiet", "--package", "xtask", "--", "unikernel", name])?;
    Ok(root().join("target/unikernel").join(format!("{name}.hvt")))
}

/// Example `name` as an ordinary program.
///
/// # Errors
/// What cargo said.
pub fn example(name: &str) -> Result<PathBuf, String> {
    cargo(&["build", "--release", "--quiet", "--package", "zerohop", "--example", name])?;
    Ok(root().join("target/release/examples").join(name))
}
