//! What the members of a Zab cluster say to each other, and what they store.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::api::{self, LogIndex, NodeId, Payload};
use crate::kv;

/// An epoch: a period with at most one established leader; numbered, growing.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
pub struct Epoch(pub u64);

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "epoch {}", self.0)
    }
}

impl api::Era for Epoch {
    fn number(self) -> u64 {
        self.0
    }
}

/// Names a transaction: the epoch of the leader that proposed it, and its counter. The counter is the transaction's position
/// in the history. Ordered by epoch, then counter.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
pub struct Zxid {
    /// Who proposed it.
    pub epoch: Epoch,
    /// Which one.
    pub counter: LogIndex,
}

/// What must survive a restart beside the history: f.p and f.a of the paper.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HardState {
    /// The newest epoch that this node was asked into and agreed to: it listens to no leader of an earlier one.
    pub accepted: Epoch,
    /// The newest epoch whose initial history this node holds.
    pub current: Epoch,
}

impl fmt::Display for HardState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "accepted {}, current {}", self.accepted, self.current)
    }
}

/// A transaction, as the history holds it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its position, which is its counter.
    pub index: LogIndex,
    /// The epoch in which it was proposed.
    pub epoch: Epoch,
    /// What it does.
    pub payload: Payload,
}

impl Entry {
    /// Its name.
    #[must_use]
    pub fn zxid(&self) -> Zxid {
        Zxid { epoch: self.epoch, counter: self.index }
    }
}

impl api::LogEntry for Entry {
    fn index(&self) -> LogIndex {
        self.index
    }

    fn payload(&self) -> &Payload {
        &self.payload
    }
}

/// What an election is decided by: the order of the fields is the order of preference. The history of a node is the
/// newer one if its epoch is; only histories of one epoch are told apart by their last transactions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Vote {
    /// The current epoch of the node voted for.
    pub epoch: Epoch,
    /// The last transaction of its history.
    pub last: Zxid,
    /// The node voted for; the larger number, where all else is equal.
    pub leader: Option<NodeId>,
}

/// What the sender of a notification is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stance {
    /// Looks for a leader.
    Looking,
    /// Has decided, for itself or for another, and has no leader established yet or is none.
    Decided,
    /// Leads, with a quorum that has its history.
    Established,
}

