//! Nodes that are virtual machines, for real: they boot, lose what was not synced when their power is cut, and end with whoever started them.
//!
//! This program is several: without arguments the runner, which starts itself again as the control process (`inside`, `hold`) and for
//! what `doctor` tries (`node-init`); on the machines, which get it as the program, it is the agent (`agent`).
//!
//! It makes the image that machines boot, which takes a minute the first time, unless it is in the user's cache.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command as Process, ExitCode, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use keelhaul_cluster::local::{self, Entered};
use keelhaul_cluster::vm::{Image, ImageSpec, MEMORY_MIB_DEFAULT, Vm, findings};
use keelhaul_cluster::{
    ClockReading, ClockWish, Cluster, Command, Daemon, DaemonState, Node, NodeError,
};
use keelhaul_history::NodeId;

/// As for `keelhaul vm image build`, so that one image serves both.
const SUITE: &str = "bookworm";
/// Where each processor has so much to do, machines by translation do not boot in time.
const LOAD_MAX: f64 = 5.0;
/// How long something may take that takes a moment.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK_INTERVAL: Duration = Duration::from_millis(20);
const CONTENT: &[u8] = b"written";
const ENOENT: i32 = 2;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let code = match words.as_slice() {
        ["node-init", ..] => local::node_init(&args[1..]),
        ["agent", rest @ ..] => agent(rest),
        ["inside", dir, image] => inside(dir.as_ref(), image.as_ref()),
        ["hold", dir, image] => hold(dir.as_ref(), image.as_ref()),
        ["--list", ..] => 0,
        _ => runner(),
    };
    ExitCode::from(code)
}

fn agent(words: &[&str]) -> u8 {
    let words: Vec<String> = words.iter().map(ToString::to_string).collect();
    match keelhaul_agent::command(&words) {
        Ok(()) => 0,
        Err(error) => {
            let source = std::error::Error::source(&error).map(ToString::to_string);
            eprintln!("failed to {error}: {}", source.unwrap_or_default());
            1
        }
    }
}

/// Past the test runner, which keeps what a passing test prints to itself.
fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

fn runner() -> u8 {
    let image = match lacking().map_or_else(image, Err) {
        Ok(image) => image,
        Err(reason) => {
            say(&format!("SKIPPED: virtual machines: {reason}"));
            return 0;
        }
    };
    let dir = tempfile::tempdir().unwrap();
    let begun = Instant::now();
    let status = myself("inside", &dir.path().join("run"), &image).status().unwrap();
    assert!(status.success());
    assert_eq!(machines_in(dir.path()), 0, "no QEMU outlives a run");
    say(&format!(
        "two machines, booted twice and one three times: {} s",
        begun.elapsed().as_secs()
    ));
    a_killed_control_node_takes_its_machines_along(&dir.path().join("held"), &image);
    0
}

fn myself(word: &str, dir: &Path, image: &Image) -> Process {
    let mut me = Process::new(std::env::current_exe().unwrap());
    me.arg(word).arg(dir).arg(image.dir()).stdin(Stdio::null());
    me
}

/// Why there can be no machines here. An image that is not there yet and slow processors are no reasons.
fn lacking() -> Option<String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let found = runtime.block_on(findings());
    let needed = found.iter().filter(|finding| !["image", "KVM"].contains(&finding.what.as_str()));
    if let Some(missing) = needed.chain(&local_findings()).find(|finding| !finding.ok) {
        return Some(missing.sentence());
    }
    let by_translation = found.iter().any(|finding| finding.what == "KVM" && !finding.ok);
    by_translation.then(too_busy).flatten()
}

/// A guest's own timeouts run out while it boots, where it gets too little of a processor that is translated for it.
fn too_busy() -> Option<String> {
    let text = fs::read_to_string("/proc/loadavg").ok()?;
    let load: f64 = text.split(' ').next()?.parse().ok()?;
    let processors = std::thread::available_parallelism().ok()?.get();
    let busy = load > LOAD_MAX * processors as f64;
    busy.then(|| format!("by translation on {processors} processors at a load of {load}"))
}

fn local_findings() -> Vec<keelhaul_cluster::doctor::Finding> {
    let namespaces = ["user namespaces", "network namespaces", "pid namespaces", "bridge"];
    let mut found = keelhaul_cluster::doctor::probe();
    found.retain(|finding| namespaces.contains(&finding.what.as_str()));
    found
}

/// Without packages within reach there is none; where all is automatic, that must not go unnoticed.
fn image() -> Result<Image, String> {
    let spec = ImageSpec::new(SUITE, &[]).unwrap();
    let begun = Instant::now();
    let built = spec.find().map_or_else(|| spec.build(), Ok);
    say(&format!("an image after {} s", begun.elapsed().as_secs()));
    built.map_err(|error| {
        assert!(std::env::var_os("CI").is_none(), "{error}");
        error.to_string()
    })
}

