//! What the stripper lets through does not depend on the split.
#![no_main]
mod common;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    assert_eq!(common::metering::strip(data, 1), common::metering::strip(data, usize::MAX));
});
