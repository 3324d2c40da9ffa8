//! From hosts to nodes, and back.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use keelhaul_agent::wire::WireError;
use keelhaul_agent::{Command, LOG_DIR, Request};
use keelhaul_history::NodeId;
use tokio::task::JoinSet;

use super::bundle::Bundle;
use super::host::Host;
use super::program::quoted;
use super::transport::{Opened, Said, Transport, Trouble};
use crate::cluster::{CloseError, Closing, Cluster, Environment};
use crate::node::{Node, NodeError};
use crate::stream::AgentStream;

/// How long an agent goes on without a sign of life.
const LEASE: Duration = Duration::from_secs(15);
/// How often it gets one.
const SIGN_OF_LIFE: Duration = Duration::from_secs(3);
/// How long an agent may take to undo everything once its stream is closed.
const CLOSE_PATIENCE: Duration = Duration::from_secs(20);
/// Where a user keeps the program on a host.
const CACHE: &str = "$HOME/.cache/keelhaul";
/// Bytes of each end of a log that are fetched: how a daemon began, and how it ended.
const LOG_END_BYTES: u64 = 32 << 20;

/// Why a host could not become a node.
#[derive(Debug, thiserror::Error)]
pub enum SshError {
    /// This machine lacks something.
    #[error("{what}")]
    Here {
        /// What was tried.
        what: String,
        /// What the system said.
        source: io::Error,
    },
    /// The host is not known.
    #[error(
        "trust {host}: its key is not among the known ones; if it is the right one, add this line to known_hosts: {line}"
    )]
    UnknownKey {
        /// Which host.
        host: String,
        /// What would make it known.
        line: String,
    },
    /// The host is not the one that is known.
    #[error(
        "trust {0}: its key is another one than known_hosts has: either it was installed anew, or it is somebody else"
    )]
    ChangedKey(String),
    /// Nobody was let in.
    #[error("log in to {host}: {said}")]
    Denied {
        /// Which host.
        host: String,
        /// What it said.
        said: String,
    },
    /// It was not reached.
    #[error("reach {host}: {said}")]
    Unreachable {
        /// Which host.
        host: String,
        /// What was seen.
        said: String,
    },
    /// It cannot run this program.
    #[error("use {host}: it is {theirs}, and this program is for {ours}")]
    Architecture {
        /// Which host.
        host: String,
        /// What it is.
        theirs: String,
        /// What it would have to be.
        ours: String,
    },
    /// Faults need root.
    #[error("use {0}: the agent needs root; log in as root, or allow `sudo` without a password")]
    NoRoot(String),
    /// Nodes reach each other by IPv4.
    #[error(
        "use {0}: it was not reached by an IPv4 address; name one as `address` in an inventory"
    )]
    NoAddress(String),
    /// The program could not be copied.
    #[error("copy the program to {host}: {said}")]
    Copy {
        /// Which host.
        host: String,
        /// What it said.
        said: String,
    },
    /// The agent did not come up.
    #[error("start the agent on {host}: {said}")]
    Agent {
        /// Which host.
        host: String,
        /// The last that it said.
        said: String,
        /// What became of the stream.
        source: WireError,
    },
    /// What a host can do was not found out.
    #[error("look at {host}: {said}")]
    Examine {
        /// Which host.
        host: String,
        /// What it said.
        said: String,
    },
    /// Something is left on a host.
    #[error("clean {host}: {said}")]
    Clean {
        /// Which host.
        host: String,
        /// What it said.
        said: String,
    },
    /// The agent came up and failed.
    #[error("prepare {host}")]
    Node {
        /// Which host.
        host: String,
        /// What it said.
        source: NodeError,
    },
}

/// Nodes on hosts that are reached by SSH.
#[derive(Debug)]
pub struct Ssh;

impl Ssh {
    /// Makes nodes `n1`, `n2`, … of the hosts, in their order. In `run_dir/nodes/nX` are `agent.log` and, after the end, the
    /// logs of the node's daemons.
    pub async fn start(
        hosts: &[Host],
        transport: Transport,
        run_dir: &Path,
    ) -> Result<Cluster, SshError> {
        Ok(Self::connect(hosts, transport, run_dir).await?.0)
    }

