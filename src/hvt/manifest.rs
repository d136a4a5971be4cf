//! The manifest and the notes that carry it in the image.
#![forbid(unsafe_code)]

use crate::{
    service::{Device, Kind},
    wire::MacAddr,
};
use shmring::abi::offer;

/// Most devices of an image, beside the entries that every image has.
pub const MAX_DEVICES: usize = 62;
const NAME: usize = 68;
/// The type of entry 0, which names no device.
const RESERVED_FIRST: u32 = 1 << 30;

const fn number(kind: Kind) -> u32 {
    match kind {
        Kind::Block => 1,
        Kind::Net => 2,
    }
}

/// One entry, as in the image and as the tender hands it back.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Entry {
    name: [u8; NAME],
    kind: u32,
    u: [u8; 16],
    b: u64,
    attached: u8,
    padding: [u8; 7],
}

impl Entry {
    /// Entry 0, which every manifest has.
    const FIRST: Entry = Entry::of("", RESERVED_FIRST);

    /// Our rings; tenders that do not know them skip the entry.
    const RINGS: Entry = Entry::of(offer::NAME, offer::TYPE);

    const fn of(name: &str, kind: u32) -> Entry {
        let bytes = name.as_bytes();
        let mut entry =
            Entry { name: [0; NAME], kind, u: [0; 16], b: 0, attached: 0, padding: [0; 7] };
        let mut i = 0;
        while i < bytes.len() {
            entry.name[i] = bytes[i];
            i += 1;
        }
        entry
    }
}

/// The manifest of `N` entries.
#[repr(C)]
pub struct Manifest<const N: usize = { MAX_DEVICES + 2 }> {
    version: u32,
    entries: u32,
    entry: [Entry; N],
}

impl Manifest {
    fn entries(&self) -> &[Entry] {
        &self.entry[..(self.entries as usize).min(self.entry.len())]
    }

    fn find(&self, name: &str, kind: u32) -> Option<(u64, &Entry)> {
        let matches = |entry: &&Entry| {
            let len = entry.name.iter().position(|b| *b == 0).unwrap_or(NAME);
            entry.kind == kind && &entry.name[..len] == name.as_bytes()
        };
        let index = self.entries().iter().position(|entry| matches(&entry))?;
        let entry = &self.entries()[index];
        (entry.attached != 0).then_some((index as u64, entry))
    }

    /// Handle, address and MTU of the attached network device `name`.
    pub(crate) fn net(&self, name: &str) -> Option<(u64, MacAddr, u16)> {
        let (handle, entry) = self.find(name, number(Kind::Net))?;
        let [a, b, c, d, e, f, low, high, ..] = entry.u;
        Some((handle, MacAddr([a, b, c, d, e, f]), u16::from_le_bytes([low, high])))
    }

    /// Handle, capacity in bytes and sector size of the attached block device `name`.
    pub(crate) fn block(&self, name: &str) -> Option<(u64, u64, u16)> {
        let (handle, entry) = self.find(name, number(Kind::Block))?;
        let [c0, c1, c2, c3, c4, c5, c6, c7, low, high, ..] = entry.u;
        let capacity = u64::from_le_bytes([c0, c1, c2, c3, c4, c5, c6, c7]);
        Some((handle, capacity, u16::from_le_bytes([low, high])))
    }

    /// What the tender offers for our rings.
    pub(crate) fn rings(&self) -> Option<offer::Offer> {
        let (_, entry) = self.find(offer::NAME, offer::TYPE)?;
        Some(offer::Offer::decode(entry.u))
    }
}

/// A note of Solo5's.
#[repr(C)]
pub struct Note<D> {
    name_len: u32,
    desc_len: u32,
    kind: u32,
    name: [u8; 8],
    desc: D,
}

impl<D> Note<D> {
    const fn new(kind: u32, desc: D) -> Note<D> {
        Note { name_len: 6, desc_len: size_of::<D>() as u32, kind, name: *b"Solo5\0\0\0", desc }
    }
}

/// Target hvt, version 2.
pub const ABI: Note<[u32; 4]> = Note::new(0x3149_4241, [1, 2, 0, 0]);

/// The manifest as a note's descriptor. Its padding makes the manifest start on a multiple of
/// eight bytes; a note ends where its last entry does.
#[repr(C, packed)]
pub struct Desc<const N: usize> {
    padding: u32,
    manifest: Manifest<N>,
}

/// The note of the manifest of these devices.
pub const fn note<const N: usize>(devices: &[Device]) -> Note<Desc<N>> {
    assert!(devices.len() <= MAX_DEVICES, "a service has at most 62 devices");
    let mut entry = [Entry::RINGS; N];
    entry[0] = Entry::FIRST;
    let mut i = 0;
    while i < devices.len() {
        entry[i + 1] = Entry::of(devices[i].name, number(devices[i].kind));
        i += 1;
    }
    let manifest = Manifest { version: 1, entries: N as u32, entry };
    Note::new(0x3154_464d, Desc { padding: 0, manifest })
}
