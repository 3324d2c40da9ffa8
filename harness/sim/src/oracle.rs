//! What must hold inside the cluster, looked at after every step of every node (Raft's paper, figure 3; in words that fit other protocols).
//!
//! * **Vote safety**: a node votes once a term, whatever became of its disk and its process since.
//! * **Election safety**: one leader a term.
//! * **Log matching**: entries of one index and term are the same, and follow the same one where the protocol promises that.
//! * **Leader completeness**: who comes to lead has every entry that was committed in an earlier term, where logs match.
//! * **State-machine safety**: nodes apply the same entry at an index; machines that applied equally much have equal digests.
//! * **Durability**: what is committed is on the disks of a quorum, whatever the nodes believe of their disks.
//!
//! The oracle keeps each node's log as the node asked its disk to store it, since a step may apply and compact at once what it has just
//! been given. An entry is compared by a fingerprint of 64 bits; whatever is asked after a step costs a few loads.
//!
//! A quorum is one of the membership in force on the node that takes an entry for committed: the leader's, since nobody knows it sooner.

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{Hash, Hasher};

use keelhaul_protocol::api::{Effect, Era, LogEntry, NodeId, Payload, Stored, Vocabulary};
use serde::{Deserialize, Serialize};

use crate::system::{Simulated, Standing};

/// Which promise was broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Invariant {
    /// One vote a node and term.
    VoteSafety,
    /// One leader a term.
    ElectionSafety,
    /// Logs that share an entry share what is before.
    LogMatching,
    /// A leader has what was committed before it led.
    LeaderCompleteness,
    /// Nodes apply the same.
    StateMachineSafety,
    /// What is committed is stored by a quorum.
    Durability,
}

impl Invariant {
    /// The name, as reports and `shrink` use it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::VoteSafety => "vote-safety",
            Self::ElectionSafety => "election-safety",
            Self::LogMatching => "log-matching",
            Self::LeaderCompleteness => "leader-completeness",
            Self::StateMachineSafety => "state-machine-safety",
            Self::Durability => "durability",
        }
    }
}

impl fmt::Display for Invariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An invariant that does not hold, and how that shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// Which.
    pub invariant: Invariant,
    /// At the node that just took a step, the last of them: nodes are counted from 1.
    pub nodes: Vec<u16>,
    /// In one sentence.
    pub sentence: String,
    /// When that was seen, nanoseconds of virtual time; whoever knows the time says so.
    pub at_ns: u64,
}

fn broken<T>(
    invariant: Invariant,
    nodes: impl IntoIterator<Item = usize>,
    sentence: String,
) -> Result<T, Broken> {
    let nodes = nodes.into_iter().map(|node| node as u16 + 1).collect();
    Err(Broken { invariant, nodes, sentence, at_ns: 0 })
}

/// What tells an entry from others at its index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mark {
    /// The term of the leader who made it.
    term: u64,
    /// Its fingerprint, not 0.
    value: u64,
}

impl Mark {
    /// Where logs match, an index has one entry of a term, and the term tells it from others too; where they do not, one value may be
    /// chosen under any ballot, and is the same.
    fn of<P: Simulated>(entry: &<P::Message as Vocabulary>::Entry) -> Self {
        let (mut fnv, term) = (Fnv::default(), P::made_in(entry).number());
        if P::LOGS_MATCH {
            term.hash(&mut fnv);
        }
        match entry.payload() {
            Payload::Command { session, sequence, command } => {
                (session, sequence, command).hash(&mut fnv);
            }
            Payload::Membership(membership) => membership.hash(&mut fnv),
            other => std::mem::discriminant(other).hash(&mut fnv),
        }
        Self { term, value: fnv.finish() }
    }
}

/// A change to a node's log, as the node asks its disk to store it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    /// The log ends before this index.
    Cut(u64),
    /// An entry takes its place.
    Put(u64, Mark),
    /// A snapshot that ends with this index takes the place of the whole log.
    Install(u64),
    /// A snapshot that ends with this index stands for the entries up to there; what the log holds for them counts no more.
    Cover(u64),
}

