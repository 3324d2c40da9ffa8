//! What is changed here breaks no rule: a harness that catches one of these is wrong itself.

use super::Mutant;
use crate::mutant::Info;

pub(super) const TABLE: &[Info<Mutant>] = &[
    Info::equivalent(
        Mutant::SlowHeartbeats,
        "paxos-same-slow-heartbeats",
        "E1",
        "half as many heartbeats",
    ),
    Info::equivalent(
        Mutant::LongElections,
        "paxos-same-long-elections",
        "E2",
        "twice the election timeout",
    ),
    Info::equivalent(
        Mutant::SingleEntries,
        "paxos-same-single-entries",
        "E3",
        "one proposal in each message",
    ),
    Info::equivalent(
        Mutant::NoPipeline,
        "paxos-same-no-pipeline",
        "E4",
        "one message with proposals on its way at a time",
    ),
    Info::equivalent(
        Mutant::FrequentSnapshots,
        "paxos-same-frequent-snapshots",
        "E5",
        "a snapshot every twenty slots, and none kept behind it",
    ),
    Info::equivalent(
        Mutant::FewOpenSlots,
        "paxos-same-few-open-slots",
        "E6",
        "eight open slots at most",
    ),
    Info::equivalent(
        Mutant::NoCheckQuorum,
        "paxos-same-no-check-quorum",
        "E7",
        "a leader that hears no quorum does not step down",
    )
    .without_check_quorum(),
    Info::equivalent(
        Mutant::SmallPieces,
        "paxos-same-small-pieces",
        "E8",
        "snapshots in pieces of 64 bytes",
    ),
];
