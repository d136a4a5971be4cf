//! Building images.

use crate::{cargo, root};
use std::{fs, path::PathBuf};

const TARGET: &str = "x86_64-unknown-linux-gnu";

/// Builds the images of `names`, or of all examples; returns their files.
pub(crate) fn build(names: &[&str]) -> Result<Vec<PathBuf>, String> {
    let all;
    let names = if names == ["--all"] {
        all = examples()?;
        all.iter().map(String::as_str).collect()
    } else {
        names.to_vec()
    };
    names.into_iter().map(one).collect()
}

fn examples() -> Result<Vec<String>, String> {
    let dir = root().join("examples");
    let entries = fs::read_dir(&dir).map_err(|e| format!("{}: {e}", dir.display()))?;
    let mut names: Vec<String> = entries
        .filter_map(|entry| {
            let name = entry.ok()?.file_name().into_string().ok()?;
            Some(name.strip_suffix(".rs")?.to_string())
        })
        .collect();
    names.sort();
    Ok(names)
}

fn one(name: &str) -> Result<PathBuf, String> {
    if !root().join("examples").join(format!("{name}.rs")).exists() {
        let known = examples()?.join(", ");
        return Err(format!("no examples/{name}.rs; there are: {known}"));
    }
    let build_dir = root().join("target/unikernel-build");
    // The host's target with flags for this build alone: naming the target keeps the flags from
    // build scripts and macros.
    let flags = [
        "-Crelocation-model=static".to_string(),
        "-Cforce-frame-pointers=yes".into(),
        "-Clink-arg=-nostartfiles".into(),
        "-Clink-arg=-nostdlib".into(),
        "-Clink-arg=-static".into(),
        "-Clink-arg=-no-pie".into(),
        "-Clink-arg=-Wl,-z,max-page-size=4096".into(),
        "-Clink-arg=-Wl,--build-id=none".into(),
        // What zerohop's build script puts where the linker looks.
        "-Clink-arg=-Wl,-T,zerohop.ld".into(),
    ];
    let status = cargo()
        .args(["build", "--profile", "unikernel", "--package", "zerohop"])
        .args(["--no-default-features", "--example", name])
        .args(["--target", TARGET, "--target-dir"])
        .arg(&build_dir)
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"))
        .status()
        .map_err(|e| format!("could not run cargo: {e}"))?;
    if !status.success() {
        return Err(format!("could not build {name} as a unikernel"));
    }
    let built = build_dir.join(TARGET).join("unikernel/examples").join(name);
    let image = root().join("target/unikernel").join(format!("{name}.hvt"));
    let copied = fs::create_dir_all(root().join("target/unikernel"))
        .and_then(|()| fs::copy(&built, &image))
        .map_err(|e| format!("{}: {e}", image.display()))?;
    println!("{} ({} KiB)", image.display(), copied.div_ceil(1024));
    Ok(image)
}
