//! Zab, simulated.

use keelhaul_nemesis::Moment;
use keelhaul_protocol::Mutant as Mistake;
use keelhaul_protocol::api::{Nanos, NodeId};
use keelhaul_protocol::membership::majority;
use keelhaul_protocol::zab::{Config, Entry, Epoch, Message, Mutant, Replica, Role, Stance};

use crate::plan::SimPlan;
use crate::system::{ELECTION_MS, HEARTBEAT_MS, New, Simulated, Standing};
use crate::trace::range;
use crate::world::MS;

impl Simulated for Replica {
    const NAME: &'static str = "zab";
    const LOGS_MATCH: bool = true;
    const NEW: New<Self> = Self::new;
    type Mutant = Mutant;
    type Config = Config;

    fn config(id: NodeId, members: Vec<NodeId>, plan: &SimPlan, mutant: Option<Mutant>) -> Config {
        let mut config = Config::new(id, members);
        config.election_timeout = Nanos(ELECTION_MS.0 * MS)..=Nanos(ELECTION_MS.1 * MS);
        config.heartbeat_interval = Nanos(HEARTBEAT_MS * MS);
        config.settle_time = Nanos(HEARTBEAT_MS * MS / 2);
        config.snapshot_entries = u64::from(plan.weather.snapshot_entries);
        config.keep_entries = config.snapshot_entries / 4;
        // Snapshots and long proposals travel in several pieces.
        config.propose_bytes_max = 2_000;
        config.propose_entries_max = 16;
        config.mutant = mutant;
        config
    }

    fn in_storage(mutant: Mutant) -> Option<Mistake> {
        mutant.info().in_storage.then_some(Mistake::Zab(mutant))
    }

    fn standing(&self) -> Standing {
        let status = self.status();
        let role = match status.role {
            Role::Looking => 1,
            Role::Following => 2,
            Role::Leading => 3,
        };
        let facts = role
            | u16::from(status.serving) << 2
            | u16::from(status.epochs.current == status.epochs.accepted) << 3
            | u16::from(status.last.epoch == status.epochs.current) << 4
            | u16::from(status.leader.is_some()) << 5
            | u16::from(status.durable < status.last.counter) << 6;
        Standing {
            term: status.epochs.accepted.0,
            leads: status.role == Role::Leading && status.serving,
            leader: status.leader,
            last: (status.last.epoch.0, status.last.counter.0),
            committed: status.committed.0,
            applied: status.applied.0,
            facts,
        }
    }

    fn is_quorum(&self, is: impl Fn(NodeId) -> bool) -> bool {
        let members = self.members();
        members.iter().filter(|member| is(**member)).count() >= majority(members.len())
    }

    fn is_member(&self, node: NodeId) -> bool {
        self.members().contains(&node)
    }

    fn digest(&self) -> u64 {
        self.machine().digest()
    }

    fn is_established(&self) -> bool {
        let status = self.status();
        status.role == Role::Leading && status.serving
    }

    fn made_in(entry: &Entry) -> Epoch {
        entry.epoch
    }

    fn vote(message: &Message, from: NodeId, to: NodeId) -> Option<(u64, NodeId)> {
        match message {
            // Who proposes an epoch has accepted it from itself.
            Message::NewEpoch { epoch } => Some((epoch.0, from)),
            Message::AckEpoch { epoch, fresh: true, .. } => Some((epoch.0, to)),
            _ => None,
        }
    }

    fn moment(message: &Message) -> Option<Moment> {
        match message {
            Message::AckEpoch { fresh: true, .. } => Some(Moment::Vote),
            Message::Snap { .. } => Some(Moment::Snapshot),
            Message::Ping { .. } => Some(Moment::Round),
            _ => None,
        }
    }

    fn describe(message: &Message) -> (String, bool) {
        let routine = matches!(
            message,
            Message::Ping { .. } | Message::Pong { .. } | Message::SnapReceived { .. }
        );
        (describe(message), routine)
    }
}

/// A message in a few words.
fn describe(message: &Message) -> String {
    match message {
        Message::Notification { round, vote, stance } => {
            let whom = vote.leader.map_or("nobody".to_owned(), |leader| format!("n{}", leader.0));
            let stance = match stance {
                Stance::Looking => "votes for",
                Stance::Decided => "decided for",
                Stance::Established => "follows",
            };
            let (epoch, last) = (vote.epoch.0, vote.last);
            format!("round {round}: {stance} {whom} e{epoch} {}:{}", last.epoch.0, last.counter.0)
        }
        Message::FollowerInfo { accepted } => format!("would follow, accepted e{}", accepted.0),
        Message::NewEpoch { epoch } => format!("new epoch e{}?", epoch.0),
        Message::AckEpoch { epoch, current, last, .. } => {
            format!("in e{}, has e{} {}:{}", epoch.0, current.0, last.epoch.0, last.counter.0)
        }
        Message::Diff { after, .. } => format!("diff after {}:{}", after.epoch.0, after.counter.0),
        Message::Trunc { to, .. } => format!("cut to {}:{}", to.epoch.0, to.counter.0),
        Message::Snap { last, done, .. } => {
            let end = if *done { ", last piece" } else { "" };
            format!("snapshot {}:{}{end}", last.epoch.0, last.counter.0)
        }
        Message::SnapReceived { .. } => "snapshot piece arrived".to_owned(),
        Message::NewLeader { epoch, last } => {
            format!("that is e{} up to {}:{}", epoch.0, last.epoch.0, last.counter.0)
        }
        Message::AckNewLeader { epoch } => format!("has e{}", epoch.0),
        Message::UpToDate { commit, .. } => format!("up to date, commit {}", commit.0),
        Message::Propose { entries, commit, .. } => {
            let range = match (entries.first(), entries.last()) {
                (Some(first), Some(last)) => range(first.index, last.index),
                _ => "nothing".to_owned(),
            };
            format!("propose {range} commit {}", commit.0)
        }
        Message::Ack { to, .. } => format!("has up to {}", to.0),
        Message::Commit { commit, .. } => format!("commit {}", commit.0),
        Message::Ping { round, .. } => format!("ping {round}"),
        Message::Pong { round, .. } => format!("alive {round}"),
        Message::Forward { number, .. } => format!("request {number}"),
        Message::Forwarded { number, entered: Some(index), .. } => {
            format!("request {number} is {}", index.0)
        }
        Message::Forwarded { number, .. } => format!("request {number} refused"),
        Message::Sync { number, .. } => format!("sync {number}?"),
        Message::Synced { number, commit, .. } => format!("sync {number}: up to {}", commit.0),
    }
}
