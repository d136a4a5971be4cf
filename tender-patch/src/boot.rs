//! The guest's first state: memory content, page tables and registers.
//!
//! An image that does not know our rings starts as under Solo5's tender, at CPL0 under a
//! supervisor identity map. An image that does starts at CPL3: its text is not writable, its data
//! not executable, page zero and a guard below its stack are absent, and exceptions leave through
//! stubs of the tender's.
#![forbid(unsafe_code)]

use crate::{elf_image::Image, memory::Memory};
use kvm_bindings::{kvm_dtable, kvm_regs, kvm_segment, kvm_sregs};
use std::ops::Range;

const GDT: u64 = 0x1000;
const PML4: u64 = 0x2000;
const PDPT: u64 = 0x3000;
const PD0: u64 = 0x4000;
const PT0: u64 = 0x8000;
const TSS: u64 = 0x9000;
const IDT: u64 = 0xc000;
const STUBS: u64 = 0xd000;
const EXCEPTION_STACK: u64 = 0xf000;
/// Where boot information, manifest and command line lie.
pub(crate) const BOOT_INFO: u64 = 0x10000;
const TABLES: u64 = 0x20000;
const LOW_END: u64 = 0x10_0000;
const LARGE: u64 = 2 << 20;
const PAGE: u64 = 4096;
const CMDLINE: usize = 8192;

const PRESENT: u64 = 1;
const WRITE: u64 = 2;
const USER: u64 = 4;
const HUGE: u64 = 0x80;
const NO_EXECUTE: u64 = 1 << 63;

/// The port that exception stubs write to.
pub(crate) const EXCEPTION_PORT: u16 = 0xfe;
const EXCEPTIONS: u64 = 32;
const STUB: u64 = 16;

const IO_BITMAP_AT: u64 = 104;
const TSS_LEN: u64 = IO_BITMAP_AT + 8192 + 1;
/// Ports that a guest at CPL3 may use: hvt's hypercalls and ours.
const PORTS: std::ops::RangeInclusive<u16> = 0x500..=0x61f;

/// How the vCPU starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    /// As Solo5 starts it.
    Supervisor,
    /// At CPL3 with protected memory.
    User,
}

/// Bytes of the guest's stack, which ends with memory; one absent page lies below it.
pub(crate) fn stack_size(memory: u64) -> u64 {
    (memory / 16).min(1 << 20) & !(PAGE - 1)
}

/// What a guest may not write: everything below the image, which is the tender's, and the image's
/// text and constants.
pub(crate) fn protected(image: &Image) -> impl Iterator<Item = Range<u64>> {
    let fixed = image.segments.iter().filter(|s| !s.writable).map(|s| s.pages.clone());
    std::iter::once(0..LOW_END).chain(fixed)
}

/// Copies the image in and writes everything that the guest finds at its start.
pub(crate) fn prepare(
    memory: &Memory,
    image: &Image,
    level: Level,
    tsc_hz: u64,
    args: &[String],
) -> Result<(), String> {
    for segment in &image.segments {
        memory.write(segment.address, &image.bytes[segment.file.clone()])?;
    }
    boot_info(memory, image, tsc_hz, args)?;
    match level {
        Level::Supervisor => {
            memory.write_words(GDT, &[0, KERNEL_CODE, KERNEL_DATA])?;
            supervisor_tables(memory)
        }
        Level::User => {
            memory.write_words(
                GDT,
                &[0, KERNEL_CODE, KERNEL_DATA, USER_CODE, USER_DATA, TSS_LOW, 0],
            )?;
            task_state(memory)?;
            exceptions(memory)?;
            user_tables(memory, image)
        }
    }
}

