//! Histories: their synchronisation, their durability, and what is proposed on top of them.

use super::{Info, Mutant};
use crate::mutant::BUSY;

pub(super) const TABLE: &[Info<Mutant>] = &[
    Info::mistake(Mutant::EpochBeforeHistory, "zab-epoch-before-history", "Z2", 3)
        .breaks("makes an epoch its current one when the initial history of that epoch begins to come; a node that loses its leader then wins elections with less than it")
        .met_in("ZOOKEEPER-4643")
        .shows("an acknowledged write is lost after a crash, or a change of leader, during synchronisation")
        .reached_by("kill,power,partition", BUSY),
    Info::mistake(Mutant::AckUnsyncedHistory, "zab-ack-unsynced-history", "Z3", 3)
        .breaks("acknowledges NEWLEADER before the initial history is durable")
        .met_in("ZOOKEEPER-4646, ZOOKEEPER-3911")
        .shows("a history that a quorum acknowledged is lost with the power")
        .reached_by("power,partition", BUSY),
    Info::mistake(Mutant::KeepDurable, "zab-keep-durable", "Z6", 3)
        .breaks("what was durable counts as durable still when other transactions take its place: the old role's syncs go on in the new one")
        .met_in("ZOOKEEPER-4712")
        .shows("a transaction is committed that no quorum has stored")
        .reached_by("power,partition", BUSY),
    Info::mistake(Mutant::DiffUnsynced, "zab-diff-unsynced", "Z7", 3)
        .breaks("does not make durable what a DIFF brings before it says that it has it")
        .met_in("ZOOKEEPER-4785")
        .shows("an acknowledged write is lost with the power, or the log has a hole")
        .reached_by("power,partition", BUSY),
    Info::mistake(Mutant::EarlyNewLeader, "zab-early-newleader", "Z9", 3)
        .breaks("NEWLEADER goes out, and is acknowledged, before what the follower lacks")
        .met_in("ZOOKEEPER-3104")
        .shows("a follower that lacks transactions counts for the new epoch: acknowledged writes are lost")
        .reached_by("partition,kill", BUSY),
    Info::mistake(Mutant::PartialSnapshot, "zab-partial-snapshot", "Z10", 3)
        .breaks("a snapshot of which the first piece has come counts as there; a DIFF goes on top of it")
        .met_in("ZOOKEEPER-3642")
        .shows("a replica lacks what the snapshot held: replicas diverge")
        .reached_by("kill,partition", BUSY),
    Info::mistake(Mutant::KeepTail, "zab-keep-tail", "Z12", 2)
        .breaks("does not cut what TRUNC says, and takes what follows by its position")
        .met_in("ZOOKEEPER-1154, ZOOKEEPER-1156")
        .shows("an old leader applies its uncommitted proposals in place of the new one's: replicas diverge")
        .reached_by("partition", BUSY)
        .without_snapshots(),
    Info::mistake(Mutant::ApplyTail, "zab-apply-tail", "Z13", 2)
        .breaks("applies all that its log holds when it starts; only a leader says what of it is committed")
        .met_in("ZOOKEEPER-2845")
        .shows("a replica has applied what was never committed: replicas diverge")
        .reached_by("kill,partition", BUSY)
        .without_snapshots(),
    Info::mistake(Mutant::NoGapCheck, "zab-no-gap-check", "Z17", 2)
        .breaks("takes whatever is proposed next for the next transaction; messages are lost when a connection is")
        .met_in("Zab, DSN '11, §IV: channels are FIFO, and a broken one begins anew")
        .shows("a follower lacks transactions in the middle: replicas diverge")
        .reached_by("partition,pause", BUSY)
        .without_snapshots(),
    Info::mistake(Mutant::TruncateToCommitted, "zab-truncate-to-committed", "K1", 3)
        .breaks("cuts its history to what it knows to be committed before it follows; what lies behind may be committed without its knowing")
        .met_in("KAFKA-7164, KAFKA-10706")
        .shows("an acknowledged write is lost after two quick changes of leader")
        .reached_by("kill,partition", BUSY),
    Info::mistake(Mutant::AckUnsynced, "zab-ack-unsynced", "Z20", 2)
        .breaks("acknowledges proposals before they are durable")
        .met_in("Zab, DSN '11, §V, phase 3; ZooKeeper's forceSync=no")
        .shows("an acknowledged write is lost with the power")
        .reached_by("power", BUSY),
    Info::mistake(Mutant::CountUnsynced, "zab-count-unsynced", "Z21", 3)
        .breaks("a leader counts its own copy of a transaction before that is durable")
        .met_in("Zab, DSN '11, §V, phase 3")
        .shows("an acknowledged write is lost with the power")
        .reached_by("power", BUSY),
];
