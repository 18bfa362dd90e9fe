//! A stream in any format gives the same report whole and byte by byte, and never panics.
#![no_main]
mod common;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((which, body)) = data.split_first() else { return };
    let format = common::metering::format(*which);
    assert_eq!(
        common::metering::meter(format, "text/event-stream", body, 1),
        common::metering::meter(format, "", body, usize::MAX)
    );
});
