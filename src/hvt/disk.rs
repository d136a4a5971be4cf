//! A block device of the tender's.
#![forbid(unsafe_code)]

use super::hypercall::{self, Status};
use crate::block::{Error, Sectors};

pub(crate) struct Disk {
    handle: u64,
    sector_size: usize,
    sectors: u64,
}

impl Disk {
    pub(crate) fn new(handle: u64, capacity: u64, sector_size: u16) -> Disk {
        let sectors = capacity / u64::from(sector_size.max(1));
        Disk { handle, sector_size: sector_size.max(1).into(), sectors }
    }

    fn offset(&self, sector: u64) -> Result<u64, Error> {
        sector.checked_mul(self.sector_size as u64).ok_or(Error::OutOfRange)
    }
}

fn result(status: Status) -> Result<(), Error> {
    if status == Status::Ok { Ok(()) } else { Err(Error::Failed) }
}

impl Sectors for Disk {
    fn sector_size(&self) -> usize {
        self.sector_size
    }

    fn sectors(&self) -> u64 {
        self.sectors
    }

    fn read(&mut self, sector: u64, buffer: &mut [u8]) -> Result<(), Error> {
        result(hypercall::block_read(self.handle, self.offset(sector)?, buffer))
    }

    fn write(&mut self, sector: u64, data: &[u8]) -> Result<(), Error> {
        result(hypercall::block_write(self.handle, self.offset(sector)?, data))
    }
}
