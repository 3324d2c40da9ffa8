//! Faults on real nodes, one kind after the other: each must be seen in effect, and seen healed. Where something is missing that they need,
//! that is said.

use std::collections::BTreeMap;
use std::path::Path;

use crate::common::{cluster_allowed, keelhaul, skipped};

/// Of each kind, how often it was seen in effect and how often healed.
fn seen(dir: &Path) -> BTreeMap<String, (u32, u32)> {
    let text = std::fs::read_to_string(dir.join("runs/latest/history.jsonl")).unwrap();
    let mut seen = BTreeMap::<String, (u32, u32)>::new();
    for line in text.lines().skip(1) {
        let op: serde_json::Value = serde_json::from_str(line).unwrap();
        let Some(kind) = op["value"]["kind"].as_str().filter(|_| op["type"] == "ok") else {
            continue;
        };
        let of_kind = seen.entry(kind.into()).or_default();
        match op["f"].as_str() {
            Some("verify") => of_kind.0 += 1,
            Some("verify-healed") => of_kind.1 += 1,
            _ => {}
        }
    }
    seen
}

/// Runs with these kinds of faults, one after the other; ends with one of these codes.
fn check(words: &str, kinds: &[&str], codes: &[i32]) {
    let dir = tempfile::tempdir().unwrap();
    let Some(_leave) = cluster_allowed(dir.path()) else { return };
    let limit = 4 * kinds.len() + 4;
    let kinds_word = kinds.join(",");
    let run = keelhaul(
        dir.path(),
        &format!(
            "run {words} --nodes 3 --nemesis {kinds_word} --nemesis-interval 4 --time-limit {limit} --rate 20 --seed 1"
        ),
    );
    if run.code == 10 && run.stderr.contains("FUSE") {
        skipped("no FUSE in a user namespace");
        return;
    }
    assert!(codes.contains(&run.code), "{}: {run:?}", run.code);
    let seen = seen(dir.path());
    for kind in kinds {
        let (in_effect, healed) = seen.get(*kind).copied().unwrap_or_default();
        assert!(in_effect > 0 && healed > 0, "{kind}: {in_effect} in effect, {healed} healed");
    }
}

/// Valid, or too little happened on a busy machine.
const FAIR: [i32; 2] = [0, 3];

#[test]
fn processes_and_clocks() {
    check(
        "--store raft",
        &[
            "restart",
            "rolling-restart",
            "restart-storm",
            "staggered-restart",
            "stutter",
            "cpu",
            "memory",
            "clock-bump",
            "clock-drift",
            "clock-strobe",
        ],
        &FAIR,
    );
}

#[test]
fn disks_that_fail() {
    check("--store raft", &["disk-stall", "disk-read", "disk-torn", "power-stall"], &FAIR);
}

/// What our own nodes lack to survive these for certain, they lack: see `list faults`. But they come back.
#[test]
fn disks_that_lie() {
    let kinds =
        ["disk-flip", "disk-truncate", "disk-copy", "disk-rewind", "disk-misdirect", "wipe"];
    check("--store raft", &kinds, &[0, 1, 3]);
}

#[test]
fn members_of_our_own() {
    check("--store raft", &["member-remove", "member-replace"], &FAIR);
}

#[test]
fn groups_of_our_own() {
    let words = "--store paxos --workload bank --groups 2";
    check(words, &["group-join", "group-leave"], &FAIR);
}

/// To another copy of this program: what runs is told by its path.
#[test]
fn other_releases() {
    // Nodes have a /tmp of their own, which may be where all of this is.
    let dir = tempfile::tempdir_in("/var/tmp").unwrap();
    let other = dir.path().join("keelhaul");
    std::fs::copy(env!("CARGO_BIN_EXE_keelhaul"), &other).unwrap();
    for kind in ["upgrade", "rolling-upgrade"] {
        check(&format!("--store zab --upgrade-to {}", other.display()), &[kind], &FAIR);
    }
}

#[test]
fn members_and_clocks_of_etcd() {
    if !Path::new("/usr/bin/etcd").exists() {
        skipped("etcd is not installed (apt-get install etcd-server)");
        return;
    }
    let kinds = ["member-remove", "member-replace", "clock-bump", "clock-drift", "clock-strobe"];
    check("--store etcd", &kinds, &FAIR);
}
