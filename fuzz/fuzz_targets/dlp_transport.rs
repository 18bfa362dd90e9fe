//! Any body in any encoding decodes to something bounded, at any chunk alike as far as it can be read.
#![no_main]
mod common;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((which, body)) = data.split_first() else { return };
    common::dlp::decode(*which, body, 7);
    common::dlp::decode(*which, body, usize::MAX);
});
