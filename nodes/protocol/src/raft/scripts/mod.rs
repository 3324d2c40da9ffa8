//! Golden scripts of Raft: scenarios as text, each with all that the replicas did.
//!
//! See [`crate::golden`] for how they are read.

mod world;

use std::path::{Path, PathBuf};

use world::Raft;

use super::mutant::Mutant;
use crate::golden::{self, scripts};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/raft/scripts")
}

/// Mistakes of which random lives hardly ever make anything, and some others: under each, a script comes to this, which it must not.
const TOLD_BY_SCRIPTS: [(Mutant, &str, &str); 5] = [
    (Mutant::LeaseAfterTransfer, "lease_transfer", "n1 answers request 3: value none"),
    (Mutant::ChangeTooEarly, "change_of_2015", "n2 answers request 3: Refused(Pending)"),
    (Mutant::ChangeWhilePending, "pending_change", "n1 stores 3@1:voters(1,2)"),
    (Mutant::JointUnion, "joint", "n1 leads in term 1, committed 4"),
    (Mutant::CountLearners, "counted_learner", "n1 answers request 2: changed"),
];

#[test]
fn scripts_tell_mistakes() {
    golden::tell_mistakes::<Raft>(&folder(), &TOLD_BY_SCRIPTS);
}

scripts! { Raft, folder(),
    election
    split_vote
    pre_vote
    check_quorum
    log_repair
    commit_own_term
    snapshot
    read_index
    lease
    late_lease
    busy_reads
    sessions
    restart
    durability
    stale_match
    snapshot_conflict
    compacted_term
    learner
    counted_learner
    pending_change
    remove_leader
    needed_vote
    joint
    membership_rollback
    change_of_2015
    transfer
    lease_transfer
    removed_node
}
