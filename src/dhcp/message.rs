//! Messages (RFC 2131, section 2): fixed fields as they lie, options behind them.

use crate::wire::MacAddr;
use alloc::{borrow::Cow, vec, vec::Vec};
use core::net::Ipv4Addr;
use zerocopy::{
    FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
    network_endian::{U16, U32},
};

const BOOTREQUEST: u8 = 1;
const BOOTREPLY: u8 = 2;
const ETHERNET: u8 = 1;
const MAGIC: u32 = 0x6382_5363;
/// RFC 1542, section 2.1: BOOTP's length, below which some relays drop a message.
const MIN_LEN: usize = 300;

/// Option numbers (RFC 2132).
pub(super) mod code {
    pub const PAD: u8 = 0;
    pub const SUBNET_MASK: u8 = 1;
    pub const ROUTERS: u8 = 3;
    pub const DNS: u8 = 6;
    pub const MTU: u8 = 26;
    pub const REQUESTED_ADDRESS: u8 = 50;
    pub const LEASE_TIME: u8 = 51;
    pub const OVERLOAD: u8 = 52;
    pub const MESSAGE_TYPE: u8 = 53;
    pub const SERVER_ID: u8 = 54;
    pub const PARAMETERS: u8 = 55;
    pub const MAX_SIZE: u8 = 57;
    pub const RENEWAL_TIME: u8 = 58;
    pub const REBINDING_TIME: u8 = 59;
    pub const CLIENT_ID: u8 = 61;
    pub const CLASSLESS_ROUTES: u8 = 121;
    pub const END: u8 = 255;
}

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Raw {
    op: u8,
    hardware: u8,
    hardware_len: u8,
    hops: u8,
    xid: U32,
    secs: U16,
    flags: U16,
    client: [u8; 4],
    your: [u8; 4],
    server: [u8; 4],
    relay: [u8; 4],
    client_hardware: [u8; 16],
    server_name: [u8; 64],
    file: [u8; 128],
    magic: U32,
}

/// DHCP message types (RFC 2132, section 9.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Discover = 1,
    Offer = 2,
    Request = 3,
    Decline = 4,
    Ack = 5,
    Nak = 6,
    Release = 7,
}

/// A message of ours.
pub(super) struct Request {
    pub(super) kind: Kind,
    pub(super) xid: u32,
    pub(super) mac: MacAddr,
    /// Seconds since we began to look for an address.
    pub(super) secs: u16,
    /// `ciaddr`: our address, when we have one and answer ARP for it.
    pub(super) client: Ipv4Addr,
    pub(super) requested: Option<Ipv4Addr>,
    pub(super) server: Option<Ipv4Addr>,
}

impl Request {
    /// What we want to know. RFC 3442: the classless routes stand before the routers.
    const WANTED: [u8; 7] = [
        code::SUBNET_MASK,
        code::CLASSLESS_ROUTES,
        code::ROUTERS,
        code::DNS,
        code::MTU,
        code::RENEWAL_TIME,
        code::REBINDING_TIME,
    ];

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut hardware = [0; 16];
        hardware[..6].copy_from_slice(&self.mac.0);
        let raw = Raw {
            op: BOOTREQUEST,
            hardware: ETHERNET,
            hardware_len: 6,
            hops: 0,
            xid: U32::new(self.xid),
            secs: U16::new(self.secs),
            // RFC 2131, section 4.1: we take unicast before we have an address, so that servers
            // need not broadcast.
            flags: U16::ZERO,
            client: self.client.octets(),
            your: [0; 4],
            server: [0; 4],
            relay: [0; 4],
            client_hardware: hardware,
            server_name: [0; 64],
            file: [0; 128],
            magic: U32::new(MAGIC),
        };
        let mut bytes = Vec::with_capacity(MIN_LEN);
        bytes.extend_from_slice(raw.as_bytes());
        let mut option = |code: u8, value: &[u8]| {
            bytes.extend_from_slice(&[code, value.len() as u8]);
            bytes.extend_from_slice(value);
        };
        option(code::MESSAGE_TYPE, &[self.kind as u8]);
        let [a, b, c, d, e, f] = self.mac.0;
        option(code::CLIENT_ID, &[ETHERNET, a, b, c, d, e, f]);
        if let Some(address) = self.requested {
            option(code::REQUESTED_ADDRESS, &address.octets());
        }
        if let Some(server) = self.server {
            option(code::SERVER_ID, &server.octets());
        }
        // RFC 2131, table 5.
        if !matches!(self.kind, Kind::Decline | Kind::Release) {
            option(code::PARAMETERS, &Request::WANTED);
            option(code::MAX_SIZE, &1500_u16.to_be_bytes());
        }
        bytes.push(code::END);
        bytes.resize(bytes.len().max(MIN_LEN), code::PAD);
        bytes
    }
}

/// A server's message, its fixed fields checked.
pub(super) struct Reply<'a> {
    pub(super) kind: Kind,
    pub(super) xid: u32,
    /// `yiaddr`: the address that the server has for us.
    pub(super) your: Ipv4Addr,
    /// Where options lie, in the order of RFC 3396, section 5.
    areas: [&'a [u8]; 3],
}

impl<'a> Reply<'a> {
    /// Reads a message to the station `mac`.
    pub(super) fn parse(bytes: &'a [u8], mac: MacAddr) -> Option<Reply<'a>> {
        let (raw, options) = Raw::ref_from_prefix(bytes).ok()?;
        let fits = raw.op == BOOTREPLY
            && (raw.hardware, raw.hardware_len) == (ETHERNET, 6)
            && raw.client_hardware[..6] == mac.0
            && raw.magic.get() == MAGIC;
        if !fits {
            return None;
        }
        let mut reply = Reply {
            kind: Kind::Offer,
            xid: raw.xid.get(),
            your: raw.your.into(),
            areas: [options, &[], &[]],
        };
        let overload = reply.option(code::OVERLOAD).map_or(0, |v| v.first().copied().unwrap_or(0));
        if overload & 1 != 0 {
            reply.areas[1] = &raw.file;
        }
        if overload & 2 != 0 {
            reply.areas[2] = &raw.server_name;
        }
        reply.kind = match *reply.option(code::MESSAGE_TYPE)? {
            [2] => Kind::Offer,
            [5] => Kind::Ack,
            [6] => Kind::Nak,
            _ => return None,
        };
        Some(reply)
    }

    /// The value of an option; one that stands several times is put together (RFC 3396).
    pub(super) fn option(&self, wanted: u8) -> Option<Cow<'a, [u8]>> {
        let mut parts = self
            .areas
            .iter()
            .flat_map(|area| Options(area))
            .filter_map(|(code, value)| (code == wanted).then_some(value));
        let first = parts.next()?;
        Some(match parts.next() {
            None => Cow::Borrowed(first),
            Some(second) => {
                let mut whole = vec![];
                [first, second].into_iter().chain(parts).for_each(|p| whole.extend_from_slice(p));
                Cow::Owned(whole)
            }
        })
    }
}

/// The options of one area.
struct Options<'a>(&'a [u8]);

impl<'a> Iterator for Options<'a> {
    type Item = (u8, &'a [u8]);

    fn next(&mut self) -> Option<(u8, &'a [u8])> {
        while let [code::PAD, rest @ ..] = self.0 {
            self.0 = rest;
        }
        match self.0 {
            [] | [code::END, ..] => None,
            [code, len, rest @ ..] => {
                let (value, rest) = rest.split_at_checked((*len).into())?;
                self.0 = rest;
                Some((*code, value))
            }
            [_] => None,
        }
    }
}
