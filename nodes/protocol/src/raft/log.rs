//! The log in memory: what lies behind the last compaction, and where each term begins.
//!
//! Looking up a term, the first entry of a term or a range of entries takes no scan of the log. Entries are
//! shared, so that sending one to four followers copies four pointers.

use std::collections::VecDeque;
use std::sync::Arc;

use super::message::Position;
use crate::api::{Entry, LogIndex, Payload, Term};
use crate::membership::Membership;

/// A run of consecutive entries of one term.
#[derive(Clone, Copy, Debug)]
struct Run {
    first: LogIndex,
    term: Term,
}

/// Consecutive entries after a base, which is an entry that is in a snapshot or the beginning of time.
#[derive(Clone, Debug)]
pub struct Log {
    base: Position,
    entries: VecDeque<Arc<Entry>>,
    /// In order of `first`; neighbours differ in term.
    runs: VecDeque<Run>,
    /// Memberships by the entries that set them, in order. The first one was in force at the base; the last one is now.
    memberships: VecDeque<(LogIndex, Arc<Membership>)>,
}

impl Log {
    /// An empty log that continues after `base`, with the membership that is in force there.
    pub(super) fn new(base: Position, membership: Membership) -> Log {
        let memberships = [(base.index, Arc::new(membership))].into();
        Log { base, entries: VecDeque::new(), runs: VecDeque::new(), memberships }
    }

    /// The membership in force, and the entry that set it: the last one in the log, committed or not (dissertation §4.1).
    #[must_use]
    pub fn membership(&self) -> (LogIndex, &Arc<Membership>) {
        let (index, membership) = self.memberships.back().expect("there always is one");
        (*index, membership)
    }

    /// Goes by a membership although its entry is gone, as the mutant R43 does.
    pub(super) fn keep_membership(&mut self, (at, membership): (LogIndex, Arc<Membership>)) {
        if self.membership().0 < at {
            self.memberships.push_back((at, membership));
        }
    }

    /// The membership that comes back if the entry that set the one in force is truncated.
    pub(super) fn membership_before(&self) -> &Membership {
        &self.memberships[self.memberships.len().saturating_sub(2)].1
    }

    /// The entry before the first one that is held.
    #[must_use]
    pub fn base(&self) -> Position {
        self.base
    }

    /// The last entry, or the base if there is none.
    #[must_use]
    pub fn last(&self) -> Position {
        self.entries
            .back()
            .map_or(self.base, |entry| Position { term: entry.term, index: entry.index })
    }

    /// How many entries are held.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether none is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The entry at an index, unless it is compacted or not there yet.
    #[must_use]
    pub fn get(&self, index: LogIndex) -> Option<&Arc<Entry>> {
        let offset = index.0.checked_sub(self.base.index.0 + 1)?;
        self.entries.get(usize::try_from(offset).ok()?)
    }

    /// The term at an index, the base included.
    #[must_use]
    pub fn term(&self, index: LogIndex) -> Option<Term> {
        if index == self.base.index {
            return Some(self.base.term);
        }
        self.get(index).map(|entry| entry.term)
    }

    /// The first index, within what is held, of the run of one term that `index` belongs to.
    pub(super) fn run_start(&self, index: LogIndex) -> LogIndex {
        let after = self.runs.partition_point(|run| run.first <= index);
        after.checked_sub(1).map_or(self.base.index, |at| self.runs[at].first)
    }

    /// The last index of a term, if the log holds an entry of it or begins behind one.
    pub(super) fn last_of_term(&self, term: Term) -> Option<LogIndex> {
        let Some(at) = self.runs.iter().rposition(|run| run.term == term) else {
            return (self.base.term == term).then_some(self.base.index);
        };
        let end = self.runs.get(at + 1).map_or(self.last().index.0 + 1, |next| next.first.0);
        Some(LogIndex(end - 1))
    }

    /// Adds an entry, which must be the next one.
    pub(super) fn push(&mut self, entry: Arc<Entry>) {
        assert_eq!(entry.index.0, self.last().index.0 + 1, "entries are consecutive");
        if self.runs.back().is_none_or(|run| run.term != entry.term) {
            self.runs.push_back(Run { first: entry.index, term: entry.term });
        }
        if let Payload::Membership(membership) = &entry.payload {
            self.memberships.push_back((entry.index, Arc::new(membership.clone())));
        }
        self.entries.push_back(entry);
    }

