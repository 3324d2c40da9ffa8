//! What is changed here breaks no rule: a harness that catches one of these is wrong itself.

use super::{Info, Mutant, equivalent};

pub(super) const TABLE: &[Info] = &[
    equivalent(Mutant::SlowHeartbeats, "same-slow-heartbeats", "E1", "half as many heartbeats"),
    equivalent(Mutant::LongElections, "same-long-elections", "E2", "twice the election timeout"),
    equivalent(Mutant::SingleEntries, "same-single-entries", "E3", "one entry in each append"),
    equivalent(
        Mutant::LargeAppends,
        "same-large-appends",
        "E4",
        "sixteen times the entries and bytes in an append",
    ),
    equivalent(Mutant::NoPipeline, "same-no-pipeline", "E5", "one append on its way at a time"),
    equivalent(
        Mutant::FrequentSnapshots,
        "same-frequent-snapshots",
        "E6",
        "a snapshot every twenty entries, and no entry kept behind it",
    ),
    equivalent(Mutant::NoPreVote, "same-no-pre-vote", "E7", "elections without pre-vote")
        .without_pre_vote(),
    equivalent(
        Mutant::NoCheckQuorum,
        "same-no-check-quorum",
        "E8",
        "a leader that hears no quorum does not step down",
    )
    .without_check_quorum(),
    equivalent(
        Mutant::StepBack,
        "same-step-back",
        "E9",
        "a leader goes back by one entry at a time to find where a log leaves its own",
    ),
    equivalent(Mutant::SmallPieces, "same-small-pieces", "E10", "snapshots in pieces of 64 bytes"),
];
