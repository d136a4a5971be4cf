//! SYN cookies (RFC 4987, section 3.6): when the half-open connections of a listener are at their
//! limit, the state of a further one travels in our initial sequence number and timestamp.

use super::{demux::Tuple, segment::Segment};
use crate::{
    time::{Duration, Instant},
    wire::tcp::{SeqNum, TcpOptions, Timestamps},
};
use core::hash::Hasher;
use siphasher::sip::SipHasher13;

/// How long an answer to a cookie is awaited.
pub(crate) const LIFETIME: Duration = Duration::from_secs(128);
/// Three bits choose one of these, the largest that is not above the peer's.
const MSS: [u16; 8] = [216, 536, 1024, 1220, 1360, 1440, 1460, 8940];
/// Low bits of the timestamp: window scale (15 for none), SACK, ECN.
const TS_BITS: u32 = 6;
const NO_SCALE: u32 = 15;
const SACK: u32 = 1 << 4;
const ECN: u32 = 1 << 5;

/// What a valid cookie tells about the SYN that it answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Recalled {
    pub(crate) options: TcpOptions,
    pub(crate) ecn: bool,
}

/// Ticks of 64 s.
fn clock(now: Instant) -> u32 {
    (now.as_nanos() >> 36) as u32
}

fn mac(key: &SipHasher13, tuple: &Tuple, peer: SeqNum, top: u32) -> u32 {
    let mut hasher = *key;
    hasher.write_u64(tuple.hash(key));
    hasher.write_u32(peer.0);
    hasher.write_u32(top);
    hasher.finish() as u32 & 0x00ff_ffff
}

/// The initial sequence number that answers a SYN.
pub(crate) fn make(key: &SipHasher13, tuple: &Tuple, syn: &Segment, now: Instant) -> SeqNum {
    let mss = syn.options.mss.unwrap_or(536);
    let index = MSS.iter().rposition(|&m| m <= mss).unwrap_or(0) as u32;
    let top = (clock(now) & 31) << 3 | index;
    SeqNum(top << 24 | mac(key, tuple, syn.seq, top))
}

/// Our timestamp with the SYN's options in its low bits; never ahead of the clock.
pub(crate) fn timestamp(syn: &Segment, clock: u32, ecn: bool) -> u32 {
    let mut bits = syn.options.window_scale.map_or(NO_SCALE, u32::from);
    if syn.options.sack_permitted {
        bits |= SACK;
    }
    if ecn {
        bits |= ECN;
    }
    let stamped = clock >> TS_BITS << TS_BITS | bits;
    if stamped > clock { stamped.wrapping_sub(1 << TS_BITS) } else { stamped }
}

/// What the ACK of a cookie tells, if it is one that we made lately. `offset` is that of the
/// pair's timestamp clock.
pub(crate) fn check(
    key: &SipHasher13,
    tuple: &Tuple,
    ack: &Segment,
    now: Instant,
    offset: u32,
) -> Option<Recalled> {
    let cookie = ack.ack - 1;
    let top = cookie.0 >> 24;
    let age = clock(now).wrapping_sub(top >> 3) & 31;
    if age > 1 || mac(key, tuple, ack.seq - 1, top) != cookie.0 & 0x00ff_ffff {
        return None;
    }
    let mut options = TcpOptions { mss: Some(MSS[top as usize & 7]), ..TcpOptions::default() };
    let mut ecn = false;
    if let Some(ts) = ack.options.timestamps {
        let bits = ts.ecr.wrapping_sub(offset);
        options.timestamps = Some(Timestamps { val: ts.val, ecr: 0 });
        options.sack_permitted = bits & SACK != 0;
        options.window_scale = Some(bits & 15).filter(|&s| s != NO_SCALE).map(|s| s as u8);
        ecn = bits & ECN != 0;
    }
    Some(Recalled { options, ecn })
}
