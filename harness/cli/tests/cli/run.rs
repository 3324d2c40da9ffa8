//! Whole runs on real nodes, as a user starts them. Where the kernel refuses namespaces they are skipped, in words.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::common::{Ended, KEELHAUL, cluster_allowed, ended, keelhaul, skipped};

fn verdict(dir: &Path) -> serde_json::Value {
    let text = std::fs::read_to_string(dir.join("runs/latest/verdict.json"))
        .expect("the run has a verdict");
    serde_json::from_str(&text).expect("the verdict is JSON")
}

fn assert_code(ended: &Ended, expected: i32) {
    assert_eq!(ended.code, expected, "stdout:\n{}\nstderr:\n{}", ended.stdout, ended.stderr);
}

#[test]
fn raft_is_valid_under_all_faults() {
    let dir = tempfile::tempdir().unwrap();
    let Some(_leave) = cluster_allowed(dir.path()) else { return };
    let run = keelhaul(dir.path(), "run --time-limit 12 --nemesis-interval 3 --seed 1");
    assert_code(&run, 0);
    let last = run.stdout.lines().last().unwrap_or_default();
    assert!(last.starts_with("verdict=valid run=") && last.contains(" seed=1 dir="), "{last}");
    assert_eq!(verdict(dir.path())["verdict"], "valid");
    for file in [
        "plan.json",
        "history.jsonl",
        "report.html",
        "latency.svg",
        "rate.svg",
        "replay.sh",
        "nodes/n1",
    ] {
        assert!(dir.path().join("runs/latest").join(file).exists(), "{file}");
    }
    nodes_say_how_they_are(&dir.path().join("runs/latest/nodes/n1/metrics.jsonl"));
    // The run directory and the history in it are judged alike, years later.
    assert_code(&keelhaul(dir.path(), "check runs/latest"), 0);
    assert_code(&keelhaul(dir.path(), "check runs/latest/history.jsonl"), 0);
    assert_code(&keelhaul(dir.path(), "report runs/latest"), 0);
}

/// What a node of this machine says of itself: its clock is this one's, and its store works.
fn nodes_say_how_they_are(metrics: &Path) {
    let text = std::fs::read_to_string(metrics).unwrap();
    let looks: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(looks.len() >= 2, "{text}");
    for look in &looks {
        let number = |name: &str| look[name].as_f64().unwrap();
        assert!(number("clock_ahead_ms").abs() <= number("clock_unsure_ms") + 0.1, "{look}");
        assert!(number("memory_available_kib") > 0.0 && number("load") >= 0.0, "{look}");
        assert!(number("sync_ms") > 0.0, "{look}");
    }
    let worked = |look: &&serde_json::Value| look["store"]["cpu_ms"].as_u64() > Some(0);
    let store = &looks.iter().rfind(worked).expect("the store has worked")["store"];
    assert!(store["resident_kib"].as_u64() > Some(0), "{store}");
}

#[test]
fn a_leader_that_reads_locally_is_caught() {
    let dir = tempfile::tempdir().unwrap();
    let Some(_leave) = cluster_allowed(dir.path()) else { return };
    let command =
        "run --mutant local-read --nemesis partition --nemesis-interval 3 --time-limit 20";
    let caught = (1..=5).any(|seed| {
        let run = keelhaul(dir.path(), &format!("{command} --seed {seed}"));
        assert!([0, 1].contains(&run.code), "{run:?}");
        run.code == 1
    });
    assert!(caught, "five runs, and no stale read was seen");
    let verdict = verdict(dir.path());
    let evidence = verdict["checks"]
        .as_array()
        .unwrap()
        .iter()
        .find_map(|check| check.get("evidence"))
        .unwrap();
    assert!(evidence["ops"].as_array().unwrap().len() >= 2, "{evidence}");
}

#[test]
fn a_fenced_lock_holds_and_an_unfenced_one_is_caught_under_pauses() {
    let dir = tempfile::tempdir().unwrap();
    let Some(_leave) = cluster_allowed(dir.path()) else { return };
    let command = "run --workload lock --nemesis pause --nemesis-interval 3 --time-limit 20";
    let fenced = keelhaul(dir.path(), &format!("{command} --seed 1"));
    assert_code(&fenced, 0);
    let caught = (1..=5).any(|seed| {
        let run = keelhaul(dir.path(), &format!("{command} --lock unfenced --seed {seed}"));
        assert!([0, 1].contains(&run.code), "{run:?}");
        run.code == 1
    });
    assert!(caught, "five runs, and no two holders were seen");
    let check = &verdict(dir.path())["checks"][0];
    assert_eq!(check["name"], "critical-sections");
    assert_eq!(check["anomalies"][0], "stale-holder");
    assert!(check["evidence"]["ops"].as_array().unwrap().len() >= 4, "{check}");
}

