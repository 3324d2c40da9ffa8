//! The replica: its state, and the way of an input through it.

use rand_chacha::ChaCha8Rng;

use super::config::Config;
use super::log::Log;
use super::message::{Message, Position};
use super::outbox::Outbox;
use crate::api::{
    Effect, HardState, Input, LogIndex, Nanos, NodeId, RequestId, Snapshot, Stored, Term,
};
use crate::kv;

/// What a replica is at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Hears a leader, or waits for one.
    Follower,
    /// Asks whether it would be elected.
    PreCandidate,
    /// Asks to be elected.
    Candidate,
    /// Leads.
    Leader,
}

/// How a replica stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// Which replica.
    pub id: NodeId,
    /// What it is.
    pub role: Role,
    /// Its term and vote.
    pub hard_state: HardState,
    /// Who leads, as far as it knows.
    pub leader: Option<NodeId>,
    /// The end of its log.
    pub last: Position,
    /// How far its log is durable.
    pub durable: LogIndex,
    /// How far it knows entries to be committed.
    pub committed: LogIndex,
    /// How far it has applied them.
    pub applied: LogIndex,
}

/// One member of a Raft cluster: protocol, log and state machine.
#[derive(Debug)]
pub struct Replica {
    pub(super) config: Config,
    pub(super) rng: ChaCha8Rng,
    pub(super) now: Nanos,
    pub(super) hard_state: HardState,
    pub(super) log: Log,
    pub(super) machine: kv::Machine,
    pub(super) snapshot: Option<Snapshot>,
    pub(super) committed: LogIndex,
    pub(super) applied: LogIndex,
    pub(super) leader: Option<NodeId>,
    pub(super) outbox: Outbox,
}

impl Replica {
    /// A replica that starts, for the first time or again, with what its disk holds. `now` is the driver's clock,
    /// `rng` draws election timeouts. First effects go to `out`.
    ///
    /// # Panics
    /// If the stored snapshot was not written by [`kv::Machine::snapshot`], or the stored log does not
    /// continue it: the driver hands out what it stored, whole.
    #[must_use]
    pub fn new(
        config: Config,
        stored: Stored,
        now: Nanos,
        rng: ChaCha8Rng,
        out: &mut Vec<Effect<Message>>,
    ) -> Replica {
        let base = stored.snapshot.as_ref().map_or(Position::default(), |snapshot| Position {
            term: snapshot.last_term,
            index: snapshot.last_index,
        });
        let machine = stored.snapshot.as_ref().map_or_else(kv::Machine::default, |snapshot| {
            kv::Machine::restore(&snapshot.data).expect("a stored snapshot is one of ours")
        });
        let mut log = Log::new(base);
        for entry in stored.entries.into_iter().filter(|entry| entry.index > base.index) {
            log.push(entry.into());
        }
        let mut outbox = Outbox::new(log.last().index);
        outbox.finish(now, out);
        Replica {
            config,
            rng,
            now,
            hard_state: stored.hard_state,
            log,
            machine,
            snapshot: stored.snapshot,
            committed: base.index,
            applied: base.index,
            leader: None,
            outbox,
        }
    }

    /// Takes one input; effects are added to `out`, in the order in which they are to be carried out.
    pub fn step(&mut self, now: Nanos, input: Input<Message>, out: &mut Vec<Effect<Message>>) {
        self.now = self.now.max(now);
        match input {
            Input::Timer => self.outbox.disarm(),
            Input::Receive { .. } => {}
            Input::Request { id, request } => self.request(id, request),
            Input::Synced(ticket) => self.outbox.synced(ticket),
        }
        self.outbox.finish(self.now, out);
    }

    /// How it stands.
    #[must_use]
    pub fn status(&self) -> Status {
        Status {
            id: self.config.id,
            role: Role::Follower,
            hard_state: self.hard_state,
            leader: self.leader,
            last: self.log.last(),
            durable: self.outbox.durable(),
            committed: self.committed,
            applied: self.applied,
        }
    }

    fn request(&mut self, id: RequestId, request: kv::Request) {
        let _ = request;
        self.outbox.reply(id, kv::Response::NotLeader { leader: self.leader });
    }
}

#[expect(unused, reason = "the election fills this in")]
fn unused(term: Term) {}
