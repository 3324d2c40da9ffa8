//! What must hold inside, after every step (paper, figure 3), and what a node must have stored before it speaks.
//!
//! The oracle keeps each node's log as the node asked its disk to store it, and not as the node holds it: a step may
//! apply more than the log keeps, and compact at once what it has just applied.

use std::collections::BTreeMap;
use std::sync::Arc;

use keelhaul_protocol::api::{
    Effect, Entry, Input, LogIndex, Nanos, NodeId, Payload, Stored, SyncTicket, Term,
};
use keelhaul_protocol::membership::majority;
use keelhaul_protocol::raft::{AppendOutcome, Config, Message, Position, Replica, Role};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::lives::disk;

pub type Disk = disk::Disk<Message>;

/// Entries by index; what a snapshot brought is missing.
type Entries = BTreeMap<LogIndex, Arc<Entry>>;

/// What the cluster has committed itself to so far.
#[derive(Default)]
pub struct Oracle {
    leaders: BTreeMap<Term, NodeId>,
    /// Every entry that was ever in a log, with the term of the one before it, if that is known.
    entries: BTreeMap<(LogIndex, Term), (Arc<Entry>, Option<Term>)>,
    /// Every node's log.
    logs: BTreeMap<NodeId, Entries>,
    /// What was applied at each index, by whichever node came first.
    applied: Entries,
    /// The last entry that any node knew to be committed.
    committed: Position,
    /// How far each node was compared, in this life of it.
    compared: BTreeMap<NodeId, LogIndex>,
    /// Digests of state machines by what they had applied.
    digests: BTreeMap<LogIndex, u64>,
    /// State machines likewise, sampled.
    states: BTreeMap<LogIndex, Vec<u8>>,
}

impl Oracle {
    /// How far the log is known to be committed, by whoever knows most.
    pub fn committed(&self) -> LogIndex {
        self.committed.index
    }

    pub fn restarted(&mut self, replica: &Replica, stored: &Stored<Message>) {
        let status = replica.status();
        self.compared.insert(status.id, status.applied);
        let entries = stored.entries.iter().map(|entry| (entry.index, Arc::new(entry.clone())));
        self.logs.insert(status.id, entries.collect());
    }

    /// A node wants this done. Logs that share an entry share what is before (log matching).
    pub fn asked(&mut self, node: NodeId, effects: &[Effect<Message>]) -> Result<(), String> {
        let log = self.logs.entry(node).or_default();
        for effect in effects {
            match effect {
                Effect::Append(entries) => {
                    drop(log.split_off(&entries[0].index));
                    for entry in entries {
                        let entry = Arc::new(entry.clone());
                        let before = log.get(&LogIndex(entry.index.0 - 1)).map(|e| e.term);
                        let known = self
                            .entries
                            .entry((entry.index, entry.term))
                            .or_insert_with(|| (Arc::clone(&entry), before));
                        let same_before =
                            known.1.is_none() || before.is_none() || known.1 == before;
                        if known.0 != entry || !same_before {
                            return Err(format!(
                                "{node:?} has {entry:?} after {before:?}, another {known:?}"
                            ));
                        }
                        known.1 = known.1.or(before);
                        log.insert(entry.index, entry);
                    }
                }
                Effect::SaveSnapshot { keep_log: false, .. } => log.clear(),
                _ => {}
            }
        }
        Ok(())
    }

    /// A node took a step; `disks` are those of all nodes.
    pub fn check(&mut self, replica: &Replica, disks: &[&Disk]) -> Result<(), String> {
        let status = replica.status();
        if status.applied != status.committed {
            return Err(format!("{:?} has not applied all it committed", status.id));
        }
        let log = self.logs.entry(status.id).or_default();
        if log.last_key_value().is_some_and(|(last, _)| status.last.index < *last) {
            return Err(format!("{:?} forgot the end of its log", status.id));
        }
        if status.role == Role::Leader {
            self.check_leader(replica)?;
        }
        let compared = self.compared.entry(status.id).or_default();
        if status.applied < *compared {
            return Err(format!("{:?} went back to {:?}", status.id, status.applied));
        }
        let news = compared.0 + 1..=status.applied.0;
        *compared = status.applied;
        for index in news.map(LogIndex) {
            // What came in a snapshot is compared by digest.
            let Some(entry) = self.logs[&status.id].get(&index) else { continue };
            let known = self.applied.entry(index).or_insert_with(|| Arc::clone(entry));
            if known != entry {
                return Err(format!("{:?} applied {entry:?}, another {known:?}", status.id));
            }
        }
        let digest = replica.machine().digest();
        if *self.digests.entry(status.applied).or_insert(digest) != digest {
            return Err(format!("{:?} diverged before {:?}", status.id, status.applied));
        }
        self.check_committed(replica, disks)
    }

    /// Election safety, and leader completeness: a leader has what was committed before it was elected.
    fn check_leader(&mut self, replica: &Replica) -> Result<(), String> {
        let (id, term) = (replica.status().id, replica.term());
        let Some(leader) = self.leaders.get(&term) else {
            self.leaders.insert(term, id);
            let held = replica.log().term(self.committed.index);
            let compacted = self.committed.index < replica.log().base().index;
            // Whoever led later may have committed more than a leader of an earlier term has.
            let newest = self.committed.term <= term;
            if newest && !compacted && held != Some(self.committed.term) {
                return Err(format!("{id:?} leads {term:?} without {:?}", self.committed));
            }
            return Ok(());
        };
        if *leader == id {
            return Ok(());
        }
        Err(format!("{term:?} has two leaders: {leader:?} and {id:?}"))
    }

