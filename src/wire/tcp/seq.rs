//! Sequence numbers (RFC 9293, section 3.4).

use core::{
    cmp::Ordering,
    ops::{Add, AddAssign, Sub},
};

/// A sequence number: arithmetic and comparison modulo 2^32. `a < b` when `b` lies in the half of
/// the space after `a`, so the order is meant for numbers of one window, not for sorting.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct SeqNum(pub u32);

impl SeqNum {
    /// The later of the two.
    pub fn max(self, other: SeqNum) -> SeqNum {
        if self < other { other } else { self }
    }

    /// The earlier of the two.
    pub fn min(self, other: SeqNum) -> SeqNum {
        if other < self { other } else { self }
    }
}

impl PartialOrd for SeqNum {
    #[inline]
    fn partial_cmp(&self, other: &SeqNum) -> Option<Ordering> {
        (self.0.wrapping_sub(other.0) as i32).partial_cmp(&0)
    }
}

impl Add<u32> for SeqNum {
    type Output = SeqNum;
    #[inline]
    fn add(self, n: u32) -> SeqNum {
        SeqNum(self.0.wrapping_add(n))
    }
}

impl AddAssign<u32> for SeqNum {
    #[inline]
    fn add_assign(&mut self, n: u32) {
        *self = *self + n;
    }
}

impl Sub<u32> for SeqNum {
    type Output = SeqNum;
    #[inline]
    fn sub(self, n: u32) -> SeqNum {
        SeqNum(self.0.wrapping_sub(n))
    }
}

impl Sub<SeqNum> for SeqNum {
    type Output = u32;
    /// The distance from `earlier`, modulo 2^32.
    #[inline]
    fn sub(self, earlier: SeqNum) -> u32 {
        self.0.wrapping_sub(earlier.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_wraps() {
        let top = SeqNum(u32::MAX);
        assert!(top < top + 1);
        assert!(top + 1 > top);
        assert_eq!((top + 5) - top, 5);
        assert_eq!(top.max(top + 1), SeqNum(0));
    }
}
