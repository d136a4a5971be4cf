//! The end of an image that panicked.
#![forbid(unsafe_code)]

use super::{console::Console, hypercall};
use core::fmt::Write;

const CRASHED: i32 = 255;

#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    let mut console = Console::new();
    // A console cannot fail.
    let _ = writeln!(console, "{info}");
    drop(console);
    hypercall::halt(CRASHED)
}
