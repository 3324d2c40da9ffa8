//! What is changed here breaks no rule: a harness that catches one of these is wrong itself.

use super::Mutant;
use crate::mutant::Info;

pub(super) const TABLE: &[Info<Mutant>] = &[
    Info::equivalent(
        Mutant::SlowHeartbeats,
        "same-slow-heartbeats",
        "E1",
        "half as many heartbeats",
    ),
    Info::equivalent(
        Mutant::LongElections,
        "same-long-elections",
        "E2",
        "twice the election timeout",
    ),
    Info::equivalent(
        Mutant::SingleEntries,
        "same-single-entries",
        "E3",
        "one entry in each append",
    ),
    Info::equivalent(
        Mutant::LargeAppends,
        "same-large-appends",
        "E4",
        "sixteen times the entries and bytes in an append",
    ),
    Info::equivalent(
        Mutant::NoPipeline,
        "same-no-pipeline",
        "E5",
        "one append on its way at a time",
    ),
    Info::equivalent(
        Mutant::FrequentSnapshots,
        "same-frequent-snapshots",
        "E6",
        "a snapshot every twenty entries, and no entry kept behind it",
    ),
    Info::equivalent(Mutant::NoPreVote, "same-no-pre-vote", "E7", "elections without pre-vote")
        .without_pre_vote(),
    Info::equivalent(
        Mutant::NoCheckQuorum,
        "same-no-check-quorum",
        "E8",
        "a leader that hears no quorum does not step down",
    )
    .without_check_quorum(),
    Info::equivalent(
        Mutant::StepBack,
        "same-step-back",
        "E9",
        "a leader goes back by one entry at a time to find where a log leaves its own",
    ),
    Info::equivalent(
        Mutant::SmallPieces,
        "same-small-pieces",
        "E10",
        "snapshots in pieces of 64 bytes",
    ),
];
