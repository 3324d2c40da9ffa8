//! What happened in a life, for those who want to see it: messages, faults, changes of role.

use keelhaul_protocol::api::{Era, LogIndex, Note};

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Happening {
    /// Nanoseconds since the life began.
    pub at_ns: u64,
    /// What.
    pub what: What,
}

/// Nodes are counted from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// A message arrived.
    Message {
        /// Who sent it.
        from: u16,
        /// To whom.
        to: u16,
        /// When.
        sent_ns: u64,
        /// In short.
        label: String,
        /// Heartbeats and their like, which no story needs.
        routine: bool,
    },
    /// A node says something of itself.
    Note {
        /// Which node.
        node: u16,
        /// What.
        text: String,
    },
    /// Something was done to a node.
    Fault {
        /// Which node.
        node: u16,
        /// What.
        text: String,
    },
}

/// A range of a log in short.
pub(crate) fn range(first: LogIndex, last: LogIndex) -> String {
    if first == last { first.0.to_string() } else { format!("{}-{}", first.0, last.0) }
}

/// A note in words.
pub(crate) fn words<E: Era>(note: Note<E>) -> String {
    match note {
        Note::Leading(era) => format!("leads in {era}"),
        Note::SteppedDown(era) => format!("steps down in {era}"),
        Note::Following(era, leader) => format!("follows n{} in {era}", leader.0),
        Note::Campaigning(era) => format!("campaigns for {era}"),
    }
}
