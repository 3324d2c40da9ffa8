//! Ballots and promises.

use super::Mutant;
use crate::mutant::{BUSY, Info};

pub(super) const TABLE: &[Info<Mutant>] = &[
    Info::mistake(Mutant::ForgetPromise, "forget-promise", "P1", 3)
        .breaks("does not store what it promised; a promise must survive a restart")
        .met_in("Paxos Made Simple §2.5")
        .shows("two leaders choose different values for a slot; an acknowledged write is lost")
        .reached_by("partition,kill", BUSY),
    Info::mistake(Mutant::AcceptWithoutPromise, "accept-without-promise", "P5", 3)
        .breaks("accepts under a higher ballot and does not promise it; accepting is promising")
        .met_in("Paxos Made Simple §2.2, P1a; Brooker 2021, cassandra#1327")
        .shows("a value of a lower ballot replaces one that was chosen")
        .reached_by("partition,kill", BUSY),
    Info::mistake(Mutant::CountStalePromises, "count-stale-promises", "P6", 3)
        .breaks("counts promises of its earlier ballots; a promise is for the ballot that it names")
        .met_in("Paxos Made Simple §2.2; MyPaxos#18")
        .shows("a leader whose ballot no quorum promised; an acknowledged write is lost")
        .reached_by("partition,kill", BUSY),
    Info::mistake(Mutant::ReuseBallots, "reuse-ballots", "P7", 3)
        .breaks("counts its rounds from 1 after every restart, and up only when it is refused; a ballot must never be used again")
        .met_in("Paxos Made Simple §2.5; phxpaxos#145")
        .shows("two values under one ballot; an acknowledged write is lost")
        .reached_by("partition,kill", BUSY),
    Info::mistake(Mutant::SharedBallots, "shared-ballots", "P8", 2)
        .breaks("makes ballots of rounds alone, without the proposer; no two proposers may share one")
        .met_in("Paxos Made Simple §2.2")
        .shows("two leaders under one ballot")
        .reached_by("partition,kill", BUSY),
    Info::mistake(Mutant::NeverAskAgain, "never-ask-again", "P15", 2)
        .breaks("asks for promises once and waits; what may be lost must be asked for again")
        .met_in("omnipaxos#67")
        .shows("after a partition nobody leads, and nothing is done any more")
        .reached_by("partition,kill", BUSY),
    Info::mistake(Mutant::NoBackOff, "no-back-off", "P19", 4)
        .breaks("takes a higher ballot as soon as it is refused; proposers must wait, by chance, or they outbid each other")
        .met_in("Paxos Made Simple §2.4")
        .shows("nobody leads for long, if two begin at the same time")
        .reached_by("partition,kill", BUSY),
    Info::mistake(Mutant::HalfIsQuorum, "half-is-quorum", "R9", 1)
        .breaks("takes half of the members, rounded down, for a quorum; any two quorums must share a member")
        .met_in("Paxos Made Simple §2.2; openraft d60f1e85")
        .shows("two sides of a partition both acknowledge; stale reads, lost writes")
        .reached_by("partition", BUSY),
    Info::mistake(Mutant::RandomBallots, "random-ballots", "S3", 1)
        .breaks("draws its proposal numbers at random; they must be its own, and rise")
        .met_in("teaching texts; Paxos Made Simple §2.2")
        .shows("two leaders under one ballot, or none, since nobody draws a number that is high enough")
        .reached_by("partition,kill", BUSY),
];
