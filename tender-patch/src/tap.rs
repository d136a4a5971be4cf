//! Host taps.

use crate::sys;
use shmring::abi::Features;
use std::{
    fs::OpenOptions,
    io,
    os::fd::{AsFd, AsRawFd, OwnedFd, RawFd},
    os::unix::fs::OpenOptionsExt,
};

const TUNSETIFF: libc::c_ulong = 0x4004_54ca;
const TUNGETIFF: libc::c_ulong = 0x8004_54d2;
const TUNSETOFFLOAD: libc::c_ulong = 0x4004_54d0;
const TUNSETVNETHDRSZ: libc::c_ulong = 0x4004_54d8;
const TUN_F_CSUM: libc::c_ulong = 1;
const TUN_F_TSO4: libc::c_ulong = 2;
const TUN_F_TSO6: libc::c_ulong = 4;
const TUN_F_USO: libc::c_ulong = 0x20 | 0x40;

/// Bytes of the header in front of each frame when the tap has one.
pub(crate) const VNET_HEADER: usize = 10;

#[repr(C)]
struct Request {
    name: [u8; libc::IFNAMSIZ],
    value: RequestValue,
}

#[repr(C)]
union RequestValue {
    flags: libc::c_short,
    mtu: libc::c_int,
    space: [u8; 24],
}

/// A tap.
#[derive(Debug)]
pub(crate) struct Tap {
    fd: OwnedFd,
    /// Whether each frame has a vnet header.
    pub(crate) vnet: bool,
    /// Largest IP packet.
    pub(crate) mtu: u16,
}

impl AsRawFd for Tap {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}

impl Tap {
    /// Opens the tap `spec`, an interface's name or `@` and a descriptor's number, with a vnet
    /// header if `vnet` asks for it.
    pub(crate) fn open(spec: &str, vnet: bool) -> Result<Tap, String> {
        let tap = match spec.strip_prefix('@') {
            Some(number) => {
                let fd = number.parse().ok().and_then(|fd| sys::inherited(fd).ok());
                let fd = fd.ok_or_else(|| format!("{spec} is not an open descriptor"))?;
                let request = interface(&fd).map_err(|e| format!("{spec} is not a tap: {e}"))?;
                // SAFETY: the kernel filled the flags in; every bit pattern is one.
                let flags = libc::c_int::from(unsafe { request.value.flags });
                Tap { fd, vnet: flags & libc::IFF_VNET_HDR != 0, mtu: 1500 }
            }
            None => Tap { fd: open(spec, vnet)?, vnet, mtu: 1500 },
        };
        sys::set_nonblocking(tap.fd.as_fd()).map_err(|e| format!("{spec}: {e}"))?;
        let mtu = mtu(&tap.fd).map_err(|e| format!("{spec}: could not read its MTU: {e}"))?;
        let tap = Tap { mtu, ..tap };
        // A tap that outlives its users keeps what the last one set.
        tap.plain().map_err(|e| format!("{spec}: could not set the tap up: {e}"))?;
        Ok(tap)
    }

    /// A tap whose other end is a socket of packets.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn of_socket(fd: OwnedFd, vnet: bool) -> Tap {
        Tap { fd, vnet, mtu: 1500 }
    }

    /// Whole frames with checksums, behind a header of the usual length.
    fn plain(&self) -> io::Result<()> {
        self.set_offloads(Features::empty())?;
        if self.vnet {
            let mut size = VNET_HEADER as libc::c_int;
            // SAFETY: the request takes a pointer to an int.
            unsafe { sys::ioctl(self, TUNSETVNETHDRSZ, &mut size) }?;
        }
        Ok(())
    }

    /// Whether the host cuts and coalesces UDP datagrams (Linux 6.2 and later).
    pub(crate) fn segments_udp(&self) -> bool {
        let all = Features::RX_CSUM | Features::RX_GSO | Features::USO;
        self.vnet && self.set_offloads(all).is_ok() && self.set_offloads(Features::empty()).is_ok()
    }

    /// Tells the host which received frames the guest takes: with partial checksums, coalesced.
    pub(crate) fn set_offloads(&self, features: Features) -> io::Result<()> {
        let mut bits = 0;
        if features.contains(Features::RX_CSUM) {
            bits |= TUN_F_CSUM;
        }
        if features.contains(Features::RX_GSO) {
            bits |= TUN_F_TSO4 | TUN_F_TSO6;
            if features.contains(Features::USO) {
                bits |= TUN_F_USO;
            }
        }
        if cfg!(any(test, feature = "fuzzing")) {
            return Ok(());
        }
        // SAFETY: the request takes a number.
        unsafe { sys::ioctl_value(self, TUNSETOFFLOAD, bits) }
    }
}

