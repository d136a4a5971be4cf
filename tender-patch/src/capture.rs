//! A capture of a network's frames: a pcap file with nanoseconds.
#![forbid(unsafe_code)]

use crate::memory::Memory;
use shmring::tender::Span;
use std::{
    fs::File,
    io::{self, BufWriter, Write},
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

const MAGIC: u32 = 0xa1b2_3c4d;
const SNAPSHOT: u32 = 0x4_0000;
const ETHERNET: u32 = 1;

/// A file that is being written. The first error ends the capture, not the service.
#[derive(Debug)]
pub(crate) struct Capture {
    file: Option<BufWriter<File>>,
    frame: Vec<u8>,
}

impl Capture {
    /// Starts a capture in a new file at `path`, or over an old one.
    pub(crate) fn create(path: &Path) -> Result<Capture, String> {
        let file = File::create(path).and_then(|file| {
            let mut file = BufWriter::with_capacity(1 << 17, file);
            let words = [MAGIC, 4 << 16 | 2, 0, 0, SNAPSHOT, ETHERNET];
            words.iter().try_for_each(|word| file.write_all(&word.to_le_bytes()))?;
            file.flush()?;
            Ok(file)
        });
        match file {
            Ok(file) => Ok(Capture { file: Some(file), frame: Vec::new() }),
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
        self.frame.clear();
        for span in spans {
            let (at, part) = (self.frame.len(), (span.len as usize).min(len - self.frame.len()));
            self.frame.resize(at + part, 0);
            memory.read(span.address, &mut self.frame[at..]);
        }
        self.write(|file, frame| {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            let len = frame.len() as u32;
            let words = [now.as_secs() as u32, now.subsec_nanos(), len, len];
            words.iter().try_for_each(|word| file.write_all(&word.to_le_bytes()))?;
            file.write_all(frame)
        });
    }

    /// Hands what was captured to the kernel.
    pub(crate) fn flush(&mut self) {
        self.write(|file, _| file.flush());
    }

    fn write(&mut self, work: impl FnOnce(&mut BufWriter<File>, &[u8]) -> io::Result<()>) {
        let Some(file) = &mut self.file else { return };
        if let Err(e) = work(file, &self.frame) {
            log::error!("the capture ends here: {e}");
            self.file = None;
        }
    }
}
