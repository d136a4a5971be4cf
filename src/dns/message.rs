//! A question's bytes (RFC 1035, section 4).

use super::Name;
use alloc::vec::Vec;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned, network_endian::U16};

/// Bytes of a header.
pub(super) const HEADER_LEN: usize = 12;
/// The Internet's class.
pub(super) const IN: u16 = 1;
/// What a server may send by UDP: no fragment on any usual path (RFC 9715).
const UDP_SIZE: u16 = 1232;
const OPT: u16 = 41;
const RECURSION_DESIRED: u16 = 0x0100;

/// What is asked about a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Type {
    /// Its IPv4 addresses.
    A = 1,
    /// Its IPv6 addresses (RFC 3596).
    Aaaa = 28,
    /// The name that belongs to it, which is an address's.
    Ptr = 12,
}

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Header {
    pub(super) id: U16,
    pub(super) flags: U16,
    pub(super) questions: U16,
    pub(super) answers: U16,
    pub(super) authorities: U16,
    pub(super) additional: U16,
}

impl Header {
    pub(super) const RESPONSE: u16 = 0x8000;
    pub(super) const OPCODE: u16 = 0x7800;
    pub(super) const TRUNCATED: u16 = 0x0200;
    pub(super) const RCODE: u16 = 0x000f;
}

/// A question as it was sent.
#[derive(Clone, Debug)]
pub(super) struct Question {
    bytes: Vec<u8>,
    /// Where the question ends and additional records begin.
    end: usize,
}

impl Question {
    /// Asks for `kind` of `name`. Each bit of `case` makes a letter of the name a capital: servers
    /// answer in the same case, which a forger has to guess. `extended` allows long answers.
    pub(super) fn new(id: u16, name: &Name, kind: Type, case: u64, extended: bool) -> Question {
        let header = Header {
            id: U16::new(id),
            flags: U16::new(RECURSION_DESIRED),
            questions: U16::new(1),
            answers: U16::ZERO,
            authorities: U16::ZERO,
            additional: U16::new(extended.into()),
        };
        let mut bytes = Vec::with_capacity(HEADER_LEN + name.wire().len() + 15);
        bytes.extend_from_slice(header.as_bytes());
        // A label's length is below 64, and so never taken for a letter.
        for (i, b) in name.wire().iter().enumerate() {
            let capital = case >> (i % 64) & 1 == 1;
            bytes.push(if capital { b.to_ascii_uppercase() } else { *b });
        }
        bytes.extend_from_slice(&(kind as u16).to_be_bytes());
        bytes.extend_from_slice(&IN.to_be_bytes());
        let end = bytes.len();
        if extended {
            // RFC 6891, section 6.1.2: the root's name, our size, no extended code, no options.
            bytes.push(0);
            bytes.extend_from_slice(&OPT.to_be_bytes());
            bytes.extend_from_slice(&UDP_SIZE.to_be_bytes());
            bytes.extend_from_slice(&[0; 6]);
        }
        Question { bytes, end }
    }

    /// All bytes.
    pub(super) fn message(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn id(&self) -> [u8; 2] {
        [self.bytes[0], self.bytes[1]]
    }

    /// The bytes behind the header that a response repeats.
    pub(super) fn section(&self) -> &[u8] {
        &self.bytes[HEADER_LEN..self.end]
    }
}
