//! Block devices: files of whole sectors.
#![forbid(unsafe_code)]

use std::{fs::File, os::unix::fs::FileExt, path::Path};

/// A file that serves sectors.
#[derive(Debug)]
pub(crate) struct Block {
    file: File,
    pub(crate) capacity: u64,
    pub(crate) sector: u16,
}

impl Block {
    /// Opens the file at `path`.
    pub(crate) fn open(path: &Path, sector: u16) -> Result<Block, String> {
        let shown = path.display();
        let file = File::options().read(true).write(true).open(path);
        let mut file = file.map_err(|e| format!("could not open block device {shown}: {e}"))?;
        let size = std::io::Seek::seek(&mut file, std::io::SeekFrom::End(0));
        let capacity = size.map_err(|e| format!("could not read the size of {shown}: {e}"))?;
        if capacity < u64::from(sector) || !capacity.is_multiple_of(sector.into()) {
            return Err(format!(
                "{shown}: Backing storage size must be block aligned, but {capacity} is no multiple \
                 of {sector}"
            ));
        }
        Ok(Block { file, capacity, sector })
    }

    /// Whether `len` bytes at `offset` are whole sectors of the device.
    pub(crate) fn covers(&self, offset: u64, len: u64) -> bool {
        let sector = u64::from(self.sector);
        offset.is_multiple_of(sector)
            && len == sector
            && offset.checked_add(len).is_some_and(|end| end <= self.capacity)
    }

    /// Reads whole sectors.
    pub(crate) fn read(&self, buf: &mut [u8], offset: u64) -> bool {
        self.file.read_exact_at(buf, offset).is_ok()
    }

    /// Writes whole sectors.
    pub(crate) fn write(&self, data: &[u8], offset: u64) -> bool {
        self.file.write_all_at(data, offset).is_ok()
    }
}
