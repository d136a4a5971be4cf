//! Trains of datagrams: those of one size from one socket to one peer, one behind the other, leave
//! as one frame that the device cuts (UDP segmentation offload). What arrives is the same; what it
//! costs is one header and one system call for all.

use super::{Flow, output::MAX_SLICES};
use crate::{
    PacketBuf, Slice,
    frame::{Gso, GsoKind, TxQueue},
    wire::{checksum, ethernet, ipv4, ipv6, udp},
};
use core::net::IpAddr;

/// Datagrams of one train: what hosts cut a frame into at most (Linux's UDP_MAX_SEGMENTS).
const MAX_DATAGRAMS: usize = 64;
/// Payload bytes of one train, so that every length fits its field.
const MAX_BYTES: usize = 65_535 - ipv6::HEADER_LEN - udp::HEADER_LEN;

/// The frame queued last, when a further datagram may join it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Train {
    local: IpAddr,
    remote: IpAddr,
    ports: (u16, u16),
    /// The epoch of addresses and routes in which it was built.
    epoch: u32,
    /// The frame's number in its queue.
    number: u64,
    /// Bytes of each datagram but the last.
    size: usize,
    bytes: usize,
    datagrams: usize,
    slices: usize,
}

impl Train {
    /// A train of the one datagram that was just queued in `tx`, with `slices` behind its head.
    pub(crate) fn new(
        flow: &Flow,
        ports: (u16, u16),
        epoch: u32,
        (bytes, slices): (usize, usize),
        tx: &TxQueue,
    ) -> Train {
        let Flow { local, remote, .. } = *flow;
        let number = tx.pushed();
        Train { local, remote, ports, epoch, number, size: bytes, bytes, datagrams: 1, slices }
    }

    /// Whether a datagram of `len` bytes in `slices` may join.
    pub(crate) fn takes(
        &self,
        flow: &Flow,
        ports: (u16, u16),
        epoch: u32,
        (len, slices): (usize, usize),
        tx: &TxQueue,
    ) -> bool {
        let same = self.local == flow.local && self.remote == flow.remote && self.ports == ports;
        // Only the last may be shorter.
        let open = self.bytes == self.size * self.datagrams && (1..=self.size).contains(&len);
        same && open
            && self.epoch == epoch
            && self.number == tx.pushed()
            && !tx.is_empty()
            && self.datagrams < MAX_DATAGRAMS
            && self.bytes + len <= MAX_BYTES
            && self.slices + slices <= MAX_SLICES
    }

    /// Adds a datagram that [`Train::takes`] to the frame; false when the frame's head is not to
    /// be changed any more.
    pub(crate) fn join<'a>(
        &mut self,
        len: usize,
        slices: impl Iterator<Item = &'a Slice>,
        tx: &mut TxQueue,
    ) -> bool {
        let Some((meta, head)) = tx.last_mut() else { return false };
        let mut bytes = match core::mem::take(head).try_into_mut() {
            Ok(bytes) => bytes,
            Err(shared) => {
                *head = shared;
                return false;
            }
        };
        self.lengthen(&mut bytes, len);
        *head = bytes.freeze();
        meta.gso = Some(Gso { kind: GsoKind::Udp, size: self.size as u16, ecn: false });
        for slice in slices {
            tx.extend_last(slice.clone());
            self.slices += 1;
        }
        self.bytes += len;
        self.datagrams += 1;
        true
    }

    /// Adds `more` to every length in the headers and to the sums over them.
    fn lengthen(&self, head: &mut PacketBuf, more: usize) {
        let ip = ethernet::HEADER_LEN;
        let transport = match self.local {
            IpAddr::V4(_) => {
                let (old, new) = lengthen(&mut head[ip + ipv4::TOTAL_LEN..], more);
                checksum::replace(&mut head[ip + ipv4::CHECKSUM..], old, new, true);
                ip + ipv4::HEADER_LEN
            }
            IpAddr::V6(_) => {
                lengthen(&mut head[ip + ipv6::PAYLOAD_LEN..], more);
                ip + ipv6::HEADER_LEN
            }
        };
        let (old, new) = lengthen(&mut head[transport + udp::LENGTH_OFFSET..], more);
        // The field holds the pseudo-header's sum, which has the length in it.
        checksum::replace(
            &mut head[transport + usize::from(udp::CHECKSUM_OFFSET)..],
            old,
            new,
            false,
        );
    }
}

