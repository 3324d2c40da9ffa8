//! What must hold inside, after every step (paper, figure 3).

use std::collections::BTreeMap;
use std::sync::Arc;

use keelhaul_protocol::api::{Entry, LogIndex, NodeId, Term};
use keelhaul_protocol::raft::{Replica, Role};

/// What the cluster has committed itself to so far.
#[derive(Default)]
pub struct Oracle {
    leaders: BTreeMap<Term, NodeId>,
    /// What was applied at each index, by whichever node came first.
    applied: BTreeMap<LogIndex, Arc<Entry>>,
    /// How far each node was compared, in this life of it.
    compared: BTreeMap<NodeId, LogIndex>,
    /// Digests of state machines by what they had applied.
    digests: BTreeMap<LogIndex, u64>,
    /// State machines likewise, sampled.
    states: BTreeMap<LogIndex, Vec<u8>>,
}

impl Oracle {
    pub fn restarted(&mut self, replica: &Replica) {
        let status = replica.status();
        self.compared.insert(status.id, status.applied);
    }

    pub fn check(&mut self, replica: &Replica) -> Result<(), String> {
        let status = replica.status();
        if status.role == Role::Leader {
            let term = status.hard_state.term;
            let leader = *self.leaders.entry(term).or_insert(status.id);
            if leader != status.id {
                return Err(format!("{term:?} has two leaders: {leader:?} and {:?}", status.id));
            }
        }
        if status.applied != status.committed {
            return Err(format!("{:?} has not applied all it committed", status.id));
        }
        let compared = self.compared.entry(status.id).or_default();
        if status.applied < *compared {
            return Err(format!("{:?} went back to {:?}", status.id, status.applied));
        }
        let news = compared.0 + 1..=status.applied.0;
        *compared = status.applied;
        for index in news {
            // What came in a snapshot, or went into one, is compared by digest.
            let Some(entry) = replica.log().get(LogIndex(index)) else { continue };
            self.compare(status.id, entry)?;
        }
        let digest = replica.machine().digest();
        if *self.digests.entry(status.applied).or_insert(digest) != digest {
            return Err(format!("{:?} diverged before {:?}", status.id, status.applied));
        }
        Ok(())
    }

    fn compare(&mut self, node: NodeId, entry: &Arc<Entry>) -> Result<(), String> {
        let known = self.applied.entry(entry.index).or_insert_with(|| Arc::clone(entry));
        if known == entry {
            return Ok(());
        }
        Err(format!("{node:?} applied {entry:?}, another {known:?}"))
    }

    /// Two machines that applied equally much are equal; two logs that share an entry share what is before.
    pub fn compare_states(&mut self, replicas: &[&Replica]) -> Result<(), String> {
        for replica in replicas {
            let applied = replica.status().applied;
            let state = replica.machine().snapshot();
            let known = self.states.entry(applied).or_insert_with(|| state.clone());
            if *known != state {
                return Err(format!("states differ after {applied:?}"));
            }
        }
        for (at, a) in replicas.iter().enumerate() {
            for b in &replicas[at + 1..] {
                log_matching(a, b)?;
            }
        }
        Ok(())
    }
}

fn log_matching(a: &Replica, b: &Replica) -> Result<(), String> {
    let last = a.log().last().index.min(b.log().last().index).0;
    let base = a.log().base().index.max(b.log().base().index).0;
    let mut shared = false;
    for index in (base + 1..=last).rev().map(LogIndex) {
        let (x, y) = (a.log().get(index), b.log().get(index));
        let same_term = x.map(|entry| entry.term) == y.map(|entry| entry.term);
        if (shared || same_term) && x != y {
            let (a, b) = (a.status().id, b.status().id);
            return Err(format!("logs of {a:?} and {b:?} match after {index:?}, differ there"));
        }
        shared |= same_term;
    }
    Ok(())
}
