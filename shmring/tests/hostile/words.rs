//! A region of words in one thread, whose peer may change any of them before any access.

use shmring::{
    memory::{RingMemory, SharedMemory, Word},
    ring::Layout,
};
use std::{
    cell::{Cell, RefCell},
    fmt,
    rc::Rc,
    sync::atomic::Ordering,
};

/// Bytes that decide what happens; zeroes when they are used up.
pub struct Source {
    data: Vec<u8>,
    at: usize,
}

impl Source {
    /// Decisions from `data`.
    pub fn new(data: &[u8]) -> Rc<RefCell<Source>> {
        Rc::new(RefCell::new(Source { data: data.to_vec(), at: 0 }))
    }

    /// Whether they are used up.
    pub fn is_done(&self) -> bool {
        self.at >= self.data.len()
    }

    /// The next byte.
    pub fn byte(&mut self) -> u8 {
        let byte = self.data.get(self.at).copied().unwrap_or(0);
        self.at += 1;
        byte
    }

    /// The next eight.
    pub fn word(&mut self) -> u64 {
        u64::from_le_bytes(std::array::from_fn(|_| self.byte()))
    }
}

/// How one side sees the words.
#[derive(Clone)]
pub struct View {
    words: Rc<Vec<Cell<u64>>>,
    source: Rc<RefCell<Source>>,
    /// Of 256 loads, how many lie.
    lies: Rc<Cell<u8>>,
}

impl View {
    /// Zeroed words, seen as they are.
    pub fn new(bytes: u64, source: &Rc<RefCell<Source>>) -> View {
        let words = (0..bytes / 8).map(|_| Cell::new(0)).collect();
        View { words: Rc::new(words), source: source.clone(), lies: Rc::default() }
    }

    /// The same words, of which as many of 256 loads return something else as `lies` says.
    pub fn lying(&self, lies: &Rc<Cell<u8>>) -> View {
        View { lies: lies.clone(), ..self.clone() }
    }

    fn lie(&self, honest: u64) -> u64 {
        if self.lies.get() == 0 {
            return honest;
        }
        let mut source = self.source.borrow_mut();
        if source.byte() >= self.lies.get() {
            return honest;
        }
        match source.byte() % 6 {
            0 => source.word(),
            1 => honest.wrapping_add(u64::from(source.byte())),
            2 => honest.wrapping_sub(u64::from(source.byte())),
            3 => honest ^ 1 << (source.byte() % 64),
            4 => honest ^ u64::from(source.byte()) << (8 * u32::from(source.byte() % 8)),
            _ => [0, u64::MAX, u64::from(u32::MAX), 1 << 31][usize::from(source.byte() % 4)],
        }
    }

    fn word(&self, at: u64) -> &Cell<u64> {
        assert!(at.is_multiple_of(8), "unaligned");
        &self.words[(at / 8) as usize]
    }
}

impl fmt::Debug for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "View of {} words, lies {}", self.words.len(), self.lies.get())
    }
}

impl SharedMemory for View {
    type Ring = RingView;

    fn len(&self) -> u64 {
        self.words.len() as u64 * 8
    }

    fn load_u32(&self, at: u64, _: Ordering) -> u32 {
        let word = self.word(at & !7).get();
        self.lie(word >> (8 * (at & 4))) as u32
    }

    fn store_u32(&self, at: u64, value: u32, _: Ordering) {
        let cell = self.word(at & !7);
        let shift = 8 * (at & 4);
        cell.set(cell.get() & !(0xffff_ffff << shift) | u64::from(value) << shift);
    }

    fn load_u64(&self, at: u64) -> u64 {
        self.lie(self.word(at).get())
    }

    fn store_u64(&self, at: u64, value: u64) {
        self.word(at).set(value);
    }

    fn fence(&self) {}

    fn ring(&self, layout: Layout) -> RingView {
        assert!(layout.is_valid(self.len()));
        RingView { view: self.clone(), layout, next_read: Cell::new(None) }
    }
}

/// One ring of a view. It insists that each descriptor is read once, in order.
#[derive(Debug)]
pub struct RingView {
    view: View,
    layout: Layout,
    next_read: Cell<Option<u32>>,
}

impl RingMemory for RingView {
    fn load(&self, word: Word, order: Ordering) -> u32 {
        self.view.load_u32(self.layout.ctrl + word.offset(), order)
    }

    fn store(&self, word: Word, value: u32, order: Ordering) {
        self.view.store_u32(self.layout.ctrl + word.offset(), value, order);
    }

    fn read(&self, index: u32) -> [u64; 2] {
        if let Some(next) = self.next_read.get() {
            assert_eq!(index, next, "a descriptor is read twice or skipped");
        }
        self.next_read.set(Some(index.wrapping_add(1)));
        let at = self.layout.desc + u64::from(index & (self.layout.entries - 1)) * 16;
        [self.view.load_u64(at), self.view.load_u64(at + 8)]
    }

    fn write(&self, index: u32, [a, b]: [u64; 2]) {
        let at = self.layout.desc + u64::from(index & (self.layout.entries - 1)) * 16;
        self.view.store_u64(at, a);
        self.view.store_u64(at + 8, b);
    }

    fn fence(&self) {}
}
