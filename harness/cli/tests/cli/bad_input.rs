//! Each bad input gets one sentence that names it, and the documented exit code.

use crate::common::{KEELHAUL, keelhaul};

fn check(words: &str, code: i32, sentence: &[&str]) {
    let dir = tempfile::tempdir().unwrap();
    let ended = keelhaul(dir.path(), words);
    assert_eq!(ended.code, code, "{words}: {ended:?}");
    for part in sentence {
        assert!(ended.stderr.contains(part), "{words}: {part:?} is not in {:?}", ended.stderr);
    }
    assert!(
        !dir.path().join("runs").exists(),
        "{words}: nothing is made before the command line is understood"
    );
}

#[test]
fn flags() {
    check("run --store mongo", 64, &["--store", "mongo", "raft, paxos, zab, etcd"]);
    check("run --workload chess", 64, &["--workload", "chess", "register"]);
    check("run --workload list-append --env sim", 64, &["list-append", "--env sim", "register"]);
    check("run --workload bank --groups 0", 64, &["--groups", "1 to 8"]);
    check("run --workload bank --groups many", 64, &["--groups", "many"]);
    check("run --workload bank --isolation none", 64, &["--isolation", "snapshot", "none"]);
    check("run --groups 2", 64, &["--groups", "transactions", "register"]);
    check("run --store etcd --workload bank --isolation snapshot", 64, &["--isolation", "etcd"]);
    check("run --nemesis partition,fire", 64, &["--nemesis", "fire", "partition, reject, flap"]);
    check("run --nodes 0", 64, &["--nodes", "1 to 9"]);
    check("run --nodes 10", 64, &["--nodes", "1 to 9"]);
    check("run --env local --nodes many", 64, &["--nodes", "1 to 9"]);
    check("run --env ssh", 64, &["--nodes-file"]);
    check("run --env vm --nodes a,b", 64, &["vm", "1 to 9"]);
    check("vm image build --with a;b", 64, &["a;b"]);
    check("vm up 0", 64, &["vm up"]);
    check("vm up many", 64, &["vm up", "many"]);
    check("run --nodes a,a", 64, &["named twice"]);
    check("run --plan none.json", 64, &["none.json"]);
    check("run --plan none.json --seed 1", 64, &["--plan", "--seed"]);
    check("run --nodes 1", 64, &["partition", "two nodes"]);
    check("run --nodes 2 --nemesis disk-flip", 64, &["disk-flip", "minority", "3 or more"]);
    check("run --env sim --nemesis stutter", 64, &["stutter", "virtual time"]);
    check("run --time-limit soon", 64, &["--time-limit", "soon"]);
    check("run --concurrency 0", 64, &["--concurrency"]);
    check("run --rate 0", 64, &["--rate"]);
    check("run --seed x", 64, &["--seed"]);
    check("run --mutant nobody", 64, &["--mutant", "nobody"]);
    check("run --nemesis upgrade", 64, &["--upgrade-to"]);
    check("run --upgrade-to /x", 64, &["upgrade", "--nemesis"]);
    check(
        "run --nemesis upgrade,rolling-upgrade --upgrade-to /x",
        64,
        &["no node goes back", "--nemesis"],
    );
    check("run --store etcd --mutant local-read", 64, &["--mutant", "unsafe-no-fsync"]);
    check("run --read serializable", 64, &["--read", "lease"]);
    check("run --workload lock --store etcd", 64, &["--workload lock", "raft", "not etcd"]);
    check("run --workload lock --lock padlock", 64, &["--lock", "fenced, unfenced", "padlock"]);
    check("run --workload lock --env sim", 64, &["--workload lock", "--env sim"]);
    check("run --lock fenced", 64, &["--lock", "--workload lock", "register"]);
    check("run --disk floppy", 64, &["--disk", "floppy", "journaled, strict"]);
    check("run --nemesis kill,power --disk plain", 64, &["power", "list disks"]);
    check("run --nemesis power,disk-full --disk volatile", 64, &["volatile", "disk-full"]);
    check("run --format xml", 64, &["--format", "xml"]);
    check("run --env cloud", 64, &["--env", "cloud", "local"]);
    check("run --no-such-flag", 64, &["--no-such-flag"]);
    check("frobnicate", 64, &["frobnicate"]);
    check("run --test-count 0", 4, &[]);
    check("check nowhere.jsonl", 64, &["nowhere.jsonl"]);
    check("run --env sim --store etcd", 64, &["etcd", "--env local"]);
    check("hunt --store etcd", 64, &["etcd", "simulated"]);
    check("hunt --seeds many", 64, &["--seeds", "many"]);
    check("hunt --seed x", 64, &["--seed", "x"]);
    check("hunt --jobs 0", 64, &["--jobs"]);
    check("hunt --guidance stars", 64, &["--guidance", "none, states"]);
    check("hunt --evidence hearsay", 64, &["--evidence", "any, clients"]);
    check("hunt --mutant nobody", 64, &["--mutant", "nobody"]);
    check("hunt --corpus /proc/none", 64, &["corpus folder", "/proc/none"]);
    check("shrink nowhere.json", 64, &["nowhere.json"]);
    check("replay nowhere", 64, &["nowhere"]);
}

