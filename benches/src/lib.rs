//! Benchmarks and seeded history generators.

pub mod noop;
