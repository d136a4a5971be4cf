//! The written ABI as constants: see `ABI.md`, which this module must match word for word.
#![forbid(unsafe_code)]

use bitflags::bitflags;

/// "SHMRING1" in little-endian bytes.
pub const MAGIC: u64 = u64::from_le_bytes(*b"SHMRING1");
/// Major version: both sides must agree on it.
pub const MAJOR: u16 = 1;
/// Minor version: additive. 1: ENTROPY and LARGE.
pub const MINOR: u16 = 1;

/// The manifest entry through which a tender offers rings.
pub mod offer {
    use zerocopy::{
        FromBytes, Immutable, IntoBytes, Unaligned,
        little_endian::{U16, U64},
        transmute,
    };

    /// Name of the entry.
    pub const NAME: &str = "shmring";
    /// Type of the entry; tenders that do not know it skip types with bit 30 set.
    pub const TYPE: u32 = 1 << 30 | 0x5a52;
    /// Bytes of the entry's `u` that the tender fills in.
    pub const LEN: usize = 16;

    /// What a tender offers.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Offer {
        /// Major version.
        pub major: u16,
        /// Minor version.
        pub minor: u16,
        /// First of the eight ports.
        pub port: u16,
        /// Most queue pairs that a region may have.
        pub max_pairs: u16,
        /// Features on offer.
        pub features: super::Features,
    }

    /// The entry's bytes as they lie in the manifest.
    #[derive(FromBytes, IntoBytes, Immutable, Unaligned)]
    #[repr(C)]
    struct Raw {
        major: U16,
        minor: U16,
        port: U16,
        max_pairs: U16,
        features: U64,
    }

    const _: () = assert!(size_of::<Raw>() == LEN);

    impl Offer {
        /// The entry's bytes.
        pub fn encode(&self) -> [u8; LEN] {
            transmute!(Raw {
                major: self.major.into(),
                minor: self.minor.into(),
                port: self.port.into(),
                max_pairs: self.max_pairs.into(),
                features: self.features.bits().into(),
            })
        }

        /// Reads the entry's bytes; feature bits that this version does not know are dropped.
        pub fn decode(u: [u8; LEN]) -> Offer {
            let raw: Raw = transmute!(u);
            Offer {
                major: raw.major.get(),
                minor: raw.minor.get(),
                port: raw.port.get(),
                max_pairs: raw.max_pairs.get(),
                features: super::Features::from_bits_truncate(raw.features.get()),
            }
        }
    }
}

/// Ports, from the offered first one; each but KICK takes the guest-physical address of a struct.
pub mod port {
    /// The first port that our tenders offer.
    pub const BASE: u16 = 0x610;
    /// `{u64 handle, u64 region, u64 region_size, i32 ret, u32 reserved}`
    pub const ATTACH: u16 = 0;
    /// `{u64 timeout_ns, u64 ready_set, i32 ret, u32 reserved}`
    pub const WAIT: u16 = 1;
    /// `{u64 handle, i32 ret, u32 reserved}`
    pub const RESET: u16 = 2;
    /// `{u8 bytes[32], i32 ret, u32 reserved}`, since minor version 1
    pub const ENTROPY: u16 = 3;
    /// Any value: an ioeventfd.
    pub const KICK: u16 = 4;
}

bitflags! {
    /// What a tender offers and a guest accepts.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct Features: u64 {
        /// Frames travel in rings; without it a region carries statistics only.
        const RINGS = 1;
        /// The guest publishes a table of statistics.
        const STATS = 1 << 1;
        /// The tender completes checksums of sent frames.
        const TX_CSUM = 1 << 2;
        /// The tender vouches for checksums of received frames (DATA_VALID).
        const RX_CSUM = 1 << 3;
        /// The tender's host segments TCP over IPv4; needs TX_CSUM.
        const TSO4 = 1 << 4;
        /// The tender's host segments TCP over IPv6; needs TX_CSUM.
        const TSO6 = 1 << 5;
        /// The tender's host segments UDP; needs TX_CSUM.
        const USO = 1 << 6;
        /// Received frames may be coalesced and span several buffers; needs RX_CSUM.
        const RX_GSO = 1 << 7;
        /// A TX-only class that covers the guest's memory.
        const MEM_CLASS = 1 << 8;
        /// Each pair has a fourth queue, LARGE, of buffers for what of a coalesced frame does not
        /// fit into its first; needs RX_GSO. Since minor version 1.
        const FILL_LARGE = 1 << 9;
    }
}

