//! Golden scripts of Paxos: scenarios as text, each with all that the replicas did.
//!
//! See [`crate::golden`] for how they are read.

mod world;

use std::path::{Path, PathBuf};

use world::Paxos;

use super::mutant::Mutant;
use crate::golden::{self, scripts};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/paxos/scripts")
}

/// Under each mistake, a script comes to this, which it must not.
const TOLD_BY_SCRIPTS: [(Mutant, &str, &str); 12] = [
    (Mutant::OwnValue, "highest_ballot", "n1 accepts 1@4.1:x=a"),
    (Mutant::AdoptFirst, "highest_ballot", "n1 accepts 1@4.1:x=a"),
    (Mutant::NoBackOff, "highest_ballot", "n1 -> n2: heartbeat 2 4.1"),
    (Mutant::AcceptWithoutPromise, "late_accept", "n3 accepts 1@1.1:register"),
    (Mutant::CountStalePromises, "stale_promise", "n1 leads in 2.1"),
    (Mutant::ReuseBallots, "own_ballots", "n2 promises 1.1"),
    (Mutant::FillWithNoop, "holes", "n2 accepts 1@2.2 2@2.2 3@2.2 4@2.2"),
    (Mutant::LeaseFromReceipt, "lease", "n1 answers request 3: value none"),
    (Mutant::LearnUnverified, "learning", "n3 -> n1: fetch 3.1 after 1"),
    (Mutant::AnswerBySlot, "answer", "n1 answers request 1: session 1"),
    (Mutant::ReadAlone, "read_quorum", "n1 answers request 4: value a"),
    (Mutant::CountAnyBallot, "late_answer", "n1 answers request 1: session 1"),
];

#[test]
fn scripts_tell_mistakes() {
    golden::tell_mistakes::<Paxos>(&folder(), &TOLD_BY_SCRIPTS);
}

scripts! { Paxos, folder(),
    choosing
    duel
    holes
    highest_ballot
    outbid
    own_ballots
    stale_promise
    late_accept
    learning
    snapshot
    read_quorum
    lease
    durability
    answer
    late_answer
    forgotten
}
