//! A core file: the guest's memory and registers, as gdb reads them.
#![forbid(unsafe_code)]

use crate::{confine::CREATE, memory::Memory};
use kvm_bindings::{kvm_regs, kvm_sregs};
use nix::{
    fcntl::{OFlag, openat},
    sys::stat::Mode,
};
use std::{
    fs::File,
    io::{self, Write},
    os::{
        fd::{AsRawFd, OwnedFd, RawFd},
        unix::fs::FileExt,
    },
    path::{Path, PathBuf},
};

const PAGE: usize = 4096;
const NT_PRSTATUS: u32 = 1;
/// Bytes of the kernel's `elf_prstatus`, and where its registers are.
const PRSTATUS: usize = 336;
const REGISTERS: usize = 112;

/// Where core files go.
#[derive(Debug)]
pub(crate) struct CoreDir {
    dir: OwnedFd,
    path: PathBuf,
    /// Chosen at the start: later the process cannot ask for its number.
    name: String,
}

impl AsRawFd for CoreDir {
    fn as_raw_fd(&self) -> RawFd {
        self.dir.as_raw_fd()
    }
}

impl CoreDir {
    /// Opens the directory.
    pub(crate) fn open(path: &Path) -> Result<CoreDir, String> {
        let opened = File::open(path).and_then(|dir| Ok((dir.metadata()?.is_dir(), dir)));
        match opened {
            Ok((true, dir)) => {
                let name = format!("core.zerohop-hvt.{}", std::process::id());
                Ok(CoreDir { dir: dir.into(), path: path.into(), name })
            }
            Ok((false, _)) => Err(format!("--dumpcore={}: not a directory", path.display())),
            Err(e) => Err(format!("--dumpcore={}: {e}", path.display())),
        }
    }

    /// Writes a core file; its path.
    pub(crate) fn write(
        &self,
        memory: &Memory,
        regs: &kvm_regs,
        sregs: &kvm_sregs,
    ) -> io::Result<PathBuf> {
        let file = openat(
            &self.dir,
            self.name.as_str(),
            OFlag::from_bits_retain(CREATE),
            Mode::S_IRUSR | Mode::S_IWUSR,
        )?;
        let mut file = File::from(file);
        let note = note(regs, sregs);
        let head = header(note.len() as u64, memory.size());
        file.write_all(&head)?;
        file.write_all(&note)?;
        let start = data_offset(note.len() as u64);
        file.set_len(start + memory.size())?;
        let mut page = [0; PAGE];
        for at in (0..memory.size()).step_by(PAGE) {
            // What is all zero stays a hole.
            if memory.read(at, &mut page) && page.iter().any(|b| *b != 0) {
                file.write_all_at(&page, start + at)?;
            }
        }
        Ok(self.path.join(&self.name))
    }
}

const EHDR: u64 = 64;
const PHDR: u64 = 56;

fn data_offset(note: u64) -> u64 {
    (EHDR + 2 * PHDR + note).next_multiple_of(PAGE as u64)
}

/// The ELF header with two program headers: the note, and all memory.
fn header(note: u64, memory: u64) -> Vec<u8> {
    let mut head = vec![0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let half =
        |head: &mut Vec<u8>, all: &[u16]| head.extend(all.iter().flat_map(|n| n.to_le_bytes()));
    let word =
        |head: &mut Vec<u8>, all: &[u32]| head.extend(all.iter().flat_map(|n| n.to_le_bytes()));
    let long =
        |head: &mut Vec<u8>, all: &[u64]| head.extend(all.iter().flat_map(|n| n.to_le_bytes()));
    half(&mut head, &[elf::abi::ET_CORE, elf::abi::EM_X86_64]);
    word(&mut head, &[1]);
    long(&mut head, &[0, EHDR, 0]);
    word(&mut head, &[0]);
    half(&mut head, &[EHDR as u16, PHDR as u16, 2, 0, 0, 0]);
    word(&mut head, &[elf::abi::PT_NOTE, 0]);
    long(&mut head, &[EHDR + 2 * PHDR, 0, 0, note, 0, 4]);
    word(&mut head, &[elf::abi::PT_LOAD, elf::abi::PF_R | elf::abi::PF_W | elf::abi::PF_X]);
    long(&mut head, &[data_offset(note), 0, 0, memory, memory, PAGE as u64]);
    head
}

/// The registers as the note of a process's thread.
fn note(r: &kvm_regs, s: &kvm_sregs) -> Vec<u8> {
    let mut status = [0; PRSTATUS];
    status[32..36].copy_from_slice(&1u32.to_le_bytes());
    let registers = [
        r.r15,
        r.r14,
        r.r13,
        r.r12,
        r.rbp,
        r.rbx,
        r.r11,
        r.r10,
        r.r9,
        r.r8,
        r.rax,
        r.rcx,
        r.rdx,
        r.rsi,
        r.rdi,
        u64::MAX,
        r.rip,
        s.cs.selector.into(),
        r.rflags,
        r.rsp,
        s.ss.selector.into(),
        s.fs.base,
        s.gs.base,
        s.ds.selector.into(),
        s.es.selector.into(),
        s.fs.selector.into(),
        s.gs.selector.into(),
    ];
    for (slot, value) in status[REGISTERS..].chunks_exact_mut(8).zip(registers) {
        slot.copy_from_slice(&value.to_le_bytes());
    }
    let mut note = Vec::new();
    for word in [5, PRSTATUS as u32, NT_PRSTATUS] {
        note.extend(word.to_le_bytes());
    }
    note.extend(b"CORE\0\0\0\0");
    note.extend(status);
    note
}
