//! What a node is told when it is started.
//!
//! The flags are this module's own, so that whoever starts a node ([`ServerArgs::to_flags`]) and the node itself
//! ([`ServerArgs::from_flags`]) cannot disagree on them.

use std::net::SocketAddr;
use std::path::PathBuf;

use keelhaul_protocol::Mutant;
use keelhaul_protocol::api::NodeId;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use crate::error::ArgsError;

/// Every flag, each followed by a value.
pub(crate) const FLAGS: [&str; 13] = [
    "--id",
    "--peers",
    "--peer-listen",
    "--client-listen",
    "--data",
    "--cluster",
    "--seed",
    "--read",
    "--mutant",
    "--election-ms",
    "--heartbeat-ms",
    "--snapshot-entries",
    "--voters",
];

/// Which protocol a node speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProtocolKind {
    /// Raft.
    Raft,
    /// Multi-Paxos.
    Paxos,
    /// Zab.
    Zab,
}

impl ProtocolKind {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::Raft, Self::Paxos, Self::Zab];

    /// Its name, as on the command line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Raft => "raft",
            Self::Paxos => "paxos",
            Self::Zab => "zab",
        }
    }

    /// The protocol of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }

    /// How it can answer reads; the first is what it does by itself.
    #[must_use]
    pub const fn reads(self) -> &'static [Reads] {
        match self {
            Self::Raft | Self::Paxos => &[Reads::Quorum, Reads::Lease],
            Self::Zab => &[Reads::Quorum, Reads::Local],
        }
    }
}

/// How a node answers reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reads {
    /// Linearizably: a quorum is asked each time.
    #[default]
    Quorum,
    /// Linearizably, as long as clocks run at about the same rate: the leader alone, while it holds a lease.
    Lease,
    /// From whatever the node at hand has applied.
    Local,
}

impl Reads {
    const ALL: [Self; 3] = [Self::Quorum, Self::Lease, Self::Local];

    /// Its name, as on the command line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Quorum => "index",
            Self::Lease => "lease",
            Self::Local => "local",
        }
    }
}

/// Times that replace the protocol's own defaults, where given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timing {
    /// Shortest and longest election timeout, in milliseconds.
    pub election_ms: Option<(u64, u64)>,
    /// Time between a leader's heartbeats, in milliseconds.
    pub heartbeat_ms: Option<u64>,
}

/// All that a node needs to know.
#[derive(Clone, Debug, PartialEq)]
pub struct ServerArgs {
    /// What it speaks.
    pub protocol: ProtocolKind,
    /// Which member it is.
    pub id: NodeId,
    /// All nodes that are or could become members, and where each listens for the others, this one included; in order of their
    /// numbers.
    pub peers: Vec<(NodeId, SocketAddr)>,
    /// Where it listens for the other members.
    pub listen_peer: SocketAddr,
    /// Where it listens for clients.
    pub listen_client: SocketAddr,
    /// Where it keeps its data; made if absent.
    pub data_dir: PathBuf,
    /// Number of the cluster: nodes and data of another one are turned away.
    pub cluster: u64,
    /// Seed of its random choices; each node of a cluster draws from a stream of its own.
    pub seed: u64,
    /// How it answers reads; one of [`ProtocolKind::reads`].
    pub reads: Reads,
    /// A deliberate mistake to make.
    pub mutant: Option<Mutant>,
    /// Times that replace the protocol's own.
    pub timing: Timing,
    /// Entries after which a snapshot replaces them, if not the protocol's own choice.
    pub snapshot_entries: Option<u64>,
    /// Those of the peers that the cluster begins with, if not all; what is stored counts more.
    pub voters: Option<Vec<NodeId>>,
}

impl ServerArgs {
    /// Reads flags, each followed by its value.
    ///
    /// # Errors
    /// The first flag that is unknown, lacks a value, has a wrong one, or is missing.
    pub fn from_flags(
        protocol: ProtocolKind,
        flags: impl IntoIterator<Item = String>,
    ) -> Result<Self, ArgsError> {
        let mut draft = Draft::default();
        let mut flags = flags.into_iter();
        while let Some(flag) = flags.next() {
            if !FLAGS.contains(&flag.as_str()) {
                return Err(ArgsError::UnknownFlag(flag));
            }
            let value = flags.next().ok_or_else(|| ArgsError::NoValue(flag.clone()))?;
            draft.set(&flag, &value)?;
        }
        draft.finish(protocol)
    }

