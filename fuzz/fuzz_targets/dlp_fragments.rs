//! Any messages to one destination: what they show together has its place in the last, and is bounded.
#![no_main]
mod common;

libfuzzer_sys::fuzz_target!(|data: &[u8]| common::dlp::fragments(data));
