//! What an import did besides reading.

use std::collections::BTreeMap;

/// Something that a reader of a verdict should know of the history it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Note {
    TimeRaised,
    ProcessRenamed,
    TxnInferred,
    NemesisOdd,
    IdleCrash,
    KeyLifted,
    Garbled,
    Unusable,
    CutTail,
    IndexIgnored,
    Duplicate,
    Overlap,
    Anonymous,
    Ambiguous,
    InvocationAdded,
}

impl Note {
    /// What happened to `n` ops, and what it means for the verdict.
    const fn text(self) -> &'static str {
        match self {
            Self::TimeRaised => "times went back and were raised: the order of the file counts",
            Self::ProcessRenamed => {
                "client processes went on after an info: each went on under a new number"
            }
            Self::TxnInferred => {
                "operations have no f and are lists of micro-operations: read as txn"
            }
            Self::NemesisOdd => {
                "events of the nemesis were dropped, which had no beginning or no end"
            }
            Self::IdleCrash => "infos `crash` of processes that did nothing were dropped",
            Self::KeyLifted => {
                "operations' values are [key value]: taken apart, as of independent keys"
            }
            Self::Garbled => "pieces of text that cannot be read were dropped",
            Self::Unusable => "operations were dropped, which lack what every operation needs",
            Self::CutTail => "operations were dropped at the end, where the file was cut",
            Self::IndexIgnored => {
                "indices did not rise and were ignored: the order of the file counts"
            }
            Self::Duplicate => "operations were dropped that only repeat the one before",
            Self::Overlap => {
                "processes invoked while their operation was open: the two were given to different processes"
            }
            Self::Anonymous => {
                "operations without a process were paired by function and value, each a process of its own"
            }
            Self::Ambiguous => {
                "completions were dropped that fit several invocations: their outcome counts as unknown"
            }
            Self::InvocationAdded => {
                "completions had no invocation: each was given one as early as its process allows, so that no order in real time is claimed"
            }
        }
    }
}

/// How often each was the case, and where first.
#[derive(Clone, Debug, Default)]
pub(super) struct Notes(BTreeMap<Note, (u64, u64)>);

impl Notes {
    pub fn add(&mut self, note: Note, line: u64) {
        let (count, _) = self.0.entry(note).or_insert((0, line));
        *count += 1;
    }

    /// A sentence each.
    pub fn sentences(&self) -> Vec<String> {
        let sentence = |(note, (count, line)): (&Note, &(u64, u64))| {
            format!("{count}× (first at line {line}): {}", note.text())
        };
        self.0.iter().map(sentence).collect()
    }
}
