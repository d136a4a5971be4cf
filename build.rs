//! Hands the linker script of images to whoever links one: it is found as `zerohop.ld`.

use std::{env, error::Error, fs, path::PathBuf};

const SCRIPT: &str = "src/hvt/image.ld";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed={SCRIPT}");
    if env::var_os("CARGO_FEATURE_HOST").is_some() {
        return Ok(());
    }
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("no OUT_DIR")?);
    fs::copy(SCRIPT, out.join("zerohop.ld"))?;
    println!("cargo::rustc-link-search=native={}", out.display());
    Ok(())
}
