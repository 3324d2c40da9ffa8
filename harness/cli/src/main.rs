//! The `keelhaul` program.

fn main() {}
