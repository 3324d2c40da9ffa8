//! A node from start to end.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::time::Duration;

use keelhaul_protocol::api::{NodeId, Stored, Vocabulary};
use keelhaul_protocol::{paxos, raft, zab};
use tokio::net::TcpListener;
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::{LocalSet, spawn_local};

use crate::args::{ProtocolKind, ServerArgs};
use crate::clients;
use crate::error::ServerError;
use crate::inbound::INBOUND_MAX;
use crate::log::Log;
use crate::node::{Node, Sources};
use crate::peers::{self, Membership, Outbox};
use crate::protocol::Hosted;
use crate::storage::{Identity, RealDisk, Recovery, Storage, Worker};
use crate::wire::PeerGreeting;

/// Size at which a segment of the log is full, in bytes: small enough to be replayed in a moment and deleted soon.
const SEGMENT_BYTES: u64 = 8 << 20;

/// Runs a node until it is told to stop by SIGTERM or SIGINT. Nothing depends on a tidy end: a node may be killed at any
/// moment.
///
/// # Errors
/// When the node cannot start, or its disk fails. The caller prints the error with its sources and ends with a
/// non-zero status.
pub fn run(args: ServerArgs) -> Result<(), ServerError> {
    run_until(args, async {
        let process = |source| ServerError::Process { action: "listen for signals", source };
        let mut terminate = signal(SignalKind::terminate()).map_err(process)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(process)?;
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        Ok(())
    })
}

/// Runs several nodes in one process, each of a cluster of its own and on a thread of its own, until they are told to stop or one of
/// them fails: what strikes the process strikes all of them.
///
/// # Errors
/// As [`run`], of the first that ends.
///
/// # Panics
/// If one of them does.
pub fn run_all(nodes: Vec<ServerArgs>) -> Result<(), ServerError> {
    let (ends, ended) = std::sync::mpsc::channel();
    for args in nodes {
        let ends = ends.clone();
        std::thread::Builder::new()
            .spawn(move || {
                let end = catch_unwind(AssertUnwindSafe(|| run(args)));
                // Nobody listens any more once one of the others has ended.
                let _ = ends.send(end);
            })
            .map_err(|source| ServerError::Process { action: "start a thread a group", source })?;
    }
    drop(ends);
    match ended.recv() {
        Ok(Ok(end)) => end,
        Ok(Err(panic)) => resume_unwind(panic),
        Err(_) => Ok(()),
    }
}

/// Runs a node on this thread until `shutdown` resolves. For processes that host a node among other things.
///
/// # Errors
/// As [`run`], and whatever `shutdown` resolves to.
pub fn run_until(
    args: ServerArgs,
    shutdown: impl Future<Output = Result<(), ServerError>>,
) -> Result<(), ServerError> {
    on_runtime(async {
        let sockets = Sockets::bind(&args).await?;
        serve(args, sockets, shutdown).await
    })
}

/// Runs a future that may spawn local tasks, all of which end with it.
pub(crate) fn on_runtime<T>(
    work: impl Future<Output = Result<T, ServerError>>,
) -> Result<T, ServerError> {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|source| ServerError::Process { action: "start its runtime", source })?;
    let result = LocalSet::new().block_on(&runtime, work);
    runtime.shutdown_timeout(Duration::from_secs(1));
    result
}

/// The two ports of a node.
#[derive(Debug)]
pub(crate) struct Sockets {
    pub(crate) peer: TcpListener,
    pub(crate) client: TcpListener,
}

impl Sockets {
    /// Opens both.
    pub(crate) async fn bind(args: &ServerArgs) -> Result<Self, ServerError> {
        let peer = listen(args.listen_peer, "peers").await?;
        let client = listen(args.listen_client, "clients").await?;
        Ok(Self { peer, client })
    }
}

async fn listen(address: SocketAddr, role: &'static str) -> Result<TcpListener, ServerError> {
    TcpListener::bind(address).await.map_err(|source| match source.kind() {
        io::ErrorKind::AddrInUse => ServerError::AddressInUse { address, role },
        _ => ServerError::Listen { address, role, source },
    })
}