    /// The same, with the connections, for hosts that boot anew.
    pub(crate) async fn connect(
        hosts: &[Host],
        transport: Transport,
        run_dir: &Path,
    ) -> Result<(Cluster, Lines), SshError> {
        let here = |what: &str| {
            let what = what.to_owned();
            move |source| SshError::Here { what, source }
        };
        let bundle = Arc::new(Bundle::of_this_program().map_err(here("read this program"))?);
        let mut preparing = JoinSet::new();
        for (i, host) in hosts.iter().cloned().enumerate() {
            let bundle = Arc::clone(&bundle);
            preparing.spawn(async move {
                prepare(&host, transport, &bundle).await.map(|found| (i, found))
            });
        }
        let mut prepared = Vec::new();
        while let Some(done) = preparing.join_next().await {
            let done = done.map_err(io::Error::other).map_err(here("prepare the hosts"))?;
            prepared.push(done?);
        }
        prepared.sort_unstable_by_key(|(i, _)| *i);
        let lines = Lines::new(transport, bundle, run_dir.join("nodes"));
        let mut nodes = Vec::new();
        for (id, (i, prepared)) in (1..).map(NodeId).zip(prepared) {
            let agent = lines.open(id, &hosts[i], &prepared).await?;
            let node = Node::new(id, prepared.address, agent);
            clear(&node)
                .await
                .map_err(|source| SshError::Node { host: hosts[i].shown(), source })?;
            nodes.push(node);
        }
        Ok((Cluster::new(nodes, Box::new(Connected(lines.clone()))), lines))
    }

    /// Undoes on every host what an agent left there that was killed together with its guard; answers a sentence a host.
    pub async fn clean(hosts: &[Host], transport: Transport) -> Result<Vec<String>, SshError> {
        let bundle = Bundle::of_this_program().map_err(|source| {
            let what = "read this program".into();
            SshError::Here { what, source }
        })?;
        let mut sentences = Vec::new();
        for host in hosts {
            let Prepared { program, .. } = prepare(host, transport, &bundle).await?;
            let output = run(host, transport, &format!("exec {program} agent clean"), &[]).await?;
            if !output.success {
                let said = last_line(&output.stderr);
                return Err(SshError::Clean { host: host.shown(), said });
            }
            sentences.push(format!("{}: {}", host.shown(), last_line(&output.stdout)));
        }
        Ok(sentences)
    }
}

/// What is known of a host that has the program.
pub(super) struct Prepared {
    pub address: Ipv4Addr,
    /// The words of a shell that start the program as root.
    pub program: String,
    /// The same without what makes it root, as the agent starts it again.
    words: String,
}

/// Looks at a host and brings the program there, unless it is there.
pub(super) async fn prepare(
    host: &Host,
    transport: Transport,
    bundle: &Bundle,
) -> Result<Prepared, SshError> {
    let dir = format!("{CACHE}/{}", bundle.hash);
    let question = format!(
        "uname -sm; id -u; sudo -n true 2>/dev/null && echo sudo || echo none; \
         echo \"$SSH_CONNECTION\"; echo \"$HOME\"; test -e \"{dir}/ready\" && echo there || echo absent"
    );
    let output = run(host, transport, &question, &[]).await?;
    let text = String::from_utf8_lossy(&output.stdout);
    let answers: Vec<&str> = text.lines().collect();
    let &[system, user, sudo, connection, home, copy] = answers.as_slice() else {
        let said = format!("it answers a shell's question with {text:?}");
        return Err(SshError::Unreachable { host: host.shown(), said });
    };
    let ours = format!("Linux {}", std::env::consts::ARCH);
    if system != ours {
        return Err(SshError::Architecture { host: host.shown(), theirs: system.into(), ours });
    }
    let prefix = match (user, sudo) {
        ("0", _) => "",
        (_, "sudo") => "sudo -n ",
        _ => return Err(SshError::NoRoot(host.shown())),
    };
    let address = match host.address {
        Some(address) => address,
        None => reached(connection).ok_or_else(|| SshError::NoAddress(host.shown()))?,
    };
    if copy != "there" {
        bring(host, transport, bundle, &dir).await?;
    }
    // The remote user's home, spelt out: under sudo it would be root's.
    let words = bundle.words(&dir.replace("$HOME", home));
    let words: Vec<String> = words.iter().map(|word| quoted(word)).collect();
    let words = words.join(" ");
    Ok(Prepared { address, program: format!("{prefix}{words}"), words })
}

/// Copies the program, so that it is there as a whole or not at all, and removes copies that nobody has used for long.
async fn bring(
    host: &Host,
    transport: Transport,
    bundle: &Bundle,
    dir: &str,
) -> Result<(), SshError> {
    let line = format!(
        "umask 077; mkdir -p \"{CACHE}\" && new=$(mktemp -d \"{CACHE}/new.XXXXXX\") && \
         if tar -x -C \"$new\" && touch \"$new/ready\"; \
         then mv -T \"$new\" \"{dir}\" 2>/dev/null || {{ rm -rf \"$new\"; test -e \"{dir}/ready\"; }}; \
         else rm -rf \"$new\"; false; fi && \
         find \"{CACHE}\" -mindepth 1 -maxdepth 1 ! -path \"{dir}\" -mtime +30 -exec rm -rf {{}} +"
    );
    let output = run(host, transport, &line, &bundle.tar()).await?;
    if output.success {
        return Ok(());
    }
    let said = match room(host, transport).await? {
        Some(free) if free < bundle.bytes() => {
            let (free, needed) = (free >> 20, bundle.bytes().div_ceil(1 << 20));
            format!("{free} MiB are free for {CACHE}, and it takes {needed}")
        }
        _ => last_line(&output.stderr),
    };
    Err(SshError::Copy { host: host.shown(), said })
}

