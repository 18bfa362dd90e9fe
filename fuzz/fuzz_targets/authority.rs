//! A host or an authority that can be read has one form.
#![no_main]
mod common;

libfuzzer_sys::fuzz_target!(|text: &str| {
    common::policy::authority(text);
});
