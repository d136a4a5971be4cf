//! The project's commands behind cargo aliases.
fn main() {}
