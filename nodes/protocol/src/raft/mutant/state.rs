//! Reads, sessions and snapshots.

use super::Mutant;
use crate::mutant::{BUSY, Info, PATIENT};

pub(super) const TABLE: &[Info<Mutant>] = &[
    Info::mistake(Mutant::ReplyByIndex, "reply-by-index", "R27", 3)
        .breaks("answers who waits for an index with whatever is committed there, and keeps them waiting when it stops leading; the entry must be theirs, by its term too")
        .met_in("dissertation §6.3; MIT 6.824, lab 3")
        .shows("a command that was lost is answered as done")
        .reached_by("partition", BUSY)
        .without_check_quorum(),
    Info::mistake(Mutant::NoDedupe, "no-dedupe", "R28", 1)
        .breaks("applies a command as often as it is sent; a repeated one must be recognised by session and number")
        .met_in("dissertation §6.3")
        .shows("a write appears twice; a cas that happened is answered with a mismatch")
        .reached_by("kill,pause", PATIENT),
    Info::mistake(Mutant::ExpireByClock, "expire-by-clock", "R29", 2)
        .breaks("forgets a session that its own clock says was not used for a while; what is forgotten must follow from the log alone")
        .met_in("dissertation §6.3")
        .shows("a command is applied on some replicas and not on others: they diverge")
        .reached_by("kill,pause", PATIENT),
    Info::mistake(Mutant::ForgetSessions, "forget-sessions", "R30", 3)
        .breaks("a snapshot holds which sessions there are and not what was last done in them; a replica that starts from one applies a repeated command again")
        .met_in("dissertation §6.3")
        .shows("a command is applied twice; replicas diverge")
        .reached_by("kill,partition", PATIENT),
    Info::mistake(Mutant::LocalRead, "local-read", "R32", 1)
        .breaks("a leader answers reads from its own state at once; a quorum must confirm that it leads still")
        .met_in("dissertation §6.4; etcd#741")
        .shows("a deposed leader serves stale reads")
        .reached_by("partition", BUSY)
        .without_check_quorum(),
    Info::mistake(Mutant::ReadBeforeCommit, "read-before-commit", "R33", 3)
        .breaks("a new leader serves reads before an entry of its own term is committed; until then it does not know what is")
        .met_in("dissertation §6.4; etcd#7331, tikv#1632")
        .shows("stale reads after a change of leader")
        .reached_by("partition,kill", BUSY),
    Info::mistake(Mutant::ReuseRound, "reuse-round", "R34", 2)
        .breaks("reads are confirmed by answers to an earlier round of heartbeats; only a round that began after the read says that this node led still")
        .met_in("dissertation §6.4; etcd#20418")
        .shows("a deposed leader serves stale reads")
        .reached_by("partition", BUSY)
        .without_check_quorum(),
    Info::mistake(Mutant::LeaseFromReceipt, "lease-from-receipt", "R37", 3)
        .breaks("a leader's lease begins when an answer arrives, and has no margin; it must begin when the question was sent, and end before any clock that runs faster says so")
        .met_in("dissertation §6.4.1; tikv#964, yugabyte#16")
        .shows("a deposed leader serves stale reads")
        .reached_by("partition,pause", BUSY)
        .without_check_quorum(),
    Info::mistake(Mutant::LeaseAfterTransfer, "lease-after-transfer", "R38", 3)
        .breaks("a leader reads by its lease still when it has told its successor to campaign; the others vote for that one at once")
        .met_in("dissertation §6.4.1; tikv#1593, tikv#9351")
        .shows("a leader serves stale reads after a transfer")
        .reached_by("partition", BUSY),
    Info::mistake(Mutant::ChangeTooEarly, "change-too-early", "R39", 3)
        .breaks("a leader begins a change of members before an entry of its own term is committed; an earlier leader's change may be under way that it does not have")
        .met_in("raft-dev, July 2015; hydro#3192, copycat#23")
        .shows("two quorums without a common member: an acknowledged write is lost")
        .reached_by("partition,kill", BUSY),
    Info::mistake(Mutant::ChangeWhilePending, "change-while-pending", "R40", 3)
        .breaks("a leader begins a change of members while another is not committed; one at a time")
        .met_in("dissertation §4.1")
        .shows("two quorums without a common member: an acknowledged write is lost")
        .reached_by("partition,kill", BUSY),
    Info::mistake(Mutant::JointUnion, "joint-union", "R42", 3)
        .breaks("takes a majority of old and new voters together for a quorum of a joint membership; a majority of each is needed")
        .met_in("dissertation §4.3")
        .shows("two quorums without a common member: an acknowledged write is lost")
        .reached_by("partition,kill", BUSY),
    Info::mistake(Mutant::KeepMembership, "keep-membership", "R43", 3)
        .breaks("still goes by a membership whose entry it had to overwrite; what is truncated takes its membership with it")
        .met_in("dissertation §4.1")
        .shows("quorums of a membership that never was: an acknowledged write is lost, or nothing is committed any more")
        .reached_by("partition,kill", BUSY),
    Info::mistake(Mutant::StaleMembership, "stale-membership", "R44", 4)
        .breaks("still goes by its old membership when a snapshot replaces its log; the snapshot says who belongs to the cluster")
        .met_in("openraft#1808")
        .shows("two quorums without a common member: an acknowledged write is lost")
        .reached_by("partition,kill", BUSY),
    Info::mistake(Mutant::CountLearners, "count-learners", "R45", 2)
        .breaks("counts learners in elections, commits and reads; only voters count")
        .met_in("dissertation §4.2.1; openraft d882e743")
        .shows("two quorums without a common member: an acknowledged write is lost")
        .reached_by("partition,kill", BUSY),
    Info::mistake(Mutant::RemovedDisrupts, "removed-disrupts", "R46", 2)
        .breaks("listens to candidates who are no members while it hears a leader; one that was removed and does not know it campaigns for ever")
        .met_in("dissertation §4.2.3")
        .shows("one leader after the other is deposed")
        .reached_by("partition,kill", BUSY)
        .without_pre_vote(),
    Info::mistake(Mutant::DropSuffix, "drop-suffix", "R47", 3)
        .breaks("a snapshot that arrives replaces the whole log, what follows it too; entries that continue it may be acknowledged")
        .met_in("paper figure 13, rule 6; openraft#559, hashicorp/raft#704")
        .shows("an entry is committed without a quorum; an acknowledged write is lost")
        .reached_by("partition,kill", BUSY),
    Info::mistake(Mutant::SnapshotAhead, "snapshot-ahead", "R48", 2)
        .breaks("a snapshot of what is applied is labelled with what is committed; label and state must be taken together")
        .met_in("paper §7; openraft eed681d5")
        .shows("a replica that starts from a snapshot lacks entries; replicas diverge")
        .reached_by("kill,partition", BUSY),
    Info::mistake(Mutant::TransferSticks, "transfer-sticks", "R53", 3)
        .breaks("a leader whose successor does not take over never gives the transfer up, and takes no commands for the rest of its term")
        .met_in("dissertation §3.10; hashicorp/raft#696")
        .shows("nothing is written any more")
        .reached_by("partition,kill", BUSY),
];
