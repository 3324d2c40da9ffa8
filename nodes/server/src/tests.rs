//! Real nodes on loopback: real sockets, real files, real time, in one process.
//!
//! Every wait is for a state and bounded by [`LIMIT`].

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::pin::Pin;
use std::thread::JoinHandle;
use std::time::Duration;

use keelhaul_protocol::api::NodeId;
use keelhaul_protocol::kv::{Command, Request, Response, SessionId};
use keelhaul_protocol::membership::{Change, Membership, Refusal};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout};

use crate::args::{ProtocolKind, Reads, ServerArgs, Timing};
use crate::error::ServerError;
use crate::run::{on_runtime, run_until};
use crate::wire::{
    CLIENT_FRAME_BYTES_MAX, ReplyFrame, RequestFrame, client_greeting, encode_frame, read_frame,
};

/// Far above what any step takes on a busy machine.
const LIMIT: Duration = Duration::from_secs(20);
/// Between two looks at a state.
const LOOK: Duration = Duration::from_millis(10);

/// A node's end switch, and its thread.
type Running = (oneshot::Sender<()>, JoinHandle<Result<(), ServerError>>);

/// Nodes, some of which run.
struct Cluster {
    protocol: ProtocolKind,
    directory: TempDir,
    peers: Vec<(NodeId, SocketAddr)>,
    clients: Vec<SocketAddr>,
    running: Vec<Option<Running>>,
    /// Those that it begins with, if not all.
    voters: Option<Vec<NodeId>>,
}

impl Cluster {
    fn new(size: u16) -> Self {
        Self::of(ProtocolKind::Raft, size)
    }

    fn of(protocol: ProtocolKind, size: u16) -> Self {
        // Held together until all are known, so that they differ.
        let reserve =
            |_| std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let listeners: Vec<_> = (0..2 * size).map(reserve).collect();
        let addresses: Vec<_> = listeners.iter().map(|l| l.local_addr().expect("bound")).collect();
        let (peers, clients) = addresses.split_at(size.into());
        Self {
            protocol,
            directory: TempDir::new().expect("a directory"),
            peers: (1..).map(NodeId).zip(peers.iter().copied()).collect(),
            clients: clients.to_vec(),
            running: (0..size).map(|_| None).collect(),
            voters: None,
        }
    }

    fn args(&self, node: usize) -> ServerArgs {
        ServerArgs {
            protocol: self.protocol,
            id: self.peers[node].0,
            peers: self.peers.clone(),
            listen_peer: self.peers[node].1,
            listen_client: self.clients[node],
            data_dir: self.data(node),
            cluster: 1,
            seed: 7,
            reads: Reads::Quorum,
            mutant: None,
            timing: Timing { election_ms: Some((150, 300)), heartbeat_ms: Some(30) },
            snapshot_entries: Some(20),
            voters: self.voters.clone(),
        }
    }

    fn data(&self, node: usize) -> PathBuf {
        self.directory.path().join(format!("n{}", node + 1))
    }

    fn start(&mut self, node: usize) {
        let args = self.args(node);
        let (stop, stopped) = oneshot::channel();
        let run = move || {
            run_until(args, async {
                let _ = stopped.await;
                Ok(())
            })
        };
        self.running[node] = Some((stop, std::thread::spawn(run)));
    }

    fn stop(&mut self, node: usize) {
        let (stop, thread) = self.running[node].take().expect("it runs");
        drop(stop);
        thread.join().expect("no panic").expect("a clean end");
    }

    fn stop_all(&mut self) {
        for node in 0..self.running.len() {
            if self.running[node].is_some() {
                self.stop(node);
            }
        }
    }

