//! Seeded mistakes of all protocols: one broken rule each, each met in a real implementation or a teaching text.
//!
//! A harness that finds none of them finds nothing. Where a defence that the rule does not need (pre-vote,
//! check-quorum, large appends) would hide a mistake from the outside, the mutant is the mistake in an
//! implementation without that defence; [`Info`] says so. Each mistake is one condition at the rule it
//! breaks: search for `Mutant::`. Each protocol lists its own; [`Mutant`] is any of them. Their names differ, so that a name alone tells the
//! protocol.

pub(crate) mod storage;

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use crate::{kv, paxos, raft, zab};

pub use storage::StorageMistake;

/// What is known of a mutant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Info<M = Mutant> {
    /// The mutant.
    pub mutant: M,
    /// What `--mutant` takes.
    pub name: &'static str,
    /// Its number in the catalogue: R for Raft implementations, P for Paxos, Z for Zab, K for Kafka, S for sketches in teaching texts, E for equivalents.
    pub id: &'static str,
    /// What it does instead of the rule, and the rule.
    pub rule: &'static str,
    /// Where the mistake was made, or where the rule stands.
    pub source: &'static str,
    /// How it shows from outside.
    pub evidence: &'static str,
    /// 1: any kills and partitions show it; 2: one kind of fault does; 3: a composed schedule is needed; 4: next to nothing
    /// but a simulation shows it; [`EQUIVALENT`]: there is nothing to show.
    pub class: u8,
    /// Faults that reach it, as `--nemesis` takes them.
    pub nemesis: &'static str,
    /// Further flags of a run that reaches it well.
    pub flags: &'static str,
    /// Whether nodes with this mistake go without pre-vote, which would hide it.
    pub without_pre_vote: bool,
    /// Whether leaders with this mistake go without check-quorum, which would hide it.
    pub without_check_quorum: bool,
    /// Whether nodes with this mistake take no snapshots: one that is installed repairs a replica that has diverged.
    pub without_snapshots: bool,
    /// Whether the mistake is in what is below the protocol, where no simulation of the protocol alone can show it.
    pub in_storage: bool,
}

/// The class of what breaks no rule.
pub const EQUIVALENT: u8 = 0;

/// Short faults, and many clients that give up soon: a leader that was cut off then collects about as many entries
/// that nobody commits as the others commit meanwhile, which is what most mistakes need to show.
pub(crate) const BUSY: &str = "--nemesis-interval 2 --concurrency 10n --op-timeout 0.3";
/// Clients that wait until there is a new leader, and ask it again.
pub(crate) const PATIENT: &str = "--nemesis-interval 2 --concurrency 10n --op-timeout 3";

impl<M: Copy> Info<M> {
    /// Begins a row: a mistake that is caught with every defence in place.
    pub(crate) const fn mistake(
        mutant: M,
        name: &'static str,
        id: &'static str,
        class: u8,
    ) -> Self {
        Self {
            mutant,
            name,
            id,
            rule: "",
            source: "",
            evidence: "",
            class,
            nemesis: "",
            flags: "",
            without_pre_vote: false,
            without_check_quorum: false,
            without_snapshots: false,
            in_storage: false,
        }
    }

    /// A row for a change that breaks no rule.
    pub(crate) const fn equivalent(
        change: M,
        name: &'static str,
        id: &'static str,
        what: &'static str,
    ) -> Self {
        Self::mistake(change, name, id, EQUIVALENT)
            .breaks(what)
            .met_in("the protocol leaves it open")
            .shows("nothing: it must survive")
            .reached_by("partition,kill,pause", BUSY)
    }

    /// Whether the change breaks no rule, and must survive.
    #[must_use]
    pub const fn is_equivalent(&self) -> bool {
        self.class == EQUIVALENT
    }

    pub(crate) const fn breaks(self, rule: &'static str) -> Self {
        Self { rule, ..self }
    }

    pub(crate) const fn met_in(self, source: &'static str) -> Self {
        Self { source, ..self }
    }

