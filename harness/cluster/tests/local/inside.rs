//! What a control process sees and does: one cluster of five nodes, and every promise of a node's handle.

use std::collections::BTreeSet;
use std::fs;
use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::time::{Duration, Instant};

use keelhaul_cluster::local::{Entered, Local, StopSignals, enter};
use keelhaul_cluster::{Cluster, Command, Daemon, DaemonState, Exit, NodeError, Output, SELF_EXE};
use keelhaul_history::NodeId;

use crate::shaped;
use crate::traffic::PORT;

/// Longest wait for something that a test has set going.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a test works with.
pub struct World<'a> {
    pub cluster: &'a Cluster,
    run_dir: &'a Path,
}

type Test = for<'a> fn(&'a World<'a>) -> Pin<Box<dyn Future<Output = ()> + 'a>>;

/// The tests of one cluster, in this order; each leaves the nodes as it found them.
const TESTS: [(&str, Test); 20] = [
    ("names_and_addresses", |w| Box::pin(names_and_addresses(w))),
    ("software_is_the_hosts", |w| Box::pin(software_is_the_hosts(w))),
    ("files_stay_in_their_node", |w| Box::pin(files_stay_in_their_node(w))),
    ("the_host_is_out_of_reach", |w| Box::pin(the_host_is_out_of_reach(w))),
    ("commands_end", |w| Box::pin(commands_end(w))),
    ("slow_requests_block_nobody", |w| Box::pin(slow_requests_block_nobody(w))),
    ("large_files_travel", |w| Box::pin(large_files_travel(w))),
    ("a_paused_daemon_makes_no_progress", |w| Box::pin(a_paused_daemon_makes_no_progress(w))),
    ("a_kill_takes_the_whole_family", |w| Box::pin(a_kill_takes_the_whole_family(w))),
    ("a_stop_is_gentle_first", |w| Box::pin(a_stop_is_gentle_first(w))),
    ("cuts_are_one_way_and_heal", |w| Box::pin(cuts_are_one_way_and_heal(w))),
    ("a_cut_stops_tcp", |w| Box::pin(a_cut_stops_tcp(w))),
    ("a_refusal_is_an_answer", |w| Box::pin(shaped::refusals(w))),
    ("a_delay_is_as_long_as_asked", |w| Box::pin(shaped::delay(w))),
    ("packets_are_lost_and_doubled_as_asked", |w| Box::pin(shaped::loss_and_doubles(w))),
    ("packets_overtake_and_are_damaged", |w| Box::pin(shaped::order_and_damage(w))),
    ("bandwidth_is_as_asked", |w| Box::pin(shaped::bandwidth(w))),
    ("a_cut_goes_with_shaping", |w| Box::pin(shaped::with_a_cut(w))),
    ("shaping_ends_when_all_is_healed", |w| Box::pin(shaped::healed_by_heal(w))),
    ("what_cannot_be_done_is_said", |w| Box::pin(what_cannot_be_done_is_said(w))),
];

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// Enters, starts five nodes, runs the tests.
pub fn main(run_dir: &Path, filters: &[String]) -> u8 {
    if let Entered::Done(code) = enter().unwrap() {
        return code;
    }
    runtime().block_on(async {
        let open_files = || fs::read_dir("/proc/self/fd").unwrap().count();
        let open_before = open_files();
        let begun = Instant::now();
        let cluster = Local::start(5, run_dir).await.unwrap();
        println!("  five nodes up in {} ms", begun.elapsed().as_millis());
        let world = World { cluster: &cluster, run_dir };
        for (name, test) in TESTS {
            if filters.is_empty() || filters.iter().any(|filter| name.contains(filter.as_str())) {
                let begun = Instant::now();
                test(&world).await;
                println!("  test inside::{name} ... ok ({} ms)", begun.elapsed().as_millis());
            }
        }
        let begun = Instant::now();
        let held = cluster.node(NodeId(1)).clone();
        cluster.close().await.unwrap();
        assert!(matches!(held.cut_state().await, Err(NodeError::Lost { .. })));
        println!("  closed in {} ms", begun.elapsed().as_millis());
        drop(held);
        eventually("all streams are closed", || open_files() == open_before).await;
        nothing_is_left_after_close(run_dir).await;
        eventually("all streams are closed", || open_files() == open_before).await;
    });
    0
}

