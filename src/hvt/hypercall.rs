//! Hypercalls: a 32-bit `out` with the address of a struct.

use core::arch::asm;

const BASE: u16 = 0x500;

/// A hypercall's verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    Ok,
    Again,
    Failed,
}

impl Status {
    fn of(ret: i32) -> Status {
        match ret {
            0 => Status::Ok,
            1 => Status::Again,
            _ => Status::Failed,
        }
    }
}

/// Calls port `port` with a struct whose layout the port defines.
///
/// # Safety
/// `T` must be the struct of that port, and what it points to must be what the tender may read or
/// write.
pub(crate) unsafe fn call<T>(port: u16, argument: &mut T) {
    let address = core::ptr::from_mut(argument) as u64 as u32;
    // SAFETY: the caller vouches for the struct; the tender touches nothing else.
    unsafe { asm!("out dx, eax", in("dx") port, in("eax") address, options(nostack)) };
}

/// Writes `value` to a port that is an ioeventfd.
pub(crate) fn kick(port: u16) {
    // SAFETY: the port takes any value and reaches no memory.
    unsafe { asm!("out dx, eax", in("dx") port, in("eax") 0, options(nostack, nomem)) };
}

/// The wall clock in nanoseconds since 1970.
pub(crate) fn walltime() -> u64 {
    let mut nanos = 0u64;
    // SAFETY: the struct of this call.
    unsafe { call(BASE + 1, &mut nanos) };
    nanos
}

/// Writes to the console.
pub(crate) fn puts(text: &[u8]) {
    #[repr(C)]
    struct Puts(*const u8, u64);
    // SAFETY: the struct of this call; the bytes are borrowed.
    unsafe { call(BASE + 2, &mut Puts(text.as_ptr(), text.len() as u64)) };
}

/// Sleeps until a device is ready or `timeout` nanoseconds are over; the ready devices.
pub(crate) fn poll(timeout: u64) -> u64 {
    #[repr(C)]
    struct Poll(u64, u64, i32);
    let mut poll = Poll(timeout, 0, 0);
    // SAFETY: the struct of this call.
    unsafe { call(BASE + 3, &mut poll) };
    poll.1
}

#[repr(C)]
struct NetArg {
    handle: u64,
    data: *const u8,
    len: u64,
    ret: i32,
}

#[repr(C)]
struct BlockArg {
    handle: u64,
    offset: u64,
    data: *const u8,
    len: u64,
    ret: i32,
}

/// Sends one frame.
pub(crate) fn net_write(handle: u64, frame: &[u8]) -> Status {
    let mut arg = NetArg { handle, data: frame.as_ptr(), len: frame.len() as u64, ret: 0 };
    // SAFETY: the struct of this call; the bytes are borrowed.
    unsafe { call(BASE + 6, &mut arg) };
    Status::of(arg.ret)
}

/// Receives one frame into `buffer`; its length.
pub(crate) fn net_read(handle: u64, buffer: &mut [u8]) -> Option<usize> {
    let len = buffer.len() as u64;
    let mut arg = NetArg { handle, data: buffer.as_mut_ptr(), len, ret: 0 };
    // SAFETY: the struct of this call; the bytes are borrowed uniquely.
    unsafe { call(BASE + 7, &mut arg) };
    let got = usize::try_from(arg.len).ok().filter(|got| *got <= buffer.len());
    got.filter(|_| Status::of(arg.ret) == Status::Ok)
}

/// Writes one sector at `offset`.
pub(crate) fn block_write(handle: u64, offset: u64, sector: &[u8]) -> Status {
    let len = sector.len() as u64;
    let mut arg = BlockArg { handle, offset, data: sector.as_ptr(), len, ret: -1 };
    // SAFETY: the struct of this call; the bytes are borrowed.
    unsafe { call(BASE + 4, &mut arg) };
    Status::of(arg.ret)
}

/// Reads one sector at `offset` into `buffer`.
pub(crate) fn block_read(handle: u64, offset: u64, buffer: &mut [u8]) -> Status {
    let len = buffer.len() as u64;
    let mut arg = BlockArg { handle, offset, data: buffer.as_mut_ptr(), len, ret: -1 };
    // SAFETY: the struct of this call; the bytes are borrowed uniquely.
    unsafe { call(BASE + 5, &mut arg) };
    Status::of(arg.ret)
}

/// Ends the guest.
pub(crate) fn halt(status: i32) -> ! {
    #[repr(C)]
    struct Halt(u64, i32);
    loop {
        // SAFETY: the struct of this call.
        unsafe { call(BASE + 8, &mut Halt(0, status)) };
    }
}
