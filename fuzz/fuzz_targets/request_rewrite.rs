//! A body that can be read can be rewritten, and reads as what was asked for.
#![no_main]
mod common;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((which, body)) = data.split_first() else { return };
    common::metering::rewrite(common::metering::format(*which), body);
});
