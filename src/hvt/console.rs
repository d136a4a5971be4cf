//! The console, and logging to it.
#![forbid(unsafe_code)]

use super::hypercall;
use core::fmt::{self, Write};

const LINE: usize = 512;

/// A line that is written by one hypercall; what does not fit goes out in further ones.
pub(crate) struct Console {
    line: [u8; LINE],
    len: usize,
}

impl Console {
    pub(crate) const fn new() -> Console {
        Console { line: [0; LINE], len: 0 }
    }

    fn flush(&mut self) {
        if self.len > 0 {
            hypercall::puts(&self.line[..self.len]);
            self.len = 0;
        }
    }
}

impl Write for Console {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            self.line[self.len] = byte;
            self.len += 1;
            if self.len == LINE {
                self.flush();
            }
        }
        Ok(())
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        self.flush();
    }
}

/// Writes text as it is.
pub(crate) fn print(text: &str) {
    hypercall::puts(text.as_bytes());
}

struct Logger;

impl log::Log for Logger {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        let level = record.level().as_str();
        // A console cannot fail.
        let _ = writeln!(Console::new(), "{level:5} {}: {}", record.target(), record.args());
    }

    fn flush(&self) {}
}

/// Lets `log` write to the console, from the level on that a leading `--solo5:LEVEL` names.
pub(super) fn init() {
    if log::set_logger(&Logger).is_ok() {
        log::set_max_level(crate::service::log_level(super::boot::cmdline().split(' ')));
    }
}
