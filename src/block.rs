//! Block devices: sectors of a disk.
#![forbid(unsafe_code)]

use crate::{Pool, Slice, rt::Rt};
use alloc::{boxed::Box, rc::Rc, vec};
use core::{cell::RefCell, fmt, future::poll_fn};

/// Why a block device did not do as asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// The sectors are not all on the device.
    OutOfRange,
    /// The buffer holds no whole number of sectors.
    Unaligned,
    /// The host could not read or write.
    Failed,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Error::OutOfRange => "beyond the end of the block device: check `sectors()`",
            Error::Unaligned => "no whole number of sectors: check `sector_size()`",
            Error::Failed => "the host could not read or write the block device",
        })
    }
}

impl core::error::Error for Error {}

/// What is below a block device: one sector at a time.
pub(crate) trait Sectors {
    fn sector_size(&self) -> usize;

    fn sectors(&self) -> u64;

    /// Reads a sector into a buffer of its size.
    fn read(&mut self, sector: u64, buffer: &mut [u8]) -> Result<(), Error>;

    /// Writes a sector.
    fn write(&mut self, sector: u64, data: &[u8]) -> Result<(), Error>;
}

/// A block device. Clones name the same one. Others run between sectors.
#[derive(Clone)]
pub struct Block {
    device: Rc<RefCell<Box<dyn Sectors>>>,
    rt: Rt,
    pool: Option<Pool>,
    sector_size: usize,
    sectors: u64,
}

impl Block {
    pub(crate) fn new(device: Box<dyn Sectors>, rt: Rt, pool: Option<Pool>) -> Block {
        let (sector_size, sectors) = (device.sector_size(), device.sectors());
        Block { device: Rc::new(RefCell::new(device)), rt, pool, sector_size, sectors }
    }

    /// Bytes of a sector.
    pub fn sector_size(&self) -> usize {
        self.sector_size
    }

    /// Sectors of the device.
    pub fn sectors(&self) -> u64 {
        self.sectors
    }

    /// The number of sectors in `len` bytes, when all of them from `first` on are on the device.
    fn check(&self, first: u64, len: usize) -> Result<(), Error> {
        if !len.is_multiple_of(self.sector_size) {
            return Err(Error::Unaligned);
        }
        let count = (len / self.sector_size) as u64;
        let inside = first.checked_add(count).is_some_and(|end| end <= self.sectors);
        if inside { Ok(()) } else { Err(Error::OutOfRange) }
    }

    /// Fills `buffer`, whole sectors, from sector `first` on.
    ///
    /// # Errors
    /// [`Error`]; the buffer's contents are undefined then.
    pub async fn read_into(&self, first: u64, buffer: &mut [u8]) -> Result<(), Error> {
        self.check(first, buffer.len())?;
        for (sector, part) in (first..).zip(buffer.chunks_exact_mut(self.sector_size)) {
            poll_fn(|cx| self.rt.poll_budget(cx)).await;
            self.device.borrow_mut().read(sector, part)?;
        }
        Ok(())
    }

    /// Reads `count` sectors from `first` on, into a buffer of the network's pool where they fit:
    /// a stream sends them from there.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn read(&self, first: u64, count: usize) -> Result<Slice, Error> {
        let len = count.checked_mul(self.sector_size).ok_or(Error::OutOfRange)?;
        self.check(first, len)?;
        if let Some(mut buf) = self.pool.as_ref().and_then(Pool::alloc) {
            buf.reset(0);
            if len <= buf.tailroom() {
                self.read_into(first, buf.append(len)).await?;
                return Ok(buf.freeze());
            }
        }
        let mut bytes = vec![0; len];
        self.read_into(first, &mut bytes).await?;
        Ok(bytes.into())
    }

    /// Writes `data`, whole sectors, from sector `first` on.
    ///
    /// # Errors
    /// [`Error`]; some of the sectors may have been written then.
    pub async fn write(&self, first: u64, data: &[u8]) -> Result<(), Error> {
        self.check(first, data.len())?;
        for (sector, part) in (first..).zip(data.chunks_exact(self.sector_size)) {
            poll_fn(|cx| self.rt.poll_budget(cx)).await;
            self.device.borrow_mut().write(sector, part)?;
        }
        Ok(())
    }
}
