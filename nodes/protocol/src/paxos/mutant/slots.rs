//! What is proposed for a slot, accepted, and taken for chosen.

use super::Mutant;
use crate::mutant::{BUSY, Info};

pub(super) const TABLE: &[Info<Mutant>] = &[
    Info::mistake(Mutant::AcceptUnsynced, "accept-unsynced", "P2", 2)
        .breaks("says that it has accepted before that is durable, and leaves the sync for later")
        .met_in("Paxos Made Simple §2.5")
        .shows("an acknowledged write is lost after a loss of power")
        .reached_by("power", BUSY),
    Info::mistake(Mutant::OwnValue, "own-value", "P3", 1)
        .breaks("proposes the value that it holds itself although a promise carried another; the one of the highest ballot must be proposed")
        .met_in("teaching texts; Paxos Made Simple §2.2, P2c")
        .shows("an acknowledged write is lost; replicas differ")
        .reached_by("partition,kill", BUSY),
    Info::mistake(Mutant::AdoptFirst, "adopt-first", "P4", 3)
        .breaks("proposes the first value that it is told of; the one of the highest ballot must be proposed")
        .met_in("Paxos Made Simple §2.2, P2c")
        .shows("an acknowledged write is lost; replicas differ")
        .reached_by("partition,kill", BUSY),
    Info::mistake(Mutant::CountAnyBallot, "count-any-ballot", "P9", 3)
        .breaks("counts acceptances of a slot under different ballots together, whatever their values; chosen is what a quorum accepted under one")
        .met_in("teaching texts; Paxos Made Simple §2.2")
        .shows("a write is acknowledged that was not chosen")
        .reached_by("partition,kill", BUSY),
    Info::mistake(Mutant::OwnGapOnly, "own-gap-only", "P10", 2)
        .breaks("a new leader asks about slots after the end of its own log only; it must ask about every slot that it does not know to be chosen")
        .met_in("Paxos Made Simple §3; Paxos Made Live §4.2")
        .shows("an acknowledged write is lost; replicas differ")
        .reached_by("partition,kill", BUSY),
    Info::mistake(Mutant::FillWithNoop, "fill-with-no-op", "P11", 2)
        .breaks("fills every open slot with a no-op; only slots of which no promise tells may be filled")
        .met_in("Paxos Made Simple §3")
        .shows("an acknowledged write is lost")
        .reached_by("partition,kill", BUSY),
    Info::mistake(Mutant::SkipHoles, "skip-holes", "P12", 1)
        .breaks("executes what is chosen although a slot before it is not; slots are executed in order")
        .met_in("Paxos Made Simple §3")
        .shows("replicas differ; an acknowledged write is lost")
        .reached_by("partition,kill", BUSY),
    Info::mistake(Mutant::LearnUnverified, "learn-unverified", "P14", 3)
        .breaks("takes whatever it has accepted for chosen up to where the leader has committed; only what it accepted under the leader's ballot is")
        .met_in("omnipaxos PR#101")
        .shows("replicas differ")
        .reached_by("partition,kill", BUSY),
    Info::mistake(Mutant::GreaterValueWins, "greater-value-wins", "S1", 1)
        .breaks("accepts a value because it is greater than the one it holds, whatever the ballot; values are not compared")
        .met_in("teaching texts; Paxos Made Simple §2.2")
        .shows("an acknowledged write is lost; replicas differ")
        .reached_by("partition,kill", BUSY),
    Info::mistake(Mutant::SmallerValueStays, "smaller-value-stays", "S2", 1)
        .breaks("says that it has accepted and keeps the smaller of the two values; what is accepted under a higher ballot replaces what was")
        .met_in("teaching texts; Paxos Made Simple §2.2")
        .shows("an acknowledged write is lost; replicas differ")
        .reached_by("partition,kill", BUSY),
];
