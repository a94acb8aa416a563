//! Files of a compatibility matrix.

#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| evenkeel_fuzz::matrix_file(text));
