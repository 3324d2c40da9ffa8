//! Seeded mistakes: one broken rule each, each met in a real implementation or a teaching text.
//!
//! A harness that finds none of them finds nothing. Where a defence that the rule does not need (pre-vote,
//! check-quorum, large appends) would hide a mistake from the outside, the mutant is the mistake in an
//! implementation without that defence; [`Info`] says so. Each mistake is one condition at the rule it
//! breaks: search for `Mutant::`.

use std::str::FromStr;

use thiserror::Error;

/// A mistake that a replica can be told to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Mutant {
    /// R1.
    CommitOldTerm,
    /// R2.
    ForgetVote,
    /// R5.
    CompareLength,
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
    /// R17.
    AckUnsynced,
    /// R18.
    CountUnsynced,
    /// R21.
    ForgetDirectory,
    /// R24.
    IgnoreSyncError,
    /// R28.
    NoDedupe,
    /// R32.
    LocalRead,
    /// S1.
    VoteForAnyone,
    /// S2.
    AppendUnchecked,
}

/// What is known of a mutant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Info {
    /// The mutant.
    pub mutant: Mutant,
    /// What `--mutant` takes.
    pub name: &'static str,
    /// Its number in the catalogue: R for Raft implementations, S for sketches in teaching texts.
    pub id: &'static str,
    /// What it does instead of the rule, and the rule.
    pub rule: &'static str,
    /// Where the mistake was made, or where the rule stands.
    pub source: &'static str,
    /// How it shows from outside.
    pub evidence: &'static str,
    /// 1: any kills and partitions show it; 2: one kind of fault does; 3: a composed schedule is needed.
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

