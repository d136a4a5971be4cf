//! One network device: a tap, and the rings of the guest when it has attached some.

use super::{STATUS, Shared};
use crate::{
    capture::Capture,
    memory::Memory,
    sys,
    tap::{Tap, VNET_HEADER},
};
use shmring::{
    abi::{Features, MAX_FRAGS, header, status},
    memory::{RawMemory, SharedMemory},
    tender::{Pair, RxInfo, Span, TxFrame, Violation},
};
use std::{io, ops::AddAssign, sync::atomic::Ordering};

/// Faults of a guest that are told, not only counted: it could fill a disk with them.
pub(super) const SAID: u64 = 16;
const NEEDS_CSUM: u8 = 1;
const DATA_VALID: u8 = 2;

/// What went through a tap.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Moved {
    pub(super) frames: usize,
    pub(super) bytes: usize,
}

/// Bytes of a transfer's frames on average, at least.
const LARGE: usize = 8192;

impl Moved {
    /// Whether these frames belong to a transfer.
    pub(super) fn is_transfer(self) -> bool {
        self.frames > 0 && self.bytes >= self.frames * LARGE
    }
}

/// A tap and its rings.
pub(super) struct Nic {
    pub(super) handle: u64,
    pub(super) tap: Tap,
    pub(super) rings: Option<(RawMemory, Pair<RawMemory>)>,
    /// What the guest of the rings accepted.
    features: Features,
    /// The rings were given up since the guest was last told.
    given_up: bool,
    /// The tap was deleted: it will always seem readable.
    gone: bool,
    epoch: u32,
    /// The only address that frames may come from, if only one may.
    source: Option<[u8; 6]>,
    capture: Option<Capture>,
}

/// Bytes of an Ethernet header.
const ETHERNET: usize = 14;

/// What the policy on sent frames looked at, copied so that the guest cannot change it any more.
struct Head {
    bytes: [u8; ETHERNET],
    /// Bytes that are sent from the copy.
    len: usize,
}

impl Head {
    const NONE: Head = Head { bytes: [0; ETHERNET], len: 0 };

    /// Looks at a frame that starts with `first`; `None` if it may not be sent.
    fn check(memory: &Memory, first: Span, source: Option<[u8; 6]>) -> Option<Head> {
        let Some(source) = source else { return Some(Head::NONE) };
        let mut head = Head { bytes: [0; ETHERNET], len: ETHERNET };
        let whole = first.len as usize >= ETHERNET && memory.read(first.address, &mut head.bytes);
        (whole && head.bytes[6..12] == source).then_some(head)
    }
}

/// The header in front of each frame on a tap that has it (struct virtio_net_hdr).
#[derive(Clone, Copy, Default)]
struct VnetHeader {
    flags: u8,
    gso_type: u8,
    hdr_len: u16,
    gso_size: u16,
    csum_start: u16,
    csum_offset: u16,
}

impl VnetHeader {
    fn of(frame: &TxFrame) -> VnetHeader {
        let (gso_type, gso_size) = frame.gso.unwrap_or_default();
        let (csum_start, csum_offset) = frame.csum.unwrap_or_default();
        VnetHeader {
            flags: if frame.csum.is_some() { NEEDS_CSUM } else { 0 },
            gso_type,
            hdr_len: if gso_type == 0 { 0 } else { frame.spans()[0].len as u16 },
            gso_size,
            csum_start,
            csum_offset,
        }
    }

    fn encode(self) -> [u8; VNET_HEADER] {
        let [a, b] = self.hdr_len.to_le_bytes();
        let [c, d] = self.gso_size.to_le_bytes();
        let [e, f] = self.csum_start.to_le_bytes();
        let [g, h] = self.csum_offset.to_le_bytes();
        [self.flags, self.gso_type, a, b, c, d, e, f, g, h]
    }

