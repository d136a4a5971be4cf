//! Where the image starts.

use super::boot;
use core::arch::global_asm;

// At CPL3, where our tender starts an image, there is nothing to do. At CPL0, where others do, the
// processor is first moved to CPL3 (see `cpl0`).
global_asm!(
    ".globl _start",
    ".section .text._start, \"ax\"",
    "_start:",
    "    mov %cs, %eax",
    "    test $3, %eax",
    "    jz zerohop_cpl0",
    ".globl zerohop_cpl3",
    "zerohop_cpl3:",
    "    xor %ebp, %ebp",
    "    and $-16, %rsp",
    "    call {main}",
    "    ud2",
    main = sym main,
    options(att_syntax)
);

global_asm!(
    ".globl zerohop_cpl0",
    ".section .text._start, \"ax\"",
    include_str!("cpl0.s"),
    options(att_syntax)
);

unsafe extern "Rust" {
    /// Defined by `service!` in the image.
    safe fn zerohop_service() -> i32;
}

extern "C" fn main(info: *const boot::Info) -> ! {
    // SAFETY: this is the entry, called once with the tender's boot information.
    unsafe { boot::init(info) };
    super::console::init();
    super::hypercall::halt(zerohop_service())
}
