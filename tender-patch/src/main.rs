//! `zerohop-hvt`: see the library.
#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    zerohop_hvt::main()
}
