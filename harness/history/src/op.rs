//! One event of a history.

use std::fmt;
use std::str::FromStr;

use crate::Value;

/// A logical, single-threaded actor. A client process has at most one operation in flight; one whose operation
/// ended in [`Kind::Info`] is never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Process {
    /// A client; in JSON a plain number.
    Client(u32),
    /// The fault injector; in JSON the string `nemesis`.
    Nemesis,
}

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Client(id) => write!(f, "{id}"),
            Self::Nemesis => f.write_str("nemesis"),
        }
    }
}

/// What an event says of its operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// The operation begins. The store cannot have seen it before this event was recorded.
    Invoke,
    /// It certainly happened.
    Ok,
    /// It certainly did not happen.
    Fail,
    /// Nobody knows: it may happen at any later time, or never.
    Info,
}

impl Kind {
    /// The word used on disk.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Invoke => "invoke",
            Self::Ok => "ok",
            Self::Fail => "fail",
            Self::Info => "info",
        }
    }
}

impl FromStr for Kind {
    type Err = ();

    fn from_str(s: &str) -> Result<Self, ()> {
        match s {
            "invoke" => Ok(Self::Invoke),
            "ok" => Ok(Self::Ok),
            "fail" => Ok(Self::Fail),
            "info" => Ok(Self::Info),
            _ => Err(()),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A node of the cluster under test, counted from 1 and always shown as `n1`, `n2`, … whatever the host is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub u16);

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "n{}", self.0)
    }
}

impl FromStr for NodeId {
    type Err = ();

    fn from_str(s: &str) -> Result<Self, ()> {
        s.strip_prefix('n').and_then(|n| n.parse().ok()).map(Self).ok_or(())
    }
}

/// The function an operation performs: the vocabulary that workloads and stores share.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum F {
    /// Read a key; the invocation's value is null, the completion's is what was read.
    Read,
    /// Set a key to the value.
    Write,
    /// Compare and set; the value is `[expected, new]`.
    Cas,
    /// Anything else: further families, the nemesis' faults, and what imported histories bring.
    Other(Box<str>),
}

impl F {
    /// The word used on disk.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Cas => "cas",
            Self::Other(name) => name,
        }
    }
}

impl From<&str> for F {
    fn from(name: &str) -> Self {
        match name {
            "read" => Self::Read,
            "write" => Self::Write,
            "cas" => Self::Cas,
            other => Self::Other(other.into()),
        }
    }
}

impl fmt::Display for F {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One event of a history: an invocation or a completion.
#[derive(Clone, Debug, PartialEq)]
pub struct Op {
    /// Position in the history, from 0, without gaps.
    pub index: u64,
    /// Nanoseconds since the run began, by the control node's monotonic clock; never decreases along a history.
    pub time_ns: u64,
    /// Who performs it.
    pub process: Process,
    /// Invocation or one of the three outcomes.
    pub kind: Kind,
    /// What is performed.
    pub f: F,
    /// The object it is performed on, where a workload has several.
    pub key: Option<Value>,
    /// Argument, or result; see [`F`].
    pub value: Value,
    /// The node that the client spoke to.
    pub node: Option<NodeId>,
    /// Why it failed, or why nobody knows.
    pub error: Option<Box<str>>,
}