    /// The running node that leads, once all running nodes follow it.
    async fn leader(&self) -> usize {
        let end = Instant::now() + LIMIT;
        loop {
            let mut views = Vec::new();
            for (node, _) in
                self.running.iter().enumerate().filter(|(_, running)| running.is_some())
            {
                views.push(match ask(self.clients[node], Request::Status).await {
                    Ok(Response::Status { leader, term, .. }) => {
                        leader.map(|leader| (leader, term))
                    }
                    _ => None,
                });
            }
            if let Some((leader, _)) = views[0]
                && views.iter().all(|view| *view == views[0])
                && self.running[usize::from(leader.0) - 1].is_some()
            {
                return usize::from(leader.0) - 1;
            }
            assert!(Instant::now() < end, "no leader: {views:?}");
            sleep(LOOK).await;
        }
    }

    /// Asks one node after the other until one answers that it did it.
    async fn perform(&self, session: SessionId, sequence: u64, command: &Command) -> Response {
        let request = Request::Perform { session, sequence, command: command.clone() };
        self.insist(request).await
    }

    async fn insist(&self, request: Request) -> Response {
        let end = Instant::now() + LIMIT;
        let mut node = 0;
        while Instant::now() < end {
            match ask(self.clients[node], request.clone()).await {
                Ok(Response::NotLeader { leader: Some(leader) })
                    if usize::from(leader.0) - 1 != node
                        && self.running[usize::from(leader.0) - 1].is_some() =>
                {
                    node = usize::from(leader.0) - 1;
                }
                // A leader that was elected just now may not change members yet.
                Ok(
                    Response::NotLeader { .. }
                    | Response::Unknown
                    | Response::Refused(Refusal::TooEarly),
                )
                | Err(_) => {
                    node = (node + 1) % self.clients.len();
                    sleep(LOOK).await;
                }
                Ok(response) => return response,
            }
        }
        panic!("nobody answers {request:?}");
    }

    async fn change(&self, change: Change) -> Response {
        self.insist(Request::Change(change)).await
    }

    async fn register(&self) -> SessionId {
        match self.insist(Request::Register).await {
            Response::Registered(session) => session,
            other => panic!("a session was expected, not {other:?}"),
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // Nodes of a failed test must not outlive its directory.
        for (stop, thread) in self.running.drain(..).flatten() {
            drop(stop);
            let _ = thread.join();
        }
    }
}

/// One request on a connection of its own.
async fn ask(address: SocketAddr, request: Request) -> std::io::Result<Response> {
    let exchange = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(&client_greeting()).await?;
        let frame = RequestFrame { correlation: 5, request };
        stream.write_all(&encode_frame(&frame, CLIENT_FRAME_BYTES_MAX).expect("small")).await?;
        let reply =
            read_frame::<ReplyFrame>(&mut stream, &mut Vec::new(), CLIENT_FRAME_BYTES_MAX).await?;
        Ok(reply.ok_or(std::io::ErrorKind::UnexpectedEof)?.response)
    };
    timeout(Duration::from_secs(2), exchange).await?
}

async fn next_reply(stream: &mut TcpStream) -> std::io::Result<Option<ReplyFrame>> {
    let mut buffer = Vec::new();
    timeout(LIMIT, read_frame(stream, &mut buffer, CLIENT_FRAME_BYTES_MAX)).await.expect("in time")
}

fn write(value: u64) -> Command {
    Command::Write { key: b"x".to_vec(), value: value.to_string().into_bytes() }
}

fn read() -> Command {
    Command::Read { key: b"x".to_vec() }
}

fn value(value: u64) -> Response {
    Response::Value(Some(value.to_string().into_bytes()))
}

fn test(work: impl Future<Output = ()>) {
    on_runtime(async {
        work.await;
        Ok(())
    })
    .expect("a runtime");
}

/// As above, on a cluster of each protocol.
fn every_protocol(work: impl Fn(ProtocolKind) -> Pin<Box<dyn Future<Output = ()>>>) {
    for protocol in ProtocolKind::ALL {
        test(work(protocol));
    }
}

#[test]
fn three_nodes_elect_serve_and_survive_their_leader() {
    every_protocol(|protocol| Box::pin(failover(protocol)));
}

