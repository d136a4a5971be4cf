//! Frames from the guest.

use super::{Classes, Span, Violation};
use crate::{
    abi::{Desc, Features, Flags, MAX_FRAGS, MAX_FRAME, gso},
    memory::SharedMemory,
    ring::{BadIndex, Consumer, Layout},
};

/// Shortest frame: an Ethernet header.
const MIN_FRAME: usize = 14;

/// [`TxFrame::csum`] and [`TxFrame::gso`].
type Offloads = (Option<(u16, u16)>, Option<(u8, u16)>);

/// A checked frame to send.
#[derive(Clone, Debug)]
pub struct TxFrame {
    spans: [Span; MAX_FRAGS],
    count: usize,
    /// Bytes of the frame.
    pub len: usize,
    /// Where summing starts and, from there, where the sum goes.
    pub csum: Option<(u16, u16)>,
    /// One of [`gso`] and the payload bytes of each segment.
    pub gso: Option<(u8, u16)>,
}

impl TxFrame {
    const EMPTY: TxFrame =
        TxFrame { spans: [Span::EMPTY; MAX_FRAGS], count: 0, len: 0, csum: None, gso: None };

    /// The frame's bytes, in order. The first span holds all headers of a frame with offloads.
    #[inline]
    pub fn spans(&self) -> &[Span] {
        &self.spans[..self.count]
    }
}

/// The consuming end of a TX ring.
#[derive(Debug)]
pub struct TxRing<M: SharedMemory> {
    ring: Consumer<M::Ring>,
    classes: Classes,
    features: Features,
    frame: TxFrame,
    broken: Option<Violation>,
}

impl<M: SharedMemory> TxRing<M> {
    pub(super) fn new(
        memory: &M,
        layout: Layout,
        classes: Classes,
        features: Features,
    ) -> Result<Self, BadIndex> {
        let ring = Consumer::new(memory, layout)?;
        Ok(TxRing { ring, classes, features, frame: TxFrame::EMPTY, broken: None })
    }

    /// Why the queue is broken, if it is.
    pub fn broken(&self) -> Option<Violation> {
        self.broken
    }

    fn fail<T>(&mut self, violation: Violation) -> Result<T, Violation> {
        Err(*self.broken.insert(violation))
    }

    /// Looks for frames; returns the descriptors that are ready.
    ///
    /// # Errors
    /// The violation that breaks the queue or broke it before.
    #[inline]
    pub fn refresh(&mut self) -> Result<u32, Violation> {
        if let Some(violation) = self.broken {
            return Err(violation);
        }
        match self.ring.refresh() {
            Ok(ready) => Ok(ready),
            Err(_) => self.fail(Violation::Index),
        }
    }

    /// Takes the next frame that is ready; the guest may not reuse its bytes before
    /// [`TxRing::release`].
    ///
    /// # Errors
    /// The violation that breaks the queue or broke it before.
    #[expect(clippy::should_implement_trait, reason = "the frame is lent, not given")]
    #[inline]
    pub fn next(&mut self) -> Result<Option<&TxFrame>, Violation> {
        if let Some(violation) = self.broken {
            return Err(violation);
        }
        let ready = self.ring.ready();
        if ready == 0 {
            return Ok(None);
        }
        match self.walk(ready) {
            Ok(()) => {
                self.ring.take(self.frame.count as u32);
                Ok(Some(&self.frame))
            }
            Err(violation) => self.fail(violation),
        }
    }

    fn walk(&mut self, ready: u32) -> Result<(), Violation> {
        let first = Desc::decode(self.ring.peek(0)).map_err(|_| Violation::Flags)?;
        let frame = &mut self.frame;
        (frame.count, frame.len) = (0, 0);
        let mut desc = first;
        loop {
            let span = self.classes.resolve(&desc, true)?;
            frame.spans[frame.count] = span;
            frame.count += 1;
            frame.len += span.len as usize;
            if !desc.flags.contains(Flags::NEXT) {
                break;
            }
            if frame.count == MAX_FRAGS || frame.count as u32 == ready {
                return Err(Violation::Chain);
            }
            desc =
                Desc::decode(self.ring.peek(frame.count as u32)).map_err(|_| Violation::Flags)?;
            if desc.has_offloads() {
                return Err(Violation::Flags);
            }
        }
        if !(MIN_FRAME..=MAX_FRAME).contains(&frame.len) {
            return Err(Violation::FrameLength);
        }
        (frame.csum, frame.gso) = offloads(self.features, &first)?;
        Ok(())
    }

    /// Gives the bytes of all frames taken back to a guest that looks by itself: without a fence.
    #[inline]
    pub fn release(&mut self) {
        self.ring.release();
    }

    /// Likewise; whether the guest waits for that and is to be woken.
    #[must_use]
    #[inline]
    pub fn release_notify(&mut self) -> bool {
        self.ring.release_notify()
    }

    /// Asks to be kicked by the next frame; a fence and [`TxRing::refresh`] before sleeping.
    pub fn arm(&self) {
        self.ring.arm();
    }

    /// Takes back [`TxRing::arm`].
    pub fn disarm(&self) {
        self.ring.disarm();
    }
}

fn offloads(features: Features, first: &Desc) -> Result<Offloads, Violation> {
    let (mut csum, mut segments) = (None, None);
    if first.flags.contains(Flags::DATA_VALID) {
        return Err(Violation::Flags);
    }
    if first.flags.contains(Flags::NEEDS_CSUM) {
        let end = u32::from(first.csum_start) + u32::from(first.csum_offset) + 2;
        if !features.contains(Features::TX_CSUM) || end > u32::from(first.len) {
            return Err(Violation::Checksum);
        }
        csum = Some((first.csum_start, first.csum_offset.into()));
    }
    if first.gso_type != gso::NONE {
        let feature = match gso::kind(first.gso_type) {
            Some(gso::TCPV4) => Features::TSO4,
            Some(gso::TCPV6) => Features::TSO6,
            Some(gso::UDP_L4) => Features::USO,
            _ => return Err(Violation::Segmentation),
        };
        if !features.contains(feature) || first.gso_size == 0 || csum.is_none() {
            return Err(Violation::Segmentation);
        }
        segments = Some((first.gso_type, first.gso_size));
    }
    Ok((csum, segments))
}
