//! Benchmarks and seeded history generators.

pub mod histories;
pub mod inputs;
pub mod logs;
pub mod noop;
pub mod objects;
pub mod sessions;
pub mod txns;