/// Three nodes with a daemon each and a cut, until somebody stops it: then ends with 130.
pub fn hold(run_dir: &Path) -> u8 {
    if let Entered::Done(code) = enter().unwrap() {
        return code;
    }
    runtime().block_on(async {
        let mut stop = StopSignals::listen().unwrap();
        let cluster = Local::start(3, run_dir).await.unwrap();
        for node in cluster.nodes() {
            let mark = run_dir.display();
            node.start(shell(
                "held",
                &format!(": {mark}; setsid sleep 1000 & while :; do sleep 1; done"),
            ))
            .await
            .unwrap();
        }
        let second = cluster.node(NodeId(2)).address();
        cluster.node(NodeId(1)).cut(&[second]).await.unwrap();
        println!("holding");
        stop.received().await;
        println!("stopping");
        if run_dir.join("stubborn").exists() {
            std::future::pending::<()>().await;
        }
        cluster.close().await.unwrap();
    });
    130
}

/// Enters and ends with this code.
pub fn end_with(code: &str) -> u8 {
    match enter().unwrap() {
        Entered::Done(code) => code,
        Entered::Inside => code.parse().unwrap(),
    }
}

pub fn shell(name: &str, script: &str) -> Daemon {
    Daemon {
        name: name.into(),
        argv: ["sh", "-c", script].map(Into::into).to_vec(),
        ..Daemon::default()
    }
}

pub async fn sh(world: &World<'_>, node: u16, script: &str) -> Output {
    world.cluster.node(NodeId(node)).run(Command::new(["sh", "-c", script])).await.unwrap()
}

