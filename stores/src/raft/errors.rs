//! Which endings mean that an operation certainly did not happen.
//!
//! The rule: an ending is *unknown* unless it is known to be *definite*. An operation may be tried several times, so the
//! question is asked twice: of each attempt, and of the operation, which certainly did not happen only if no attempt of it can
//! have been accepted.
//!
//! | an attempt ended in            | it may have been accepted | because |
//! |--------------------------------|------|---|
//! | no connection                  | no  | nothing was sent |
//! | a request not handed over whole | no | a node decodes whole frames only, and this one never became whole |
//! | `NotLeader`                    | no  | only a leader appends to its log, and this node says that it did not |
//! | `SessionExpired`               | no  | said when the command is applied: it is committed, and does nothing on every node |
//! | `Misplaced`                    | no  | said when the command is applied: the group does not serve the key |
//! | connection lost, no answer     | yes | the node may have taken it before |
//! | silence                        | yes | the node may have taken it, or may find it in its socket later |
//! | `Unknown`                      | yes | a leader took it and lost its office |
//! | an answer that does not fit    | yes | nothing can be concluded from it |
//!
//! A `Mismatch` is an answer, not an ending of this kind: the compare-and-set was applied, once, and found something else.
//!
//! A read leaves nothing behind; one without an answer has failed, whatever became of its attempts.

use std::io;

use keelhaul_history::NodeId;
use thiserror::Error;

/// Why an attempt, and with it perhaps the operation, brought no answer.
#[derive(Debug, Error)]
pub enum Trouble {
    /// No connection to a node.
    #[error("cannot connect to {node}: {source}")]
    NoConnection {
        /// Which node.
        node: NodeId,
        /// Why not.
        source: io::Error,
    },
    /// The request could not be handed to the connection.
    #[error("cannot send to {node}: {source}")]
    NotSent {
        /// Which node.
        node: NodeId,
        /// Why not.
        source: io::Error,
    },
    /// Nobody knows a leader.
    #[error("not leader; leader unknown")]
    LeaderUnknown,
    /// Nodes name each other as the leader.
    #[error("not leader; redirected too often")]
    RedirectedTooOften,
    /// No session could be opened, so the command was never sent.
    #[error("no session could be opened in time")]
    NoSession,
    /// The session is gone.
    #[error("session expired")]
    SessionExpired,
    /// The key has another group.
    #[error("the key is not served by this group")]
    Misplaced,
    /// The connection broke before an answer came.
    #[error("connection to {node} lost before an answer")]
    Lost {
        /// Which node.
        node: NodeId,
    },
    /// A leader lost its office with the command under way.
    #[error("{node} stopped leading before the command was committed")]
    Deposed {
        /// Which node.
        node: NodeId,
    },
    /// No answer in time.
    #[error("no answer from {node}")]
    Silence {
        /// Which node.
        node: NodeId,
    },
    /// An answer to another question.
    #[error("an answer of {node} that does not fit the request")]
    Misfit {
        /// Which node.
        node: NodeId,
    },
}

impl Trouble {
    /// Whether the attempt that ended like this certainly was not accepted: the table above.
    #[must_use]
    pub const fn is_definite(&self) -> bool {
        match self {
            Self::NoConnection { .. }
            | Self::NotSent { .. }
            | Self::LeaderUnknown
            | Self::RedirectedTooOften
            | Self::NoSession
            | Self::SessionExpired
            | Self::Misplaced => true,
            Self::Lost { .. }
            | Self::Deposed { .. }
            | Self::Silence { .. }
            | Self::Misfit { .. } => false,
        }
    }
}

/// Why an operation brought no answer.
#[derive(Debug, Error)]
#[error("{trouble}")]
pub struct GaveUp {
    /// Its last trouble, or the first that leaves it unknown.
    #[source]
    pub trouble: Trouble,
    /// Whether an attempt may have been accepted.
    pub accepted_maybe: bool,
}
