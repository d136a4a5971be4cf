//! The manifest: which devices an image expects.
#![forbid(unsafe_code)]

use shmring::abi::offer;

const ENTRY: usize = 104;
const MAX_ENTRIES: usize = 64;
const NAME: usize = 68;
const TYPE: usize = 68;
const UNION: usize = 72;
const ATTACHED: usize = 96;
const RESERVED_FIRST: u32 = 1 << 30;

/// What an entry asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Device {
    /// A block device.
    Block,
    /// A network device.
    Net,
    /// Our rings.
    Rings,
    /// Something that is skipped, and stays unattached.
    Other,
}

/// The manifest as the guest will see it.
#[derive(Clone, Debug)]
pub(crate) struct Manifest {
    bytes: Vec<u8>,
    entries: Vec<(String, Device)>,
}

impl Manifest {
    /// Reads a note's descriptor: four bytes of padding, then the manifest.
    pub(crate) fn parse(desc: &[u8]) -> Result<Manifest, String> {
        let bytes = desc.get(4..).unwrap_or_default().to_vec();
        let word =
            |at: usize| bytes.get(at..at + 4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]));
        let (version, count) = (word(0), word(4));
        if version != Some(1) {
            return Err("its manifest is of another version than 1".into());
        }
        let count = count.unwrap_or_default() as usize;
        if count == 0 || count > MAX_ENTRIES || bytes.len() != 8 + count * ENTRY {
            return Err("its manifest is malformed".into());
        }
        let mut entries = Vec::with_capacity(count);
        for i in 0..count {
            entries.push(entry(&bytes[8 + i * ENTRY..][..ENTRY], i)?);
        }
        for (i, (name, device)) in entries.iter().enumerate().skip(1) {
            let known = *device != Device::Other;
            if known && entries[..i].iter().any(|(n, d)| *d != Device::Other && n == name) {
                return Err(format!("its manifest declares {name:?} twice"));
            }
        }
        Ok(Manifest { bytes, entries })
    }

    /// Devices with their handles, without entry 0.
    pub(crate) fn devices(&self) -> impl Iterator<Item = (usize, &str, Device)> {
        self.entries
            .iter()
            .enumerate()
            .skip(1)
            .map(|(i, (name, device))| (i, name.as_str(), *device))
    }

    /// The handle of the entry that asks for rings.
    pub(crate) fn rings(&self) -> Option<usize> {
        self.devices().find(|(_, _, device)| *device == Device::Rings).map(|(handle, ..)| handle)
    }

    fn at(&mut self, handle: usize, offset: usize, value: &[u8]) {
        let start = 8 + handle * ENTRY + offset;
        self.bytes[start..start + value.len()].copy_from_slice(value);
    }

    /// Attaches a network device.
    pub(crate) fn attach_net(&mut self, handle: usize, mac: [u8; 6], mtu: u16) {
        self.at(handle, UNION, &mac);
        self.at(handle, UNION + 6, &mtu.to_le_bytes());
        self.at(handle, ATTACHED, &[1]);
    }

    /// Attaches a block device of `capacity` bytes.
    pub(crate) fn attach_block(&mut self, handle: usize, capacity: u64, sector: u16) {
        self.at(handle, UNION, &capacity.to_le_bytes());
        self.at(handle, UNION + 8, &sector.to_le_bytes());
        self.at(handle, ATTACHED, &[1]);
    }

    /// Offers rings.
    pub(crate) fn offer_rings(&mut self, handle: usize, offer: &offer::Offer) {
        self.at(handle, UNION, &offer.encode());
        self.at(handle, ATTACHED, &[1]);
    }

    /// The bytes for the guest.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

fn entry(bytes: &[u8], index: usize) -> Result<(String, Device), String> {
    let name = bytes[..NAME].split(|b| *b == 0).next().unwrap_or_default();
    let kind = u32::from_le_bytes([bytes[TYPE], bytes[TYPE + 1], bytes[TYPE + 2], bytes[TYPE + 3]]);
    let name = std::str::from_utf8(name).map_err(|_| "a device's name is not text")?;
    if bytes[ATTACHED] != 0 || name.len() == NAME {
        return Err("its manifest is malformed".into());
    }
    let device = match kind {
        _ if index == 0 => {
            if kind != RESERVED_FIRST || !name.is_empty() {
                return Err("its manifest is malformed".into());
            }
            Device::Other
        }
        1 => Device::Block,
        2 => Device::Net,
        offer::TYPE if name == offer::NAME => Device::Rings,
        kind if kind >= RESERVED_FIRST => Device::Other,
        kind => return Err(format!("device {name:?} is of unknown type {kind}")),
    };
    if matches!(device, Device::Block | Device::Net)
        && (name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric()))
    {
        return Err(format!("{name:?} is no name for a device"));
    }
    Ok((name.into(), device))
}
