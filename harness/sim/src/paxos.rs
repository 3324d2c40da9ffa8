//! Multi-Paxos, simulated.

use keelhaul_nemesis::Moment;
use keelhaul_protocol::Mutant as Mistake;
use keelhaul_protocol::api::{Era, LogIndex, Nanos, NodeId};
use keelhaul_protocol::membership::majority;
use keelhaul_protocol::paxos::{Ballot, Config, Entry, Message, Mutant, Replica, Role};

use crate::plan::SimPlan;
use crate::system::{ELECTION_MS, HEARTBEAT_MS, New, Simulated, Standing};
use crate::trace::range;
use crate::world::MS;

impl Simulated for Replica {
    const NAME: &'static str = "paxos";
    const LOGS_MATCH: bool = false;
    const NEW: New<Self> = Self::new;
    type Mutant = Mutant;
    type Config = Config;

    fn config(id: NodeId, members: Vec<NodeId>, plan: &SimPlan, mutant: Option<Mutant>) -> Config {
        let mut config = Config::new(id, members);
        config.election_timeout = Nanos(ELECTION_MS.0 * MS)..=Nanos(ELECTION_MS.1 * MS);
        config.heartbeat_interval = Nanos(HEARTBEAT_MS * MS);
        config.snapshot_entries = u64::from(plan.weather.snapshot_entries);
        config.keep_entries = config.snapshot_entries / 4;
        // Snapshots and what was chosen travel in several pieces.
        config.accept_bytes_max = 2_000;
        config.accept_entries_max = 16;
        config.lease_reads = plan.lease_reads;
        config.mutant = mutant;
        config
    }

    fn in_storage(mutant: Mutant) -> Option<Mistake> {
        mutant.info().in_storage.then_some(Mistake::Paxos(mutant))
    }

    fn standing(&self) -> Standing {
        let status = self.status();
        let role = match status.role {
            Role::Follower => 1,
            Role::Candidate => 2,
            Role::Leader => 3,
        };
        let open = status.last > status.committed;
        let facts = role
            | u16::from(status.leader.is_some()) << 2
            | u16::from(status.established) << 3
            | u16::from(open) << 4
            | u16::from(self.log().get(LogIndex(status.committed.0 + 1)).is_none() && open) << 5
            | u16::from(status.promised.node == status.id) << 6;
        let last = self.log().ballot(status.last).map_or(0, Era::number);
        Standing {
            term: status.promised.number(),
            leads: status.role == Role::Leader,
            leader: status.leader,
            last: (last, status.last.0),
            committed: status.committed.0,
            applied: status.committed.0,
            facts,
        }
    }

    fn is_quorum(&self, is: impl Fn(NodeId) -> bool) -> bool {
        let members = self.members();
        members.iter().filter(|node| is(**node)).count() >= majority(members.len())
    }

    fn is_member(&self, node: NodeId) -> bool {
        self.members().contains(&node)
    }

    fn digest(&self) -> u64 {
        self.machine().digest()
    }

    fn is_established(&self) -> bool {
        self.status().established
    }

    fn made_in(entry: &Entry) -> Ballot {
        entry.ballot
    }

    fn moment(message: &Message) -> Option<Moment> {
        match message {
            Message::Promise { .. } => Some(Moment::Vote),
            Message::Piece { .. } => Some(Moment::Snapshot),
            Message::Heartbeat { .. } => Some(Moment::Round),
            _ => None,
        }
    }

    fn describe(message: &Message) -> (String, bool) {
        describe(message)
    }
}

/// A message in a few words, and whether it is routine.
fn describe(message: &Message) -> (String, bool) {
    let ballot = message.ballot();
    let under = format!("b{}.{}", ballot.round, ballot.node.0);
    let slots = |entries: &[std::sync::Arc<Entry>]| match (entries.first(), entries.last()) {
        (Some(first), Some(last)) => range(first.slot, last.slot),
        _ => "nothing".to_owned(),
    };
    match message {
        Message::Prepare { committed, .. } => {
            (format!("promise? {under} after {}", committed.0), false)
        }
        Message::Promise { accepted, .. } => {
            (format!("promise {under}, accepted {}", slots(accepted)), false)
        }
        Message::Accept { entries, committed, .. } => {
            (format!("accept {} {under} committed {}", slots(entries), committed.0), false)
        }
        Message::Accepted { first, last, .. } => {
            (format!("accepted {} {under}", range(*first, *last)), false)
        }
        Message::Reject { promised, .. } => {
            (format!("no {under}, promised b{}.{}", promised.round, promised.node.0), false)
        }
        Message::Heartbeat { committed, .. } => {
            (format!("heartbeat {under} committed {}", committed.0), true)
        }
        Message::HeartbeatReply { .. } => (format!("alive {under}"), true),
        Message::Fetch { committed, .. } => (format!("fetch after {}", committed.0), true),
        Message::Chosen { entries, .. } => (format!("chosen {}", slots(entries)), false),
        Message::Piece { last, done, .. } => {
            let end = if *done { ", last piece" } else { "" };
            (format!("snapshot {}{end}", last.0), false)
        }
    }
}
