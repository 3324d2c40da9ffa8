//! Brings the nodes and the store up.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use anyhow::Context;
use keelhaul_cluster::local::Local;
use keelhaul_cluster::ssh::Ssh;
use keelhaul_cluster::vm::{Fleet, Image, MEMORY_MIB_DEFAULT, Vm};
use keelhaul_cluster::{Cluster, DiskEffect, DiskFault, DiskOp, Naming, Node, NodeError, what};
use keelhaul_engine::together;
use keelhaul_nemesis::{needs_clocks, shapes_links};
use keelhaul_protocol::coordinator::Isolation;
use keelhaul_server::{self as node, ProtocolKind};
use keelhaul_stores::etcd::{self, Etcd, Reads};
use keelhaul_stores::raft::Own;
use keelhaul_stores::raft::lock::{Fencing, LEASE, Locking};
use keelhaul_stores::zookeeper::{self, ZooKeeper};
use keelhaul_stores::{Releases, Store, StoreError};
use tokio::time::Instant;

use crate::exit::{Exit, Failure};
use crate::pace::Pace;
use crate::plan::Plan;
use crate::run::capture;
use crate::{registry, vm};

/// How long a fresh cluster may take to serve requests on every node.
const START_LIMIT: Duration = Duration::from_secs(60);
/// Pause between two looks at it.
const START_POLL: Duration = Duration::from_millis(100);

/// Small enough that nodes which were down are brought up to date by a snapshot now and then. Where there are no faults none is down, and a store takes
/// snapshots as often as it likes.
const SNAPSHOT_ENTRIES: u64 = 500;

/// A cluster with a store that serves.
pub struct Deployed {
    /// The nodes.
    pub cluster: Rc<Cluster>,
    /// The store on them.
    pub store: Rc<dyn Store>,
    /// The version that was found installed.
    pub version: String,
}

/// The machines that a plan asks for.
pub fn machines(plan: &Plan) -> Result<Vm, Failure> {
    let image = Image::having(&vm::packages(&plan.store)).map_err(vm::image_failure)?;
    let machines = Vm { image, count: plan.nodes, memory_mib: MEMORY_MIB_DEFAULT };
    machines.check().map_err(|error| Failure::new(Exit::Infrastructure, error))?;
    Ok(machines)
}

/// Brings the nodes up. `say` is told what takes its time.
pub async fn nodes(
    plan: &Plan,
    fleet: Option<&Fleet>,
    run_dir: &Path,
    say: &mut dyn FnMut(&str),
) -> Result<Cluster, Failure> {
    let cluster = match (plan.env.as_str(), fleet) {
        ("ssh", _) => {
            let started = Ssh::start(&plan.hosts, plan.transport, run_dir).await;
            started.map_err(anyhow::Error::new)
        }
        ("vm", Some(fleet)) => {
            say("the machines that are up already are used");
            Vm::join(fleet, plan.nodes, run_dir).await.map_err(anyhow::Error::new)
        }
        ("vm", None) => machines(plan)?.start(run_dir, say).await.map_err(anyhow::Error::new),
        _ => Local::start(plan.nodes, run_dir).await.map_err(anyhow::Error::new),
    };
    cluster
        .context("failed to start the nodes")
        .map_err(|error| Failure::new(Exit::Infrastructure, error))
}

/// How slow the nodes are, where they may be slow by what they are.
pub async fn pace(plan: &Plan, cluster: &Cluster) -> Result<Option<Pace>, Failure> {
    if plan.env != "vm" {
        return Ok(None);
    }
    let measured = Pace::measure(cluster.nodes()).await;
    measured
        .map(Some)
        .context("failed to measure how fast the nodes are")
        .map_err(|error| Failure::new(Exit::Infrastructure, error))
}

