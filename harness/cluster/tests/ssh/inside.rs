//! What a control process meets when nodes are hosts.

use std::collections::BTreeMap;
use std::fs;
use std::future::Future;
use std::ops::Deref;
use std::path::Path;
use std::pin::Pin;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use keelhaul_cluster::local::{Entered, enter};
use keelhaul_cluster::ssh::{Host, Ssh, SshError, Transport};
use keelhaul_cluster::{Cluster, Command, Daemon, DaemonState, Naming, Node, SELF_EXE, Shaping};
use keelhaul_history::NodeId;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::hosts::{COUNT, Hosts};
use crate::owned;

const PATIENCE: Duration = Duration::from_secs(30);

type Test = for<'a> fn(&'a Owned, &'a Path) -> Pin<Box<dyn Future<Output = ()> + 'a>>;

const TESTS: [(&str, Test); 5] = [
    ("hosts_become_nodes_and_are_left_clean", |h, d| Box::pin(hosts_become_nodes(h, d))),
    ("what_is_wrong_is_said", |h, d| Box::pin(what_is_wrong_is_said(h, d))),
    ("a_host_serves_one_run", |h, d| Box::pin(a_host_serves_one_run(h, d))),
    ("a_killed_control_node_leaves_nothing", |h, d| Box::pin(a_killed_control_node(h, d))),
    ("a_killed_agent_leaves_nothing", |h, d| Box::pin(a_killed_agent(h, d))),
];

/// Hosts that are somebody's.
struct Owned {
    hosts: Hosts,
    /// What each was like before anything was done to it.
    before: Vec<String>,
}

impl Owned {
    async fn start(dir: &Path) -> Self {
        let hosts = Hosts::start(dir).await;
        let mut before = Vec::new();
        for machine in hosts.machines.nodes() {
            owned::become_owned(machine).await;
            before.push(owned::state_of(machine).await);
        }
        Self { hosts, before }
    }
}

impl Deref for Owned {
    type Target = Hosts;

    fn deref(&self) -> &Hosts {
        &self.hosts
    }
}

/// Enters, starts the hosts, runs the tests.
pub fn main(dir: &Path, filters: &[String]) -> u8 {
    if let Entered::Done(code) = enter().unwrap() {
        return code;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let hosts = Owned::start(dir).await;
        for (name, test) in TESTS {
            if filters.is_empty() || filters.iter().any(|filter| name.contains(filter.as_str())) {
                let begun = Instant::now();
                test(&hosts, &dir.join(name)).await;
                println!("test {name} ... ok ({} ms)", begun.elapsed().as_millis());
            }
        }
        hosts.hosts.machines.close().await.unwrap();
    });
    0
}

/// Which transport this process is to use.
fn transport() -> Transport {
    std::env::var(crate::TRANSPORT).unwrap().parse().unwrap()
}

fn sleeper() -> Daemon {
    let argv = ["sh", "-c", "sleep 1000 & sleep 1000"].map(str::to_owned).to_vec();
    Daemon { name: "sleeper".into(), argv, ..Daemon::default() }
}

/// What a host's owner sees of us: processes that carry our mark, and our table of the packet filter.
async fn traces(machine: &Node) -> (usize, usize) {
    let script = "grep -lsz ^KEELHAUL_AGENT= /proc/[0-9]*/environ | wc -l";
    let output = machine.run(Command::new(["sh", "-c", script])).await.unwrap();
    let count = String::from_utf8_lossy(&output.stdout).trim().parse().unwrap();
    (count, machine.cut_state().await.unwrap().len())
}

/// Nothing of us is there, and everything that was there before, as it was.
async fn all_clean(hosts: &Owned) -> bool {
    for (machine, before) in hosts.machines.nodes().iter().zip(&hosts.before) {
        if traces(machine).await != (0, 0) || owned::state_of(machine).await != *before {
            return false;
        }
    }
    true
}

/// Whether everything that is its owner's is still there, whatever else is.
async fn has_its_own(hosts: &Owned) -> bool {
    for (machine, before) in hosts.machines.nodes().iter().zip(&hosts.before) {
        let now = owned::state_of(machine).await;
        if !before.lines().all(|line| now.lines().any(|other| other == line)) {
            return false;
        }
    }
    true
}

