//! Raft, simulated.

use keelhaul_nemesis::Moment;
use keelhaul_protocol::Mutant as Mistake;
use keelhaul_protocol::api::{Entry, Nanos, NodeId, Term};
use keelhaul_protocol::membership::{Membership, majority};
use keelhaul_protocol::raft::{AppendOutcome, Config, Message, Mutant, Replica, Role};

use crate::plan::SimPlan;
use crate::system::{ELECTION_MS, HEARTBEAT_MS, New, Simulated, Standing};
use crate::trace::range;
use crate::world::MS;

impl Simulated for Replica {
    const NAME: &'static str = "raft";
    const LOGS_MATCH: bool = true;
    const NEW: New<Self> = Self::new;
    type Mutant = Mutant;
    type Config = Config;

    fn config(id: NodeId, members: Vec<NodeId>, plan: &SimPlan, mutant: Option<Mutant>) -> Config {
        let mut config = Config::new(id, members);
        config.election_timeout = Nanos(ELECTION_MS.0 * MS)..=Nanos(ELECTION_MS.1 * MS);
        config.heartbeat_interval = Nanos(HEARTBEAT_MS * MS);
        config.snapshot_entries = u64::from(plan.weather.snapshot_entries);
        config.keep_entries = config.snapshot_entries / 4;
        // Snapshots and long appends travel in several pieces.
        config.append_bytes_max = 2_000;
        config.append_entries_max = 16;
        config.lease_reads = plan.lease_reads;
        config.mutant = mutant;
        config
    }

    fn in_storage(mutant: Mutant) -> Option<Mistake> {
        mutant.info().in_storage.then_some(Mistake::Raft(mutant))
    }

    fn standing(&self) -> Standing {
        let status = self.status();
        let role = match status.role {
            Role::Follower => 1,
            Role::PreCandidate => 2,
            Role::Candidate => 3,
            Role::Leader => 4,
        };
        let facts = role
            | u16::from(status.hard_state.vote == Some(status.id)) << 3
            | u16::from(status.hard_state.vote.is_some()) << 4
            | u16::from(status.leader.is_some()) << 5
            | u16::from(status.durable < status.last.index) << 6
            | membership_facts(self) << 7;
        Standing {
            term: status.hard_state.term.0,
            leads: status.role == Role::Leader,
            leader: status.leader,
            last: (status.last.term.0, status.last.index.0),
            committed: status.committed.0,
            applied: status.applied.0,
            facts,
        }
    }

    fn is_quorum(&self, is: impl Fn(NodeId) -> bool) -> bool {
        self.membership().has_quorum(is, majority)
    }

    fn is_member(&self, node: NodeId) -> bool {
        self.membership().members().any(|member| member == node)
    }

    fn settled(&self) -> Option<&Membership> {
        let (since, membership) = self.log().membership();
        (since <= self.status().committed).then_some(&**membership)
    }

    fn digest(&self) -> u64 {
        self.machine().digest()
    }

    fn is_established(&self) -> bool {
        let status = self.status();
        status.role == Role::Leader
            && !self.is_leaving()
            && self.log().term(status.committed) == Some(status.hard_state.term)
    }

    fn made_in(entry: &Entry) -> Term {
        entry.term
    }

    fn vote(message: &Message, from: NodeId, to: NodeId) -> Option<(u64, NodeId)> {
        match message {
            // Who campaigns has voted for itself.
            Message::Vote { term, .. } => Some((term.0, from)),
            Message::VoteReply { term, granted: true } => Some((term.0, to)),
            _ => None,
        }
    }

    fn moment(message: &Message) -> Option<Moment> {
        match message {
            Message::VoteReply { granted: true, .. } => Some(Moment::Vote),
            Message::InstallSnapshot { .. } => Some(Moment::Snapshot),
            Message::Heartbeat { .. } => Some(Moment::Round),
            _ => None,
        }
    }

    fn describe(message: &Message) -> (String, bool) {
        describe(message)
    }
}

/// How many voters there are, and how a change of them stands, in six bits.
fn membership_facts(replica: &Replica) -> u16 {
    let (since, membership) = replica.log().membership();
    (membership.voters.len() as u16 & 7)
        | u16::from(membership.is_joint()) << 3
        | u16::from(since > replica.status().committed) << 4
        | u16::from(membership.is_voter(replica.status().id)) << 5
}

/// A message in a few words, and whether it is routine.
fn describe(message: &Message) -> (String, bool) {
    let term = message.term().0;
    match message {
        Message::PreVote { .. } => (format!("pre-vote? t{term}"), false),
        Message::PreVoteReply { granted, .. } => {
            (format!("pre-vote {} t{term}", yes(*granted)), !granted)
        }
        Message::Vote { last, .. } => {
            (format!("vote? t{term} log {}@t{}", last.index.0, last.term.0), false)
        }
        Message::VoteReply { granted, .. } => (format!("vote {} t{term}", yes(*granted)), !granted),
        Message::Append { entries, prev, commit, .. } => match (entries.first(), entries.last()) {
            (Some(first), Some(last)) => {
                let range = range(first.index, last.index);
                (format!("append {range} t{term} commit {}", commit.0), false)
            }
            _ => (format!("append? after {} t{term}", prev.index.0), true),
        },
        Message::AppendReply { outcome, .. } => match outcome {
            AppendOutcome::Matched(index) => (format!("has up to {}", index.0), false),
            AppendOutcome::Conflict { prev, .. } => (format!("conflict at {}", prev.0), true),
            AppendOutcome::Stale => ("stale".to_owned(), true),
        },
        Message::Heartbeat { commit, .. } => {
            (format!("heartbeat t{term} commit {}", commit.0), true)
        }
        Message::HeartbeatReply { .. } => (format!("alive t{term}"), true),
        Message::TimeoutNow { .. } => (format!("campaign now t{term}"), false),
        Message::InstallSnapshot { last, done, .. } => {
            let end = if *done { ", last piece" } else { "" };
            (format!("snapshot {}{end} t{term}", last.index.0), false)
        }
        Message::InstallSnapshotReply { .. } => ("snapshot piece arrived".to_owned(), true),
    }
}

const fn yes(granted: bool) -> &'static str {
    if granted { "yes" } else { "no" }
}
