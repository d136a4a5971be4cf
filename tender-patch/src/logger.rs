//! Diagnostics on standard error; `ZEROHOP_LOG` sets the level.
#![forbid(unsafe_code)]

struct Stderr;

impl log::Log for Stderr {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        eprintln!("zerohop-hvt: {}: {}", record.level().as_str().to_lowercase(), record.args());
    }

    fn flush(&self) {}
}

pub(crate) fn init() {
    let level = std::env::var("ZEROHOP_LOG").ok().and_then(|level| level.parse().ok());
    if log::set_logger(&Stderr).is_ok() {
        log::set_max_level(level.unwrap_or(log::LevelFilter::Warn));
    }
}