/// Without a home there is neither an image nor a machine.
#[test]
fn no_machines() {
    let check = |words: &str, code: i32, sentence: &str| {
        let dir = tempfile::tempdir().unwrap();
        let mut program = std::process::Command::new(KEELHAUL);
        program.args(words.split(' ')).current_dir(dir.path());
        program.env("XDG_CACHE_HOME", dir.path()).env("XDG_STATE_HOME", dir.path());
        let output = program.output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        assert_eq!(output.status.code(), Some(code), "{words}: {said}");
        assert!(said.contains(sentence), "{words}: {sentence:?} is not in {said:?}");
    };
    check("run --env vm", 10, "keelhaul vm image build`");
    check("run --env vm --store etcd", 10, "keelhaul vm image build --with etcd-server`");
    check("vm up 2", 10, "keelhaul vm image build`");
    check("vm ssh n1", 10, "keelhaul vm up N`");
    check("vm list", 0, "no machines are up");
    check("vm down", 0, "no machines are up");
    check("clean", 0, "nothing was left behind");
}

const HISTORY: &str = r#"{"keelhaul":1,"store":"raft","workload":"register","model":"linearizable","nodes":["n1"],"faults":[],"seed":1}
{"index":0,"time":10,"type":"invoke","process":0,"f":"write","key":0,"value":1}
{"index":1,"time":20,"type":"ok","process":0,"f":"write","key":0,"value":1}
{"index":2,"time":30,"type":"invoke","process":1,"f":"read","key":0,"value":null}
{"index":3,"time":40,"type":"ok","process":1,"f":"read","key":0,"value":1}
"#;

fn judge(text: &str, code: i32, sentence: &[&str]) {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("h.jsonl"), text).unwrap();
    let ended = keelhaul(dir.path(), "check h.jsonl");
    assert_eq!(ended.code, code, "{text}: {ended:?}");
    let all = format!("{}{}", ended.stdout, ended.stderr);
    for part in sentence {
        assert!(all.contains(part), "{part:?} is not in {all:?}");
    }
}

#[test]
fn histories() {
    let lines: Vec<&str> = HISTORY.lines().collect();
    judge(HISTORY, 0, &["unsealed"]);
    judge(&HISTORY[..HISTORY.len() - 20], 3, &["unsealed"]);
    judge(&[lines[0], lines[2], lines[1]].join("\n"), 64, &["h.jsonl", "line 2"]);
    judge(&[lines[0], lines[1], lines[1], ""].join("\n"), 64, &["h.jsonl", "line 3"]);
    judge(
        &HISTORY.replace("\"read\",\"key\":0,\"value\":1", "\"read\",\"key\":0,\"value\":9"),
        1,
        &["9"],
    );
    judge("this is no JSON\n", 64, &["h.jsonl", "line 1"]);
    judge("", 64, &["h.jsonl"]);
    judge(&HISTORY.replace("\"keelhaul\":1", "\"keelhaul\":99"), 64, &["99"]);
    judge(&format!("{HISTORY}garbage\n"), 64, &["line 6"]);
    judge(
        &format!("{HISTORY}{{\"seal\":{{\"count\":3,\"crc32\":\"00000000\"}}}}\n"),
        64,
        &["line 6"],
    );
}