/// A message from one member to another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Message {
    /// How the sender votes.
    Notification {
        /// Counts the elections that it has seen.
        round: u64,
        /// Its vote.
        vote: Vote,
        /// What it is.
        stance: Stance,
    },
    /// CEPOCH: the sender wants to follow, and has accepted this epoch before.
    FollowerInfo {
        /// f.p.
        accepted: Epoch,
    },
    /// NEWEPOCH: the sender opens this epoch, or leads it.
    NewEpoch {
        /// Which one.
        epoch: Epoch,
    },
    /// ACKEPOCH: the sender accepted the epoch, and has this history. Sent again whenever it finds that it lacks something.
    AckEpoch {
        /// The epoch accepted.
        epoch: Epoch,
        /// f.a.
        current: Epoch,
        /// The last transaction of its history.
        last: Zxid,
        /// It accepted the epoch from this leader: only that counts towards the epoch's quorum.
        fresh: bool,
    },
    /// DIFF: the follower's history is a beginning of the leader's; what is missing follows.
    Diff {
        /// The leader's epoch.
        epoch: Epoch,
        /// Where the follower's history ends.
        after: Zxid,
    },
    /// TRUNC: everything after this is not in the leader's history; what is missing follows.
    Trunc {
        /// The leader's epoch.
        epoch: Epoch,
        /// The last transaction to keep.
        to: Zxid,
    },
    /// SNAP: a piece of the leader's state, for a follower whose next transactions are compacted.
    Snap {
        /// The leader's epoch.
        epoch: Epoch,
        /// The last transaction that the whole includes.
        last: Zxid,
        /// Where the piece belongs.
        offset: u64,
        /// The piece.
        data: Arc<[u8]>,
        /// It is the last one.
        done: bool,
    },
    /// So much of a snapshot has arrived.
    SnapReceived {
        /// The leader's epoch.
        epoch: Epoch,
        /// Which snapshot.
        last: Zxid,
        /// Bytes, from the beginning.
        received: u64,
    },
    /// NEWLEADER: the follower's history, up to here, is the epoch's initial history, or a longer one of that leader.
    NewLeader {
        /// The leader's epoch.
        epoch: Epoch,
        /// Where it ends.
        last: Zxid,
    },
    /// The sender holds that history, and has made the epoch its current one, both durably.
    AckNewLeader {
        /// The epoch.
        epoch: Epoch,
    },
    /// UPTODATE: a quorum does; the follower may serve.
    UpToDate {
        /// The leader's epoch.
        epoch: Epoch,
        /// What is committed.
        commit: LogIndex,
    },
    /// PROPOSE: transactions, in order.
    Propose {
        /// The leader's epoch.
        epoch: Epoch,
        /// The transaction before the first one.
        prev: Zxid,
        /// The transactions.
        entries: Vec<Arc<Entry>>,
        /// What is committed.
        commit: LogIndex,
    },
    /// ACK: the sender's history is durable up to here, and is the leader's.
    Ack {
        /// The leader's epoch.
        epoch: Epoch,
        /// Its last durable transaction.
        to: LogIndex,
    },
    /// COMMIT: of everything up to here.
    Commit {
        /// The leader's epoch.
        epoch: Epoch,
        /// What is committed.
        commit: LogIndex,
    },
    /// The leader is there.
    Ping {
        /// The leader's epoch.
        epoch: Epoch,
        /// Grows by one with every round of pings.
        round: u64,
        /// The last transaction sent to this follower.
        sent: LogIndex,
        /// What is committed.
        commit: LogIndex,
    },
    /// So is the follower.
    Pong {
        /// The leader's epoch.
        epoch: Epoch,
        /// Answers this round.
        round: u64,
        /// How far its history is durable and the leader's, for an acknowledgement may have been lost.
        durable: LogIndex,
    },
    /// A client of a follower wants this.
    Forward {
        /// The leader's epoch.
        epoch: Epoch,
        /// The follower's number for it.
        number: u64,
        /// The request: one that needs a transaction.
        request: kv::Request,
    },
    /// What was forwarded became a transaction, or did not.
    Forwarded {
        /// The leader's epoch.
        epoch: Epoch,
        /// The follower's number.
        number: u64,
        /// Which one; none: the leader did nothing.
        entered: Option<LogIndex>,
    },
    /// A follower asks how far it must be to serve reads that it holds.
    Sync {
        /// The leader's epoch.
        epoch: Epoch,
        /// The follower's number.
        number: u64,
    },
    /// So far: the sender led still after it was asked.
    Synced {
        /// The leader's epoch.
        epoch: Epoch,
        /// The follower's number.
        number: u64,
        /// What was committed.
        commit: LogIndex,
    },
}

impl api::Vocabulary for Message {
    type HardState = HardState;
    type Entry = Entry;
    type Era = Epoch;
}

impl Message {
    /// The epoch that it belongs to; none before there is one.
    #[must_use]
    pub fn epoch(&self) -> Option<Epoch> {
        match self {
            Message::Notification { .. } | Message::FollowerInfo { .. } => None,
            Message::NewEpoch { epoch }
            | Message::AckEpoch { epoch, .. }
            | Message::Diff { epoch, .. }
            | Message::Trunc { epoch, .. }
            | Message::Snap { epoch, .. }
            | Message::SnapReceived { epoch, .. }
            | Message::NewLeader { epoch, .. }
            | Message::AckNewLeader { epoch }
            | Message::UpToDate { epoch, .. }
            | Message::Propose { epoch, .. }
            | Message::Ack { epoch, .. }
            | Message::Commit { epoch, .. }
            | Message::Ping { epoch, .. }
            | Message::Pong { epoch, .. }
            | Message::Forward { epoch, .. }
            | Message::Forwarded { epoch, .. }
            | Message::Sync { epoch, .. }
            | Message::Synced { epoch, .. } => Some(*epoch),
        }
    }
}
