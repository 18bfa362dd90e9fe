//! Any text of a bottle.yml is a value or located errors.
#![no_main]
mod common;

libfuzzer_sys::fuzz_target!(|text: &str| {
    common::files::bottle(text);
});
