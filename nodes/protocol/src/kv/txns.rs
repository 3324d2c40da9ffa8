//! Transactions, as far as one group of replicas has a part in them: a participant of two-phase commit.
//!
//! A transaction names what it depends on as *checks*, keys with the version that it saw, and what it does as *puts*. If all its
//! keys belong to one group it is one entry of that group's log, [`Step::Commit`], and over when that is applied.
//! Otherwise:
//!
//! * [`Step::Prepare`] asks each group. One that says yes holds the keys from then on, those of checks *shared* and those of
//!   puts *exclusively*, and does not give them up by itself, whatever happens to who asked: prepared transactions are part of the
//!   replicated state and of its snapshots.
//! * [`Step::Decide`] writes the outcome into the *home* group's log. The first to write decides, and later ones are told what was decided. So
//!   it does not matter who writes: whoever meets a prepared transaction that nobody finishes decides that it is aborted, unless it
//!   was committed before. That is what makes the coordinator recoverable: it is anybody.
//! * [`Step::Finish`] carries a decision out in a group.
//!
//! A transaction takes effect when its commit is decided. From when the last group said yes until then all of its keys are held, so what it
//! checked is still so, and nobody reads what it puts: reads are told that a key is held ([`Held::by`]), and come again.
//!
//! *No waiting.* A participant never queues: a key that is held is a `Blocked`, and who is told so decides whether to come again, to
//! settle the transaction that is in the way, or to give up. So there are no deadlocks.
//!
//! Sources: Gray, *Notes on data base operating systems* (1978), §5.8.3.3; Bernstein, Hadzilacos & Goodman, *Concurrency control and
//! recovery in database systems* (1987), ch. 7; Peng & Dabek, *Percolator* (OSDI 2010), §2.2, whose primary lock is the home
//! group's record; Gray & Lamport, *Consensus on transaction commit* (2006), for decisions that are replicated.
//!
//! Limits: the home group keeps so many decisions ([`DECISIONS_MAX`]) and forgets the oldest beyond. A coordinator that comes back with a commit after so
//! many later ones, to a transaction that somebody had aborted, would be believed; the time of an operation is far shorter.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::values::{Values, Version};
use super::{Key, Mutant, Response, SessionId, Value};
use crate::api::LogIndex;
use crate::placement::GroupId;

/// Decisions that a home group keeps.
pub const DECISIONS_MAX: usize = 4_096;

/// Names a transaction: its home, its coordinator, and a number that the coordinator gives once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TxnId {
    /// The group that keeps its outcome.
    pub home: GroupId,
    /// Its coordinator, by the session that this has in the first group.
    pub coordinator: SessionId,
    /// One that the coordinator gave to no other.
    pub number: u64,
}

/// Keys with the versions that they must still have.
pub type Checks = Vec<(Key, Version)>;
/// Keys with what they hold from now on.
pub type Puts = Vec<(Key, Value)>;

/// What a group is asked to do for a transaction.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Step {
    /// Say what keys hold, all at one moment.
    Fetch {
        /// Which.
        keys: Vec<Key>,
    },
    /// Do all of it or nothing, now.
    Commit {
        /// What must be so.
        checks: Checks,
        /// What shall be so.
        puts: Puts,
    },
    /// Promise to do all of it.
    Prepare {
        /// For which transaction.
        txn: TxnId,
        /// What must be so.
        checks: Checks,
        /// What shall be so.
        puts: Puts,
    },
    /// Write down the outcome, unless it is written.
    Decide {
        /// Of which transaction.
        txn: TxnId,
        /// The outcome.
        commit: bool,
    },
    /// Carry the decision out.
    Finish {
        /// Of which transaction.
        txn: TxnId,
        /// What was decided.
        commit: bool,
    },
    /// The outcome need not be kept any longer: every group has carried it out, and its coordinator knows it.
    Forget {
        /// Of which transaction.
        txn: TxnId,
    },
}

impl Step {
    /// The keys that the group must have for it.
    pub(super) fn keys(&self) -> impl Iterator<Item = &Key> {
        let (fetched, checks, puts) = match self {
            Self::Fetch { keys } => (&keys[..], &[][..], &[][..]),
            Self::Commit { checks, puts } | Self::Prepare { checks, puts, .. } => {
                (&[][..], &checks[..], &puts[..])
            }
            Self::Decide { .. } | Self::Finish { .. } | Self::Forget { .. } => Default::default(),
        };
        let checked = checks.iter().map(|(key, _)| key);
        fetched.iter().chain(checked).chain(puts.iter().map(|(key, _)| key))
    }

    /// The home of the transaction that it makes the group promise.
    pub(super) const fn home(&self) -> Option<GroupId> {
        match self {
            Self::Prepare { txn, .. } => Some(txn.home),
            _ => None,
        }
    }

