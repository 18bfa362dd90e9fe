//! A command is judged by all of it, and shown between marks that it cannot close.
#![no_main]
mod common;

libfuzzer_sys::fuzz_target!(|text: &str| {
    common::approvals::command(text);
});
