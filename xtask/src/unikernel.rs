//! Building images.

use crate::{cargo, root};
use elf::{ElfBytes, endian::LittleEndian};
use std::{fs, path::PathBuf};

const TARGET: &str = "x86_64-unknown-linux-gnu";

/// Most KiB of images whose size is kept small: see "Images" in docs/decisions.md.
const MOST: [(&str, usize); 2] = [("echo", 425), ("http", 525)];

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
    let failed = |e| format!("{}: {e}", image.display());
    let bytes = fs::read(&built).map_err(failed)?;
    let stripped = stripped(&bytes).ok_or("the linker wrote no image")?;
    fs::create_dir_all(root().join("target/unikernel"))
        // Names of functions, where the tender and gdb look for them.
        .and_then(|()| fs::write(image.with_extension("hvt.debug"), &bytes))
        .and_then(|()| fs::write(&image, &stripped))
        .map_err(failed)?;
    let size = stripped.len().div_ceil(1024);
    println!("{} ({size} KiB)", image.display());
    match MOST.iter().find(|(limited, _)| *limited == name) {
        Some((_, most)) if size > *most => Err(format!(
            "{name} is larger than {most} KiB; find what has grown with \
             `nm -S --size-sort {}.debug`",
            image.display()
        )),
        _ => Ok(image),
    }
}

/// An image without section headers and symbols: what a tender loads.
fn stripped(image: &[u8]) -> Option<Vec<u8>> {
    let elf = ElfBytes::<LittleEndian>::minimal_parse(image).ok()?;
    let header = elf.ehdr;
    let headers = header.e_phoff + u64::from(header.e_phentsize) * u64::from(header.e_phnum);
    let ends = elf.segments()?.iter().map(|segment| segment.p_offset + segment.p_filesz);
    let end = usize::try_from(ends.fold(headers, u64::max)).ok()?;
    let mut stripped = image.get(..end)?.to_vec();
    // Where section headers are, and how many.
    stripped[0x28..0x30].fill(0);
    stripped[0x3c..0x40].fill(0);
    Some(stripped)
}