async fn become_clean(hosts: &Owned) {
    let deadline = Instant::now() + PATIENCE;
    while !all_clean(hosts).await {
        assert!(Instant::now() < deadline, "something is left");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A daemon with children and a disk on every node, one paused, one link cut, and another slow.
async fn disturb(cluster: &Cluster) {
    for node in cluster.nodes() {
        node.mount_disk("/var/lib/keelhaul/disk", Naming::Journaled).await.unwrap();
        node.start(sleeper()).await.unwrap();
    }
    let late = Shaping { delay_us: 1_000, ..Shaping::default() };
    cluster.shape(&BTreeMap::from([((NodeId(3), NodeId(1)), late)])).await.unwrap();
    let [first, second, ..] = cluster.nodes() else { panic!("too few nodes") };
    first.pause("sleeper").await.unwrap();
    second.cut(&[first.address()]).await.unwrap();
    assert!(
        !connects(first, second).await,
        "the answers of the second are cut off, or the first's calls"
    );
    let third = cluster.node(NodeId(3));
    assert!(connects(first, third).await && connects(second, third).await);
}

/// Whether one host's connection to the SSH server of another comes about. (The port of probes belongs to the machine's own agent.)
async fn connects(from: &Node, to: &Node) -> bool {
    let script = format!("exec 3<>/dev/tcp/{}/22", to.address());
    let command = Command::new(["timeout", "1", "bash", "-c", &script]);
    from.run(command).await.unwrap().success()
}

async fn hosts_become_nodes(hosts: &Owned, dir: &Path) {
    let cluster = Ssh::start(&hosts.all(), transport(), dir).await.unwrap();
    assert_eq!(cluster.nodes().len(), usize::from(COUNT));
    for (node, machine) in cluster.nodes().iter().zip(hosts.machines.nodes()) {
        assert_eq!(node.address(), machine.address());
        let name = node.run(Command::new(["hostname"])).await.unwrap().stdout;
        assert_eq!(String::from_utf8_lossy(&name).trim(), machine.id().to_string());
    }
    let node = cluster.node(NodeId(1));
    // This very program runs there, whatever it is linked to.
    let argv = vec![SELF_EXE.to_owned(), "--list".to_owned()];
    node.start(Daemon { name: "own".into(), argv, ..Daemon::default() }).await.unwrap();
    let deadline = Instant::now() + PATIENCE;
    let ended = DaemonState::Exited { code: Some(0), signal: None };
    while node.status("own").await.unwrap() != ended {
        assert!(Instant::now() < deadline, "{:?}", node.status("own").await);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    disturb(&cluster).await;
    assert!(!all_clean(hosts).await, "what is to be undone is seen");
    assert!(has_its_own(hosts).await, "what is the host's own is there during a run");
    node.write_file("/var/log/keelhaul/said.log", b"so it was\n", 0o644).await.unwrap();
    cluster.close().await.unwrap();
    assert!(all_clean(hosts).await, "everything is undone when close returns");
    assert_eq!(fs::read(dir.join("nodes/n1/said.log")).unwrap(), b"so it was\n");
    // The second time nothing is copied, and logs of before are gone.
    let begun = Instant::now();
    let cluster = Ssh::start(&hosts.all(), transport(), dir).await.unwrap();
    println!("  {COUNT} hosts that have the program: up in {} ms", begun.elapsed().as_millis());
    assert!(cluster.node(NodeId(1)).read_file("/var/log/keelhaul/said.log", 1).await.is_err());
    cluster.close().await.unwrap();
}

async fn what_is_wrong_is_said(hosts: &Owned, dir: &Path) {
    let refused = async |change: &dyn Fn(&mut Host)| {
        let mut all = hosts.all();
        change(&mut all[1]);
        let error = Ssh::start(&all, transport(), dir).await.unwrap_err();
        assert!(all_clean(hosts).await, "a start that fails leaves nothing");
        error
    };
    let stranger = hosts.dir.join("stranger");
    let error = refused(&|host| host.key = Some(stranger.clone())).await;
    assert!(matches!(error, SshError::Denied { .. }), "{error}");
    let nobody = hosts.dir.join("nobody");
    let error = refused(&|host| host.known_hosts = Some(nobody.clone())).await;
    let SshError::UnknownKey { line, .. } = &error else { panic!("{error}") };
    let key = fs::read_to_string(hosts.dir.join("host-n2.pub")).unwrap();
    assert!(line.contains(key.trim()), "{error}");
    let changed = hosts.dir.join("changed");
    let other = fs::read_to_string(hosts.dir.join("host-n1.pub")).unwrap();
    fs::write(&changed, format!("{} {other}", hosts.machines.node(NodeId(2)).address())).unwrap();
    let error = refused(&|host| host.known_hosts = Some(changed.clone())).await;
    assert!(matches!(error, SshError::ChangedKey(_)), "{error}");
    let error = refused(&|host| host.port = Some(23)).await;
    assert!(matches!(error, SshError::Unreachable { .. }), "{error}");
    assert!(error.to_string().contains("refused"), "{error}");
}

async fn a_host_serves_one_run(hosts: &Owned, dir: &Path) {
    let cluster = Ssh::start(&hosts.all(), transport(), dir).await.unwrap();
    cluster.node(NodeId(1)).start(sleeper()).await.unwrap();
    let error = Ssh::start(&hosts.all()[..1], transport(), &dir.join("second")).await.unwrap_err();
    let SshError::Agent { said, .. } = &error else { panic!("{error}") };
    assert!(said.contains("another agent serves this host"), "{said}");
    let state = cluster.node(NodeId(1)).status("sleeper").await.unwrap();
    assert!(matches!(state, DaemonState::Running { .. }), "the first run is not disturbed");
    cluster.close().await.unwrap();
}

/// As a program of its own: makes nodes of the hosts whose inventory lies in `dir`, disturbs them, and waits to be killed.
pub fn hold(dir: &Path) -> u8 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let hosts = Host::parse_file(&fs::read_to_string(dir.join("hosts.toml")).unwrap()).unwrap();
        let cluster = Ssh::start(&hosts, transport(), dir).await.unwrap();
        disturb(&cluster).await;
        fs::write(dir.join("disturbed"), "").unwrap();
        tokio::time::sleep(10 * PATIENCE).await;
    });
    1
}

