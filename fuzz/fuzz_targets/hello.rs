//! Any first bytes in a tunnel get the same verdict whole and in pieces of a size that the first byte picks.
#![no_main]
mod common;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((size, bytes)) = data.split_first() else { return };
    assert_eq!(common::hello::verdict(bytes, usize::from(*size)), common::hello::verdict(bytes, usize::MAX));
});