const KERNEL_CODE: u64 = 0x00af_9b00_0000_ffff;
const KERNEL_DATA: u64 = 0x00cf_9300_0000_ffff;
const USER_CODE: u64 = 0x00af_fb00_0000_ffff;
const USER_DATA: u64 = 0x00cf_f300_0000_ffff;
const TSS_LOW: u64 = 0x0000_8b00_0000_0000 | (TSS_LEN - 1) & 0xffff | (TSS & 0xff_ffff) << 16;

fn boot_info(memory: &Memory, image: &Image, tsc_hz: u64, args: &[String]) -> Result<(), String> {
    let manifest_at = BOOT_INFO + 40;
    let manifest = image.manifest.bytes();
    let cmdline_at = (manifest_at + manifest.len() as u64).next_multiple_of(8);
    let cmdline = args.join(" ");
    if cmdline.len() >= CMDLINE {
        return Err(format!("the guest's arguments are longer than {} bytes", CMDLINE - 1));
    }
    memory.write_words(
        BOOT_INFO,
        &[memory.size(), image.kernel_end, tsc_hz, cmdline_at, manifest_at],
    )?;
    memory.write(manifest_at, manifest)?;
    memory.write(cmdline_at, cmdline.as_bytes())
}

fn supervisor_tables(memory: &Memory) -> Result<(), String> {
    memory.write_words(PML4, &[PDPT | PRESENT | WRITE])?;
    for gib in 0..4 {
        memory.write_words(PDPT + gib * 8, &[(PD0 + gib * PAGE) | PRESENT | WRITE])?;
        let pages: Vec<u64> = (0..512)
            .map(|i| (gib << 30) + i * LARGE)
            .map(|at| if at < memory.size() { at | PRESENT | WRITE | HUGE } else { 0 })
            .collect();
        memory.write_words(PD0 + gib * PAGE, &pages)?;
    }
    memory.write_words(PD0, &[PT0 | PRESENT | WRITE])?;
    // The image's text is kept from being written by the host's mapping: a guest at CPL0 could
    // change these tables.
    let low: Vec<u64> = (0..512)
        .map(|i| i * PAGE)
        .map(|at| match at {
            _ if at < BOOT_INFO => 0,
            _ if at < LOW_END => at | PRESENT,
            _ => at | PRESENT | WRITE,
        })
        .collect();
    memory.write_words(PT0, &low)
}

/// What a guest at CPL3 may do with the page at `at`.
fn user_page(at: u64, image: &Image, memory: u64) -> u64 {
    let guard = memory - stack_size(memory) - PAGE;
    let supervisor = at | PRESENT | WRITE;
    match at {
        0 => 0,
        _ if at < BOOT_INFO => supervisor,
        _ if at < TABLES => at | PRESENT | USER | NO_EXECUTE,
        _ if at < LOW_END => 0,
        _ if at == guard => 0,
        _ => {
            let segment = image.segments.iter().find(|s| s.pages.contains(&at));
            match segment {
                Some(s) if s.executable => at | PRESENT | USER,
                Some(s) if !s.writable => at | PRESENT | USER | NO_EXECUTE,
                _ => at | PRESENT | WRITE | USER | NO_EXECUTE,
            }
        }
    }
}

fn user_tables(memory: &Memory, image: &Image) -> Result<(), String> {
    let size = memory.size();
    let all = PRESENT | WRITE | USER;
    memory.write_words(PML4, &[PDPT | all])?;
    let guard = size - stack_size(size) - PAGE;
    let mut next_table = TABLES;
    for gib in 0..4u64 {
        memory.write_words(PDPT + gib * 8, &[(PD0 + gib * PAGE) | all])?;
        let mut directory = [0u64; 512];
        for (i, slot) in directory.iter_mut().enumerate() {
            let at = (gib << 30) + i as u64 * LARGE;
            if at >= size {
                break;
            }
            let fine = at < image.kernel_end.next_multiple_of(LARGE)
                || (at..at + LARGE).contains(&guard)
                || at + LARGE > size;
            if !fine {
                *slot = at | all | HUGE | NO_EXECUTE;
                continue;
            }
            if next_table == LOW_END {
                return Err("the image is too large for its page tables".into());
            }
            let pages: Vec<u64> = (0..512)
                .map(|n| at + n * PAGE)
                .map(|page| if page < size { user_page(page, image, size) } else { 0 })
                .collect();
            memory.write_words(next_table, &pages)?;
            *slot = next_table | all;
            next_table += PAGE;
        }
        memory.write_words(PD0 + gib * PAGE, &directory)?;
    }
    Ok(())
}

