//! Elections, epochs, and what a leader may do.

use super::{Info, Mutant};
use crate::mutant::BUSY;

pub(super) const TABLE: &[Info<Mutant>] = &[
    Info::mistake(Mutant::VoteByZxid, "zab-vote-by-zxid", "Z1", 3)
        .breaks("compares histories by their last transactions only; the epochs whose initial histories they hold come first")
        .met_in("ZOOKEEPER-1082; SandTable, EuroSys '24, ZooKeeper#1")
        .shows("a node whose tail was never committed leads one that holds a later epoch's history; an acknowledged write is lost")
        .reached_by("partition,kill", BUSY),
    Info::mistake(Mutant::ForgetAccepted, "zab-forget-accepted", "Z14", 3)
        .breaks("does not wait until the epoch that it accepts is durable; a node that forgets it listens to an earlier leader again")
        .met_in("ZOOKEEPER-335; Zab, DSN '11, §V")
        .shows("two leaders in one epoch: replicas diverge")
        .reached_by("kill,partition", BUSY),
    Info::mistake(Mutant::EarlyBroadcast, "zab-early-broadcast", "Z15", 2)
        .breaks("proposes and commits before a quorum has its history")
        .met_in("Zab, DSN '11, §V, phase 2")
        .shows("an acknowledged write is lost when the leader changes again")
        .reached_by("partition,kill", BUSY),
    Info::mistake(Mutant::SameEpoch, "zab-same-epoch", "Z16", 2)
        .breaks("a new leader goes on in the newest epoch that it finds; it must open a new one")
        .met_in("ZOOKEEPER-1277; Zab, DSN '11, §V")
        .shows("two transactions of one name: replicas diverge")
        .reached_by("partition,kill", BUSY),
    Info::mistake(Mutant::UnconfirmedSync, "zab-unconfirmed-sync", "Z18", 3)
        .breaks("answers a sync with what it has committed, and asks no quorum whether it leads still")
        .met_in("Kingsbury's note on ZooKeeper's sync, 2019; seen with ZooKeeper 3.8.0")
        .shows("a read after a sync at a deposed leader, or at a follower of one, is stale")
        .reached_by("partition", BUSY)
        .without_check_quorum(),
    Info::mistake(Mutant::QuorumOffByOne, "zab-quorum-off-by-one", "Z22", 1)
        .breaks("takes half of the members for a quorum")
        .met_in("Zab, DSN '11, §II: any two quorums share a member")
        .shows("two leaders at once; an acknowledged write is lost")
        .reached_by("partition,kill", BUSY),
    Info::mistake(Mutant::LargerNumber, "zab-larger-number", "S1", 1)
        .breaks("votes for, and follows, the larger number, whatever history that node has")
        .met_in("teaching texts; Medeiros §4.1: the epoch and the last transaction come first")
        .shows("a node without the latest writes leads: they are lost")
        .reached_by("kill,partition", BUSY),
    Info::mistake(Mutant::LargerCounter, "zab-larger-counter", "S2", 2)
        .breaks("compares histories by how many transactions they hold, whatever epochs those are of")
        .met_in("teaching texts; Medeiros §4.1")
        .shows("a deposed leader with many uncommitted proposals leads again: acknowledged writes are lost")
        .reached_by("partition,kill", BUSY),
];
