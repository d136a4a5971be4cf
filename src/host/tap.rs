//! A Linux tap as a device.
#![forbid(unsafe_code)]

use super::sys::{self, Request};
use crate::{
    PacketBuf, Pool, PoolConfig,
    device::{Device, DeviceInfo},
    frame::{Gso, GsoKind, Offloads, RxCsum, RxMeta, RxQueue, TxMeta, TxQueue},
    time::{Duration, Instant},
    wire::MacAddr,
};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fd::OwnedFd,
    fs::{Mode, OFlags},
    io::{readv, writev},
};
use std::{
    cell::RefCell,
    io::{IoSlice, IoSliceMut},
    rc::Rc,
};

const IFF_TAP: i32 = 2;
const IFF_NO_PI: i32 = 0x1000;
const IFF_VNET_HDR: i32 = 0x4000;
const CSUM_TSO4_TSO6: usize = 7;
const USO: usize = 0x20 | 0x40;
const HEADER: usize = 10;
const NEEDS_CSUM: u8 = 1;
const DATA_VALID: u8 = 2;
const TCPV4: u8 = 1;
const TCPV6: u8 = 4;
const UDP_L4: u8 = 5;
const ECN: u8 = 0x80;
/// Buffers that the largest coalesced frame fills.
const BUFFERS: usize = 36;
/// Bytes left free in front of a received frame.
const HEADROOM: usize = 64;

/// The taps of a process: each wakes for frames at any of them.
#[derive(Clone, Default)]
pub struct Wakers(Rc<RefCell<Vec<Rc<OwnedFd>>>>);

/// A tap.
pub struct Tap {
    fd: Rc<OwnedFd>,
    wakers: Wakers,
    info: DeviceInfo,
    pool: Pool,
    buffers: Vec<PacketBuf>,
}

impl Tap {
    /// Opens the tap `name`, which must exist.
    ///
    /// # Errors
    /// A line that says what is wrong and what to do.
    pub fn open(name: &str, wakers: &Wakers) -> Result<Tap, String> {
        let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let fd = rustix::fs::open("/dev/net/tun", flags, Mode::empty())
            .map_err(|e| format!("could not open /dev/net/tun: {e}"))?;
        let socket = rustix::net::socket(
            rustix::net::AddressFamily::INET,
            rustix::net::SocketType::DGRAM,
            None,
        )
        .map_err(|e| format!("could not open a socket: {e}"))?;
        // Not by sysfs, which may show another network namespace's.
        if name.is_empty() {
            return Err("--tap= needs the name of a tap, as in --tap=tap100".into());
        }
        rustix::net::netdevice::name_to_index(&socket, name).map_err(|_| {
            format!("no network interface `{name}`; make it with `ip tuntap add {name} mode tap`")
        })?;
        let long = || format!("`{name}` is no name of an interface");
        let mut request =
            Request::new(name, IFF_TAP | IFF_NO_PI | IFF_VNET_HDR).ok_or_else(long)?;
        sys::set_interface(&fd, &mut request)
            .map_err(|e| format!("could not attach to the tap {name}: {}", hint(name, e)))?;
        // A tap that outlives its users keeps what the last one set.
        sys::set_header_len(&fd, HEADER as i32)
            .map_err(|e| format!("the tap {name} takes no headers: {e}"))?;
        // Only Linux 6.2 and later cut datagrams.
        let uso = sys::set_offload(&fd, CSUM_TSO4_TSO6 | USO).is_ok();
        if !uso {
            sys::set_offload(&fd, CSUM_TSO4_TSO6)
                .map_err(|e| format!("the tap {name} takes no offloads: {e}"))?;
        }
        let mut request = Request::new(name, 0).ok_or_else(long)?;
        sys::mtu(&socket, &mut request).map_err(|e| format!("{name}: no MTU: {e}"))?;
        let [a, b, c, d, e, ..] = sys::random();
        let info = DeviceInfo {
            mac: MacAddr([2, a, b, c, d, e]),
            mtu: u16::try_from(request.value()).unwrap_or(u16::MAX),
            offloads: if uso { Offloads::all() } else { Offloads::all() - Offloads::USO },
            io_mode: "tap",
        };
        let pool = Pool::heap(PoolConfig { count: 4096, ..PoolConfig::default() });
        let (fd, wakers) = (Rc::new(fd), wakers.clone());
        wakers.0.borrow_mut().push(fd.clone());
        Ok(Tap { fd, wakers, info, pool, buffers: Vec::with_capacity(BUFFERS) })
    }

