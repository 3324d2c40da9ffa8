//! The promises that a store can make about transactions and about single objects, as data.
//!
//! A *model* is a set of histories: those that keep the promise. One model *implies* another if every history of the first
//! is one of the second; the stronger one is the smaller set. [`Model::implied`] holds the edges of this lattice, and
//! everything else (what follows from what, the weakest of several refuted ones) is computed from them.
//!
//! Processes are sessions: the operations of a process are ordered as it issued them. *Written values differ* unless said
//! otherwise, so that a read names the write that it returned; this is what "reads from" means below.
//!
//! A model of transactions implies one of objects for transactions of one operation each.
//!
//! # Choices, where the literature has several
//! * Serializability and below it everything of Adya's is meant on conflicts, with versions ordered; without the prefix *strong
//!   session* or *strong*, order within a session and in time plays no part. Snapshot isolation is thus the generalized one (Elnikety,
//!   Zwaenepoel & Pedone 2005), without cycles whose anti-dependencies are never adjacent (Cerone & Gotsman 2018, theorem 10).
//! * Read atomic, update atomic, causal, prefix and parallel snapshot isolation include the order within sessions, as in Biswas & Enea
//!   2019 and Cerone & Gotsman 2018.
//!
//! Edges between transactional models are as in Adya 1999 (figure 4-1), Bailis et al. 2014 (figure 2), Cerone, Bernardi & Gotsman 2015
//! (figure 1) and Daudjee & Salem 2006.

mod about;
mod about_txn;
mod anomalies;
mod anomaly_examples;
#[cfg(test)]
pub(crate) mod drawing;
#[cfg(test)]
mod edges;

use std::fmt;

pub use about::{About, Example};
pub use anomalies::{Anomaly, anomalies, anomaly};

/// A consistency model, strongest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Model {
    /// Transactions take effect one at a time, within real time.
    StrictSerializable,
    /// Serializable in an order that keeps every session's own.
    StrongSessionSerializable,
    /// Some order of all transactions explains everything.
    Serializable,
    /// Snapshots hold everything that was committed before.
    StrongSnapshotIsolation,
    /// Snapshots hold what the session did before.
    StrongSessionSnapshotIsolation,
    /// Serializable, predicates aside.
    RepeatableRead,
    /// Updates are serializable, and each reader agrees with them.
    UpdateSerializable,
    /// Reads from a snapshot; of concurrent writers of a key one commits.
    SnapshotIsolation,
    /// Consistent view, also of what committed after the transaction began.
    ForwardConsistentView,
    /// Each read is of a snapshot, and snapshots do not go back.
    MonotonicSnapshotReads,
    /// Causal, and of concurrent writers of a key one commits.
    ParallelSnapshotIsolation,
    /// Everybody sees a beginning of one order of all transactions.
    Prefix,
    /// Nobody sees a transaction and misses what it depends on.
    ConsistentView,
    /// Who sees a transaction sees what it had seen.
    TransactionalCausal,
    /// Read atomic, and no update is lost.
    UpdateAtomic,
    /// Who sees a part of a transaction sees all of it.
    ReadAtomic,
    /// What was seen in a transaction is not missed later in it.
    MonotonicView,
    /// From when a part of a transaction is seen, all of it is.
    MonotonicAtomicView,
    /// What was read to be updated is not updated by others meanwhile.
    CursorStability,
    /// Read committed, and information does not flow back in time.
    StrongReadCommitted,
    /// Read committed, and information does not flow back in a session.
    StrongSessionReadCommitted,
    /// Only what was committed is seen.
    ReadCommitted,
    /// Writes are ordered as their transactions are in real time.
    StrongReadUncommitted,
    /// Writes are ordered as their transactions are in a session.
    StrongSessionReadUncommitted,
    /// Writes of two transactions are ordered the same on every key.
    ReadUncommitted,
    /// One order that respects real time, per object.
    Linearizable,
    /// One order of all operations of all objects that respects each process.
    Sequential,
    /// CM: causal, and each process' reads fit one order of all writes.
    CausalMemory,
    /// CCv: causal, and concurrent writes are ordered the same everywhere.
    CausalConvergence,
    /// CC: each read fits some order of what happened before it.
    Causal,
    /// Each process' reads fit one order of all writes that respects every process' own order.
    Pram,
    /// A write comes after what its process had read.
    WritesFollowReads,
    /// Reads of a process do not go back.
    MonotonicReads,
    /// Writes of a process are seen in its order.
    MonotonicWrites,
    /// A process sees its own writes.
    ReadYourWrites,
    /// Reads are at most so old.
    BoundedStaleness,
    /// When writes stop, replicas come to agree.
    Eventual,
}

