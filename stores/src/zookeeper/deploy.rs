//! How a server is started.
//!
//! Source: ZooKeeper's administrator's guide, *Configuration Parameters*.

use std::net::Ipv4Addr;

use keelhaul_history::NodeId;

/// The program that runs it, as Debian's package `default-jre-headless` installs it.
pub const PROGRAM: &str = "java";
/// Itself, as Debian's package `libzookeeper-java` installs it; the archive names what it needs. Beside it whatever prints its log, if there is any.
const CLASS_PATH: &str = "/usr/share/java/zookeeper.jar:/usr/share/java/slf4j-simple.jar";
/// Prints the release.
const VERSION_CLASS: &str = "org.apache.zookeeper.version.VersionInfoMain";
/// The server.
const SERVER_CLASS: &str = "org.apache.zookeeper.server.quorum.QuorumPeerMain";
/// The server's data and its configuration, on its node.
pub const DATA_DIR: &str = "/var/lib/keelhaul/zookeeper";

/// The port that clients connect to; ZooKeeper's default.
pub const CLIENT_PORT: u16 = 2181;
/// Those that servers connect to, to follow and to elect; as in ZooKeeper's examples.
const PEER_PORTS: (u16, u16) = (2888, 3888);
/// All of them.
pub const PORTS: [u16; 3] = [CLIENT_PORT, PEER_PORTS.0, PEER_PORTS.1];

/// Milliseconds of a tick: a follower that is silent for [`SYNC_TICKS`] of them is given up, and so is a leader; a second, as long as our own nodes and etcd wait.
const TICK_MS: u32 = 200;
const SYNC_TICKS: u32 = 5;
/// Ticks that a follower may take to catch up with a new leader. Five virtual machines of Java that start together on two cores are slow.
const INIT_TICKS: u32 = 50;
/// The longest life of a silent session, in milliseconds: more than the twenty ticks that are usual, since nobody pings.
const SESSION_MS_MAX: u32 = 60_000;
/// What a server's heap takes at most: five of them are to fit a small machine.
const HEAP_MAX: &str = "-Xmx256m";

/// What prints the release, of another class path if there is one.
#[must_use]
pub fn version_argv(other: Option<&str>) -> [&str; 4] {
    [PROGRAM, "-cp", other.unwrap_or(CLASS_PATH), VERSION_CLASS]
}

/// The release in what that prints.
#[must_use]
pub fn version(printed: &str) -> Option<&str> {
    let line = printed.lines().find_map(|line| line.strip_prefix("Apache ZooKeeper, version "))?;
    line.split([' ', '-', ',']).next()
}

/// Where the configuration is.
#[must_use]
pub fn config_path() -> String {
    format!("{DATA_DIR}/zoo.cfg")
}

/// The command line of a server, of another class path if it is to run that.
#[must_use]
pub fn argv(other: Option<&str>) -> Vec<String> {
    let flags = [
        PROGRAM,
        HEAP_MAX,
        // Else every server notes its figures in a file that the others see.
        "-XX:-UsePerfData",
        "-cp",
        other.unwrap_or(CLASS_PATH),
        SERVER_CLASS,
    ];
    flags.into_iter().map(str::to_owned).chain([config_path()]).collect()
}

/// The configuration: the same on all nodes but for `myid`, which is a file of its own. Syncing is left as it is: on.
#[must_use]
pub fn config(nodes: &[(NodeId, Ipv4Addr)], timeout_factor: u32) -> String {
    let mut lines = vec![
        format!("tickTime={}", TICK_MS * timeout_factor),
        format!("initLimit={INIT_TICKS}"),
        format!("syncLimit={SYNC_TICKS}"),
        format!("maxSessionTimeout={SESSION_MS_MAX}"),
        format!("dataDir={DATA_DIR}"),
        format!("clientPort={CLIENT_PORT}"),
        "maxClientCnxns=0".to_owned(),
        "admin.enableServer=false".to_owned(),
        "4lw.commands.whitelist=srvr".to_owned(),
    ];
    let (follow, elect) = PEER_PORTS;
    lines.extend(nodes.iter().map(|(id, at)| format!("server.{}={at}:{follow}:{elect}", id.0)));
    lines.push(String::new());
    lines.join("\n")
}

/// The line of a log that best says why the program ended: the last one that is grave, else the last one.
#[must_use]
pub fn last_words(log: &str) -> Option<String> {
    let mut lines = log.lines().map(str::trim).filter(|line| !line.is_empty());
    let grave = log.lines().rfind(|line| line.contains("ERROR") || line.contains("Error:"));
    grave.map(str::trim).or(lines.next_back()).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_told_of_all_servers() {
        let nodes: Vec<_> =
            (1..=3).map(|n| (NodeId(n), Ipv4Addr::new(10, 0, 0, n as u8))).collect();
        let config = config(&nodes, 3);
        for line in ["tickTime=600", "server.2=10.0.0.2:2888:3888", "clientPort=2181"] {
            assert!(config.lines().any(|l| l == line), "{line} is missing in {config}");
        }
    }

    #[test]
    fn the_version_is_found_in_what_the_program_prints() {
        let printed = "Apache ZooKeeper, version 3.8.0 2023-10-20 11:19 UTC\n";
        assert_eq!(version(printed), Some("3.8.0"));
        assert_eq!(version("Error: Could not find or load main class"), None);
    }

    #[test]
    fn last_words_prefer_what_is_grave() {
        let log = "[main] INFO starting\n[main] ERROR Invalid config, exiting abnormally\n[main] INFO bye\n\n";
        assert_eq!(last_words(log).unwrap(), "[main] ERROR Invalid config, exiting abnormally");
        assert_eq!(last_words("x\n").unwrap(), "x");
        assert_eq!(last_words(""), None);
    }
}
