//! What a node has accepted, by slot. Up to what it has committed, that is what was chosen.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::ballot::Ballot;
use crate::api::{LogEntry, LogIndex, Payload};

/// A value accepted, or proposed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// For this slot.
    pub slot: LogIndex,
    /// Under this ballot.
    pub ballot: Ballot,
    /// What it does when it is executed.
    pub payload: Payload,
}

impl LogEntry for Entry {
    fn index(&self) -> LogIndex {
        self.slot
    }

    fn payload(&self) -> &Payload {
        &self.payload
    }
}

/// A value chosen: the same on every replica, whatever the ballot under which it holds it.
#[derive(Debug, Serialize)]
pub(super) struct Chosen<'a> {
    slot: LogIndex,
    payload: &'a Payload,
}

impl<'a> From<&'a Entry> for Chosen<'a> {
    fn from(entry: &'a Entry) -> Self {
        Self { slot: entry.slot, payload: &entry.payload }
    }
}

impl LogEntry for Chosen<'_> {
    fn index(&self) -> LogIndex {
        self.slot
    }

    fn payload(&self) -> &Payload {
        self.payload
    }
}

/// Entries by slot, with holes, after a base up to which a snapshot stands for them.
#[derive(Clone, Debug, Default)]
pub struct Log {
    base: LogIndex,
    entries: BTreeMap<LogIndex, Arc<Entry>>,
}

impl Log {
    pub(super) fn new(base: LogIndex) -> Self {
        Self { base, entries: BTreeMap::new() }
    }

    /// Slots up to here are gone.
    #[must_use]
    pub fn base(&self) -> LogIndex {
        self.base
    }

    /// The last slot of which there is an entry; the base if there is none.
    #[must_use]
    pub fn last(&self) -> LogIndex {
        self.entries.last_key_value().map_or(self.base, |(slot, _)| *slot)
    }

    /// What was accepted for a slot.
    #[must_use]
    pub fn get(&self, slot: LogIndex) -> Option<&Arc<Entry>> {
        self.entries.get(&slot)
    }

    /// Under which ballot that was.
    #[must_use]
    pub fn ballot(&self, slot: LogIndex) -> Option<Ballot> {
        self.get(slot).map(|entry| entry.ballot)
    }

    /// Every entry after a slot, in order.
    pub fn after(&self, slot: LogIndex) -> impl Iterator<Item = &Arc<Entry>> {
        self.entries.range(LogIndex(slot.0 + 1)..).map(|(_, entry)| entry)
    }

    /// Takes an entry, in place of the one for its slot. One that a snapshot stands for is not taken.
    pub(super) fn put(&mut self, entry: Arc<Entry>) {
        if entry.slot > self.base {
            self.entries.insert(entry.slot, entry);
        }
    }

    /// Drops everything up to a slot.
    pub(super) fn compact(&mut self, to: LogIndex) {
        if to > self.base {
            self.base = to;
            self.entries = self.entries.split_off(&LogIndex(to.0 + 1));
        }
    }
}

/// The longest beginning of entries that fits a message, but one of them at least.
pub(super) fn fitting<'a>(
    entries: impl Iterator<Item = &'a Arc<Entry>>,
    count_max: usize,
    bytes_max: usize,
) -> Vec<Arc<Entry>> {
    let (mut bytes, mut taken) = (0, Vec::new());
    for entry in entries.take(count_max.max(1)) {
        bytes += entry.payload.weight();
        if !taken.is_empty() && bytes > bytes_max {
            break;
        }
        taken.push(Arc::clone(entry));
    }
    taken
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::NodeId;

    fn entry(slot: u64, round: u64) -> Arc<Entry> {
        let ballot = Ballot { round, node: NodeId(1) };
        Arc::new(Entry { slot: LogIndex(slot), ballot, payload: Payload::Noop })
    }

    #[test]
    fn a_log_has_holes_and_forgets_its_beginning() {
        let mut log = Log::default();
        for (slot, round) in [(5, 1), (2, 1), (5, 2), (9, 1)] {
            log.put(entry(slot, round));
        }
        assert_eq!(log.ballot(LogIndex(5)), Some(entry(5, 2).ballot));
        assert_eq!((log.get(LogIndex(3)), log.last()), (None, LogIndex(9)));
        log.compact(LogIndex(5));
        log.put(entry(4, 7));
        assert_eq!(log.after(LogIndex(0)).map(|entry| entry.slot.0).collect::<Vec<_>>(), [9]);
        log.compact(LogIndex(12));
        assert_eq!((log.base(), log.last()), (LogIndex(12), LogIndex(12)));
    }

    #[test]
    fn a_message_takes_what_fits_and_one_entry_always() {
        let entries: Vec<_> = (1..=5).map(|slot| entry(slot, 1)).collect();
        let weight = Payload::Noop.weight();
        assert_eq!(fitting(entries.iter(), 3, 5 * weight).len(), 3);
        assert_eq!(fitting(entries.iter(), 5, 2 * weight).len(), 2);
        assert_eq!(fitting(entries.iter(), 0, 0).len(), 1);
    }
}
