//! Safe calls of the C service, in the terms of `shmring::tender`.

use crate::{World, ffi};
use shmring::{
    abi::{Features, offer},
    tender::{Limits, RxInfo, Span, Violation},
};
use std::{marker::PhantomData, ptr::NonNull};

/// A region that the C service has latched.
#[derive(Debug)]
pub struct Service<'a> {
    attached: NonNull<ffi::Opaque>,
    world: PhantomData<&'a World>,
}

impl std::fmt::Debug for ffi::Opaque {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Opaque")
    }
}

// SAFETY: the service keeps no state but the struct that this owns.
unsafe impl Send for Service<'_> {}

fn limits_of(limits: &Limits) -> ffi::Limits {
    ffi::Limits {
        offered: limits.offered.bits(),
        max_pairs: limits.max_pairs,
        memory: limits.memory,
    }
}

fn check(violation: i32) -> Result<(), Violation> {
    Err(match violation {
        0 => return Ok(()),
        1 => Violation::Index,
        2 => Violation::BufferId,
        3 => Violation::Range,
        4 => Violation::Chain,
        5 => Violation::FrameLength,
        6 => Violation::Flags,
        7 => Violation::Checksum,
        8 => Violation::Segmentation,
        other => panic!("violation {other} is not in the ABI"),
    })
}

impl<'a> Service<'a> {
    /// Attaches the region in the first `size` bytes of `world`; the number of the error otherwise.
    ///
    /// # Errors
    /// As `shmring::tender::AttachError`, by number.
    pub fn attach(world: &'a World, size: u64, limits: &Limits) -> Result<Service<'a>, i32> {
        for (which, size) in ffi::SIZES.into_iter().enumerate() {
            // SAFETY: it takes any number.
            assert_eq!(unsafe { ffi::shim_sizeof(which as u32) }, size);
        }
        assert!(size <= World::SIZE as u64);
        // SAFETY: it only allocates.
        let attached = NonNull::new(unsafe { ffi::shim_new() }).expect("out of memory");
        let service = Service { attached, world: PhantomData };
        // SAFETY: the region is memory that outlives the service, aligned to a page.
        let refused = unsafe {
            ffi::shmring_attach(world.base().as_ptr(), size, &limits_of(limits), attached.as_ptr())
        };
        if refused == 0 { Ok(service) } else { Err(refused) }
    }

    /// The bytes of the manifest entry.
    pub fn offer(limits: &Limits) -> [u8; offer::LEN] {
        let mut u = [0; offer::LEN];
        // SAFETY: it writes as many bytes.
        unsafe { ffi::shmring_offer(u.as_mut_ptr(), &limits_of(limits)) };
        u
    }

    /// Tells the guest that its rings are served.
    pub fn accept(&mut self, epoch: u32) {
        // SAFETY: attached.
        unsafe { ffi::shmring_accept(self.attached.as_ptr(), epoch) }
    }

    /// Tells the guest that its rings are closed.
    pub fn set_broken(&mut self, violation: i32) {
        // SAFETY: attached.
        unsafe { ffi::shmring_set_broken(self.attached.as_ptr(), violation) }
    }

    /// Features in force.
    pub fn features(&self) -> Features {
        // SAFETY: attached.
        Features::from_bits_retain(unsafe { ffi::shim_features(self.attached.as_ptr()) })
    }

    /// Queue pairs.
    pub fn pairs(&self) -> usize {
        // SAFETY: attached.
        unsafe { ffi::shim_pairs(self.attached.as_ptr()) as usize }
    }

    /// The statistics table.
    pub fn stats(&self) -> Option<(u64, u32)> {
        let mut records = 0;
        // SAFETY: attached.
        let address = unsafe { ffi::shim_stats(self.attached.as_ptr(), &mut records) };
        (address != 0).then_some((address, records))
    }

    /// The rings of a pair.
    pub fn pair(&mut self, pair: usize) -> (Tx<'_>, Rx<'_>) {
        assert!(pair < self.pairs());
        let attached = self.attached.as_ptr();
        // SAFETY: the pair exists; the two rings are disjoint and live as long as the borrow.
        let (tx, rx) =
            unsafe { (ffi::shim_tx(attached, pair as u32), ffi::shim_rx(attached, pair as u32)) };
        (Tx(tx, PhantomData), Rx(rx, PhantomData))
    }
}

impl Drop for Service<'_> {
    fn drop(&mut self) {
        // SAFETY: made by `shim_new`, and nothing borrows it any more.
        unsafe { ffi::shim_free(self.attached.as_ptr()) }
    }
}

