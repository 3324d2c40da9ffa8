//! What nodes say of themselves while a run goes on: a line every two seconds in `nodes/nX/metrics.jsonl`.
//!
//! Nothing is decided by it. It is for whoever asks why a node was slow: whether its machine had other work, its memory was short, its
//! disk was not synced, its clock was elsewhere. Times are milliseconds since the clients began, as in the history, but for processor time, which is the
//! store's own since it was started. Where nodes share a kernel, load and memory are of all of them together.
//!
//! How long a sync takes is told twice: a small file of our own is written and synced where the node's logs are; and of a disk of ours, what the store's own syncs
//! took together so far, with what faults added, and the slowest since the line before.
//!
//! Limits: the store is its first process.

use std::fs::File;
use std::io::Write;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use keelhaul_cluster::{DaemonState, Node, NodeError};
use keelhaul_results::RunDir;
use keelhaul_stores::Store;
use serde::Serialize;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::exit::{Exit, Failure};

/// Pause between two looks: what lasts as long as a fault is seen, and nobody is kept from work.
const INTERVAL: Duration = Duration::from_secs(2);
/// Looks that are written down: of more than a day. A line has some 250 bytes.
const LOOKS_MAX: usize = 50_000;
/// The unit in which the kernel tells programs of processor time.
const MS_PER_TICK: u64 = 10;
/// More than any of the files that are read here holds.
const FILE_BYTES_MAX: u64 = 1 << 16;

/// One line.
#[derive(Debug, Serialize)]
struct Look {
    /// Since the clients began.
    ms: u64,
    /// By how much the node's wall clock is ahead of the control node's; half of the time that asking took is the error.
    clock_ahead_ms: f64,
    /// How much that is.
    clock_unsure_ms: f64,
    /// Tasks that wanted to run, on average over a minute.
    load: f64,
    memory_available_kib: u64,
    /// How long a small file takes to be synced where the logs are.
    sync_ms: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    store: Option<Process>,
    #[serde(skip_serializing_if = "Option::is_none")]
    disk: Option<Disk>,
}

/// The store's first process.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Process {
    paused: bool,
    cpu_ms: u64,
    resident_kib: u64,
}

/// The disk that the store's data are on, if it is one of ours: what was done so far, and what a loss of power would take now.
#[derive(Debug, Serialize)]
struct Disk {
    syncs: u64,
    sync_ms: f64,
    slowest_sync_ms: f64,
    bytes_written: u64,
    unsynced_bytes: u64,
}

/// Begins to look at all nodes. What comes back ends it when it is dropped.
pub(super) fn watch(
    nodes: &[Node],
    store: &dyn Store,
    dir: &RunDir,
) -> Result<JoinSet<()>, Failure> {
    let mut watching = JoinSet::new();
    let begun = Instant::now();
    for node in nodes {
        let create = || {
            let path = dir.node(&node.id().to_string())?.join("metrics.jsonl");
            dir.create_file(&path)
        };
        let file = create()
            .context("failed to keep what the nodes say of themselves")
            .map_err(|error| Failure::new(Exit::Infrastructure, error))?;
        watching.spawn(look_on(node.clone(), store.daemon(), store.data_dir(), begun, file));
    }
    Ok(watching)
}

/// Looks again and again. A node that does not answer says nothing, and a file that cannot be written to ends it.
async fn look_on(
    node: Node,
    daemon: &'static str,
    dir: &'static str,
    begun: Instant,
    mut file: File,
) {
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for _ in 0..LOOKS_MAX {
        ticks.tick().await;
        let Ok(Some(look)) = look(&node, daemon, dir, begun).await else { continue };
        let Ok(mut line) = serde_json::to_vec(&look) else { return };
        line.push(b'\n');
        if file.write_all(&line).is_err() {
            return;
        }
    }
}

/// One look; nothing if what the node says makes no sense.
async fn look(
    node: &Node,
    daemon: &str,
    dir: &str,
    begun: Instant,
) -> Result<Option<Look>, NodeError> {
    let ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    let before = now_ms();
    let clock = node.clock().await?;
    let after = now_ms();
    let load = read(node, "/proc/loadavg").await?;
    let memory = read(node, "/proc/meminfo").await?;
    let (Some(load), Some(memory_available_kib)) =
        (first_number(&load), kib(&memory, "MemAvailable"))
    else {
        return Ok(None);
    };
    // There is none on a plain disk.
    let disk = node.disk_state(dir).await.ok().map(|report| Disk {
        syncs: report.syncs,
        sync_ms: report.sync_us as f64 / 1e3,
        slowest_sync_ms: report.slowest_sync_us as f64 / 1e3,
        bytes_written: report.bytes_written,
        unsynced_bytes: report.unsynced_bytes,
    });
    Ok(Some(Look {
        ms,
        clock_ahead_ms: clock.wall_ns as f64 / 1e6 - f64::midpoint(before, after),
        clock_unsure_ms: (after - before) / 2.0,
        load,
        memory_available_kib,
        sync_ms: node.time_sync().await?.as_secs_f64() * 1e3,
        store: process(node, daemon).await?,
        disk,
    }))
}

/// The store's process, if it has one.
async fn process(node: &Node, daemon: &str) -> Result<Option<Process>, NodeError> {
    let (pid, paused) = match node.status(daemon).await? {
        DaemonState::Running { pid } => (pid, false),
        DaemonState::Paused { pid } => (pid, true),
        DaemonState::NotStarted | DaemonState::Exited { .. } => return Ok(None),
    };
    // It may end in between.
    let Ok(stat) = read(node, &format!("/proc/{pid}/stat")).await else { return Ok(None) };
    let Ok(status) = read(node, &format!("/proc/{pid}/status")).await else { return Ok(None) };
    Ok(cpu_ms(&stat).zip(kib(&status, "VmRSS")).map(|(cpu_ms, resident_kib)| Process {
        paused,
        cpu_ms,
        resident_kib,
    }))
}

async fn read(node: &Node, path: &str) -> Result<String, NodeError> {
    let bytes = node.read_file(path, FILE_BYTES_MAX).await?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Milliseconds since 1970.
fn now_ms() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64() * 1e3
}

fn first_number(text: &str) -> Option<f64> {
    text.split_whitespace().next()?.parse().ok()
}

/// A line `NAME:   NUMBER kB`.
fn kib(text: &str, name: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    rest.trim().strip_suffix("kB")?.trim().parse().ok()
}

/// Processor time of a process, user's and system's, from its `stat`; see proc(5).
fn cpu_ms(stat: &str) -> Option<u64> {
    // The name in brackets may itself hold brackets and blanks. Behind it the state is field 3, and the two times are 14 and 15.
    let mut fields = stat[stat.rfind(')')? + 1..].split_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<u64>().ok();
    Some((ticks()? + ticks()?) * MS_PER_TICK)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_says_is_understood() {
        assert_eq!(first_number("0.52 0.58 0.59 1/467 12345\n"), Some(0.52));
        let memory = "MemTotal:       16310660 kB\nMemAvailable:   11982312 kB\n";
        assert_eq!(kib(memory, "MemAvailable"), Some(11_982_312));
        assert_eq!(kib("MemAvailableX: 1 kB", "MemAvailable"), None);
        let stat = "17 (a) b) S 1 17 17 0 -1 4194304 1 2 3 4 25 7 0 0 20 0 9 0 100 1 2 3";
        assert_eq!(cpu_ms(stat), Some(320));
        assert_eq!(cpu_ms("17 (a) S 1"), None);
    }
}