/// In the order of the enum, so that a mutant is its own index.
const TABLE: [Info; 16] = [
    Info {
        mutant: Mutant::CommitOldTerm,
        name: "commit-old-term",
        id: "R1",
        rule: "commits entries of earlier terms by counting replicas; only an entry of the leader's own term may be counted",
        source: "paper §5.4.2, figure 8; LogCabin#44",
        evidence: "an acknowledged write is lost",
        class: 3,
        nemesis: "kill,partition",
        flags: BUSY,
        without_pre_vote: false,
        without_check_quorum: false,
        without_snapshots: false,
        in_storage: false,
    },
    Info {
        mutant: Mutant::ForgetVote,
        name: "forget-vote",
        id: "R2",
        rule: "does not store term and vote; both must survive a restart",
        source: "paper figure 2, persistent state",
        evidence: "two leaders in a term; an acknowledged write is lost",
        class: 3,
        nemesis: "kill",
        flags: BUSY,
        without_pre_vote: false,
        without_check_quorum: false,
        without_snapshots: false,
        in_storage: false,
    },
    Info {
        mutant: Mutant::CompareLength,
        name: "compare-length",
        id: "R5",
        rule: "votes for the log that holds more entries, compacted ones not counted; the later last term must win, and the later index only between equal terms. Logs are compacted often",
        source: "paper §5.4.1; openraft a48a3282",
        evidence: "an acknowledged write is lost; stale reads from the wrong leader",
        class: 2,
        nemesis: "partition,kill",
        flags: BUSY,
        without_pre_vote: true,
        without_check_quorum: true,
        without_snapshots: false,
        in_storage: false,
    },
    Info {
        mutant: Mutant::QuorumOffByOne,
        name: "quorum-off-by-one",
        id: "R9",
        rule: "takes half of the members, rounded down, for a quorum in elections, commits and reads; any two quorums must share a member",
        source: "paper §5.2; openraft d60f1e85",
        evidence: "two sides of a partition both acknowledge; stale reads, lost writes",
        class: 1,
        nemesis: "partition",
        flags: BUSY,
        without_pre_vote: false,
        without_check_quorum: false,
        without_snapshots: false,
        in_storage: false,
    },
    Info {
        mutant: Mutant::IgnoreHigherTerm,
        name: "ignore-higher-term",
        id: "R10",
        rule: "a leader or candidate does not look at the term of replies; a higher one must end its office",
        source: "paper §5.1; CCF#5674",
        evidence: "a deposed leader serves stale reads",
        class: 2,
        nemesis: "partition",
        flags: BUSY,
        without_pre_vote: false,
        without_check_quorum: true,
        without_snapshots: false,
        in_storage: false,
    },
    Info {
        mutant: Mutant::TruncateAlways,
        name: "truncate-always",
        id: "R11",
        rule: "a follower cuts its log behind the previous entry of every append; only a conflicting entry may be cut",
        source: "paper figure 2, AppendEntries rule 3; openraft 9540c904, hashicorp/raft#113",
        evidence: "an acknowledged write is lost",
        class: 3,
        nemesis: "partition,kill",
        flags: BUSY,
        without_pre_vote: false,
        without_check_quorum: false,
        without_snapshots: false,
        in_storage: false,
    },
    Info {
        mutant: Mutant::KeepTail,
        name: "keep-tail",
        id: "R12",
        rule: "a follower overwrites a conflicting entry, keeps those behind it and takes them for the leader's; all behind must go. Appends carry one entry each",
        source: "paper figure 2, AppendEntries rule 3; mofa#1150",
        evidence: "replicas diverge: an old leader acknowledges writes that no other node has",
        class: 2,
        nemesis: "partition",
        flags: BUSY,
        without_pre_vote: true,
        without_check_quorum: true,
        without_snapshots: true,
        in_storage: false,
    },
    Info {
        mutant: Mutant::CommitUnverified,
        name: "commit-unverified",
        id: "R13",
        rule: "a follower commits up to the leader's commit index or its own last entry; only entries known to match the leader's may be committed",
        source: "paper figure 2, AppendEntries rule 5",
        evidence: "replicas diverge: an old leader acknowledges writes that no other node has",
        class: 2,
        nemesis: "partition,pause",
        flags: BUSY,
        without_pre_vote: true,
        without_check_quorum: true,
        without_snapshots: true,
        in_storage: false,
    },
    Info {
        mutant: Mutant::AckUnsynced,
        name: "ack-unsynced",
        id: "R17",
        rule: "a follower acknowledges entries that it has written and not synced, and leaves the sync for later; an entry must be durable before it is acknowledged",
        source: "paper figure 2, persistent state; NATS#7564",
        evidence: "an acknowledged write is lost with the power of a majority",
        class: 2,
        nemesis: "power",
        flags: BUSY,
        without_pre_vote: false,
        without_check_quorum: false,
        without_snapshots: false,
        in_storage: false,
    },
    Info {
        mutant: Mutant::CountUnsynced,
        name: "count-unsynced",
        id: "R18",
        rule: "a leader counts its own copy of an entry towards the quorum before it is synced, and leaves the sync for later; only a durable copy counts. A cluster of one shows it at once",
        source: "dissertation §10.2.1; etcd#14370",
        evidence: "an acknowledged write is lost with the leader's power",
        class: 2,
        nemesis: "power",
        flags: "--nodes 1 --nemesis-interval 2 --concurrency 10n --op-timeout 0.3",
        without_pre_vote: false,
        without_check_quorum: false,
        without_snapshots: false,
        in_storage: false,
    },
    Info {
        mutant: Mutant::ForgetDirectory,
        name: "forget-directory",
        id: "R21",
        rule: "syncs files and never the directory that a new or renamed one is in; POSIX makes a name durable by a sync of its directory only",
        source: "fsync(2); fluree#1459, marble#12",
        evidence: "a node comes back from a loss of power with its log gone; an acknowledged write is lost",
        class: 2,
        nemesis: "power",
        flags: "--disk strict --nemesis-interval 2 --concurrency 10n --op-timeout 0.3",
        without_pre_vote: false,
        without_check_quorum: false,
        without_snapshots: false,
        in_storage: true,
    },
    Info {
        mutant: Mutant::IgnoreSyncError,
        name: "ignore-sync-error",
        id: "R24",
        rule: "goes on when a sync of the log fails; nobody knows then what the disk holds, and a later sync that succeeds says nothing of it",
        source: "fjall#304, etcd#13527; Rebello et al., ATC '20",
        evidence: "after a loss of power the log has holes: a node does not start, or an acknowledged write is lost",
        class: 2,
        nemesis: "disk-error,power",
        flags: BUSY,
        without_pre_vote: false,
        without_check_quorum: false,
        without_snapshots: false,
        in_storage: true,
    },
    Info {
        mutant: Mutant::NoDedupe,
        name: "no-dedupe",
        id: "R28",
        rule: "applies a command as often as it is sent; a repeated one must be recognised by session and number",
        source: "dissertation §6.3",
        evidence: "a write appears twice; a cas that happened is answered with a mismatch",
        class: 1,
        nemesis: "kill,pause",
        flags: PATIENT,
        without_pre_vote: false,
        without_check_quorum: false,
        without_snapshots: false,
        in_storage: false,
    },
    Info {
        mutant: Mutant::LocalRead,
        name: "local-read",
        id: "R32",
        rule: "a leader answers reads from its own state at once; a quorum must confirm that it leads still",
        source: "dissertation §6.4; etcd#741",
        evidence: "a deposed leader serves stale reads",
        class: 1,
        nemesis: "partition",
        flags: BUSY,
        without_pre_vote: false,
        without_check_quorum: true,
        without_snapshots: false,
        in_storage: false,
    },
    Info {
        mutant: Mutant::VoteForAnyone,
        name: "vote-for-anyone",
        id: "S1",
        rule: "votes for whoever asks, however often in a term; one vote a term, and only for a log as good as its own",
        source: "teaching texts; paper §5.2, §5.4.1",
        evidence: "two leaders in a term; an acknowledged write is lost",
        class: 1,
        nemesis: "partition,kill",
        flags: BUSY,
        without_pre_vote: true,
        without_check_quorum: false,
        without_snapshots: false,
        in_storage: false,
    },
    Info {
        mutant: Mutant::AppendUnchecked,
        name: "append-unchecked",
        id: "S2",
        rule: "a follower appends whatever comes; the entry before must be there and be the leader's",
        source: "teaching texts; paper §5.3, figure 2, AppendEntries rule 2",
        evidence: "replicas diverge: acknowledged writes are missing on a later leader",
        class: 1,
        nemesis: "partition,kill",
        flags: BUSY,
        without_pre_vote: false,
        without_check_quorum: false,
        without_snapshots: false,
        in_storage: false,
    },
];

impl Mutant {
    /// All of them, in the order of the catalogue.
    pub fn all() -> impl Iterator<Item = Mutant> {
        TABLE.iter().map(|info| info.mutant)
    }

    /// What is known of it.
    #[must_use]
    pub fn info(self) -> &'static Info {
        &TABLE[self as usize]
    }

    /// What `--mutant` takes.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.info().name
    }
}

impl std::fmt::Display for Mutant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Mutant {
    type Err = UnknownMutant;

    fn from_str(name: &str) -> Result<Mutant, UnknownMutant> {
        Mutant::all().find(|mutant| mutant.name() == name).ok_or_else(|| UnknownMutant {
            name: name.to_owned(),
            known: TABLE.map(|info| info.name).join(", "),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_the_order_of_the_enum() {
        for (at, info) in TABLE.iter().enumerate() {
            assert_eq!(info.mutant as usize, at);
            assert_eq!(info.name.parse(), Ok(info.mutant));
        }
    }

    #[test]
    fn an_unknown_name_is_answered_with_those_there_are() {
        let error = "nonsense".parse::<Mutant>().unwrap_err();
        assert!(error.to_string().contains("commit-old-term"), "{error}");
    }
}
