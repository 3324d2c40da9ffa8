//! What must hold inside a cluster, looked at after every step of every node.

use std::collections::BTreeMap;

use keelhaul_protocol::api::{LogIndex, NodeId, Payload};
use keelhaul_protocol::membership::majority;
use keelhaul_protocol::paxos::{Ballot, Message, Replica};

use super::lives::disk;

pub type Disk = disk::Disk<Message>;

#[derive(Default)]
pub struct Oracle {
    /// What was proposed for a slot under a ballot.
    proposed: BTreeMap<(Ballot, LogIndex), Payload>,
    /// What was executed in a slot, by whoever came first.
    executed: BTreeMap<LogIndex, Payload>,
    /// The state after a slot.
    digests: BTreeMap<LogIndex, u64>,
    /// How far each node had executed.
    reached: BTreeMap<NodeId, LogIndex>,
    committed: LogIndex,
}

impl Oracle {
    /// How far any node has committed.
    pub fn committed(&self) -> LogIndex {
        self.committed
    }

    pub fn restarted(&mut self, replica: &Replica) {
        let status = replica.status();
        self.reached.insert(status.id, status.committed);
    }

    /// Nothing is said of what a crash could undo, and one value is proposed for a slot under a ballot.
    pub fn may_send(&mut self, disk: &Disk, from: NodeId, message: &Message) -> Result<(), String> {
        let promises = matches!(
            message,
            Message::Prepare { .. }
                | Message::Promise { .. }
                | Message::Accepted { .. }
                | Message::HeartbeatReply { .. }
        );
        if promises && disk.hard_state().promised < message.ballot() {
            return Err(format!("{from:?} speaks of a promise that is not durable: {message:?}"));
        }
        match message {
            Message::Accepted { ballot, first, last } => {
                for slot in (first.0..=last.0).map(LogIndex) {
                    if !disk.holds(slot, |held| held.ballot >= *ballot) {
                        return Err(format!("{from:?} has not accepted {slot:?} durably"));
                    }
                }
            }
            Message::Accept { ballot, entries, .. } => {
                for entry in entries {
                    let place = (*ballot, entry.slot);
                    let known = self.proposed.entry(place).or_insert_with(|| entry.payload.clone());
                    if entry.ballot != *ballot || *known != entry.payload {
                        return Err(format!("two values for {:?} under {ballot}", entry.slot));
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    pub fn check(&mut self, replica: &Replica, disks: &[&Disk]) -> Result<(), String> {
        let status = replica.status();
        let (id, to) = (status.id, status.committed);
        let from = self.reached.insert(id, to).unwrap_or_default();
        if to < from {
            return Err(format!("{id:?} went back from {from:?} to {to:?}"));
        }
        for slot in (from.0 + 1..=to.0).map(LogIndex) {
            let Some(entry) = replica.log().get(slot) else { continue };
            let known = self.executed.entry(slot).or_insert_with(|| entry.payload.clone());
            if *known != entry.payload {
                return Err(format!("{id:?} executes another command in {slot:?}"));
            }
            if slot > self.committed {
                durable(slot, &entry.payload, disks)?;
            }
        }
        self.committed = self.committed.max(to);
        let digest = replica.machine().digest();
        if to > from && *self.digests.entry(to).or_insert(digest) != digest {
            return Err(format!("{id:?} is in another state after {to:?}"));
        }
        Ok(())
    }
}

/// A quorum's disks hold the value, under whichever ballots.
fn durable(slot: LogIndex, payload: &Payload, disks: &[&Disk]) -> Result<(), String> {
    let holds = |disk: &&&Disk| disk.holds(slot, |held| held.payload == *payload);
    let holders = disks.iter().filter(holds).count();
    if holders >= majority(disks.len()) {
        return Ok(());
    }
    Err(format!("{slot:?} is taken for chosen, with {holders} of {} disks", disks.len()))
}
