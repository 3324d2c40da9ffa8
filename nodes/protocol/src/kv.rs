//! The replicated state machine: a map from keys to values with client sessions. Its vocabulary is here, what it
//! does with it in [`Machine`].

pub mod locks;
mod machine;
mod mutant;
pub mod share;
pub mod txns;
mod values;

pub use machine::{Machine, RestoreError, SESSIONS_MAX};
pub use mutant::Mutant;
pub use values::Version;

use serde::{Deserialize, Serialize};

use crate::kv::locks::{Act, Hold, Token};
use crate::kv::share::{Page, Placing, Standing};
use crate::kv::txns::{Held, Step, TxnId};
use crate::membership::{Change, Membership, Refusal};
use crate::placement::Placement;

/// A key. Opaque bytes.
pub type Key = Vec<u8>;
/// A value. Opaque bytes; an absent key has none.
pub type Value = Vec<u8>;

/// What a client may ask of the map.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Command {
    /// The value under a key, linearizably.
    Read {
        /// Which key.
        key: Key,
    },
    /// Set a key.
    Write {
        /// Which key.
        key: Key,
        /// To what.
        value: Value,
    },
    /// Set a key if it holds `expected` (`None`: if it is absent).
    Cas {
        /// Which key.
        key: Key,
        /// What it must hold.
        expected: Option<Value>,
        /// What it shall hold.
        new: Value,
    },
    /// Put bytes behind those of a key.
    Append {
        /// Which key.
        key: Key,
        /// What.
        value: Value,
        /// The token of a lock that guards the key: refused if the key has seen a larger one.
        fence: Option<Token>,
    },
    /// Do something with a lock.
    Lock {
        /// Which lock. Locks have names of their own: a key of the same name has nothing to do with it.
        lock: Key,
        /// What.
        act: Act,
    },
    /// Have a part in a transaction.
    Txn(Step),
    /// Have a part in a change of which groups keep the keys.
    Place(Placing),
}

impl Command {
    /// Whether it changes nothing, and so needs no entry of the log.
    #[must_use]
    pub const fn only_reads(&self) -> bool {
        match self {
            Self::Read { .. } | Self::Txn(Step::Fetch { .. }) => true,
            Self::Place(placing) => placing.only_looks(),
            _ => false,
        }
    }

    /// How many bytes of keys and values it carries.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match self {
            Self::Read { key } => key.len(),
            Self::Write { key, value } | Self::Append { key, value, .. } => key.len() + value.len(),
            Self::Cas { key, expected, new } => {
                key.len() + expected.as_ref().map_or(0, Vec::len) + new.len()
            }
            Self::Lock { lock, .. } => lock.len(),
            Self::Txn(step) => step.bytes(),
            Self::Place(placing) => placing.bytes(),
        }
    }
}

/// A client's session: the log index of the entry that registered it (Raft dissertation, §6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SessionId(pub u64);

/// A request of a client to a node. A command may be sent again, to any node, with the same session and sequence
/// number: it is applied once.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Request {
    /// Open a session. Sending it twice opens two, which is harmless.
    Register,
    /// Perform a command within a session. Sequence numbers of a session start at 1 and grow by one a command; a
    /// client has one command in flight.
    Perform {
        /// From [`Response::Registered`].
        session: SessionId,
        /// The command's number within the session.
        sequence: u64,
        /// The command. Reads leave no trace in the log; their sequence number is not used.
        command: Command,
    },
    /// Change who belongs to the cluster.
    Change(Change),
    /// Hand leadership to this voter.
    Transfer(crate::api::NodeId),
    /// Which node leads, and in which term, as far as this node knows. Answered locally, at once.
    Status,
    /// A hash of all that this node has applied. Answered locally, at once.
    Digest,
    /// Who belongs to the cluster, as far as this node knows. Answered locally, at once.
    Members,
}

/// The answer to a [`Request`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Response {
    /// The session is open.
    Registered(SessionId),
    /// The write happened.
    Written,
    /// The read's result.
    Value(Option<Value>),
    /// The cas happened.
    Swapped,
    /// The cas found something else and did nothing: definite.
    Mismatch {
        /// What it found.
        actual: Option<Value>,
    },
    /// The bytes are there.
    Appended,
    /// The key has seen a larger token than the one of this command, which did nothing: definite.
    Fenced {
        /// The largest that it has seen.
        largest: Token,
    },
    /// The lock is the client's, by this token.
    Acquired(Token),
    /// The lock is somebody's; nothing was done: definite.
    Held(Hold),
    /// The lease of the hold begins anew.
    Renewed,
    /// The hold has ended.
    Released,
    /// There is no such hold (any more); nothing was done: definite.
    NotHeld,
    /// What the keys of a fetch hold, in its order.
    Fetched(Vec<Held>),
    /// The transaction took effect.
    Committed,
    /// A key has another version than the one that was to be checked; nothing was done: definite.
    Conflict,
    /// A key is held by this prepared transaction; nothing was done: definite.
    Blocked(TxnId),
    /// The group does not serve one of the keys, or the home of the transaction leaves; nothing was done: definite.
    Misplaced(Placement),
    /// How things stand after a part in a change of the placement.
    Placed(Standing),
    /// Some of what leaves.
    Exported(Page),
    /// The group has promised to carry the transaction out.
    Prepared,
    /// What is decided of the transaction, now or before.
    Decided {
        /// The outcome.
        commit: bool,
    },
    /// The group has carried the decision out, or the home group has forgotten it.
    Finished,
    /// Not leader: this request was not entered into the log by this node: definite for this attempt.
    NotLeader {
        /// Who leads, if known.
        leader: Option<crate::api::NodeId>,
    },
    /// The request was accepted by a leader that lost its office before it was committed: nobody knows.
    Unknown,
    /// The session is not (or no longer) known: this attempt did nothing; an earlier one of the same command may have.
    SessionExpired,
    /// The change of members is committed, or the leader has given up its office to its successor.
    Changed,
    /// The change or transfer was refused; nothing was done.
    Refused(Refusal),
    /// Answer to [`Request::Status`].
    Status {
        /// This node's current term, ballot or epoch.
        term: u64,
        /// Whether this node believes that it leads.
        leading: bool,
        /// Who leads, if known.
        leader: Option<crate::api::NodeId>,
        /// Highest log index known to be committed.
        committed: u64,
        /// Highest log index applied to the map.
        applied: u64,
    },
    /// Answer to [`Request::Digest`]: nodes that applied equally much and differ in `digest` have diverged.
    Digest {
        /// Highest log index applied to the map.
        applied: u64,
        /// See [`Machine::digest`].
        digest: u64,
    },
    /// Answer to [`Request::Members`].
    Members {
        /// In force on this node; not necessarily committed.
        membership: Membership,
        /// Whether it is committed.
        settled: bool,
    },
}
