//! Any bytes give the same findings whole and in pieces of a size that the first byte picks.
#![no_main]
mod common;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((size, bytes)) = data.split_first() else { return };
    let whole = common::dlp::scan(bytes, usize::MAX);
    assert_eq!(common::dlp::scan(bytes, usize::from(*size).max(1)), whole);
});
