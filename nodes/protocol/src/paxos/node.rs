//! The replica: its state, and the way of an input through it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::ballot::Ballot;
use super::campaign::Campaign;
use super::config::Config;
use super::leader::Leader;
use super::learner::Learner;
use super::log::{Chosen, Entry, Log};
use super::message::Message;
use super::mutant::Mutant;
use super::read::Reads;
use super::snapshot::restore;
use crate::api::{
    Effect, Era, Input, LogIndex, Nanos, NodeId, Note, Payload, RequestId, Snapshot, Stored,
};
use crate::kv;
use crate::membership::{Membership, Refusal};
use crate::outbox::{After, Outbox};

/// What a replica is at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Hears a leader, or waits for one.
    Follower,
    /// Asks for promises.
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
    /// Its promise.
    pub promised: Ballot,
    /// Who leads, as far as it knows.
    pub leader: Option<NodeId>,
    /// The last slot for which it has accepted something.
    pub last: LogIndex,
    /// How far it knows all slots to be chosen; it has executed all of them.
    pub committed: LogIndex,
    /// Whether it leads and has executed everything that was open when it took office.
    pub established: bool,
}

/// A role with what belongs to it.
#[derive(Debug)]
pub(super) enum Office {
    Follower,
    Candidate(Campaign),
    Leader(Leader),
}

/// One member of a Paxos cluster: protocol, log and state machine.
#[derive(Debug)]
pub struct Replica {
    pub(super) config: Config,
    pub(super) rng: ChaCha8Rng,
    /// The time of the current step.
    pub(super) now: Nanos,
    /// The highest ballot in which this node takes part.
    pub(super) promised: Ballot,
    /// The highest round that it has heard of, its own included.
    pub(super) round: u64,
    pub(super) log: Log,
    /// Every slot up to here is chosen, and executed.
    pub(super) committed: LogIndex,
    pub(super) machine: kv::Machine,
    pub(super) snapshot: Option<Snapshot<Ballot>>,
    /// Slots executed since the snapshot, and their bytes.
    pub(super) unsaved_entries: u64,
    pub(super) unsaved_bytes: u64,
    pub(super) office: Office,
    /// Clients whose command a leader has not proposed yet.
    pub(super) waiting: VecDeque<(RequestId, Payload)>,
    /// Clients whose command was proposed, by slot, and the ballot under which it was last.
    pub(super) pending: BTreeMap<LogIndex, (Ballot, RequestId)>,
    pub(super) reads: Reads,
    /// Who leads in the ballot promised, if it was heard.
    pub(super) leader: Option<NodeId>,
    /// When it was heard last.
    pub(super) heard_at: Nanos,
    /// Nothing is promised before: this node may have heard a leader before it was restarted.
    pub(super) quiet_until: Nanos,
    pub(super) learner: Learner,
    /// Attempts to lead that failed, since a leader was heard last.
    pub(super) failures: u32,
    /// When a node that does not lead loses patience.
    pub(super) election_due: Nanos,
    /// A node is its own acceptor as well: what it says to itself waits like anything else, and is heard then. So its own promise, and its own
    /// acceptances, count only when they are durable.
    pub(super) outbox: Outbox<Message, Message>,
}

