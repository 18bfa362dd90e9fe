//! Any text of a settings.yml is a value or located errors.
#![no_main]
mod common;

libfuzzer_sys::fuzz_target!(|text: &str| {
    common::files::settings(text);
});