/// Adds to the length that `field` starts with; the old and the new one.
fn lengthen(field: &mut [u8], more: usize) -> (u16, u16) {
    let old = u16::from_be_bytes([field[0], field[1]]);
    let new = old + more as u16;
    field[..2].copy_from_slice(&new.to_be_bytes());
    (old, new)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        device::DeviceInfo,
        frame::{Offloads, RxMeta, RxQueue},
        ip::Cidr,
        stack::{Config, Stack},
        time::Instant,
        wire::{MacAddr, arp, checksum::Checksum},
    };
    use alloc::{vec, vec::Vec};
    use core::net::SocketAddr;

    const NOW: Instant = Instant::from_nanos(10_000_000_000);
    const PEER: MacAddr = MacAddr([2, 0, 0, 0, 0, 9]);

    fn stack(offloads: Offloads) -> Stack {
        let cidrs = ["10.0.0.2/24"].map(|cidr| cidr.parse::<Cidr>().unwrap());
        let config = Config { addresses: cidrs.to_vec(), ..Config::default() };
        let mac = MacAddr([2, 0, 0, 0, 0, 1]);
        let info = DeviceInfo { mac, mtu: 1500, offloads, io_mode: "wire" };
        let pool = crate::Pool::heap(crate::PoolConfig::default());
        let mut stack = Stack::new(&config, &info, pool, [7; 32], NOW);
        // The peer asks for us, so that its address is known.
        let question = arp::Arp {
            operation: arp::Operation::Request,
            sender_mac: PEER,
            sender: "10.0.0.9".parse().unwrap(),
            target_mac: MacAddr::default(),
            target: "10.0.0.2".parse().unwrap(),
        };
        let mut frame = Vec::from(MacAddr::BROADCAST.0);
        frame.extend([&PEER.0[..], &[8, 6], &question.encode()].concat());
        let (mut rx, mut tx) = (RxQueue::default(), TxQueue::default());
        rx.push(RxMeta::default(), Slice::from(frame), []);
        stack.receive(NOW, &mut rx, &mut tx);
        stack
    }

    /// Sends datagrams of these lengths to these ports; the frames' lengths behind Ethernet, their
    /// segmentation, and whether every length and sum in them is right.
    fn sent(offloads: Offloads, datagrams: &[(usize, u16)]) -> Vec<(usize, Option<u16>)> {
        let mut stack = stack(offloads);
        let id = stack.udp.bind("0.0.0.0:7".parse().unwrap()).unwrap();
        let mut tx = TxQueue::default();
        for (len, port) in datagrams {
            let to = SocketAddr::new("10.0.0.9".parse().unwrap(), *port);
            stack.send_udp(NOW, &mut tx, id, to, &[Slice::from(vec![3; *len])]).unwrap();
        }
        let mut frames = Vec::new();
        while let Some((meta, slices)) = tx.pop() {
            let bytes: Vec<u8> = slices.flat_map(|slice| slice.to_vec()).collect();
            let packet = &bytes[14..];
            let header = ipv4::Header::parse(packet, packet.len()).expect("a right header");
            assert_eq!(header.total_len, packet.len());
            let datagram = &packet[20..];
            let len = u16::from_be_bytes([datagram[4], datagram[5]]);
            assert_eq!(usize::from(len), datagram.len());
            let (local, remote) = (header.src.into(), header.dst.into());
            let pseudo =
                Checksum::pseudo_header(local, remote, udp::PROTOCOL, datagram.len()).partial();
            assert_eq!(u16::from_be_bytes([datagram[6], datagram[7]]), pseudo);
            frames.push((datagram.len() - 8, meta.gso.map(|gso| gso.size)));
        }
        frames
    }

    #[test]
    fn datagrams_of_one_size_leave_as_one_frame() {
        let all = Offloads::TX_CSUM | Offloads::USO;
        assert_eq!(sent(all, &[(64, 5000); 10]), [(640, Some(64))]);
        assert_eq!(sent(all, &[(64, 5000)]), [(64, None)]);
        assert_eq!(sent(Offloads::TX_CSUM, &[(64, 5000); 2]), [(64, None); 2]);
    }

    #[test]
    fn only_the_last_of_a_train_is_shorter() {
        let all = Offloads::TX_CSUM | Offloads::USO;
        let lens = [(100, 5000), (100, 5000), (60, 5000), (60, 5000), (70, 5000)];
        assert_eq!(sent(all, &lens), [(260, Some(100)), (60, None), (70, None)]);
    }

    #[test]
    fn a_train_has_one_destination() {
        let all = Offloads::TX_CSUM | Offloads::USO;
        let ports = [(50, 5000), (50, 5001), (50, 5001), (50, 5000)];
        assert_eq!(sent(all, &ports), [(50, None), (100, Some(50)), (50, None)]);
    }

    #[test]
    fn empty_datagrams_leave_alone() {
        let all = Offloads::TX_CSUM | Offloads::USO;
        assert_eq!(sent(all, &[(0, 5000), (0, 5000)]), [(0, None); 2]);
    }

    #[test]
    fn a_train_is_as_long_as_its_lengths_and_a_device_allow() {
        let all = Offloads::TX_CSUM | Offloads::USO;
        let frames = sent(all, &[(1472, 5000); 100]);
        assert!(frames.iter().all(|(bytes, _)| *bytes <= MAX_SLICES * 1472));
        assert_eq!(frames.iter().map(|(bytes, _)| bytes).sum::<usize>(), 147_200);
    }
}