async fn failover(protocol: ProtocolKind) {
    let mut cluster = Cluster::of(protocol, 3);
    (0..3).for_each(|node| cluster.start(node));
    let leader = cluster.leader().await;
    let session = cluster.register().await;
    assert_eq!(cluster.perform(session, 1, &write(1)).await, Response::Written);
    assert_eq!(cluster.perform(session, 0, &read()).await, value(1));
    let follower = (leader + 1) % 3;
    let answer = ask(cluster.clients[follower], Request::Register).await.expect("it answers");
    if protocol == ProtocolKind::Zab {
        assert!(matches!(answer, Response::Registered(_)), "{answer:?}");
    } else {
        assert_eq!(answer, Response::NotLeader { leader: Some(cluster.peers[leader].0) });
    }

    cluster.stop(leader);
    assert_ne!(cluster.leader().await, leader);
    assert_eq!(cluster.perform(session, 1, &write(9)).await, Response::Written);
    assert_eq!(
        cluster.perform(session, 0, &read()).await,
        value(1),
        "a repeated command is not applied"
    );
    assert_eq!(cluster.perform(session, 2, &write(2)).await, Response::Written);

    cluster.start(leader);
    cluster.leader().await;
    assert_eq!(cluster.perform(session, 0, &read()).await, value(2));
    cluster.stop_all();
}

#[test]
fn what_was_acknowledged_survives_a_restart_of_all() {
    every_protocol(|protocol| Box::pin(restart_of_all(protocol)));
}

async fn restart_of_all(protocol: ProtocolKind) {
    let mut cluster = Cluster::of(protocol, 2);
    (0..2).for_each(|node| cluster.start(node));
    let session = cluster.register().await;
    // More than the entries after which a snapshot is taken.
    for number in 1..=45 {
        assert_eq!(cluster.perform(session, number, &write(number)).await, Response::Written);
    }
    cluster.stop_all();
    for node in 0..2 {
        let snapshots =
            std::fs::read_dir(cluster.data(node).join("snapshots")).expect("lists").count();
        assert_eq!(snapshots, 1, "of n{}", node + 1);
    }
    (0..2).for_each(|node| cluster.start(node));
    assert_eq!(cluster.perform(session, 0, &read()).await, value(45));
    assert_eq!(cluster.perform(session, 46, &write(46)).await, Response::Written);
    cluster.stop_all();
}

#[test]
fn a_node_that_lost_everything_is_brought_up_from_a_snapshot() {
    every_protocol(|protocol| Box::pin(bring_up_from_a_snapshot(protocol)));
}

async fn bring_up_from_a_snapshot(protocol: ProtocolKind) {
    let mut cluster = Cluster::of(protocol, 3);
    (0..3).for_each(|node| cluster.start(node));
    let leader = cluster.leader().await;
    let (late, session) = ((leader + 1) % 3, cluster.register().await);
    cluster.stop(late);
    for number in 1..=60 {
        assert_eq!(cluster.perform(session, number, &write(number)).await, Response::Written);
    }
    cluster.start(late);
    let end = Instant::now() + LIMIT;
    loop {
        let leading = ask(cluster.clients[leader], Request::Status).await;
        let following = ask(cluster.clients[late], Request::Status).await;
        if let (Ok(Response::Status { applied: a, .. }), Ok(Response::Status { applied: b, .. })) =
            (&leading, &following)
            && a == b
            && *a >= 60
        {
            break;
        }
        assert!(Instant::now() < end, "it lags behind: {leading:?}, {following:?}");
        sleep(LOOK).await;
    }
    cluster.stop_all();
}

#[test]
fn many_requests_share_a_connection() {
    test(async {
        let mut cluster = Cluster::new(1);
        cluster.start(0);
        let sessions = [cluster.register().await, cluster.register().await];
        let mut stream = TcpStream::connect(cluster.clients[0]).await.expect("connects");
        stream.write_all(&client_greeting()).await.expect("greets");
        let mut frames = Vec::new();
        for (correlation, session) in (10..).zip(sessions) {
            let request = Request::Perform { session, sequence: 1, command: write(correlation) };
            let frame = RequestFrame { correlation, request };
            frames.extend(encode_frame(&frame, CLIENT_FRAME_BYTES_MAX).expect("small"));
        }
        stream.write_all(&frames).await.expect("sends");
        let mut seen = Vec::new();
        while seen.len() < 2 {
            let reply = next_reply(&mut stream).await.expect("reads").expect("a reply");
            assert_eq!(reply.response, Response::Written);
            seen.push(reply.correlation);
        }
        seen.sort_unstable();
        assert_eq!(seen, [10, 11]);
        cluster.stop_all();
    });
}

