//! Takes a member out of the cluster, and lets it in again as a new one: with an empty disk, as whoever replaces a broken machine does.
//!
//! What a member forgets it must not be asked for any more, so nothing of a node is wiped before the cluster says that it is none of its
//! members. One node is out at a time.

use std::collections::BTreeSet;
use std::time::Duration;

use keelhaul_cluster::{Command, DaemonState};
use keelhaul_history::NodeId;
use keelhaul_stores::{Membership, StoreError};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::env::{Env, FaultError, Injected, names};
use crate::kill;
use crate::named::named;
use crate::target::{Target, weighted};

/// How a member goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Member {
    /// While it works.
    MemberRemove,
    /// When it is dead, as a machine that will not come back.
    MemberReplace,
}

/// How, and which.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberSpec {
    /// How.
    #[serde(rename = "kind")]
    pub member: Member,
    /// Which: one node or the leader.
    pub target: Target,
}

/// How long a cluster may take to know its leader and its members, and to take a change: etcd takes none before its members have known each
/// other for five seconds.
const SETTLE: Duration = Duration::from_secs(12);
/// Pause between two tries.
const RETRY_PAUSE: Duration = Duration::from_millis(200);
const TARGETS: [(Target, u32); 2] = [(Target::One, 3), (Target::Leader, 2)];

impl Member {
    /// Its name.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::MemberRemove => "member-remove",
            Self::MemberReplace => "member-replace",
        }
    }
}

impl MemberSpec {
    /// The fault with this name.
    pub(crate) fn named(kind: &str, target: Target) -> Option<Self> {
        Some(Self { member: named(kind)?, target })
    }

    /// The fault with this name, on the leader or another.
    pub(crate) fn draw(kind: &str, rng: &mut ChaCha8Rng) -> Option<Self> {
        Self::named(kind, Target::One)?;
        Self::named(kind, weighted(&TARGETS, rng))
    }
}

fn membership(env: &Env) -> Result<&dyn Membership, FaultError> {
    let missing =
        || FaultError::NotInEffect(format!("{} has a fixed membership", env.store.name()));
    env.store.membership().ok_or_else(missing)
}

async fn voters(env: &Env) -> Result<BTreeSet<NodeId>, FaultError> {
    Ok(membership(env)?.voters(env.cluster.nodes()).await?)
}

/// The voters, once the cluster has a leader that knows them: right after a change it may have none for a moment.
async fn voters_soon(env: &Env) -> Result<BTreeSet<NodeId>, FaultError> {
    let deadline = Instant::now() + env.patience(SETTLE);
    loop {
        match voters(env).await {
            Err(FaultError::Store(StoreError::NotReady(_))) if Instant::now() < deadline => {
                tokio::time::sleep(RETRY_PAUSE).await;
            }
            other => return other,
        }
    }
}

/// Takes a node out. What may have been done is looked for before it is asked for again.
async fn remove(env: &Env, id: NodeId) -> Result<(), FaultError> {
    let deadline = Instant::now() + env.patience(SETTLE);
    loop {
        if !voters_soon(env).await?.contains(&id) {
            return Ok(());
        }
        match membership(env)?.remove(id, env.cluster.nodes()).await {
            Err(StoreError::NotReady(_)) if Instant::now() < deadline => {
                tokio::time::sleep(RETRY_PAUSE).await;
            }
            other => return Ok(other?),
        }
    }
}

/// Takes one node out.
pub(crate) async fn inject(
    env: &Env,
    fault: u64,
    spec: MemberSpec,
    order: &[NodeId],
) -> Result<Injected, FaultError> {
    let MemberSpec { member, target } = spec;
    membership(env)?;
    if voters(env).await.map_or(0, |voters| voters.len()) < order.len() {
        // Another is out or does not vote yet, or nobody can be asked.
        return Err(FaultError::NothingToStrike);
    }
    let nodes: Vec<NodeId> = env.strike(fault, target, order).await?;
    for &id in &nodes {
        if member == Member::MemberReplace {
            env.node(id)?.kill(env.store.daemon()).await?;
        }
        remove(env, id).await?;
    }
    Ok(Injected { label: format!("{}: {}", member.name(), names(&nodes)), nodes })
}

/// The cluster must say that it is no member.
pub(crate) async fn verify(env: &Env, fault: u64) -> Result<(), FaultError> {
    let voters = voters_soon(env).await?;
    match env.struck(fault).into_iter().find(|id| voters.contains(id)) {
        Some(id) => Err(FaultError::NotInEffect(format!("{id} is a member still"))),
        None => Ok(()),
    }
}

/// Lets it in again with an empty disk; one that is a member still keeps what it has.
pub(crate) async fn heal(env: &Env, fault: u64) -> Result<(), FaultError> {
    for id in env.struck(fault) {
        if voters_soon(env).await?.contains(&id) {
            if let DaemonState::Exited { .. } = env.node(id)?.status(env.store.daemon()).await? {
                env.start(id).await?;
            }
        } else {
            rejoin(env, id).await?;
        }
    }
    Ok(())
}

/// The cluster must say that it is a member, and it must run.
pub(crate) async fn verify_healed(env: &Env, fault: u64) -> Result<(), FaultError> {
    let voters = voters_soon(env).await?;
    if let Some(id) = env.struck(fault).into_iter().find(|id| !voters.contains(id)) {
        return Err(FaultError::NotHealed(format!("{id} is no member yet")));
    }
    kill::verify_healed(env, fault).await
}

/// Replaces a node that cannot start with what its disk holds, if the store lets us.
pub(crate) async fn replace(env: &Env, id: NodeId) -> Result<(), FaultError> {
    env.node(id)?.kill(env.store.daemon()).await?;
    remove(env, id).await?;
    rejoin(env, id).await
}

/// Of a node that is no member.
async fn rejoin(env: &Env, id: NodeId) -> Result<(), FaultError> {
    env.node(id)?.kill(env.store.daemon()).await?;
    wipe(env, id).await?;
    Ok(membership(env)?.join(id, env.cluster.nodes()).await?)
}

/// Removes everything that the store has on a node, but for the directory itself, which may be a disk's.
pub(crate) async fn wipe(env: &Env, id: NodeId) -> Result<(), FaultError> {
    let argv = ["find", env.store.data_dir(), "-mindepth", "1", "-delete"];
    let output = env.node(id)?.run(Command::new(argv)).await?;
    if output.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(FaultError::NotInEffect(format!("the disk of {id} cannot be wiped: {said}")))
}
