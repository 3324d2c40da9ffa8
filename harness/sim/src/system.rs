//! What is simulated: which protocol the nodes run, and what the simulator needs of a protocol beside what its process needs.
//!
//! A protocol comes in with one file that implements [`Simulated`], and a variant of [`System`]. Storage, clients, interpreter, workloads,
//! faults and checkers are the same for all of them.

use std::error::Error;
use std::str::FromStr;

use keelhaul_nemesis::Moment;
use keelhaul_protocol::api::{Effect, Nanos, NodeId, Stored, Vocabulary};
use keelhaul_protocol::membership::Membership;
use keelhaul_protocol::{self as protocol, paxos, raft, zab};
use keelhaul_server::Protocol;
use rand_chacha::ChaCha8Rng;

use crate::plan::SimPlan;

/// The times of the nodes, ms: those of live nodes (`keelhaul_stores::raft`).
pub(crate) const ELECTION_MS: (u64, u64) = (250, 500);
pub(crate) const HEARTBEAT_MS: u64 = 50;

/// A protocol of ours, and the mistake that is seeded into it, if any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum System {
    /// Raft.
    Raft(Option<raft::Mutant>),
    /// Multi-Paxos.
    Paxos(Option<paxos::Mutant>),
    /// Zab.
    Zab(Option<zab::Mutant>),
}

impl System {
    /// From the names of a store and of a mistake, as a plan has them. None if no such store can be simulated.
    ///
    /// # Errors
    /// That the store's nodes cannot be told to make that mistake.
    pub fn named(
        store: &str,
        mutant: Option<&str>,
    ) -> Result<Option<Self>, Box<dyn Error + Send + Sync>> {
        Ok(match store {
            "raft" => Some(Self::Raft(mutant.map(raft::Mutant::from_str).transpose()?)),
            "paxos" => Some(Self::Paxos(mutant.map(paxos::Mutant::from_str).transpose()?)),
            "zab" => Some(Self::Zab(mutant.map(zab::Mutant::from_str).transpose()?)),
            _ => None,
        })
    }

    /// The store's name.
    #[must_use]
    pub const fn store(self) -> &'static str {
        match self {
            Self::Raft(_) => "raft",
            Self::Paxos(_) => "paxos",
            Self::Zab(_) => "zab",
        }
    }

    /// The mistake's name.
    #[must_use]
    pub fn mutant(self) -> Option<&'static str> {
        match self {
            Self::Raft(mutant) => mutant.map(raft::Mutant::name),
            Self::Paxos(mutant) => mutant.map(paxos::Mutant::name),
            Self::Zab(mutant) => mutant.map(zab::Mutant::name),
        }
    }

    /// Whether its members can be changed.
    #[must_use]
    pub const fn has_membership(self) -> bool {
        matches!(self, Self::Raft(_))
    }

    /// Whether its leaders can answer reads alone while they hold a lease.
    #[must_use]
    pub const fn has_leases(self) -> bool {
        matches!(self, Self::Raft(_) | Self::Paxos(_))
    }
}

/// Makes a node: from its settings, what its disk held, the time that its clock shows, and its chances. What it wants done at its start is added
/// to the effects.
pub(crate) type New<P> = fn(
    <P as Simulated>::Config,
    Stored<<P as Protocol>::Message>,
    Nanos,
    ChaCha8Rng,
    &mut Vec<Effect<<P as Protocol>::Message>>,
) -> P;

/// A protocol whose nodes can be simulated.
///
/// Numbers that name a leader's time in office (term, epoch, ballot) are all called *term* here; each grows, and each has one leader.
pub(crate) trait Simulated: Protocol + Sized + 'static {
    /// The protocol's name, as its data directory has it.
    const NAME: &'static str;
    /// Whether two logs with the same entry at an index are the same up to there, as in Raft and Zab. Where they are not, each entry is committed
    /// by itself.
    const LOGS_MATCH: bool;
    /// A node from its settings and what its disk held.
    const NEW: New<Self>;
    /// Mistakes that can be seeded into it.
    type Mutant: Copy + std::fmt::Debug;
    /// What a node is told when it starts.
    type Config;

    /// The settings of one node of a cluster that begins with these members. Its clients are those of `keelhaul_stores::raft`; its times should be those of its live nodes.
    fn config(
        id: NodeId,
        members: Vec<NodeId>,
        plan: &SimPlan,
        mutant: Option<Self::Mutant>,
    ) -> Self::Config;

    /// The mistake, if it is one that the storage makes.
    fn in_storage(_mutant: Self::Mutant) -> Option<protocol::Mutant> {
        None
    }

    /// How it stands. Asked after every step: to cost a few loads.
    fn standing(&self) -> Standing;

    /// Whether the nodes for which `is` holds are a quorum, by the membership in force on this node.
    fn is_quorum(&self, is: impl Fn(NodeId) -> bool) -> bool;

    /// Whether a node belongs to the cluster, by the membership in force on this one.
    fn is_member(&self, node: NodeId) -> bool;

    /// The membership in force on this node, if members can come and go and nothing that it knows of is about to change it.
    fn settled(&self) -> Option<&Membership> {
        None
    }

    /// A hash of the state machine.
    fn digest(&self) -> u64;

    /// Whether it leads, has committed an entry of its own term, and takes commands: what a cluster that became well shows.
    fn is_established(&self) -> bool;

    /// The time in office of the leader who made an entry of the log.
    fn made_in(entry: &<Self::Message as Vocabulary>::Entry) -> <Self::Message as Vocabulary>::Era;

    /// The term that a message gives away when a node sends it, and to whom, where a node may give each away once: a vote. Paxos has none, since a
    /// ballot is its proposer's own.
    fn vote(_message: &Self::Message, _from: NodeId, _to: NodeId) -> Option<(u64, NodeId)> {
        None
    }

    /// The moment that has come about when this message is sent, if faults can be aimed at it.
    fn moment(message: &Self::Message) -> Option<Moment>;

    /// A message in a few words, and whether it is routine: heartbeats and their like, which no story needs.
    fn describe(message: &Self::Message) -> (String, bool);
}

/// How a node stands, as far as the simulator looks at it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Standing {
    /// The term that it is in.
    pub(crate) term: u64,
    /// Whether it leads in it.
    pub(crate) leads: bool,
    /// Who does, as far as it knows.
    pub(crate) leader: Option<NodeId>,
    /// Term and index of the last entry of its log.
    pub(crate) last: (u64, u64),
    /// How far it knows its log to be committed, without a gap.
    pub(crate) committed: u64,
    /// How far it has applied it.
    pub(crate) applied: u64,
    /// What else tells its state from another for a search, such as its role, in 16 bits; not 0.
    pub(crate) facts: u16,
}