impl Features {
    /// Queues of each pair.
    pub fn queues_per_pair(self) -> u16 {
        3 + u16::from(self.contains(Features::FILL_LARGE))
    }

    /// Whether every feature's requirement is in the set too.
    pub fn closed(self) -> bool {
        let needs =
            |feature: Features, need: Features| !self.intersects(feature) || self.contains(need);
        needs(Features::TSO4 | Features::TSO6 | Features::USO, Features::TX_CSUM)
            && needs(Features::RX_GSO, Features::RX_CSUM)
            && needs(Features::FILL_LARGE, Features::RX_GSO)
            && needs(Features::all() - Features::RINGS - Features::STATS, Features::RINGS)
    }
}

/// Offsets in the region's header, in bytes.
pub mod header {
    /// u64 [`super::MAGIC`].
    pub const MAGIC: u64 = 0x000;
    /// u16 major, u16 minor, u32 header length.
    pub const VERSION: u64 = 0x008;
    /// u64 bytes of the whole region.
    pub const REGION_SIZE: u64 = 0x010;
    /// u64 copy of the features that were offered.
    pub const FEATURES_OFFERED: u64 = 0x018;
    /// u16 queues, u16 classes, u32 zero.
    pub const COUNTS: u64 = 0x020;
    /// u64 guest-physical address of the statistics table, or 0.
    pub const STATS: u64 = 0x038;
    /// u32 records in it, u32 zero.
    pub const STATS_COUNT: u64 = 0x040;
    /// u64 features that the guest accepted.
    pub const FEATURES_ACCEPTED: u64 = 0x080;
    /// u32 guest status, reserved: 0.
    pub const GUEST_STATUS: u64 = 0x088;
    /// u32 the epoch that the guest works in.
    pub const EPOCH_ACK: u64 = 0x08c;
    /// u32 of [`super::status`].
    pub const TENDER_STATUS: u64 = 0x100;
    /// u32 epoch: one more for each region that the tender attached to the device.
    pub const EPOCH: u64 = 0x104;
    /// Four classes of 32 bytes.
    pub const CLASSES: u64 = 0x200;
    /// Up to 32 queues of 64 bytes.
    pub const QUEUES: u64 = 0x300;
    /// Bytes of the header.
    pub const LEN: u64 = 0xb00;
    /// Most classes.
    pub const MAX_CLASSES: usize = 4;
    /// Most queues.
    pub const MAX_QUEUES: usize = 32;
}

/// The tender's status word.
pub mod status {
    /// A thread of the tender's polls the rings, so that polling pays for the guest too.
    pub const POLLING: u32 = 1;
    /// The guest broke a queue; the rings are not served before a RESET. Bits 15:8 hold the reason.
    pub const BROKEN: u32 = 1 << 1;
    /// Where the reason starts: one of [`crate::tender::Violation::code`].
    pub const REASON: u32 = 8;
}

/// Offsets in a class's row.
pub mod class {
    /// Bytes of a row.
    pub const ROW: u64 = 32;
    /// u64 guest-physical address of buffer 0.
    pub const BASE: u64 = 0;
    /// u32 stride, u32 count.
    pub const SHAPE: u64 = 8;
    /// u32 first buffer id, u32 zero.
    pub const FIRST_ID: u64 = 16;
}

/// Offsets in a queue's row.
pub mod queue {
    /// Bytes of a row.
    pub const ROW: u64 = 64;
    /// u16 type, u16 pair, u32 zero.
    pub const TYPE: u64 = 0;
    /// u64 offset of the control words in the region.
    pub const CTRL: u64 = 8;
    /// u64 offset of the descriptors in the region.
    pub const DESC: u64 = 16;
    /// u8 log2 of the entries, u8 log2 of a descriptor's bytes, u16 kick id, u32 zero.
    pub const SHAPE: u64 = 24;
    /// The guest produces frames to send.
    pub const TX: u16 = 1;
    /// The guest produces empty buffers.
    pub const FILL: u16 = 2;
    /// The tender produces received frames.
    pub const RX: u16 = 3;
    /// The guest produces large empty buffers, with [`super::Features::FILL_LARGE`].
    pub const LARGE: u16 = 4;
    /// Most entries, as a power of two.
    pub const MAX_LOG2: u8 = 15;
}

