//! Solo5's hypercalls.
#![forbid(unsafe_code)]

use crate::{block::Block, memory::Memory, rings::Nets, stats::Stats};
use shmring::{abi::MAX_FRAME, tender::Span};
use std::{
    io::Write,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// First port.
pub(crate) const BASE: u16 = 0x500;
const OK: i32 = 0;
const AGAIN: i32 = 1;
const INVALID: i32 = 2;
const UNSPECIFIED: i32 = 3;

/// What a hypercall leads to.
pub(crate) enum Next {
    Continue,
    Halt(u8),
}

/// The guest's argument struct: every field is reached by a checked address.
pub(crate) struct Argument<'a> {
    memory: &'a Memory,
    address: u64,
}

impl<'a> Argument<'a> {
    /// The `len` bytes at `address`, some of which will be answers.
    pub(crate) fn new(memory: &'a Memory, address: u32, len: u64) -> Result<Self, String> {
        check_writable(memory, address.into(), len)?;
        Ok(Argument { memory, address: address.into() })
    }

    /// The `len` bytes at `address`, which are only read.
    fn read(memory: &'a Memory, address: u32, len: u64) -> Result<Self, String> {
        check(memory, address.into(), len)?;
        Ok(Argument { memory, address: address.into() })
    }

    pub(crate) fn u64(&self, offset: u64) -> u64 {
        self.memory.read_u64(self.address + offset).unwrap_or(0)
    }

    fn u8(&self, offset: u64) -> u8 {
        let mut byte = [0];
        self.memory.read(self.address + offset, &mut byte);
        byte[0]
    }

    pub(crate) fn set_u64(&self, offset: u64, value: u64) {
        self.set_bytes(offset, &value.to_le_bytes());
    }

    pub(crate) fn set_i32(&self, offset: u64, value: i32) {
        self.set_bytes(offset, &value.to_le_bytes());
    }

    pub(crate) fn set_bytes(&self, offset: u64, bytes: &[u8]) {
        if let Err(problem) = self.memory.write(self.address + offset, bytes) {
            log::error!("{problem}");
        }
    }
}

/// As Solo5 has it, the very last byte cannot be used.
fn check(memory: &Memory, address: u64, len: u64) -> Result<(), String> {
    let fits = address.checked_add(len).is_some_and(|end| end < memory.size());
    fits.then_some(()).ok_or_else(|| format!("Invalid guest access: gpa={address:#x}, len={len}"))
}

/// What the guest may not write, it cannot have written for it.
fn check_writable(memory: &Memory, address: u64, len: u64) -> Result<(), String> {
    check(memory, address, len)?;
    let writable = memory.is_writable(&(address..address + len));
    writable
        .then_some(())
        .ok_or_else(|| format!("Invalid guest access: gpa={address:#x}, len={len} is read-only"))
}

/// What hypercalls reach.
pub(crate) struct Host {
    pub(crate) memory: Memory,
    pub(crate) blocks: Vec<(u64, Block)>,
    pub(crate) nets: Nets,
    pub(crate) stats: std::sync::Arc<Stats>,
    /// Where the host's random bytes come from.
    pub(crate) entropy: std::fs::File,
}

impl Host {
    /// Serves hypercall `number`.
    pub(crate) fn hypercall(&mut self, number: u16, address: u32) -> Result<Next, String> {
        match number {
            1 => self.walltime(address)?,
            2 => self.puts(address)?,
            3 => self.poll(address)?,
            4 => self.block(address, true)?,
            5 => self.block(address, false)?,
            6 => self.net_write(address)?,
            7 => self.net_read(address)?,
            8 => return self.halt(address),
            _ => return Err(format!("Invalid guest port access: port={:#x}", BASE + number)),
        }
        Ok(Next::Continue)
    }

    fn walltime(&self, address: u32) -> Result<(), String> {
        self.stats.reasons.count("walltime");
        let arg = Argument::new(&self.memory, address, 8)?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        arg.set_u64(0, now.as_nanos() as u64);
        Ok(())
    }

