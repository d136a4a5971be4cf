//! The guest's side of Solo5's hvt: everything below the stack when there is no operating system.

pub(crate) mod boot;
pub(crate) mod clock;
pub(crate) mod console;
mod disk;
pub(crate) mod entropy;
mod entry;
pub(crate) mod hypercall;
mod macros;
pub(crate) mod manifest;
mod mem;
mod panic;
pub mod service;