/// Recovers what is stored and works until `shutdown` resolves.
pub(crate) async fn serve(
    args: ServerArgs,
    sockets: Sockets,
    shutdown: impl Future<Output = Result<(), ServerError>>,
) -> Result<(), ServerError> {
    match args.protocol {
        ProtocolKind::Raft => host::<raft::Replica>(args, sockets, shutdown).await,
        ProtocolKind::Paxos => host::<paxos::Replica>(args, sockets, shutdown).await,
        ProtocolKind::Zab => host::<zab::Replica>(args, sockets, shutdown).await,
    }
}

async fn host<P: Hosted>(
    args: ServerArgs,
    sockets: Sockets,
    shutdown: impl Future<Output = Result<(), ServerError>>,
) -> Result<(), ServerError> {
    let log = Log::new(args.id);
    let identity =
        Identity { protocol: args.protocol.as_str(), node: args.id.0, cluster: args.cluster };
    let (storage, stored, recovery) = Storage::<P::Message>::open(
        RealDisk,
        args.mutant,
        &args.data_dir,
        &identity,
        SEGMENT_BYTES,
    )?;
    announce(&log, &args, &stored, &recovery);
    let (reports, reports_queue) = mpsc::unbounded_channel();
    let worker = Worker::spawn(storage, reports)
        .map_err(|source| ServerError::Process { action: "start its storage thread", source })?;
    let mut effects = Vec::new();
    let protocol = P::start(&args, stored, log.now(), &mut effects);
    let (outboxes, sources) = connect(&args, sockets, reports_queue, log);
    let node = Node::new(protocol, effects, worker, outboxes, log);
    let mut reason = Ok(());
    let stop = async { reason = shutdown.await };
    node.run(sources, stop).await?;
    log.line("stopping");
    reason
}

fn announce<M: Vocabulary>(log: &Log, args: &ServerArgs, stored: &Stored<M>, recovery: &Recovery) {
    let Recovery { segments, entries, snapshot_index, torn_bytes } = recovery;
    let mutant = args.mutant.map_or(String::new(), |mutant| format!(", mutant {}", mutant.name()));
    log.line(format_args!(
        "started {} of {} nodes, seed {}{mutant}, peers on {}, clients on {}",
        args.protocol.as_str(),
        args.peers.len(),
        args.seed,
        args.listen_peer,
        args.listen_client,
    ));
    log.line(format_args!(
        "recovered {}, {entries} entries after snapshot {snapshot_index} from {segments} log segments, \
         {torn_bytes} torn bytes cut",
        stored.hard_state,
    ));
}

/// Starts the tasks that talk to peers and clients.
fn connect<M: serde::de::DeserializeOwned + 'static>(
    args: &ServerArgs,
    sockets: Sockets,
    reports: mpsc::UnboundedReceiver<crate::storage::Report>,
    log: Log,
) -> (BTreeMap<NodeId, Rc<Outbox>>, Sources<M>) {
    let (sender, inbound) = mpsc::channel(INBOUND_MAX);
    let others = || args.peers.iter().filter(|(id, _)| *id != args.id);
    let membership = Membership {
        cluster: args.cluster,
        own: args.id,
        peers: others().map(|(id, _)| *id).collect(),
    };
    spawn_local(peers::listen(sockets.peer, membership, sender.clone(), log));
    spawn_local(clients::listen(sockets.client, sender, log));
    let mut outboxes = BTreeMap::new();
    for (id, address) in others() {
        let outbox = Rc::new(Outbox::default());
        let greeting = PeerGreeting { cluster: args.cluster, from: args.id, to: *id };
        spawn_local(peers::dial(*address, greeting, Rc::clone(&outbox), log));
        outboxes.insert(*id, outbox);
    }
    (outboxes, Sources { inbound, reports })
}
