//! Seeded mistakes: one broken rule each, each met in a real implementation or a teaching text.
//!
//! A harness that finds none of them finds nothing. Where a defence that the rule does not need (pre-vote,
//! check-quorum, large appends) would hide a mistake from the outside, the mutant is the mistake in an
//! implementation without that defence; [`Info`] says so. Each mistake is one condition at the rule it
//! breaks: search for `Mutant::`.

mod elections;
mod equivalents;
mod replication;
mod state;
mod storage;

use std::str::FromStr;

use thiserror::Error;

/// A mistake that a replica can be told to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Mutant {
    /// R1.
    CommitOldTerm,
    /// R2.
    ForgetVote,
    /// R3.
    VoteUnsynced,
    /// R4.
    ClearVote,
    /// R5.
    CompareLength,
    /// R6.
    RefusedVoteStays,
    /// R7.
    CountStaleVotes,
    /// R8.
    ForgetOwnVote,
    /// R9.
    QuorumOffByOne,
    /// R10.
    IgnoreHigherTerm,
    /// R11.
    TruncateAlways,
    /// R12.
    KeepTail,
    /// R13.
    CommitUnverified,
    /// R14.
    CommitBack,
    /// R15.
    MatchAhead,
    /// R17.
    AckUnsynced,
    /// R18.
    CountUnsynced,
    /// R19.
    KeepDurable,
    /// R21.
    ForgetDirectory,
    /// R24.
    IgnoreSyncError,
    /// R26.
    StopAtOldTerm,
    /// R27.
    ReplyByIndex,
    /// R28.
    NoDedupe,
    /// R29.
    ExpireByClock,
    /// R30.
    ForgetSessions,
    /// R32.
    LocalRead,
    /// R33.
    ReadBeforeCommit,
    /// R34.
    ReuseRound,
    /// R37.
    LeaseFromReceipt,
    /// R38.
    LeaseAfterTransfer,
    /// R39.
    ChangeTooEarly,
    /// R40.
    ChangeWhilePending,
    /// R42.
    JointUnion,
    /// R45.
    CountLearners,
    /// R47.
    DropSuffix,
    /// R48.
    SnapshotAhead,
    /// S1.
    VoteForAnyone,
    /// S2.
    AppendUnchecked,
    /// S3.
    VoteForSelf,
    /// S4.
    LargerNumberWins,
    /// S5.
    ResetLog,
    /// S6.
    CommitByItself,
    /// E1.
    SlowHeartbeats,
    /// E2.
    LongElections,
    /// E3.
    SingleEntries,
    /// E4.
    LargeAppends,
    /// E5.
    NoPipeline,
    /// E6.
    FrequentSnapshots,
    /// E7.
    NoPreVote,
    /// E8.
    NoCheckQuorum,
    /// E9.
    StepBack,
    /// E10.
    SmallPieces,
}

/// What is known of a mutant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Info {
    /// The mutant.
    pub mutant: Mutant,
    /// What `--mutant` takes.
    pub name: &'static str,
    /// Its number in the catalogue: R for Raft implementations, S for sketches in teaching texts, E for equivalents.
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

/// No such mutant.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("unknown mutant '{name}': one of {known} is expected")]
pub struct UnknownMutant {
    /// What was asked for.
    pub name: String,
    /// What there is.
    pub known: String,
}

/// Short faults, and many clients that give up soon: a leader that was cut off then collects about as many entries
/// that nobody commits as the others commit meanwhile, which is what most mistakes need to show.
const BUSY: &str = "--nemesis-interval 2 --concurrency 10n --op-timeout 0.3";
/// Clients that wait until there is a new leader, and ask it again.
const PATIENT: &str = "--nemesis-interval 2 --concurrency 10n --op-timeout 3";

/// Everything that can be seeded, by what it is about.
const TABLES: [&[Info]; 5] =
    [elections::TABLE, replication::TABLE, state::TABLE, storage::TABLE, equivalents::TABLE];

/// Begins a row: a mistake that is caught with every defence in place.
const fn mutant(mutant: Mutant, name: &'static str, id: &'static str, class: u8) -> Info {
    Info {
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
const fn equivalent(
    change: Mutant,
    name: &'static str,
    id: &'static str,
    what: &'static str,
) -> Info {
    mutant(change, name, id, EQUIVALENT)
        .breaks(what)
        .met_in("the protocol leaves it open")
        .shows("nothing: it must survive")
        .reached_by("partition,kill,pause", BUSY)
}

impl Info {
    /// Whether the change breaks no rule, and must survive.
    #[must_use]
    pub const fn is_equivalent(&self) -> bool {
        self.class == EQUIVALENT
    }

    const fn breaks(self, rule: &'static str) -> Self {
        Self { rule, ..self }
    }

    const fn met_in(self, source: &'static str) -> Self {
        Self { source, ..self }
    }

    const fn shows(self, evidence: &'static str) -> Self {
        Self { evidence, ..self }
    }

    const fn reached_by(self, nemesis: &'static str, flags: &'static str) -> Self {
        Self { nemesis, flags, ..self }
    }

    const fn without_pre_vote(self) -> Self {
        Self { without_pre_vote: true, ..self }
    }

    const fn without_check_quorum(self) -> Self {
        Self { without_check_quorum: true, ..self }
    }

    const fn without_snapshots(self) -> Self {
        Self { without_snapshots: true, ..self }
    }

    const fn in_storage(self) -> Self {
        Self { in_storage: true, ..self }
    }
}

impl Mutant {
    /// All mistakes, by what they are about.
    pub fn all() -> impl Iterator<Item = Mutant> {
        infos().filter(|info| !info.is_equivalent()).map(|info| info.mutant)
    }

    /// All changes that break no rule.
    pub fn equivalents() -> impl Iterator<Item = Mutant> {
        infos().filter(|info| info.is_equivalent()).map(|info| info.mutant)
    }

    /// What is known of it.
    #[must_use]
    pub fn info(self) -> &'static Info {
        infos().find(|info| info.mutant == self).expect("every mutant has a row")
    }

    /// What `--mutant` takes.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.info().name
    }
}

fn infos() -> impl Iterator<Item = &'static Info> {
    TABLES.into_iter().flatten()
}

impl std::fmt::Display for Mutant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Mutant {
    type Err = UnknownMutant;

    fn from_str(name: &str) -> Result<Mutant, UnknownMutant> {
        let found = infos().find(|info| info.name == name);
        found.map(|info| info.mutant).ok_or_else(|| UnknownMutant {
            name: name.to_owned(),
            known: infos().map(|info| info.name).collect::<Vec<_>>().join(", "),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_mutant_has_one_row_and_a_name_of_its_own() {
        let names: BTreeSet<&str> = infos().map(|info| info.name).collect();
        let ids: BTreeSet<&str> = infos().map(|info| info.id).collect();
        let mutants: BTreeSet<Mutant> = infos().map(|info| info.mutant).collect();
        let count = Mutant::SmallPieces as usize + 1;
        assert_eq!((names.len(), ids.len(), mutants.len()), (count, count, count));
        assert_eq!(infos().count(), count);
        for info in infos() {
            assert_eq!(info.name.parse(), Ok(info.mutant));
        }
    }

    #[test]
    fn an_unknown_name_is_answered_with_those_there_are() {
        let error = "nonsense".parse::<Mutant>().unwrap_err();
        assert!(error.to_string().contains("commit-old-term"), "{error}");
    }
}
