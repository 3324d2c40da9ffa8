//! What is changed here breaks no rule: a harness that catches one of these is wrong itself.

use super::{Info, Mutant};

pub(super) const TABLE: &[Info<Mutant>] = &[
    Info::equivalent(Mutant::SlowPings, "zab-same-slow-pings", "E1", "half as many pings"),
    Info::equivalent(
        Mutant::LongElections,
        "zab-same-long-elections",
        "E2",
        "twice the patience with a silent leader",
    ),
    Info::equivalent(
        Mutant::LongSettle,
        "zab-same-long-settle",
        "E3",
        "twice the wait for a better vote",
    ),
    Info::equivalent(
        Mutant::SingleEntries,
        "zab-same-single-entries",
        "E4",
        "one transaction in each proposal message",
    ),
    Info::equivalent(
        Mutant::NoPipeline,
        "zab-same-no-pipeline",
        "E5",
        "one proposal message on its way at a time",
    ),
    Info::equivalent(
        Mutant::FrequentSnapshots,
        "zab-same-frequent-snapshots",
        "E6",
        "a snapshot every twenty transactions, and none kept behind it",
    ),
    Info::equivalent(
        Mutant::SmallPieces,
        "zab-same-small-pieces",
        "E7",
        "snapshots in pieces of 64 bytes",
    ),
];
