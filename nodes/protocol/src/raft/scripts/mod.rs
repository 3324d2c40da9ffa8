//! Golden scripts of Raft: scenarios as text, each with all that the replicas did.
//!
//! See [`crate::golden`] for how they are read. Every node has a clock of its own, so that only a command
//! makes time pass. Messages wait between two nodes until a command delivers or drops them; a disk syncs at once
//! unless the script asks it to wait.

mod world;

use std::path::{Path, PathBuf};

use world::World;

use super::mutant::Mutant;
use crate::golden::{self, scripts};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/raft/scripts")
}

fn play(script: &str, mutant: Option<Mutant>) -> String {
    golden::play(script, &mut World::of(mutant))
}

fn check(name: &str) {
    golden::check(&folder(), name, &mut World::default());
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
    for (mutant, name, line) in TOLD_BY_SCRIPTS {
        let path = folder().join(name).with_extension("txt");
        let script = std::fs::read_to_string(&path).unwrap();
        assert!(!script.contains(line), "{name} has {line}");
        let seen = play(&script, Some(mutant));
        assert!(seen.contains(line), "{mutant} goes through {name} unseen: {seen}");
    }
}

scripts! { folder(), check:
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
