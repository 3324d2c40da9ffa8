//! The replica: its state, and the way of an input through it.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::clients::Clients;
use super::config::Config;
use super::election::Election;
use super::follower::{Follower, Stage};
use super::history::{History, weight};
use super::leader::{Leader, Phase};
use super::message::{Epoch, HardState, Message, Vote, Zxid};
use super::mutant::Mutant;
use super::snapshot::Incoming;
use crate::api::{Effect, Input, LogIndex, Nanos, NodeId, RequestId, Snapshot, Stored};
use crate::kv;
use crate::membership::{Membership, Refusal};
use crate::outbox::{After, Outbox};

/// What a replica is at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Takes part in an election.
    Looking,
    /// Follows a leader, or is on its way to.
    Following,
    /// Leads, or is on its way to.
    Leading,
}

/// How a replica stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// Which replica.
    pub id: NodeId,
    /// What it is.
    pub role: Role,
    /// It takes requests: it broadcasts, or follows a leader that does and was told that it is up to date.
    pub serving: bool,
    /// Its epochs.
    pub epochs: HardState,
    /// Who leads, as far as it knows.
    pub leader: Option<NodeId>,
    /// The end of its history.
    pub last: Zxid,
    /// How far that is durable.
    pub durable: LogIndex,
    /// How far it knows transactions to be committed.
    pub committed: LogIndex,
    /// How far it has applied them.
    pub applied: LogIndex,
}

/// A role with what belongs to it.
#[derive(Debug)]
pub(super) enum Office {
    Looking(Election),
    Following(Follower),
    Leading(Leader),
}

/// What a node goes on with when something is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// It has accepted the epoch that it opened.
    Accepted(Epoch),
    /// It holds the epoch's initial history, and may make the epoch its current one.
    Adopt(Epoch),
    /// It has.
    Adopted(Epoch),
}

/// One member of a Zab cluster: protocol, history and state machine.
#[derive(Debug)]
pub struct Replica {
    pub(super) config: Config,
    pub(super) rng: ChaCha8Rng,
    /// The time of the current step.
    pub(super) now: Nanos,
    pub(super) epochs: HardState,
    /// The newest epoch that this node heard of, in this life.
    pub(super) newest: Epoch,
    /// Who opened the accepted epoch, if this node accepted it in this life.
    pub(super) opened_by: Option<NodeId>,
    pub(super) history: History,
    pub(super) committed: LogIndex,
    /// Reaches `committed` at the end of every commit.
    pub(super) applied: LogIndex,
    pub(super) machine: kv::Machine,
    pub(super) snapshot: Option<Snapshot<Epoch>>,
    /// Transactions applied since the snapshot, and their bytes.
    pub(super) unsaved_entries: u64,
    pub(super) unsaved_bytes: u64,
    /// Counts elections.
    pub(super) round: u64,
    /// This node's vote in the last one.
    pub(super) vote: Vote,
    pub(super) office: Office,
    pub(super) clients: Clients,
    /// A snapshot of which pieces have arrived.
    pub(super) incoming: Option<Incoming>,
    pub(super) outbox: Outbox<Message, Step>,
}

impl Replica {
    /// A replica that starts, for the first time or again, with what its disk holds, and looks for a leader. `now` is the
    /// driver's clock, `rng` draws timeouts. First effects go to `out`.
    ///
    /// # Panics
    /// If the stored snapshot was not written by [`kv::Machine::snapshot`], or the stored log does not
    /// continue it: the driver hands out what it stored, whole.
    #[must_use]
    pub fn new(
        config: Config,
        stored: Stored<Message>,
        now: Nanos,
        rng: ChaCha8Rng,
        out: &mut Vec<Effect<Message>>,
    ) -> Replica {
        let config = config.changed();
        let base = stored.snapshot.as_ref().map_or(Zxid::default(), |snapshot| Zxid {
            epoch: snapshot.last_era,
            counter: snapshot.last_index,
        });
        let empty = || kv::Machine::default().with_mistake(config.mistake);
        let machine = stored.snapshot.as_ref().map_or_else(empty, |snapshot| {
            let machine = kv::Machine::restore(&snapshot.data);
            machine.expect("a stored snapshot is one of ours").with_mistake(config.mistake)
        });
        let mut history = History::new(base);
        for entry in stored.entries.into_iter().filter(|entry| entry.index > base.counter) {
            history.push(entry.into());
        }
        let keeps_durable = config.is(Mutant::KeepDurable);
        let mut replica = Replica {
            outbox: Outbox::new(history.last().counter, keeps_durable),
            config,
            rng,
            now,
            epochs: stored.hard_state,
            newest: stored.hard_state.accepted,
            opened_by: None,
            history,
            committed: base.counter,
            applied: base.counter,
            machine,
            snapshot: stored.snapshot,
            unsaved_entries: 0,
            unsaved_bytes: 0,
            round: 0,
            vote: Vote::default(),
            office: Office::Looking(Election::default()),
            clients: Clients::default(),
            incoming: None,
        };
        if replica.config.is(Mutant::ApplyTail) {
            replica.commit(replica.history.last().counter);
        }
        replica.look();
        replica.finish(out);
        replica
    }