/// Taps as they were found: a tap that outlives the tender keeps its offloads, and the next user may
/// be one that does not know them.
#[derive(Debug, Default)]
pub(crate) struct Restore(Vec<Tap>);

impl Restore {
    /// Takes note of a tap.
    pub(crate) fn add(&mut self, tap: &Tap) -> Result<(), String> {
        let fd = tap.fd.try_clone().map_err(|e| format!("could not duplicate a tap: {e}"))?;
        self.0.push(Tap { fd, ..*tap });
        Ok(())
    }

    /// Takes the offloads off.
    pub(crate) fn now(&self) {
        for tap in &self.0 {
            // It may be gone by now.
            let _ = tap.set_offloads(Features::empty());
        }
    }
}

fn open(name: &str, vnet: bool) -> Result<OwnedFd, String> {
    if name.is_empty() || name.len() >= libc::IFNAMSIZ || !name.is_ascii() {
        return Err(format!("`{name}` is no name of an interface"));
    }
    if !sys::interface_exists(name) {
        return Err(format!(
            "no network interface `{name}`; make it with `ip tuntap add {name} mode tap` and \
             `ip link set {name} up`"
        ));
    }
    let device = "/dev/net/tun";
    let file = OpenOptions::new().read(true).write(true).custom_flags(libc::O_CLOEXEC).open(device);
    let fd = OwnedFd::from(file.map_err(|e| format!("could not open {device}: {e}"))?);
    let mut request = Request { name: [0; libc::IFNAMSIZ], value: RequestValue { space: [0; 24] } };
    request.name[..name.len()].copy_from_slice(name.as_bytes());
    let vnet = if vnet { libc::IFF_VNET_HDR } else { 0 };
    request.value.flags = (libc::IFF_TAP | libc::IFF_NO_PI | vnet) as libc::c_short;
    // SAFETY: TUNSETIFF takes an ifreq, whose layout `Request` has.
    unsafe { sys::ioctl(&fd, TUNSETIFF, &mut request) }.map_err(|e| match e.raw_os_error() {
        Some(libc::EBUSY) => format!("the tap {name} is in use by another process"),
        Some(libc::EPERM) => format!(
            "no permission to use the tap {name}; make it with `ip tuntap add {name} mode tap \
             user $USER`"
        ),
        Some(libc::EINVAL) => format!("{name} is not a tap"),
        _ => format!("could not attach to the tap {name}: {e}"),
    })?;
    Ok(fd)
}

fn interface(fd: &OwnedFd) -> io::Result<Request> {
    let mut request = Request { name: [0; libc::IFNAMSIZ], value: RequestValue { space: [0; 24] } };
    // SAFETY: TUNGETIFF fills an ifreq in, whose layout `Request` has.
    unsafe { sys::ioctl(fd, TUNGETIFF, &mut request) }?;
    Ok(request)
}

fn mtu(fd: &OwnedFd) -> io::Result<u16> {
    let mut request = interface(fd)?;
    // SAFETY: SIOCGIFMTU takes an ifreq, whose layout `Request` has.
    unsafe { sys::ioctl(&sys::control_socket()?, libc::SIOCGIFMTU, &mut request) }?;
    // SAFETY: the kernel filled the MTU in; every bit pattern is a number.
    let mtu = unsafe { request.value.mtu };
    Ok(u16::try_from(mtu).unwrap_or(u16::MAX))
}
