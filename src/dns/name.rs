//! Domain names (RFC 1035, section 3.1).

use super::Error;
use alloc::{boxed::Box, format, string::String, vec::Vec};
use core::{
    fmt::{self, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

/// RFC 1035, section 2.3.4.
const MAX_LABEL: usize = 63;
const MAX_NAME: usize = 255;
/// Pointers of one name: as many as it can have labels. A chain of more is made to cost time.
const MAX_POINTERS: usize = 127;
/// The two bits that tell a pointer from a label (RFC 1035, section 4.1.4).
const POINTER: u8 = 0xc0;

/// A name as it lies in a message, in lower case (RFC 4343: case does not matter).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Name(Box<[u8]>);

impl FromStr for Name {
    type Err = Error;

    fn from_str(text: &str) -> Result<Name, Error> {
        let mut bytes = Vec::with_capacity(text.len() + 2);
        for label in text.strip_suffix('.').unwrap_or(text).split('.') {
            // RFC 1123, section 2.1, and the underscore of service names.
            let known = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
            if label.is_empty() || label.len() > MAX_LABEL || !label.bytes().all(known) {
                return Err(Error::InvalidName);
            }
            bytes.push(label.len() as u8);
            bytes.extend(label.bytes().map(|b| b.to_ascii_lowercase()));
        }
        bytes.push(0);
        if bytes.len() > MAX_NAME {
            return Err(Error::InvalidName);
        }
        Ok(Name(bytes.into()))
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut labels = self.labels().peekable();
        while let Some(label) = labels.next() {
            label.iter().try_for_each(|b| match b {
                b'!'..=b'~' if *b != b'.' && *b != b'\\' => f.write_char(char::from(*b)),
                // RFC 1035, section 5.1.
                b => write!(f, "\\{b:03}"),
            })?;
            if labels.peek().is_some() {
                f.write_char('.')?;
            }
        }
        Ok(())
    }
}

impl Name {
    /// The name that tells whose `address` is (RFC 1035, section 3.5; RFC 3596, section 2.5).
    pub fn reverse(address: IpAddr) -> Name {
        let mut text = String::new();
        match address {
            IpAddr::V4(address) => {
                address.octets().iter().rev().for_each(|b| text.push_str(&format!("{b}.")));
                text.push_str("in-addr.arpa");
            }
            IpAddr::V6(address) => {
                for b in address.octets().iter().rev() {
                    text.push_str(&format!("{:x}.{:x}.", b & 15, b >> 4));
                }
                text.push_str("ip6.arpa");
            }
        }
        // Both are far below the limits.
        text.parse().unwrap_or(Name(Box::new([0])))
    }

    /// The name's bytes in a message.
    pub(super) fn wire(&self) -> &[u8] {
        &self.0
    }

    fn labels(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = &*self.0;
        core::iter::from_fn(move || {
            let (len, tail) = rest.split_first().filter(|(len, _)| **len > 0)?;
            let (label, tail) = tail.split_at_checked((*len).into())?;
            rest = tail;
            Some(label)
        })
    }

    /// What a name means that no server is asked for (RFC 6761).
    pub(crate) fn special(&self) -> Option<Result<[IpAddr; 2], Error>> {
        match self.labels().last() {
            // 6.3
            Some(b"localhost") => {
                Some(Ok([Ipv6Addr::LOCALHOST.into(), Ipv4Addr::LOCALHOST.into()]))
            }
            // 6.4; RFC 7686, section 2
            Some(b"invalid" | b"onion") => Some(Err(Error::NotFound)),
            _ => None,
        }
    }

    /// Reads the name at `at` of a message; where it ends there.
    pub(super) fn read(message: &[u8], at: usize) -> Option<(Name, usize)> {
        let mut bytes = Vec::new();
        let (mut here, mut start, mut end, mut pointers) = (at, at, None, 0);
        loop {
            let len = *message.get(here)?;
            match len & POINTER {
                0 => {
                    let label = message.get(here..=here + usize::from(len))?;
                    bytes.extend(label.iter().map(u8::to_ascii_lowercase));
                    here += label.len();
                    if bytes.len() > MAX_NAME {
                        return None;
                    }
                    if len == 0 {
                        return Some((Name(bytes.into()), end.unwrap_or(here)));
                    }
                }
                POINTER => {
                    let low = *message.get(here + 1)?;
                    let to = usize::from(u16::from_be_bytes([len & !POINTER, low]));
                    end.get_or_insert(here + 2);
                    // "A prior occurrence": each step leads further back, so there is an end.
                    pointers += 1;
                    if to >= start || pointers > MAX_POINTERS {
                        return None;
                    }
                    (here, start) = (to, to);
                }
                _ => return None,
            }
        }
    }

    /// Passes over the name at `at`; where it ends.
    pub(super) fn skip(message: &[u8], mut at: usize) -> Option<usize> {
        loop {
            let len = *message.get(at)?;
            match len & POINTER {
                0 if len == 0 => return Some(at + 1),
                0 => at += 1 + usize::from(len),
                POINTER => return Some(at + 2),
                _ => return None,
            }
        }
    }
}