/// How many bytes are free where the program is kept; nothing if the host does not say.
async fn room(host: &Host, transport: Transport) -> Result<Option<u64>, SshError> {
    let line = format!("df -P -k \"{CACHE}\" || df -P -k \"$HOME\"");
    let output = run(host, transport, &line, &[]).await?;
    Ok(free_bytes(&last_line(&output.stdout)))
}

/// What is free, in a line of `df -P -k`: file system, size, used, available, and so on.
fn free_bytes(line: &str) -> Option<u64> {
    Some(line.split_whitespace().nth(3)?.parse::<u64>().ok()? << 10)
}

/// The address that a connection went to, from what SSH says of it: `client port server port`.
fn reached(connection: &str) -> Option<Ipv4Addr> {
    match connection.split(' ').nth(2)?.parse().ok()? {
        IpAddr::V4(address) => Some(address),
        IpAddr::V6(address) => address.to_ipv4_mapped(),
    }
}

pub(super) fn last_line(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    text.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("it said nothing").to_owned()
}

/// A line for a shell of ours, whatever the user's own shell is.
fn for_sh(line: &str) -> String {
    format!("exec sh -c {}", quoted(line))
}

/// Runs a line of shell on a host.
pub(super) async fn run(
    host: &Host,
    transport: Transport,
    line: &str,
    input: &[u8],
) -> Result<Said, SshError> {
    transport.run(host, &for_sh(line), input).await.map_err(|trouble| explain(host, trouble))
}

fn explain(host: &Host, trouble: Trouble) -> SshError {
    let name = host.shown();
    match trouble {
        Trouble::NoTransport(source) => SshError::Here {
            what: "reach hosts by SSH (is openssh-client installed?)".into(),
            source,
        },
        Trouble::UnknownKey(line) => {
            let line = line.unwrap_or_else(|| "(it does not show its key)".into());
            SshError::UnknownKey { host: name, line }
        }
        Trouble::ChangedKey => SshError::ChangedKey(name),
        Trouble::Denied(said) => SshError::Denied { host: name, said },
        Trouble::Unreachable(said) => SshError::Unreachable { host: name, said },
        Trouble::Slow => SshError::Unreachable { host: name, said: "it does not answer".into() },
    }
}

/// Begins with empty logs: those of an earlier run are that run's.
async fn clear(node: &Node) -> Result<(), NodeError> {
    node.run(Command::new(["mkdir", "-p", LOG_DIR])).await?;
    node.run(Command::new(["find", LOG_DIR, "-maxdepth", "1", "-type", "f", "-delete"])).await?;
    Ok(())
}

/// The connections to all hosts; clones share them.
#[derive(Clone)]
pub(crate) struct Lines {
    transport: Transport,
    bundle: Arc<Bundle>,
    nodes_dir: PathBuf,
    /// What waits for the end of each agent.
    commands: Arc<Mutex<BTreeMap<NodeId, Ended>>>,
}

type Ended = Pin<Box<dyn Future<Output = io::Result<bool>> + Send>>;

impl std::fmt::Debug for Lines {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let nodes: Vec<NodeId> = self.commands().keys().copied().collect();
        f.debug_struct("Lines").field("transport", &self.transport).field("nodes", &nodes).finish()
    }
}

impl Lines {
    fn new(transport: Transport, bundle: Arc<Bundle>, nodes_dir: PathBuf) -> Self {
        Self { transport, bundle, nodes_dir, commands: Arc::default() }
    }