/// A log's entries, by their fingerprints. What came in a snapshot is known by its end alone.
#[derive(Clone, Debug, Default)]
struct Log {
    /// The last entry of the newest snapshot that was installed.
    covered: u64,
    /// Of the entries after index 0; 0 where a snapshot covers it, or there is none.
    values: Vec<u64>,
}

impl Log {
    fn value(&self, index: u64) -> Option<u64> {
        self.values.get(place(index.checked_sub(1)?)).copied().filter(|value| *value > 0)
    }

    fn holds(&self, index: u64, value: u64) -> bool {
        index <= self.covered || self.value(index) == Some(value)
    }

    fn change(&mut self, change: Change) {
        match change {
            Change::Cut(from) => self.values.truncate(place(from - 1)),
            Change::Put(index, Mark { value, .. }) => {
                let at = place(index - 1);
                if at >= self.values.len() {
                    self.values.resize(at, 0);
                    self.values.push(value);
                } else {
                    self.values[at] = value;
                }
            }
            Change::Install(last) => {
                self.covered = last;
                self.values.clear();
            }
            Change::Cover(last) => self.covered = last,
        }
    }
}

fn place(index: u64) -> usize {
    usize::try_from(index).unwrap_or(usize::MAX)
}

/// What is known of one node.
#[derive(Debug, Default)]
struct Seen {
    log: Log,
    stored: Log,
    /// Asked for, and not stored yet, in order.
    asked: Vec<Change>,
    applied: u64,
    leads: u64,
}

/// An entry that was in some log.
#[derive(Clone, Copy, Debug)]
struct Known {
    term: u64,
    before: Option<u64>,
    value: u64,
}

/// The last entry that any node knew to be committed.
#[derive(Clone, Copy, Debug, Default)]
struct Committed {
    index: u64,
    term: u64,
    value: u64,
}

/// What the cluster has committed itself to so far.
#[derive(Debug, Default)]
pub(crate) struct Oracle {
    leaders: BTreeMap<u64, usize>,
    /// By node and term, for whom.
    votes: BTreeMap<(usize, u64), NodeId>,
    /// By index, every entry that was ever in a log. Mostly one.
    entries: Vec<Vec<Known>>,
    nodes: Vec<Seen>,
    /// What was applied, by whichever node came first; 0 where all had it from a snapshot.
    applied: Vec<u64>,
    digests: Vec<Option<u64>>,
    committed: Committed,
}

impl Oracle {
    pub(crate) fn new(nodes: usize) -> Self {
        Self { nodes: (0..nodes).map(|_| Seen::default()).collect(), ..Self::default() }
    }

    /// Index of the last entry known to be committed.
    pub(crate) const fn committed(&self) -> u64 {
        self.committed.index
    }

    /// A node has started with what its disk held.
    pub(crate) fn restarted<P: Simulated>(&mut self, node: usize, stored: &Stored<P::Message>) {
        let mut log = Log::default();
        if let Some(snapshot) = &stored.snapshot {
            log.change(Change::Install(snapshot.last_index.0));
        }
        for entry in &stored.entries {
            log.change(Change::Put(entry.index().0, Mark::of::<P>(entry)));
        }
        let applied = log.covered;
        self.nodes[node] = Seen { stored: log.clone(), log, asked: Vec::new(), applied, leads: 0 };
    }

    /// A node's disk was emptied by an operator: nobody holds it to its votes.
    pub(crate) fn wiped(&mut self, node: usize) {
        self.votes.retain(|(voter, _), _| *voter != node);
    }

