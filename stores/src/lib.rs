//! One folder a system under test.