    /// The flags that [`ServerArgs::from_flags`] reads as these arguments.
    #[must_use]
    pub fn to_flags(&self) -> Vec<String> {
        let peers: Vec<_> =
            self.peers.iter().map(|(id, address)| format!("{}={address}", id.0)).collect();
        let mut flags = Vec::new();
        let mut flag = |name: &str, value: String| flags.extend([name.to_owned(), value]);
        flag("--id", self.id.0.to_string());
        flag("--peers", peers.join(","));
        flag("--peer-listen", self.listen_peer.to_string());
        flag("--client-listen", self.listen_client.to_string());
        flag("--data", self.data_dir.to_string_lossy().into_owned());
        flag("--cluster", self.cluster.to_string());
        flag("--seed", self.seed.to_string());
        if self.reads != Reads::default() {
            flag("--read", self.reads.as_str().to_owned());
        }
        if let Some(mutant) = self.mutant {
            flag("--mutant", mutant.name().to_owned());
        }
        if let Some((min, max)) = self.timing.election_ms {
            flag("--election-ms", format!("{min}-{max}"));
        }
        if let Some(heartbeat) = self.timing.heartbeat_ms {
            flag("--heartbeat-ms", heartbeat.to_string());
        }
        if let Some(entries) = self.snapshot_entries {
            flag("--snapshot-entries", entries.to_string());
        }
        if let Some(voters) = &self.voters {
            let voters: Vec<_> = voters.iter().map(|id| id.0.to_string()).collect();
            flag("--voters", voters.join(","));
        }
        flags
    }

    /// One stream a node: the nodes of a cluster share a seed and must not choose alike.
    pub(crate) fn generator(&self) -> ChaCha8Rng {
        let mut generator = ChaCha8Rng::seed_from_u64(self.seed);
        generator.set_stream(u64::from(self.id.0));
        generator
    }
}

/// Arguments being read.
#[derive(Debug, Default)]
struct Draft {
    id: Option<u16>,
    peers: Vec<(NodeId, SocketAddr)>,
    listen_peer: Option<SocketAddr>,
    listen_client: Option<SocketAddr>,
    data_dir: Option<PathBuf>,
    cluster: u64,
    seed: u64,
    reads: Reads,
    mutant: Option<Mutant>,
    timing: Timing,
    snapshot_entries: Option<u64>,
    voters: Option<Vec<NodeId>>,
}

impl Draft {
    fn set(&mut self, flag: &str, value: &str) -> Result<(), ArgsError> {
        let bad = |expected| ArgsError::BadValue {
            flag: flag.to_owned(),
            value: value.to_owned(),
            expected,
        };
        let number = || value.parse().map_err(|_| bad("a whole number"));
        let positive = || {
            value
                .parse()
                .ok()
                .filter(|&number| number > 0)
                .ok_or_else(|| bad("a whole number above 0"))
        };
        let address = || value.parse().map_err(|_| bad("an address like 10.77.0.1:7001"));
        match flag {
            "--id" => self.id = Some(value.parse().map_err(|_| bad("a node number"))?),
            "--peers" => {
                self.peers = peers(value)
                    .ok_or_else(|| bad("a list like 1=10.77.0.1:7001,2=10.77.0.2:7001"))?;
            }
            "--peer-listen" => self.listen_peer = Some(address()?),
            "--client-listen" => self.listen_client = Some(address()?),
            "--data" => self.data_dir = Some(PathBuf::from(value)),
            "--cluster" => self.cluster = number()?,
            "--seed" => self.seed = number()?,
            "--read" => {
                let known = Reads::ALL.into_iter().find(|reads| reads.as_str() == value);
                self.reads = known.ok_or_else(|| bad("index, lease or local"))?;
            }
            "--mutant" => self.mutant = Some(value.parse()?),
            "--election-ms" => {
                self.timing.election_ms =
                    Some(range(value).ok_or_else(|| bad("a range like 150-300"))?);
            }
            "--heartbeat-ms" => self.timing.heartbeat_ms = Some(positive()?),
            "--snapshot-entries" => self.snapshot_entries = Some(positive()?),
            "--voters" => {
                self.voters = Some(voters(value).ok_or_else(|| bad("a list like 1,2,3"))?);
            }
            _ => return Err(ArgsError::UnknownFlag(flag.to_owned())),
        }
        Ok(())
    }

    fn finish(mut self, protocol: ProtocolKind) -> Result<ServerArgs, ArgsError> {
        let id = NodeId(self.id.ok_or(ArgsError::Required("--id"))?);
        if self.peers.is_empty() {
            return Err(ArgsError::Required("--peers"));
        }
        self.peers.sort_unstable();
        if self.peers.windows(2).any(|pair| pair[0].0 == pair[1].0) {
            return Err(ArgsError::Conflict("--peers names a node twice"));
        }
        let is_peer = |voter: &NodeId| self.peers.iter().any(|(peer, _)| peer == voter);
        if self.voters.as_ref().is_some_and(|voters| !voters.iter().all(is_peer)) {
            return Err(ArgsError::Conflict("--voters names a node that --peers does not"));
        }
        if !protocol.reads().contains(&self.reads) {
            return Err(ArgsError::NotOffered {
                protocol: protocol.as_str(),
                what: format!("--read {}", self.reads.as_str()),
            });
        }
        if let Some(mutant) = self.mutant
            && !mutant.is_made_by(protocol.as_str())
        {
            let what = format!("--mutant {mutant}");
            return Err(ArgsError::NotOffered { protocol: protocol.as_str(), what });
        }
        if self.voters.is_some() && protocol != ProtocolKind::Raft {
            let what = "--voters: its members are fixed".to_owned();
            return Err(ArgsError::NotOffered { protocol: protocol.as_str(), what });
        }
        let own = self.peers.iter().find(|(peer, _)| *peer == id).map(|(_, address)| *address);
        let own = own.ok_or(ArgsError::Conflict("--peers must name the node of --id too"))?;
        Ok(ServerArgs {
            protocol,
            id,
            peers: self.peers,
            listen_peer: self.listen_peer.unwrap_or(own),
            listen_client: self.listen_client.ok_or(ArgsError::Required("--client-listen"))?,
            data_dir: self.data_dir.ok_or(ArgsError::Required("--data"))?,
            cluster: self.cluster,
            seed: self.seed,
            reads: self.reads,
            mutant: self.mutant,
            timing: self.timing,
            snapshot_entries: self.snapshot_entries,
            voters: self.voters,
        })
    }
}