    /// How many bytes of keys and values it carries.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match self {
            Self::Fetch { keys } => keys.iter().map(Vec::len).sum(),
            Self::Commit { checks, puts } | Self::Prepare { checks, puts, .. } => {
                let checks = checks.iter().map(|(key, _)| key.len() + size_of::<Version>());
                let puts = puts.iter().map(|(key, value)| key.len() + value.len());
                checks.chain(puts).sum()
            }
            Self::Decide { .. } | Self::Finish { .. } | Self::Forget { .. } => 0,
        }
    }
}

/// What [`Step::Fetch`] finds of a key.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Held {
    /// What it holds; what a prepared transaction puts is not there yet.
    pub value: Option<Value>,
    /// Since when.
    pub version: Version,
    /// The prepared transaction that is going to change it, if it commits.
    pub by: Option<TxnId>,
}

/// A transaction that this group has promised to carry out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Prepared {
    checks: Vec<Key>,
    puts: Puts,
}

impl Prepared {
    /// The keys that it holds.
    fn keys(&self) -> impl Iterator<Item = &Key> {
        self.checks.iter().chain(self.puts.iter().map(|(key, _)| key))
    }
}

/// A decision, and the entry that made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Decision {
    commit: bool,
    at: LogIndex,
}

/// Who holds a key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Grip {
    /// Exclusively.
    writer: Option<TxnId>,
    /// Shared.
    readers: BTreeSet<TxnId>,
}

/// Transactions that are prepared, and outcomes of those that have their home here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Txns {
    prepared: BTreeMap<TxnId, Prepared>,
    decisions: BTreeMap<TxnId, Decision>,
    /// Follows from `prepared`.
    #[serde(skip)]
    grips: BTreeMap<Key, Grip>,
    /// Decisions by age; follows from them.
    #[serde(skip)]
    by_age: BTreeMap<LogIndex, TxnId>,
}

impl Txns {
    /// Computes what follows from the rest.
    pub(super) fn restored(mut self) -> Self {
        self.by_age = self.decisions.iter().map(|(txn, decision)| (decision.at, *txn)).collect();
        let prepared = std::mem::take(&mut self.prepared);
        for (txn, part) in &prepared {
            self.hold(*txn, part);
        }
        Self { prepared, ..self }
    }

    /// Who holds a key, so that nobody else may set it.
    pub(super) fn holder(&self, key: &[u8]) -> Option<TxnId> {
        let grip = self.grips.get(key)?;
        grip.writer.or(grip.readers.first().copied())
    }

    pub(super) fn has_prepared(&self, txn: TxnId) -> bool {
        self.prepared.contains_key(&txn)
    }

    /// Every prepared transaction, with the keys that it holds.
    pub(super) fn prepared(&self) -> impl Iterator<Item = (TxnId, impl Iterator<Item = &Key>)> {
        self.prepared.iter().map(|(txn, part)| (*txn, part.keys()))
    }

    /// The same without what it has promised (the mutant T4).
    pub(super) fn without_prepared(self) -> Self {
        Self { prepared: BTreeMap::new(), ..self }
    }

    pub(super) fn perform(
        &mut self,
        index: LogIndex,
        step: &Step,
        values: &mut Values,
        mistake: Option<Mutant>,
    ) -> Response {
        match step {
            Step::Fetch { keys } => self.fetch_all(keys, values, mistake),
            Step::Commit { checks, puts } => match self.obstacle(None, checks, puts, values) {
                Some(obstacle) => obstacle,
                None => {
                    puts.iter().for_each(|(key, v)| values.put(index, key.clone(), v.clone()));
                    Response::Committed
                }
            },
            Step::Prepare { txn, checks, puts } => {
                if mistake != Some(Mutant::AlwaysYes)
                    && !self.prepared.contains_key(txn)
                    && let Some(obstacle) = self.obstacle(Some(*txn), checks, puts, values)
                {
                    return obstacle;
                }
                let held = if mistake == Some(Mutant::HoldPutsOnly) { &[][..] } else { checks };
                self.prepare(*txn, held, puts);
                Response::Prepared
            }
            Step::Decide { txn, commit } => {
                if mistake == Some(Mutant::LastDecisionWins) {
                    self.forget(*txn);
                }
                Response::Decided { commit: self.decide(index, *txn, *commit) }
            }
            Step::Finish { txn, commit } => {
                if let Some(part) = self.let_go(*txn).filter(|_| *commit) {
                    part.puts.into_iter().for_each(|(key, value)| values.put(index, key, value));
                }
                Response::Finished
            }
            Step::Forget { txn } => {
                self.forget(*txn);
                Response::Finished
            }
        }
    }