/// A plan moves only to where it can be run.
#[test]
fn moved_plans() {
    let check = |flags: &str, to: &str, sentence: &[&str]| {
        let dir = tempfile::tempdir().unwrap();
        let plan = keelhaul(dir.path(), &format!("run {flags} --seed 1 --dry-run")).stdout;
        std::fs::write(dir.path().join("p.json"), plan).unwrap();
        let moved = keelhaul(dir.path(), &format!("run --plan p.json --dry-run {to}"));
        assert_eq!(moved.code, 64, "{moved:?}");
        assert!(sentence.iter().all(|part| moved.stderr.contains(part)), "{moved:?}");
    };
    check("--workload bank", "--env sim", &["--workload bank", "--env sim"]);
    check("--nemesis disk-flip", "--env sim", &["disk-flip", "virtual time"]);
    check("--nodes 3", "--env sim --nodes 5", &["3 nodes", "5"]);
}

/// Plans in a corpus that are of no use are named.
#[test]
fn corpora() {
    let check = |change: fn(String) -> String, sentence: &str| {
        let dir = tempfile::tempdir().unwrap();
        let plan = keelhaul(dir.path(), "run --env sim --seed 1 --dry-run").stdout;
        std::fs::create_dir(dir.path().join("c")).unwrap();
        std::fs::write(dir.path().join("c/000007.json"), change(plan)).unwrap();
        let ended = keelhaul(dir.path(), "hunt --seeds 1 --corpus c");
        assert_eq!(ended.code, 64, "{ended:?}");
        assert!(
            ended.stderr.contains("000007.json") && ended.stderr.contains(sentence),
            "{ended:?}"
        );
    };
    check(|plan| plan[..plan.len() / 2].into(), "not a plan of this version");
    check(|plan| plan.replace("\"keelhaul_plan\": 1", "\"keelhaul_plan\": 9"), "version 9");
    check(|plan| plan.replace("\"store\": \"raft\"", "\"store\": \"etcd\""), "etcd");
}

/// A node whose disk is full may have no room for its last words either; it ends with the code of what failed all the same.
#[test]
fn a_node_that_cannot_complain_ends_with_the_right_code() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("file"), "in the way").unwrap();
    let flags = ["node", "raft", "--id", "1", "--peers", "1=127.0.0.1:0", "--peer-listen"];
    let rest = ["127.0.0.1:0", "--client-listen", "127.0.0.1:0", "--data", "file/data"];
    let ended = |stderr: std::process::Stdio| {
        let mut node = std::process::Command::new(KEELHAUL);
        node.args(flags).args(rest).current_dir(dir.path()).stderr(stderr).output().unwrap()
    };
    let told = ended(std::process::Stdio::piped());
    let said = String::from_utf8_lossy(&told.stderr);
    assert!(told.status.code() == Some(10) && said.starts_with("error: cannot"), "{told:?}");
    assert_eq!(said.trim_end().lines().count(), 1, "{said}");
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    assert_eq!(ended(full.into()).status.code(), Some(10));
}

#[test]
fn schedules() {
    let dir = tempfile::tempdir().unwrap();
    let check = |name: &str, text: &str, words: &str, sentence: &[&str]| {
        let file = dir.path().join(name);
        std::fs::write(&file, text).unwrap();
        check(&format!("run --schedule {} {words}", file.display()), 64, sentence);
    };
    let kill = r#""steps": [{"kind": "kill", "target": "one", "hold_ms": 500}]"#;
    let file = |header: &str| format!("{{{header}, {kill}}}");
    check("a.json", "{", "", &["failed to read the schedule", "a.json"]);
    check("a.toml", "steps = 3", "", &["failed to read the schedule", "a.toml"]);
    check("a.json", &file(r#""keelhaul_schedule": 7"#), "", &["version 7"]);
    let header = r#""keelhaul_schedule": 1"#;
    check("a.json", &file(&format!(r#"{header}, "store": "etcd""#)), "", &["store etcd", "raft"]);
    check("a.json", &file(&format!(r#"{header}, "nodes": 3"#)), "", &["3 nodes", "5"]);
    check("a.json", &file(header), "--time-limit 1", &["after 1.5 s", "--time-limit"]);
    check("a.json", &file(header), "--nemesis kill", &["--nemesis", "--schedule"]);
    let odd = r#"{"keelhaul_schedule": 1, "steps": [{"kind": "kill", "hold_ms": 500}]}"#;
    check("a.json", odd, "", &["step 1"]);
}
