//! The memory functions that compiled code calls, which elsewhere a C library brings.

use core::arch::asm;

/// From this many bytes on, the processor's string instructions are faster than a loop.
const STRING: usize = 256;

type Word = u64;
const WORD: usize = size_of::<Word>();

/// # Safety
/// As C's `memcpy`.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcpy(dest: *mut u8, src: *const u8, n: usize) -> *mut u8 {
    // SAFETY: every access is inside the n bytes of each side, by the caller's contract.
    unsafe {
        if n >= STRING {
            asm!("rep movsb", inout("rcx") n => _, inout("rdi") dest => _, inout("rsi") src => _,
                options(nostack, preserves_flags));
        } else if n >= WORD {
            let mut at = 0;
            while at + WORD <= n {
                let word = src.add(at).cast::<Word>().read_unaligned();
                dest.add(at).cast::<Word>().write_unaligned(word);
                at += WORD;
            }
            let last = n - WORD;
            let word = src.add(last).cast::<Word>().read_unaligned();
            dest.add(last).cast::<Word>().write_unaligned(word);
        } else {
            let mut at = 0;
            while at < n {
                dest.add(at).write_volatile(src.add(at).read());
                at += 1;
            }
        }
    }
    dest
}

/// # Safety
/// As C's `memmove`.
#[unsafe(no_mangle)]
unsafe extern "C" fn memmove(dest: *mut u8, src: *const u8, n: usize) -> *mut u8 {
    if (dest as usize).wrapping_sub(src as usize) >= n {
        // The destination does not start inside the source: going up never overwrites what is yet
        // to be read, but for the overlapping last word of `memcpy`.
        // SAFETY: as the caller's contract; byte by byte where they overlap.
        unsafe {
            if (src as usize).wrapping_sub(dest as usize) >= n {
                return memcpy(dest, src, n);
            }
            asm!("rep movsb", inout("rcx") n => _, inout("rdi") dest => _, inout("rsi") src => _,
                options(nostack, preserves_flags));
        }
        return dest;
    }
    // SAFETY: as the caller's contract; going down, words at a time and then bytes.
    unsafe {
        let mut left = n;
        while left >= WORD {
            left -= WORD;
            let word = src.add(left).cast::<Word>().read_unaligned();
            dest.add(left).cast::<Word>().write_unaligned(word);
        }
        while left > 0 {
            left -= 1;
            dest.add(left).write_volatile(src.add(left).read());
        }
    }
    dest
}

/// # Safety
/// As C's `memset`.
#[unsafe(no_mangle)]
unsafe extern "C" fn memset(dest: *mut u8, byte: i32, n: usize) -> *mut u8 {
    // SAFETY: inside the n bytes, by the caller's contract.
    unsafe {
        asm!("rep stosb", inout("rcx") n => _, inout("rdi") dest => _, in("al") byte as u8,
            options(nostack, preserves_flags));
    }
    dest
}

/// # Safety
/// As C's `memcmp`.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcmp(a: *const u8, b: *const u8, n: usize) -> i32 {
    // SAFETY: inside the n bytes of each side, by the caller's contract.
    unsafe {
        let mut at = 0;
        while at + WORD <= n {
            let (x, y) = (
                a.add(at).cast::<Word>().read_unaligned(),
                b.add(at).cast::<Word>().read_unaligned(),
            );
            if x != y {
                return if x.swap_bytes() < y.swap_bytes() { -1 } else { 1 };
            }
            at += WORD;
        }
        while at < n {
            let (x, y) = (a.add(at).read_volatile(), b.add(at).read_volatile());
            if x != y {
                return i32::from(x) - i32::from(y);
            }
            at += 1;
        }
    }
    0
}

/// # Safety
/// As C's `bcmp`.
#[unsafe(no_mangle)]
unsafe extern "C" fn bcmp(a: *const u8, b: *const u8, n: usize) -> i32 {
    // SAFETY: the same contract.
    unsafe { memcmp(a, b, n) }
}

/// # Safety
/// As C's `strlen`.
#[unsafe(no_mangle)]
unsafe extern "C" fn strlen(text: *const u8) -> usize {
    let mut len = 0;
    // SAFETY: the caller's text ends with a zero byte.
    while unsafe { text.add(len).read_volatile() } != 0 {
        len += 1;
    }
    len
}

/// Unwinding does not exist here, but precompiled code names its entries.
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() {}

#[unsafe(no_mangle)]
extern "C" fn _Unwind_Resume() -> ! {
    super::hypercall::halt(255)
}
