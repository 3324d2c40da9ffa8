//! The etcd adapter against the real program, on loopback addresses of this test's own. Skipped, in so many words, where
//! the program is not installed.

#![expect(clippy::unwrap_used, reason = "helpers of tests are not seen as tests by the lint")]

use std::collections::BTreeMap;
use std::fs::File;
use std::future::Future;
use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use keelhaul_engine::{Client, Invocation, Outcome};
use keelhaul_history::{F, NodeId, Process, Value};
use keelhaul_stores::Leadership;
use keelhaul_stores::etcd::client::EtcdClient;
use keelhaul_stores::etcd::members::{self, Member};
use keelhaul_stores::etcd::{Reads, deploy};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

/// A bound for everything that is waited for. A cluster on an idle machine is ready within two seconds.
const PATIENCE: Duration = Duration::from_secs(30);

fn installed() -> bool {
    let installed =
        Command::new(deploy::PROGRAM).arg("--version").stdout(Stdio::null()).status().is_ok();
    if !installed {
        // Not by `eprintln!`: what it prints is kept from whoever runs the tests when a test passes.
        let line = format!(
            "skipped: {} is not installed (apt-get install etcd-server)\n",
            deploy::PROGRAM
        );
        std::io::stderr().write_all(line.as_bytes()).unwrap();
    }
    installed
}

/// A cluster whose members end with it.
struct Cluster {
    members: Vec<Member>,
    children: BTreeMap<NodeId, Child>,
    dir: TempDir,
}

impl Cluster {
    /// Starts `count` members. `net` tells the clusters of one test program apart.
    fn start(count: u16, net: u8) -> Self {
        // All of 127.0.0.0/8 is this machine's; the process id keeps two test programs apart.
        let [_, _, high, low] = std::process::id().to_be_bytes();
        let address = |n: u16| [127, high.max(1), low, net * 16 + n as u8].into();
        let members: Vec<_> =
            (1..=count).map(|n| Member { id: NodeId(n), address: address(n) }).collect();
        let mut cluster =
            Self { members, children: BTreeMap::new(), dir: tempfile::tempdir().unwrap() };
        for member in cluster.members.clone() {
            cluster.launch(member);
        }
        cluster
    }

    fn launch(&mut self, member: Member) {
        let log = File::options().create(true).append(true).open(self.log(member)).unwrap();
        let data = self.dir.path().join(member.id.to_string());
        let argv = deploy::argv(
            &member,
            &self.members,
            data.to_str().unwrap(),
            1,
            deploy::ClusterState::New,
        );
        let child = Command::new(&argv[0])
            .args(&argv[1..])
            .env_clear()
            .envs(deploy::env())
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        self.children.insert(member.id, child);
    }

    fn log(&self, member: Member) -> std::path::PathBuf {
        self.dir.path().join(format!("{}.log", member.id))
    }

