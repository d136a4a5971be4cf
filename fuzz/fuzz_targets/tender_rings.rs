//! The tender's network service against a guest that writes anything anywhere: a proper region to
//! start from, then whatever the bytes say.
#![no_main]

use libfuzzer_sys::fuzz_target;
use zerohop_hvt::fuzzing::{MEMORY, World};

const REGION: u64 = 0x1_0000;
const REGION_LEN: u64 = 0x6000;
const BUFFERS: u64 = 0x4_0000;
const LARGE: u64 = 0x8_0000;
/// With offloads, and with large buffers too.
const OFFLOADS: u64 = 0xbd;
const FILL_LARGE: u64 = 1 << 9;

struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn word(&mut self) -> u64 {
        let mut word = [0; 8];
        for byte in &mut word {
            *byte = self.byte().unwrap_or(0);
        }
        u64::from_le_bytes(word)
    }
}

/// A region with one pair of 64 entries, a class of 64 buffers and one of 4 large ones.
fn lay_out(world: &World, features: u64) {
    world.write(REGION, &[0; REGION_LEN as usize]);
    let word = |at: u64, value: u64| world.write(REGION + at, &value.to_le_bytes());
    word(0x000, u64::from_le_bytes(*b"SHMRING1"));
    word(0x008, 1 | 0xb00 << 32);
    word(0x010, REGION_LEN);
    let queues = if features & FILL_LARGE != 0 { 4 } else { 3 };
    word(0x020, queues | 2 << 16);
    word(0x080, features);
    word(0x200, BUFFERS);
    word(0x208, 2048 | 64 << 32);
    word(0x220, LARGE);
    word(0x228, 65_536 | 4 << 32);
    word(0x230, 64);
    for i in 0..queues {
        let row = 0x300 + i * 64;
        word(row, i + 1);
        word(row + 8, 0x1000 + i * 512);
        word(row + 16, 0x2000 + i * 0x1000);
        word(row + 24, 6 | 4 << 8);
        word(0x1000 + i * 512 + 0x100, 0xffff_ffff);
        word(0x1000 + i * 512 + 0x180, 0xffff_ffff);
    }
}

fuzz_target!(|data: &[u8]| {
    let mut bytes = Bytes(data);
    let how = bytes.byte().unwrap_or(0);
    let Ok(mut world) = World::new(how & 1 != 0) else { return };
    let features = [1, OFFLOADS, OFFLOADS | FILL_LARGE][usize::from(how >> 1) % 3];
    lay_out(&world, features);
    world.attach(1, REGION, REGION_LEN);
    let mut published = [0u32; 4];
    while let Some(op) = bytes.byte() {
        match op % 12 {
            // A batch of entries in one ring, nearly right.
            0..=3 => {
                let ring = u64::from(op / 12) % 4;
                let count = bytes.byte().unwrap_or(0) % 48;
                for _ in 0..count {
                    let change = bytes.byte().unwrap_or(0);
                    let slot = u64::from(published[ring as usize] % 64);
                    let at = REGION + 0x2000 + ring * 0x1000 + slot * 16;
                    let (id, offset, len) = match ring {
                        3 => (64 + u64::from(change & 3), 0, 65_535),
                        _ => (u64::from(change & 63), 64u64, 60u64),
                    };
                    let mut words = [id | offset << 32 | len << 48, 0];
                    if change & 0xc0 == 0xc0 {
                        words[usize::from(change & 1)] ^= bytes.word();
                    } else if change & 0x80 != 0 {
                        words[1] = 1;
                    }
                    world.write(at, &words[0].to_le_bytes());
                    world.write(at + 8, &words[1].to_le_bytes());
                    published[ring as usize] = published[ring as usize].wrapping_add(1);
                }
                let prod = published[ring as usize].to_le_bytes();
                world.write(REGION + 0x1000 + ring * 512, &prod);
            }
            // A word of the region.
            4 => {
                let at = bytes.word() % (REGION_LEN / 8) * 8;
                let value = bytes.word();
                world.write(REGION + at, &value.to_le_bytes());
            }
            // An index.
            5 => {
                let at = u64::from(bytes.byte().unwrap_or(0) % 16);
                let value = bytes.word() as u32;
                world.write(REGION + 0x1000 + at * 0x80, &value.to_le_bytes());
            }
            6 | 7 => {
                world.wait();
                world.sent();
            }
            8 => {
                let len = 10 + bytes.word() as usize % 4000;
                let mut frame = vec![0; len];
                frame[1] = bytes.byte().unwrap_or(0);
                frame[4..6].copy_from_slice(&1448u16.to_le_bytes());
                world.arrives(&frame);
            }
            9 => {
                let (address, len) = (bytes.word(), bytes.word() as u32);
                let address = if op > 127 { address } else { address % MEMORY };
                world.hypercall(op & 16 != 0, 1, address, 1 + len % 70_000);
                world.sent();
            }
            10 => {
                world.reset(u64::from(op >> 7) + 1);
                if op & 16 != 0 {
                    lay_out(&world, features);
                    published = [0; 4];
                }
                world.attach(1, REGION, REGION_LEN);
            }
            _ => {
                let (handle, address, size) = (bytes.word(), bytes.word(), bytes.word());
                world.attach(handle % 4, address, size);
            }
        }
    }
    world.wait();
});
