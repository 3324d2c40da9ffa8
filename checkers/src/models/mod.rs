//! The promises that a store can make about single objects, as data.
//!
//! A *model* is a set of histories: those that keep the promise. One model *implies* another if every history of the first
//! is one of the second; the stronger one is the smaller set. [`Model::implied`] holds the edges of this lattice, and
//! everything else (what follows from what, the weakest of several refuted ones) is computed from them.
//!
//! Processes are sessions: the operations of a process are ordered as it issued them. *Written values differ* unless said
//! otherwise, so that a read names the write that it returned; this is what "reads from" means below.

mod about;
mod anomalies;
#[cfg(test)]
pub(crate) mod drawing;
#[cfg(test)]
mod edges;

use std::fmt;

pub use about::{About, Example};
pub use anomalies::{ANOMALIES, Anomaly, anomaly};

/// A consistency model, strongest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Model {
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
    pub const ALL: [Self; 12] = [
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
            Self::Linearizable => &[Self::Sequential],
            Self::Sequential => &[Self::CausalMemory, Self::CausalConvergence],
            Self::CausalMemory => &[Self::Causal, Self::Pram],
            // Causal alone lets a process read two concurrent writes to and fro.
            Self::CausalConvergence => &[Self::Causal, Self::MonotonicReads],
            Self::Causal => &[Self::WritesFollowReads, Self::MonotonicWrites, Self::ReadYourWrites],
            Self::Pram => &[Self::MonotonicReads, Self::MonotonicWrites, Self::ReadYourWrites],
            Self::WritesFollowReads
            | Self::MonotonicReads
            | Self::MonotonicWrites
            | Self::ReadYourWrites
            | Self::BoundedStaleness
            | Self::Eventual => &[],
        }
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
