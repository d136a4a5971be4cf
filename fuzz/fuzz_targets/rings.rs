//! Rings whose peer owns all bytes and changes them between accesses. The first byte chooses who is
//! the victim and how often words lie; the rest decides everything else.
#![no_main]

#[path = "../../shmring/tests/hostile/driver.rs"]
mod driver;
#[path = "../../shmring/tests/hostile/words.rs"]
mod words;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((how, rest)) = data.split_first() else { return };
    let lies = [0, 1, 8, 64][usize::from(how >> 1 & 3)];
    let _ = match how & 1 {
        0 => driver::hostile_guest(rest, lies),
        _ => driver::hostile_tender(rest, lies),
    };
});