/// A frame that the guest sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Its bytes.
    pub spans: Vec<Span>,
    /// How many.
    pub len: usize,
    /// As in `shmring::tender::TxFrame`.
    pub csum: Option<(u16, u16)>,
    /// As in `shmring::tender::TxFrame`.
    pub gso: Option<(u8, u16)>,
}

/// The consuming end of a TX ring.
#[derive(Debug)]
pub struct Tx<'a>(*mut ffi::Opaque, PhantomData<&'a mut ()>);

impl Tx<'_> {
    /// As `shmring::tender::TxRing::refresh`.
    ///
    /// # Errors
    /// The violation that breaks the queue.
    pub fn refresh(&mut self) -> Result<u32, Violation> {
        let mut ready = 0;
        // SAFETY: the ring lives, and so does `ready`.
        check(unsafe { ffi::shmring_tx_refresh(self.0, &mut ready) })?;
        Ok(ready)
    }

    /// As `shmring::tender::TxRing::next`.
    ///
    /// # Errors
    /// The violation that breaks the queue.
    #[expect(clippy::should_implement_trait, reason = "an iterator cannot fail for good")]
    pub fn next(&mut self) -> Result<Option<Frame>, Violation> {
        let mut frame = ffi::TxFrame::EMPTY;
        // SAFETY: the ring lives, and so does `frame`.
        check(unsafe { ffi::shmring_tx_next(self.0, &mut frame) })?;
        let spans = &frame.span[..frame.count as usize];
        Ok((frame.count > 0).then(|| Frame {
            spans: spans.iter().map(|s| Span { address: s.address, len: s.len }).collect(),
            len: frame.len as usize,
            csum: frame.csum.then_some((frame.csum_start, frame.csum_offset)),
            gso: (frame.gso_type != 0).then_some((frame.gso_type, frame.gso_size)),
        }))
    }

    /// As `shmring::tender::TxRing::release`.
    pub fn release(&mut self) -> bool {
        // SAFETY: the ring lives.
        unsafe { ffi::shmring_tx_release(self.0) }
    }

    /// As `shmring::tender::TxRing::arm`.
    pub fn arm(&mut self) {
        // SAFETY: the ring lives.
        unsafe { ffi::shmring_tx_arm(self.0) }
    }

    /// As `shmring::tender::TxRing::disarm`.
    pub fn disarm(&mut self) {
        // SAFETY: the ring lives.
        unsafe { ffi::shmring_tx_disarm(self.0) }
    }
}

/// The tender's ends of a FILL and an RX ring.
#[derive(Debug)]
pub struct Rx<'a>(*mut ffi::Opaque, PhantomData<&'a mut ()>);

impl Rx<'_> {
    /// As `shmring::tender::RxRing::buffers`.
    ///
    /// # Errors
    /// The violation that breaks the queue.
    pub fn buffers(&mut self) -> Result<Vec<Span>, Violation> {
        let (mut spans, mut count) = (std::ptr::null(), 0);
        // SAFETY: the ring lives; what it holds is read before anything else is called.
        let spans = unsafe {
            check(ffi::shmring_rx_buffers(self.0, &mut spans, &mut count))?;
            std::slice::from_raw_parts(spans, count as usize)
        };
        Ok(spans.iter().map(|s| Span { address: s.address, len: s.len }).collect())
    }

    /// As `shmring::tender::RxRing::commit`; false for a frame longer than its buffers.
    pub fn commit(&mut self, len: usize, info: RxInfo) -> bool {
        let (gso_type, gso_size) = info.gso.unwrap_or_default();
        let info = ffi::RxInfo { csum_valid: info.csum_valid, gso_type, gso_size };
        // SAFETY: the ring lives.
        unsafe { ffi::shmring_rx_commit(self.0, len as u32, info) }
    }

    /// As `shmring::tender::RxRing::publish`.
    pub fn publish(&mut self) -> bool {
        // SAFETY: the ring lives.
        unsafe { ffi::shmring_rx_publish(self.0) }
    }

    /// As `shmring::tender::RxRing::pending`.
    ///
    /// # Errors
    /// The violation that breaks the queue.
    pub fn pending(&mut self) -> Result<bool, Violation> {
        let mut pending = false;
        // SAFETY: the ring lives, and so does `pending`.
        check(unsafe { ffi::shmring_rx_pending(self.0, &mut pending) })?;
        Ok(pending)
    }

    /// As `shmring::tender::RxRing::arm_fill`.
    pub fn arm_fill(&mut self) {
        // SAFETY: the ring lives.
        unsafe { ffi::shmring_rx_arm_fill(self.0) }
    }

    /// As `shmring::tender::RxRing::disarm_fill`.
    pub fn disarm_fill(&mut self) {
        // SAFETY: the ring lives.
        unsafe { ffi::shmring_rx_disarm_fill(self.0) }
    }
}
