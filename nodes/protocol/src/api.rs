//! The border between a protocol and whatever drives it: a server process, or a simulator.
//!
//! The driver calls `step(now, input, &mut effects)` and carries the effects out **in order**. Storage effects
//! (`SaveHardState`, `Append`, `SaveSnapshot`) are not durable until a `Sync` that follows them has been reported
//! back as [`Input::Synced`]; a crash may lose any of them before that. The protocol itself holds back every message and reply that
//! depends on durability until then, so a driver may sync in the background while the protocol goes on, and may
//! report one `Synced` for the last of several tickets (it covers all earlier ones).

use serde::{Deserialize, Serialize};

use crate::kv;
use crate::membership::Membership;

/// A member of the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct NodeId(pub u16);

/// A Raft term.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
pub struct Term(pub u64);

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

/// What must survive a restart beside the log (Raft, figure 2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HardState {
    /// Latest term seen.
    pub term: Term,
    /// Who got this node's vote in that term.
    pub vote: Option<NodeId>,
}

/// A log entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its position.
    pub index: LogIndex,
    /// The term of the leader that created it.
    pub term: Term,
    /// What it does.
    pub payload: Payload,
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

/// The applied state up to an index; replaces the log up to there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// The last entry it includes.
    pub last_index: LogIndex,
    /// That entry's term.
    pub last_term: Term,
    /// The state machine, serialised.
    pub data: std::sync::Arc<[u8]>,
}

/// Everything a node finds on its disk when it starts; all empty at first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stored {
    /// Term and vote.
    pub hard_state: HardState,
    /// The newest whole snapshot.
    pub snapshot: Option<Snapshot>,
    /// The log, contiguous, in order; may begin before the snapshot's end.
    pub entries: Vec<Entry>,
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
pub enum Effect<Message> {
    /// Store term and vote, both or neither.
    SaveHardState(HardState),
    /// Store entries. Whatever was stored at or after the first one's index is gone.
    Append(Vec<Entry>),
    /// Store a snapshot, whole or not at all. Once it is durable, log entries up to `log_from` (exclusive) may be deleted.
    /// `keep_log` false: the stored log does not continue it and is to be discarded entirely.
    SaveSnapshot {
        /// The state.
        snapshot: Snapshot,
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
    Note(Note),
}

/// Something worth a line in a node's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Note {
    /// This node became leader.
    Leading(Term),
    /// This node stopped leading.
    SteppedDown(Term),
    /// This node learned of a leader.
    Following(Term, NodeId),
    /// This node started an election (or a pre-vote for that term).
    Campaigning(Term),
}