#[test]
fn strangers_are_turned_away_and_do_no_harm() {
    test(async {
        let mut cluster = Cluster::new(1);
        cluster.start(0);
        cluster.leader().await;
        let huge = [&client_greeting()[..], &u32::MAX.to_le_bytes()].concat();
        let rubbish = [&client_greeting()[..], &[3, 0, 0, 0, 0xff, 0xff, 0xff]].concat();
        for words in [b"GET / HTTP/1.1\r\n\r\n".to_vec(), huge, rubbish] {
            for address in [cluster.clients[0], cluster.peers[0].1] {
                let mut stream = TcpStream::connect(address).await.expect("connects");
                stream.write_all(&words).await.expect("sends");
                stream.shutdown().await.expect("ends");
                assert!(!matches!(next_reply(&mut stream).await, Ok(Some(_))));
            }
        }
        let session = cluster.register().await;
        assert_eq!(cluster.perform(session, 1, &write(1)).await, Response::Written);
        cluster.stop_all();
    });
}

#[test]
fn a_node_says_in_one_sentence_why_it_does_not_start() {
    let cluster = Cluster::new(1);
    let taken = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let address = taken.local_addr().expect("bound");
    let refusal =
        |args: ServerArgs| run_until(args, async { Ok(()) }).expect_err("refused").in_words();
    let args = ServerArgs { listen_client: address, ..cluster.args(0) };
    assert_eq!(refusal(args), format!("address in use: {address} (wanted for clients)"));
    let file = cluster.directory.path().join("file");
    std::fs::write(&file, "x").expect("writes");
    let args = ServerArgs { data_dir: file.join("data"), ..cluster.args(0) };
    let expected = format!(
        "cannot create directory {}: Not a directory (os error 20)",
        file.join("data").display()
    );
    assert_eq!(refusal(args), expected);
}

/// Three nodes become four, the leadership goes to the new one, and two of the old ones leave at once. What was written stays.
#[test]
fn members_come_and_go() {
    test(async {
        let mut cluster = Cluster::new(4);
        cluster.voters = Some([1, 2, 3].map(NodeId).to_vec());
        (0..3).for_each(|node| cluster.start(node));
        cluster.leader().await;
        let session = cluster.register().await;
        assert_eq!(cluster.perform(session, 1, &write(7)).await, Response::Written);

        cluster.start(3);
        let nobody = Change::AddLearner(NodeId(9));
        assert_eq!(cluster.change(nobody).await, Response::Refused(Refusal::UnknownNode));
        assert_eq!(cluster.change(Change::AddLearner(NodeId(4))).await, Response::Changed);
        let end = Instant::now() + LIMIT;
        while cluster.change(Change::Promote(NodeId(4))).await != Response::Changed {
            assert!(Instant::now() < end, "the learner does not catch up");
            sleep(LOOK).await;
        }
        assert_eq!(cluster.insist(Request::Transfer(NodeId(4))).await, Response::Changed);
        assert_eq!(cluster.leader().await, 3);

        let rest = [2, 4].map(NodeId);
        assert_eq!(cluster.change(Change::Voters(rest.into())).await, Response::Changed);
        let members = ask(cluster.clients[3], Request::Members).await.expect("it runs");
        assert_eq!(members, Response::Members { membership: Membership::of(rest), settled: true });
        cluster.stop(0);
        cluster.stop(2);
        assert_eq!(cluster.perform(session, 2, &write(8)).await, Response::Written);
        cluster.stop_all();
    });
}
