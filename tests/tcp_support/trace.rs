//! Traces that read like a capture: one TCP instance, and the test as its peer.

use super::{Packet, TestNet};
use std::net::{IpAddr, SocketAddr};
use zerohop::{
    Slice,
    frame::RxCsum,
    ip::{Ecn, Network},
    tcp::{Config, ConnId, Event, Info, ListenOptions, ListenerId, Options, Read, Tcp},
    time::Duration,
    wire::{
        checksum::Checksum,
        tcp::{Flags, HEADER_LEN, Header, PROTOCOL, SackBlocks, SeqNum, TcpOptions, Timestamps},
    },
};

/// The peer's initial sequence number; segments speak of numbers relative to it.
pub const PEER_ISS: u32 = 0xffff_f000;
pub const PEER_PORT: u16 = 4000;
pub const PORT: u16 = 80;

/// A segment to inject, or what a sent one must look like. Sequence numbers are relative to the
/// initial one of the side that they count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seg {
    pub flags: Flags,
    pub seq: u32,
    pub ack: u32,
    pub len: u32,
    pub win: u16,
    pub mss: Option<u16>,
    pub ws: Option<u8>,
    pub sack_ok: bool,
    pub ts: Option<(u32, u32)>,
    pub sack: Vec<(u32, u32)>,
    pub ecn: Ecn,
}

/// `seg!(SYN | ACK, seq = 0, ack = 1, mss = Some(1460))`
#[macro_export]
macro_rules! seg {
    ($flags:expr $(, $field:ident = $value:expr)* $(,)?) => {{
        #[allow(unused_imports)]
        use $crate::tcp_support::trace::flags::*;
        #[allow(clippy::needless_update)]
        $crate::tcp_support::trace::Seg {
            flags: $flags,
            $($field: $value,)*
            ..$crate::tcp_support::trace::Seg::default()
        }
    }};
}

/// Hands a segment of the peer to the stack, and lets it answer.
#[macro_export]
macro_rules! inject {
    ($t:expr, $($seg:tt)*) => { $t.inject(&$crate::seg!($($seg)*)) };
}

/// The peer, which has sent no data, acknowledges all before `$ack`, and announces as much room as
/// ever.
#[macro_export]
macro_rules! ack {
    ($t:expr, $ack:expr $(, $field:ident = $value:expr)* $(,)?) => {
        $crate::inject!($t, ACK, seq = 1, ack = $ack, win = 60_000 $(, $field = $value)*)
    };
}

/// The next segment that the stack sent has these flags and these fields; others are not looked
/// at.
#[macro_export]
macro_rules! expect {
    ($t:expr, $flags:expr $(, $field:ident = $value:expr)* $(,)?) => {{
        #[allow(unused_imports)]
        use $crate::tcp_support::trace::flags::*;
        let got = $t.take_sent().expect("a segment is sent");
        assert_eq!(got.flags, $flags, "flags of {got:?}");
        $(assert_eq!(got.$field, $value, "{} of {got:?}", stringify!($field));)*
        got
    }};
}

/// Names of the control bits.
pub mod flags {
    use zerohop::wire::tcp::Flags;
    pub const FIN: Flags = Flags::FIN;
    pub const SYN: Flags = Flags::SYN;
    pub const RST: Flags = Flags::RST;
    pub const PSH: Flags = Flags::PSH;
    pub const ACK: Flags = Flags::ACK;
    pub const URG: Flags = Flags::URG;
    pub const ECE: Flags = Flags::ECE;
    pub const CWR: Flags = Flags::CWR;
    pub fn none() -> Flags {
        Flags::empty()
    }
}

pub struct Trace {
    pub tcp: Tcp,
    pub net: TestNet,
    pub peer: IpAddr,
    /// Our initial sequence number, once it was seen.
    pub iss: u32,
    pub port: u16,
    pub peer_port: u16,
    pub listener: Option<ListenerId>,
    /// The byte at each sequence number of the peer's stream.
    pub corrupt_next: bool,
}

pub fn byte_at(offset: u32) -> u8 {
    (offset % 251) as u8
}

impl Trace {
    pub fn new(config: Config) -> Trace {
        let net = TestNet::with_buffers("10.0.0.2".parse().unwrap(), 512);
        Trace {
            tcp: Tcp::new(config, [7; 32], net.now()),
            net,
            peer: "10.0.0.1".parse().unwrap(),
            iss: 0,
            port: PORT,
            peer_port: PEER_PORT,
            listener: None,
            corrupt_next: false,
        }
    }

