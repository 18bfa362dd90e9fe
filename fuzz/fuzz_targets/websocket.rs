//! One direction of a WebSocket is read the same at every split, and only whole, allowed frames go on.
#![no_main]
mod common;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((which, wire)) = data.split_first() else { return };
    let whole = common::websocket::read(*which, wire, usize::MAX);
    assert_eq!(common::websocket::read(*which, wire, 1), whole);
    assert_eq!(common::websocket::read(*which, wire, 5), whole);
});