fn store(plan: &Plan) -> Result<Rc<dyn Store>, Failure> {
    if let Some(protocol) = ProtocolKind::from_name(&plan.store) {
        return own(plan, protocol);
    }
    match plan.store.as_str() {
        "etcd" => {
            let reads = match plan.read.as_deref() {
                Some("serializable") => Reads::Serializable,
                _ => Reads::Linearizable,
            };
            let unsafe_no_fsync = plan.mutant.as_deref() == Some(etcd::UNSAFE_NO_FSYNC);
            let etcd = Etcd::new(reads).with_timeout_factor(plan.timeout_factor);
            let etcd = etcd.with_revisions(plan.workload == "rw-register");
            let often = !plan.schedule.faults.is_empty();
            let etcd = etcd.without_fsync(unsafe_no_fsync).with_frequent_snapshots(often);
            Ok(Rc::new(etcd.with_releases(Releases::new(plan.upgrade_to.clone()))))
        }
        "zookeeper" => {
            let reads = match plan.read.as_deref() {
                Some("local") => zookeeper::Reads::Local,
                _ => zookeeper::Reads::Synced,
            };
            let zookeeper = ZooKeeper::new(reads, plan.timeout_factor);
            Ok(Rc::new(zookeeper.with_releases(Releases::new(plan.upgrade_to.clone()))))
        }
        other => Err(Failure::usage(format!("no store is called {other:?}"))),
    }
}

/// What a plan needs of its nodes: what it is called there, and what needs it.
fn needs(plan: &Plan) -> BTreeMap<&'static str, String> {
    let kinds: BTreeSet<&str> = plan.schedule.faults.iter().map(|f| f.spec.kind()).collect();
    let own_clocks = registry::is_own(&plan.store);
    let of_kind = |kind: &&str| {
        let need = match *kind {
            "partition" | "flap" => what::CUTS,
            "reject" => what::REFUSALS,
            kind if shapes_links(kind) => what::QUEUES,
            // Machines' clocks are set where they are ours; where not, this must do.
            kind if needs_clocks(kind) && !own_clocks => what::PROGRAM_CLOCK,
            _ => return None,
        };
        Some((need, format!("the fault {kind}")))
    };
    let mut needs: BTreeMap<_, _> = kinds.iter().filter_map(of_kind).collect();
    if plan.disk != "plain" {
        needs.insert(what::FUSE, format!("a {} disk", plan.disk));
    }
    needs.insert(what::PORTS, plan.store.clone());
    // The data of local nodes is in the run directory, and a run tells by itself when that is full.
    if plan.env != "local" {
        needs.insert(what::SPACE, plan.store.clone());
    }
    needs
}

/// Refuses what the nodes do not have, before anything is started on them, in the words of `keelhaul doctor`.
async fn refuse(plan: &Plan, cluster: &Cluster) -> Result<(), Failure> {
    let needs = needs(plan);
    let ports = registry::ports(&plan.store, plan.groups + plan.spare_groups());
    let looks = together(cluster.nodes().iter().map(|node| node.examine(&ports))).await;
    for (node, found) in cluster.nodes().iter().zip(looks) {
        let found = found.context("failed to look at the nodes");
        let found = found.map_err(|error| Failure::new(Exit::Infrastructure, error))?;
        for lack in found.iter().filter(|finding| !finding.ok) {
            if let Some(who) = needs.get(&*lack.what) {
                let sentence =
                    format!("failed to prepare {who}: on {}: {}", node.id(), lack.sentence());
                return Err(Failure::new(Exit::Infrastructure, anyhow::anyhow!(sentence)));
            }
        }
    }
    Ok(())
}

/// A node on a machine that has no room left, in the words of `keelhaul doctor`.
pub async fn without_room(plan: &Plan, cluster: &Cluster) -> Option<String> {
    if !needs(plan).contains_key(what::SPACE) {
        return None;
    }
    let looks = together(cluster.nodes().iter().map(|node| node.examine(&[]))).await;
    cluster.nodes().iter().zip(looks).find_map(|(node, found)| {
        let found = found.ok()?;
        let lack = found.iter().find(|finding| finding.what == what::SPACE && !finding.ok)?;
        Some(format!("on {}: {}", node.id(), lack.sentence()))
    })
}

/// What transactions promise, if the plan has any on our own nodes.
fn isolation(plan: &Plan) -> Option<Isolation> {
    Some(match plan.isolation.as_deref()? {
        "snapshot" => Isolation::Snapshot,
        "read-committed" => Isolation::ReadCommitted,
        _ => Isolation::Serializable,
    })
}