    pub fn info(&self, id: ConnId) -> Info {
        self.tcp.info(id).unwrap()
    }

    /// An instance that listens.
    pub fn listening() -> Trace {
        Trace::listening_with(Config::default(), ListenOptions::default())
    }

    pub fn listening_with(config: Config, options: ListenOptions) -> Trace {
        let mut t = Trace::new(config);
        let local = SocketAddr::new(t.net.address, PORT);
        t.listener = Some(t.tcp.listen(local, options).unwrap());
        t
    }

    /// An established connection that the peer opened, with the SYN's options as given; its
    /// segments must carry timestamps if the SYN has them.
    pub fn established_by(mut self, syn: Seg) -> (Trace, ConnId) {
        let ts = syn.ts;
        self.inject(&syn);
        let answer = self.take_sent().expect("a SYN-ACK");
        assert!(answer.flags.contains(Flags::SYN | Flags::ACK), "{answer:?}");
        let win = syn.win;
        self.inject(&Seg {
            flags: Flags::ACK,
            seq: 1,
            ack: 1,
            win,
            ts: ts.map(|(val, _)| (val, answer.ts.unwrap().0)),
            ..Seg::default()
        });
        let listener = self.listener.unwrap();
        let id = self.tcp.accept(listener).unwrap().expect("established");
        assert!(self.net.sent.is_empty());
        while self.tcp.take_event().is_some() {}
        (self, id)
    }

    /// The usual: MSS 1000, SACK, no scaling, no timestamps.
    pub fn established() -> (Trace, ConnId) {
        Trace::listening().established_by(Trace::syn())
    }

    pub fn syn() -> Seg {
        Seg { flags: Flags::SYN, win: 60_000, mss: Some(1000), sack_ok: true, ..Seg::default() }
    }

    pub fn connect(&mut self, options: &Options) -> ConnId {
        let remote = SocketAddr::new(self.peer, PEER_PORT);
        let id = self.tcp.connect(&mut self.net, remote, None, options).unwrap();
        self.port = self.tcp.local_addr(id).unwrap().port();
        self.poll();
        id
    }

    pub fn inject(&mut self, seg: &Seg) {
        let bytes = self.encode(seg);
        self.inject_bytes(bytes, seg.ecn);
    }

    pub fn inject_bytes(&mut self, bytes: Vec<u8>, ecn: Ecn) {
        self.receive_only(bytes, ecn);
        self.poll();
    }

    /// Without the poll: as one of a batch.
    pub fn receive_only(&mut self, bytes: Vec<u8>, ecn: Ecn) {
        self.receive(Slice::from(bytes), ecn);
    }

    pub fn receive_slice(&mut self, slice: Slice) {
        self.receive(slice, Ecn::NotEct);
    }

    /// A segment whose bytes lie in slices of `n`.
    pub fn receive_pieces(&mut self, bytes: &[u8], n: usize) {
        let slices = bytes.chunks(n).map(|c| Slice::from(c.to_vec())).collect();
        self.receive_slices(slices, Ecn::NotEct);
        self.poll();
    }

    fn receive(&mut self, slice: Slice, ecn: Ecn) {
        self.receive_slices(vec![slice], ecn);
    }

    fn receive_slices(&mut self, slices: Vec<Slice>, ecn: Ecn) {
        let packet = Packet {
            src: self.peer,
            dst: self.net.address,
            ecn,
            gso: None,
            csum: RxCsum::Unknown,
            slices,
        };
        let (incoming, mut chain) = packet.into_parts();
        self.tcp.receive(&mut self.net, &incoming, &mut chain);
    }

    pub fn encode(&self, seg: &Seg) -> Vec<u8> {
        let mut sack = SackBlocks::default();
        for &(start, end) in &seg.sack {
            sack.push(self.ours(start), self.ours(end));
        }
        let options = TcpOptions {
            mss: seg.mss,
            window_scale: seg.ws,
            sack_permitted: seg.sack_ok,
            timestamps: seg.ts.map(|(val, ecr)| Timestamps { val, ecr }),
            sack,
        };
        let header_len = HEADER_LEN + options.encoded_len();
        let mut bytes = vec![0; header_len];
        let header = Header {
            src_port: self.peer_port,
            dst_port: self.port,
            seq: SeqNum(PEER_ISS) + seg.seq,
            ack: if seg.flags.contains(Flags::ACK) { self.ours(seg.ack) } else { SeqNum(0) },
            header_len: header_len as u8,
            flags: seg.flags,
            window: seg.win,
        };
        header.write(&mut bytes);
        options.write(&mut bytes[HEADER_LEN..]);
        bytes.extend((0..seg.len).map(|i| byte_at(seg.seq.wrapping_add(i))));
        self.finish(&mut bytes);
        bytes
    }