    /// Takes one input; effects are added to `out`, in the order in which they are to be carried out.
    pub fn step(&mut self, now: Nanos, input: Input<Message>, out: &mut Vec<Effect<Message>>) {
        self.step_all(now, [input], out);
    }

    /// Takes inputs that are there at the same time as one step: what they ask to be stored and sent is
    /// batched.
    pub fn step_all(
        &mut self,
        now: Nanos,
        inputs: impl IntoIterator<Item = Input<Message>>,
        out: &mut Vec<Effect<Message>>,
    ) {
        self.now = self.now.max(now);
        for input in inputs {
            match input {
                Input::Timer => {
                    self.outbox.disarm();
                    self.tick();
                }
                Input::Receive { from, message } => self.receive(from, message),
                Input::Request { id, request } => self.request(id, request),
                Input::Synced(ticket) => self.outbox.synced(ticket),
            }
            self.take_steps();
        }
        self.finish(out);
    }

    /// How it stands.
    #[must_use]
    pub fn status(&self) -> Status {
        let role = match &self.office {
            Office::Looking(_) => Role::Looking,
            Office::Following(_) => Role::Following,
            Office::Leading(_) => Role::Leading,
        };
        Status {
            id: self.config.id,
            role,
            serving: self.is_serving(),
            epochs: self.epochs,
            leader: self.leader(),
            last: self.history.last(),
            durable: self.outbox.durable(),
            committed: self.committed,
            applied: self.applied,
        }
    }

    /// All members.
    #[must_use]
    pub fn members(&self) -> &[NodeId] {
        &self.config.members
    }

    /// Its history, for those who check invariants.
    #[must_use]
    pub fn history(&self) -> &History {
        &self.history
    }

    /// Its state machine, for those who check invariants.
    #[must_use]
    pub fn machine(&self) -> &kv::Machine {
        &self.machine
    }

    /// Whether it takes requests.
    pub(super) fn is_serving(&self) -> bool {
        match &self.office {
            Office::Looking(_) => false,
            Office::Following(follower) => follower.stage == Stage::Serving,
            Office::Leading(leader) => leader.phase == Phase::Broadcast,
        }
    }

    /// Who leads, if that is settled.
    fn leader(&self) -> Option<NodeId> {
        match &self.office {
            _ if !self.is_serving() => None,
            Office::Looking(_) => None,
            Office::Following(follower) => Some(follower.leader),
            Office::Leading(_) => Some(self.config.id),
        }
    }

    /// What a step leaves to be done once, whatever its inputs were.
    fn finish(&mut self, out: &mut Vec<Effect<Message>>) {
        self.commit_as_leader();
        self.settle_reads();
        self.feed();
        self.take_steps();
        let timer = match &self.office {
            Office::Looking(election) => election.due(),
            Office::Following(follower) => follower.due(),
            Office::Leading(leader) => leader.heartbeat_due.min(leader.quorum_due),
        };
        self.outbox.finish(timer, out);
    }

    fn take_steps(&mut self) {
        while let Some(step) = self.outbox.take_step() {
            match step {
                Step::Accepted(epoch) => self.on_own_epoch(epoch),
                Step::Adopt(epoch) => self.adopt(epoch),
                Step::Adopted(epoch) => self.on_own_history(epoch),
            }
        }
    }

    fn tick(&mut self) {
        match &self.office {
            Office::Looking(_) => self.tick_election(),
            Office::Following(_) => self.tick_follower(),
            Office::Leading(_) => self.tick_leader(),
        }
    }