fn task_state(memory: &Memory) -> Result<(), String> {
    memory.write(TSS + 4, &EXCEPTION_STACK.to_le_bytes())?;
    memory.write(TSS + 102, &(IO_BITMAP_AT as u16).to_le_bytes())?;
    let mut bitmap = [0xff; 8193];
    for port in PORTS {
        bitmap[usize::from(port / 8)] &= !(1 << (port % 8));
    }
    memory.write(TSS + IO_BITMAP_AT, &bitmap)
}

/// One stub a vector: pushes an error code where the processor pushes none, then the vector, and
/// leaves to the tender.
fn exceptions(memory: &Memory) -> Result<(), String> {
    for vector in 0..EXCEPTIONS {
        let at = STUBS + vector * STUB;
        let mut code = Vec::new();
        if !matches!(vector, 8 | 10..=14 | 17 | 21) {
            code.extend([0x6a, 0]);
        }
        code.extend([0x6a, vector as u8, 0xe7, EXCEPTION_PORT as u8, 0xf4]);
        memory.write(at, &code)?;
        let gate = (at & 0xffff) | 0x08 << 16 | 0x8e00 << 32 | (at >> 16 & 0xffff) << 48;
        memory.write_words(IDT + vector * 16, &[gate, at >> 32])?;
    }
    Ok(())
}

/// General registers at the start.
pub(crate) fn registers(image: &Image, memory: u64) -> kvm_regs {
    kvm_regs { rip: image.entry, rdi: BOOT_INFO, rsp: memory - 8, rflags: 2, ..Default::default() }
}

/// Segment and control registers at the start.
pub(crate) fn special_registers(level: Level, mut sregs: kvm_sregs) -> kvm_sregs {
    let table = |base, limit| kvm_dtable { base, limit, padding: [0; 3] };
    let segment = |selector: u16, type_: u8, dpl: u8, long: bool| kvm_segment {
        base: 0,
        limit: 0xffff_ffff,
        selector,
        type_,
        present: 1,
        dpl,
        db: u8::from(!long),
        s: 1,
        l: u8::from(long),
        g: 1,
        ..Default::default()
    };
    let user = level == Level::User;
    let (code, data, dpl) = if user { (0x1b, 0x23, 3) } else { (0x08, 0x10, 0) };
    sregs.cs = segment(code, 11, dpl, true);
    let data = segment(data, 3, dpl, false);
    (sregs.ds, sregs.es, sregs.fs, sregs.gs, sregs.ss) = (data, data, data, data, data);
    sregs.cr0 = 0x8001_0021;
    sregs.cr3 = PML4;
    sregs.cr4 = 0x620;
    sregs.efer = 0x500;
    let task = kvm_segment { selector: 0, type_: 11, present: 1, ..Default::default() };
    if user {
        sregs.gdt = table(GDT, 7 * 8 - 1);
        sregs.idt = table(IDT, (EXCEPTIONS * 16 - 1) as u16);
        sregs.efer |= 0x800;
        sregs.tr = kvm_segment { base: TSS, limit: TSS_LEN as u32 - 1, selector: 0x28, ..task };
    } else {
        sregs.gdt = table(GDT, 3 * 8 - 1);
        sregs.idt = table(0, 0);
        sregs.tr = kvm_segment { limit: 0, ..task };
    }
    sregs.ldt = kvm_segment { unusable: 1, type_: 2, ..Default::default() };
    sregs
}
