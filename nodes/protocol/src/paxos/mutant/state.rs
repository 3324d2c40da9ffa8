//! What is kept, what clients are answered, and reads.

use super::Mutant;
use crate::mutant::{BUSY, Info, PATIENT};

pub(super) const TABLE: &[Info<Mutant>] = &[
    Info::mistake(Mutant::ForgetAll, "forget-all", "P16", 2)
        .breaks("comes back from a restart with its snapshot alone and takes part as before; who has forgotten what it promised and accepted is another node")
        .met_in("Michael et al., DISC 2017; Paxos Made Live §5.1")
        .shows("an acknowledged write is lost")
        .reached_by("kill", BUSY),
    Info::mistake(Mutant::LeaseFromReceipt, "lease-from-answer", "P13", 3)
        .breaks("counts its lease from when a quorum's answers arrive, and for all of the time that they hold still; it begins when the question was sent")
        .met_in("Paxos Made Live §5.2")
        .shows("a deposed leader serves stale reads")
        .reached_by("partition,pause", BUSY),
    Info::mistake(Mutant::AnswerBySlot, "answer-by-slot", "R27", 3)
        .breaks("tells a client that its command was executed when its slot was; the slot may have gone to another's")
        .met_in("Paxos Made Live §4.1")
        .shows("an acknowledged write is lost")
        .reached_by("partition,kill", BUSY),
    Info::mistake(Mutant::ExecuteTwice, "execute-twice", "R28", 1)
        .breaks("executes a command as often as it is chosen; once for each sequence number of a session")
        .met_in("dissertation §6.3")
        .shows("an overwritten value comes back")
        .reached_by("partition,kill", PATIENT),
    Info::mistake(Mutant::ForgetWhatWasDone, "forget-what-was-done", "R30", 3)
        .breaks("a snapshot does not say what was done in each session; it must")
        .met_in("dissertation §6.3")
        .shows("an overwritten value comes back after a restart; replicas differ")
        .reached_by("partition,kill", PATIENT),
    Info::mistake(Mutant::ReadAlone, "read-alone", "R32", 1)
        .breaks("a leader answers reads from its own state without asking anybody; a quorum must confirm that it leads")
        .met_in("Paxos Made Live §5.2; dissertation §6.4; etcd#741")
        .shows("stale reads")
        .reached_by("partition,pause", BUSY)
        .without_check_quorum(),
    Info::mistake(Mutant::ReadTooEarly, "read-too-early", "R33", 3)
        .breaks("a new leader answers reads before what was open when it took office is executed; an earlier leader may have acknowledged that")
        .met_in("Paxos Made Live §5.2; dissertation §6.4; etcd#7331")
        .shows("stale reads after a failover")
        .reached_by("partition,kill", BUSY),
];
