//! What must hold inside, after every step (the paper, §III and §V), and what a node must have stored before it speaks.
//!
//! The oracle keeps each node's history as the node asked its disk to store it, and not as the node holds it: a step may
//! apply more than the history keeps, and compact at once what it has just applied.

use std::collections::BTreeMap;
use std::sync::Arc;

use keelhaul_protocol::api::{Effect, LogIndex, NodeId, Stored};
use keelhaul_protocol::membership::majority;
use keelhaul_protocol::zab::{Entry, Epoch, Message, Replica, Role, Zxid};

use super::lives::disk;

pub type Disk = disk::Disk<Message>;

/// Transactions by position; what a snapshot brought is missing.
type Entries = BTreeMap<LogIndex, Arc<Entry>>;

/// What the cluster has committed itself to so far.
#[derive(Default)]
pub struct Oracle {
    leaders: BTreeMap<Epoch, NodeId>,
    /// Every transaction that was ever in a history, with the epoch of the one before it, if that is known.
    entries: BTreeMap<Zxid, (Arc<Entry>, Option<Epoch>)>,
    /// Every node's history.
    logs: BTreeMap<NodeId, Entries>,
    /// What was applied at each position, by whichever node came first.
    applied: Entries,
    /// The last transaction that any node knew to be committed.
    committed: Zxid,
    /// How far each node was compared, in this life of it.
    compared: BTreeMap<NodeId, LogIndex>,
    /// Digests of state machines by what they had applied.
    digests: BTreeMap<LogIndex, u64>,
    /// State machines likewise, sampled.
    states: BTreeMap<LogIndex, Vec<u8>>,
}

impl Oracle {
    /// How far the history is known to be committed, by whoever knows most.
    pub fn committed(&self) -> LogIndex {
        self.committed.counter
    }

    /// How many epochs had an established leader.
    pub fn epochs(&self) -> u64 {
        self.leaders.len() as u64
    }

    pub fn restarted(&mut self, replica: &Replica, stored: &Stored<Message>) {
        let status = replica.status();
        self.compared.insert(status.id, status.applied);
        let entries = stored.entries.iter().map(|entry| (entry.index, Arc::new(entry.clone())));
        self.logs.insert(status.id, entries.collect());
    }

    /// A node wants this done. Histories that share a transaction share what is before.
    pub fn asked(&mut self, node: NodeId, effects: &[Effect<Message>]) -> Result<(), String> {
        let log = self.logs.entry(node).or_default();
        for effect in effects {
            match effect {
                Effect::Append(entries) => {
                    drop(log.split_off(&entries[0].index));
                    for entry in entries {
                        let entry = Arc::new(entry.clone());
                        let before = log.get(&LogIndex(entry.index.0 - 1)).map(|e| e.epoch);
                        let known = self
                            .entries
                            .entry(entry.zxid())
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
                Effect::Truncate(first) => drop(log.split_off(first)),
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
        if status.epochs.current > status.epochs.accepted {
            return Err(format!("{:?} is in an epoch that it did not accept", status.id));
        }
        let log = self.logs.entry(status.id).or_default();
        if log.last_key_value().is_some_and(|(last, _)| status.last.counter < *last) {
            return Err(format!("{:?} forgot the end of its history", status.id));
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
        if status.role == Role::Leading && status.serving {
            self.check_leader(replica)?;
        }
        self.check_committed(replica, disks)
    }

    /// One established leader an epoch, and that one has what was committed before.
    fn check_leader(&mut self, replica: &Replica) -> Result<(), String> {
        let (id, epoch) = (replica.status().id, replica.status().epochs.accepted);
        let Some(leader) = self.leaders.get(&epoch) else {
            self.leaders.insert(epoch, id);
            let held = replica.history().zxid(self.committed.counter);
            let compacted = self.committed.counter < replica.history().base().counter;
            // Whoever led later may have committed more than the leader of an earlier epoch has.
            let newest = self.committed.epoch <= epoch;
            if newest && !compacted && held != Some(self.committed) {
                return Err(format!("{id:?} leads {epoch} without {:?}", self.committed));
            }
            return Ok(());
        };
        if *leader == id {
            return Ok(());
        }
        Err(format!("{epoch} has two leaders: {leader:?} and {id:?}"))
    }

    /// What is committed is on the disks of a quorum: whatever crashes from now on, it stays.
    fn check_committed(&mut self, replica: &Replica, disks: &[&Disk]) -> Result<(), String> {
        let (node, index) = (replica.status().id, replica.status().committed);
        if index <= self.committed.counter {
            return Ok(());
        }
        let Some(entry) = self.applied.get(&index) else {
            return Err(format!("{node:?} knows {index:?} to be committed, nobody else does"));
        };
        let holds = |disk: &&&Disk| disk.holds(index, |stored| stored.epoch == entry.epoch);
        if disks.iter().filter(holds).count() < majority(disks.len()) {
            return Err(format!("{node:?} commits {entry:?}, which no quorum has stored"));
        }
        self.committed = entry.zxid();
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

/// A message leaves a node whose disk holds this: is everything durable that it rests on? A node that has
/// meanwhile accepted a later epoch speaks of what it had stored in the earlier one.
pub fn may_send(disk: &Disk, from: NodeId, message: &Message) -> Result<(), String> {
    let epochs = disk.hard_state();
    let Some(epoch) = message.epoch().filter(|epoch| epochs.accepted <= *epoch) else {
        return Ok(());
    };
    let stored = match message {
        Message::AckNewLeader { .. } => epochs.current == epoch,
        Message::Ack { to: durable, .. } | Message::Pong { durable, .. } => disk.last() >= *durable,
        _ => true,
    };
    if epochs.accepted == epoch && stored {
        return Ok(());
    }
    Err(format!("{from:?} sends {message:?} and has stored {epochs:?} up to {:?}", disk.last()))
}

/// Neither an epoch nor an acknowledgement may be spoken of before it is on the disk.
#[test]
fn a_promise_that_could_be_forgotten_is_noticed() {
    let (disk, epoch) = (Disk::default(), Epoch(1));
    let says = |message: Message| may_send(&disk, NodeId(1), &message).is_ok();
    assert!(says(Message::FollowerInfo { accepted: Epoch(0) }));
    assert!(!says(Message::NewEpoch { epoch }));
    assert!(!says(Message::AckNewLeader { epoch }));
    let acknowledges = |to| Message::Ack { epoch: Epoch(0), to: LogIndex(to) };
    assert!(says(acknowledges(0)) && !says(acknowledges(1)));
}
