//! A JSON body in any format, in any encoding the first byte picks, gives the same report at two splits.
#![no_main]
mod common;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((which, body)) = data.split_first() else { return };
    let (format, kind) = (common::metering::format(*which), "application/json");
    assert_eq!(
        common::metering::meter(format, kind, body, 7),
        common::metering::meter(format, kind, body, 1400)
    );
    common::metering::decode(*which, body);
});
