//! A capture of a network's frames: a pcap file with nanoseconds.
#![forbid(unsafe_code)]

use crate::memory::Memory;
use shmring::tender::Span;
use std::{
    fs::File,
    io::Write,
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

const MAGIC: u32 = 0xa1b2_3c4d;
const SNAPSHOT: u32 = 0x4_0000;
const ETHERNET: u32 = 1;

/// Bytes of what stands before each frame.
const HEADER: usize = 16;

/// A file that is being written. The first error ends the capture, not the service.
///
/// A frame is in the file before anybody has it: whenever the tender ends, none is missing.
#[derive(Debug)]
pub(crate) struct Capture {
    file: Option<File>,
    record: Vec<u8>,
}

impl Capture {
    /// Starts a capture in a new file at `path`, or over an old one.
    pub(crate) fn create(path: &Path) -> Result<Capture, String> {
        let words = [MAGIC, 4 << 16 | 2, 0, 0, SNAPSHOT, ETHERNET];
        let file = File::create(path).and_then(|mut file| {
            file.write_all(&words.map(u32::to_le_bytes).concat())?;
            Ok(file)
        });
        match file {
            Ok(file) => Ok(Capture { file: Some(file), record: Vec::new() }),
            Err(e) => Err(format!("could not write the capture {}: {e}", path.display())),
        }
    }

    /// Adds the frame that the first `len` bytes of `spans` make.
    pub(crate) fn add(
        &mut self,
        memory: &Memory,
        spans: impl IntoIterator<Item = Span>,
        len: usize,
    ) {
        let Some(file) = &mut self.file else { return };
        self.record.clear();
        self.record.resize(HEADER, 0);
        for span in spans {
            let at = self.record.len();
            let part = (span.len as usize).min(HEADER + len - at);
            self.record.resize(at + part, 0);
            memory.read(span.address, &mut self.record[at..]);
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let len = (self.record.len() - HEADER) as u32;
        let words = [now.as_secs() as u32, now.subsec_nanos(), len, len];
        self.record[..HEADER].copy_from_slice(&words.map(u32::to_le_bytes).concat());
        if let Err(e) = file.write_all(&self.record) {
            log::error!("the capture ends here: {e}");
            self.file = None;
        }
    }
}
