//! What must hold inside the cluster, looked at after every step of every node (paper, figure 3).
//!
//! * **Election safety**: one leader a term.
//! * **Log matching**: entries of one index and term are the same, and follow the same one.
//! * **Leader completeness**: who comes to lead has every entry that was committed in an earlier term.
//! * **State-machine safety**: nodes apply the same entry at an index; machines that applied equally much have equal digests.
//! * **Durability**: what is committed is on the disks of a quorum, whatever the nodes believe of their disks.
//!
//! The oracle keeps each node's log as the node asked its disk to store it, since a step may apply and compact at once what it has just
//! been given. An entry is compared by a fingerprint of 64 bits; whatever is asked after a step costs a few loads.
//!
//! Limits: the quorum is a majority of all nodes.

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{Hash, Hasher};

use keelhaul_protocol::api::{Effect, Entry, LogIndex, Payload, Stored};
use keelhaul_protocol::raft::{Message, Replica, Role};
use serde::{Deserialize, Serialize};

/// Which promise was broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Invariant {
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
    /// In one sentence.
    pub sentence: String,
}

fn broken<T>(invariant: Invariant, sentence: String) -> Result<T, Broken> {
    Err(Broken { invariant, sentence })
}

/// The terms of a log by index. What came in a snapshot is known by its end alone.
#[derive(Clone, Debug, Default)]
struct Terms {
    /// The last entry of the newest snapshot that was installed.
    covered: u64,
    /// Of the entries after index 0; 0 where a snapshot covers it.
    terms: Vec<u64>,
}

impl Terms {
    fn term(&self, index: u64) -> Option<u64> {
        let at = usize::try_from(index.checked_sub(1)?).ok()?;
        self.terms.get(at).copied().filter(|term| *term > 0)
    }

    fn holds(&self, index: u64, term: u64) -> bool {
        index <= self.covered || self.term(index) == Some(term)
    }

    fn cut(&mut self, from: u64) {
        self.terms.truncate(usize::try_from(from - 1).unwrap_or(usize::MAX));
    }

    fn push(&mut self, index: u64, term: u64) {
        self.terms.resize(usize::try_from(index - 1).unwrap_or(usize::MAX), 0);
        self.terms.push(term);
    }

    fn install(&mut self, last: u64) {
        self.covered = last;
        self.terms.clear();
    }
}

/// A change to a log that its disk was asked to store and has not stored yet.
#[derive(Clone, Copy, Debug)]
enum Change {
    Cut(u64),
    Push(u64, u64),
    Install(u64),
}

/// What is known of one node.
#[derive(Debug, Default)]
struct Seen {
    log: Terms,
    stored: Terms,
    /// Asked for, in order.
    asked: Vec<Change>,
    applied: u64,
    leads: u64,
}

/// An entry that was in some log.
#[derive(Clone, Copy, Debug)]
struct Known {
    term: u64,
    before: Option<u64>,
    print: u64,
}

/// What the cluster has committed itself to so far.
#[derive(Debug, Default)]
pub(crate) struct Oracle {
    leaders: BTreeMap<u64, usize>,
    /// By index, every entry that was ever in a log. Mostly one.
    entries: Vec<Vec<Known>>,
    nodes: Vec<Seen>,
    /// Terms of what was applied, by whichever node came first; 0 where all had it from a snapshot.
    applied: Vec<u64>,
    digests: Vec<Option<u64>>,
    /// Term and index of the last entry that any node knew to be committed.
    committed: (u64, u64),
}

impl Oracle {
    pub(crate) fn new(nodes: usize) -> Self {
        Self { nodes: (0..nodes).map(|_| Seen::default()).collect(), ..Self::default() }
    }

    /// Index of the last entry known to be committed.
    pub(crate) const fn committed(&self) -> u64 {
        self.committed.1
    }

    /// A node has started with what its disk held.
    pub(crate) fn restarted(&mut self, node: usize, stored: &Stored) {
        let mut log = Terms::default();
        if let Some(snapshot) = &stored.snapshot {
            log.install(snapshot.last_index.0);
        }
        for entry in &stored.entries {
            log.push(entry.index.0, entry.term.0);
        }
        let applied = log.covered;
        self.nodes[node] = Seen { stored: log.clone(), log, asked: Vec::new(), applied, leads: 0 };
    }

    /// A node has taken a step and wants this done.
    pub(crate) fn stepped(
        &mut self,
        node: usize,
        replica: &Replica,
        effects: &[Effect<Message>],
    ) -> Result<(), Broken> {
        for effect in effects {
            match effect {
                Effect::Append(entries) => self.appended(node, entries)?,
                Effect::SaveSnapshot { snapshot, keep_log: false, .. } => {
                    let last = snapshot.last_index.0;
                    self.nodes[node].log.install(last);
                    self.nodes[node].asked.push(Change::Install(last));
                }
                _ => {}
            }
        }
        let status = replica.status();
        let term = status.hard_state.term.0;
        if status.role == Role::Leader && self.nodes[node].leads != term {
            self.nodes[node].leads = term;
            self.leads(node, term, replica)?;
        }
        if status.applied.0 != self.nodes[node].applied {
            self.applied(node, replica)?;
        }
        if status.committed.0 > self.committed.1 {
            self.committed_by(node, status.committed.0)?;
        }
        Ok(())
    }

