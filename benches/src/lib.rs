//! Benchmarks and seeded history generators.