    fn info([flags, gso_type, _, _, size_low, size_high, ..]: [u8; VNET_HEADER]) -> RxInfo {
        RxInfo {
            csum_valid: flags & (NEEDS_CSUM | DATA_VALID) != 0,
            gso: (gso_type != 0).then_some((gso_type, u16::from_le_bytes([size_low, size_high]))),
        }
    }
}

/// I/O vectors for one frame: the vnet header's and the buffers'.
struct Vectors {
    all: [libc::iovec; MAX_FRAGS + 2],
    len: usize,
}

impl Vectors {
    fn new() -> Vectors {
        let none = libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 };
        Vectors { all: [none; MAX_FRAGS + 2], len: 0 }
    }

    fn push(&mut self, vector: libc::iovec) {
        self.all[self.len] = vector;
        self.len += 1;
    }

    fn header(&mut self, header: &mut [u8; VNET_HEADER]) {
        self.push(libc::iovec { iov_base: header.as_mut_ptr().cast(), iov_len: VNET_HEADER });
    }

    /// A frame's bytes, its first ones from the checked copy.
    fn frame(&mut self, memory: &Memory, head: &mut Head, spans: &[Span]) -> Result<(), Violation> {
        let mut skip = head.len;
        if skip > 0 {
            self.push(libc::iovec { iov_base: head.bytes.as_mut_ptr().cast(), iov_len: skip });
        }
        for span in spans {
            let mut vector = memory.iovec(*span).ok_or(Violation::Range)?;
            // Only the first has bytes in the copy, and it has all of them.
            vector.iov_base = vector.iov_base.wrapping_byte_add(skip);
            vector.iov_len -= skip;
            skip = 0;
            if vector.iov_len > 0 {
                self.push(vector);
            }
        }
        Ok(())
    }

    fn as_slice(&self) -> &[libc::iovec] {
        &self.all[..self.len]
    }
}

impl AddAssign for Moved {
    fn add_assign(&mut self, other: Moved) {
        self.frames += other.frames;
        self.bytes += other.bytes;
    }
}

impl Nic {
    pub(super) fn new(
        handle: u64,
        tap: Tap,
        source: Option<[u8; 6]>,
        capture: Option<Capture>,
    ) -> Nic {
        let (features, given_up, gone) = (Features::empty(), false, false);
        Nic { handle, tap, rings: None, features, given_up, gone, epoch: 0, source, capture }
    }

    /// Takes rings over, and tells the guest in which epoch.
    pub(super) fn open(&mut self, region: RawMemory, pair: Pair<RawMemory>, features: Features) {
        self.epoch = self.epoch.wrapping_add(1);
        self.features = features;
        self.given_up = false;
        region.store_u32(header::EPOCH, self.epoch, Ordering::Relaxed);
        self.rings = Some((region, pair));
        self.set_threaded(false);
    }

    /// Tells the guest who serves its rings, and so whether to poll.
    pub(super) fn set_threaded(&self, threaded: bool) {
        if let Some((region, _)) = &self.rings {
            let status = if threaded { status::POLLING } else { 0 };
            region.store_u32(STATUS, status, Ordering::Release);
        }
    }

    /// Gives a broken queue up.
    fn broken(&mut self, shared: &Shared, violation: Violation) {
        let counters = &shared.stats.counters;
        if counters.queue_broken.get() < SAID {
            log::error!("network device {}: {violation}; its rings are closed", self.handle);
        }
        counters.queue_broken.add(1);
        shared.stats.violations.count(violation);
        if let Some((region, _)) = self.rings.take() {
            region.store_u32(STATUS, violation.status(), Ordering::Release);
            self.given_up = true;
        }
    }

    /// Tells why a tap could not be read, if it never will be again.
    fn unreadable(&mut self, error: &io::Error) {
        let passing = [io::ErrorKind::WouldBlock, io::ErrorKind::Interrupted];
        if !self.gone && !passing.contains(&error.kind()) {
            log::error!("network device {}: its tap is gone: {error}", self.handle);
            self.gone = true;
        }
    }

    /// Whether the tap was deleted.
    pub(super) fn is_gone(&self) -> bool {
        self.gone
    }