fn machines(image: &Path, count: u16) -> Vm {
    Vm { image: Image::at(image.to_owned()), count, memory_mib: MEMORY_MIB_DEFAULT }
}

fn inside(dir: &Path, image: &Path) -> u8 {
    if let Entered::Done(code) = local::enter().unwrap() {
        return code;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let cluster = machines(image, 2).start(dir, &mut say).await.unwrap();
        clocks_differ_as_told(&cluster).await;
        a_machine_that_is_stopped_goes_on_where_it_was(&cluster).await;
        a_machine_that_is_reset_boots(&cluster).await;
        power_takes_what_was_not_synced(&cluster).await;
        a_machine_that_reboots_by_itself_is_lost(&cluster).await;
        cluster.close().await.unwrap_err();
    });
    assert!(!dir.join("nodes/n1/disk.qcow2").exists(), "disks do not stay");
    assert!(dir.join("nodes/n1/console.log").exists(), "consoles do");
    0
}

async fn write(node: &Node, path: &str) {
    node.write_file(path, CONTENT, 0o644).await.unwrap();
}

async fn sync(node: &Node, path: &str) {
    assert!(node.run(Command::new(["sync", path, "/root"])).await.unwrap().success());
}

/// By how much the second node's clocks are ahead of the first's, in milliseconds: the wall clock, and the other one.
async fn ahead(cluster: &Cluster) -> (i64, i64) {
    let (first, second) = (cluster.node(NodeId(1)), cluster.node(NodeId(2)));
    let mut best: Option<(Duration, ClockReading, ClockReading)> = None;
    for _ in 0..9 {
        let begun = Instant::now();
        let (ours, theirs) = (first.clock().await.unwrap(), second.clock().await.unwrap());
        let took = begun.elapsed();
        if best.is_none_or(|(least, ..)| took < least) {
            best = Some((took, ours, theirs));
        }
    }
    let (_, ours, theirs) = best.unwrap();
    let millis = |a: u64, b: u64| (a.cast_signed() - b.cast_signed()) / 1_000_000;
    (millis(theirs.wall_ns, ours.wall_ns), millis(theirs.steady_ns, ours.steady_ns))
}

async fn clocks_differ_as_told(cluster: &Cluster) {
    cluster.try_clocks().await.unwrap();
    let node = cluster.node(NodeId(2));
    let near = |found: i64, wanted: i64, by: i64| (found - wanted).abs() <= by;
    let before = ahead(cluster).await;
    node.set_clock(ClockWish { ppm: 0, ahead_ms: 61_500 }).await.unwrap();
    let jumped = ahead(cluster).await;
    assert!(near(jumped.0 - before.0, 61_500, 50), "{before:?} {jumped:?}");
    assert!(near(jumped.1, before.1, 50), "the other clock never jumps: {before:?} {jumped:?}");
    // A pace is of both, and says nothing of the jump.
    let (begun, from) = (Instant::now(), ahead(cluster).await);
    node.set_clock(ClockWish { ppm: -90_000, ahead_ms: 61_500 }).await.unwrap();
    tokio::time::sleep(Duration::from_secs(3)).await;
    let to = ahead(cluster).await;
    let wanted = -(begun.elapsed().as_millis() as i64) * 9 / 100;
    assert!(near(to.0 - from.0, wanted, 50) && near(to.1 - from.1, wanted, 50), "{from:?} {to:?}");
    node.heal().await.unwrap();
    let (begun, from) = (Instant::now(), ahead(cluster).await);
    assert!(near(from.0 - before.0, from.1 - before.1, 50), "the jump is taken back: {from:?}");
    tokio::time::sleep(Duration::from_secs(1)).await;
    let to = ahead(cluster).await;
    assert!(near(to.1, from.1, 50) && begun.elapsed() < PATIENCE, "{from:?} {to:?}");
}

async fn a_machine_that_is_stopped_goes_on_where_it_was(cluster: &Cluster) {
    const STOPPED: Duration = Duration::from_secs(3);
    let node = cluster.node(NodeId(2));
    let argv = ["sleep", "1000"].map(str::to_owned).to_vec();
    node.start(Daemon { name: "stopped".into(), argv, ..Daemon::default() }).await.unwrap();
    let before = ahead(cluster).await;
    node.stop_machine().await.unwrap();
    let begun = Instant::now();
    assert!(node.is_stopped().await.unwrap() && !node.is_powered());
    assert!(!cluster.node(NodeId(1)).is_stopped().await.unwrap(), "the other one goes on");
    tokio::time::sleep(STOPPED).await;
    node.go_on().await.unwrap();
    let stopped_ms = begun.elapsed().as_millis() as i64;
    assert!(node.is_powered() && !node.is_stopped().await.unwrap());
    let after = ahead(cluster).await;
    assert!((before.0 - after.0 - stopped_ms).abs() < 300, "{before:?} {after:?} {stopped_ms}");
    let state = node.status("stopped").await.unwrap();
    assert!(matches!(state, DaemonState::Running { .. }), "{state:?}");
}

