//! Transactions that read a key to write it, and were overtaken.
//!
//! *Cursor stability*: what a transaction reads of a key and then writes, nobody else changes in between (Adya 1999, section
//! 4.3, PL-CS without G-cursor). With the order of versions known, the version that it wrote must follow the one that it had read.

use super::columns::NONE;
use super::deps::{Dependencies, External, externals_in};

/// A transaction that was overtaken.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Overtaken {
    /// What it had read.
    pub read: External,
    /// The version that came between, and the one that it wrote.
    pub between: u32,
    pub wrote: u32,
}

impl Dependencies<'_> {
    /// How many were overtaken, and the first.
    pub fn overtaken(&self) -> (u64, Option<Overtaken>) {
        let mut found = (0, None);
        for row in 0..self.txns.txns.len() as u32 {
            for read in externals_in(self.txns, row) {
                if let Some(overtaken) = self.overtaken_by(read) {
                    found.0 += 1;
                    found.1.get_or_insert(overtaken);
                }
            }
        }
        found
    }

    fn overtaken_by(&self, read: External) -> Option<Overtaken> {
        let after = self.orders.after(read.version)?;
        let mut ops = self.txns.ops(read.txn).iter();
        let wrote = ops.find(|op| op.f.writes() && op.key == read.key)?.value;
        let place = self.orders.places[wrote as usize];
        let between = self.orders.from(read.key, after).find(|version| {
            let earlier = place == NONE || self.orders.places[*version as usize] < place;
            let writer = self.orders.writer(self.writers, *version);
            earlier && writer.is_some_and(|writer| writer != read.txn)
        })?;
        Some(Overtaken { read, between, wrote })
    }

    /// A case in words.
    pub fn tell_overtaken(&self, Overtaken { read, between, wrote }: &Overtaken) -> String {
        let name = self.txns.key_name(read.key);
        let saw = match read.version {
            NONE => "before anything was written to it".into(),
            version => format!("with {} as its latest value", self.txns.value(version)),
        };
        let (between, wrote) = (self.txns.value(*between), self.txns.value(*wrote));
        format!(
            "Process {} read {name} {saw} and wrote {wrote} there, but {between} came between.",
            self.txns.txns[read.txn as usize].span.process
        )
    }
}
