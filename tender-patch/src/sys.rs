//! The system calls that no kept crate wraps for guest memory and taps.

use std::{
    io,
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
    time::Duration,
};

fn checked(result: libc::ssize_t) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}

/// One `readv`.
///
/// # Safety
/// Every vector must be memory that the kernel may write and to which no reference exists.
pub(crate) unsafe fn readv(fd: &impl AsRawFd, vectors: &[libc::iovec]) -> io::Result<usize> {
    // SAFETY: the caller vouches for the vectors.
    checked(unsafe { libc::readv(fd.as_raw_fd(), vectors.as_ptr(), vectors.len() as libc::c_int) })
}

/// One `writev`.
///
/// # Safety
/// Every vector must be memory that the kernel may read.
pub(crate) unsafe fn writev(fd: &impl AsRawFd, vectors: &[libc::iovec]) -> io::Result<usize> {
    // SAFETY: the caller vouches for the vectors.
    checked(unsafe { libc::writev(fd.as_raw_fd(), vectors.as_ptr(), vectors.len() as libc::c_int) })
}

/// Waits until one of up to 64 `fds` is readable; sets bit i of the result for the i-th. A manifest
/// has room for 62 networks.
pub(crate) fn poll(fds: &[RawFd], timeout: Option<Duration>) -> u64 {
    let mut polls = [libc::pollfd { fd: -1, events: 0, revents: 0 }; 64];
    let count = fds.len().min(polls.len());
    for (poll, fd) in polls.iter_mut().zip(fds) {
        *poll = libc::pollfd { fd: *fd, events: libc::POLLIN, revents: 0 };
    }
    let limit = timeout.map(|t| libc::timespec {
        tv_sec: t.as_secs().min(i64::MAX as u64) as libc::time_t,
        tv_nsec: t.subsec_nanos().into(),
    });
    let limit = limit.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
    // SAFETY: the array holds `count` entries, and the time limit is null or lives here.
    unsafe { libc::ppoll(polls.as_mut_ptr(), count as libc::nfds_t, limit, std::ptr::null()) };
    let readable =
        |p: &libc::pollfd| p.revents & (libc::POLLIN | libc::POLLERR | libc::POLLHUP) != 0;
    polls[..count].iter().enumerate().fold(0, |set, (i, p)| set | u64::from(readable(p)) << i)
}

/// Whether a short write to `fd` would not wait.
pub(crate) fn is_writable(fd: BorrowedFd<'_>) -> bool {
    let mut poll = libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLOUT, revents: 0 };
    let now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: one entry and a time limit, both live here.
    let ready = unsafe { libc::ppoll(&mut poll, 1, &now, std::ptr::null()) };
    ready == 1 && poll.revents & libc::POLLOUT != 0
}

/// `ioctl` on a tap with an argument of plain data.
///
/// # Safety
/// `request` must take a pointer to `T`.
pub(crate) unsafe fn ioctl<T>(
    fd: &impl AsRawFd,
    request: libc::c_ulong,
    arg: &mut T,
) -> io::Result<()> {
    // SAFETY: the caller vouches for the request's argument.
    let result = unsafe { libc::ioctl(fd.as_raw_fd(), request, std::ptr::from_mut(arg)) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// `ioctl` with a number for argument.
///
/// # Safety
/// `request` must take a number.
pub(crate) unsafe fn ioctl_value(
    fd: &impl AsRawFd,
    request: libc::c_ulong,
    value: libc::c_ulong,
) -> io::Result<()> {
    // SAFETY: the caller vouches for the request's argument.
    let result = unsafe { libc::ioctl(fd.as_raw_fd(), request, value) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// A datagram socket for interface requests.
pub(crate) fn control_socket() -> io::Result<OwnedFd> {
    // SAFETY: plain values.
    let fd = unsafe { libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a fresh descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Whether this network namespace has an interface of that name.
pub(crate) fn interface_exists(name: &str) -> bool {
    let Ok(name) = std::ffi::CString::new(name) else { return false };
    // SAFETY: the name ends with a zero byte.
    unsafe { libc::if_nametoindex(name.as_ptr()) != 0 }
}

/// Takes over a descriptor that was passed to this process by number.
pub(crate) fn inherited(fd: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: asks only whether the number is open.
    if fd < 3 || unsafe { libc::fcntl(fd, libc::F_GETFD) } < 0 {
        return Err(io::Error::from_raw_os_error(libc::EBADF));
    }
    // SAFETY: it is open and above the standard streams: it was passed to be owned here.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Sets O_NONBLOCK.
pub(crate) fn set_nonblocking(fd: BorrowedFd<'_>) -> io::Result<()> {
    let fd = fd.as_raw_fd();
    // SAFETY: plain values on an open descriptor.
    let done = unsafe {
        let flags = libc::fcntl(fd, libc::F_GETFL);
        flags >= 0 && libc::fcntl(fd, libc::F_SETFL, flags | libc::O_NONBLOCK) >= 0
    };
    if !done {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Blocks SIGINT, SIGTERM and SIGUSR1 in this thread and those it starts; returns the set.
pub(crate) fn block_signals() -> libc::sigset_t {
    // SAFETY: an all-zero set is a valid one to initialise, and the calls touch only it.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&mut set);
        for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGUSR1] {
            libc::sigaddset(&mut set, signal);
        }
        libc::pthread_sigmask(libc::SIG_BLOCK, &set, std::ptr::null_mut());
        set
    }
}

/// Waits for a signal of the set.
pub(crate) fn wait_signal(set: &libc::sigset_t) -> i32 {
    let mut signal = 0;
    // SAFETY: both pointers are to live values.
    unsafe { libc::sigwait(set, &mut signal) };
    signal
}