impl Model {
    /// All models, strongest first: none comes before one that implies it.
    pub const ALL: [Self; 37] = [
        Self::StrictSerializable,
        Self::StrongSessionSerializable,
        Self::Serializable,
        Self::StrongSnapshotIsolation,
        Self::StrongSessionSnapshotIsolation,
        Self::RepeatableRead,
        Self::UpdateSerializable,
        Self::SnapshotIsolation,
        Self::ForwardConsistentView,
        Self::MonotonicSnapshotReads,
        Self::ParallelSnapshotIsolation,
        Self::Prefix,
        Self::ConsistentView,
        Self::TransactionalCausal,
        Self::UpdateAtomic,
        Self::ReadAtomic,
        Self::MonotonicView,
        Self::MonotonicAtomicView,
        Self::CursorStability,
        Self::StrongReadCommitted,
        Self::StrongSessionReadCommitted,
        Self::ReadCommitted,
        Self::StrongReadUncommitted,
        Self::StrongSessionReadUncommitted,
        Self::ReadUncommitted,
        Self::Linearizable,
        Self::Sequential,
        Self::CausalMemory,
        Self::CausalConvergence,
        Self::Causal,
        Self::Pram,
        Self::WritesFollowReads,
        Self::MonotonicReads,
        Self::MonotonicWrites,
        Self::ReadYourWrites,
        Self::BoundedStaleness,
        Self::Eventual,
    ];

