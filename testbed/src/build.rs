//! The programs under test, built when they are first asked for.

use crate::{root, run};
use std::{path::PathBuf, process::Command, sync::Mutex};

/// Builds by one test at a time.
static BUILDING: Mutex<()> = Mutex::new(());

fn cargo(args: &[&str]) -> Result<(), String> {
    let _one = BUILDING.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    run(Command::new(program).args(args).current_dir(root())).map(drop)
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
    cargo(&["build", "--release", "--quiet", "--example", name])?;
    Ok(root().join("target/release/examples").join(name))
}
