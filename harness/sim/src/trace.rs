//! What happened in a life, for those who want to see it: messages, faults, changes of role.

use keelhaul_protocol::api::Note;
use keelhaul_protocol::raft::{AppendOutcome, Message};

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

/// A message in a few words, and whether it is routine.
pub(crate) fn describe(message: &Message) -> (String, bool) {
    let term = message.term().0;
    match message {
        Message::PreVote { .. } => (format!("pre-vote? t{term}"), false),
        Message::PreVoteReply { granted, .. } => {
            (format!("pre-vote {} t{term}", yes(*granted)), !granted)
        }
        Message::Vote { last, .. } => {
            (format!("vote? t{term} log {}@t{}", last.index.0, last.term.0), false)
        }
        Message::VoteReply { granted, .. } => (format!("vote {} t{term}", yes(*granted)), !granted),
        Message::Append { entries, prev, commit, .. } => match (entries.first(), entries.last()) {
            (Some(first), Some(last)) => {
                let range = if first.index == last.index {
                    first.index.0.to_string()
                } else {
                    format!("{}-{}", first.index.0, last.index.0)
                };
                (format!("append {range} t{term} commit {}", commit.0), false)
            }
            _ => (format!("append? after {} t{term}", prev.index.0), true),
        },
        Message::AppendReply { outcome, .. } => match outcome {
            AppendOutcome::Matched(index) => (format!("has up to {}", index.0), false),
            AppendOutcome::Conflict { prev, .. } => (format!("conflict at {}", prev.0), true),
            AppendOutcome::Stale => ("stale".to_owned(), true),
        },
        Message::Heartbeat { commit, .. } => {
            (format!("heartbeat t{term} commit {}", commit.0), true)
        }
        Message::HeartbeatReply { .. } => (format!("alive t{term}"), true),
        Message::TimeoutNow { .. } => (format!("campaign now t{term}"), false),
        Message::InstallSnapshot { last, done, .. } => {
            let end = if *done { ", last piece" } else { "" };
            (format!("snapshot {}{end} t{term}", last.index.0), false)
        }
        Message::InstallSnapshotReply { .. } => ("snapshot piece arrived".to_owned(), true),
    }
}

const fn yes(granted: bool) -> &'static str {
    if granted { "yes" } else { "no" }
}

/// A note in words.
pub(crate) fn note(note: Note) -> String {
    match note {
        Note::Leading(term) => format!("leads in term {}", term.0),
        Note::SteppedDown(term) => format!("steps down in term {}", term.0),
        Note::Following(term, leader) => format!("follows n{} in term {}", leader.0, term.0),
        Note::Campaigning(term) => format!("campaigns for term {}", term.0),
    }
}