/// Offsets of a queue's control words: one to each pair of cache lines.
pub mod ctrl {
    /// u32, written by the producer.
    pub const PROD: u64 = 0x000;
    /// u32, written by the consumer.
    pub const CONS: u64 = 0x080;
    /// u32, written by the consumer when it arms.
    pub const CONS_EVENT: u64 = 0x100;
    /// u32, written by the producer when it arms.
    pub const PROD_EVENT: u64 = 0x180;
    /// Bytes of the control words.
    pub const LEN: u64 = 0x200;
}

/// Bytes of a descriptor.
pub const DESC_LEN: u64 = 16;
/// log2 of [`DESC_LEN`].
pub const DESC_LOG2: u8 = 4;
/// Most fragments of a frame.
pub const MAX_FRAGS: usize = 34;
/// Fewest entries of a FILL and an RX ring with [`Features::RX_GSO`]: a power of two that holds a
/// frame's most fragments.
pub const MIN_ENTRIES_RX_GSO: u32 = 64;
/// Most bytes of a frame: an IP packet of 65,535 behind an Ethernet header.
pub const MAX_FRAME: usize = 65_549;
/// Bytes of a statistics record: name\[24\], u64 value.
pub const STAT_LEN: u64 = 32;
/// Bytes of a record's name.
pub const STAT_NAME: usize = 24;
/// Most statistics records.
pub const MAX_STATS: u32 = 256;
/// Stride of a class that covers memory as a whole.
pub const MEM_STRIDE: u32 = 65_536;

const _: () = {
    assert!(header::MAGIC == 0 && header::VERSION == 8 && header::REGION_SIZE == 0x10);
    assert!(header::FEATURES_OFFERED == 0x18 && header::COUNTS == 0x20);
    assert!(header::STATS == 0x38 && header::STATS_COUNT == 0x40);
    assert!(header::FEATURES_ACCEPTED == 0x80 && header::GUEST_STATUS == 0x88);
    assert!(header::EPOCH_ACK == header::GUEST_STATUS + 4);
    assert!(header::TENDER_STATUS == 0x100 && header::EPOCH == header::TENDER_STATUS + 4);
    // What each side writes has cache lines of its own.
    assert!(header::STATS_COUNT + 8 <= header::FEATURES_ACCEPTED);
    assert!(header::EPOCH_ACK + 4 <= header::TENDER_STATUS && header::EPOCH + 4 <= header::CLASSES);
    assert!(class::BASE == 0 && class::SHAPE == 8 && class::FIRST_ID + 8 <= class::ROW);
    assert!(queue::TYPE == 0 && queue::CTRL == 8 && queue::DESC == 16);
    assert!(queue::SHAPE + 8 <= queue::ROW);
    assert!(ctrl::PROD == 0 && ctrl::CONS == 0x80 && ctrl::CONS_EVENT == 0x100);
    assert!(ctrl::PROD_EVENT + 0x80 == ctrl::LEN);
    assert!(offer::TYPE & 1 << 30 != 0 && offer::LEN == 16);
    assert!(port::BASE.is_multiple_of(8) && port::KICK < 8);
    assert!(header::QUEUES + header::MAX_QUEUES as u64 * queue::ROW == header::LEN);
    assert!(header::CLASSES + header::MAX_CLASSES as u64 * class::ROW <= header::QUEUES);
    assert!(1 << DESC_LOG2 == DESC_LEN);
    assert!(STAT_NAME as u64 + 8 == STAT_LEN);
};

bitflags! {
    /// Flags of a descriptor; all other bits must be 0.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct Flags: u16 {
        /// The next descriptor continues the frame.
        const NEXT = 1;
        /// The checksum is to be completed (TX) or may be taken as good (RX: it never left the host).
        const NEEDS_CSUM = 1 << 1;
        /// The checksum was verified.
        const DATA_VALID = 1 << 2;
    }
}

