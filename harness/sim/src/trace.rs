//! What happened in a life, for those who want to see it: messages, faults, changes of role.

use keelhaul_protocol::api::Note;

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

/// A note in words.
pub(crate) fn words(note: Note) -> String {
    match note {
        Note::Leading(term) => format!("leads in term {}", term.0),
        Note::SteppedDown(term) => format!("steps down in term {}", term.0),
        Note::Following(term, leader) => format!("follows n{} in term {}", leader.0, term.0),
        Note::Campaigning(term) => format!("campaigns for term {}", term.0),
    }
}