    /// What the user types, and the name of the check that decides it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::StrictSerializable => "strict-serializable",
            Self::StrongSessionSerializable => "strong-session-serializable",
            Self::Serializable => "serializable",
            Self::StrongSnapshotIsolation => "strong-snapshot-isolation",
            Self::StrongSessionSnapshotIsolation => "strong-session-snapshot-isolation",
            Self::RepeatableRead => "repeatable-read",
            Self::UpdateSerializable => "update-serializable",
            Self::SnapshotIsolation => "snapshot-isolation",
            Self::ForwardConsistentView => "forward-consistent-view",
            Self::MonotonicSnapshotReads => "monotonic-snapshot-reads",
            Self::ParallelSnapshotIsolation => "parallel-snapshot-isolation",
            Self::Prefix => "prefix",
            Self::ConsistentView => "consistent-view",
            Self::TransactionalCausal => "transactional-causal",
            Self::UpdateAtomic => "update-atomic",
            Self::ReadAtomic => "read-atomic",
            Self::MonotonicView => "monotonic-view",
            Self::MonotonicAtomicView => "monotonic-atomic-view",
            Self::CursorStability => "cursor-stability",
            Self::StrongReadCommitted => "strong-read-committed",
            Self::StrongSessionReadCommitted => "strong-session-read-committed",
            Self::ReadCommitted => "read-committed",
            Self::StrongReadUncommitted => "strong-read-uncommitted",
            Self::StrongSessionReadUncommitted => "strong-session-read-uncommitted",
            Self::ReadUncommitted => "read-uncommitted",
            Self::Linearizable => "linearizable",
            Self::Sequential => "sequential",
            Self::CausalMemory => "causal-memory",
            Self::CausalConvergence => "causal-convergence",
            Self::Causal => "causal",
            Self::Pram => "pram",
            Self::WritesFollowReads => "writes-follow-reads",
            Self::MonotonicReads => "monotonic-reads",
            Self::MonotonicWrites => "monotonic-writes",
            Self::ReadYourWrites => "read-your-writes",
            Self::BoundedStaleness => "bounded-staleness",
            Self::Eventual => "eventual",
        }
    }

    /// Other names that are in use.
    #[must_use]
    pub const fn aliases(self) -> &'static [&'static str] {
        match self {
            Self::StrictSerializable => &["strong-serializable", "pl-ss", "strict-1sr"],
            Self::StrongSessionSerializable => &["strong-session-1sr"],
            Self::Serializable => &["pl-3", "conflict-serializable", "1sr"],
            Self::StrongSnapshotIsolation => &["strong-si"],
            Self::StrongSessionSnapshotIsolation => &["strong-session-si"],
            Self::RepeatableRead => &["pl-2.99"],
            Self::UpdateSerializable => &["pl-3u"],
            Self::SnapshotIsolation => &["si", "pl-si", "gsi"],
            Self::ForwardConsistentView => &["pl-fcv"],
            Self::MonotonicSnapshotReads => &["pl-msr", "monotonic-snapshot-read"],
            Self::ParallelSnapshotIsolation => &["psi"],
            Self::Prefix => &["prefix-consistency", "pc"],
            Self::ConsistentView => &["pl-2+"],
            Self::TransactionalCausal => &["tcc", "causal-cerone"],
            Self::UpdateAtomic => &["rola"],
            Self::ReadAtomic => &["ra", "ramp"],
            Self::MonotonicView => &["pl-2l"],
            Self::MonotonicAtomicView => &["mav"],
            Self::CursorStability => &["pl-cs"],
            Self::StrongReadCommitted => &["strong-pl-2"],
            Self::StrongSessionReadCommitted => &["strong-session-pl-2"],
            Self::ReadCommitted => &["pl-2"],
            Self::StrongReadUncommitted => &["strong-pl-1"],
            Self::StrongSessionReadUncommitted => &["strong-session-pl-1"],
            Self::ReadUncommitted => &["pl-1"],
            Self::Linearizable => &["atomic", "strong"],
            Self::Sequential => &["sequential-consistency", "sc"],
            Self::CausalMemory => &["cm"],
            Self::CausalConvergence => &["ccv", "causal+"],
            Self::Causal => &["cc", "weak-causal"],
            Self::Pram => &["fifo", "pipelined-ram"],
            Self::WritesFollowReads => &["wfr", "session-causality"],
            Self::MonotonicReads => &["mr"],
            Self::MonotonicWrites => &["mw"],
            Self::ReadYourWrites => &["ryw", "read-my-writes"],
            Self::BoundedStaleness => &[],
            Self::Eventual => &["eventually-consistent", "convergent"],
        }
    }

    /// The model of that name or alias.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|model| model.name() == name || model.aliases().contains(&name))
    }

    /// What follows at once, for histories in which written values differ: the edges of the lattice, without those that
    /// others imply.
    #[must_use]
    pub const fn implied(self) -> &'static [Self] {
        match self {
            Self::StrictSerializable => &[
                Self::StrongSessionSerializable,
                Self::StrongSnapshotIsolation,
                Self::Linearizable,
            ],
            Self::StrongSessionSerializable => {
                &[Self::Serializable, Self::StrongSessionSnapshotIsolation, Self::Sequential]
            }
            Self::Serializable => {
                &[Self::RepeatableRead, Self::UpdateSerializable, Self::SnapshotIsolation]
            }
            Self::StrongSnapshotIsolation => {
                &[Self::StrongSessionSnapshotIsolation, Self::StrongReadCommitted]
            }
            Self::StrongSessionSnapshotIsolation => {
                &[Self::SnapshotIsolation, Self::ParallelSnapshotIsolation, Self::Prefix]
            }
            Self::RepeatableRead => &[Self::CursorStability, Self::MonotonicAtomicView],
            Self::UpdateSerializable => &[Self::ForwardConsistentView],
            Self::SnapshotIsolation => &[
                Self::ForwardConsistentView,
                Self::MonotonicSnapshotReads,
                Self::MonotonicAtomicView,
            ],
            Self::ForwardConsistentView => &[Self::ConsistentView],
            Self::MonotonicSnapshotReads => &[Self::ReadCommitted],
            Self::ParallelSnapshotIsolation => {
                &[Self::ConsistentView, Self::TransactionalCausal, Self::UpdateAtomic]
            }
            Self::Prefix => &[Self::TransactionalCausal],
            Self::ConsistentView => &[Self::CursorStability, Self::MonotonicView],
            Self::TransactionalCausal => &[Self::ReadAtomic, Self::CausalConvergence],
            Self::UpdateAtomic => &[Self::ReadAtomic],
            Self::ReadAtomic => &[Self::StrongSessionReadCommitted, Self::MonotonicAtomicView],
            Self::MonotonicView => &[Self::ReadCommitted],
            Self::MonotonicAtomicView => &[Self::ReadCommitted],
            Self::CursorStability => &[Self::ReadCommitted],
            Self::StrongReadCommitted => {
                &[Self::StrongSessionReadCommitted, Self::StrongReadUncommitted]
            }
            Self::StrongSessionReadCommitted => {
                &[Self::ReadCommitted, Self::StrongSessionReadUncommitted]
            }
            Self::ReadCommitted => &[Self::ReadUncommitted],
            Self::StrongReadUncommitted => &[Self::StrongSessionReadUncommitted],
            Self::StrongSessionReadUncommitted => &[Self::ReadUncommitted],
            Self::Linearizable => &[Self::Sequential],
            Self::Sequential => &[Self::CausalMemory, Self::CausalConvergence],
            Self::CausalMemory => &[Self::Causal, Self::Pram],
            // Causal alone lets a process read two concurrent writes to and fro.
            Self::CausalConvergence => &[Self::Causal, Self::MonotonicReads],
            Self::Causal => &[Self::WritesFollowReads, Self::MonotonicWrites, Self::ReadYourWrites],
            Self::Pram => &[Self::MonotonicReads, Self::MonotonicWrites, Self::ReadYourWrites],
            Self::ReadUncommitted
            | Self::WritesFollowReads
            | Self::MonotonicReads
            | Self::MonotonicWrites
            | Self::ReadYourWrites
            | Self::BoundedStaleness
            | Self::Eventual => &[],
        }
    }

    /// Whether it is about transactions rather than single objects.
    #[must_use]
    pub const fn is_transactional(self) -> bool {
        (self as u8) < (Self::Linearizable as u8)
    }

    /// What implies it at once.
    pub fn implied_by(self) -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(move |model| model.implied().contains(&self))
    }

    /// Whether every history of this model is one of `other`.
    #[must_use]
    pub fn implies(self, other: Self) -> bool {
        self == other || self.implied().iter().any(|weaker| weaker.implies(other))
    }
}

