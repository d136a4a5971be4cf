//! Boot information, and the memory left for the heap.

use super::manifest::Manifest;
use core::{
    alloc::{GlobalAlloc, Layout},
    ops::Range,
    ptr::NonNull,
    sync::atomic::{AtomicPtr, AtomicU64, Ordering},
};
use talc::{ErrOnOom, Span, Talc, Talck, locking::AssumeUnlockable};

/// What the tender leaves at the guest's start. Later tenders put more behind it, which this image
/// does not read.
#[repr(C)]
pub(crate) struct Info {
    memory: u64,
    kernel_end: u64,
    pub(crate) tsc_hz: u64,
    cmdline: *const u8,
    manifest: *const u8,
}

static INFO: AtomicPtr<Info> = AtomicPtr::new(core::ptr::null_mut());

/// The heap, which counts how often it is asked for memory.
struct Heap {
    // SAFETY of the lock's choice: an image has one thread and no interrupt handlers.
    talc: Talck<AssumeUnlockable, ErrOnOom>,
    requests: AtomicU64,
}

#[global_allocator]
static HEAP: Heap = Heap { talc: Talc::new(ErrOnOom).lock(), requests: AtomicU64::new(0) };

impl Heap {
    fn count(&self) {
        // One thread: no instruction has to be locked.
        self.requests.store(self.requests.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }
}

// SAFETY: every call goes to the allocator as it is.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.count();
        // SAFETY: the caller's promise.
        unsafe { self.talc.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { self.talc.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        self.count();
        // SAFETY: the caller's promise.
        unsafe { self.talc.realloc(at, layout, size) }
    }
}

const PAGE: u64 = 4096;
const CMDLINE: usize = 8192;
/// Bytes of a heap below which no service runs.
const LEAST: usize = 1 << 20;

unsafe extern "C" {
    static zerohop_image_end: u8;
}

/// Bytes of the stack at the end of memory; a page that is not mapped lies below it.
fn stack_size(memory: u64) -> u64 {
    (memory / 16).min(1 << 20) & !(PAGE - 1)
}

/// Remembers the boot information and gives the free memory to the heap.
///
/// # Safety
/// To be called once, first, with what the tender passed.
pub(super) unsafe fn init(info: *const Info) {
    INFO.store(info.cast_mut(), Ordering::Relaxed);
    let Range { start, end } = span();
    let span = Span::new(start as *mut u8, end as *mut u8);
    // SAFETY: nothing else uses the memory between the image and the stack's guard.
    if heap() < LEAST || unsafe { HEAP.talc.lock().claim(span) }.is_err() {
        super::console::print("no memory for a heap; raise --mem\n");
        super::hypercall::halt(1);
    }
}

/// The addresses of the heap.
fn span() -> Range<u64> {
    let memory = self::memory();
    let start = (&raw const zerohop_image_end as u64).max(self::info().kernel_end);
    start.next_multiple_of(PAGE)..memory - stack_size(memory) - PAGE
}

/// Bytes of the heap.
pub(crate) fn heap() -> usize {
    let Range { start, end } = span();
    end.saturating_sub(start) as usize
}

/// How often memory of the heap was asked for.
pub(super) fn heap_requests() -> u64 {
    HEAP.requests.load(Ordering::Relaxed)
}

/// The boot information.
pub(crate) fn info() -> &'static Info {
    let info = INFO.load(Ordering::Relaxed);
    debug_assert!(!info.is_null());
    // SAFETY: set once at the entry to memory that nobody writes afterwards.
    unsafe { &*info }
}

/// Where Solo5's own ring lies, if the tender has one.
pub(crate) fn solo5_ring() -> Option<NonNull<u8>> {
    const FEATURES: usize = 40;
    const RING: usize = 48;
    const RING_IO: u32 = 1;
    let info = core::ptr::from_ref(self::info()).cast::<u8>();
    // The manifest follows at once, so its place tells how long boot information is.
    if (info_len(info) as usize) < RING + 8 {
        return None;
    }
    // SAFETY: inside boot information, as just checked, and aligned to 8.
    let (features, ring) =
        unsafe { (info.add(FEATURES).cast::<u32>().read(), info.add(RING).cast::<u64>().read()) };
    NonNull::new(ring as *mut u8).filter(|_| features & RING_IO != 0)
}

fn info_len(info: *const u8) -> u64 {
    (self::info().manifest as u64).saturating_sub(info as u64)
}

/// Bytes of memory, from address 0.
pub(crate) fn memory() -> u64 {
    info().memory
}

/// The arguments, separated by spaces.
pub(crate) fn cmdline() -> &'static str {
    let Some(text) = NonNull::new(info().cmdline.cast_mut()) else { return "" };
    // SAFETY: the tender leaves 8192 bytes there, which nobody writes afterwards.
    let bytes = unsafe { core::slice::from_raw_parts(text.as_ptr(), CMDLINE) };
    let end = bytes.iter().position(|b| *b == 0).unwrap_or(CMDLINE);
    core::str::from_utf8(&bytes[..end]).unwrap_or_default()
}

/// The manifest as the tender filled it in.
pub(crate) fn manifest() -> &'static Manifest {
    // SAFETY: the tender leaves the manifest of this image there, with every entry that the image
    // declared.
    unsafe { &*info().manifest.cast::<Manifest>() }
}