impl Replica {
    /// A replica that starts, for the first time or again, with what its disk holds. `now` is the driver's clock,
    /// `rng` draws waits. First effects go to `out`.
    ///
    /// # Panics
    /// If the stored snapshot was not written by [`kv::Machine::snapshot`]: the driver hands out what it stored, whole.
    #[must_use]
    pub fn new(
        config: Config,
        stored: Stored<Message>,
        now: Nanos,
        rng: ChaCha8Rng,
        out: &mut Vec<Effect<Message>>,
    ) -> Self {
        let config = config.changed();
        let stored = if config.is(Mutant::ForgetAll) {
            Stored { snapshot: stored.snapshot, ..Stored::default() }
        } else {
            stored
        };
        let base = stored.snapshot.as_ref().map_or(LogIndex(0), |snapshot| snapshot.last_index);
        let empty = || kv::Machine::default().with_mistake(config.mistake);
        let machine = stored.snapshot.as_ref().map_or_else(empty, |snapshot| {
            restore(&config, &snapshot.data).expect("a stored snapshot is one of ours")
        });
        let mut log = Log::new(base);
        stored.entries.into_iter().for_each(|entry| log.put(entry.into()));
        let promised = stored.hard_state.promised;
        let mut replica = Self {
            outbox: Outbox::default(),
            rng,
            now,
            promised,
            round: if config.is(Mutant::ReuseBallots) { 0 } else { promised.round },
            log,
            committed: base,
            machine,
            snapshot: stored.snapshot,
            unsaved_entries: 0,
            unsaved_bytes: 0,
            office: Office::Follower,
            waiting: VecDeque::new(),
            pending: BTreeMap::new(),
            reads: Reads::default(),
            leader: None,
            heard_at: now,
            quiet_until: Nanos(now.0.saturating_add(config.election_timeout.start().0)),
            learner: Learner::default(),
            failures: 0,
            election_due: now,
            config,
        };
        replica.reset_patience();
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
                Input::Receive { from, message } if from != self.config.id => {
                    self.receive(from, message);
                }
                Input::Receive { .. } => {}
                Input::Request { id, request } => self.request(id, request),
                Input::Synced(ticket) => self.outbox.synced(ticket),
            }
            self.hear_oneself();
        }
        self.finish(out);
    }

    /// How it stands.
    #[must_use]
    pub fn status(&self) -> Status {
        let role = match &self.office {
            Office::Follower => Role::Follower,
            Office::Candidate(_) => Role::Candidate,
            Office::Leader(_) => Role::Leader,
        };
        Status {
            id: self.config.id,
            role,
            promised: self.promised,
            leader: self.leader,
            last: self.log.last(),
            committed: self.committed,
            established: self.is_established(),
        }
    }

    /// All replicas.
    #[must_use]
    pub fn members(&self) -> &[NodeId] {
        &self.config.members
    }

    /// What it has accepted, for those who check invariants.
    #[must_use]
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// Its state machine, for those who check invariants.
    #[must_use]
    pub fn machine(&self) -> &kv::Machine {
        &self.machine
    }

    pub(super) fn is_established(&self) -> bool {
        matches!(&self.office, Office::Leader(leader) if self.committed >= leader.opened)
    }

    /// What a step leaves to be done once, whatever its inputs were.
    fn finish(&mut self, out: &mut Vec<Effect<Message>>) {
        // What a node says to itself may be due at once, on a disk where nothing waits.
        loop {
            self.propose_waiting();
            self.settle_reads();
            self.feed();
            if !self.hear_oneself() {
                break;
            }
        }
        let timer = match &self.office {
            Office::Leader(leader) => leader.heartbeat_due,
            Office::Candidate(campaign) => campaign.again_at.min(self.election_due),
            Office::Follower => self.election_due,
        };
        self.outbox.finish(timer, out);
    }

    /// Whether there was anything to hear.
    fn hear_oneself(&mut self) -> bool {
        let mut any = false;
        while let Some(message) = self.outbox.take_step() {
            any = true;
            self.receive(self.config.id, message);
        }
        any
    }

    fn tick(&mut self) {
        if self.waits_forever() {
            return;
        }
        match &self.office {
            Office::Leader(leader) if self.now >= leader.heartbeat_due => self.tick_leader(),
            Office::Leader(_) => {}
            _ if self.now >= self.election_due => {
                self.failures += u32::from(matches!(self.office, Office::Candidate(_)));
                self.give_up_requests();
                self.campaign();
            }
            Office::Candidate(campaign) if self.now >= campaign.again_at => self.prepare_again(),
            _ => {}
        }
    }

    fn request(&mut self, id: RequestId, request: kv::Request) {
        match request {
            kv::Request::Status => {
                let response = kv::Response::Status {
                    term: self.promised.number(),
                    leading: matches!(self.office, Office::Leader(_)),
                    leader: self.leader,
                    committed: self.committed.0,
                    applied: self.committed.0,
                };
                self.outbox.reply(id, response);
            }
            kv::Request::Digest => {
                let (applied, digest) = (self.committed.0, self.machine.digest());
                self.outbox.reply(id, kv::Response::Digest { applied, digest });
            }
            kv::Request::Members => {
                let membership = Membership::of(self.config.members.iter().copied());
                self.outbox.reply(id, kv::Response::Members { membership, settled: true });
            }
            kv::Request::Change(_) | kv::Request::Transfer(_) => {
                self.outbox.reply(id, kv::Response::Refused(Refusal::Unsupported));
            }
            _ if !self.holds_office() => {
                self.outbox.reply(id, kv::Response::NotLeader { leader: self.leader });
            }
            kv::Request::Perform { command, .. } if command.only_reads() => self.read(id, command),
            kv::Request::Register => self.waiting.push_back((id, Payload::Register)),
            kv::Request::Perform { session, sequence, command } => {
                self.waiting.push_back((id, Payload::Command { session, sequence, command }));
            }
        }
    }

    /// Whether it leads, or did until it took a higher ballot.
    fn holds_office(&self) -> bool {
        match &self.office {
            Office::Leader(_) => true,
            Office::Candidate(campaign) => campaign.renews,
            Office::Follower => false,
        }
    }

    fn receive(&mut self, from: NodeId, message: Message) {
        self.round = self.round.max(self.heard_round(&message));
        match message {
            Message::Prepare { ballot, committed } => self.on_prepare(from, ballot, committed),
            Message::Promise { ballot, committed, accepted } => {
                self.on_promise(from, ballot, committed, accepted);
            }
            Message::Accept { ballot, committed, entries } => {
                self.on_accept(from, ballot, committed, entries);
            }
            Message::Accepted { ballot, first, last } => {
                self.on_accepted(from, ballot, first, last);
            }
            Message::Reject { ballot, promised } => self.on_reject(from, ballot, promised),
            Message::Heartbeat { ballot, committed, round } => {
                self.on_heartbeat(from, ballot, committed, round);
            }
            Message::HeartbeatReply { ballot, round } => {
                self.on_heartbeat_reply(from, ballot, round);
            }
            Message::Fetch { ballot, committed, arrived } => {
                self.on_fetch(from, ballot, committed, arrived);
            }
            Message::Chosen { ballot, committed, entries } => {
                self.on_chosen(from, ballot, committed, entries);
            }
            Message::Piece { ballot, last, era, offset, data, done } => {
                self.on_piece(from, ballot, (last, era), offset, &data, done);
            }
        }
    }

    /// The round that a message tells of.
    fn heard_round(&self, message: &Message) -> u64 {
        match message {
            Message::Reject { promised, .. } => promised.round,
            _ if self.config.is(Mutant::ReuseBallots) => 0,
            message => message.ballot().round,
        }
    }

    /// The next slot is chosen, with the value that the log holds: executes it, and answers the client who waits for it.
    pub(super) fn execute_next(&mut self) {
        let slot = LogIndex(self.committed.0 + 1);
        let Some(entry) = self.log.get(slot).map(Arc::clone) else { return };
        self.execute(&entry);
    }

    pub(super) fn execute(&mut self, entry: &Entry) {
        let chosen = Chosen::from(entry);
        let response = if self.config.is(Mutant::ExecuteTwice) {
            self.machine.apply_again(&chosen)
        } else {
            self.machine.apply(&chosen)
        };
        self.committed = entry.slot;
        self.unsaved_entries += 1;
        self.unsaved_bytes += entry.payload.weight() as u64;
        self.answer_pending(entry, response);
        self.compact();
    }

    /// Answers who waits for the slot executed just now. A slot alone does not tell that what was chosen is theirs; under one ballot it
    /// has one value.
    fn answer_pending(&mut self, entry: &Entry, response: Option<kv::Response>) {
        let mut response = response;
        while let Some(first) = self.pending.first_entry()
            && *first.key() <= entry.slot
        {
            let (slot, (ballot, id)) = first.remove_entry();
            let theirs = slot == entry.slot
                && (ballot == entry.ballot || self.config.is(Mutant::AnswerBySlot));
            let answer = response.take().filter(|_| theirs);
            self.outbox.reply(id, answer.unwrap_or(kv::Response::Unknown));
        }
    }

    /// What clients wait for is not this node's to answer any more: of what it proposed nobody knows, and the rest was never begun.
    pub(super) fn give_up_requests(&mut self) {
        for (_, id) in std::mem::take(&mut self.pending).into_values() {
            self.outbox.reply(id, kv::Response::Unknown);
        }
        let begun = self.waiting.drain(..).map(|(id, _)| id);
        for id in begun.chain(std::mem::take(&mut self.reads).into_ids()) {
            self.outbox.reply(id, kv::Response::NotLeader { leader: self.leader });
        }
    }

    /// Ends whatever office this node holds.
    pub(super) fn step_down(&mut self) {
        if let Office::Leader(leader) = &self.office {
            self.outbox.note(Note::SteppedDown(leader.ballot));
        }
        self.office = Office::Follower;
        self.give_up_requests();
    }

    /// Draws anew how long this node waits for a leader.
    pub(super) fn reset_patience(&mut self) {
        let wait = self.rng.random_range(self.config.patience(self.failures));
        self.election_due = Nanos(self.now.0.saturating_add(wait));
    }

    pub(super) fn broadcast(&mut self, after: After, message: &Message) {
        for peer in self.config.peers() {
            self.outbox.send(after, peer, message.clone());
        }
    }
}
