//! History in, verdict with evidence out.
//!
//! Pure: no clock, no file, no thread but rayon's. Budgets come in as a callback.

mod verdict;

pub use verdict::{Check, Evidence, EvidenceOp, Verdict};
