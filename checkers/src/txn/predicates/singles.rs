//! What is wrong with single reads, and with matches that nothing explains.

use super::deps::Facts;
use crate::txn::columns::{F, NONE, Outcome};
use crate::txn::singles::{Case, Singles};

/// All of it.
pub(super) fn singles(facts: &Facts<'_>) -> Singles {
    let passing = facts.txns.passing();
    let mut looking = Looking { facts, passing, found: Singles::new(), row: 0, own: Vec::new() };
    for row in 0..facts.txns.txns.len() as u32 {
        if facts.txns.txns[row as usize].outcome == Outcome::Ok {
            looking.transaction(row);
        }
    }
    looking.found
}

struct Looking<'a> {
    facts: &'a Facts<'a>,
    /// See [`Txns::passing`](crate::txn::columns::Txns::passing).
    passing: Vec<bool>,
    found: Singles,
    row: u32,
    /// What the transaction has seen or left of keys so far: versions, [`NONE`] of one that is not there.
    own: Vec<(u32, u32)>,
}

impl Looking<'_> {
    fn add(&mut self, name: &'static str, others: &[u32], words: String) {
        let txns = others.iter().copied().chain([self.row]).collect();
        self.found.entry(name).or_default().add(|| Case { txns, words: vec![words] });
    }

    fn transaction(&mut self, row: u32) {
        self.row = row;
        self.own.clear();
        let txns = self.facts.txns;
        for op in txns.ops(row) {
            match op.f {
                F::Write => self.know(op.key, op.value),
                F::Read => self.read(op.key, op.value),
                F::Match => self.matched(op.value),
                _ => {}
            }
        }
    }

    fn know(&mut self, key: u32, version: u32) {
        // To who reads it, what was deleted is not there.
        let version = if self.facts.is_deleted(version) { NONE } else { version };
        match self.own.iter_mut().find(|(known, _)| *known == key) {
            Some((_, known)) => *known = version,
            None => self.own.push((key, version)),
        }
    }

    fn known(&self, key: u32) -> Option<u32> {
        self.own.iter().find(|(known, _)| *known == key).map(|(_, version)| *version)
    }

    fn read(&mut self, key: u32, version: u32) {
        let txns = self.facts.txns;
        let known = self.known(key);
        self.know(key, version);
        let saw = format!("{} with {}", txns.key_name(key), txns.value(version));
        if let Some(known) = known.filter(|known| *known != version) {
            let before = txns.value(known);
            self.add("internal", &[], format!("It read {saw}, and had it with {before} before."));
        }
        if version == NONE || known == Some(version) {
            return;
        }
        let Some(writer) = self.facts.writers.of(version) else {
            return self.add(
                "garbage-read",
                &[],
                format!("It read {saw}, which nobody ever wrote."),
            );
        };
        if writer == self.row {
            return self.add(
                "future-read",
                &[],
                format!("It read {saw}, which it writes only later."),
            );
        }
        if txns.txns[writer as usize].outcome == Outcome::Fail {
            self.add("G1a", &[writer], format!("{saw} was read, and its transaction failed."));
        }
        if self.passing[version as usize] {
            let words = format!("{saw} was read, and its transaction went on to overwrite it.");
            self.add("G1b", &[writer], words);
        }
    }

    fn matched(&mut self, matched: u32) {
        let txns = self.facts.txns;
        let read = &txns.matched[matched as usize];
        let label = read.label(txns);
        for (key, version) in read.found.iter().copied() {
            self.read(key, version);
            if !self.facts.matches(matched, key, version) {
                let words =
                    format!("`{label}` returned {}, which it does not match.", txns.key_name(key));
                self.add("wrong-match", &[], words);
            }
        }
        let unmatched = |key: &u32| read.version(*key).is_none();
        for key in (0..txns.keys.len() as u32).filter(unmatched) {
            let name = txns.key_name(key);
            if let Some(known) = self.known(key) {
                if self.facts.matches(matched, key, known) {
                    let value = txns.value(known);
                    let words = format!(
                        "`{label}` did not return {name}, which it had with {value} before."
                    );
                    self.add("internal", &[], words);
                }
                continue;
            }
            let fits = |version| !self.facts.matches(matched, key, version);
            if self.facts.seen(self.row, key, fits).is_none() {
                let words = format!(
                    "`{label}` did not return {name}, though it matches all that {name} ever was."
                );
                self.add("predicate-read-miss", &[], words);
            }
        }
    }
}
