//! What is wrong is said in one line, with what to do, and exit status 1.

use std::{fs, path::Path};
use testbed::{Ended, Guest, Network, need};

fn run(options: &[&str], image: &Path, args: &[&str]) -> Ended {
    let tender = testbed::tender().unwrap();
    Guest::boot(&tender, options, image, args).unwrap().wait().unwrap()
}

fn assert_refused(ended: &Ended, words: &[&str]) {
    assert_eq!(ended.code, Some(1), "{}", ended.output);
    for word in words {
        assert!(ended.output.contains(word), "no `{word}` in: {}", ended.output);
    }
    assert_eq!(ended.output.trim().lines().count(), 1, "{}", ended.output);
}

#[test]
fn a_missing_tap_is_named() {
    need!(testbed::kvm(), testbed::taps());
    let image = testbed::image("echo").unwrap();
    let _network = Network::enter().unwrap();
    assert_refused(&run(&["--net:service=tap7"], &image, &[]), &["tap7", "ip tuntap add"]);
}

#[test]
fn devices_must_match_the_manifest() {
    need!(testbed::kvm(), testbed::taps());
    let image = testbed::image("echo").unwrap();
    let _network = Network::with_tap().unwrap();
    assert_refused(&run(&[], &image, &[]), &["service", "--net:service="]);
    let undeclared = run(&["--net:service=tap0", "--net:other=tap0"], &image, &[]);
    assert_refused(&undeclared, &["other", "declares: service"]);
}

#[test]
fn files_that_are_no_images_are_refused() {
    let dir = std::env::temp_dir().join(format!("zerohop-bad-{}", std::process::id()));
    fs::create_dir_all(&dir).unwrap();
    let image = fs::read(testbed::image("echo").unwrap()).unwrap();
    let write = |name: &str, bytes: &[u8]| {
        let path = dir.join(name);
        fs::write(&path, bytes).unwrap();
        path
    };
    assert_refused(&run(&[], &dir.join("absent"), &[]), &["absent"]);
    assert_refused(&run(&[], &write("text", b"no image\n"), &[]), &["not an ELF image"]);
    assert_refused(&run(&[], &write("short", &image[..5000]), &[]), &["cut short"]);
    // The ABI note is a small, known pattern: its version follows the target.
    let note = [b"Solo5\0\0\0".as_slice(), &1u32.to_le_bytes(), &2u32.to_le_bytes()].concat();
    let at = image.windows(note.len()).position(|w| w == note).unwrap();
    let mut other = image.clone();
    other[at + 12] = 9;
    assert_refused(&run(&[], &write("version", &other), &[]), &["ABI version 9"]);
    other[at + 12] = 2;
    other[at + 8] = 3;
    assert_refused(&run(&[], &write("target", &other), &[]), &["target 3"]);
    fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn wrong_options_point_to_help() {
    let none = Path::new("image");
    assert_refused(&run(&["--memory=5"], none, &[]), &["--memory", "--help"]);
    assert_refused(&run(&["--mem=1"], none, &[]), &["--mem", "--help"]);
}

#[test]
fn a_wrong_service_argument_ends_the_guest() {
    need!(testbed::kvm(), testbed::taps());
    let image = testbed::image("echo").unwrap();
    let _network = Network::with_tap().unwrap();
    let ended = run(&["--net:service=tap0"], &image, &["--ipv4=10.0.0.2"]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.output.contains("--ipv4=10.0.0.2: expected"), "{}", ended.output);
}
