//! One plan on hosts that are reached by SSH and on this machine, as a user runs it.
//!
//! This program is several, as in the tests of `cluster`, whose hosts it uses: the runner, the control process (`inside`), and the
//! first process of each host (`node-init`).

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../../../cluster/tests/ssh/hosts.rs"]
mod hosts;

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, ExitCode, Output};
use std::time::{Duration, Instant};

use keelhaul_cluster::Daemon;
use keelhaul_cluster::local::{self, Entered};

use hosts::Hosts;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let code = match words.as_slice() {
        ["node-init", ..] => local::node_init(&args[1..]),
        ["inside", dir] => inside(dir.as_ref()),
        ["--list", ..] => 0,
        _ => runner(),
    };
    ExitCode::from(code)
}

fn runner() -> u8 {
    if let Some(reason) = hosts::lacking() {
        // Past the test runner, which keeps what a passing test prints to itself.
        let _ = writeln!(std::io::stderr(), "SKIPPED: runs on hosts: {reason}");
        return 0;
    }
    let dir = tempfile::tempdir().unwrap();
    let me = std::env::current_exe().unwrap();
    let status = Command::new(me).arg("inside").arg(dir.path()).status().unwrap();
    if status.success() {
        the_same_plan_here(dir.path());
        println!("test the_same_plan_here ... ok");
    }
    u8::from(!status.success())
}

fn inside(dir: &Path) -> u8 {
    if let Entered::Done(code) = local::enter().unwrap() {
        return code;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let hosts = Hosts::start(dir).await;
        fs::write(dir.join("hosts.toml"), hosts.inventory()).unwrap();
        what_stands_in_the_way_is_said(dir, &hosts).await;
        println!("test what_stands_in_the_way_is_said ... ok");
        a_run_on_hosts(dir);
        println!("test a_run_on_hosts ... ok");
        hosts.machines.close().await.unwrap();
    });
    0
}

fn keelhaul(dir: &Path, words: &str) -> (String, Output) {
    let mut program = Command::new(env!("CARGO_BIN_EXE_keelhaul"));
    let output = program.args(words.split(' ')).current_dir(dir).output().unwrap();
    let said = format!(
        "{words}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    (said, output)
}

/// By `doctor` and by a run, in the same words.
async fn what_stands_in_the_way_is_said(dir: &Path, hosts: &Hosts) {
    let (said, output) = keelhaul(dir, "doctor --nodes-file hosts.toml");
    assert_eq!(output.status.code(), Some(0), "{said}");
    for line in
        ["access", "nf_tables reject", "packet queues", "FUSE", "disk space", "clock offset"]
    {
        assert_eq!(said.matches(&format!("ok       {line} ")).count(), 3, "{line}: {said}");
    }
    let argv = ["/usr/sbin/sshd", "-D", "-f", "/etc/ssh/keelhaul_config", "-p", "7001"];
    let argv = argv.map(str::to_owned).to_vec();
    let second = &hosts.machines.nodes()[1];
    second.start(Daemon { name: "squatter".into(), argv, ..Daemon::default() }).await.unwrap();
    let words = "free ports: somebody listens on 7001; end what listens there";
    let deadline = Instant::now() + Duration::from_secs(20);
    let (said, output) = loop {
        let (said, output) = keelhaul(dir, "doctor --nodes-file hosts.toml");
        if output.status.code() != Some(0) || Instant::now() > deadline {
            break (said, output);
        }
    };
    assert_eq!(output.status.code(), Some(10), "{said}");
    assert!(said.contains("somebody listens on 7001"), "{said}");
    assert_eq!(said.matches("missing  free ports").count(), 1, "{said}");
    let (said, output) = keelhaul(dir, "run --nodes-file hosts.toml --time-limit 8 --runs refused");
    assert_eq!(output.status.code(), Some(10), "{said}");
    assert!(said.contains(&format!("on n2: {words}")), "{said}");
    second.kill("squatter").await.unwrap();
    let unknown = "doctor --nodes root@192.0.2.1:1";
    let (said, output) = keelhaul(dir, unknown);
    assert_eq!(output.status.code(), Some(10), "{said}");
    assert!(
        said.contains("missing  access") && said.contains("remedy: see that it is on"),
        "{said}"
    );
}

/// Each fault holds long enough that something succeeds meanwhile on a busy machine, too.
const SCHEDULE: &str = r#"
keelhaul_schedule = 1
steps = [
    { kind = "partition", shape = "one", direction = "both", hold_ms = 2500 },
    { kind = "kill", target = "one", hold_ms = 2500 },
    { kind = "pause", target = "one", hold_ms = 2500 },
    { kind = "power", target = "one", hold_ms = 2500 },
]
"#;

fn a_run_on_hosts(dir: &Path) {
    fs::write(dir.join("steps.toml"), SCHEDULE).unwrap();
    let (said, output) = keelhaul(
        dir,
        "run --nodes-file hosts.toml --time-limit 14 --schedule steps.toml --rate 100 --seed 7 --runs there",
    );
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("verdict=valid"), "{said}");
    let run = dir.join("there/latest");
    for file in ["nodes/n1/agent.log", "nodes/n3/raft.log", "history.jsonl", "report.html"] {
        assert!(run.join(file).exists(), "{file}");
    }
    let (said, output) = keelhaul(dir, "clean --nodes-file hosts.toml");
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert_eq!(said.matches("nothing was left behind").count(), 3, "{said}");
}

/// The very same plan, moved.
fn the_same_plan_here(dir: &Path) {
    let (said, output) =
        keelhaul(dir, "run --plan there/latest/plan.json --env local --nodes 3 --runs here");
    assert_eq!(output.status.code(), Some(0), "{said}");
    let plan = |runs: &str| -> serde_json::Value {
        let text = fs::read(dir.join(runs).join("latest/plan.json")).unwrap();
        serde_json::from_slice(&text).unwrap()
    };
    assert_eq!(plan("there")["schedule"], plan("here")["schedule"]);
    assert_eq!((&plan("there")["env"], &plan("here")["env"]), (&"ssh".into(), &"local".into()));
}
