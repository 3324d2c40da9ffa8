//! The adapter proper: nodes in, a running ensemble and clients out.

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;

use keelhaul_cluster::{Command, Daemon, Node, NodeError};
use keelhaul_engine::{Client, Connect, LocalFuture, together};
use keelhaul_history::{NodeId, Process};

use super::client::{Known, ZooKeeperClient};
use super::deploy::{self, CLIENT_PORT, DATA_DIR, argv, config, last_words};
use super::words::{self, Standing};
use crate::{Family, Leadership, Releases, Store, StoreError, node};

/// The daemon's name on a node.
const DAEMON: &str = "zookeeper";
/// The system's error number for a file that does not exist, a program's included.
const ENOENT: i32 = 2;

/// How reads are performed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reads {
    /// After the server has caught up with its leader.
    #[default]
    Synced,
    /// From what the server has, which may be old.
    Local,
}

/// A ZooKeeper ensemble, one server a node.
#[derive(Debug)]
pub struct ZooKeeper {
    reads: Reads,
    timeout_factor: u32,
    releases: Releases,
    /// Who led when that was last known: only a leader says that it leads, and it may be paused.
    led: Cell<Leadership>,
}

impl ZooKeeper {
    /// ZooKeeper with reads of this kind; on nodes that are slow everything may take so many times as long.
    #[must_use]
    pub fn new(reads: Reads, timeout_factor: u32) -> Self {
        Self { reads, timeout_factor, releases: Releases::default(), led: Cell::default() }
    }

    /// With another release, in a class path of the nodes.
    #[must_use]
    pub fn with_releases(mut self, releases: Releases) -> Self {
        self.releases = releases;
        self
    }
}

impl Store for ZooKeeper {
    fn name(&self) -> &'static str {
        "zookeeper"
    }

    fn daemon(&self) -> &'static str {
        DAEMON
    }

    fn data_dir(&self) -> &'static str {
        DATA_DIR
    }

    fn families(&self) -> &'static [Family] {
        super::FAMILIES
    }

    fn setup<'a>(&'a self, nodes: &'a [Node]) -> LocalFuture<'a, Result<String, StoreError>> {
        Box::pin(async move {
            let releases = node::releases(nodes, &self.releases, installed).await?;
            let ensemble: Vec<_> = nodes.iter().map(|node| (node.id(), node.address())).collect();
            let config = config(&ensemble, self.timeout_factor);
            for node in nodes {
                node::fresh_data_dir(node, DATA_DIR).await?;
                write(node, &deploy::config_path(), &config).await?;
                write(node, &format!("{DATA_DIR}/myid"), &format!("{}\n", node.id().0)).await?;
            }
            Ok(releases)
        })
    }

    fn start<'a>(
        &'a self,
        node: &'a Node,
        _nodes: &'a [Node],
    ) -> LocalFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            let argv = argv(self.releases.of(node.id()));
            let daemon = Daemon { name: DAEMON.into(), argv, env: Vec::new(), cwd: None };
            node::start(node, daemon).await
        })
    }

    fn ready<'a>(&'a self, nodes: &'a [Node]) -> LocalFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            node::none_ended(nodes, DAEMON, last_words).await?;
            for node in nodes {
                let standing = words::ask(client_address(node)).await;
                let why = match standing {
                    Ok(Some(_)) => continue,
                    Ok(None) => "does not serve yet".to_owned(),
                    Err(error) => format!("does not answer: {error}"),
                };
                return Err(StoreError::NotReady(format!("{} {why}", node.id())));
            }
            Ok(())
        })
    }

    fn leadership<'a>(&'a self, nodes: &'a [Node]) -> LocalFuture<'a, Leadership> {
        Box::pin(async move {
            let answers = together(nodes.iter().map(|node| words::ask(client_address(node)))).await;
            let standings = nodes.iter().zip(answers);
            let leader = standings
                .filter_map(|(node, answer)| Some((answer.ok()??, node.id())))
                .filter(|(standing, _)| standing.leads)
                .max_by_key(|(standing, _)| standing.epoch);
            if let Some((Standing { epoch, .. }, node)) = leader {
                self.led.set(Leadership { leader: Some(node), term: epoch });
            }
            self.led.get()
        })
    }

    fn releases(&self) -> &Releases {
        &self.releases
    }

    fn connect(&self, nodes: &[Node]) -> Rc<dyn Connect> {
        let servers = nodes.iter().map(|node| (node.id(), client_address(node))).collect();
        Rc::new(ZooKeeperConnect { servers, reads: self.reads, known: Known::default() })
    }
}

/// Opens clients.
struct ZooKeeperConnect {
    servers: Vec<(NodeId, SocketAddr)>,
    reads: Reads,
    known: Known,
}

impl Connect for ZooKeeperConnect {
    fn open<'a>(
        &'a self,
        _process: Process,
        node: NodeId,
    ) -> LocalFuture<'a, Result<Box<dyn Client>, Box<str>>> {
        Box::pin(async move {
            let server = self.servers.iter().find(|(id, _)| *id == node);
            let (_, address) = server.ok_or_else(|| format!("no server on {node}"))?;
            let client = ZooKeeperClient::open(*address, self.reads, Rc::clone(&self.known)).await;
            Ok(Box::new(client.map_err(|error| error.to_string())?) as Box<dyn Client>)
        })
    }
}

fn client_address(node: &Node) -> SocketAddr {
    (node.address(), CLIENT_PORT).into()
}

async fn write(node: &Node, path: &str, text: &str) -> Result<(), StoreError> {
    let written = node.write_file(path, text.as_bytes(), 0o600).await;
    written.map_err(|source| node::unreachable(node, source))
}

/// The release that is installed on `node`, or that is in another class path there.
async fn installed(node: &Node, other: Option<&str>) -> Result<String, StoreError> {
    let output = match node.run(Command::new(deploy::version_argv(other))).await {
        Ok(output) => output,
        Err(NodeError::Failed { errno: Some(ENOENT), .. }) => {
            return Err(missing(node.id(), "the program java", "default-jre-headless"));
        }
        Err(source) => return Err(node::unreachable(node, source)),
    };
    let printed = String::from_utf8_lossy(&output.stdout);
    let version = deploy::version(&printed).map(str::to_owned);
    version.ok_or_else(|| match other {
        Some(other) => node::no_release(node, other),
        None => missing(node.id(), "ZooKeeper", "libzookeeper-java"),
    })
}

fn missing(node: NodeId, what: &str, package: &str) -> StoreError {
    StoreError::NotInstalled {
        what: format!("{what} on {node}"),
        remedy: format!("run `apt-get install {package}` there"),
    }
}
