//! What no cycle shows: cases of one anomaly counted, and the first of them to be told.

use std::collections::BTreeMap;

use super::columns::{NONE, Txns};
use super::deps::External;
use super::tell;
use crate::verdict::Evidence;

/// What was found of one kind.
#[derive(Debug, Default)]
pub(crate) struct Cases {
    /// How many.
    pub count: u64,
    /// The first.
    pub first: Option<Case>,
}

/// A case, told by those who have a part in it.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    /// Rows of transactions.
    pub txns: Vec<u32>,
    /// What happened, a sentence each.
    pub words: Vec<String>,
}

/// By name of the anomaly.
pub(crate) type Singles = BTreeMap<&'static str, Cases>;

impl Cases {
    /// Counts a case; the first one is told.
    pub fn add(&mut self, case: impl FnOnce() -> Case) {
        self.count += 1;
        self.first.get_or_insert_with(case);
    }
}

impl Case {
    pub fn evidence(self, txns: &Txns) -> Evidence {
        tell::evidence(txns, &self.txns, self.words)
    }
}

/// Who was the first to update each version: to read it, and write its key.
pub(crate) struct Updates {
    of_version: Vec<u32>,
    /// By key, of the initial version.
    of_initial: Vec<u32>,
}

impl Updates {
    pub fn new(txns: &Txns) -> Self {
        let of_version = vec![NONE; txns.versions() as usize];
        Self { of_version, of_initial: vec![NONE; txns.keys.len()] }
    }

    /// Notes an update, by what it read; who updated that version before, if anybody did: one of the two is lost.
    pub fn add(&mut self, External { txn, key, version }: External) -> Option<u32> {
        let slot = match self.of_version.get_mut(version as usize) {
            Some(slot) => slot,
            None => &mut self.of_initial[key as usize],
        };
        if *slot == NONE {
            *slot = txn;
            return None;
        }
        Some(*slot)
    }
}