fn peers(list: &str) -> Option<Vec<(NodeId, SocketAddr)>> {
    let peer = |item: &str| {
        let (id, address) = item.split_once('=')?;
        Some((NodeId(id.parse().ok()?), address.parse().ok()?))
    };
    list.split(',').map(peer).collect()
}

fn voters(list: &str) -> Option<Vec<NodeId>> {
    list.split(',').map(|id| Some(NodeId(id.parse().ok()?))).collect()
}

fn range(text: &str) -> Option<(u64, u64)> {
    let (min, max) = text.split_once('-')?;
    let range: (u64, u64) = (min.parse().ok()?, max.parse().ok()?);
    (0 < range.0 && range.0 < range.1).then_some(range)
}

#[cfg(test)]
mod tests {
    use super::*;
    use keelhaul_protocol::raft;

    const MINIMAL: &str =
        "--id 2 --peers 2=10.77.0.2:7001,1=10.77.0.1:7001 --client-listen 10.77.0.2:7002 --data d";

    fn parse(flags: &str) -> Result<ServerArgs, ArgsError> {
        parse_for(ProtocolKind::Raft, flags)
    }

    fn parse_for(protocol: ProtocolKind, flags: &str) -> Result<ServerArgs, ArgsError> {
        ServerArgs::from_flags(protocol, flags.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn a_protocol_says_what_it_does_not_offer() {
        let refusal = |protocol, flag: &str| {
            parse_for(protocol, &format!("{MINIMAL} {flag}")).expect_err(flag).to_string()
        };
        let expected = "raft does not offer --mutant own-value";
        assert_eq!(refusal(ProtocolKind::Raft, "--mutant own-value"), expected);
        let expected = "paxos does not offer --voters: its members are fixed";
        assert_eq!(refusal(ProtocolKind::Paxos, "--voters 1,2"), expected);
    }

    #[test]
    fn flags_survive_the_way_there_and_back() {
        let rich = "--peer-listen 0.0.0.0:7001 --cluster 7 --seed 42 --election-ms 150-300 --heartbeat-ms 50 --read lease \
                    --snapshot-entries 1000 --voters 1";
        let mutant = raft::Mutant::all().last().expect("there are some");
        for flags in [
            MINIMAL.to_owned(),
            format!("{MINIMAL} {rich}"),
            format!("{MINIMAL} --mutant {mutant}"),
        ] {
            let args = parse(&flags).expect("valid");
            assert_eq!(ServerArgs::from_flags(ProtocolKind::Raft, args.to_flags()), Ok(args));
        }
    }

    #[test]
    fn a_node_listens_where_the_others_look_for_it() {
        let args = parse(MINIMAL).expect("valid");
        assert_eq!(args.listen_peer.to_string(), "10.77.0.2:7001");
        assert_eq!(args.peers.iter().map(|(id, _)| id.0).collect::<Vec<_>>(), [1, 2]);
    }

    #[test]
    fn each_mistake_is_named() {
        let check = |flags: &str, expected: &str| {
            let error = parse(&format!("{MINIMAL} {flags}")).expect_err(flags).to_string();
            assert!(error.starts_with(expected), "{flags}: {error}");
        };
        check("--bogus 1", "unknown flag --bogus; the flags are --id --peers");
        check("--seed", "--seed needs a value");
        check("--seed x", "--seed x is not a whole number");
        check("--id 3", "--peers must name the node of --id too");
        check("--peers 2=10.77.0.2:1,2=10.77.0.2:2", "--peers names a node twice");
        check("--peers 2", "--peers 2 is not a list like");
        check("--read local", "raft does not offer --read local");
        check("--read stale", "--read stale is not index, lease or local");
        check("--mutant none-such", "unknown mutant 'none-such'");
        check("--election-ms 300-150", "--election-ms 300-150 is not a range like");
        check("--voters 1,x", "--voters 1,x is not a list like 1,2,3");
        check("--voters 1,3", "--voters names a node that --peers does not");
        check("--heartbeat-ms 0", "--heartbeat-ms 0 is not a whole number above 0");
        assert_eq!(parse("--id 1"), Err(ArgsError::Required("--peers")));
        assert_eq!(parse(""), Err(ArgsError::Required("--id")));
    }
}
