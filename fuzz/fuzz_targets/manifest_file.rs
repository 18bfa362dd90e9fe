//! Any text of a bottle's manifest is a value or located errors.
#![no_main]
mod common;

libfuzzer_sys::fuzz_target!(|text: &str| {
    common::files::manifest(text);
});
