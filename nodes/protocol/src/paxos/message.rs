//! What replicas say to each other. Messages may be lost, delayed, duplicated and reordered.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::ballot::{Ballot, HardState};
use super::log::Entry;
use crate::api::{LogIndex, Vocabulary};

/// A message from one replica to another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Message {
    /// Promise me this ballot, for all open slots (phase 1a).
    Prepare {
        /// The sender's.
        ballot: Ballot,
        /// How far the sender knows all slots to be chosen: it need not hear of these.
        committed: LogIndex,
    },
    /// Promised (phase 1b).
    Promise {
        /// What was asked for.
        ballot: Ballot,
        /// How far the sender knows all slots to be chosen.
        committed: LogIndex,
        /// What it has accepted beyond that, and beyond what the proposer knows.
        accepted: Vec<Arc<Entry>>,
    },
    /// Accept these (phase 2a). Each entry has the ballot of the message.
    Accept {
        /// The sender's.
        ballot: Ballot,
        /// How far the sender has committed.
        committed: LogIndex,
        /// Consecutive slots.
        entries: Vec<Arc<Entry>>,
    },
    /// Accepted, durably (phase 2b).
    Accepted {
        /// Under this ballot.
        ballot: Ballot,
        /// From this slot on.
        first: LogIndex,
        /// Up to this one.
        last: LogIndex,
    },
    /// The sender has promised a higher ballot, and takes no part in this one.
    Reject {
        /// The one refused.
        ballot: Ballot,
        /// The one promised.
        promised: Ballot,
    },
    /// I lead still; also the round that confirms reads.
    Heartbeat {
        /// The sender's.
        ballot: Ballot,
        /// How far the sender has committed.
        committed: LogIndex,
        /// Grows with every round; never used twice in a ballot.
        round: u64,
    },
    /// The sender has promised no ballot above this one.
    HeartbeatReply {
        /// The one of the heartbeat.
        ballot: Ballot,
        /// The round answered.
        round: u64,
    },
    /// Tell me what was chosen after this slot.
    Fetch {
        /// The leader's that the sender follows, or its own if it leads.
        ballot: Ballot,
        /// How far the sender has committed.
        committed: LogIndex,
        /// If a snapshot is arriving: which, and how many of its bytes have.
        arrived: Option<(LogIndex, u64)>,
    },
    /// What was chosen.
    Chosen {
        /// The one of the question. The entries have it too: its leader could propose nothing else.
        ballot: Ballot,
        /// How far the sender has committed.
        committed: LogIndex,
        /// Consecutive slots.
        entries: Vec<Arc<Entry>>,
    },
    /// A piece of a snapshot, for one whose slots are not in the log any more.
    Piece {
        /// The one of the question.
        ballot: Ballot,
        /// The last slot that the snapshot includes.
        last: LogIndex,
        /// Under which ballot the sender had accepted that.
        era: Ballot,
        /// Where in the snapshot this piece belongs.
        offset: u64,
        /// The piece.
        data: Arc<[u8]>,
        /// Whether it is the last one.
        done: bool,
    },
}

impl Vocabulary for Message {
    type HardState = HardState;
    type Entry = Entry;
    type Era = Ballot;
}

impl Message {
    /// The ballot that the message is about.
    #[must_use]
    pub fn ballot(&self) -> Ballot {
        match self {
            Self::Prepare { ballot, .. }
            | Self::Promise { ballot, .. }
            | Self::Accept { ballot, .. }
            | Self::Accepted { ballot, .. }
            | Self::Reject { ballot, .. }
            | Self::Heartbeat { ballot, .. }
            | Self::HeartbeatReply { ballot, .. }
            | Self::Fetch { ballot, .. }
            | Self::Chosen { ballot, .. }
            | Self::Piece { ballot, .. } => *ballot,
        }
    }
}