    /// A node has taken a step, stands so now, and wants this done.
    pub(crate) fn stepped<P: Simulated>(
        &mut self,
        node: usize,
        protocol: &P,
        standing: &Standing,
        effects: &[Effect<P::Message>],
    ) -> Result<(), Broken> {
        for effect in effects {
            match effect {
                Effect::Append(entries) => self.appended::<P>(node, entries)?,
                Effect::Put(entries) => self.put_all::<P>(node, entries)?,
                Effect::Truncate(from) => self.changed(node, Change::Cut(from.0)),
                Effect::Send { to, message } => {
                    if let Some((term, whom)) = P::vote(message, NodeId(node as u16 + 1), *to) {
                        self.votes(node, term, whom)?;
                    }
                }
                Effect::SaveSnapshot { snapshot, keep_log: false, .. } => {
                    self.changed(node, Change::Install(snapshot.last_index.0));
                }
                // Perhaps one of another node: what this one held for these entries was perhaps never committed.
                Effect::SaveSnapshot { snapshot, .. }
                    if !P::LOGS_MATCH && snapshot.last_index.0 > self.nodes[node].applied =>
                {
                    self.changed(node, Change::Cover(snapshot.last_index.0));
                }
                _ => {}
            }
        }
        if standing.leads && self.nodes[node].leads != standing.term {
            self.nodes[node].leads = standing.term;
            self.leads::<P>(node, standing.term)?;
        }
        if standing.applied != self.nodes[node].applied {
            self.applied(node, protocol, standing.applied)?;
        }
        if standing.committed > self.committed.index {
            self.committed_by(node, protocol, standing.committed)?;
        }
        Ok(())
    }

    /// A node's disk has stored everything that was asked of it when it had asked for so much.
    pub(crate) fn synced(&mut self, node: usize, asked: usize) {
        let seen = &mut self.nodes[node];
        for change in seen.asked.drain(..asked.min(seen.asked.len())) {
            seen.stored.change(change);
        }
    }

    /// How much a node's disk was asked to store and has not stored yet.
    pub(crate) fn asked(&self, node: usize) -> usize {
        self.nodes[node].asked.len()
    }

    fn changed(&mut self, node: usize, change: Change) {
        let seen = &mut self.nodes[node];
        seen.log.change(change);
        seen.asked.push(change);
    }

    fn appended<P: Simulated>(
        &mut self,
        node: usize,
        entries: &[<P::Message as Vocabulary>::Entry],
    ) -> Result<(), Broken> {
        let Some(first) = entries.first() else { return Ok(()) };
        self.changed(node, Change::Cut(first.index().0));
        self.put_all::<P>(node, entries)
    }

    fn put_all<P: Simulated>(
        &mut self,
        node: usize,
        entries: &[<P::Message as Vocabulary>::Entry],
    ) -> Result<(), Broken> {
        entries
            .iter()
            .try_for_each(|entry| self.put::<P>(node, entry.index().0, Mark::of::<P>(entry)))
    }

    fn put<P: Simulated>(&mut self, node: usize, index: u64, mark: Mark) -> Result<(), Broken> {
        self.changed(node, Change::Put(index, mark));
        let (Mark { term, value }, seen) = (mark, &self.nodes[node]);
        let before = if P::LOGS_MATCH { seen.log.value(index - 1) } else { None };
        let at = place(index);
        if self.entries.len() <= at {
            self.entries.resize_with(at + 1, Vec::new);
        }
        let Some(known) = self.entries[at].iter_mut().find(|known| known.term == term) else {
            self.entries[at].push(Known { term, before, value });
            return Ok(());
        };
        let fits = known.before.is_none() || before.is_none() || known.before == before;
        if known.value != value || !fits {
            return broken(
                Invariant::LogMatching,
                [node],
                format!(
                    "n{} holds another entry {index} of term {term}, or after another one, than a node before it",
                    node + 1
                ),
            );
        }
        known.before = known.before.or(before);
        Ok(())
    }

    fn votes(&mut self, node: usize, term: u64, whom: NodeId) -> Result<(), Broken> {
        let before = *self.votes.entry((node, term)).or_insert(whom);
        if before == whom {
            return Ok(());
        }
        let voter = node + 1;
        let sentence =
            format!("n{voter} votes for n{} in term {term}, and for n{} too", before.0, whom.0);
        broken(Invariant::VoteSafety, [node], sentence)
    }

