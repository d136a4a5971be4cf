//! The end of an image that panicked.
use super::{console::Console, hypercall};
use core::fmt::Write;

const CRASHED: i32 = 255;

/// Where exceptions of an image that moved itself to CPL3 end: the report, and the end.
#[unsafe(no_mangle)]
extern "C" fn zerohop_exception(vector: u64, error: u64, rip: u64, address: u64, rsp: u64) -> ! {
    let name = match vector {
        0 => "divide error",
        3 => "breakpoint",
        6 => "invalid opcode",
        8 => "double fault",
        12 => "stack fault",
        13 => "general protection fault",
        14 => "page fault",
        16 | 19 => "floating-point error",
        17 => "alignment check",
        _ => "exception",
    };
    let mut console = Console::new();
    // A console cannot fail.
    let _ = writeln!(
        console,
        "{name} (vector {vector}, error {error:#x}) at {rip:#x}, address {address:#x}, stack {rsp:#x}"
    );
    drop(console);
    hypercall::halt(CRASHED)
}

#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    let mut console = Console::new();
    // A console cannot fail.
    let _ = writeln!(console, "{info}");
    drop(console);
    hypercall::halt(CRASHED)
}
