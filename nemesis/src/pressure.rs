//! Takes processor time, memory, or a part of every tenth of a second from the nodes.
//!
//! A process beside the store does it, so it can be seen from outside: by the time and memory that the node's kernel counts for it, and by
//! a store that is now stopped and now not. On nodes that share one machine the first two strike all of them; only the third is
//! one node's own.

use std::time::Duration;

use keelhaul_cluster::{Command, Daemon, DaemonState, HOG, Hog, Node, SELF_EXE};
use keelhaul_history::NodeId;

use crate::env::{Env, FaultError, Injected, names};
use crate::process::Process;
use crate::target::Target;

/// The name of the process beside the store.
const DAEMON: &str = "keelhaul-hog";
/// The most memory that is taken from one node, and the share of what is free that is left at least: the node must go on.
const MEMORY_BYTES_MAX: u64 = 1 << 30;
const MEMORY_SHARE: u64 = 4;
/// How much of a hundred a store stands still: what is left is enough to go on, and too little to be in time.
const STUTTER_PERCENT: u64 = 85;
/// How often a node is looked at before a fault counts as not in effect, and the time in between.
const LOOKS: u32 = 100;
const LOOK_PAUSE: Duration = Duration::from_millis(13);

/// Starts a process that takes it on every target node.
pub(crate) async fn inject(
    env: &Env,
    fault: u64,
    kind: Process,
    target: Target,
    order: &[NodeId],
) -> Result<Injected, FaultError> {
    let nodes = env.strike(fault, target, order).await?;
    for &id in &nodes {
        let node = env.node(id)?;
        let hog = hog(env, node, kind).await?;
        let argv = [SELF_EXE, HOG].map(str::to_owned).into_iter().chain(hog.words()).collect();
        node.start(Daemon { name: DAEMON.into(), argv, ..Daemon::default() }).await?;
    }
    Ok(Injected { label: format!("{}: {}", kind.name(), names(&nodes)), nodes })
}

async fn hog(env: &Env, node: &Node, kind: Process) -> Result<Hog, FaultError> {
    Ok(match kind {
        Process::Memory => {
            let free =
                figure(node, "sed -n 's/MemAvailable: *\\([0-9]*\\) kB/\\1/p' /proc/meminfo");
            let bytes = free.await?.saturating_mul(1024) / MEMORY_SHARE;
            Hog::Memory { bytes: bytes.min(MEMORY_BYTES_MAX) }
        }
        Process::Stutter => match node.status(env.store.daemon()).await? {
            DaemonState::Running { pid } | DaemonState::Paused { pid } => {
                Hog::Stutter { group: u64::from(pid), percent: STUTTER_PERCENT }
            }
            _ => {
                let sentence = format!("the daemon on {} does not run", node.id());
                return Err(FaultError::NotInEffect(sentence));
            }
        },
        _ => Hog::Cpu { threads: figure(node, "nproc").await?.max(1) },
    })
}

/// The number that a command prints.
async fn figure(node: &Node, script: &str) -> Result<u64, FaultError> {
    let output = node.run(Command::new(["sh", "-c", script])).await?;
    let printed = String::from_utf8_lossy(&output.stdout);
    printed.trim().parse().map_err(|_| {
        FaultError::NotInEffect(format!("{script:?} on {} printed no number", node.id()))
    })
}

/// The node's kernel must see what is taken.
pub(crate) async fn verify(env: &Env, fault: u64, kind: Process) -> Result<(), FaultError> {
    for id in env.struck(fault) {
        let node = env.node(id)?;
        let seen = match kind {
            Process::Memory => grows(node, Counted::Memory).await?,
            Process::Stutter => stutters(env, node).await?,
            _ => grows(node, Counted::Time).await?,
        };
        if !seen {
            let sentence = format!("nothing is seen of {} on {id}", kind.name());
            return Err(FaultError::NotInEffect(sentence));
        }
    }
    Ok(())
}

/// What the kernel counts for a process.
#[derive(Clone, Copy)]
enum Counted {
    /// Ticks of processor time.
    Time,
    /// Pages in memory.
    Memory,
}

/// Whether the process beside the store comes to have used at least ten ticks, or a good part of the memory it is to take.
async fn grows(node: &Node, what: Counted) -> Result<bool, FaultError> {
    let DaemonState::Running { pid } = node.status(DAEMON).await? else { return Ok(false) };
    let script = match what {
        Counted::Time => format!("awk '{{ print $14 + $15 }}' /proc/{pid}/stat"),
        Counted::Memory => format!("awk '{{ print $2 }}' /proc/{pid}/statm"),
    };
    let enough = match what {
        Counted::Time => 10,
        Counted::Memory => 4_096,
    };
    for _ in 0..LOOKS {
        if figure(node, &script).await? >= enough {
            return Ok(true);
        }
        tokio::time::sleep(LOOK_PAUSE).await;
    }
    Ok(false)
}

/// Whether the store is seen both stopped and running.
async fn stutters(env: &Env, node: &Node) -> Result<bool, FaultError> {
    let (mut stopped, mut running) = (false, false);
    for _ in 0..LOOKS {
        match node.status(env.store.daemon()).await? {
            DaemonState::Paused { .. } => stopped = true,
            DaemonState::Running { .. } => running = true,
            _ => return Ok(false),
        }
        if stopped && running {
            return Ok(true);
        }
        tokio::time::sleep(LOOK_PAUSE).await;
    }
    Ok(false)
}

/// Ends the process beside the store, and lets the store go on.
pub(crate) async fn heal(env: &Env, fault: u64) -> Result<(), FaultError> {
    for id in env.struck(fault) {
        let node = env.node(id)?;
        node.kill(DAEMON).await?;
        node.resume(env.store.daemon()).await?;
    }
    Ok(())
}

/// The process beside the store must be gone, and the store must run.
pub(crate) async fn verify_healed(env: &Env, fault: u64) -> Result<(), FaultError> {
    for id in env.struck(fault) {
        if let DaemonState::Running { .. } = env.node(id)?.status(DAEMON).await? {
            return Err(FaultError::NotHealed(format!("the hog on {id} lives")));
        }
    }
    env.verify_running(fault).await
}
