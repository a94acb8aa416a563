//! Versions, and ranges of them.

#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| evenkeel_fuzz::version(text));
