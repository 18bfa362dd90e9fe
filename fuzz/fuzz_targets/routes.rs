//! Only a route that names the host decides.
#![no_main]
mod common;

libfuzzer_sys::fuzz_target!(|text: &str| {
    common::policy::routes(text);
});