    pub(super) fn fetch_all(
        &self,
        keys: &[Key],
        values: &Values,
        mistake: Option<Mutant>,
    ) -> Response {
        let hidden = mistake == Some(Mutant::HideHolder);
        Response::Fetched(keys.iter().map(|key| self.fetch(key, values, hidden)).collect())
    }

    fn fetch(&self, key: &Key, values: &Values, hidden: bool) -> Held {
        let by = self.grips.get(key).and_then(|grip| grip.writer).filter(|_| !hidden);
        Held { value: values.get(key).cloned(), version: values.version(key), by }
    }

    /// Promises, unless that was done.
    fn prepare(&mut self, txn: TxnId, checks: &[(Key, Version)], puts: &Puts) {
        if self.prepared.contains_key(&txn) {
            return;
        }
        let checks = checks.iter().map(|(key, _)| key.clone()).collect();
        let part = Prepared { checks, puts: puts.clone() };
        self.hold(txn, &part);
        self.prepared.insert(txn, part);
    }

    fn forget(&mut self, txn: TxnId) {
        if let Some(decision) = self.decisions.remove(&txn) {
            self.by_age.remove(&decision.at);
        }
    }

    /// Why a transaction cannot have its way.
    fn obstacle(
        &self,
        txn: Option<TxnId>,
        checks: &Checks,
        puts: &Puts,
        values: &Values,
    ) -> Option<Response> {
        if checks.iter().any(|(key, version)| values.version(key) != *version) {
            return Some(Response::Conflict);
        }
        let other = |by: &TxnId| Some(*by) != txn;
        let writer = |key: &Key| self.grips.get(key).and_then(|grip| grip.writer).filter(other);
        let reader = |key: &Key| {
            self.grips.get(key).and_then(|grip| grip.readers.iter().copied().find(other))
        };
        let checked = checks.iter().find_map(|(key, _)| writer(key));
        let by = checked.or_else(|| puts.iter().find_map(|(key, _)| writer(key).or(reader(key))));
        by.map(Response::Blocked)
    }

    fn hold(&mut self, txn: TxnId, part: &Prepared) {
        for key in &part.checks {
            self.grips.entry(key.clone()).or_default().readers.insert(txn);
        }
        for (key, _) in &part.puts {
            self.grips.entry(key.clone()).or_default().writer = Some(txn);
        }
    }

    fn let_go(&mut self, txn: TxnId) -> Option<Prepared> {
        let part = self.prepared.remove(&txn)?;
        for key in part.keys() {
            let Some(grip) = self.grips.get_mut(key) else { continue };
            grip.readers.remove(&txn);
            grip.writer = grip.writer.filter(|writer| *writer != txn);
            if grip.writer.is_none() && grip.readers.is_empty() {
                self.grips.remove(key);
            }
        }
        Some(part)
    }

