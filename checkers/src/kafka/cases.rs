//! What can be wrong, and what was found.

use super::log::Log;
use super::orders::Orders;
use crate::graph::Step;

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident = $name:literal,)*) => {
        /// What can be wrong, worst first. Names are Jepsen's where it has one.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub(super) enum Kind {
            $($(#[$doc])* $kind,)*
        }

        impl Kind {
            pub const ALL: &[Self] = &[$(Self::$kind,)*];

            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$kind => $name,)*
                }
            }
        }
    };
}

kinds! {
    /// An offset holds two messages.
    InconsistentOffsets = "inconsistent-offsets",
    /// A poll returned what nobody sent.
    GarbageRead = "garbage-read",
    /// A poll returned what a failed transaction sent.
    G1a = "G1a",
    /// A message that certainly was committed was never polled, though a later one of the key was.
    LostWrite = "lost-write",
    /// A message is at two offsets.
    Duplicate = "duplicate",
    /// A transaction polled what it had sent itself.
    PrecommittedRead = "precommitted-read",
    /// Transactions saw each other's messages, or stand before and after each other in logs, in a circle.
    G1c = "G1c",
    /// The same, with the order of real time.
    G1cRealtime = "G1c-realtime",
    /// Some cycle of that sort exists.
    Pl2Cycle = "PL-2-cycle-exists",
    /// Some cycle of that sort exists.
    StrongPl2Cycle = "strong-PL-2-cycle-exists",
    /// A transaction polled a key's message twice or an earlier one after a later.
    IntNonmonotonicPoll = "int-nonmonotonic-poll",
    /// A transaction polled past a message.
    IntPollSkip = "int-poll-skip",
    /// A process polled, after what it had polled before, an earlier message or the same.
    NonmonotonicPoll = "nonmonotonic-poll",
    /// A process polled past a message since its last transaction.
    PollSkip = "poll-skip",
    /// A process' message stands before one that it had sent before.
    NonmonotonicSend = "nonmonotonic-send",
    /// The same within a transaction.
    IntNonmonotonicSend = "int-nonmonotonic-send",
    /// Messages were committed and never polled.
    Unseen = "unseen",
    /// Messages of others stand between those of a transaction.
    IntSendSkip = "int-send-skip",
    /// Transactions' messages stand before and after each other, in a circle.
    G0 = "G0",
    /// The same, with the order of real time.
    G0Realtime = "G0-realtime",
    /// Some cycle of that sort exists.
    Pl1Cycle = "PL-1-cycle-exists",
    /// Some cycle of that sort exists.
    StrongPl1Cycle = "strong-PL-1-cycle-exists",
}

/// One thing that is wrong. Operations are rows of the log, the reader or writer as the name says.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Case {
    Inconsistent {
        position: u32,
    },
    Garbage {
        message: u32,
        reader: u32,
    },
    Aborted {
        message: u32,
        writer: u32,
        reader: u32,
    },
    /// A message whose first position is at or before `bound`, the furthest where one was polled.
    Lost {
        message: u32,
        writer: u32,
        bound: u32,
        reader: u32,
    },
    Duplicate {
        message: u32,
        positions: Vec<u32>,
    },
    Precommitted {
        message: u32,
        op: u32,
    },
    /// From one message of a key to another.
    Move {
        messages: (u32, u32),
        positions: (u32, u32),
        ops: (u32, u32),
    },
    /// Steps between rows.
    Cycle {
        steps: Vec<Step>,
        shortest: bool,
    },
    CycleExists {
        ops: Vec<u32>,
    },
    Unseen {
        key: u32,
        messages: Vec<u32>,
    },
}

impl Case {
    /// How many positions a move went on; less than one is back, or nowhere.
    pub fn delta(&self) -> i64 {
        match self {
            Self::Move { positions: (from, to), .. } => i64::from(*to) - i64::from(*from),
            _ => 0,
        }
    }
}

/// Cases of one kind that are kept, the first ones; all are counted.
const KEPT_MAX: usize = 32;

/// Everything that was found.
#[derive(Debug)]
pub(super) struct Found {
    by_kind: Vec<(u64, Vec<Case>)>,
}

impl Default for Found {
    fn default() -> Self {
        Self { by_kind: vec![(0, Vec::new()); Kind::ALL.len()] }
    }
}

impl Found {
    pub fn add(&mut self, kind: Kind, case: impl FnOnce() -> Case) {
        let (count, kept) = &mut self.by_kind[kind as usize];
        *count += 1;
        if kept.len() < KEPT_MAX {
            kept.push(case());
        }
    }

    pub fn count(&self, kind: Kind) -> u64 {
        self.by_kind[kind as usize].0
    }

    pub fn kept(&self, kind: Kind) -> &[Case] {
        &self.by_kind[kind as usize].1
    }

    /// What was found, worst first.
    pub fn kinds(&self) -> impl Iterator<Item = Kind> + '_ {
        Kind::ALL.iter().copied().filter(|kind| self.count(*kind) > 0)
    }
}

/// What all checks need to know.
pub(super) struct Facts<'a> {
    pub log: &'a Log,
    pub orders: Orders,
    /// By message: who sent it.
    writers: Vec<Writer>,
    /// A message that two operations sent, or one did twice.
    pub sent_twice: Option<u32>,
}

/// Who sent a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Writer {
    Nobody,
    /// The only operation that may have sent it, as row of the log.
    One(u32),
    /// Nobody can tell by whom it was sent.
    Several,
}

impl<'a> Facts<'a> {
    pub fn new(log: &'a Log) -> Self {
        let mut writers = vec![Writer::Nobody; log.messages.len()];
        let mut sent_twice = None;
        let failed = |row: u32| log.ops[row as usize].outcome == super::log::Outcome::Fail;
        for (row, op) in log.ops.iter().enumerate() {
            let row = row as u32;
            for item in log.sends_of(op) {
                let writer = &mut writers[item.message as usize];
                *writer = match *writer {
                    Writer::Nobody => Writer::One(row),
                    // Of a failed send nothing is there to be mistaken for the other's.
                    Writer::One(other) if failed(other) && !failed(row) => Writer::One(row),
                    Writer::One(other) if failed(row) => Writer::One(other),
                    Writer::One(_) | Writer::Several => {
                        sent_twice.get_or_insert(item.message);
                        Writer::Several
                    }
                };
            }
        }
        Self { log, orders: Orders::new(log), writers, sent_twice }
    }

    pub fn writer(&self, message: u32) -> Writer {
        self.writers[message as usize]
    }
}
