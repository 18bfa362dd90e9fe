//! Any text of a routes.yaml is a value or located errors.
#![no_main]
mod common;

libfuzzer_sys::fuzz_target!(|text: &str| {
    common::files::routes(text);
});