#[test]
fn etcd_is_valid_and_its_serializable_reads_are_not() {
    let dir = tempfile::tempdir().unwrap();
    let Some(_leave) = cluster_allowed(dir.path()) else { return };
    if !Path::new("/usr/bin/etcd").exists() {
        skipped("etcd is not installed (apt-get install etcd-server)");
        return;
    }
    // On a busy machine etcd's elections may outlast the faults, and then the run says that it proves too little: that
    // is right, and no violation. One of three must prove enough.
    let proved = (3..6).any(|seed| {
        let command = "run --store etcd --time-limit 24 --nemesis-interval 8";
        let run = keelhaul(dir.path(), &format!("{command} --seed {seed}"));
        assert!([0, 3].contains(&run.code), "{run:?}");
        run.code == 0
    });
    assert!(proved, "three runs, and none proved anything");
    let stale = "run --store etcd --read serializable --nemesis partition --nemesis-interval 4 --time-limit 15 --seed 4";
    assert_code(&keelhaul(dir.path(), stale), 1);
}

#[test]
fn every_workload_of_transactions_runs_on_etcd() {
    let dir = tempfile::tempdir().unwrap();
    let Some(_leave) = cluster_allowed(dir.path()) else { return };
    if !Path::new("/usr/bin/etcd").exists() {
        skipped("etcd is not installed (apt-get install etcd-server)");
        return;
    }
    for workload in ["list-append", "rw-register", "bank", "long-fork", "lost-update", "write-skew"]
    {
        let command = "run --store etcd --nodes 3 --nemesis none --time-limit 4 --seed 1";
        let run = keelhaul(dir.path(), &format!("{command} --workload {workload}"));
        // Where the machine is too busy for anything to be proved it says so, or what is open stays open.
        assert!([0, 2, 3].contains(&run.code), "{workload}: {run:?}");
        let again = keelhaul(dir.path(), &format!("check runs/latest --workload {workload}"));
        assert_eq!(again.code, run.code, "{workload}: {again:?}");
    }
}

#[test]
fn a_loss_of_power_shows_who_does_not_sync() {
    let dir = tempfile::tempdir().unwrap();
    let Some(_leave) = cluster_allowed(dir.path()) else { return };
    let power =
        "run --nemesis power --nemesis-interval 2 --time-limit 12 --op-timeout 0.3 --seed 1";
    let correct = keelhaul(dir.path(), &format!("{power} --disk strict --nodes 3"));
    if correct.code == 10 && correct.stderr.contains("FUSE") {
        skipped("no FUSE in a user namespace");
        return;
    }
    assert!([0, 3].contains(&correct.code), "{correct:?}");
    assert_code(&keelhaul(dir.path(), &format!("{power} --mutant count-unsynced --nodes 1")), 1);
}

/// Function and key of each operation that clients began, and what the nemesis began, in order.
fn asked_for(dir: &Path) -> (Vec<String>, Vec<String>) {
    let text = std::fs::read_to_string(dir.join("runs/latest/history.jsonl")).unwrap();
    let ops =
        text.lines().skip(1).map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let (mut clients, mut faults) = (Vec::new(), Vec::new());
    for op in ops.filter(|op| op["type"] == "invoke") {
        let list = if op["process"] == "nemesis" { &mut faults } else { &mut clients };
        list.push(format!("{} {} {}", op["f"], op["key"], op["value"]["fault"]));
    }
    faults.retain(|op| !op.contains("leader"));
    (clients, faults)
}

#[test]
fn one_seed_asks_for_the_same_operations_and_faults() {
    let dir = tempfile::tempdir().unwrap();
    let Some(_leave) = cluster_allowed(dir.path()) else { return };
    // Slow enough that a thread is always free: then only the seed decides what comes next.
    let command =
        "run --time-limit 6 --nemesis partition,pause --nemesis-interval 2 --rate 10 --seed";
    let asked = |seed: u64| {
        let run = keelhaul(dir.path(), &format!("{command} {seed}"));
        assert!([0, 3].contains(&run.code), "{run:?}");
        asked_for(dir.path())
    };
    let (first, second, other) = (asked(9), asked(9), asked(10));
    assert_eq!(first.1, second.1, "faults");
    let shared = first.0.len().min(second.0.len()).min(40);
    assert!(shared >= 40, "{} and {} operations", first.0.len(), second.0.len());
    assert_eq!(first.0[..shared], second.0[..shared], "operations");
    assert_ne!(first.0[..shared], other.0[..shared.min(other.0.len())]);
}