    pub(crate) const fn shows(self, evidence: &'static str) -> Self {
        Self { evidence, ..self }
    }

    pub(crate) const fn reached_by(self, nemesis: &'static str, flags: &'static str) -> Self {
        Self { nemesis, flags, ..self }
    }

    pub(crate) const fn without_pre_vote(self) -> Self {
        Self { without_pre_vote: true, ..self }
    }

    pub(crate) const fn without_check_quorum(self) -> Self {
        Self { without_check_quorum: true, ..self }
    }

    pub(crate) const fn without_snapshots(self) -> Self {
        Self { without_snapshots: true, ..self }
    }

    pub(crate) const fn in_storage(self) -> Self {
        Self { in_storage: true, ..self }
    }

    /// The same row, with its mutant named otherwise.
    fn of<N>(self, name: impl FnOnce(M) -> N) -> Info<N> {
        let Self { mutant, name: word, id, rule, source, evidence, class, nemesis, flags, .. } =
            self;
        let Self { without_pre_vote, without_check_quorum, without_snapshots, in_storage, .. } =
            self;
        Info {
            mutant: name(mutant),
            name: word,
            id,
            rule,
            source,
            evidence,
            class,
            nemesis,
            flags,
            without_pre_vote,
            without_check_quorum,
            without_snapshots,
            in_storage,
        }
    }
}

/// What a protocol's enumeration of mistakes can do, given its tables of rows.
macro_rules! catalogue {
    ($mutant:ty, $tables:expr) => {
        impl $mutant {
            /// Every row, by what it is about.
            pub fn infos() -> impl Iterator<Item = &'static $crate::mutant::Info<$mutant>> {
                $tables.into_iter().flatten()
            }

            /// All mistakes, by what they are about.
            pub fn all() -> impl Iterator<Item = $mutant> {
                Self::infos().filter(|info| !info.is_equivalent()).map(|info| info.mutant)
            }

            /// All changes that break no rule.
            pub fn equivalents() -> impl Iterator<Item = $mutant> {
                Self::infos().filter(|info| info.is_equivalent()).map(|info| info.mutant)
            }

            /// What is known of it.
            #[must_use]
            pub fn info(self) -> &'static $crate::mutant::Info<$mutant> {
                Self::infos().find(|info| info.mutant == self).expect("every mutant has a row")
            }

            /// What `--mutant` takes.
            #[must_use]
            pub fn name(self) -> &'static str {
                self.info().name
            }
        }

        impl std::fmt::Display for $mutant {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.name())
            }
        }

        impl std::str::FromStr for $mutant {
            type Err = $crate::mutant::UnknownMutant;

            fn from_str(name: &str) -> Result<Self, Self::Err> {
                $crate::mutant::find(name, || Self::infos().map(|info| (info.name, info.mutant)))
            }
        }
    };
}
pub(crate) use catalogue;

/// The one of that name, or what there is.
pub(crate) fn find<M, I: Iterator<Item = (&'static str, M)>>(
    name: &str,
    named: impl Fn() -> I,
) -> Result<M, UnknownMutant> {
    let found = named().find(|(known, _)| *known == name);
    found.map(|(_, mutant)| mutant).ok_or_else(|| UnknownMutant {
        name: name.to_owned(),
        known: named().map(|(known, _)| known).collect::<Vec<_>>().join(", "),
    })
}

/// No such mutant.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("unknown mutant '{name}': one of {known} is expected")]
pub struct UnknownMutant {
    /// What was asked for.
    pub name: String,
    /// What there is.
    pub known: String,
}

/// A mistake of any protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Mutant {
    /// In Raft, or in the storage below it.
    Raft(raft::Mutant),
    /// In Paxos, or in the storage below it.
    Paxos(paxos::Mutant),
    /// In Zab, or in the storage below it.
    Zab(zab::Mutant),
    /// In the state machine.
    Kv(kv::Mutant),
}

