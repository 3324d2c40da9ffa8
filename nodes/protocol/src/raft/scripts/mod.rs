//! Golden scripts: protocol scenarios as text, each with all that the replicas did.
//!
//! A line that begins with `>` is a command; what follows it, up to an empty line, is its expected outcome. `UPDATE_GOLDEN=1 cargo
//! test` writes what the replicas do now. Every node has a clock of its own, so that only a command
//! makes time pass. Messages wait between two nodes until a command delivers or drops them; a disk syncs at once
//! unless the script asks it to wait.

mod world;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use world::World;

use super::mutant::Mutant;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/raft/scripts")
}

/// The script with every outcome as it is now.
fn play(script: &str, mutant: Option<Mutant>) -> String {
    let mut world = World::default();
    world.mutant = mutant;
    let mut text = String::new();
    let mut outcome = false;
    for line in script.lines() {
        outcome &= !line.is_empty() && !line.starts_with('>') && !line.starts_with('#');
        if outcome {
            continue;
        }
        let _ = writeln!(text, "{line}");
        if let Some(command) = line.strip_prefix('>') {
            world.command(command.trim());
            text.extend(world.take_lines().iter().map(|line| format!("{line}\n")));
            outcome = true;
        }
    }
    text
}

#[expect(clippy::disallowed_methods, reason = "a test may be asked to write what it sees")]
fn check(name: &str) {
    let path = folder().join(name).with_extension("txt");
    let script = std::fs::read_to_string(&path).unwrap();
    let now = play(&script, None);
    if std::env::var("UPDATE_GOLDEN").is_ok() {
        std::fs::write(&path, now).unwrap();
        return;
    }
    let difference = script.lines().zip(now.lines()).enumerate().find(|(_, (was, is))| was != is);
    assert_eq!(script, now, "{name}: first difference: {difference:?}");
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

macro_rules! scripts {
    ($($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                check(stringify!($name));
            }
        )*

        #[test]
        fn every_script_is_played() {
            let names = [$(stringify!($name)),*];
            for file in std::fs::read_dir(folder()).unwrap() {
                let path = file.unwrap().path();
                if path.extension().is_some_and(|extension| extension == "txt") {
                    let name = path.file_stem().unwrap().to_str().unwrap();
                    assert!(names.contains(&name), "{name} is not in the list");
                }
            }
        }
    };
}

scripts! {
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
