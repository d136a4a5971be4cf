//! What is said when the guest crashes.
#![forbid(unsafe_code)]

mod backtrace;
mod core_file;

use crate::memory::Memory;
use backtrace::Symbols;
pub(crate) use core_file::CoreDir;
use kvm_bindings::{kvm_regs, kvm_sregs};

const NAMES: [&str; 22] = [
    "divide error",
    "debug",
    "non-maskable interrupt",
    "breakpoint",
    "overflow",
    "bound range exceeded",
    "invalid opcode",
    "device not available",
    "double fault",
    "coprocessor overrun",
    "invalid TSS",
    "segment not present",
    "stack fault",
    "general protection fault",
    "page fault",
    "reserved",
    "floating-point error",
    "alignment check",
    "machine check",
    "SIMD floating-point error",
    "virtualization exception",
    "control protection exception",
];

/// What is needed to tell how a guest crashed.
#[derive(Debug)]
pub(crate) struct Reporter {
    /// The image's file, or its twin with the symbols.
    pub(crate) image: Vec<u8>,
    /// Where a core file goes, if one is wanted.
    pub(crate) core: Option<CoreDir>,
}

impl Reporter {
    /// Says where the guest was, and writes the core file.
    pub(crate) fn report(&self, memory: &Memory, regs: &kvm_regs, sregs: &kvm_sregs) -> String {
        let mut text = registers(regs);
        let symbols = Symbols::read(&self.image);
        text += &format!("\n{}", symbols.backtrace(memory, regs));
        if let Some(core) = self.core_file(memory, regs, sregs) {
            text += &format!("\n{core}");
        }
        text
    }

    /// Writes the core file if one is wanted; what came of it.
    pub(crate) fn core_file(
        &self,
        memory: &Memory,
        regs: &kvm_regs,
        sregs: &kvm_sregs,
    ) -> Option<String> {
        let text = match self.core.as_ref()?.write(memory, regs, sregs) {
            Ok(path) => format!("  core file: {}", path.display()),
            Err(e) => format!("  no core file: {e}"),
        };
        Some(text)
    }

    /// The exception that a stub left with: its frame is on the stack.
    pub(crate) fn exception(&self, memory: &Memory, regs: &kvm_regs, sregs: &kvm_sregs) -> String {
        let word =
            |n: u64| regs.rsp.checked_add(n * 8).and_then(|at| memory.read_u64(at)).unwrap_or(0);
        let (vector, error, rip, rsp) = (word(0), word(1), word(2), word(5));
        let name = NAMES.get(vector as usize).unwrap_or(&"unknown exception");
        let mut text =
            format!("guest exception: {name} (vector {vector}, error {error:#x}) at {rip:#x}");
        if vector == 14 {
            let (what, why) =
                (access(error), if error & 1 == 0 { "not mapped" } else { "not allowed" });
            text += &format!(
                "\n  {what} of address {:#x}: {why}{}",
                sregs.cr2,
                hint(sregs.cr2, memory)
            );
        }
        let at_fault = kvm_regs { rip, rsp, ..*regs };
        text + &format!("\n{}", self.report(memory, &at_fault, sregs))
    }
}

fn access(error: u64) -> &'static str {
    match (error & 16 != 0, error & 2 != 0) {
        (true, _) => "execution",
        (_, true) => "write",
        _ => "read",
    }
}

fn hint(address: u64, memory: &Memory) -> &'static str {
    let stack_end = memory.size() - crate::boot::stack_size(memory.size());
    match address {
        0..4096 => " (a null pointer)",
        _ if address >= stack_end - 4096 && address < stack_end => " (the stack has overflowed)",
        _ => "",
    }
}

/// The general registers, four a line.
fn registers(r: &kvm_regs) -> String {
    let all = [
        ("rip", r.rip),
        ("rsp", r.rsp),
        ("rbp", r.rbp),
        ("rfl", r.rflags),
        ("rax", r.rax),
        ("rbx", r.rbx),
        ("rcx", r.rcx),
        ("rdx", r.rdx),
        ("rsi", r.rsi),
        ("rdi", r.rdi),
        ("r8 ", r.r8),
        ("r9 ", r.r9),
        ("r10", r.r10),
        ("r11", r.r11),
        ("r12", r.r12),
        ("r13", r.r13),
        ("r14", r.r14),
        ("r15", r.r15),
    ];
    let lines: Vec<String> = all
        .chunks(4)
        .map(|four| four.iter().map(|(name, value)| format!("  {name} {value:016x}")).collect())
        .collect();
    lines.join("\n")
}
