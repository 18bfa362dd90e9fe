//! Frames of Amazon's event stream, as they are and made sound, give the same report whole and byte by byte.
#![no_main]
mod common;

use common::metering;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((format, bodies)) = metering::eventstream(data) else { return };
    for body in bodies {
        assert_eq!(metering::meter(format, "", &body, 1), metering::meter(format, "", &body, usize::MAX));
    }
});
