//! What replicas say to each other.
//!
//! Every message carries its sender's term, but for a pre-vote and its grant, which carry the term that the
//! candidate would campaign in. Messages may be lost, delayed, duplicated and reordered.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::api::{Entry, LogIndex, NodeId, Term, Vocabulary};

/// What must survive a restart beside the log (paper, figure 2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HardState {
    /// Latest term seen.
    pub term: Term,
    /// Who got this node's vote in that term.
    pub vote: Option<NodeId>,
}

impl fmt::Display for HardState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.term.fmt(f)
    }
}

impl Vocabulary for Message {
    type HardState = HardState;
    type Entry = Entry;
    type Era = Term;
}

/// The end of a log, by which two logs are compared (paper §5.4.1). The order of the fields is the order of
/// comparison: the term of the last entry first, its index second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Position {
    /// The last entry's term.
    pub term: Term,
    /// The last entry's index.
    pub index: LogIndex,
}

/// A message from one replica to another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Message {
    /// Would you vote for me? (dissertation §9.6)
    PreVote {
        /// The term the sender would campaign in.
        term: Term,
        /// The end of its log.
        last: Position,
    },
    /// Answer to a pre-vote.
    PreVoteReply {
        /// The term asked about if granted, else the sender's own.
        term: Term,
        /// Whether the sender would.
        granted: bool,
    },
    /// Vote for me (RequestVote, paper §5.2).
    Vote {
        /// The candidate's term.
        term: Term,
        /// The end of its log.
        last: Position,
        /// The leader of the term before wanted it: voters who hear that leader still are to vote nevertheless.
        transfer: bool,
    },
    /// Answer to a vote request.
    VoteReply {
        /// The sender's term.
        term: Term,
        /// Whether the vote is given.
        granted: bool,
    },
    /// Entries for the log (AppendEntries, paper §5.3).
    Append {
        /// The leader's term.
        term: Term,
        /// The entry before the first one.
        prev: Position,
        /// Consecutive entries after `prev`. Empty to ask whether `prev` matches.
        entries: Vec<Arc<Entry>>,
        /// The leader's commit index.
        commit: LogIndex,
    },
    /// Answer to an append, or to the last piece of a snapshot.
    AppendReply {
        /// The sender's term.
        term: Term,
        /// What became of it.
        outcome: AppendOutcome,
    },
    /// I lead still; also the round that confirms reads (dissertation §6.4).
    Heartbeat {
        /// The leader's term.
        term: Term,
        /// The leader's commit index, or what the receiver is known to have if that is less: so far it may commit at once.
        commit: LogIndex,
        /// Grows with every round of heartbeats; never used twice in a term.
        round: u64,
    },
    /// Answer to a heartbeat.
    HeartbeatReply {
        /// The sender's term.
        term: Term,
        /// The round answered.
        round: u64,
    },
    /// Campaign at once: I hand my office to you (dissertation §3.10).
    TimeoutNow {
        /// The leader's term.
        term: Term,
    },
    /// A piece of a snapshot, in order (paper §7, figure 13).
    InstallSnapshot {
        /// The leader's term.
        term: Term,
        /// The last entry that the snapshot includes.
        last: Position,
        /// Where in the snapshot this piece belongs.
        offset: u64,
        /// The piece.
        data: Arc<[u8]>,
        /// Whether it is the last one.
        done: bool,
    },
    /// A piece of a snapshot arrived; another is wanted.
    InstallSnapshotReply {
        /// The sender's term.
        term: Term,
        /// Which snapshot.
        last: Position,
        /// How many of its bytes have arrived without a gap.
        received: u64,
    },
}

/// What became of an append.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AppendOutcome {
    /// The sender's log is the leader's up to here, durably.
    Matched(LogIndex),
    /// The entry before the first one is missing, or is another.
    Conflict {
        /// The index of the entry that did not match.
        prev: LogIndex,
        /// The term of the sender's entry there; none if its log ends before.
        term: Option<Term>,
        /// The first index of that term in the sender's log; one past its end if the log ends before.
        first: LogIndex,
    },
    /// The append came from a leader of an earlier term.
    Stale,
}

impl Message {
    /// The term that the message carries.
    #[must_use]
    pub fn term(&self) -> Term {
        match self {
            Message::PreVote { term, .. }
            | Message::PreVoteReply { term, .. }
            | Message::Vote { term, .. }
            | Message::VoteReply { term, .. }
            | Message::Append { term, .. }
            | Message::AppendReply { term, .. }
            | Message::Heartbeat { term, .. }
            | Message::HeartbeatReply { term, .. }
            | Message::TimeoutNow { term }
            | Message::InstallSnapshot { term, .. }
            | Message::InstallSnapshotReply { term, .. } => *term,
        }
    }

    /// Whether only a leader sends it.
    #[must_use]
    pub fn is_from_leader(&self) -> bool {
        matches!(
            self,
            Message::Append { .. }
                | Message::Heartbeat { .. }
                | Message::InstallSnapshot { .. }
                | Message::TimeoutNow { .. }
        )
    }

    /// Whether it answers another message.
    #[must_use]
    pub fn is_reply(&self) -> bool {
        matches!(
            self,
            Message::PreVoteReply { .. }
                | Message::VoteReply { .. }
                | Message::AppendReply { .. }
                | Message::HeartbeatReply { .. }
                | Message::InstallSnapshotReply { .. }
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Payload;

    #[test]
    fn messages_survive_the_wire() {
        let entry = Entry { index: LogIndex(7), term: Term(3), payload: Payload::Register };
        let prev = Position { term: Term(2), index: LogIndex(6) };
        let entries = vec![Arc::new(entry)];
        let data: Arc<[u8]> = [1, 2, 3].into();
        let messages = [
            Message::Append { term: Term(3), prev, entries, commit: LogIndex(5) },
            Message::InstallSnapshot { term: Term(3), last: prev, offset: 9, data, done: true },
        ];
        for message in messages {
            let bytes = postcard::to_stdvec(&message).unwrap();
            assert_eq!(postcard::from_bytes::<Message>(&bytes).unwrap(), message);
        }
    }

    #[test]
    fn a_later_term_outweighs_a_longer_log() {
        let position = |term, index| Position { term: Term(term), index: LogIndex(index) };
        assert!(position(2, 1) > position(1, 9));
        assert!(position(2, 3) > position(2, 2));
    }
}