pub async fn stdout(world: &World<'_>, node: u16, script: &str) -> String {
    let output = sh(world, node, script).await;
    assert!(
        output.success(),
        "{script}: {:?} {}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Waits until it holds.
async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The pids here, outside of the nodes but inside the run, of processes whose arguments hold this word.
fn processes_with(word: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let pid = entry.file_name().into_string().unwrap();
        let arguments = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        if pid.parse::<u32>().is_ok() && String::from_utf8_lossy(&arguments).contains(word) {
            found.insert(pid);
        }
    }
    found
}

async fn names_and_addresses(world: &World<'_>) {
    for node in world.cluster.nodes() {
        let NodeId(i) = node.id();
        assert_eq!(
            stdout(world, i, "cat /proc/sys/kernel/hostname /etc/hostname").await,
            format!("n{i}\nn{i}")
        );
        let hosts = stdout(world, i, "cat /etc/hosts").await;
        for other in world.cluster.nodes() {
            assert!(hosts.contains(&format!("{} {}", other.address(), other.id())), "{hosts}");
        }
    }
    let everybody = world.cluster.reachability().await.unwrap();
    assert_eq!(everybody.pairs.len(), 20);
    assert!(everybody.pairs.iter().all(|pair| pair.2), "{everybody:?}");
    // No way out: the nodes have no route but to each other.
    assert_eq!(stdout(world, 1, "wc -l < /proc/net/route").await, "2", "a heading and one route");
}

async fn software_is_the_hosts(world: &World<'_>) {
    assert_eq!(
        stdout(world, 1, "ls /usr/bin | wc -l").await,
        fs::read_dir("/usr/bin").unwrap().count().to_string()
    );
    // The first process is the agent; nobody else's processes are visible.
    let processes: u32 = stdout(world, 1, "echo /proc/[0-9]* | wc -w").await.parse().unwrap();
    assert!(processes < 6, "the agent, a shell, its pipe: not {processes}");
    assert_eq!(
        stdout(world, 1, "echo x > /dev/null; echo y > /dev/shm/z; head -c1 /dev/urandom | wc -c")
            .await,
        "1"
    );
    assert_eq!(stdout(world, 1, "echo $HOME $PATH | grep -c /root").await, "1");
}

async fn files_stay_in_their_node(world: &World<'_>) {
    stdout(world, 1, "echo one > /etc/kh-mine && echo two > /tmp/kh-mine && mkdir /etc/kh-dir")
        .await;
    stdout(world, 1, "test -e /etc/kh-mine -a -e /tmp/kh-mine -a -d /etc/kh-dir").await;
    for path in ["/etc/kh-mine", "/tmp/kh-mine", "/etc/kh-dir"] {
        assert!(!Path::new(path).exists(), "{path} is on the host");
        assert_eq!(
            sh(world, 2, &format!("test -e {path}")).await.status,
            Exit::Code(1),
            "{path} is on n2"
        );
    }
    stdout(world, 1, "echo kept > /var/lib/keelhaul/kept").await;
    assert_eq!(fs::read_to_string(world.run_dir.join("nodes/n1/data/kept")).unwrap(), "kept\n");
    assert_eq!(sh(world, 2, "test -e /var/lib/keelhaul/kept").await.status, Exit::Code(1));
    stdout(world, 1, "echo said > /var/log/keelhaul/said.log").await;
    assert_eq!(fs::read_to_string(world.run_dir.join("nodes/n1/said.log")).unwrap(), "said\n");
    // The way around through the run directory is closed too.
    let around = format!("test -e {}/nodes/n1/data/kept", world.run_dir.display());
    assert_eq!(sh(world, 2, &around).await.status, Exit::Code(1), "n2 sees the files of n1");
}

async fn the_host_is_out_of_reach(world: &World<'_>) {
    for path in [
        "/proc/sys/vm/swappiness",
        "/proc/sysrq-trigger",
        "/sys/kernel/mm/transparent_hugepage/enabled",
    ] {
        let output = sh(world, 1, &format!("test ! -e {path} || echo 1 > {path}")).await;
        assert!(!output.success() || !Path::new(path).exists(), "{path} could be written");
    }
    let disks = stdout(world, 1, "find /dev -type b | wc -l").await;
    assert_eq!(disks, "0", "block devices are visible");
    let writable = "for d in /*; do case $d in /proc|/sys|/dev|/tmp|/run) ;; *) touch $d/kh-probe 2>/dev/null;; esac; done; true";
    stdout(world, 3, writable).await;
    for entry in fs::read_dir("/").unwrap().flatten() {
        assert!(
            !entry.path().join("kh-probe").exists(),
            "{} was written through",
            entry.path().display()
        );
    }
}

async fn commands_end(world: &World<'_>) {
    let node = world.cluster.node(NodeId(1));
    let output = sh(world, 1, "echo out; echo err >&2; exit 3").await;
    let expected = Output {
        status: Exit::Code(3),
        stdout: b"out\n".to_vec(),
        stderr: b"err\n".to_vec(),
        stdout_cut: false,
        stderr_cut: false,
    };
    assert_eq!(output, expected);
    let command = Command {
        stdin: b"in".to_vec(),
        cwd: Some("/etc".into()),
        env: vec![("KH_WORD".into(), "word".into())],
        ..Command::new(["sh", "-c", "cat; pwd; echo $KH_WORD"])
    };
    assert_eq!(node.run(command).await.unwrap().stdout, b"in/etc\nword\n");
    let late = Command { timeout_ms: 100, ..Command::new(["sh", "-c", "echo begun; sleep 1000"]) };
    let output = node.run(late).await.unwrap();
    assert_eq!((output.status, &output.stdout[..]), (Exit::TimedOut, &b"begun\n"[..]));
    let long = sh(world, 1, "head -c 3000000 /dev/zero").await;
    assert_eq!(
        (long.status, long.stdout_cut, long.stdout.len()),
        (Exit::Code(0), true, 1024 * 1024)
    );
    assert_eq!(sh(world, 1, "kill -TERM $$").await.status, Exit::Signal(15));
}

async fn slow_requests_block_nobody(world: &World<'_>) {
    let node = world.cluster.node(NodeId(1));
    let waiting =
        node.run(Command::new(["sh", "-c", "until test -e /tmp/kh-go; do sleep 0.01; done"]));
    let letting = async {
        node.status("nobody").await.unwrap();
        node.write_file("/tmp/kh-go", b"", 0o644).await.unwrap();
    };
    let (output, ()) = tokio::join!(waiting, letting);
    assert!(output.unwrap().success());
}

async fn large_files_travel(world: &World<'_>) {
    let node = world.cluster.node(NodeId(1));
    let bytes: Vec<u8> = (0..3_000_001_u32).map(|i| (i % 251) as u8).collect();
    node.write_file("/var/lib/keelhaul/deep/down/large", &bytes, 0o750).await.unwrap();
    assert_eq!(
        stdout(world, 1, "stat -c '%a %s' /var/lib/keelhaul/deep/down/large").await,
        "750 3000001"
    );
    assert!(node.read_file("/var/lib/keelhaul/deep/down/large", u64::MAX).await.unwrap() == bytes);
    assert_eq!(
        node.read_file("/var/lib/keelhaul/deep/down/large", 5).await.unwrap(),
        [0, 1, 2, 3, 4]
    );
    node.write_file("/var/lib/keelhaul/deep/down/large", b"short", 0o640).await.unwrap();
    assert_eq!(node.read_file("/var/lib/keelhaul/deep/down/large", 100).await.unwrap(), b"short");
}

async fn a_paused_daemon_makes_no_progress(world: &World<'_>) {
    let node = world.cluster.node(NodeId(1));
    assert_eq!(node.status("ticker").await.unwrap(), DaemonState::NotStarted);
    // A child that left the group ticks as well.
    let tick =
        |file: &str| format!("while :; do echo x >> /var/lib/keelhaul/{file}; sleep 0.005; done");
    let script = format!("echo begun; setsid sh -c '{}' & {}", tick("child"), tick("parent"));
    let pid = node.start(shell("ticker", &script)).await.unwrap();
    let ticks = |file: &str| {
        fs::metadata(world.run_dir.join("nodes/n1/data").join(file)).map_or(0, |meta| meta.len())
    };
    let both = || (ticks("parent"), ticks("child"));
    let grows = |from: (u64, u64)| move |now: (u64, u64)| now.0 > from.0 + 2 && now.1 > from.1 + 2;
    eventually("both tick", || grows((0, 0))(both())).await;
    assert_eq!(node.status("ticker").await.unwrap(), DaemonState::Running { pid });
    assert_eq!(node.pause("ticker").await.unwrap(), DaemonState::Paused { pid });
    let frozen = both();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(both(), frozen, "a paused daemon went on");
    assert_eq!(node.status("ticker").await.unwrap(), DaemonState::Paused { pid });
    assert_eq!(node.resume("ticker").await.unwrap(), DaemonState::Running { pid });
    eventually("both tick again", || grows(frozen)(both())).await;
    node.pause("ticker").await.unwrap();
    node.heal().await.unwrap();
    assert_eq!(node.status("ticker").await.unwrap(), DaemonState::Running { pid });
    // A pause does not save it.
    node.pause("ticker").await.unwrap();
    assert_eq!(
        node.kill("ticker").await.unwrap(),
        DaemonState::Exited { code: None, signal: Some(9) }
    );
    assert_eq!(fs::read_to_string(world.run_dir.join("nodes/n1/ticker.log")).unwrap(), "begun\n");
}

async fn a_kill_takes_the_whole_family(world: &World<'_>) {
    let node = world.cluster.node(NodeId(2));
    let script = ": kh-family; (setsid sh -c ': kh-family; sleep 1000; :' &) ; sh -c ': kh-family; sleep 1000; :'";
    for _ in 0..2 {
        let pid = node.start(shell("family", script)).await.unwrap();
        eventually("all three live", || processes_with("kh-family").len() == 3).await;
        assert!(
            matches!(node.start(shell("family", script)).await, Err(NodeError::Failed { .. })),
            "started twice"
        );
        assert_eq!(node.status("family").await.unwrap(), DaemonState::Running { pid });
        assert_eq!(
            node.kill("family").await.unwrap(),
            DaemonState::Exited { code: None, signal: Some(9) }
        );
        assert_eq!(processes_with("kh-family"), BTreeSet::new());
    }
    // What a daemon leaves behind when it ends by itself goes when it is started again.
    node.start(shell("family", "(setsid sh -c ': kh-family; sleep 1000; :' &) ; exit 4"))
        .await
        .unwrap();
    eventually("the stray lives", || processes_with("kh-family").len() == 1).await;
    let ended = DaemonState::Exited { code: Some(4), signal: None };
    let deadline = Instant::now() + PATIENCE;
    while node.status("family").await.unwrap() != ended {
        assert!(Instant::now() < deadline, "its end is not seen");
    }
    node.start(shell("family", "sleep 1000")).await.unwrap();
    assert_eq!(processes_with("kh-family"), BTreeSet::new());
    node.kill("family").await.unwrap();
}

async fn a_stop_is_gentle_first(world: &World<'_>) {
    let node = world.cluster.node(NodeId(3));
    let gentle = "trap 'echo ending; exit 5' TERM; echo ready; while :; do sleep 0.01; done";
    let ready = |log: &str| {
        fs::read_to_string(world.run_dir.join("nodes/n3").join(log)).unwrap_or_default()
    };
    node.start(shell("gentle", gentle)).await.unwrap();
    eventually("it is ready", || ready("gentle.log").contains("ready")).await;
    // A paused one is let go so that it can.
    node.pause("gentle").await.unwrap();
    assert_eq!(
        node.stop("gentle", 5000).await.unwrap(),
        DaemonState::Exited { code: Some(5), signal: None }
    );
    assert!(ready("gentle.log").contains("ending"));
    node.start(shell("stubborn", "trap '' TERM; echo ready; while :; do sleep 0.01; done"))
        .await
        .unwrap();
    eventually("it is ready", || ready("stubborn.log").contains("ready")).await;
    assert_eq!(
        node.stop("stubborn", 50).await.unwrap(),
        DaemonState::Exited { code: None, signal: Some(9) }
    );
}

async fn cuts_are_one_way_and_heal(world: &World<'_>) {
    let cluster = world.cluster;
    let ids: Vec<NodeId> = cluster.nodes().iter().map(|node| node.id()).collect();
    let first = cluster.node(ids[0]);
    let sources = [cluster.node(ids[1]).address(), cluster.node(ids[2]).address()];
    let rules = first.cut(&sources).await.unwrap();
    assert_eq!(rules.iter().map(|rule| rule.from).collect::<Vec<_>>(), sources);
    let seen = cluster.reachability().await.unwrap();
    for &(from, to, reached) in &seen.pairs {
        let cut = to == ids[0] && (from == ids[1] || from == ids[2]);
        assert_eq!(reached, !cut, "{from} to {to}");
    }
    let counted = first.cut_state().await.unwrap();
    assert!(
        counted.iter().all(|rule| rule.packets > 0 && rule.bytes >= rule.packets),
        "{counted:?}"
    );
    // A new cut replaces the old one as a whole.
    first.cut(&[cluster.node(ids[3]).address()]).await.unwrap();
    assert!(cluster.reaches(ids[1], ids[0]).await.unwrap());
    assert!(!cluster.reaches(ids[3], ids[0]).await.unwrap());
    assert!(cluster.reaches(ids[0], ids[3]).await.unwrap());
    first.heal().await.unwrap();
    assert_eq!(first.cut_state().await.unwrap(), []);
    assert!(cluster.reachability().await.unwrap().pairs.iter().all(|pair| pair.2));
}

async fn a_cut_stops_tcp(world: &World<'_>) {
    let (server, client) = (world.cluster.node(NodeId(4)), world.cluster.node(NodeId(5)));
    let argv = vec![SELF_EXE.to_owned(), "tcp-serve".into()];
    server.start(Daemon { name: "server".into(), argv, ..Daemon::default() }).await.unwrap();
    let log = world.run_dir.join("nodes/n4/server.log");
    eventually("it listens", || fs::read_to_string(&log).unwrap_or_default().contains("listening"))
        .await;
    let asks = || async {
        let argv = [SELF_EXE.to_owned(), "tcp-ask".into(), server.address().to_string()];
        client.run(Command::new(argv)).await.unwrap().status == Exit::Code(0)
    };
    assert!(asks().await, "no answer before any cut");
    // The control process is on the same network as the nodes.
    tokio::net::TcpStream::connect((server.address(), PORT)).await.unwrap();
    for (cut, from) in [(server, client), (client, server)] {
        cut.cut(&[from.address()]).await.unwrap();
        assert!(!asks().await, "an answer through a cut");
        cut.cut(&[]).await.unwrap();
        assert!(asks().await, "no answer after the cut is gone");
    }
    server.kill("server").await.unwrap();
}

async fn what_cannot_be_done_is_said(world: &World<'_>) {
    let node = world.cluster.node(NodeId(1));
    let said = |error: NodeError| match error {
        NodeError::Failed { message, errno, .. } => (message, errno),
        lost => panic!("{lost}"),
    };
    let (message, errno) = said(node.run(Command::new(["kh-no-such-program"])).await.unwrap_err());
    assert!(
        message.contains("kh-no-such-program") && errno == Some(libc::ENOENT),
        "{message} {errno:?}"
    );
    let (message, errno) = said(node.read_file("/kh/none", 1).await.unwrap_err());
    assert!(message.contains("/kh/none") && errno == Some(libc::ENOENT), "{message} {errno:?}");
    let daemon = Daemon { name: "../up".into(), argv: vec!["true".into()], ..Daemon::default() };
    assert!(said(node.start(daemon).await.unwrap_err()).0.contains("not a plain name"));
    let daemon = Daemon { name: "none".into(), argv: vec!["/kh/none".into()], ..Daemon::default() };
    assert_eq!(said(node.start(daemon).await.unwrap_err()).1, Some(libc::ENOENT));
    assert!(Local::start(0, world.run_dir).await.is_err());
    assert!(Local::start(10, world.run_dir).await.is_err());
}

/// Whether a second cluster comes up where the first was, and a lost node is said to be lost.
async fn nothing_is_left_after_close(run_dir: &Path) {
    let interfaces = || fs::read_to_string("/proc/net/dev").unwrap();
    assert!(!interfaces().contains("kh"), "{}", interfaces());
    assert_eq!(processes_with("node-init"), BTreeSet::new());
    assert!(!run_dir.join("nodes/.root").exists());
    let cluster = Local::start(9, run_dir).await.unwrap();
    let agents = processes_with("node-init");
    assert_eq!(agents.len(), 9);
    let node = cluster.node(NodeId(1)).clone();
    let first = agents.iter().filter_map(|pid| pid.parse::<i32>().ok()).min().unwrap();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(first), nix::sys::signal::Signal::SIGKILL)
        .unwrap();
    assert!(matches!(node.run(Command::new(["sleep", "1000"])).await, Err(NodeError::Lost { .. })));
    drop(cluster);
    assert_eq!(processes_with("node-init"), BTreeSet::new());
    println!("  test inside::nothing_is_left_after_close ... ok");
}