    /// Sends up to `budget` frames of the guest.
    pub(super) fn send(&mut self, shared: &Shared, budget: usize) -> Moved {
        let Some((_, pair)) = &mut self.rings else { return Moved::default() };
        let counters = &shared.stats.counters;
        let mut bytes = 0;
        let mut count = 0;
        let result = pair.tx.refresh().and_then(|_| {
            while count < budget {
                let Some(frame) = pair.tx.next()? else { break };
                let Some(mut head) = Head::check(&shared.memory, frame.spans()[0], self.source)
                else {
                    counters.tx_filtered.add(1);
                    count += 1;
                    continue;
                };
                if let Some(capture) = &mut self.capture {
                    capture.add(&shared.memory, frame.spans().iter().copied(), frame.len);
                }
                if !send_frame(&self.tap, shared, &mut head, frame)? {
                    counters.tx_dropped.add(1);
                }
                bytes += frame.len;
                count += 1;
            }
            Ok(())
        });
        if count > 0 {
            // The guest waits for room only in a wait of its own, which looks again.
            pair.tx.release();
            counters.tx_frames.add(count as u64);
            counters.tx_bytes.add(bytes as u64);
            counters.tx_batches.add(1);
        }
        if let Err(violation) = result {
            self.broken(shared, violation);
        }
        Moved { frames: count, bytes }
    }

    /// Reads up to `budget` frames from the tap into buffers of the guest.
    pub(super) fn receive(&mut self, shared: &Shared, budget: usize) -> Moved {
        let Some((_, pair)) = &mut self.rings else { return Moved::default() };
        let counters = &shared.stats.counters;
        let mut bytes = 0;
        let mut count = 0;
        let mut taken = 0;
        let mut unread = None;
        let mut vectors = Vectors::new();
        let result = loop {
            if count == budget {
                break Ok(());
            }
            let mut header = [0; VNET_HEADER];
            vectors.len = 0;
            if self.tap.vnet {
                vectors.header(&mut header);
            }
            let buffers = match pair.rx.buffers() {
                Ok(buffers) => buffers,
                Err(violation) => break Err(violation),
            };
            let mut room = 0;
            for span in buffers {
                let Some(vector) = shared.memory.iovec(span) else { break };
                room += vector.iov_len;
                vectors.push(vector);
            }
            if room == 0 {
                break Ok(());
            }
            // SAFETY: the header lives here; the buffers are guest memory, to which no reference
            // exists, and the guest has lent them.
            let len = match unsafe { sys::readv(&self.tap, vectors.as_slice()) } {
                Ok(len) => len,
                Err(error) => {
                    unread = Some(error);
                    break Ok(());
                }
            };
            let len = len.saturating_sub(if self.tap.vnet { VNET_HEADER } else { 0 }).min(room);
            let info = VnetHeader::info(header);
            // Frames that were coalesced for earlier rings may lie in the tap.
            if len == 0 || (info.gso.is_some() && !self.features.contains(Features::RX_GSO)) {
                continue;
            }
            if let (Some(capture), Ok(buffers)) = (&mut self.capture, pair.rx.buffers()) {
                capture.add(&shared.memory, buffers, len);
            }
            let csum_valid = info.csum_valid && self.features.contains(Features::RX_CSUM);
            taken += pair.rx.commit(len, RxInfo { csum_valid, ..info });
            bytes += len;
            count += 1;
        };
        if count > 0 {
            pair.rx.publish();
            counters.rx_frames.add(count as u64);
            counters.rx_bytes.add(bytes as u64);
            counters.rx_buffers.add(taken as u64);
            counters.rx_batches.add(1);
        }
        if let Some(error) = unread {
            self.unreadable(&error);
        }
        if let Err(violation) = result {
            self.broken(shared, violation);
        }
        Moved { frames: count, bytes }
    }

