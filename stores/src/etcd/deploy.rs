//! How a member is started.
//!
//! Sources: etcd's `Documentation/op-guide/{configuration,clustering}.md` and `tuning.md`.

use super::members::{CLIENT_PORT, Member, PEER_PORT};

/// The program, as Debian's package `etcd-server` installs it.
pub const PROGRAM: &str = "etcd";
/// The member's data, on its node.
pub const DATA_DIR: &str = "/var/lib/keelhaul/etcd";

/// Milliseconds between a leader's heartbeats; etcd's default. Five members on two cores exchange them in time, and
/// nodes of one cluster are never farther apart than a local network.
const HEARTBEAT_MS: u32 = 100;
/// Milliseconds without a heartbeat after which a member calls an election; etcd's default, and ten heartbeats as its
/// tuning guide advises: fewer turn a busy test machine into leader changes that no fault asked for.
const ELECTION_MS: u32 = 1000;
/// Entries between two snapshots, where they are to be frequent. The default of a hundred thousand would never be reached in a short run; with this a
/// member that was away for long is caught up by a snapshot, which is a path worth testing. (etcd keeps five thousand
/// entries behind a snapshot, so a short absence is still made up from the log.)
pub(super) const SNAPSHOT_ENTRIES: u32 = 2000;

/// The flag, without its dashes, by which etcd never syncs: "unsafe; will cause data loss", says its help.
pub const UNSAFE_NO_FSYNC: &str = "unsafe-no-fsync";

/// Whether a member that has no data founds the cluster, or joins one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClusterState {
    /// It is one of the founders.
    New,
    /// The others were there before it.
    Existing,
}

impl ClusterState {
    const fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Existing => "existing",
        }
    }
}

/// The command line of `member`, one of `members`. It is the same for the first start and for every later one: a member
/// that finds its data ignores the `initial-cluster` flags. On slow nodes heartbeats and elections take `timeout_factor` times as long.
#[must_use]
pub fn argv(
    member: &Member,
    members: &[Member],
    data_dir: &str,
    timeout_factor: u32,
    state: ClusterState,
) -> Vec<String> {
    let url = |m: &Member, port: u16| format!("http://{}:{port}", m.address);
    let peers: Vec<_> = members.iter().map(|m| format!("{}={}", m.id, url(m, PEER_PORT))).collect();
    let flags = [
        ("name", member.id.to_string()),
        ("data-dir", data_dir.to_owned()),
        ("listen-peer-urls", url(member, PEER_PORT)),
        ("initial-advertise-peer-urls", url(member, PEER_PORT)),
        ("listen-client-urls", url(member, CLIENT_PORT)),
        ("advertise-client-urls", url(member, CLIENT_PORT)),
        ("initial-cluster", peers.join(",")),
        ("initial-cluster-state", state.as_str().to_owned()),
        ("initial-cluster-token", "keelhaul".to_owned()),
        ("heartbeat-interval", (HEARTBEAT_MS * timeout_factor).to_string()),
        ("election-timeout", (ELECTION_MS * timeout_factor).to_string()),
        // A compaction may answer a read with an error of its own; no workload asks for one.
        ("auto-compaction-retention", "0".to_owned()),
        ("logger", "zap".to_owned()),
        ("log-level", "info".to_owned()),
    ];
    let flags = flags.into_iter().map(|(name, value)| format!("--{name}={value}"));
    std::iter::once(PROGRAM.to_owned()).chain(flags).collect()
}

/// Variables for the program. Releases before 3.5 start on this architecture only when told that its user knows them to
/// be experimental there; elsewhere the variable is ignored.
#[must_use]
pub fn env() -> Vec<(String, String)> {
    vec![("ETCD_UNSUPPORTED_ARCH".to_owned(), "arm64".to_owned())]
}

/// The release in what `etcd --version` prints.
#[must_use]
pub fn version(printed: &str) -> Option<&str> {
    printed.lines().find_map(|line| line.strip_prefix("etcd Version: ")).map(str::trim)
}

/// The sentence in a log that best says why the program ended: the last one above a warning, else the last one.
#[must_use]
pub fn last_words(log: &str) -> Option<String> {
    let mut last = None;
    let mut grave = None;
    for line in log.lines().filter(|line| !line.trim().is_empty()) {
        let entry: Option<LogEntry> = serde_json::from_str(line).ok();
        let is_grave = entry
            .as_ref()
            .is_some_and(|e| matches!(e.level.as_str(), "error" | "fatal" | "panic" | "dpanic"));
        let words = entry.map_or_else(|| line.trim().to_owned(), LogEntry::into_words);
        if is_grave {
            grave = Some(words.clone());
        }
        last = Some(words);
    }
    grave.or(last)
}

/// A line of etcd's log.
#[derive(serde::Deserialize)]
struct LogEntry {
    level: String,
    msg: String,
    error: Option<String>,
}

impl LogEntry {
    fn into_words(self) -> String {
        match self.error {
            Some(error) => format!("{}: {error}", self.msg),
            None => self.msg,
        }
    }
}

#[cfg(test)]
mod tests {
    use keelhaul_history::NodeId;

    use super::*;

    #[test]
    fn a_member_is_told_of_all_members() {
        let members: Vec<_> = (1..=3)
            .map(|n| Member { id: NodeId(n), address: [10, 0, 0, n as u8].into() })
            .collect();
        let argv = argv(&members[1], &members, "/d", 3, ClusterState::Existing);
        for flag in [
            "--name=n2",
            "--data-dir=/d",
            "--initial-cluster-state=existing",
            "--election-timeout=3000",
            "--listen-client-urls=http://10.0.0.2:2379",
            "--initial-cluster=n1=http://10.0.0.1:2380,n2=http://10.0.0.2:2380,n3=http://10.0.0.3:2380",
        ] {
            assert!(argv.iter().any(|a| a == flag), "{flag} is missing in {argv:?}");
        }
    }

    #[test]
    fn the_version_is_found_in_what_the_program_prints() {
        assert_eq!(version("etcd Version: 3.4.23\nGit SHA: Not provided\n"), Some("3.4.23"));
        assert_eq!(version("usage: etcd"), None);
    }

    #[test]
    fn last_words_prefer_what_is_grave() {
        let fatal = r#"{"level":"fatal","msg":"discovery failed","error":"listen tcp: address already in use"}"#;
        let info = r#"{"level":"info","msg":"stopped"}"#;
        let expected = "discovery failed: listen tcp: address already in use";
        assert_eq!(last_words(&format!("{info}\n{fatal}\n{info}\n")).unwrap(), expected);
        assert_eq!(last_words(info).unwrap(), "stopped");
        assert_eq!(last_words("panic: x\n\n").unwrap(), "panic: x");
        assert_eq!(last_words(""), None);
    }
}