    /// Drops `from` and everything after.
    pub(super) fn truncate(&mut self, from: LogIndex) {
        let keep = from.0.saturating_sub(self.base.index.0 + 1);
        self.entries.truncate(usize::try_from(keep).unwrap_or(usize::MAX));
        while self.runs.back().is_some_and(|run| run.first >= from) {
            self.runs.pop_back();
        }
        while self.memberships.len() > 1
            && self.memberships.back().is_some_and(|(at, _)| *at >= from)
        {
            self.memberships.pop_back();
        }
    }

    /// Drops `to` and everything before; its position is the new base. Nothing happens if it is not held.
    pub(super) fn compact(&mut self, to: LogIndex) {
        let Some(term) = self.get(to).map(|entry| entry.term) else { return };
        let count = to.0 - self.base.index.0;
        self.entries.drain(..usize::try_from(count).unwrap_or(usize::MAX).min(self.entries.len()));
        self.base = Position { term, index: to };
        while self.runs.get(1).is_some_and(|next| next.first.0 <= to.0 + 1) {
            self.runs.pop_front();
        }
        while self.memberships.get(1).is_some_and(|(at, _)| *at <= to) {
            self.memberships.pop_front();
        }
        match self.runs.front_mut() {
            Some(run) if !self.entries.is_empty() => {
                run.first = LogIndex(run.first.0.max(to.0 + 1));
            }
            _ => self.runs.clear(),
        }
    }

    /// Entries from `first` on, as many as fit both limits, one at least if there is one.
    pub(super) fn slice(
        &self,
        first: LogIndex,
        entries_max: usize,
        bytes_max: usize,
    ) -> Vec<Arc<Entry>> {
        let Some(start) = first.0.checked_sub(self.base.index.0 + 1) else { return Vec::new() };
        let start = usize::try_from(start).unwrap_or(usize::MAX).min(self.entries.len());
        let mut bytes = 0;
        self.entries
            .range(start..)
            .take(entries_max.max(1))
            .take_while(|entry| {
                let first = bytes == 0;
                bytes += weight(entry);
                first || bytes <= bytes_max
            })
            .cloned()
            .collect()
    }
}

