//! Golden scripts of Zab: scenarios as text, each with all that the replicas did.
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
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/zab/scripts")
}

fn play(script: &str, mutant: Option<Mutant>) -> String {
    golden::play(script, &mut World::of(mutant))
}

fn check(name: &str) {
    golden::check(&folder(), name, &mut World::default());
}

/// Mistakes of which random lives hardly ever make anything: under each, a script comes to this, which it must not.
const TOLD_BY_SCRIPTS: [(Mutant, &str, &str); 3] = [
    (Mutant::VoteByZxid, "epoch_before_zxid", "n3 leads epoch 3"),
    (Mutant::LargerCounter, "epoch_before_zxid", "n3 leads epoch 3"),
    (
        Mutant::KeepTail,
        "old_proposal",
        "n3 follows, epochs 2/2, committed 2: 1:1:register 1:2:x=lost",
    ),
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
    epoch_before_zxid
    diff
    trunc
    snap
    snap_interrupted
    old_proposal
    same_counter
    discovery_quorum
    durability
    forward
    reads
    gap
    lost_quorum
    later_epoch
}