    fn leads<P: Simulated>(&mut self, node: usize, term: u64) -> Result<(), Broken> {
        let leader = *self.leaders.entry(term).or_insert(node);
        if leader != node {
            let sentence = format!("n{} and n{} both lead in term {term}", leader + 1, node + 1);
            return broken(Invariant::ElectionSafety, [leader, node], sentence);
        }
        let Committed { index, term: committed_term, value } = self.committed;
        // Whoever led later may have committed more than a leader of an earlier term has. Where every entry is committed by itself a leader may
        // have to ask for it first.
        if !P::LOGS_MATCH || committed_term > term || self.nodes[node].log.holds(index, value) {
            return Ok(());
        }
        broken(
            Invariant::LeaderCompleteness,
            [node],
            format!(
                "n{} leads in term {term} without entry {index} of term {committed_term}, which is committed",
                node + 1
            ),
        )
    }

    fn applied<P: Simulated>(
        &mut self,
        node: usize,
        protocol: &P,
        applied: u64,
    ) -> Result<(), Broken> {
        let seen = &mut self.nodes[node];
        let from = seen.applied;
        seen.applied = applied;
        if applied < from {
            let sentence = format!("n{} went back from entry {from} to entry {applied}", node + 1);
            return broken(Invariant::StateMachineSafety, [node], sentence);
        }
        let end = place(applied);
        if self.applied.len() <= end {
            self.applied.resize(end + 1, 0);
            self.digests.resize(end + 1, None);
        }
        for index in from.max(self.nodes[node].log.covered) + 1..=applied {
            let Some(value) = self.nodes[node].log.value(index) else { continue };
            let known = self.applied[place(index)];
            if known == 0 {
                self.applied[place(index)] = value;
            } else if known != value {
                let (term, before) = (self.term_of(index, value), self.term_of(index, known));
                let sentence = format!(
                    "n{} applied entry {index} of term {term}, where another node applied one of term {before}",
                    node + 1
                );
                return broken(Invariant::StateMachineSafety, [node], sentence);
            }
        }
        let digest = protocol.digest();
        if *self.digests[end].get_or_insert(digest) != digest {
            let sentence = format!(
                "n{} is in another state after entry {applied} than a node before it",
                node + 1
            );
            return broken(Invariant::StateMachineSafety, [node], sentence);
        }
        Ok(())
    }

    fn committed_by<P: Simulated>(
        &mut self,
        node: usize,
        protocol: &P,
        to: u64,
    ) -> Result<(), Broken> {
        // Where logs match, who has an entry has all before it.
        let from = if P::LOGS_MATCH { to } else { self.committed.index + 1 };
        for index in from..=to {
            let Some(value) = self.nodes[node].log.value(index) else {
                // From a snapshot: others had committed it, or this one would be alone with it.
                return broken(
                    Invariant::StateMachineSafety,
                    [node],
                    format!(
                        "n{} knows entry {index} to be committed, and no other node does",
                        node + 1
                    ),
                );
            };
            let term = self.term_of(index, value);
            let has = |id: NodeId| {
                let seen = self.nodes.get(usize::from(id.0) - 1);
                seen.is_some_and(|seen| seen.stored.holds(index, value))
            };
            if !protocol.is_quorum(has) {
                let holders: Vec<String> = (1..)
                    .zip(&self.nodes)
                    .filter(|(_, seen)| seen.stored.holds(index, value))
                    .map(|(id, _)| format!("n{id}"))
                    .collect();
                let sentence = format!(
                    "n{} takes entry {index} of term {term} for committed, which is on the disks of {} and of no quorum",
                    node + 1,
                    if holders.is_empty() { "none".into() } else { holders.join(", ") }
                );
                return broken(Invariant::Durability, [node], sentence);
            }
            self.committed = Committed { index, term, value };
        }
        Ok(())
    }

    /// The latest term in which an entry was in some log.
    fn term_of(&self, index: u64, value: u64) -> u64 {
        let known = self.entries.get(place(index)).into_iter().flatten();
        known.filter(|known| known.value == value).map(|known| known.term).max().unwrap_or(0)
    }
}

/// FNV-1a, for fingerprints of entries. Never 0.
#[derive(Clone, Copy, Debug)]
struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Hasher for Fnv {
    fn finish(&self) -> u64 {
        self.0.max(1)
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}
