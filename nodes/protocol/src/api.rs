//! The border between a protocol and whatever drives it: a server process, or a simulator.
//!
//! What travels over it is the same for every protocol; of which types it is made, the protocol's [`Vocabulary`] says.
//!
//! The driver calls `step(now, input, &mut effects)` and carries the effects out **in order**. Storage effects
//! (`SaveHardState`, `Append`, `Put`, `Truncate`, `SaveSnapshot`) are not durable until a `Sync` that follows them has been reported
//! back as [`Input::Synced`]; a crash may lose any of them before that. The protocol itself holds back every message and reply that
//! depends on durability until then, so a driver may sync in the background while the protocol goes on, and may
//! report one `Synced` for the last of several tickets (it covers all earlier ones).

use std::fmt::{self, Debug, Display};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::kv;
use crate::membership::Membership;

/// A member of the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct NodeId(pub u16);

/// The types of which a protocol's border is made. What its nodes say to each other names the rest, so the message type
/// implements it.
pub trait Vocabulary: Clone + Debug + PartialEq + Serialize + DeserializeOwned + 'static {
    /// What must survive a restart beside the log. The default is that of a node that never ran.
    type HardState: Copy
        + Debug
        + Default
        + Display
        + PartialEq
        + Serialize
        + DeserializeOwned
        + Send
        + 'static;
    /// An entry of the log as it is stored.
    type Entry: LogEntry + Clone + Debug + PartialEq + DeserializeOwned + Send + 'static;
    /// What numbers leadership.
    type Era: Era;
}

/// What numbers leadership: Raft's term, Paxos's ballot, Zab's epoch. Displayed with that word, as in "term 3".
pub trait Era:
    Copy + Debug + Default + Display + Ord + Serialize + DeserializeOwned + Send + 'static
{
    /// As a number in the same order, for names of files and for figures.
    fn number(self) -> u64;
}

/// An entry of a log, as the disk and the state machine know it.
pub trait LogEntry: Serialize {
    /// Its position.
    fn index(&self) -> LogIndex;
    /// What it does when it is applied.
    fn payload(&self) -> &Payload;
}

/// A Raft term.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
pub struct Term(pub u64);

impl Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "term {}", self.0)
    }
}

impl Era for Term {
    fn number(self) -> u64 {
        self.0
    }
}

/// A position in the log, from 1; 0 is before the first entry.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
pub struct LogIndex(pub u64);

/// Nanoseconds on the driver's monotonic clock, from any origin.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
pub struct Nanos(pub u64);

/// Names a client's request between driver and protocol; never leaves the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId(pub u64);

/// Names a sync; grows by one a sync.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SyncTicket(pub u64);

/// An entry of Raft's log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its position.
    pub index: LogIndex,
    /// The term of the leader that created it.
    pub term: Term,
    /// What it does.
    pub payload: Payload,
}

impl LogEntry for Entry {
    fn index(&self) -> LogIndex {
        self.index
    }

    fn payload(&self) -> &Payload {
        &self.payload
    }
}

/// What an entry does when applied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Payload {
    /// Nothing: a new leader's first entry.
    Noop,
    /// Opens a client session.
    Register,
    /// A client's command.
    Command {
        /// Whose.
        session: kv::SessionId,
        /// Its number.
        sequence: u64,
        /// Itself.
        command: kv::Command,
    },
    /// Changes who belongs to the cluster: in force wherever it is in the log, committed or not.
    Membership(Membership),
}

impl Payload {
    /// About how many bytes it takes in a message or a log.
    pub(crate) fn weight(&self) -> usize {
        const REST: usize = 32;
        REST + match self {
            Self::Noop | Self::Register => 0,
            Self::Membership(membership) => 2 * membership.members().count(),
            Self::Command { command, .. } => command.bytes(),
        }
    }
}

/// The applied state up to an index; replaces the log up to there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot<E> {
    /// The last entry it includes.
    pub last_index: LogIndex,
    /// Under whom that entry came to be.
    pub last_era: E,
    /// The state machine, serialised.
    pub data: std::sync::Arc<[u8]>,
}

/// Everything a node finds on its disk when it starts; all empty at first.
#[derive(Clone, Debug, PartialEq)]
pub struct Stored<M: Vocabulary> {
    /// What it had promised.
    pub hard_state: M::HardState,
    /// The newest whole snapshot.
    pub snapshot: Option<Snapshot<M::Era>>,
    /// The log in order; may begin before the snapshot's end. Contiguous, unless [`Effect::Put`] made it.
    pub entries: Vec<M::Entry>,
}

impl<M: Vocabulary> Default for Stored<M> {
    fn default() -> Self {
        Self { hard_state: M::HardState::default(), snapshot: None, entries: Vec::new() }
    }
}

/// What happens to a node.
#[derive(Clone, Debug)]
pub enum Input<Message> {
    /// The time asked for by the last [`Effect::SetTimer`] has come.
    Timer,
    /// A message arrived.
    Receive {
        /// From this member.
        from: NodeId,
        /// Saying this.
        message: Message,
    },
    /// A client asks for something. Every request is answered by at most one [`Effect::Reply`].
    Request {
        /// Chosen by the driver.
        id: RequestId,
        /// The request.
        request: kv::Request,
    },
    /// Everything before that `Sync`, and before all earlier ones, is durable.
    Synced(SyncTicket),
}

/// What a node wants done.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect<Message: Vocabulary> {
    /// Store it, whole or not at all.
    SaveHardState(Message::HardState),
    /// Store consecutive entries. Whatever was stored at or after the first one's index is gone.
    Append(Vec<Message::Entry>),
    /// Store entries that need not follow on anything. Each takes the place of what was stored at its own index, and of nothing
    /// else; of two with the same index the later one counts.
    Put(Vec<Message::Entry>),
    /// Whatever is stored at or after this index is gone.
    Truncate(LogIndex),
    /// Store a snapshot, whole or not at all. Once it is durable, log entries up to `log_from` (exclusive) may be deleted.
    /// `keep_log` false: the stored log does not continue it and is to be discarded entirely.
    SaveSnapshot {
        /// The state.
        snapshot: Snapshot<Message::Era>,
        /// First entry of the log that must be kept.
        log_from: LogIndex,
        /// Whether the stored log is kept from there on.
        keep_log: bool,
    },
    /// Make everything before this durable, then report [`Input::Synced`].
    Sync(SyncTicket),
    /// Send a message, best effort, in order per peer while a connection lasts.
    Send {
        /// To this member.
        to: NodeId,
        /// Saying this.
        message: Message,
    },
    /// Answer a client.
    Reply {
        /// Which request.
        id: RequestId,
        /// With what.
        response: kv::Response,
    },
    /// Give [`Input::Timer`] at this time; replaces the timer set before.
    SetTimer(Nanos),
    /// For logs and timelines only.
    Note(Note<Message::Era>),
}

/// Something worth a line in a node's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Note<E> {
    /// This node became leader.
    Leading(E),
    /// This node stopped leading.
    SteppedDown(E),
    /// This node learned of a leader.
    Following(E, NodeId),
    /// This node started an election (or asks whether it would win one in that era).
    Campaigning(E),
}