/// What clients do with locks, if the plan is about them.
pub fn locking(plan: &Plan) -> Option<Locking> {
    let fencing = match plan.lock.as_deref()? {
        "unfenced" => Fencing::Unfenced,
        _ => Fencing::Fenced,
    };
    Some(Locking { fencing, lease: LEASE * plan.timeout_factor })
}

/// Our own nodes, with the mistake that the plan asks for.
fn own(plan: &Plan, protocol: ProtocolKind) -> Result<Rc<dyn Store>, Failure> {
    let mutant = match &plan.mutant {
        Some(name) => Some(
            name.parse().map_err(|_| Failure::usage(format!("no mutant is called {name:?}")))?,
        ),
        None => None,
    };
    let reads = match plan.read.as_deref() {
        Some("lease") => node::Reads::Lease,
        Some("local") => node::Reads::Local,
        _ => node::Reads::Quorum,
    };
    let own = Own::new(protocol, plan.seed, mutant)
        .with_locking(locking(plan))
        .with_transactions(plan.groups, isolation(plan))
        .with_spare_groups(plan.spare_groups())
        .with_reads(reads)
        .with_releases(Releases::new(plan.upgrade_to.clone()))
        .with_timeout_factor(plan.timeout_factor);
    let often = !plan.schedule.faults.is_empty();
    Ok(Rc::new(own.with_snapshot_entries(often.then_some(SNAPSHOT_ENTRIES))))
}

/// Starts the store, and waits until every node serves requests.
pub async fn deploy(plan: &Plan, cluster: Cluster) -> Result<Deployed, Failure> {
    refuse(plan, &cluster).await?;
    let store = store(plan)?;
    let nodes = cluster.nodes();
    let version = store.setup(nodes).await.map_err(|error| failure(error, &plan.store))?;
    mount_disks(plan, &*store, nodes).await?;
    capture::start(&cluster, &plan.capture).await?;
    for node in nodes {
        store.start(node, nodes).await.map_err(|error| failure(error, &plan.store))?;
    }
    await_ready(plan, &*store, &cluster).await.map_err(|error| failure(error, &plan.store))?;
    Ok(Deployed { cluster: Rc::new(cluster), store, version })
}

/// Puts the store's data on disks that can lose and fail, if the plan says so. What is there already is durable.
async fn mount_disks(plan: &Plan, store: &dyn Store, nodes: &[Node]) -> Result<(), Failure> {
    let naming = match plan.disk.as_str() {
        "journaled" => Naming::Journaled,
        "strict" | "volatile" => Naming::Strict,
        _ => return Ok(()),
    };
    for node in nodes {
        let mounted = async {
            node.mount_disk(store.data_dir(), naming).await?;
            if plan.disk == "volatile" {
                let fault = DiskFault::always(DiskOp::Sync, DiskEffect::IgnoreSync);
                node.disk_faults(store.data_dir(), vec![fault], plan.seed).await?;
            }
            Ok::<_, NodeError>(())
        };
        mounted
            .await
            .context("failed to mount a disk")
            .map_err(|error| Failure::new(Exit::Infrastructure, error))?;
    }
    Ok(())
}

async fn await_ready(plan: &Plan, store: &dyn Store, cluster: &Cluster) -> Result<(), StoreError> {
    let started = Instant::now();
    let limit = START_LIMIT * plan.timeout_factor;
    loop {
        match store.ready(cluster.nodes()).await {
            Err(StoreError::NotReady(_)) if started.elapsed() < limit => {
                tokio::time::sleep(START_POLL).await;
            }
            other => return other,
        }
    }
}

fn failure(error: StoreError, store: &str) -> Failure {
    let exit = match error {
        StoreError::NotInstalled { .. } | StoreError::Node { .. } => Exit::Infrastructure,
        StoreError::Unhealthy { .. } | StoreError::NotReady(_) => Exit::StoreUnhealthy,
    };
    Failure::new(exit, anyhow::Error::new(error).context(format!("failed to deploy {store}")))
}
