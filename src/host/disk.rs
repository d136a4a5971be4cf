//! A file as a block device.
#![forbid(unsafe_code)]

use crate::block::{Error, Sectors};
use std::{fs::File, os::unix::fs::FileExt};

pub(crate) struct Disk {
    file: File,
    sector_size: usize,
    sectors: u64,
}

impl Disk {
    /// Opens the file at `path`, whose length is a whole number of sectors.
    pub(crate) fn open(path: &str, sector_size: usize) -> Result<Disk, String> {
        let file = File::options().read(true).write(true).open(path);
        let mut file = file.map_err(|e| format!("could not open {path}: {e}"))?;
        let len = std::io::Seek::seek(&mut file, std::io::SeekFrom::End(0));
        let len = len.map_err(|e| format!("could not read the size of {path}: {e}"))?;
        if len == 0 || !len.is_multiple_of(sector_size as u64) {
            return Err(format!(
                "{path} has {len} bytes, no whole number of sectors of {sector_size}; \
                 make it with `truncate -s 16M {path}`"
            ));
        }
        Ok(Disk { file, sector_size, sectors: len / sector_size as u64 })
    }
}

impl Sectors for Disk {
    fn sector_size(&self) -> usize {
        self.sector_size
    }

    fn sectors(&self) -> u64 {
        self.sectors
    }

    fn read(&mut self, sector: u64, buffer: &mut [u8]) -> Result<(), Error> {
        let at = sector * self.sector_size as u64;
        self.file.read_exact_at(buffer, at).map_err(|_| Error::Failed)
    }

    fn write(&mut self, sector: u64, data: &[u8]) -> Result<(), Error> {
        let at = sector * self.sector_size as u64;
        self.file.write_all_at(data, at).map_err(|_| Error::Failed)
    }
}
