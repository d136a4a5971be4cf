//! Guest memory: every access by guest-physical address is checked here.

use shmring::{memory::RawMemory, tender::Span};
use std::{ops::Range, ptr::NonNull, sync::Arc};
use vm_memory::{Bytes, GuestAddress, GuestMemory as _, GuestMemoryMmap, GuestMemoryRegion};

/// The guest's memory, shared by the threads that serve it.
#[derive(Clone, Debug)]
pub(crate) struct Memory {
    mmap: Arc<GuestMemoryMmap>,
    size: u64,
    protected: Arc<[Range<u64>]>,
}

impl Memory {
    /// Zeroed memory of `size` bytes.
    pub(crate) fn new(size: u64) -> Result<Memory, String> {
        let mmap =
            GuestMemoryMmap::from_ranges(&[(GuestAddress(0), size as usize)]).map_err(|e| {
                format!("no {} MiB of memory for the guest: {e}; lower --mem", size >> 20)
            })?;
        Ok(Memory { mmap: Arc::new(mmap), size, protected: Arc::new([]) })
    }

    /// Takes note of what the guest must not have written on its behalf: its page tables and its
    /// text. Without this a guest could change both by reading a frame or a sector into them.
    pub(crate) fn protect(&mut self, ranges: impl IntoIterator<Item = Range<u64>>) {
        self.protected = ranges.into_iter().collect();
    }

    /// Whether the guest may have all of `range` written.
    pub(crate) fn is_writable(&self, range: &Range<u64>) -> bool {
        self.protected.iter().all(|p| range.end <= p.start || p.end <= range.start)
    }

    /// Bytes.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// Gives the memory to a virtual machine as its only slot.
    pub(crate) fn register(&self, vm: &kvm_ioctls::VmFd) -> Result<(), String> {
        let base = self.host(0, self.size).ok_or("the guest's memory is not mapped")?;
        let slot = kvm_bindings::kvm_userspace_memory_region {
            memory_size: self.size,
            userspace_addr: base.as_ptr() as u64,
            ..Default::default()
        };
        // SAFETY: the slot is exactly the mapping, which the process keeps until it ends.
        unsafe { vm.set_user_memory_region(slot) }
            .map_err(|e| format!("KVM: could not set the guest's memory: {e}"))
    }

    /// The host's address of `len` bytes at `address`, if they are all guest memory.
    fn host(&self, address: u64, len: u64) -> Option<NonNull<u8>> {
        let end = address.checked_add(len)?;
        if end > self.size {
            return None;
        }
        let region = self.mmap.iter().next()?;
        let at = region.get_host_address(vm_memory::MemoryRegionAddress(address)).ok()?;
        NonNull::new(at)
    }

    /// Writes `data` at `address`.
    pub(crate) fn write(&self, address: u64, data: &[u8]) -> Result<(), String> {
        self.mmap
            .write_slice(data, GuestAddress(address))
            .map_err(|_| format!("no guest memory at {address:#x}"))
    }

    /// Writes the words from `address` on.
    pub(crate) fn write_words(&self, address: u64, words: &[u64]) -> Result<(), String> {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        self.write(address, &bytes)
    }

    /// Reads a copy of `buf.len()` bytes at `address`; whether they are guest memory.
    pub(crate) fn read(&self, address: u64, buf: &mut [u8]) -> bool {
        self.mmap.read_slice(buf, GuestAddress(address)).is_ok()
    }

    /// Reads a little-endian word.
    pub(crate) fn read_u64(&self, address: u64) -> Option<u64> {
        let mut bytes = [0; 8];
        self.read(address, &mut bytes).then(|| u64::from_le_bytes(bytes))
    }

    /// The bytes of a span for the kernel to read or write; `None` when they are not all guest
    /// memory.
    pub(crate) fn iovec(&self, span: Span) -> Option<libc::iovec> {
        let base = self.host(span.address, span.len.into())?;
        Some(libc::iovec { iov_base: base.as_ptr().cast(), iov_len: span.len as usize })
    }

    /// Words of a region that lies in guest memory, page-aligned, where the guest may write.
    pub(crate) fn region(&self, address: u64, len: u64) -> Option<RawMemory> {
        if len == 0 || !address.is_multiple_of(4096) || !len.is_multiple_of(4096) {
            return None;
        }
        let base = self.host(address, len)?;
        if !self.is_writable(&(address..address + len)) {
            return None;
        }
        // SAFETY: the range is mapped memory that lives as long as `self.mmap`, which every owner
        // of rings keeps; it is aligned to a page, and no reference into guest memory exists.
        Some(unsafe { RawMemory::new(base, len) })
    }

    /// Takes the right to write the pages of `range` from this process, and so from the guest,
    /// whatever its page tables say. Only pages that are not [`Memory::is_writable`] may be named:
    /// nothing writes there for the guest.
    pub(crate) fn seal(&self, range: &Range<u64>) -> Result<(), String> {
        let len = range.end.saturating_sub(range.start);
        let base = self.host(range.start, len).ok_or("a segment lies outside memory")?;
        assert!(!self.is_writable(range), "what is sealed is never written");
        // SAFETY: page-aligned mapped memory, to which no reference exists and which nothing here
        // writes any more.
        let done = unsafe { libc::mprotect(base.as_ptr().cast(), len as usize, libc::PROT_READ) };
        if done == 0 {
            return Ok(());
        }
        Err(format!("could not protect the image: {}", std::io::Error::last_os_error()))
    }

    /// Makes the kernel map the pages of a range now, so that the guest's first touch costs no
    /// fault each. Best effort.
    pub(crate) fn populate(&self, address: u64, len: u64) {
        let start = address & !4095;
        let end = (address + len).next_multiple_of(4096).min(self.size);
        if let Some(base) = self.host(start, end.saturating_sub(start)) {
            // SAFETY: the range is page-aligned mapped memory of this process; populating changes
            // no content.
            unsafe {
                libc::madvise(
                    base.as_ptr().cast(),
                    (end - start) as usize,
                    libc::MADV_POPULATE_WRITE,
                )
            };
        }
    }
}