#[test]
fn an_interrupt_ends_the_run_with_a_sealed_history() {
    let dir = tempfile::tempdir().unwrap();
    let Some(_leave) = cluster_allowed(dir.path()) else { return };
    let run = Command::new(KEELHAUL)
        .args(["run", "--time-limit", "60", "--seed", "12", "--nemesis", "none"])
        .current_dir(dir.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    await_history(dir.path());
    let interrupt = Command::new("kill").args(["-INT", &run.id().to_string()]).status().unwrap();
    assert!(interrupt.success());
    let run = ended(&run.wait_with_output().unwrap());
    assert_code(&run, 130);
    let history = std::fs::read_to_string(dir.path().join("runs/latest/history.jsonl")).unwrap();
    assert!(history.lines().last().unwrap().starts_with("{\"seal\""), "{run:?}");
}

/// Waits until the latest run has recorded something.
fn await_history(dir: &Path) {
    let history = dir.join("runs/latest/history.jsonl");
    let deadline = Instant::now() + Duration::from_secs(60);
    while std::fs::metadata(&history).map_or(0, |meta| meta.len()) < 20_000 {
        assert!(Instant::now() < deadline, "the run records nothing");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Everything that runs with this run's directory on its command line, or with the program itself.
fn processes_of(marker: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let environ = std::fs::read(entry.path().join("environ")).unwrap_or_default();
        if String::from_utf8_lossy(&environ).contains(marker) {
            let comm = std::fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
            found.push(format!("{} {}", entry.file_name().to_string_lossy(), comm.trim()));
        }
    }
    found
}

#[test]
fn kill_9_leaves_nothing_but_a_readable_prefix() {
    let dir = tempfile::tempdir().unwrap();
    let Some(_leave) = cluster_allowed(dir.path()) else { return };
    let marker = format!("KEELHAUL_TEST_MARKER={}", dir.path().display());
    let mounts_before = std::fs::read_to_string("/proc/self/mounts").unwrap();
    let (name, value) = marker.split_once('=').unwrap();
    let mut run = Command::new(KEELHAUL)
        .args(["run", "--time-limit", "60", "--seed", "5"])
        .current_dir(dir.path())
        .env(name, value)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    await_history(dir.path());
    run.kill().unwrap();
    run.wait().unwrap();
    let killed = Instant::now();
    while !processes_of(&marker).is_empty() {
        assert!(
            killed.elapsed() < Duration::from_secs(2),
            "left after two seconds: {:?}",
            processes_of(&marker)
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(std::fs::read_to_string("/proc/self/mounts").unwrap(), mounts_before);
    assert!(!Path::new("/sys/class/net/kh0").exists());
    let check = keelhaul(dir.path(), "check runs/latest/history.jsonl");
    assert!([0, 3].contains(&check.code), "{check:?}");
    assert!(check.stdout.contains("unsealed"), "{check:?}");
}

#[test]
fn a_full_disk_ends_the_run_in_words_and_loses_nothing_written() {
    let dir = tempfile::tempdir().unwrap();
    let Some(_leave) = cluster_allowed(dir.path()) else { return };
    // A file system of 300 kB for the run directory, in a mount namespace of its own.
    std::fs::create_dir(dir.path().join("small")).unwrap();
    let script = format!(
        "mount -t tmpfs -o size=700k none small && \
         {KEELHAUL} run --runs small --time-limit 60 --rate 2000 --nemesis none --seed 6; code=$?; \
         {KEELHAUL} check small/latest/history.jsonl; echo check=$?; exit $code"
    );
    let output = Command::new("unshare")
        .args(["-Urm", "sh", "-c", &script])
        .current_dir(dir.path())
        .output();
    let run = ended(&output.unwrap());
    assert_code(&run, 10);
    assert!(run.stderr.contains("history") && run.stderr.contains("No space left"), "{run:?}");
    assert!(run.stdout.contains("unsealed"), "{run:?}");
}
