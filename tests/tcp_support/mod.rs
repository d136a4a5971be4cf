//! A network between TCP instances with a virtual clock, for the TCP tests.
#![allow(dead_code)]

pub mod fuzz;
pub mod sim;
pub mod trace;

use std::{collections::VecDeque, net::IpAddr};
use zerohop::{
    PacketBuf, Pool, PoolConfig, Slice,
    frame::{Chain, Gso, Offloads, RxCsum},
    ip::{Ecn, Flow, Incoming, Network, NoPath, Outgoing, Path, SendError},
    time::Instant,
};

/// Control bits.
const FIN: u8 = 1;
const PSH: u8 = 8;
const CWR: u8 = 0x80;

/// One IP packet.
pub struct Packet {
    pub src: IpAddr,
    pub dst: IpAddr,
    pub ecn: Ecn,
    pub gso: Option<Gso>,
    pub csum: RxCsum,
    pub slices: Vec<Slice>,
}

impl Packet {
    pub fn len(&self) -> usize {
        self.slices.iter().map(|s| s.len()).sum()
    }

    pub fn bytes(&self) -> Vec<u8> {
        self.slices.iter().flat_map(|s| s.to_vec()).collect()
    }

    /// What a device makes of a super-segment: the line carries, and loses, single segments.
    pub fn segments(self) -> Vec<Packet> {
        let Some(gso) = self.gso else {
            return vec![self];
        };
        let bytes = self.bytes();
        let (header, payload) = bytes.split_at(usize::from(bytes[12] >> 4) * 4);
        let seq = u32::from_be_bytes([header[4], header[5], header[6], header[7]]);
        let size = usize::from(gso.size);
        let last = payload.len().div_ceil(size) - 1;
        let segment = |(i, piece): (usize, &[u8])| {
            let mut header = header.to_vec();
            header[4..8].copy_from_slice(&seq.wrapping_add((i * size) as u32).to_be_bytes());
            if i > 0 {
                header[13] &= !CWR;
            }
            if i < last {
                header[13] &= !(FIN | PSH);
            }
            let slices = vec![Slice::from(header), Slice::from(piece.to_vec())];
            Packet { gso: None, slices, ..self }
        };
        payload.chunks(size).enumerate().map(segment).collect()
    }

    /// The packet as its receiver's network layer hands it up.
    pub fn into_parts(self) -> (Incoming, Chain) {
        let incoming = Incoming {
            local: self.dst,
            remote: self.src,
            ecn: self.ecn,
            csum: self.csum,
            gso: self.gso,
        };
        let mut chain = Chain::new();
        self.slices.into_iter().for_each(|s| chain.push(s));
        (incoming, chain)
    }
}

/// The network layer of one host: what is sent waits in `sent`.
pub struct TestNet {
    pub now: Instant,
    pub offloads: Offloads,
    pub pool: Pool,
    pub mtu: u16,
    pub room: usize,
    pub address: IpAddr,
    pub sent: VecDeque<Packet>,
    pub reachable: bool,
}

impl TestNet {
    pub fn new(address: IpAddr) -> TestNet {
        TestNet::with_buffers(address, 1 << 14)
    }

    pub fn with_buffers(address: IpAddr, count: usize) -> TestNet {
        TestNet {
            now: Instant::from_millis(1_000_000),
            offloads: Offloads::empty(),
            pool: Pool::heap(PoolConfig { count, ..PoolConfig::default() }),
            mtu: 1500,
            room: usize::MAX,
            address,
            sent: VecDeque::new(),
            reachable: true,
        }
    }
}

impl Network for TestNet {
    fn now(&self) -> Instant {
        self.now
    }
    fn offloads(&self) -> Offloads {
        self.offloads
    }
    fn pool(&self) -> &Pool {
        &self.pool
    }
    fn room(&self) -> usize {
        self.room
    }
    fn path(&self, _local: Option<IpAddr>, _remote: IpAddr) -> Result<Path, NoPath> {
        if !self.reachable {
            return Err(NoPath::Unreachable);
        }
        Ok(Path { local: self.address, mtu: self.mtu })
    }
    fn transmit(
        &mut self,
        flow: &mut Flow,
        how: Outgoing,
        head: PacketBuf,
        len: usize,
        payload: impl IntoIterator<Item = Slice>,
    ) -> Result<(), SendError> {
        if !self.reachable {
            return Err(SendError::Unreachable);
        }
        let mut slices: Vec<Slice> = payload.into_iter().collect();
        assert_eq!(slices.iter().map(|slice| slice.len()).sum::<usize>(), len);
        slices.insert(0, head.freeze());
        assert!(slices.len() <= 34, "{} fragments", slices.len());
        let packet = Packet {
            src: flow.local,
            dst: flow.remote,
            ecn: how.ecn,
            gso: how.gso,
            csum: if how.csum_offset.is_some() { RxCsum::Valid } else { RxCsum::Unknown },
            slices,
        };
        let ip = if flow.remote.is_ipv4() { 20 } else { 40 };
        if how.gso.is_none() && packet.len() + ip > usize::from(self.mtu) {
            return Err(SendError::TooBig(self.mtu));
        }
        assert!(packet.len() + ip <= 65_535);
        self.room -= 1;
        self.sent.push_back(packet);
        Ok(())
    }
    fn confirm(&mut self, _flow: &Flow) {}
}

/// A small deterministic generator (SplitMix64).
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n.max(1)
    }

    /// True in `n` of a million cases.
    pub fn ppm(&mut self, n: u32) -> bool {
        self.below(1_000_000) < u64::from(n)
    }
}