    /// What is committed is on the disks of a quorum: whatever crashes from now on, it stays.
    fn check_committed(&mut self, replica: &Replica, disks: &[&Disk]) -> Result<(), String> {
        let (node, index) = (replica.status().id, replica.status().committed);
        let membership = replica.membership();
        if index <= self.committed.index {
            return Ok(());
        }
        let Some(entry) = self.applied.get(&index) else {
            return Err(format!("{node:?} knows {index:?} to be committed, nobody else does"));
        };
        let position = Position { term: entry.term, index };
        let holds = |node: NodeId| {
            disks[usize::from(node.0)].holds(index, |stored| stored.term == entry.term)
        };
        if !membership.has_quorum(holds, majority) {
            return Err(format!(
                "{node:?} commits {position:?}, which no quorum of {membership:?} has stored"
            ));
        }
        self.committed = position;
        Ok(())
    }

    /// Two machines that applied equally much are equal.
    pub fn compare_states(&mut self, replicas: &[&Replica]) -> Result<(), String> {
        for replica in replicas {
            let applied = replica.status().applied;
            let state = replica.machine().snapshot();
            let known = self.states.entry(applied).or_insert_with(|| state.clone());
            if *known != state {
                return Err(format!("states differ after {applied:?}"));
            }
        }
        Ok(())
    }
}

/// A message leaves a node whose disk holds this: is everything durable that it rests on (paper §5, figure 2)? A node that has
/// meanwhile gone on to a later term speaks of what it had stored in the earlier one.
pub fn may_send(disk: &Disk, from: NodeId, to: NodeId, message: &Message) -> Result<(), String> {
    let (durable, term) = (disk.hard_state(), message.term());
    if matches!(message, Message::PreVote { .. } | Message::PreVoteReply { granted: true, .. })
        || durable.term > term
    {
        return Ok(());
    }
    let stored = match message {
        Message::Vote { .. } => durable.vote == Some(from),
        Message::VoteReply { granted: true, .. } => durable.vote == Some(to),
        Message::AppendReply { outcome: AppendOutcome::Matched(index), .. } => {
            disk.last() >= *index
        }
        _ => true,
    };
    if durable.term == term && stored {
        return Ok(());
    }
    Err(format!("{from:?} sends {message:?} and has stored {durable:?} up to {:?}", disk.last()))
}

/// A cluster of one whose log held this when it started, led on, and committed in one step.
fn applies_at_once(id: NodeId, log: &[Payload], oracle: &mut Oracle) -> Result<Replica, String> {
    let mut config = Config::new(id, vec![id]);
    (config.snapshot_entries, config.keep_entries) = (8, 2);
    let entry = |(index, payload): (u64, &Payload)| Entry {
        index: LogIndex(index),
        term: Term(1),
        payload: payload.clone(),
    };
    let entries: Vec<Entry> = (1..).zip(log).map(entry).collect();
    let mut disk = Disk::default();
    disk.submit(Effect::Append(entries));
    disk.submit(Effect::Sync(SyncTicket(0)));
    disk.complete(SyncTicket(0));

    let (stored, mut out) = (disk.read(), Vec::new());
    let rng = ChaCha8Rng::seed_from_u64(0);
    let mut replica = Replica::new(config, stored.clone(), Nanos(0), rng, &mut out);
    oracle.restarted(&replica, &stored);
    let inputs = [Input::Timer, Input::Synced(SyncTicket(1)), Input::Synced(SyncTicket(2))];
    for input in inputs {
        if let Input::Synced(ticket) = input {
            disk.complete(ticket);
        }
        out.clear();
        replica.step(Nanos(1 << 40), input, &mut out);
        oracle.asked(id, &out)?;
        oracle.check(&replica, &[&disk])?;
        out.drain(..).for_each(|effect| disk.submit(effect));
    }
    Ok(replica)
}

/// One step may apply more than the log keeps: a leader whose commits were held up hears the acknowledgement that was missing, applies everything,
/// takes a snapshot and drops most of it. An oracle that looks for the entries in the log afterwards misses those, and the first one
/// that is left seems to have been applied before its predecessors.
#[test]
fn entries_that_are_applied_and_compacted_in_one_step_are_compared() {
    let mut oracle = Oracle::default();
    let mut log = vec![Payload::Noop; 10];
    let replica = applies_at_once(NodeId(0), &log, &mut oracle).unwrap();
    assert_eq!(replica.status().applied, LogIndex(11));
    assert_eq!(replica.log().base().index, LogIndex(6), "the step compacted what it applied");
    assert_eq!(oracle.applied.len(), 11);

    log[2] = Payload::Register;
    let diverged = applies_at_once(NodeId(0), &log, &mut oracle).unwrap_err();
    assert!(diverged.contains("applied Entry { index: LogIndex(3)"), "{diverged}");
}

/// Neither a vote nor an acknowledgement may leave before it is on the disk.
#[test]
fn a_promise_that_could_be_forgotten_is_noticed() {
    let (disk, term) = (Disk::default(), Term(1));
    let says = |message: Message| may_send(&disk, NodeId(1), NodeId(2), &message).is_ok();
    assert!(!says(Message::VoteReply { term, granted: true }));
    assert!(!says(Message::VoteReply { term, granted: false }));
    assert!(says(Message::PreVoteReply { term, granted: true }));
    let acknowledges = |index| Message::AppendReply {
        term: Term(0),
        outcome: AppendOutcome::Matched(LogIndex(index)),
    };
    assert!(says(acknowledges(0)) && !says(acknowledges(1)));
}
