//! Entries on their way, and when they are committed.

use super::Mutant;
use crate::mutant::{BUSY, Info};

pub(super) const TABLE: &[Info<Mutant>] = &[
    Info::mistake(Mutant::CommitOldTerm, "commit-old-term", "R1", 3)
        .breaks("commits entries of earlier terms by counting replicas; only an entry of the leader's own term may be counted")
        .met_in("paper §5.4.2, figure 8; LogCabin#44")
        .shows("an acknowledged write is lost")
        .reached_by("kill,partition", BUSY),
    Info::mistake(Mutant::TruncateAlways, "truncate-always", "R11", 3)
        .breaks("a follower cuts its log behind the previous entry of every append; only a conflicting entry may be cut")
        .met_in("paper figure 2, AppendEntries rule 3; openraft 9540c904, hashicorp/raft#113")
        .shows("an acknowledged write is lost")
        .reached_by("partition,kill", BUSY),
    Info::mistake(Mutant::KeepTail, "keep-tail", "R12", 2)
        .breaks("a follower overwrites a conflicting entry, keeps those behind it and takes them for the leader's; all behind must go. Appends carry one entry each")
        .met_in("paper figure 2, AppendEntries rule 3; mofa#1150")
        .shows("replicas diverge: an old leader acknowledges writes that no other node has")
        .reached_by("partition", BUSY)
        .without_pre_vote()
        .without_check_quorum()
        .without_snapshots(),
    Info::mistake(Mutant::CommitUnverified, "commit-unverified", "R13", 2)
        .breaks("a follower commits up to the leader's commit index or its own last entry; only entries known to match the leader's may be committed")
        .met_in("paper figure 2, AppendEntries rule 5")
        .shows("replicas diverge: an old leader acknowledges writes that no other node has")
        .reached_by("partition,pause", BUSY)
        .without_pre_vote()
        .without_check_quorum()
        .without_snapshots(),
    Info::mistake(Mutant::CommitBack, "commit-back", "R14", 4)
        .breaks("a follower takes over a commit index that is lower than its own, and applies again what lies between; it may only rise")
        .met_in("paper figure 2, AppendEntries rule 5")
        .shows("entries are applied twice, which sessions hide from clients: the replicas' digests differ")
        .reached_by("partition,kill", BUSY),
    Info::mistake(Mutant::MatchAhead, "match-ahead", "R15", 2)
        .breaks("takes any answer to an append for one to all that were sent; an answer speaks for what it names")
        .met_in("paper §5.3; RaftOS#25, openraft cecb5de8")
        .shows("an entry is committed without a quorum; an acknowledged write is lost")
        .reached_by("partition,kill", BUSY),
    Info::mistake(Mutant::AckUnsynced, "ack-unsynced", "R17", 2)
        .breaks("a follower acknowledges entries that it has written and not synced, and leaves the sync for later; an entry must be durable before it is acknowledged")
        .met_in("paper figure 2, persistent state; NATS#7564")
        .shows("an acknowledged write is lost with the power of a majority")
        .reached_by("power", BUSY),
    Info::mistake(Mutant::CountUnsynced, "count-unsynced", "R18", 2)
        .breaks("a leader counts its own copy of an entry towards the quorum before it is synced, and leaves the sync for later; only a durable copy counts. A cluster of one shows it at once")
        .met_in("dissertation §10.2.1; etcd#14370")
        .shows("an acknowledged write is lost with the leader's power")
        .reached_by("power", "--nodes 1 --nemesis-interval 2 --concurrency 10n --op-timeout 0.3"),
    Info::mistake(Mutant::KeepDurable, "keep-durable", "R19", 4)
        .breaks("still takes for durable what it had to overwrite; what takes a durable entry's place is not durable")
        .met_in("rabbitmq/ra#637")
        .shows("a leader counts its own copy too early; an acknowledged write is lost with its power")
        .reached_by("partition,power", BUSY)
        .without_pre_vote()
        .without_check_quorum(),
    Info::mistake(Mutant::StopAtOldTerm, "stop-at-old-term", "R26", 2)
        .breaks("a leader that looks for entries to commit stops at the first one of an earlier term; it must look on for one of its own")
        .met_in("paper §5.4.2; RaftOS#30")
        .shows("after a change of leader nothing is committed any more")
        .reached_by("partition,kill", BUSY),
    Info::mistake(Mutant::AppendUnchecked, "append-unchecked", "S2", 1)
        .breaks("a follower appends whatever comes; the entry before must be there and be the leader's")
        .met_in("teaching texts; paper §5.3, figure 2, AppendEntries rule 2")
        .shows("replicas diverge: acknowledged writes are missing on a later leader")
        .reached_by("partition,kill", BUSY),
    Info::mistake(Mutant::CommitByItself, "commit-by-itself", "S6", 1)
        .breaks("a follower commits what it has received; only the leader knows what a quorum has")
        .met_in("teaching texts; paper §5.3")
        .shows("replicas diverge; an acknowledged write is lost")
        .reached_by("partition,kill", BUSY),
];
