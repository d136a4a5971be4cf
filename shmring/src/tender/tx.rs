//! Frames from the guest.

use super::{Classes, Span, Violation};
use crate::{
    abi::{Desc, Features, Flags, MAX_FRAGS, MAX_FRAME, gso},
    memory::SharedMemory,
    ring::{Consumer, Layout},
};

/// Shortest frame: an Ethernet header.
const MIN_FRAME: usize = 14;

/// A checked frame to send.
#[derive(Clone, Copy, Debug)]
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
    /// The frame's bytes, in order. The first span holds all headers of a frame with offloads.
    pub fn spans(&self) -> &[Span] {
        &self.spans[..self.count]
    }
}

/// The consuming end of a TX ring.
#[derive(Debug)]
pub struct TxRing<M> {
    ring: Consumer<M>,
    classes: Classes,
    features: Features,
    broken: Option<Violation>,
}

impl<M: SharedMemory> TxRing<M> {
    pub(super) fn new(memory: M, layout: Layout, classes: Classes, features: Features) -> Self {
        TxRing { ring: Consumer::new(memory, layout), classes, features, broken: None }
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
    #[expect(clippy::should_implement_trait, reason = "an iterator cannot fail for good")]
    pub fn next(&mut self) -> Result<Option<TxFrame>, Violation> {
        if let Some(violation) = self.broken {
            return Err(violation);
        }
        match self.walk() {
            Ok(Some(frame)) => {
                self.ring.take(frame.count as u32);
                Ok(Some(frame))
            }
            Ok(None) => Ok(None),
            Err(violation) => self.fail(violation),
        }
    }

    fn walk(&self) -> Result<Option<TxFrame>, Violation> {
        let ready = self.ring.ready();
        if ready == 0 {
            return Ok(None);
        }
        let first = Desc::decode(self.ring.peek(0)).map_err(|_| Violation::Flags)?;
        let mut frame = TxFrame {
            spans: [Span::default(); MAX_FRAGS],
            count: 0,
            len: 0,
            csum: None,
            gso: None,
        };
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
            if !(desc.flags - Flags::NEXT).is_empty() {
                return Err(Violation::Flags);
            }
        }
        if !(MIN_FRAME..=MAX_FRAME).contains(&frame.len) {
            return Err(Violation::FrameLength);
        }
        self.check_offloads(&first, &mut frame)?;
        Ok(Some(frame))
    }

    fn check_offloads(&self, first: &Desc, frame: &mut TxFrame) -> Result<(), Violation> {
        if first.flags.contains(Flags::DATA_VALID) {
            return Err(Violation::Flags);
        }
        if first.flags.contains(Flags::NEEDS_CSUM) {
            let end = u32::from(first.csum_start) + u32::from(first.csum_offset) + 2;
            if !self.features.contains(Features::TX_CSUM) || end > u32::from(first.len) {
                return Err(Violation::Checksum);
            }
            frame.csum = Some((first.csum_start, first.csum_offset.into()));
        }
        if first.gso_type != gso::NONE {
            let feature = match first.gso_type & !gso::ECN {
                gso::TCPV4 => Features::TSO4,
                gso::TCPV6 => Features::TSO6,
                gso::UDP_L4 => Features::USO,
                _ => return Err(Violation::Segmentation),
            };
            if !self.features.contains(feature) || first.gso_size == 0 || frame.csum.is_none() {
                return Err(Violation::Segmentation);
            }
            frame.gso = Some((first.gso_type, first.gso_size));
        }
        Ok(())
    }

    /// Gives the bytes of all frames taken back to the guest; whether it waits for that and is to
    /// be woken.
    #[must_use]
    pub fn release(&mut self) -> bool {
        self.ring.release()
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
