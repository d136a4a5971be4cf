//! Requests to the kernel that no kept crate wraps.

use rustix::{
    fd::AsFd,
    io,
    ioctl::{self, Opcode, Updater},
};

/// An interface request: a name and a value (struct ifreq).
#[repr(C)]
pub(super) struct Request {
    name: [u8; 16],
    value: [u8; 24],
}

impl Request {
    pub(super) fn new(name: &str, value: i32) -> Option<Request> {
        let bytes = name.as_bytes();
        let mut request = Request { name: [0; 16], value: [0; 24] };
        request.name.get_mut(..bytes.len()).filter(|_| bytes.len() < 16)?.copy_from_slice(bytes);
        request.value[..4].copy_from_slice(&value.to_ne_bytes());
        Some(request)
    }

    pub(super) fn value(&self) -> i32 {
        let [a, b, c, d, ..] = self.value;
        i32::from_ne_bytes([a, b, c, d])
    }
}

const TUNSETIFF: Opcode = 0x4004_54ca;
const TUNSETOFFLOAD: Opcode = 0x4004_54d0;
const TUNSETVNETHDRSZ: Opcode = 0x4004_54d8;
const SIOCGIFMTU: Opcode = 0x8921;

/// Makes an open tun device the interface of the request.
pub(super) fn set_interface(fd: impl AsFd, request: &mut Request) -> io::Result<()> {
    // SAFETY: TUNSETIFF reads and writes an ifreq.
    unsafe { ioctl::ioctl(fd, Updater::<TUNSETIFF, Request>::new(request)) }
}

/// Says which received frames are taken: with partial checksums, coalesced.
pub(super) fn set_offload(fd: impl AsFd, bits: usize) -> io::Result<()> {
    // SAFETY: TUNSETOFFLOAD takes a number.
    unsafe { ioctl::ioctl(fd, ioctl::IntegerSetter::<TUNSETOFFLOAD>::new_usize(bits)) }
}

/// Sets the length of the header in front of each frame.
pub(super) fn set_header_len(fd: impl AsFd, len: i32) -> io::Result<()> {
    // SAFETY: TUNSETVNETHDRSZ reads an int.
    unsafe { ioctl::ioctl(fd, ioctl::Setter::<TUNSETVNETHDRSZ, i32>::new(len)) }
}

/// Fills the interface's MTU into the request.
pub(super) fn mtu(fd: impl AsFd, request: &mut Request) -> io::Result<()> {
    // SAFETY: SIOCGIFMTU reads and writes an ifreq.
    unsafe { ioctl::ioctl(fd, Updater::<SIOCGIFMTU, Request>::new(request)) }
}

/// Bytes of the kernel's generator.
pub(super) fn random() -> [u8; 32] {
    let mut seed = [0; 32];
    let mut at = 0;
    while at < seed.len() {
        match rustix::rand::getrandom(&mut seed[at..], rustix::rand::GetRandomFlags::empty()) {
            Ok(n) => at += n,
            Err(io::Errno::INTR) => {}
            Err(e) => panic!("the kernel has no random numbers: {e}"),
        }
    }
    seed
}
