//! Benchmarks and seeded history generators.

pub mod histories;
pub mod noop;
pub mod objects;