    /// What is decided, now or before.
    fn decide(&mut self, index: LogIndex, txn: TxnId, commit: bool) -> bool {
        if let Some(decision) = self.decisions.get(&txn) {
            return decision.commit;
        }
        if self.decisions.len() >= DECISIONS_MAX
            && let Some((_, oldest)) = self.by_age.pop_first()
        {
            self.decisions.remove(&oldest);
        }
        self.decisions.insert(txn, Decision { commit, at: index });
        self.by_age.insert(index, txn);
        commit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A group alone.
    #[derive(Default)]
    struct Group {
        txns: Txns,
        values: Values,
        index: u64,
    }

    fn txn(number: u64) -> TxnId {
        TxnId { home: GroupId(0), coordinator: SessionId(1), number }
    }

    fn checks(checks: &[(&str, u64)]) -> Checks {
        checks.iter().map(|(key, version)| (key.as_bytes().to_vec(), Version(*version))).collect()
    }

    fn puts(puts: &[(&str, &str)]) -> Puts {
        puts.iter()
            .map(|(key, value)| (key.as_bytes().to_vec(), value.as_bytes().to_vec()))
            .collect()
    }

    impl Group {
        fn step(&mut self, step: &Step) -> Response {
            self.index += 1;
            // Whatever is done is done to a group that was restored just now.
            let bytes = postcard::to_stdvec(&self.txns).unwrap();
            let restored = postcard::from_bytes::<Txns>(&bytes).unwrap().restored();
            assert_eq!(restored, self.txns);
            self.txns.perform(LogIndex(self.index), step, &mut self.values, None)
        }

        fn commit(&mut self, c: &[(&str, u64)], p: &[(&str, &str)]) -> Response {
            self.step(&Step::Commit { checks: checks(c), puts: puts(p) })
        }

        fn prepare(&mut self, n: u64, c: &[(&str, u64)], p: &[(&str, &str)]) -> Response {
            self.step(&Step::Prepare { txn: txn(n), checks: checks(c), puts: puts(p) })
        }

        fn finish(&mut self, n: u64, commit: bool) {
            assert_eq!(self.step(&Step::Finish { txn: txn(n), commit }), Response::Finished);
        }

        fn value(&self, key: &str) -> Option<&str> {
            self.values.get(key.as_bytes()).map(|value| std::str::from_utf8(value).unwrap())
        }
    }

    #[test]
    fn one_group_commits_at_once_what_is_still_so() {
        let mut group = Group::default();
        assert_eq!(group.commit(&[("x", 0)], &[("x", "a"), ("y", "b")]), Response::Committed);
        assert_eq!(group.commit(&[("x", 0)], &[("x", "c")]), Response::Conflict);
        assert_eq!(group.commit(&[("x", 1), ("y", 1)], &[("y", "c")]), Response::Committed);
        assert_eq!((group.value("x"), group.value("y")), (Some("a"), Some("c")));
        let fetch = Step::Fetch { keys: vec![b"y".to_vec(), b"z".to_vec()] };
        let held = |value: Option<&str>, version| Held {
            value: value.map(|value| value.as_bytes().to_vec()),
            version: Version(version),
            by: None,
        };
        assert_eq!(group.step(&fetch), Response::Fetched(vec![held(Some("c"), 3), held(None, 0)]));
    }

    #[test]
    fn what_is_prepared_is_held_until_it_is_finished() {
        let mut group = Group::default();
        assert_eq!(group.prepare(1, &[("x", 0)], &[("y", "a")]), Response::Prepared);
        // Shared, the first may be checked, and not set; exclusively, the second neither.
        assert_eq!(group.prepare(2, &[("x", 0)], &[("z", "b")]), Response::Prepared);
        for (c, p) in [(&[][..], ("x", "c")), (&[("y", 0)], ("w", "c")), (&[], ("y", "c"))] {
            assert_eq!(group.commit(c, &[p]), Response::Blocked(txn(1)), "{p:?}");
            assert_eq!(group.prepare(3, c, &[p]), Response::Blocked(txn(1)), "{p:?}");
        }
        assert_eq!(group.txns.holder(b"x"), Some(txn(1)));
        assert_eq!(group.prepare(1, &[("x", 0)], &[("y", "a")]), Response::Prepared);
        let fetch = Step::Fetch { keys: vec![b"y".to_vec(), b"x".to_vec()] };
        let Response::Fetched(held) = group.step(&fetch) else { panic!("a fetch") };
        assert_eq!((held[0].by, held[1].by), (Some(txn(1)), None));
        assert_eq!(group.value("y"), None);
        group.finish(1, true);
        assert_eq!(group.value("y"), Some("a"));
        assert_eq!(group.commit(&[], &[("x", "c")]), Response::Blocked(txn(2)));
        group.finish(2, false);
        assert_eq!((group.value("z"), group.txns.holder(b"x")), (None, None));
        assert_eq!(group.commit(&[], &[("x", "c")]), Response::Committed);
        // Whoever comes late with a decision changes nothing.
        group.finish(1, true);
        group.finish(2, true);
        assert_eq!(group.value("z"), None);
    }

    #[test]
    fn the_first_decision_stands() {
        let mut group = Group::default();
        let decide =
            |group: &mut Group, n, commit| group.step(&Step::Decide { txn: txn(n), commit });
        assert_eq!(decide(&mut group, 1, false), Response::Decided { commit: false });
        assert_eq!(decide(&mut group, 1, true), Response::Decided { commit: false });
        assert_eq!(decide(&mut group, 2, true), Response::Decided { commit: true });
        assert_eq!(decide(&mut group, 2, false), Response::Decided { commit: true });
        group.step(&Step::Forget { txn: txn(2) });
        assert_eq!(decide(&mut group, 2, false), Response::Decided { commit: false });
    }

    #[test]
    fn the_oldest_decision_is_forgotten_first() {
        let (mut txns, mut values) = (Txns::default(), Values::default());
        let mut decide = |index: u64, n, commit| {
            txns.perform(LogIndex(index), &Step::Decide { txn: txn(n), commit }, &mut values, None)
        };
        let full = DECISIONS_MAX as u64;
        // Later ones have smaller numbers.
        for n in 1..=full {
            decide(n, full - n, true);
        }
        decide(full + 1, full, true);
        assert_eq!(decide(full + 2, full - 1, false), Response::Decided { commit: false });
        assert_eq!(decide(full + 3, 0, false), Response::Decided { commit: true });
    }
}
