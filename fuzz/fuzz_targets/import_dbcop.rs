//! See `keelhaul_fuzz`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| keelhaul_fuzz::run("import_dbcop", bytes));