impl fmt::Display for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Those of `models` that no other of them implies, strongest first.
#[must_use]
pub fn strongest(models: &[Model]) -> Vec<Model> {
    extreme(models, |model, other| other.implies(model))
}

/// Those of `models` that imply no other of them, strongest first.
#[must_use]
pub fn weakest(models: &[Model]) -> Vec<Model> {
    extreme(models, Model::implies)
}

/// The models to which no other one is `better`.
fn extreme(models: &[Model], better: impl Fn(Model, Model) -> bool) -> Vec<Model> {
    let beaten = |model| models.iter().any(|other| *other != model && better(model, *other));
    let kept = Model::ALL.into_iter().filter(|model| models.contains(model));
    kept.filter(|model| !beaten(*model)).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_different() {
        let names = Model::ALL.iter().flat_map(|m| m.aliases().iter().copied().chain([m.name()]));
        let names: Vec<&str> = names.collect();
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len(), "{names:?}");
        assert_eq!(Model::by_name("ccv"), Some(Model::CausalConvergence));
        assert_eq!(Model::by_name("telepathic"), None);
    }

    #[test]
    fn the_lattice_has_no_cycle_and_no_edge_that_others_imply() {
        let place = |model| Model::ALL.iter().position(|m| *m == model).unwrap();
        for model in Model::ALL {
            for weaker in model.implied() {
                assert!(place(model) < place(*weaker), "{model} before {weaker}");
                let other = model.implied().iter().find(|m| *m != weaker && m.implies(*weaker));
                assert_eq!(other, None, "{model} implies {weaker} by way of it");
                assert!(weaker.implied_by().any(|stronger| stronger == model));
            }
        }
    }

    #[test]
    fn what_follows_follows_through_others() {
        use Model::{Causal, CausalMemory, Linearizable, Pram, ReadYourWrites, Sequential};

        assert!(Linearizable.implies(ReadYourWrites));
        assert!(!ReadYourWrites.implies(Linearizable) && !Causal.implies(Pram));
        assert!(!Linearizable.implies(Model::Eventual));
        assert_eq!(strongest(&[Pram, Causal, ReadYourWrites]), [Causal, Pram]);
        assert_eq!(weakest(&[Linearizable, Sequential, CausalMemory]), [CausalMemory]);
        assert_eq!(weakest(&[]), []);
    }
}
