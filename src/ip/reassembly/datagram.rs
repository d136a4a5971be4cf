//! One datagram while its fragments arrive.

use super::{Fragment, Key, Whole};
use crate::{Pool, Slice, frame::Chain, ip::Ecn, time::Instant};
use alloc::vec::Vec;

/// Small pieces that wait to be copied together.
const LOOSE: usize = 8;

struct Piece {
    start: usize,
    slice: Slice,
    /// Small, and in a buffer of its own.
    loose: bool,
}

impl Piece {
    fn end(&self) -> usize {
        self.start + self.slice.len()
    }
}

pub(super) struct Datagram {
    pub(super) key: Key,
    pub(super) expires: Instant,
    /// In order, without an overlap.
    pieces: Vec<Piece>,
    /// Bytes of all pieces.
    received: usize,
    /// Bytes of the whole, once the last fragment is there.
    total: Option<usize>,
    /// The first fragment's packet, and what it says the datagram carries.
    first: Option<(Slice, u8)>,
    /// A bit for each ECN value that was seen.
    ecn: u8,
    /// Dropped; remembered so that the rest of it is, too.
    dead: bool,
    buffers: usize,
    loose_bytes: usize,
    loose: usize,
    /// Payload bytes copied and not counted yet.
    pub(super) copied: usize,
}

/// What became of a fragment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Added {
    Kept,
    Complete,
    Duplicate,
    Overlap,
    Late,
}

impl Datagram {
    pub(super) fn new(key: Key, expires: Instant) -> Datagram {
        Datagram {
            key,
            expires,
            pieces: Vec::new(),
            received: 0,
            total: None,
            first: None,
            ecn: 0,
            dead: false,
            buffers: 0,
            loose_bytes: 0,
            loose: 0,
            copied: 0,
        }
    }

    pub(super) fn buffers(&self) -> usize {
        self.buffers
    }

    pub(super) fn fragments(&self) -> usize {
        self.pieces.len()
    }

    pub(super) fn is_dead(&self) -> bool {
        self.dead
    }

    /// Takes the fragment's payload out of the chain, unless it is dropped.
    pub(super) fn add(
        &mut self,
        fragment: &Fragment,
        packet: Slice,
        payload: &mut Chain,
        pool: &Pool,
    ) -> Added {
        if self.dead {
            return Added::Late;
        }
        let (start, end) = (fragment.offset, fragment.offset + payload.len());
        let at = self.pieces.partition_point(|piece| piece.start < start);
        let free = at == 0 || self.pieces[at - 1].end() <= start;
        let free = free && self.pieces.get(at).is_none_or(|next| next.start >= end);
        if !free && self.is_duplicate(at, fragment, payload) {
            return Added::Duplicate;
        }
        let last_end = self.pieces.last().map_or(0, Piece::end);
        let fits = match self.total {
            Some(total) => end <= total && (fragment.more || end == total),
            None => fragment.more || last_end <= start,
        };
        if !free || !fits {
            // RFC 8200, 4.5 and RFC 5722: all of it is dropped, and what is still to come.
            self.abandon();
            return Added::Overlap;
        }
        if !fragment.more {
            self.total = Some(end);
        }
        if start == 0 {
            self.first = Some((packet, fragment.protocol));
        }
        self.ecn |= 1 << fragment.ecn as u8;
        self.received += payload.len();
        self.insert(at, start, payload, pool);
        if self.total == Some(self.received) { Added::Complete } else { Added::Kept }
    }

    /// Whether just these bytes are there already (RFC 8200, 4.5: they may be dropped alone).
    fn is_duplicate(&self, at: usize, fragment: &Fragment, payload: &Chain) -> bool {
        let end = fragment.offset + payload.len();
        if self.pieces.get(at).is_none_or(|piece| piece.start != fragment.offset)
            || fragment.more == (self.total == Some(end))
        {
            return false;
        }
        let same = self.pieces[at..].iter().take_while(|piece| piece.end() <= end);
        let contiguous = same.clone().zip(same.clone().skip(1)).all(|(a, b)| a.end() == b.start);
        let ours = same.flat_map(|piece| piece.slice.iter());
        contiguous && ours.eq(payload.iter().flat_map(|slice| slice.iter()))
    }

    fn abandon(&mut self) {
        self.dead = true;
        self.pieces = Vec::new();
        self.first = None;
        (self.buffers, self.received) = (0, 0);
    }

    fn insert(&mut self, at: usize, mut start: usize, payload: &mut Chain, pool: &Pool) {
        let stride = pool.config().stride;
        // The first fragment is not copied: it is quoted when the time runs out.
        let loose = start > 0 && payload.len() < stride / 2;
        if loose && (self.loose >= LOOSE || self.loose_bytes + payload.len() > stride) {
            self.gather(pool);
        }
        let mut new = Vec::new();
        while let Some(slice) = payload.pop() {
            if loose {
                self.loose += 1;
                self.loose_bytes += slice.len();
            }
            self.buffers += 1;
            let len = slice.len();
            new.push(Piece { start, slice, loose });
            start += len;
        }
        // Gathering changes no piece's place.
        self.pieces.splice(at..at, new);
    }

    /// Copies the loose pieces into one buffer, so that each gives its own back.
    fn gather(&mut self, pool: &Pool) {
        let Some(mut buf) = pool.alloc() else { return };
        buf.reset(0);
        let mut gathered = Vec::with_capacity(self.loose);
        for (index, piece) in self.pieces.iter().enumerate().filter(|(_, piece)| piece.loose) {
            if piece.slice.len() > buf.tailroom() {
                break;
            }
            gathered.push((index, buf.len()));
            buf.append(piece.slice.len()).copy_from_slice(&piece.slice);
        }
        self.copied += buf.len();
        self.buffers -= gathered.len().saturating_sub(1);
        let whole = buf.freeze();
        for (index, at) in gathered {
            let piece = &mut self.pieces[index];
            piece.slice = whole.slice(at..at + piece.slice.len());
            piece.loose = false;
            self.loose -= 1;
            self.loose_bytes -= piece.slice.len();
        }
    }

    /// The first fragment's packet, to tell the sender that the others did not arrive.
    pub(super) fn into_start(self) -> Option<(Key, Slice)> {
        Some((self.key, self.first?.0))
    }

    /// The complete datagram's pieces in order; `None` when the ECN bits cannot be.
    pub(super) fn into_whole(self) -> Option<(Whole, impl Iterator<Item = Slice>)> {
        let ecn = combined(self.ecn)?;
        let (start, protocol) = self.first?;
        Some((Whole { protocol, ecn, start }, self.pieces.into_iter().map(|piece| piece.slice)))
    }
}

/// RFC 3168, section 5.3: congestion that one fragment met is the datagram's; not together with
/// fragments that were not ECN-capable.
fn combined(seen: u8) -> Option<Ecn> {
    let has = |ecn: Ecn| seen & 1 << ecn as u8 != 0;
    match (has(Ecn::Ce), has(Ecn::NotEct)) {
        (true, true) => None,
        (true, false) => Some(Ecn::Ce),
        (false, true) => Some(Ecn::NotEct),
        (false, false) if has(Ecn::Ect1) => Some(Ecn::Ect1),
        (false, false) => Some(Ecn::Ect0),
    }
}