    fn kill(&mut self, node: NodeId) {
        let mut child = self.children.remove(&node).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    fn signal(&self, node: NodeId, signal: Signal) {
        kill(Pid::from_raw(self.children[&node].id() as i32), signal).unwrap();
    }

    fn member(&self, node: NodeId) -> Member {
        *self.members.iter().find(|m| m.id == node).unwrap()
    }

    /// Waits until all members are ready; answers who leads.
    async fn ready(&self) -> Leadership {
        let began = Instant::now();
        loop {
            let answers = members::status(&self.members).await;
            let Some(reason) = members::unready(&self.members, &answers).await else {
                return self.leadership(&mut BTreeMap::new()).await;
            };
            if began.elapsed() > PATIENCE {
                let log = std::fs::read_to_string(self.log(self.members[0])).unwrap();
                panic!("{reason}; n1 said last: {:?}", deploy::last_words(&log));
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    async fn leadership(&self, ids: &mut BTreeMap<u64, NodeId>) -> Leadership {
        let answers = members::status(&self.members).await;
        members::remember(ids, &answers);
        members::leadership(ids, &answers)
    }

    async fn client(&self, node: NodeId, reads: Reads) -> EtcdClient {
        EtcdClient::open(self.member(node).client(), reads).await.unwrap()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for child in self.children.values_mut() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let bounded = async { tokio::time::timeout(4 * PATIENCE, test).await };
    runtime.block_on(bounded).expect("the test takes less than its bound");
}

/// One operation on key `x`.
async fn invoke(client: &mut EtcdClient, f: F, value: Value) -> Outcome {
    let op = Invocation { f, key: Some("x".into()), value };
    client.invoke(Process::Client(0), &op).await
}

fn ok(value: impl Into<Value>) -> Outcome {
    Outcome::Ok(value.into())
}

#[test]
fn a_register_of_a_single_member() {
    if !installed() {
        return;
    }
    run(async {
        let mut cluster = Cluster::start(1, 0);
        let n1 = NodeId(1);
        cluster.ready().await;
        for reads in [Reads::Linearizable, Reads::Serializable] {
            let client = &mut cluster.client(n1, reads).await;
            let mismatch =
                |found: &str| Outcome::Fail(format!("cas mismatch: found {found}").into());
            if reads == Reads::Linearizable {
                assert_eq!(invoke(client, F::Read, Value::Null).await, ok(Value::Null));
                assert_eq!(invoke(client, F::Cas, Value::pair(1, 2)).await, mismatch("null"));
                let create = Value::pair(Value::Null, 1);
                assert_eq!(invoke(client, F::Cas, create.clone()).await, ok(create.clone()));
                assert_eq!(invoke(client, F::Cas, create).await, mismatch("1"));
            }
            assert_eq!(invoke(client, F::Write, 1.into()).await, ok(1));
            assert_eq!(invoke(client, F::Cas, Value::pair(1, -2)).await, ok(Value::pair(1, -2)));
            assert_eq!(invoke(client, F::Cas, Value::pair(1, 3)).await, mismatch("-2"));
            assert_eq!(invoke(client, F::Read, Value::Null).await, ok(-2));
        }
        // A member that is gone refuses, and one that comes back still has its data.
        let client = &mut cluster.client(n1, Reads::Linearizable).await;
        cluster.kill(n1);
        let outcome = invoke(client, F::Write, 9.into()).await;
        assert!(
            matches!(&outcome, Outcome::Fail(why) if why.starts_with("failed to connect")),
            "{outcome:?}"
        );
        cluster.launch(cluster.member(n1));
        cluster.ready().await;
        assert_eq!(invoke(client, F::Read, Value::Null).await, ok(-2));
    });
}

#[test]
fn a_cluster_survives_the_loss_of_its_leader() {
    if !installed() {
        return;
    }
    run(async {
        let mut cluster = Cluster::start(3, 1);
        let before = cluster.ready().await;
        let leader = before.leader.unwrap();
        let mut ids = BTreeMap::new();
        assert_eq!(cluster.leadership(&mut ids).await, before);
        let follower = cluster.members.iter().map(|m| m.id).find(|id| *id != leader).unwrap();
        let client = &mut cluster.client(follower, Reads::Linearizable).await;
        assert_eq!(invoke(client, F::Write, 1.into()).await, ok(1));

        // Paused, it is still the leader of those that follow it, and asking does not wait for it.
        cluster.signal(leader, Signal::SIGSTOP);
        let asked = Instant::now();
        let paused = cluster.leadership(&mut ids).await;
        assert!(asked.elapsed() < Duration::from_secs(1), "{:?}", asked.elapsed());
        assert!(paused == before || paused.term > before.term, "{paused:?}");
        cluster.signal(leader, Signal::SIGCONT);
        cluster.kill(leader);

        let began = Instant::now();
        loop {
            let now = cluster.leadership(&mut ids).await;
            // The term follows the leader, once an entry of it is applied.
            if now.leader.is_some_and(|id| id != leader) && now.term > before.term {
                break;
            }
            assert!(began.elapsed() < PATIENCE, "no new leader: {now:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let client = &mut cluster.client(follower, Reads::Linearizable).await;
        assert_eq!(invoke(client, F::Read, Value::Null).await, ok(1));
        cluster.launch(cluster.member(leader));
        cluster.ready().await;
        let client = &mut cluster.client(leader, Reads::Linearizable).await;
        assert_eq!(invoke(client, F::Read, Value::Null).await, ok(1));

        // Alone, a member answers what it has when that is all it is asked for.
        for other in cluster.members.clone().into_iter().filter(|m| m.id != leader) {
            cluster.kill(other.id);
        }
        let stale = &mut cluster.client(leader, Reads::Serializable).await;
        assert_eq!(invoke(stale, F::Read, Value::Null).await, ok(1));
        // More is refused, or waits for a quorum.
        let limit = Duration::from_millis(500);
        if let Ok(outcome) = tokio::time::timeout(limit, invoke(client, F::Read, Value::Null)).await
        {
            assert!(matches!(outcome, Outcome::Fail(_)), "{outcome:?}");
        }
    });
}

#[test]
fn a_member_that_cannot_start_says_why() {
    if !installed() {
        return;
    }
    run(async {
        let mut cluster = Cluster::start(1, 2);
        cluster.ready().await;
        let member = cluster.members[0];
        let mut first = cluster.children.remove(&member.id).unwrap();
        std::fs::remove_file(cluster.log(member)).unwrap();
        cluster.launch(member);
        let second = cluster.children.get_mut(&member.id).unwrap();
        let began = Instant::now();
        while second.try_wait().unwrap().is_none() {
            assert!(began.elapsed() < PATIENCE, "a second member got the port of the first");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        first.kill().unwrap();
        first.wait().unwrap();
        let words = last_words(&cluster.log(member));
        assert!(words.contains("address already in use"), "{words}");
    });
}

fn last_words(log: &Path) -> String {
    deploy::last_words(&std::fs::read_to_string(log).unwrap()).unwrap()
}