impl Mutant {
    /// Every row, by protocol.
    pub fn infos() -> impl Iterator<Item = Info> {
        let raft = raft::Mutant::infos().map(|info| info.of(Self::Raft));
        let paxos = paxos::Mutant::infos().map(|info| info.of(Self::Paxos));
        let zab = zab::Mutant::infos().map(|info| info.of(Self::Zab));
        raft.chain(paxos).chain(zab).chain(kv::Mutant::infos().map(|info| info.of(Self::Kv)))
    }

    /// All mistakes.
    pub fn all() -> impl Iterator<Item = Self> {
        Self::infos().filter(|info| !info.is_equivalent()).map(|info| info.mutant)
    }

    /// All changes that break no rule.
    pub fn equivalents() -> impl Iterator<Item = Self> {
        Self::infos().filter(|info| info.is_equivalent()).map(|info| info.mutant)
    }

    /// What is known of it.
    #[must_use]
    pub fn info(self) -> Info {
        match self {
            Self::Raft(mutant) => mutant.info().of(Self::Raft),
            Self::Paxos(mutant) => mutant.info().of(Self::Paxos),
            Self::Zab(mutant) => mutant.info().of(Self::Zab),
            Self::Kv(mutant) => mutant.info().of(Self::Kv),
        }
    }

    /// What `--mutant` takes.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.info().name
    }

    /// The name of the protocol that can make it; of those that can, the first.
    #[must_use]
    pub const fn protocol(self) -> &'static str {
        match self {
            Self::Raft(_) | Self::Kv(_) => "raft",
            Self::Paxos(_) => "paxos",
            Self::Zab(_) => "zab",
        }
    }

    /// Whether the protocol of that name can make it: the state machine is every protocol's.
    #[must_use]
    pub fn is_made_by(self, protocol: &str) -> bool {
        matches!(self, Self::Kv(_)) || self.protocol() == protocol
    }

    /// Which mistake of the storage it is, if it is one.
    #[must_use]
    pub const fn in_storage(self) -> Option<StorageMistake> {
        match self {
            Self::Raft(raft::Mutant::ForgetDirectory)
            | Self::Paxos(paxos::Mutant::ForgetDirectory)
            | Self::Zab(zab::Mutant::ForgetDirectory) => Some(StorageMistake::ForgetDirectory),
            Self::Raft(raft::Mutant::IgnoreSyncError)
            | Self::Paxos(paxos::Mutant::IgnoreSyncError)
            | Self::Zab(zab::Mutant::IgnoreSyncError) => Some(StorageMistake::IgnoreSyncError),
            Self::Raft(raft::Mutant::CompactUnsynced)
            | Self::Paxos(paxos::Mutant::CompactUnsynced)
            | Self::Zab(zab::Mutant::CompactUnsynced) => Some(StorageMistake::CompactUnsynced),
            _ => None,
        }
    }
}

impl fmt::Display for Mutant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Mutant {
    type Err = UnknownMutant;

    fn from_str(name: &str) -> Result<Self, UnknownMutant> {
        find(name, || Self::infos().map(|info| (info.name, info.mutant)))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_name_or_an_id_tells_the_mutant_and_its_protocol() {
        let names: BTreeSet<&str> = Mutant::infos().map(|info| info.name).collect();
        let ids: BTreeSet<_> =
            Mutant::infos().map(|info| (info.mutant.protocol(), info.id)).collect();
        let count = Mutant::infos().count();
        assert_eq!((names.len(), ids.len()), (count, count));
        for info in Mutant::infos() {
            assert_eq!(info.name.parse(), Ok(info.mutant));
            assert_eq!(info.mutant.info(), info);
            assert_eq!(info.mutant.in_storage().is_some(), info.in_storage, "{}", info.name);
        }
    }

    #[test]
    fn an_unknown_name_is_answered_with_those_there_are() {
        let error = "nonsense".parse::<Mutant>().unwrap_err();
        assert!(error.to_string().contains("commit-old-term"), "{error}");
    }
}
