//! What a checker says, and how several answers become one.

use serde::Serialize;

/// The four answers, in rising severity: merging takes the worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// The history keeps the promise.
    Valid,
    /// Too little happened to prove anything.
    Vacuous,
    /// The checker could not decide; the reason says why.
    Unknown,
    /// The promise was broken; there is evidence.
    Invalid,
}

impl Verdict {
    /// The documented exit code of a single run or check.
    #[must_use]
    pub const fn exit_code(self) -> i32 {
        match self {
            Self::Valid => 0,
            Self::Invalid => 1,
            Self::Unknown => 2,
            Self::Vacuous => 3,
        }
    }

    /// The word used in reports and JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::Vacuous => "vacuous",
            Self::Unknown => "unknown",
            Self::Invalid => "invalid",
        }
    }
}

/// One checker's answer.
#[derive(Clone, Debug, Serialize)]
pub struct Check {
    /// Which checker, e.g. `linearizable`.
    pub name: String,
    /// Its answer.
    pub verdict: Verdict,
    /// One sentence: what was established, or why it could not be, or what was broken.
    pub reason: String,
    /// Names of the anomalies found; empty unless invalid.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub anomalies: Vec<String>,
    /// Proof of an invalid verdict.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub evidence: Option<Evidence>,
    /// What the checker counted, by name: numbers, names and short lists, for people and machines.
    #[serde(skip_serializing_if = "serde_json::Map::is_empty")]
    pub details: serde_json::Map<String, serde_json::Value>,
}

impl Check {
    /// An answer without anomalies, evidence and details.
    #[must_use]
    pub fn new(name: &str, verdict: Verdict, reason: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            verdict,
            reason: reason.into(),
            anomalies: Vec::new(),
            evidence: None,
            details: serde_json::Map::new(),
        }
    }
}

/// The smallest part of the history found that shows the violation.
#[derive(Clone, Debug, Serialize)]
pub struct Evidence {
    /// The object concerned, as JSON text; absent for a whole-history violation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The operations that cannot all be placed, in order of invocation.
    pub ops: Vec<EvidenceOp>,
    /// The longest legal order found: invocation indices in the order in which they take effect.
    pub longest_order: Vec<u64>,
    /// Invocation indices of the operations that fit nowhere after it.
    pub stuck: Vec<u64>,
    /// Whether removing any one shown operation was proved to make the rest legal.
    pub minimal: bool,
    /// What must come before what, where the violation is a circle.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub edges: Vec<EvidenceEdge>,
    /// The argument in words, one sentence a line.
    pub explanation: Vec<String>,
}

/// One operation must come before another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EvidenceEdge {
    /// Invocation index of the one that comes first.
    pub from: u64,
    /// Invocation index of the other.
    pub to: u64,
    /// `ww`, `wr`, `rw`, `process` or `realtime`.
    pub kind: String,
    /// Why, as a sentence without its full stop.
    pub why: String,
}

/// An operation as evidence shows it: an interval with a label.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EvidenceOp {
    /// Index of the invocation in the history.
    pub index: u64,
    /// Index of the completion; absent when the outcome is unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub completion: Option<u64>,
    /// Process, as in the history.
    pub process: String,
    /// The node it spoke to, where the history says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// What it did, e.g. `write 3`, `read -> 4`, `cas 3 -> 4`.
    pub label: String,
    /// Invocation time, nanoseconds since the run began.
    pub start_ns: u64,
    /// Completion time; absent when the outcome is unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end_ns: Option<u64>,
}

impl EvidenceOp {
    /// Who did it, as people read it: `3 on n2`, or `3` where the node is unknown.
    #[must_use]
    pub fn actor(&self) -> String {
        let Self { process, node, .. } = self;
        node.as_ref().map_or_else(|| process.clone(), |node| format!("{process} on {node}"))
    }
}
