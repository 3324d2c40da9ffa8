//! What this machine can do.

/// One line of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What was tried, as a noun: "user namespaces".
    pub what: String,
    /// Whether it works.
    pub ok: bool,
    /// What was seen.
    pub detail: String,
    /// What to do about it, one sentence; empty when it works.
    pub remedy: String,
}

/// Tries everything the local environment needs, in a child process that leaves nothing behind.
#[must_use]
pub fn probe() -> Vec<Finding> {
    Vec::new()
}