    /// A node's disk has stored everything that was asked of it when `mark` was taken.
    pub(crate) fn synced(&mut self, node: usize, mark: usize) {
        let seen = &mut self.nodes[node];
        for change in seen.asked.drain(..mark.min(seen.asked.len())) {
            match change {
                Change::Cut(from) => seen.stored.cut(from),
                Change::Push(index, term) => seen.stored.push(index, term),
                Change::Install(last) => seen.stored.install(last),
            }
        }
    }

    /// How much a node's disk was asked to store and has not stored yet.
    pub(crate) fn mark(&self, node: usize) -> usize {
        self.nodes[node].asked.len()
    }

    fn appended(&mut self, node: usize, entries: &[Entry]) -> Result<(), Broken> {
        let Some(first) = entries.first() else { return Ok(()) };
        let seen = &mut self.nodes[node];
        seen.log.cut(first.index.0);
        seen.asked.push(Change::Cut(first.index.0));
        for entry in entries {
            let (index, term) = (entry.index.0, entry.term.0);
            let before = seen.log.term(index - 1);
            seen.log.push(index, term);
            seen.asked.push(Change::Push(index, term));
            let print = fingerprint(entry);
            let at = usize::try_from(index).unwrap_or(usize::MAX);
            if self.entries.len() <= at {
                self.entries.resize_with(at + 1, Vec::new);
            }
            let Some(known) = self.entries[at].iter_mut().find(|known| known.term == term) else {
                self.entries[at].push(Known { term, before, print });
                continue;
            };
            let fits = known.before.is_none() || before.is_none() || known.before == before;
            if known.print != print || !fits {
                return broken(
                    Invariant::LogMatching,
                    format!(
                        "n{} holds another entry {index} of term {term}, or after another one, than a node before it",
                        node + 1
                    ),
                );
            }
            known.before = known.before.or(before);
        }
        Ok(())
    }

    fn leads(&mut self, node: usize, term: u64, replica: &Replica) -> Result<(), Broken> {
        let leader = *self.leaders.entry(term).or_insert(node);
        if leader != node {
            let sentence = format!("n{} and n{} both lead in term {term}", leader + 1, node + 1);
            return broken(Invariant::ElectionSafety, sentence);
        }
        let (committed_term, index) = self.committed;
        // Whoever led later may have committed more than a leader of an earlier term has.
        if committed_term > term || index < replica.log().base().index.0 {
            return Ok(());
        }
        let held = replica.log().term(LogIndex(index)).map(|term| term.0);
        if held == Some(committed_term) || index == 0 {
            return Ok(());
        }
        broken(
            Invariant::LeaderCompleteness,
            format!(
                "n{} leads in term {term} without entry {index} of term {committed_term}, which is committed",
                node + 1
            ),
        )
    }

    fn applied(&mut self, node: usize, replica: &Replica) -> Result<(), Broken> {
        let applied = replica.status().applied.0;
        let seen = &mut self.nodes[node];
        let from = seen.applied;
        seen.applied = applied;
        if applied < from {
            let sentence = format!("n{} went back from entry {from} to entry {applied}", node + 1);
            return broken(Invariant::StateMachineSafety, sentence);
        }
        let end = usize::try_from(applied).unwrap_or(usize::MAX);
        if self.applied.len() <= end {
            self.applied.resize(end + 1, 0);
            self.digests.resize(end + 1, None);
        }
        for index in from + 1..=applied {
            let Some(term) = seen.log.term(index) else { continue };
            let known = &mut self.applied[usize::try_from(index).unwrap_or(usize::MAX)];
            if *known == 0 {
                *known = term;
            } else if *known != term {
                let sentence = format!(
                    "n{} applied entry {index} of term {term}, where another node applied one of term {known}",
                    node + 1
                );
                return broken(Invariant::StateMachineSafety, sentence);
            }
        }
        let digest = replica.machine().digest();
        if *self.digests[end].get_or_insert(digest) != digest {
            let sentence = format!(
                "n{} is in another state after entry {applied} than a node before it",
                node + 1
            );
            return broken(Invariant::StateMachineSafety, sentence);
        }
        Ok(())
    }

    fn committed_by(&mut self, node: usize, index: u64) -> Result<(), Broken> {
        let Some(term) = self.nodes[node].log.term(index) else {
            // From a snapshot: others had committed it, or this one would be alone with it.
            return broken(
                Invariant::StateMachineSafety,
                format!(
                    "n{} knows entry {index} to be committed, and no other node does",
                    node + 1
                ),
            );
        };
        let holders = self.nodes.iter().filter(|seen| seen.stored.holds(index, term)).count();
        if holders <= self.nodes.len() / 2 {
            let sentence = format!(
                "n{} takes entry {index} of term {term} for committed, which {holders} of {} nodes have on their disks",
                node + 1,
                self.nodes.len()
            );
            return broken(Invariant::Durability, sentence);
        }
        self.committed = (term, index);
        Ok(())
    }
}

/// FNV-1a over what an entry does.
fn fingerprint(entry: &Entry) -> u64 {
    struct Fnv(u64);
    impl Hasher for Fnv {
        fn finish(&self) -> u64 {
            self.0
        }
        fn write(&mut self, bytes: &[u8]) {
            for byte in bytes {
                self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
            }
        }
    }
    let mut fnv = Fnv(0xcbf2_9ce4_8422_2325);
    match &entry.payload {
        Payload::Command { session, sequence, command } => {
            (session, sequence, command).hash(&mut fnv);
        }
        other => std::mem::discriminant(other).hash(&mut fnv),
    }
    fnv.finish()
}
