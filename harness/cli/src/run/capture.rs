//! Packets of a run, as every node saw them.

use std::time::Duration;

use anyhow::{Context, anyhow};
use keelhaul_cluster::{
    CAPTURE, Capture, Cluster, Daemon, DaemonState, LOG_DIR, Node, NodeError, SELF_EXE,
};
use keelhaul_engine::together;
use tokio::time::{Instant, sleep};

use crate::exit::{Exit, Failure};

/// The file in a node's directory.
const FILE: &str = "packets.pcap";
const DAEMON: &str = "keelhaul-packets";
/// A file as large as this can be brought from a host whole.
const BYTES_MAX: u64 = 60 << 20;
/// How long it may take until packets are written.
const START_LIMIT: Duration = Duration::from_secs(20);
const START_POLL: Duration = Duration::from_millis(50);

/// Lets every node write packets of these ports, until it is closed.
pub async fn start(cluster: &Cluster, ports: &[u16]) -> Result<(), Failure> {
    if ports.is_empty() {
        return Ok(());
    }
    let started = together(cluster.nodes().iter().map(|node| begin(node, ports))).await;
    for (node, started) in cluster.nodes().iter().zip(started) {
        started
            .with_context(|| format!("failed to capture packets on {}", node.id()))
            .map_err(|error| Failure::new(Exit::Infrastructure, error))?;
    }
    Ok(())
}

async fn begin(node: &Node, ports: &[u16]) -> anyhow::Result<()> {
    let file = format!("{LOG_DIR}/{FILE}");
    let capture = Capture { ports: ports.to_vec(), bytes_max: BYTES_MAX, file: file.clone() };
    let argv = [SELF_EXE, CAPTURE].map(str::to_owned).into_iter().chain(capture.words()).collect();
    node.start(Daemon { name: DAEMON.into(), argv, ..Daemon::default() }).await?;
    let deadline = Instant::now() + START_LIMIT;
    // Its first bytes are there when it sees packets.
    while !matches!(node.file_length(&file).await, Ok(1..)) {
        let runs = matches!(node.status(DAEMON).await?, DaemonState::Running { .. });
        if !runs || Instant::now() > deadline {
            return Err(anyhow!("{}", last_words(node).await?));
        }
        sleep(START_POLL).await;
    }
    Ok(())
}

/// What it said last.
async fn last_words(node: &Node) -> Result<String, NodeError> {
    let log = node.read_file(&format!("{LOG_DIR}/{DAEMON}.log"), 4096).await?;
    let log = String::from_utf8_lossy(&log);
    let last = log.lines().rfind(|line| !line.trim().is_empty());
    Ok(last.unwrap_or("it does not begin").trim_start_matches("error: ").to_owned())
}