    fn read(&mut self) -> Option<(usize, RxMeta)> {
        while self.buffers.len() < BUFFERS {
            let Some(mut buf) = self.pool.alloc() else { break };
            buf.reset(HEADROOM);
            let room = buf.tailroom();
            buf.append(room);
            self.buffers.push(buf);
        }
        if self.buffers.len() < BUFFERS {
            // A frame that does not fit would be cut.
            return None;
        }
        let mut header = [0; HEADER];
        let mut vectors: [IoSliceMut<'_>; BUFFERS + 1] =
            core::array::from_fn(|_| IoSliceMut::new(&mut []));
        vectors[0] = IoSliceMut::new(&mut header);
        for (vector, buf) in vectors[1..].iter_mut().zip(&mut self.buffers) {
            *vector = IoSliceMut::new(buf);
        }
        let len = readv(&self.fd, &mut vectors).ok()?;
        Some((len.saturating_sub(HEADER), rx_meta(&header)))
    }
}

fn hint(name: &str, error: rustix::io::Errno) -> String {
    use rustix::io::Errno;
    match error {
        Errno::PERM => {
            format!("no permission; make it with `ip tuntap add {name} mode tap user $USER`")
        }
        Errno::BUSY => "another process uses it".into(),
        Errno::INVAL => "it is no tap".into(),
        _ => error.to_string(),
    }
}

fn rx_meta(header: &[u8; HEADER]) -> RxMeta {
    let valid = header[0] & (NEEDS_CSUM | DATA_VALID) != 0;
    let kind = match header[1] & !ECN {
        TCPV4 => Some(GsoKind::Tcp4),
        TCPV6 => Some(GsoKind::Tcp6),
        UDP_L4 => Some(GsoKind::Udp),
        _ => None,
    };
    let size = u16::from_le_bytes([header[4], header[5]]);
    RxMeta {
        csum: if valid { RxCsum::Valid } else { RxCsum::Unknown },
        gso: kind.map(|kind| Gso { kind, size, ecn: header[1] & ECN != 0 }),
    }
}

fn tx_header(meta: &TxMeta, head: usize) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    if let Some(csum) = meta.csum {
        header[0] = NEEDS_CSUM;
        header[6..8].copy_from_slice(&csum.start.to_le_bytes());
        header[8..10].copy_from_slice(&csum.offset.to_le_bytes());
    }
    if let Some(gso) = meta.gso {
        header[1] = match gso.kind {
            GsoKind::Tcp4 => TCPV4,
            GsoKind::Tcp6 => TCPV6,
            GsoKind::Udp => UDP_L4,
        } | if gso.ecn { ECN } else { 0 };
        header[2..4].copy_from_slice(&(head as u16).to_le_bytes());
        header[4..6].copy_from_slice(&gso.size.to_le_bytes());
    }
    header
}

impl Device for Tap {
    fn info(&self) -> &DeviceInfo {
        &self.info
    }

    fn pool(&self) -> &Pool {
        &self.pool
    }

    fn receive(&mut self, queue: &mut RxQueue, budget: usize) -> usize {
        for count in 0..budget {
            let Some((len, meta)) = self.read() else { return count };
            let mut rest = len;
            let mut used = 0;
            queue.begin();
            while rest > 0 && used < self.buffers.len() {
                let buf = &mut self.buffers[used];
                buf.truncate(rest);
                rest -= buf.len();
                used += 1;
            }
            self.buffers.drain(..used).for_each(|buf| queue.add(buf.freeze()));
            queue.finish(meta);
        }
        budget
    }

    fn transmit(&mut self, queue: &mut TxQueue) -> usize {
        let mut count = 0;
        while let Some((meta, _)) = queue.peek() {
            let head = queue.peek_frags().next().map_or(0, |slice| slice.len());
            let header = tx_header(meta, head);
            let mut vectors: [IoSlice<'_>; 64] = core::array::from_fn(|_| IoSlice::new(&[]));
            vectors[0] = IoSlice::new(&header);
            let mut used = 1;
            for (vector, slice) in vectors[1..].iter_mut().zip(queue.peek_frags()) {
                *vector = IoSlice::new(slice);
                used += 1;
            }
            // A frame that the tap does not take is lost, as on a wire.
            let _ = writev(&self.fd, &vectors[..used]);
            count += 1;
            queue.pop();
        }
        count
    }

    fn wait(&mut self, until: Option<Instant>) {
        let left = until.map_or(Duration::from_secs(1), |until| until - super::now());
        let timeout =
            Timespec { tv_sec: left.as_secs() as i64, tv_nsec: i64::from(left.subsec_nanos()) };
        let taps = self.wakers.0.borrow();
        let mut fds: Vec<_> = taps.iter().map(|fd| PollFd::new(fd, PollFlags::IN)).collect();
        let _ = poll(&mut fds, Some(&timeout));
    }
}
