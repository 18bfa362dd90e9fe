//! A body that can be redacted keeps its length and its form, and nothing of the values.
#![no_main]
mod common;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    common::dlp::redact(data);
});
