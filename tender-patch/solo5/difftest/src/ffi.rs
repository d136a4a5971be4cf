//! What `shmring_service.h` declares.

use shmring::abi::MAX_FRAGS;

/// `struct shmring_attached`, `shmring_tx` and `shmring_rx`, known by address only.
#[repr(C)]
pub struct Opaque([u8; 0]);

#[repr(C)]
pub struct Limits {
    pub offered: u64,
    pub max_pairs: u16,
    pub memory: u64,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct Span {
    pub address: u64,
    pub len: u32,
}

#[repr(C)]
pub struct TxFrame {
    pub span: [Span; MAX_FRAGS],
    pub count: u32,
    pub len: u32,
    pub csum: bool,
    pub csum_start: u16,
    pub csum_offset: u16,
    pub gso_type: u8,
    pub gso_size: u16,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct RxInfo {
    pub csum_valid: bool,
    pub gso_type: u8,
    pub gso_size: u16,
}

impl TxFrame {
    pub const EMPTY: TxFrame = TxFrame {
        span: [Span { address: 0, len: 0 }; MAX_FRAGS],
        count: 0,
        len: 0,
        csum: false,
        csum_start: 0,
        csum_offset: 0,
        gso_type: 0,
        gso_size: 0,
    };
}

/// The sizes of the structs above, in the order of `shim_sizeof`.
pub const SIZES: [usize; 4] =
    [size_of::<Limits>(), size_of::<Span>(), size_of::<TxFrame>(), size_of::<RxInfo>()];

unsafe extern "C" {
    pub fn shmring_attach(
        region: *mut u8,
        size: u64,
        limits: *const Limits,
        out: *mut Opaque,
    ) -> i32;
    pub fn shmring_offer(u: *mut u8, limits: *const Limits);
    pub fn shmring_accept(attached: *mut Opaque, epoch: u32);
    pub fn shmring_set_broken(attached: *mut Opaque, violation: i32);
    pub fn shmring_tx_refresh(tx: *mut Opaque, ready: *mut u32) -> i32;
    pub fn shmring_tx_next(tx: *mut Opaque, frame: *mut TxFrame) -> i32;
    pub fn shmring_tx_release(tx: *mut Opaque) -> bool;
    pub fn shmring_tx_arm(tx: *mut Opaque);
    pub fn shmring_tx_disarm(tx: *mut Opaque);
    pub fn shmring_rx_buffers(rx: *mut Opaque, spans: *mut *const Span, count: *mut u32) -> i32;
    pub fn shmring_rx_commit(rx: *mut Opaque, len: u32, info: RxInfo) -> bool;
    pub fn shmring_rx_publish(rx: *mut Opaque) -> bool;
    pub fn shmring_rx_pending(rx: *mut Opaque, pending: *mut bool) -> i32;
    pub fn shmring_rx_arm_fill(rx: *mut Opaque);
    pub fn shmring_rx_disarm_fill(rx: *mut Opaque);

    pub fn shim_new() -> *mut Opaque;
    pub fn shim_free(attached: *mut Opaque);
    pub fn shim_pairs(attached: *const Opaque) -> u32;
    pub fn shim_features(attached: *const Opaque) -> u64;
    pub fn shim_stats(attached: *const Opaque, records: *mut u32) -> u64;
    pub fn shim_tx(attached: *mut Opaque, pair: u32) -> *mut Opaque;
    pub fn shim_rx(attached: *mut Opaque, pair: u32) -> *mut Opaque;
    pub fn shim_sizeof(which: u32) -> usize;
}