    fn request(&mut self, id: RequestId, request: kv::Request) {
        match request {
            kv::Request::Status => {
                let response = kv::Response::Status {
                    term: self.epochs.accepted.0,
                    leading: matches!(self.office, Office::Leading(_)) && self.is_serving(),
                    leader: self.leader(),
                    committed: self.committed.0,
                    applied: self.applied.0,
                };
                self.outbox.reply(id, response);
            }
            kv::Request::Digest => {
                let (applied, digest) = (self.applied.0, self.machine.digest());
                self.outbox.reply(id, kv::Response::Digest { applied, digest });
            }
            kv::Request::Members => {
                let membership = Membership::of(self.config.members.iter().copied());
                self.outbox.reply(id, kv::Response::Members { membership, settled: true });
            }
            kv::Request::Change(_) | kv::Request::Transfer(_) => {
                self.outbox.reply(id, kv::Response::Refused(Refusal::Void));
            }
            _ if !self.is_serving() => {
                self.outbox.reply(id, kv::Response::NotLeader { leader: None });
            }
            kv::Request::Perform { command, .. } if self.is_read(&command) => {
                self.read(id, command);
            }
            request => self.write(id, request),
        }
    }

    /// A message counts if it comes from the one it must come from: a follower listens to the leader that it chose, in the epoch that it
    /// accepted, and a leader to what belongs to its epoch. Whoever was deposed is told by silence.
    fn receive(&mut self, from: NodeId, message: Message) {
        if from == self.config.id || !self.config.members.contains(&from) {
            return;
        }
        match message {
            Message::Notification { round, vote, stance } => {
                self.on_notification(from, round, vote, stance);
            }
            Message::FollowerInfo { accepted } => self.on_follower_info(from, accepted),
            Message::NewEpoch { epoch } => self.on_new_epoch(from, epoch),
            message => match &self.office {
                Office::Looking(_) => {}
                Office::Following(_) => self.receive_as_follower(from, message),
                Office::Leading(leader) => {
                    if leader.epoch.is_some() && leader.epoch == message.epoch() {
                        self.receive_as_leader(from, message);
                    }
                }
            },
        }
    }

    fn receive_as_leader(&mut self, from: NodeId, message: Message) {
        if let Some(learner) = self.learner(from) {
            learner.active = true;
        }
        match message {
            Message::AckEpoch { current, last, fresh, .. } => {
                self.on_ack_epoch(from, current, last, fresh);
            }
            Message::SnapReceived { last, received, .. } => {
                self.on_snap_received(from, last, received);
            }
            Message::AckNewLeader { .. } => self.on_ack_new_leader(from),
            Message::Ack { to, .. } => self.on_ack(from, to),
            Message::Pong { round, durable, .. } => self.on_pong(from, round, durable),
            Message::Forward { number, request, .. } => self.on_forward(from, number, request),
            Message::Sync { number, .. } => self.on_sync(from, number),
            _ => {}
        }
    }

    /// Raises the commit index, applies what is committed now, and answers the clients who waited for it.
    pub(super) fn commit(&mut self, to: LogIndex) {
        self.committed = self.committed.max(to);
        while self.applied < self.committed {
            let index = LogIndex(self.applied.0 + 1);
            let Some(entry) = self.history.get(index) else { break };
            let response = self.machine.apply(&**entry);
            self.applied = index;
            self.unsaved_entries += 1;
            self.unsaved_bytes += weight(entry) as u64;
            if let Some(id) = self.clients.take_entered(index) {
                self.outbox.reply(id, response.unwrap_or(kv::Response::Unknown));
            }
            self.compact();
        }
        self.answer_ready_reads();
    }

    pub(super) fn save_epochs(&mut self, epochs: HardState) {
        let forgets =
            epochs.accepted > self.epochs.accepted && self.config.is(Mutant::ForgetAccepted);
        self.epochs = epochs;
        if forgets {
            self.outbox.save_hard_state_unsynced(epochs);
        } else {
            self.outbox.save_hard_state(epochs);
        }
    }

    /// How long this node waits for others, this time.
    pub(super) fn patience(&mut self) -> Nanos {
        let range = self.config.election_timeout.clone();
        Nanos(self.now.0 + self.rng.random_range(range.start().0..=range.end().0))
    }

    /// One heartbeat from now.
    pub(super) fn next_beat(&self) -> Nanos {
        Nanos(self.now.0 + self.config.heartbeat_interval.0)
    }

    pub(super) fn broadcast(&mut self, message: &Message) {
        let peers: Vec<NodeId> = self.config.peers().collect();
        for peer in peers {
            self.outbox.send(After::HardState, peer, message.clone());
        }
    }
}
