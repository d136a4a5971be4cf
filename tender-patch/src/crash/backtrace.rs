//! Who called whom, by frame pointers, with the names of the image's symbol table.
#![forbid(unsafe_code)]

use crate::memory::Memory;
use elf::{ElfBytes, abi::STT_FUNC, endian::LittleEndian};
use kvm_bindings::kvm_regs;
use std::{
    fmt::{self, Write as _},
    ops::Range,
};

/// Calls that are shown at most.
const DEPTH: usize = 64;

/// Characters of a name that are shown at most: a few bytes of an image can stand for a megabyte.
const NAME: usize = 200;

/// Functions of an image by address.
#[derive(Debug, Default)]
pub(crate) struct Symbols<'a> {
    functions: Vec<(Range<u64>, &'a str)>,
    text: Range<u64>,
}

/// Text that ends after [`NAME`] characters, and moves no cursor.
struct Name(String);

impl fmt::Write for Name {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = NAME - self.0.chars().count();
        self.0.extend(text.chars().take(room).map(|c| if c.is_control() { '?' } else { c }));
        if text.chars().nth(room).is_some() { Err(fmt::Error) } else { Ok(()) }
    }
}

fn demangled(name: &str) -> String {
    let mut short = Name(String::new());
    // An error says that it is cut.
    let _ = write!(short, "{:#}", rustc_demangle::demangle(name));
    short.0
}

impl<'a> Symbols<'a> {
    /// Reads the symbol table of an image, if it has one.
    pub(crate) fn read(image: &'a [u8]) -> Symbols<'a> {
        let Ok(file) = ElfBytes::<LittleEndian>::minimal_parse(image) else {
            return Symbols::default();
        };
        let mut functions = Vec::new();
        if let Ok(Some((symbols, names))) = file.symbol_table() {
            for symbol in symbols.iter().filter(|s| s.st_symtype() == STT_FUNC) {
                let end = symbol.st_value.saturating_add(symbol.st_size.max(1));
                let name = names.get(symbol.st_name as usize).unwrap_or("?");
                functions.push((symbol.st_value..end, name));
            }
        }
        functions.sort_by_key(|(range, _)| range.start);
        let executable = |p: &elf::segment::ProgramHeader| p.p_flags & elf::abi::PF_X != 0;
        let text = file.segments().and_then(|all| all.iter().find(executable));
        let text = text.map_or(0..0, |p| p.p_vaddr..p.p_vaddr.saturating_add(p.p_memsz));
        Symbols { functions, text }
    }

    /// The function around `address`, and how far into it that is.
    fn name(&self, address: u64) -> Option<(&'a str, u64)> {
        let after = self.functions.partition_point(|(range, _)| range.start <= address);
        let (range, name) = self.functions.get(after.checked_sub(1)?)?;
        range.contains(&address).then(|| (*name, address - range.start))
    }

    /// The calls that led to where the registers are, the innermost first, a line each.
    pub(crate) fn backtrace(&self, memory: &Memory, regs: &kvm_regs) -> String {
        let word = |at: u64| memory.read_u64(at).filter(|caller| self.text.contains(caller));
        let mut text = format!("  backtrace:{}", self.line(0, regs.rip, regs.rip));
        let mut depth = 1;
        // A function that has not begun has no frame yet, nor has a call to nowhere.
        let begun = self.name(regs.rip).map(|(_, offset)| offset > 0);
        if !begun.unwrap_or(self.text.contains(&regs.rip))
            && let Some(caller) = word(regs.rsp)
        {
            // A return address lies behind its call, perhaps in the next function.
            text += &self.line(depth, caller, caller - 1);
            depth += 1;
        }
        let mut frame = regs.rbp;
        while depth < DEPTH {
            let Some(caller) = frame.checked_add(8).and_then(word) else { break };
            text += &self.line(depth, caller, caller - 1);
            // Frames lie one above the other.
            match memory.read_u64(frame).filter(|above| *above > frame) {
                Some(above) => frame = above,
                None => break,
            }
            depth += 1;
        }
        text
    }

    fn line(&self, depth: usize, address: u64, at: u64) -> String {
        let name = self.name(at).map(|(name, offset)| format!(" {}+{offset:#x}", demangled(name)));
        format!("\n  {depth:>4} {address:#010x}{}", name.unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_stands_for_a_megabyte_is_cut() {
        // Each argument is a tuple of the one before it, nine times: `B` and a place in base 62.
        let place = |n: usize| match n.checked_sub(1) {
            None => String::from("B_"),
            Some(n) if n < 36 => format!("B{}_", char::from_digit(n as u32, 36).unwrap()),
            Some(n) => format!("B{}{}_", n / 62, char::from(b'A' + (n % 62 - 36) as u8)),
        };
        let mut bomb = String::from("_RINvC1a1bTuuE");
        let mut last = 8;
        for _ in 0..3 {
            let next = bomb.len() - 2;
            bomb += &format!("T{}E", place(last).repeat(9));
            last = next;
        }
        bomb += "E";
        assert!(format!("{:#}", rustc_demangle::demangle(&bomb)).len() > 5 * NAME, "no bomb");
        for name in [bomb.as_str(), &"x".repeat(1 << 20), "_RNvC1a1b", "\x1b[2J"] {
            let shown = demangled(name);
            assert!(shown.chars().count() <= NAME && !shown.contains('\x1b'), "{shown}");
        }
        assert_eq!(demangled("_RNvC1a1b"), "a::b");
    }
}
