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

/// The tender's ends of a FILL, a LARGE and an RX ring.
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
    large: Option<Consumer<M::Ring>>,
    /// A checked LARGE entry.
    held_large: Option<(Desc, Span)>,
    broken: Option<Violation>,
}

impl<M: SharedMemory> RxRing<M> {
    pub(super) fn new(
        memory: &M,
        fill: Layout,
        large: Option<Layout>,
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
            large: large.map(|large| Consumer::new(memory, large)).transpose()?,
            held_large: None,
            broken: None,
        })
    }

    /// Why the queue is broken, if it is.
    pub fn broken(&self) -> Option<Violation> {
        self.broken
    }

    /// Buffers for the next frame: one, or with [`Features::RX_GSO`] as many as a coalesced frame
    /// may need, which are one and a large one where the guest has lent such. Empty when the guest
    /// has lent too few or has no room: a frame is never cut. Each was checked once, and all stay
    /// the same until [`RxRing::commit`] has used some.
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
        let usable = if self.suffices() { self.planned() } else { 0 };
        Ok((0..usable).map(|n| self.nth(n).1))
    }

    /// The large buffer, when it and the first of the others hold any frame.
    fn usable_large(&self) -> Option<&(Desc, Span)> {
        let (_, first) = self.held[self.first];
        self.held_large.as_ref().filter(|(_, large)| {
            self.count > 0 && first.len as usize + large.len as usize >= MAX_FRAME
        })
    }

    /// How many buffers the next frame may take.
    fn planned(&self) -> usize {
        if self.usable_large().is_some() { 2 } else { self.count }
    }

    /// The `n`-th of these.
    fn nth(&self, n: usize) -> &(Desc, Span) {
        let small = &self.held[(self.first + n) % HELD];
        if n == 1 { self.usable_large().unwrap_or(small) } else { small }
    }

    /// Whether the held buffers are enough for any frame, and RX has an entry for each.
    fn suffices(&self) -> bool {
        let wanted = if self.features.contains(Features::RX_GSO) { MAX_FRAME } else { 1 };
        let enough =
            self.usable_large().is_some() || self.bytes >= wanted || self.count == MAX_FRAGS;
        enough && self.planned() <= self.rx.room() as usize
    }

    /// Changes nothing once the held buffers are enough: the kernel may have written to them.
    fn top_up(&mut self) -> Result<(), Violation> {
        if self.suffices() {
            return Ok(());
        }
        self.top_up_large()?;
        let most = MAX_FRAGS as u32;
        if self.fill.ready() < most {
            self.fill.refresh().map_err(|_| Violation::Index)?;
        }
        if self.rx.room() < most {
            self.rx.refresh().map_err(|_| Violation::Index)?;
        }
        let usable = MAX_FRAGS.min(self.fill.ready() as usize).min(self.rx.room() as usize);
        while self.count < usable && !self.suffices() {
            let (desc, span) = checked(&self.classes, self.fill.peek(self.count as u32))?;
            self.bytes += span.len as usize;
            self.held[(self.first + self.count) % HELD] = (desc, span);
            self.count += 1;
        }
        Ok(())
    }

    fn top_up_large(&mut self) -> Result<(), Violation> {
        let Some(large) = self.large.as_mut().filter(|_| self.held_large.is_none()) else {
            return Ok(());
        };
        if large.ready() == 0 && large.refresh().map_err(|_| Violation::Index)? == 0 {
            return Ok(());
        }
        self.held_large = Some(checked(&self.classes, large.peek(0))?);
        Ok(())
    }

    /// A frame of `len` bytes lies in the first of [`RxRing::buffers`]: writes its descriptors, and
    /// returns how many. The guest sees it after [`RxRing::publish`].
    ///
    /// # Panics
    /// When the buffers do not hold `len` bytes: the caller read into them.
    pub fn commit(&mut self, len: usize, info: RxInfo) -> usize {
        let planned = self.planned();
        let mut rest = len;
        let mut written = 0;
        while rest > 0 || written == 0 {
            assert!(written < planned, "frame longer than its buffers");
            let (lent, span) = self.nth(written);
            let part = rest.min(span.len as usize);
            rest -= part;
            let mut desc =
                Desc { id: lent.id, offset: lent.offset, len: part as u16, ..Desc::default() };
            if written == 0 {
                if info.csum_valid {
                    desc.flags |= Flags::DATA_VALID;
                }
                (desc.gso_type, desc.gso_size) = info.gso.unwrap_or_default();
            }
            if rest > 0 {
                desc.flags |= Flags::NEXT;
            }
            self.rx.write(desc.encode());
            written += 1;
        }
        let mut used = written;
        if used == 2 && self.usable_large().is_some() {
            self.held_large = None;
            self.large.iter_mut().for_each(|large| large.take(1));
            used = 1;
        }
        for _ in 0..used {
            self.bytes -= self.held[self.first].1.len as usize;
            self.first = (self.first + 1) % HELD;
            self.count -= 1;
        }
        self.fill.take(used as u32);
        written
    }

    /// Hands over every committed frame and the FILL and LARGE entries used, to a guest that looks
    /// by itself: without a fence.
    pub fn publish(&mut self) {
        self.release();
        self.rx.publish_quiet();
    }

    /// Likewise; whether the guest sleeps and is to be woken.
    #[must_use]
    pub fn publish_notify(&mut self) -> bool {
        self.release();
        self.rx.publish()
    }

    fn release(&mut self) {
        self.fill.release();
        if let Some(large) = &mut self.large {
            large.release();
        }
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

    /// Asks to be kicked when the guest lends more buffers, of either kind; a fence and
    /// [`RxRing::buffers`] before sleeping.
    pub fn arm_fill(&self) {
        self.fill.arm();
        self.large.iter().for_each(Consumer::arm);
    }

    /// Takes back [`RxRing::arm_fill`].
    pub fn disarm_fill(&self) {
        self.fill.disarm();
        self.large.iter().for_each(Consumer::disarm);
    }
}

/// A FILL or LARGE entry and the bytes that it names.
fn checked(classes: &Classes, words: [u64; 2]) -> Result<(Desc, Span), Violation> {
    let desc = Desc::decode(words).map_err(|_| Violation::Flags)?;
    if !desc.flags.is_empty() || desc.has_offloads() {
        return Err(Violation::Flags);
    }
    Ok((desc, classes.resolve(&desc, false)?))
}
