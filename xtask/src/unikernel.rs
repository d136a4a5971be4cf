//! Building images.

use crate::{cargo, root};
use elf::{ElfBytes, endian::LittleEndian};
use std::{fs, ops::Range, path::PathBuf};

const TARGET: &str = "x86_64-unknown-linux-gnu";

/// Fields of ELF's header for 64 bits: where section headers are, and how large and how many.
const SECTION_HEADERS: Range<usize> = 0x28..0x30;
const SECTION_COUNTS: Range<usize> = 0x3a..0x40;

/// Most KiB of images whose size is kept small: see "Images" in docs/decisions.md.
const MOST: [(&str, usize); 2] = [("echo", 305), ("http", 395)];

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
        // What is marked to be inlined is inlined only when it is small: the standard library marks
        // nearly everything. Hot functions say `inline(always)`.
        "-Cllvm-args=-inline-threshold=15 -inlinehint-threshold=15 ".into(),
        "-Clink-arg=-nostartfiles".into(),
        "-Clink-arg=-nostdlib".into(),
        "-Clink-arg=-static".into(),
        "-Clink-arg=-no-pie".into(),
        // Segments side by side: a tender reads them to their pages and maps none, so the file
        // needs no pages.
        "-Clink-arg=-Wl,-z,max-page-size=16".into(),
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

/// An image without section headers and symbols, which no tender reads.
fn stripped(image: &[u8]) -> Option<Vec<u8>> {
    let elf = ElfBytes::<LittleEndian>::minimal_parse(image).ok()?;
    let ends = elf.segments()?.iter().map(|program| program.p_offset + program.p_filesz);
    let mut stripped = image.get(..usize::try_from(ends.max()?).ok()?)?.to_vec();
    stripped.get_mut(SECTION_HEADERS)?.fill(0);
    stripped.get_mut(SECTION_COUNTS)?.fill(0);
    Some(stripped)
}
