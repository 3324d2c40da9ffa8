//! Golden scripts of Zab: scenarios as text, each with all that the replicas did.
//!
//! See [`crate::golden`] for how they are read.

mod world;

use std::path::{Path, PathBuf};

use world::Zab;

use super::mutant::Mutant;
use crate::golden::{self, scripts};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/zab/scripts")
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
    golden::tell_mistakes::<Zab>(&folder(), &TOLD_BY_SCRIPTS);
}

scripts! { Zab, folder(),
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
