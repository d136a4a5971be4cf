//! Transmission Control Protocol.
#![forbid(unsafe_code)]