    /// The device's bit when the guest has frames to take, or has lost its rings.
    pub(super) fn ready(&mut self) -> u64 {
        let pending = self.rings.as_mut().is_some_and(|(_, pair)| pair.rx.pending() == Ok(true));
        u64::from(std::mem::take(&mut self.given_up) || pending) << self.handle
    }

    /// Forgets the rings; whether there were any.
    pub(super) fn close(&mut self) -> bool {
        // Frames that come meanwhile are for whatever the guest does next.
        let _ = self.tap.set_offloads(Features::empty());
        self.rings.take().is_some()
    }

    /// Whether the guest has lent no buffer.
    pub(super) fn starved(&mut self) -> bool {
        let Some((_, pair)) = &mut self.rings else { return false };
        pair.rx.buffers().is_ok_and(|mut buffers| buffers.next().is_none())
    }

    /// Asks for kicks; a fence and another look must follow.
    pub(super) fn arm(&mut self) {
        if let Some((region, pair)) = &self.rings {
            pair.tx.arm();
            pair.rx.arm_fill();
            super::fence(region);
        }
    }

    /// Takes the wish for kicks back.
    pub(super) fn disarm(&mut self) {
        if let Some((_, pair)) = &self.rings {
            pair.tx.disarm();
            pair.rx.disarm_fill();
        }
    }

    /// Sends one frame of the hypercall mode.
    pub(super) fn write_one(&mut self, shared: &Shared, frame: Span) -> bool {
        let mut header = [0; VNET_HEADER];
        let mut vectors = Vectors::new();
        if self.tap.vnet {
            vectors.header(&mut header);
        }
        let counters = &shared.stats.counters;
        let Some(mut head) = Head::check(&shared.memory, frame, self.source) else {
            counters.tx_filtered.add(1);
            return true;
        };
        if vectors.frame(&shared.memory, &mut head, &[frame]).is_err() {
            return false;
        }
        if let Some(capture) = &mut self.capture {
            capture.add(&shared.memory, [frame], frame.len as usize);
        }
        // SAFETY: the headers live here, and the frame is guest memory.
        let sent = unsafe { sys::writev(&self.tap, vectors.as_slice()) }.is_ok();
        if sent {
            counters.tx_frames.add(1);
            counters.tx_bytes.add(frame.len.into());
            counters.tx_batches.add(1);
        } else {
            counters.tx_dropped.add(1);
        }
        sent
    }

    /// Receives one frame of the hypercall mode.
    pub(super) fn read_one(&mut self, shared: &Shared, buffer: Span) -> Option<usize> {
        let mut header = [0; VNET_HEADER];
        let mut vectors = Vectors::new();
        let head = if self.tap.vnet { VNET_HEADER } else { 0 };
        if self.tap.vnet {
            vectors.header(&mut header);
        }
        vectors.push(shared.memory.iovec(buffer)?);
        // SAFETY: the header lives here; the buffer is guest memory, to which no reference exists.
        let len = match unsafe { sys::readv(&self.tap, vectors.as_slice()) } {
            Ok(len) => len,
            Err(error) => {
                self.unreadable(&error);
                return None;
            }
        };
        let len = len.saturating_sub(head).min(buffer.len as usize);
        if let Some(capture) = &mut self.capture {
            capture.add(&shared.memory, [buffer], len);
        }
        let counters = &shared.stats.counters;
        counters.rx_frames.add(1);
        counters.rx_bytes.add(len as u64);
        counters.rx_buffers.add(1);
        counters.rx_batches.add(1);
        Some(len)
    }
}

fn send_frame(
    tap: &Tap,
    shared: &Shared,
    head: &mut Head,
    frame: &TxFrame,
) -> Result<bool, Violation> {
    let mut header = VnetHeader::of(frame).encode();
    let mut vectors = Vectors::new();
    if tap.vnet {
        vectors.header(&mut header);
    }
    vectors.frame(&shared.memory, head, frame.spans())?;
    // SAFETY: the headers live here, and the spans are guest memory.
    Ok(unsafe { sys::writev(tap, vectors.as_slice()) }.is_ok())
}