/// Starts [`hold`] and waits until it has done its worst.
async fn holder(hosts: &Owned, dir: &Path) -> Child {
    fs::create_dir_all(dir).unwrap();
    fs::write(dir.join("hosts.toml"), hosts.inventory()).unwrap();
    let mut program = std::process::Command::new("/proc/self/exe");
    let child = program.arg("hold").arg(dir).stdin(Stdio::null()).spawn().unwrap();
    let deadline = Instant::now() + PATIENCE;
    while !dir.join("disturbed").exists() {
        assert!(Instant::now() < deadline, "the control process does not come up");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(!all_clean(hosts).await);
    child
}

async fn a_killed_control_node(hosts: &Owned, dir: &Path) {
    let mut control = holder(hosts, dir).await;
    control.kill().unwrap();
    control.wait().unwrap();
    let begun = Instant::now();
    become_clean(hosts).await;
    println!("  clean {} ms after the control node was killed", begun.elapsed().as_millis());
}

async fn a_killed_agent(hosts: &Owned, dir: &Path) {
    let mut control = holder(hosts, &dir.join("agent")).await;
    // The agents alone: their guards undo.
    for machine in hosts.machines.nodes() {
        let killed = Command::new(["pkill", "-KILL", "-f", "agent guarded"]);
        assert!(machine.run(killed).await.unwrap().success());
    }
    become_clean(hosts).await;
    control.kill().unwrap();
    control.wait().unwrap();
    // The guards too: nothing is undone until somebody asks.
    let mut control = holder(hosts, &dir.join("both")).await;
    // A control node that hears of the first would end its agents elsewhere in good order.
    kill(Pid::from_raw(control.id().cast_signed()), Signal::SIGSTOP).unwrap();
    for machine in hosts.machines.nodes() {
        // One that sees the other killed begins to undo before its own turn comes: none of them may move by then.
        for signal in ["-STOP", "-KILL"] {
            let signalled = Command::new(["pkill", signal, "-f", "agent (host|guarded)"]);
            assert!(machine.run(signalled).await.unwrap().success());
        }
    }
    control.kill().unwrap();
    control.wait().unwrap();
    assert!(!all_clean(hosts).await, "nobody is left who could have undone it");
    let said = Ssh::clean(&hosts.all(), transport()).await.unwrap();
    assert!(all_clean(hosts).await, "{said:?}");
    // A stopped process that loses its parent is ended by the kernel: on the first node there may be nothing to kill.
    assert!(said[1..].iter().all(|line| line.contains(": 3 processes were killed")), "{said:?}");
    let said = Ssh::clean(&hosts.all(), transport()).await.unwrap();
    assert!(said.iter().all(|line| line.contains("nothing")), "{said:?}");
}
