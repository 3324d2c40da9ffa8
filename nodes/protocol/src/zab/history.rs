//! The history in memory: the transactions behind the last compaction.

use std::collections::VecDeque;
use std::sync::Arc;

use super::message::{Entry, Zxid};
use crate::api::{LogIndex, Payload};

/// Consecutive transactions after a base, which is one that is in a snapshot or the beginning of time. Their zxids grow.
#[derive(Clone, Debug, Default)]
pub struct History {
    base: Zxid,
    entries: VecDeque<Arc<Entry>>,
}

impl History {
    /// An empty history that continues after `base`.
    pub(super) fn new(base: Zxid) -> History {
        History { base, entries: VecDeque::new() }
    }

    /// The transaction before the first one that is held.
    #[must_use]
    pub fn base(&self) -> Zxid {
        self.base
    }

    /// The last transaction, or the base if there is none.
    #[must_use]
    pub fn last(&self) -> Zxid {
        self.entries.back().map_or(self.base, |entry| entry.zxid())
    }

    /// The transaction at a position, unless it is compacted or not there yet.
    #[must_use]
    pub fn get(&self, index: LogIndex) -> Option<&Arc<Entry>> {
        let offset = index.0.checked_sub(self.base.counter.0 + 1)?;
        self.entries.get(usize::try_from(offset).ok()?)
    }

    /// The name of the transaction at a position, the base included.
    #[must_use]
    pub fn zxid(&self, index: LogIndex) -> Option<Zxid> {
        if index == self.base.counter {
            return Some(self.base);
        }
        self.get(index).map(|entry| entry.zxid())
    }

    /// Whether it goes through this transaction, and so has everything before it in common with whoever else does.
    pub(super) fn holds(&self, zxid: Zxid) -> bool {
        self.zxid(zxid.counter) == Some(zxid)
    }

    /// The last transaction that is not after this one, if it is not compacted.
    pub(super) fn floor(&self, zxid: Zxid) -> Option<Zxid> {
        let after = self.entries.partition_point(|entry| entry.zxid() <= zxid);
        match after.checked_sub(1) {
            Some(at) => Some(self.entries[at].zxid()),
            None => (self.base <= zxid).then_some(self.base),
        }
    }

    /// Adds a transaction, which must be the next one.
    pub(super) fn push(&mut self, entry: Arc<Entry>) {
        assert_eq!(entry.index.0, self.last().counter.0 + 1, "transactions are consecutive");
        self.entries.push_back(entry);
    }

    /// Drops everything after this position.
    pub(super) fn truncate(&mut self, last: LogIndex) {
        let keep = last.0.saturating_sub(self.base.counter.0);
        self.entries.truncate(usize::try_from(keep).unwrap_or(usize::MAX));
    }

    /// Drops `to` and everything before; its zxid is the new base. Nothing happens if it is not held.
    pub(super) fn compact(&mut self, to: LogIndex) {
        let Some(base) = self.get(to).map(|entry| entry.zxid()) else { return };
        let count = to.0 - self.base.counter.0;
        self.entries.drain(..usize::try_from(count).unwrap_or(usize::MAX).min(self.entries.len()));
        self.base = base;
    }

    /// Transactions from `first` to `last`, as many as fit both limits, one at least if there is one.
    pub(super) fn slice(
        &self,
        first: LogIndex,
        last: LogIndex,
        entries_max: usize,
        bytes_max: usize,
    ) -> Vec<Arc<Entry>> {
        let Some(start) = first.0.checked_sub(self.base.counter.0 + 1) else { return Vec::new() };
        let start = usize::try_from(start).unwrap_or(usize::MAX).min(self.entries.len());
        let mut bytes = 0;
        self.entries
            .range(start..)
            .take(entries_max.max(1))
            .take_while(|entry| {
                let first = bytes == 0;
                bytes += weight(entry);
                entry.index <= last && (first || bytes <= bytes_max)
            })
            .cloned()
            .collect()
    }
}

/// About how many bytes a transaction takes: its key and values, and a little for the rest.
pub(super) fn weight(entry: &Entry) -> usize {
    const REST: usize = 32;
    let Payload::Command { command, .. } = &entry.payload else { return REST };
    REST + command.bytes()
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::zab::Epoch;

    fn zxid(epoch: u64, counter: u64) -> Zxid {
        Zxid { epoch: Epoch(epoch), counter: LogIndex(counter) }
    }

    /// Transactions of these epochs, from position 1.
    fn history(epochs: &[u64]) -> History {
        let mut history = History::default();
        for (index, epoch) in (1..).zip(epochs) {
            let (index, epoch) = (LogIndex(index), Epoch(*epoch));
            history.push(Arc::new(Entry { index, epoch, payload: Payload::Noop }));
        }
        history
    }

    #[test]
    fn the_floor_is_where_histories_part() {
        let mut history = history(&[1, 1, 3, 3]);
        assert_eq!(history.floor(zxid(1, 2)), Some(zxid(1, 2)));
        assert_eq!(history.floor(zxid(1, 9)), Some(zxid(1, 2)));
        assert_eq!(history.floor(zxid(2, 3)), Some(zxid(1, 2)));
        assert_eq!(history.floor(zxid(3, 9)), Some(zxid(3, 4)));
        assert_eq!(history.floor(zxid(0, 0)), Some(zxid(0, 0)));
        history.compact(LogIndex(3));
        assert_eq!(history.floor(zxid(3, 3)), Some(zxid(3, 3)));
        assert_eq!(history.floor(zxid(2, 9)), None);
    }

    #[test]
    fn a_slice_holds_one_entry_at_least_and_ends_where_it_is_told() {
        let history = history(&[1, 1, 1, 1]);
        let count =
            |first, last, bytes| history.slice(LogIndex(first), LogIndex(last), 3, bytes).len();
        assert_eq!(count(2, 4, 1), 1);
        assert_eq!(count(1, 4, usize::MAX), 3);
        assert_eq!(count(1, 2, usize::MAX), 2);
        assert_eq!(count(5, 9, usize::MAX), 0);
    }

    proptest! {
        #[test]
        fn agrees_with_a_list(
            steps in vec(0..2_u64, 1..12),
            compacted in 0..12_u64,
            cut in 0..12_u64,
            (epoch, counter) in (0..8_u64, 0..14_u64),
        ) {
            let epochs: Vec<u64> =
                steps.iter().scan(1, |epoch, step| { *epoch += step; Some(*epoch) }).collect();
            let mut list: Vec<Zxid> = vec![Zxid::default()];
            list.extend((1..).zip(&epochs).map(|(counter, epoch)| zxid(*epoch, counter)));
            let mut history = history(&epochs);
            let last = cut.max(compacted).min(epochs.len() as u64);
            history.truncate(LogIndex(last));
            list.truncate(last as usize + 1);
            history.compact(LogIndex(compacted));
            let held = if compacted <= last { &list[compacted as usize..] } else { &list[..] };
            let wanted = zxid(epoch, counter);
            prop_assert_eq!(history.last(), *held.last().unwrap());
            prop_assert_eq!(history.floor(wanted), held.iter().rfind(|z| **z <= wanted).copied());
            prop_assert_eq!(history.holds(wanted), held.contains(&wanted));
        }
    }
}
