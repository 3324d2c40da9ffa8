//! Transactions that saw a part of another one.
//!
//! A transaction that reads a version of some other, and of another key an older version than that one wrote there, has
//! seen a part of it: a *fractured read* (Bailis et al., RAMP, 2014). If the older version was read after the newer one, the view
//! went back within the transaction.

use super::columns::{F, NONE};
use super::deps::{Dependencies, External, externals_in};

/// A fractured read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fractured {
    pub writer: u32,
    pub reader: u32,
    /// What was seen of the writer.
    pub seen: External,
    /// What was read though the writer had written something newer.
    pub older: External,
    /// The version of the writer that was missed.
    pub missed: u32,
}

impl Dependencies<'_> {
    /// How many fractured reads there are of either kind, and the first of each: any, and those that went back.
    pub fn fractured(&self) -> [(u64, Option<Fractured>); 2] {
        let mut found = [(0, None); 2];
        for reader in 0..self.txns.txns.len() as u32 {
            let reads = externals_in(self.txns, reader);
            for (at, seen) in reads.iter().enumerate().filter(|(_, seen)| seen.version != NONE) {
                let writer = self.orders.writer(self.writers, seen.version);
                let Some(writer) = writer.filter(|writer| *writer != reader) else { continue };
                for (other, older) in reads.iter().enumerate().filter(|read| read.1.key != seen.key)
                {
                    let Some(missed) = self.newer(writer, *older) else { continue };
                    let case = Fractured { writer, reader, seen: *seen, older: *older, missed };
                    let back = other > at;
                    for (count, first) in &mut found[..=usize::from(back)] {
                        *count += 1;
                        first.get_or_insert(case);
                    }
                }
            }
        }
        found
    }

    /// What a writer wrote to the key of a read that is newer than what was read.
    fn newer(&self, writer: u32, read: External) -> Option<u32> {
        let after = self.orders.after(read.version)?;
        let mut writes = self.txns.ops(writer).iter();
        let newer = writes.find(|op| {
            let place = || self.orders.places[op.value as usize];
            matches!(op.f, F::Append | F::Write) && op.key == read.key && place() >= after
        })?;
        Some(newer.value)
    }

    /// A case in words.
    pub fn tell_fractured(&self, case: &Fractured) -> String {
        let Fractured { writer, reader, seen, older, missed, .. } = *case;
        let name = |key| self.txns.key_name(key);
        let process = |row: u32| self.txns.txns[row as usize].span.process;
        format!(
            "Process {} read {} with {} as its latest value, which process {} wrote in one transaction with {} to {}; and of \
             that, the same read missed the latter.",
            process(reader),
            name(seen.key),
            self.txns.value(seen.version),
            process(writer),
            self.txns.value(missed),
            name(older.key),
        )
    }
}