    fn commands(&self) -> MutexGuard<'_, BTreeMap<NodeId, Ended>> {
        self.commands.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn open(
        &self,
        id: NodeId,
        host: &Host,
        prepared: &Prepared,
    ) -> Result<AgentStream, SshError> {
        let Prepared { program, words, .. } = prepared;
        let line = format!("exec {program} agent host {} {words}", LEASE.as_millis());
        let dir = self.nodes_dir.join(id.to_string());
        let log = dir.join("agent.log");
        let here = |what: String| move |source| SshError::Here { what, source };
        fs::create_dir_all(&dir).map_err(here(format!("make {}", dir.display())))?;
        let errors = OpenOptions::new().create(true).append(true).open(&log);
        let errors = errors.map_err(here(format!("make {}", log.display())))?;
        let opened = self.transport.open(host, &for_sh(&line), errors).await;
        let Opened { output, input, ended } = opened.map_err(|trouble| explain(host, trouble))?;
        self.commands().insert(id, ended);
        let agent = AgentStream::open(output, input).await.map_err(|source| {
            let log = fs::read(&log).unwrap_or_default();
            let is_other = matches!(source, WireError::Version { .. } | WireError::NoHello);
            // A copy is called after what is in it.
            let said = if log.is_empty() && is_other {
                format!(
                    "what answers is not what was copied; remove {CACHE} there, and see that a login prints nothing"
                )
            } else {
                last_line(&log)
            };
            SshError::Agent { host: host.shown(), said, source }
        })?;
        tokio::spawn(keep_alive(agent.clone()));
        Ok(agent)
    }

    /// Lets go of the connection to a host that is gone.
    pub fn drop_line(&self, id: NodeId) {
        self.commands().remove(&id);
    }

    /// Connects to a host that booted anew.
    pub async fn reopen(&self, id: NodeId, host: &Host) -> Result<AgentStream, SshError> {
        let prepared = prepare(host, self.transport, &self.bundle).await?;
        self.open(id, host, &prepared).await
    }
}

/// What is to be done at the end of all connections.
#[derive(Debug)]
struct Connected(Lines);

/// Renews the lease until the stream ends.
async fn keep_alive(agent: AgentStream) {
    while agent.call(Request::Ping).await.is_ok() {
        tokio::time::sleep(SIGN_OF_LIFE).await;
    }
}

impl Environment for Connected {
    fn close(self: Box<Self>, nodes: Vec<Node>) -> Closing {
        let Self(lines) = *self;
        Box::pin(async move {
            let mut fetching = JoinSet::new();
            for node in nodes.into_iter().filter(Node::is_powered) {
                let dir = lines.nodes_dir.join(node.id().to_string());
                fetching.spawn(async move {
                    let fetched = fetch_logs(&node, &dir).await;
                    node.close();
                    fetched.map_err(|source| CloseError {
                        what: format!("the logs of {}", node.id()),
                        source,
                    })
                });
            }
            let mut result = fetching.join_all().await.into_iter().collect::<Result<(), _>>();
            let commands = std::mem::take(&mut *lines.commands());
            for (node, ended) in commands {
                let source = match tokio::time::timeout(CLOSE_PATIENCE, ended).await {
                    Ok(Ok(true)) => continue,
                    Ok(Ok(false)) => io::Error::other("its agent did not end well, see agent.log"),
                    Ok(Err(error)) => error,
                    Err(_) => io::Error::new(io::ErrorKind::TimedOut, "its agent does not end"),
                };
                result = result.and(Err(CloseError { what: node.to_string(), source }));
            }
            result
        })
    }
}

/// Brings a node's logs into its directory.
async fn fetch_logs(node: &Node, dir: &Path) -> io::Result<()> {
    let list = Command::new(["find", LOG_DIR, "-maxdepth", "1", "-type", "f", "-printf", "%f\n"]);
    let output = node.run(list).await.map_err(io::Error::other)?;
    for name in String::from_utf8_lossy(&output.stdout).lines() {
        let log = fetch_log(node, &format!("{LOG_DIR}/{name}")).await;
        fs::write(dir.join(name), log.map_err(io::Error::other)?)?;
    }
    Ok(())
}

/// A whole log, or both its ends and a line between them.
async fn fetch_log(node: &Node, path: &str) -> Result<Vec<u8>, NodeError> {
    let length = node.file_length(path).await?;
    let Some(cut) = length.checked_sub(2 * LOG_END_BYTES).filter(|&cut| cut > 0) else {
        return node.read_file(path, length).await;
    };
    let mut log = node.read_file(path, LOG_END_BYTES).await?;
    log.extend(format!("\n[keelhaul: {cut} bytes are not fetched here]\n").into_bytes());
    log.extend(node.read_range(path, length - LOG_END_BYTES..length).await?);
    Ok(log)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_free_is_understood() {
        let line = "/dev/vda1 10255636 9134476 578488 95% /home dir";
        assert_eq!(free_bytes(line), Some(578_488 << 10));
        assert_eq!(free_bytes("it said nothing"), None);
    }

    #[test]
    fn the_address_is_the_one_that_was_reached() {
        assert_eq!(reached("10.0.0.9 4242 10.0.0.1 22"), Some(Ipv4Addr::new(10, 0, 0, 1)));
        assert_eq!(reached("::1 4242 ::ffff:10.0.0.1 22"), Some(Ipv4Addr::new(10, 0, 0, 1)));
        assert_eq!(reached("::1 4242 ::1 22"), None);
        assert_eq!(reached(""), None);
    }
}