    /// Puts the right checksum in.
    pub fn finish(&self, bytes: &mut [u8]) {
        bytes[16..18].copy_from_slice(&[0, 0]);
        let mut sum = Checksum::pseudo_header(self.peer, self.net.address, PROTOCOL, bytes.len());
        sum.add(bytes);
        let sum = sum.finish();
        bytes[16..18].copy_from_slice(&sum.to_be_bytes());
    }

    fn ours(&self, relative: u32) -> SeqNum {
        SeqNum(self.iss) + relative
    }

    /// Lets the stack send what is due.
    pub fn poll(&mut self) {
        self.net.room = usize::MAX;
        self.tcp.poll(&mut self.net);
    }

    /// Lets time pass; timers fire when they are due.
    pub fn pass(&mut self, time: Duration) {
        let end = self.net.now + time;
        while let Some(at) = self.tcp.poll_at()
            && at <= end
        {
            self.net.now = self.net.now.max(at);
            self.poll();
        }
        self.net.now = end;
        self.poll();
    }

    /// [`Trace::pass`] that panics when it takes more than `steps`.
    pub fn pass_bounded(&mut self, time: Duration, mut steps: u32) {
        let end = self.net.now + time;
        while let Some(at) = self.tcp.poll_at()
            && at <= end
        {
            steps = steps.checked_sub(1).expect("timers come to rest");
            self.net.now = self.net.now.max(at);
            self.poll();
            self.net.sent.clear();
        }
        self.net.now = end;
        self.poll();
    }

    /// Whether the options fit into a header.
    pub fn encodes(&self, seg: &Seg) -> bool {
        let sack = if seg.sack.is_empty() { 0 } else { 4 + 8 * seg.sack.len() };
        let ts = if seg.ts.is_some() { 12 } else { 4 * usize::from(seg.sack_ok) };
        let others = 4 * (usize::from(seg.mss.is_some()) + usize::from(seg.ws.is_some()));
        sack + ts + others <= 40
    }

    /// The next segment that was sent.
    pub fn take_sent(&mut self) -> Option<Seg> {
        let packet = self.net.sent.pop_front()?;
        let bytes = packet.bytes();
        let mut sum = Checksum::pseudo_header(packet.src, packet.dst, PROTOCOL, bytes.len());
        sum.add(&bytes);
        if packet.csum == RxCsum::Unknown {
            assert_eq!(sum.finish(), 0, "checksum");
        }
        let header = Header::parse(&bytes).unwrap();
        let options =
            TcpOptions::parse(&bytes[HEADER_LEN..usize::from(header.header_len)]).unwrap();
        if header.flags.contains(Flags::SYN) {
            self.iss = header.seq.0;
        }
        let theirs = |seq: SeqNum| seq - SeqNum(PEER_ISS);
        Some(Seg {
            flags: header.flags,
            seq: header.seq - SeqNum(self.iss),
            ack: if header.flags.contains(Flags::ACK) { theirs(header.ack) } else { 0 },
            len: (bytes.len() - usize::from(header.header_len)) as u32,
            win: header.window,
            mss: options.mss,
            ws: options.window_scale,
            sack_ok: options.sack_permitted,
            ts: options.timestamps.map(|t| (t.val, t.ecr)),
            sack: options.sack.as_slice().iter().map(|&(a, b)| (theirs(a), theirs(b))).collect(),
            ecn: packet.ecn,
        })
    }

    /// Nothing was sent.
    pub fn silent(&mut self) {
        let next = self.take_sent();
        assert_eq!(next, None, "nothing is sent");
    }

    /// Queues `n` bytes and lets them go.
    pub fn write(&mut self, id: ConnId, n: usize) {
        let mut data = Slice::from(vec![0x55; n]);
        assert_eq!(self.tcp.write(id, &mut data).unwrap(), n);
        self.poll();
    }

    /// Reads all there is and checks it against the peer's stream from `from` on.
    pub fn read(&mut self, id: ConnId, mut from: u32) -> usize {
        let mut n = 0;
        while let Read::Data(slice) = self.tcp.read(id, usize::MAX).unwrap() {
            for byte in slice.iter() {
                assert_eq!(*byte, byte_at(from), "at {from}");
                from += 1;
            }
            n += slice.len();
        }
        self.poll();
        n
    }

    pub fn events(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.tcp.take_event()).collect()
    }
}