/// About how many bytes an entry takes: its key and values, and a little for the rest.
pub(super) fn weight(entry: &Entry) -> usize {
    entry.payload.weight()
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn empty() -> Log {
        Log::new(Position::default(), Membership::default())
    }

    /// A log whose entries have these terms, from index 1.
    fn log(terms: &[u64]) -> Log {
        let mut log = empty();
        extend(&mut log, terms);
        log
    }

    fn extend(log: &mut Log, terms: &[u64]) {
        for term in terms {
            let index = LogIndex(log.last().index.0 + 1);
            log.push(Arc::new(Entry { index, term: Term(*term), payload: Payload::Noop }));
        }
    }

    fn terms(log: &Log) -> Vec<u64> {
        log.slice(LogIndex(log.base().index.0 + 1), usize::MAX, usize::MAX)
            .iter()
            .map(|entry| entry.term.0)
            .collect()
    }

    #[test]
    fn terms_are_found_by_index_and_back() {
        let log = log(&[1, 1, 2, 2, 2, 4]);
        assert_eq!(log.term(LogIndex(0)), Some(Term(0)));
        assert_eq!(log.term(LogIndex(5)), Some(Term(2)));
        assert_eq!(log.term(LogIndex(7)), None);
        assert_eq!(log.run_start(LogIndex(5)), LogIndex(3));
        assert_eq!(log.last_of_term(Term(2)), Some(LogIndex(5)));
        assert_eq!(log.last_of_term(Term(4)), Some(LogIndex(6)));
        assert_eq!(log.last_of_term(Term(3)), None);
    }

    #[test]
    fn truncation_forgets_the_terms_it_drops() {
        let mut log = log(&[1, 1, 2, 2, 2, 4]);
        log.truncate(LogIndex(4));
        assert_eq!(terms(&log), [1, 1, 2]);
        assert_eq!(log.last_of_term(Term(4)), None);
        extend(&mut log, &[2, 5]);
        assert_eq!(log.last_of_term(Term(2)), Some(LogIndex(4)));
        assert_eq!(log.run_start(LogIndex(4)), LogIndex(3));
    }

    #[test]
    fn compaction_keeps_the_base_term() {
        let mut log = log(&[1, 1, 2, 2, 2, 4]);
        log.compact(LogIndex(4));
        assert_eq!(log.base(), Position { term: Term(2), index: LogIndex(4) });
        assert_eq!(terms(&log), [2, 4]);
        assert_eq!(log.run_start(LogIndex(5)), LogIndex(5));
        log.compact(LogIndex(6));
        assert!(log.is_empty());
        assert_eq!(log.last(), Position { term: Term(4), index: LogIndex(6) });
        extend(&mut log, &[4]);
        assert_eq!(log.last_of_term(Term(4)), Some(LogIndex(7)));
    }

    #[test]
    fn a_slice_holds_one_entry_at_least() {
        let log = log(&[1, 1, 1]);
        assert_eq!(log.slice(LogIndex(2), 10, 1).len(), 1);
        assert_eq!(log.slice(LogIndex(1), 2, usize::MAX).len(), 2);
        assert_eq!(log.slice(LogIndex(4), 2, usize::MAX).len(), 0);
        assert_eq!(log.slice(LogIndex(9), 2, usize::MAX).len(), 0);
    }

    #[test]
    fn the_last_membership_in_the_log_is_in_force() {
        let voters = |count: u16| Membership::of((1..=count).map(crate::api::NodeId));
        let mut log = Log::new(Position::default(), voters(1));
        for index in 1..=4 {
            let payload = match index {
                1 | 3 => Payload::Membership(voters(index as u16 + 1)),
                _ => Payload::Noop,
            };
            log.push(Arc::new(Entry { index: LogIndex(index), term: Term(1), payload }));
        }
        let now = |log: &Log| (log.membership().0.0, log.membership().1.voters.len());
        assert_eq!(now(&log), (3, 4));
        log.compact(LogIndex(2));
        assert_eq!(now(&log), (3, 4));
        log.truncate(LogIndex(3));
        assert_eq!(now(&log), (1, 2), "rolled back to the one that was compacted");
    }

    #[derive(Clone, Debug)]
    enum Change {
        Push(u64),
        Truncate(u64),
        Compact(u64),
    }

    fn change() -> impl Strategy<Value = Change> {
        prop_oneof![
            4 => (1..6u64).prop_map(Change::Push),
            1 => (1..20u64).prop_map(Change::Truncate),
            1 => (1..20u64).prop_map(Change::Compact),
        ]
    }

    proptest! {
        #[test]
        fn agrees_with_a_list_of_terms(changes in vec(change(), 0..60)) {
            let mut log = empty();
            // The terms at indices from 0, and where the log begins behind its base.
            let (mut model, mut base) = (vec![0], 0);
            for change in changes {
                match change {
                    Change::Push(term) => {
                        extend(&mut log, &[term]);
                        model.push(term);
                    }
                    Change::Truncate(at) if at > base => {
                        log.truncate(LogIndex(at));
                        model.truncate(at as usize);
                    }
                    Change::Truncate(_) => {}
                    Change::Compact(at) => {
                        log.compact(LogIndex(at));
                        base = if (at as usize) < model.len() { base.max(at) } else { base };
                    }
                }
            }
            let held = &model[base as usize + 1..];
            prop_assert_eq!(terms(&log), held);
            for term in 0..6 {
                let known = &model[base as usize..];
                let last = known.iter().rposition(|t| *t == term).map(|at| base + at as u64);
                prop_assert_eq!(log.last_of_term(Term(term)), last.map(LogIndex));
            }
            for (at, term) in held.iter().enumerate() {
                let run = held[..=at].iter().rev().take_while(|t| *t == term).count();
                let index = base + 1 + at as u64;
                let start = index + 1 - run as u64;
                prop_assert_eq!(log.run_start(LogIndex(index)), LogIndex(start));
                prop_assert_eq!(log.term(LogIndex(index)), Some(Term(*term)));
            }
        }
    }
}
