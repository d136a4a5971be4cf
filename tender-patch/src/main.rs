//! A Solo5-hvt-compatible tender with shared rings.
fn main() {}
