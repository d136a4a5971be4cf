//! `cargo bench-report`: compares zerohop with its peers end to end, and writes a page about it.
#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    report::cli::main()
}
