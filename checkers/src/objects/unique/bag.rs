//! An unordered queue: any order of the values will do, so only emptiness can be wrong.

use super::unknown::{self, Deadlines};
use super::{Conflict, Unique, cover};

/// Decides.
///
/// # Errors
/// With what cannot be ordered.
pub fn decide(unique: &Unique) -> Result<(), Conflict> {
    cover::decide(unique)
}

/// When each value must be gone: when somebody finds nothing.
pub fn deadlines(unique: &Unique) -> Deadlines {
    unknown::only_empties(unique)
}
