//! A path that is let through has one form, in which no server finds a step up.
#![no_main]
mod common;

libfuzzer_sys::fuzz_target!(|raw: &str| {
    common::policy::path(raw);
});
