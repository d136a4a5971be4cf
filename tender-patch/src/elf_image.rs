//! Reading an image: segments and notes, with the checks of Solo5's ABI.
#![forbid(unsafe_code)]

use crate::manifest::Manifest;
use elf::{ElfBytes, abi, endian::LittleEndian};
use std::{ops::Range, path::Path};

const NOTE_ABI: u32 = 0x3149_4241;
const NOTE_MANIFEST: u32 = 0x3154_464d;
const LOAD_MIN: u64 = 0x10_0000;
const PAGE: u64 = 4096;

/// A segment to load.
#[derive(Clone, Debug)]
pub(crate) struct Segment {
    /// Guest-physical pages, rounded out.
    pub(crate) pages: Range<u64>,
    pub(crate) address: u64,
    pub(crate) file: Range<usize>,
    pub(crate) writable: bool,
    pub(crate) executable: bool,
}

/// A checked image.
#[derive(Debug)]
pub(crate) struct Image {
    pub(crate) bytes: Vec<u8>,
    pub(crate) entry: u64,
    pub(crate) segments: Vec<Segment>,
    pub(crate) kernel_end: u64,
    pub(crate) manifest: Manifest,
}

impl Image {
    /// The file whose symbols name this image's functions: `IMAGE.debug`, if there is one and its
    /// code is the same, or else the image itself.
    pub(crate) fn named(self, path: &Path) -> Vec<u8> {
        let mut debug = path.as_os_str().to_owned();
        debug.push(".debug");
        let Ok(file) = std::fs::read(&debug) else { return self.bytes };
        if code(&file).is_some_and(|found| Some(found) == code(&self.bytes)) {
            return file;
        }
        let debug = Path::new(&debug).display();
        log::warn!("{debug} is not of this image; a crash report will have no names");
        self.bytes
    }
}

/// The entry, and the instructions from there to the end of the segment.
fn code(file: &[u8]) -> Option<(u64, &[u8])> {
    let elf = ElfBytes::<LittleEndian>::minimal_parse(file).ok()?;
    let entry = elf.ehdr.e_entry;
    let program =
        elf.segments()?.iter().find(|p| p.p_type == abi::PT_LOAD && p.p_flags & abi::PF_X != 0)?;
    let segment = elf.segment_data(&program).ok()?;
    let from = usize::try_from(entry.checked_sub(program.p_vaddr)?).ok()?;
    Some((entry, segment.get(from..)?))
}

/// Reads and checks the image at `path` for a guest of `memory` bytes.
pub(crate) fn load(path: &Path, memory: u64) -> Result<Image, String> {
    let shown = path.display();
    let bytes = std::fs::read(path).map_err(|e| format!("{shown}: could not read it: {e}"))?;
    parse(bytes, memory).map_err(|problem| format!("{shown}: {problem}"))
}

fn parse(bytes: Vec<u8>, memory: u64) -> Result<Image, String> {
    if !bytes.starts_with(b"\x7fELF") {
        return Err("not an ELF image; build one with `cargo unikernel NAME`".into());
    }
    let file = ElfBytes::<LittleEndian>::minimal_parse(&bytes)
        .map_err(|e| format!("the image is cut short or malformed: {e}"))?;
    let header = &file.ehdr;
    if header.e_type != abi::ET_EXEC || header.e_machine != abi::EM_X86_64 {
        return Err("not a static x86_64 executable".into());
    }
    let programs = file.segments().ok_or("no program headers")?;
    let mut segments: Vec<Segment> = Vec::new();
    let (mut version, mut manifest) = (None, None);
    let mut kernel_end = 0;
    for program in programs.iter() {
        match program.p_type {
            abi::PT_LOAD if program.p_filesz > 0 => {
                let segment = segment(&program, bytes.len(), memory)?;
                if segments.last().is_some_and(|last| last.pages.end > segment.pages.start) {
                    return Err("its segments overlap or do not ascend".into());
                }
                kernel_end = segment.pages.end;
                segments.push(segment);
            }
            abi::PT_NOTE => match note(&bytes, program.p_offset, program.p_filesz)? {
                Some((NOTE_ABI, desc)) => version = Some(abi_version(desc)?),
                Some((NOTE_MANIFEST, desc)) => manifest = Some(Manifest::parse(desc)?),
                _ => {}
            },
            _ => {}
        }
    }
    match version {
        None => return Err("no Solo5 ABI note; is it a Solo5 image?".into()),
        Some((1, 2)) => {}
        Some((1, version)) => {
            return Err(format!("ABI version {version}, but this tender has version 2"));
        }
        Some((target, _)) => {
            return Err(format!("made for Solo5 target {target}, not for hvt (1)"));
        }
    }
    let entry = header.e_entry;
    if !segments.iter().any(|s| s.executable && s.pages.contains(&entry)) {
        return Err("its entry point is not in an executable segment".into());
    }
    let manifest = manifest.ok_or("no Solo5 manifest note")?;
    Ok(Image { entry, segments, kernel_end, manifest, bytes })
}

fn segment(
    program: &elf::segment::ProgramHeader,
    file_len: usize,
    memory: u64,
) -> Result<Segment, String> {
    let broken = "a segment is malformed";
    let (writable, executable) =
        (program.p_flags & abi::PF_W != 0, program.p_flags & abi::PF_X != 0);
    if writable && executable {
        return Err("a segment is both writable and executable".into());
    }
    let align = program.p_align.max(1);
    if !align.is_power_of_two() || program.p_filesz > program.p_memsz {
        return Err(broken.into());
    }
    let end = program.p_vaddr.checked_add(program.p_memsz).ok_or(broken)?;
    let align = align.max(PAGE);
    let pages =
        program.p_vaddr & !(align - 1)..end.checked_next_multiple_of(align).ok_or(broken)?;
    if pages.start < LOAD_MIN {
        return Err(format!("a segment lies below {LOAD_MIN:#x}"));
    }
    if pages.end >= memory {
        return Err(format!(
            "needs {} MiB of memory at least; raise --mem",
            pages.end.div_ceil(1 << 20) + 1
        ));
    }
    let file_end = program.p_offset.checked_add(program.p_filesz).ok_or(broken)?;
    if file_end > file_len as u64 {
        return Err("the file is cut short".into());
    }
    let file = program.p_offset as usize..file_end as usize;
    Ok(Segment { pages, address: program.p_vaddr, file, writable, executable })
}

/// The first note of a segment, if it is Solo5's: its type and descriptor.
fn note(bytes: &[u8], offset: u64, len: u64) -> Result<Option<(u32, &[u8])>, String> {
    let end = offset.checked_add(len).filter(|end| *end <= bytes.len() as u64);
    let end = end.ok_or("a note lies outside the file")?;
    let note = &bytes[offset as usize..end as usize];
    let word =
        |at: usize| note.get(at..at + 4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]));
    let (Some(6), Some(len), Some(kind)) = (word(0), word(4), word(8)) else { return Ok(None) };
    if note.get(12..18) != Some(b"Solo5\0") {
        return Ok(None);
    }
    let desc = note.get(20..).and_then(|rest| rest.get(..len as usize));
    Ok(Some((kind, desc.ok_or("a Solo5 note is cut short")?)))
}

fn abi_version(desc: &[u8]) -> Result<(u32, u32), String> {
    let word =
        |at: usize| desc.get(at..at + 4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]));
    Ok((word(0).ok_or("a Solo5 note is cut short")?, word(4).ok_or("a Solo5 note is cut short")?))
}
