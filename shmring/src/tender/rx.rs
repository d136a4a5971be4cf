//! Frames to the guest, and the empty buffers that it lends for them.

use super::{Classes, Span, Violation};
use crate::{
    abi::{Desc, Features, Flags, MAX_FRAGS, MAX_FRAME},
    memory::SharedMemory,
    ring::{BadIndex, Consumer, Layout, Producer},
};

/// Offload facts of a frame for the guest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RxInfo {
    /// The checksum is known to be good.
    pub csum_valid: bool,
    /// One of [`crate::abi::gso`] and the payload bytes of each segment.
    pub gso: Option<(u8, u16)>,
}

/// Room for checked FILL entries: a power of two for one frame's most fragments.
const HELD: usize = MAX_FRAGS.next_power_of_two();

/// The tender's ends of a FILL and an RX ring.
#[derive(Debug)]
pub struct RxRing<M: SharedMemory> {
    fill: Consumer<M::Ring>,
    rx: Producer<M::Ring>,
    classes: Classes,
    features: Features,
    /// Checked FILL entries from `first` on, around the end.
    held: [(Desc, Span); HELD],
    first: usize,
    count: usize,
    bytes: usize,
    broken: Option<Violation>,
}

impl<M: SharedMemory> RxRing<M> {
    pub(super) fn new(
        memory: &M,
        fill: Layout,
        rx: Layout,
        classes: Classes,
        features: Features,
    ) -> Result<Self, BadIndex> {
        Ok(RxRing {
            fill: Consumer::new(memory, fill)?,
            rx: Producer::new(memory, rx)?,
            classes,
            features,
            held: [(Desc::default(), Span::default()); HELD],
            first: 0,
            count: 0,
            bytes: 0,
            broken: None,
        })
    }

    /// Why the queue is broken, if it is.
    pub fn broken(&self) -> Option<Violation> {
        self.broken
    }

    /// Buffers for the next frame: one, or with [`Features::RX_GSO`] as many as a coalesced frame
    /// may need. Empty when the guest has lent too few or has no room: a frame is never cut. Each
    /// was checked once and stays the same until [`RxRing::commit`] has used it.
    ///
    /// # Errors
    /// The violation that breaks the queue or broke it before.
    pub fn buffers(&mut self) -> Result<impl Iterator<Item = Span> + '_, Violation> {
        if let Some(violation) = self.broken {
            return Err(violation);
        }
        if let Err(violation) = self.top_up() {
            return Err(*self.broken.insert(violation));
        }
        let usable = if self.suffices() { self.count } else { 0 };
        Ok((0..usable).map(|i| self.held[(self.first + i) % HELD].1))
    }

    /// Whether the held buffers are enough for any frame.
    fn suffices(&self) -> bool {
        let wanted = if self.features.contains(Features::RX_GSO) { MAX_FRAME } else { 1 };
        self.bytes >= wanted || self.count == MAX_FRAGS
    }

    fn top_up(&mut self) -> Result<(), Violation> {
        if self.suffices() {
            return Ok(());
        }
        let most = MAX_FRAGS as u32;
        if self.fill.ready() < most {
            self.fill.refresh().map_err(|_| Violation::Index)?;
        }
        if self.rx.room() < most {
            self.rx.refresh().map_err(|_| Violation::Index)?;
        }
        let usable = MAX_FRAGS.min(self.fill.ready() as usize).min(self.rx.room() as usize);
        while self.count < usable && !self.suffices() {
            let desc =
                Desc::decode(self.fill.peek(self.count as u32)).map_err(|_| Violation::Flags)?;
            if !desc.flags.is_empty() || desc.has_offloads() {
                return Err(Violation::Flags);
            }
            let span = self.classes.resolve(&desc, false)?;
            self.bytes += span.len as usize;
            self.held[(self.first + self.count) % HELD] = (desc, span);
            self.count += 1;
        }
        Ok(())
    }

    /// A frame of `len` bytes lies in the first of [`RxRing::buffers`]: writes its descriptors. The
    /// guest sees it after [`RxRing::publish`].
    ///
    /// # Panics
    /// When the buffers do not hold `len` bytes: the caller read into them.
    pub fn commit(&mut self, len: usize, info: RxInfo) {
        let mut rest = len;
        let mut used = 0;
        while rest > 0 || used == 0 {
            assert!(used < self.count, "frame longer than its buffers");
            let (lent, span) = self.held[(self.first + used) % HELD];
            let part = rest.min(span.len as usize);
            self.bytes -= span.len as usize;
            rest -= part;
            let mut desc =
                Desc { id: lent.id, offset: lent.offset, len: part as u16, ..Desc::default() };
            if used == 0 {
                if info.csum_valid {
                    desc.flags |= Flags::DATA_VALID;
                }
                (desc.gso_type, desc.gso_size) = info.gso.unwrap_or_default();
            }
            if rest > 0 {
                desc.flags |= Flags::NEXT;
            }
            self.rx.write(desc.encode());
            used += 1;
        }
        self.fill.take(used as u32);
        self.first = (self.first + used) % HELD;
        self.count -= used;
    }

    /// Hands over every committed frame and the FILL entries used, to a guest that looks by itself:
    /// without a fence.
    pub fn publish(&mut self) {
        self.fill.release();
        self.rx.publish_quiet();
    }

    /// Likewise; whether the guest sleeps and is to be woken.
    #[must_use]
    pub fn publish_notify(&mut self) -> bool {
        self.fill.release();
        self.rx.publish()
    }

    /// Whether the guest has not taken all frames yet.
    ///
    /// # Errors
    /// The violation that breaks the queue or broke it before.
    pub fn pending(&mut self) -> Result<bool, Violation> {
        if let Some(violation) = self.broken {
            return Err(violation);
        }
        if self.rx.refresh().is_err() {
            return Err(*self.broken.insert(Violation::Index));
        }
        Ok(self.rx.in_flight() > 0)
    }

    /// Asks to be kicked when the guest lends more buffers; a fence and [`RxRing::buffers`] before
    /// sleeping.
    pub fn arm_fill(&self) {
        self.fill.arm();
    }

    /// Takes back [`RxRing::arm_fill`].
    pub fn disarm_fill(&self) {
        self.fill.disarm();
    }
}
