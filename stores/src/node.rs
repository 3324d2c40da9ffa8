//! What every adapter does on a node.

use keelhaul_cluster::{Command, Daemon, DaemonState, LOG_DIR, Node, NodeError, Output};
use keelhaul_history::NodeId;

use crate::{Releases, StoreError};

/// The node itself could not be spoken to.
pub(crate) fn unreachable(node: &Node, source: NodeError) -> StoreError {
    StoreError::Node { node: node.id(), source }
}

/// Runs a command that must succeed.
pub(crate) async fn run(node: &Node, argv: &[&str]) -> Result<Output, StoreError> {
    let command = Command::new(argv.iter().copied());
    let output = node.run(command).await.map_err(|source| unreachable(node, source))?;
    if output.success() {
        return Ok(output);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let detail = format!("`{}` ended with {:?}: {}", argv.join(" "), output.status, said.trim());
    Err(StoreError::Unhealthy { node: node.id(), detail })
}

/// Makes an empty directory for a store's data: that of an earlier run would be taken for this cluster's.
pub(crate) async fn fresh_data_dir(node: &Node, dir: &str) -> Result<(), StoreError> {
    run(node, &["rm", "-rf", dir]).await?;
    run(node, &["mkdir", "-p", "-m", "0700", dir]).await?;
    Ok(())
}

/// Starts a daemon, whatever its pid.
pub(crate) async fn start(node: &Node, daemon: Daemon) -> Result<(), StoreError> {
    node.start(daemon).await.map(|_| ()).map_err(|source| unreachable(node, source))
}

/// Finds a daemon that has ended, and says why as far as the end of its log tells; `last_words` picks the sentence.
pub(crate) async fn none_ended(
    nodes: &[Node],
    daemon: &str,
    last_words: fn(&str) -> Option<String>,
) -> Result<(), StoreError> {
    for node in nodes {
        let state = node.status(daemon).await.map_err(|source| unreachable(node, source))?;
        if let DaemonState::Exited { code, signal } = state {
            let end = match (code, signal) {
                (_, Some(signal)) => format!("{daemon} was ended by signal {signal}"),
                (Some(code), None) => format!("{daemon} ended by itself with code {code}"),
                (None, None) => format!("{daemon} ended"),
            };
            // The log goes back to the first start; its end is what matters.
            let log = run(node, &["tail", "-n", "20", &format!("{LOG_DIR}/{daemon}.log")]).await;
            let log = log.map(|output| output.stdout).unwrap_or_default();
            let detail = match last_words(&String::from_utf8_lossy(&log)) {
                Some(words) => format!("{end}; its log says: {words}"),
                None => end,
            };
            return Err(StoreError::Unhealthy { node: node.id(), detail });
        }
    }
    Ok(())
}

/// What is installed, and what it may be upgraded to, in one line. Every node is asked, and so before any is changed.
pub(crate) async fn releases(
    nodes: &[Node],
    releases: &Releases,
    installed: impl AsyncFn(&Node, Option<&str>) -> Result<String, StoreError>,
) -> Result<String, StoreError> {
    let (mut versions, mut others) = (Vec::new(), Vec::new());
    for node in nodes {
        versions.push((node.id(), installed(node, None).await?));
        if let Some(other) = releases.other() {
            others.push((node.id(), installed(node, Some(other)).await?));
        }
    }
    let upgraded = if others.is_empty() {
        String::new()
    } else {
        format!("; upgraded: {}", in_one_line(&others))
    };
    Ok(in_one_line(&versions) + &upgraded)
}

/// There is no release of the store where another one should be.
pub(crate) fn no_release(node: &Node, at: &str) -> StoreError {
    StoreError::NotInstalled {
        what: format!("another release, {at}, on {}", node.id()),
        remedy: "put it there, or name another path with --upgrade-to (a local node has a /tmp and a /run of its own)".into(),
    }
}

/// One version when all nodes have the same, else each node's.
fn in_one_line(versions: &[(NodeId, String)]) -> String {
    match versions {
        [(_, first), rest @ ..] if rest.iter().all(|(_, version)| version == first) => {
            first.clone()
        }
        all => all
            .iter()
            .map(|(node, version)| format!("{node}: {version}"))
            .collect::<Vec<_>>()
            .join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_told_apart_only_when_they_differ() {
        let of = |versions: &[&str]| {
            let all: Vec<_> =
                (1..).map(NodeId).zip(versions.iter().map(|v| (*v).to_owned())).collect();
            in_one_line(&all)
        };
        assert_eq!(of(&["3.4.23", "3.4.23"]), "3.4.23");
        assert_eq!(of(&["3.4.23", "3.5.1"]), "n1: 3.4.23, n2: 3.5.1");
    }
}