/// virtio's segmentation types.
pub mod gso {
    /// Not segmented.
    pub const NONE: u8 = 0;
    /// TCP over IPv4.
    pub const TCPV4: u8 = 1;
    /// TCP over IPv6.
    pub const TCPV6: u8 = 4;
    /// UDP, each segment a datagram.
    pub const UDP_L4: u8 = 5;
    /// Bit beside a TCP type: CWR in the first segment only.
    pub const ECN: u8 = 0x80;

    /// The type without [`ECN`], which stands beside TCP only; `None` for what is no type.
    #[inline]
    pub const fn kind(bits: u8) -> Option<u8> {
        match bits {
            TCPV4 | TCPV6 | UDP_L4 => Some(bits),
            _ => match bits & !ECN {
                tcp @ (TCPV4 | TCPV6) => Some(tcp),
                _ => None,
            },
        }
    }
}

/// A decoded descriptor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Desc {
    /// Buffer id over all classes, 24 bits.
    pub id: u32,
    /// Generation of the buffer; for diagnosis only.
    pub generation: u8,
    /// First byte in the buffer.
    pub offset: u16,
    /// Bytes.
    pub len: u16,
    /// Flags.
    pub flags: Flags,
    /// Payload bytes of each segment.
    pub gso_size: u16,
    /// Where summing starts in the frame.
    pub csum_start: u16,
    /// Where the sum goes, from `csum_start`.
    pub csum_offset: u8,
    /// One of [`gso`].
    pub gso_type: u8,
}

/// A descriptor has a bit set that must be 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownFlags;

impl Desc {
    /// The two words.
    #[inline]
    pub fn encode(&self) -> [u64; 2] {
        let w0 = u64::from(self.id & 0xff_ffff)
            | u64::from(self.generation) << 24
            | u64::from(self.offset) << 32
            | u64::from(self.len) << 48;
        let w1 = u64::from(self.flags.bits())
            | u64::from(self.gso_size) << 16
            | u64::from(self.csum_start) << 32
            | u64::from(self.csum_offset) << 48
            | u64::from(self.gso_type) << 56;
        [w0, w1]
    }

    /// Whether it says more than where bytes lie: only the first descriptor of a frame may.
    #[inline]
    pub fn has_offloads(&self) -> bool {
        !(self.flags - Flags::NEXT).is_empty()
            || self.gso_type != 0
            || self.gso_size != 0
            || self.csum_start != 0
            || self.csum_offset != 0
    }

    /// Reads the two words.
    ///
    /// # Errors
    /// [`UnknownFlags`] when a reserved flag is set.
    #[inline]
    pub fn decode([w0, w1]: [u64; 2]) -> Result<Desc, UnknownFlags> {
        Ok(Desc {
            id: (w0 & 0xff_ffff) as u32,
            generation: (w0 >> 24) as u8,
            offset: (w0 >> 32) as u16,
            len: (w0 >> 48) as u16,
            flags: Flags::from_bits(w1 as u16).ok_or(UnknownFlags)?,
            gso_size: (w1 >> 16) as u16,
            csum_start: (w1 >> 32) as u16,
            csum_offset: (w1 >> 48) as u8,
            gso_type: (w1 >> 56) as u8,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn descriptor_words_round_trip(w0: u64, w1: u64) {
            match Desc::decode([w0, w1]) {
                Ok(desc) => prop_assert_eq!(desc.encode(), [w0, w1]),
                Err(UnknownFlags) => prop_assert!(w1 as u16 > 7),
            }
        }
    }

    #[test]
    fn features_close_over_what_they_need() {
        assert!(Features::all().closed());
        assert!(Features::STATS.closed());
        assert!(!(Features::RINGS | Features::TSO4).closed());
        assert!(!(Features::RINGS | Features::RX_GSO).closed());
        assert!(!(Features::all() - Features::RX_GSO).closed(), "large buffers need it");
        assert!((Features::all() - Features::FILL_LARGE).closed());
        assert!(!Features::MEM_CLASS.closed());
    }
}