async fn a_machine_that_is_reset_boots(cluster: &Cluster) {
    const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";
    let node = cluster.node(NodeId(2));
    let before = node.read_file(BOOT_ID, 100).await.unwrap();
    write(node, "/root/unsynced").await;
    node.reset().await.unwrap();
    assert!(!node.is_powered());
    node.power_on().await.unwrap();
    assert_ne!(node.read_file(BOOT_ID, 100).await.unwrap(), before);
    assert_eq!(node.status("stopped").await.unwrap(), DaemonState::NotStarted);
    assert_ne!(node.read_file("/root/unsynced", 100).await.unwrap_or_default(), CONTENT);
}

async fn power_takes_what_was_not_synced(cluster: &Cluster) {
    let (first, second) = (cluster.node(NodeId(1)), cluster.node(NodeId(2)));
    assert!(first.has_power_switch() && first.is_powered() && !first.is_off().await.unwrap());
    let argv = ["sleep", "1000"].map(str::to_owned).to_vec();
    let daemon = Daemon { name: "sleeper".into(), argv, ..Daemon::default() };
    first.start(daemon.clone()).await.unwrap();
    assert!(cluster.reaches(first.id(), second.id()).await.unwrap());
    write(first, "/root/synced").await;
    sync(first, "/root/synced").await;
    write(first, "/root/unsynced").await;
    first.power_off().await.unwrap();
    assert!(first.is_off().await.unwrap() && !first.is_powered());
    let error = first.status("sleeper").await.unwrap_err();
    assert!(matches!(error, NodeError::Lost { .. }), "{error}");
    assert_eq!(cluster.reachability().await.unwrap().pairs, [], "there is nobody else to reach");
    assert!(!second.is_off().await.unwrap(), "the other one goes on");
    first.power_on().await.unwrap();
    assert!(first.is_powered() && !first.is_off().await.unwrap());
    assert_eq!(first.read_file("/root/synced", 100).await.unwrap(), CONTENT);
    match first.read_file("/root/unsynced", 100).await {
        Ok(content) => assert_ne!(content, CONTENT),
        Err(NodeError::Failed { errno: Some(ENOENT), .. }) => {}
        Err(error) => panic!("{error}"),
    }
    assert_eq!(first.status("sleeper").await.unwrap(), DaemonState::NotStarted);
    first.start(daemon).await.unwrap();
    assert!(cluster.reaches(first.id(), second.id()).await.unwrap());
    assert!(cluster.reaches(second.id(), first.id()).await.unwrap());
}

async fn a_machine_that_reboots_by_itself_is_lost(cluster: &Cluster) {
    let node = cluster.node(NodeId(2));
    let reboot = Command::new(["sh", "-c", "echo b > /proc/sysrq-trigger"]);
    let deadline = Instant::now() + PATIENCE;
    let error = match node.run(reboot).await {
        Err(error) => error,
        Ok(_) => loop {
            assert!(Instant::now() < deadline, "nobody notices");
            if let Err(error) = node.status("sleeper").await {
                break error;
            }
            tokio::time::sleep(LOOK_INTERVAL).await;
        },
    };
    assert!(matches!(error, NodeError::Lost { .. }), "{error}");
}

/// Starts machines, and waits to be killed.
fn hold(dir: &Path, image: &Path) -> u8 {
    if let Entered::Done(code) = local::enter().unwrap() {
        return code;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let _cluster = machines(image, 1).start(dir, &mut |_| {}).await.unwrap();
        tokio::time::sleep(10 * PATIENCE).await;
    });
    1
}

/// How many QEMU processes work in a directory.
fn machines_in(dir: &Path) -> usize {
    let dir = dir.canonicalize().unwrap();
    let processes = fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
    let works_there = |process: &PathBuf| {
        let program = fs::read_link(process.join("exe")).unwrap_or_default();
        program.to_string_lossy().contains("qemu-system")
            && fs::read_link(process.join("cwd")).is_ok_and(|cwd| cwd.starts_with(&dir))
    };
    processes.filter(works_there).count()
}

fn await_machines(dir: &Path, count: usize) {
    let deadline = Instant::now() + PATIENCE;
    while machines_in(dir) != count {
        assert!(Instant::now() < deadline, "{} machines rather than {count}", machines_in(dir));
        sleep(LOOK_INTERVAL);
    }
}

fn a_killed_control_node_takes_its_machines_along(dir: &Path, image: &Image) {
    fs::create_dir_all(dir).unwrap();
    let mut control = myself("hold", dir, image).spawn().unwrap();
    await_machines(dir, 1);
    control.kill().unwrap();
    control.wait().unwrap();
    await_machines(dir, 0);
}