    fn puts(&self, address: u32) -> Result<(), String> {
        self.stats.reasons.count("puts");
        let arg = Argument::read(&self.memory, address, 16)?;
        let (data, len) = (arg.u64(0), arg.u64(8));
        check(&self.memory, data, len)?;
        let mut out = std::io::stdout().lock();
        let mut chunk = [0; 4096];
        for at in (0..len).step_by(chunk.len()) {
            let chunk = &mut chunk[..(len - at).min(4096) as usize];
            self.memory.read(data + at, chunk);
            // A closed standard output is no reason to stop a service.
            let _ = out.write_all(chunk);
        }
        let _ = out.flush();
        Ok(())
    }

    fn poll(&mut self, address: u32) -> Result<(), String> {
        self.stats.reasons.count("poll");
        let arg = Argument::new(&self.memory, address, 20)?;
        let ready = self.nets.poll(Duration::from_nanos(arg.u64(0)));
        arg.set_u64(8, ready);
        arg.set_i32(16, OK);
        Ok(())
    }

    fn block(&self, address: u32, write: bool) -> Result<(), String> {
        self.stats.reasons.count(if write { "block_write" } else { "block_read" });
        let arg = Argument::new(&self.memory, address, 36)?;
        let (handle, offset, data, len) = (arg.u64(0), arg.u64(8), arg.u64(16), arg.u64(24));
        let device = self.blocks.iter().find(|(h, _)| *h == handle).map(|(_, block)| block);
        let ret = match device {
            Some(block) if block.covers(offset, len) => {
                if write {
                    check(&self.memory, data, len)?;
                } else {
                    check_writable(&self.memory, data, len)?;
                }
                let mut sector = vec![0; len as usize];
                let done = if write {
                    self.memory.read(data, &mut sector) && block.write(&sector, offset)
                } else {
                    block.read(&mut sector, offset) && self.memory.write(data, &sector).is_ok()
                };
                if done { OK } else { UNSPECIFIED }
            }
            _ => INVALID,
        };
        arg.set_i32(32, ret);
        Ok(())
    }

    fn net_write(&mut self, address: u32) -> Result<(), String> {
        self.stats.reasons.count("net_write");
        let arg = Argument::new(&self.memory, address, 28)?;
        let (handle, data, len) = (arg.u64(0), arg.u64(8), arg.u64(16));
        check(&self.memory, data, len)?;
        let ret = match u32::try_from(len) {
            Ok(len) if (1..=MAX_FRAME).contains(&(len as usize)) => {
                match self.nets.write(handle, Span { address: data, len }) {
                    Some(true) => OK,
                    Some(false) => UNSPECIFIED,
                    None => INVALID,
                }
            }
            _ => INVALID,
        };
        arg.set_i32(24, ret);
        Ok(())
    }

    fn net_read(&mut self, address: u32) -> Result<(), String> {
        self.stats.reasons.count("net_read");
        let arg = Argument::new(&self.memory, address, 28)?;
        let (handle, data, len) = (arg.u64(0), arg.u64(8), arg.u64(16));
        check_writable(&self.memory, data, len)?;
        let ret = match u32::try_from(len) {
            Ok(len) if len > 0 => match self.nets.read(handle, Span { address: data, len }) {
                Some(Some(got)) => {
                    arg.set_u64(16, got as u64);
                    OK
                }
                Some(None) => AGAIN,
                None => INVALID,
            },
            _ => INVALID,
        };
        arg.set_i32(24, ret);
        Ok(())
    }

    fn halt(&self, address: u32) -> Result<Next, String> {
        self.stats.reasons.count("halt");
        let arg = Argument::read(&self.memory, address, 12)?;
        let cookie = arg.u64(0);
        if cookie != 0 {
            check(&self.memory, cookie, 512)?;
        }
        Ok(Next::Halt(arg.u8(8)))
    }
}
