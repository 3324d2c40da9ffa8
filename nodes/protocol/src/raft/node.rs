//! The replica: its state, and the way of an input through it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use rand_chacha::ChaCha8Rng;

use super::config::Config;
use super::leader::Leader;
use super::log::{Log, weight};
use super::message::{AppendOutcome, HardState, Message, Position};
use super::mutant::Mutant;
use super::snapshot::Incoming;
use crate::api::{
    Effect, Entry, Input, LogIndex, Nanos, NodeId, Payload, RequestId, Snapshot, Stored, Term,
};
use crate::kv::{self, SessionId};
use crate::membership::Membership;
use crate::outbox::{After, Outbox};

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

/// A role with what belongs to it.
#[derive(Debug)]
pub(super) enum Office {
    Follower,
    /// Who would vote for it.
    PreCandidate(BTreeSet<NodeId>),
    /// Who did, durably.
    Candidate(BTreeSet<NodeId>),
    Leader(Leader),
}

/// One member of a Raft cluster: protocol, log and state machine.
#[derive(Debug)]
pub struct Replica {
    pub(super) config: Config,
    pub(super) rng: ChaCha8Rng,
    /// The time of the current step.
    pub(super) now: Nanos,
    pub(super) hard_state: HardState,
    pub(super) log: Log,
    pub(super) committed: LogIndex,
    /// Reaches `committed` at the end of every commit.
    pub(super) applied: LogIndex,
    pub(super) machine: kv::Machine,
    pub(super) snapshot: Option<Snapshot<Term>>,
    /// Entries applied since the snapshot, and their bytes.
    pub(super) unsaved_entries: u64,
    pub(super) unsaved_bytes: u64,
    pub(super) office: Office,
    /// Clients that wait for an entry to be committed, in the order of the log.
    pub(super) pending: VecDeque<(Position, RequestId)>,
    /// Who leads this term, if known.
    pub(super) leader: Option<NodeId>,
    /// When it was heard last.
    pub(super) heard_at: Nanos,
    /// How far the log is known to be this term's leader's.
    pub(super) verified: LogIndex,
    /// A snapshot of which pieces have arrived.
    pub(super) incoming: Option<Incoming>,
    /// When a node that does not lead loses patience.
    pub(super) election_due: Nanos,
    /// Goes on with this node's own vote in a term, when that is durable.
    pub(super) outbox: Outbox<Message, Term>,
    /// When each session was last used, by this node's clock: what the mutant R29 goes by.
    used_at: BTreeMap<SessionId, Nanos>,
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
        stored: Stored<Message>,
        now: Nanos,
        rng: ChaCha8Rng,
        out: &mut Vec<Effect<Message>>,
    ) -> Replica {
        let config = config.changed();
        let base = stored.snapshot.as_ref().map_or(Position::default(), |snapshot| Position {
            term: snapshot.last_era,
            index: snapshot.last_index,
        });
        let empty = || kv::Machine::default().with_mistake(config.mistake);
        let machine = stored.snapshot.as_ref().map_or_else(empty, |snapshot| {
            restore(&config, &snapshot.data).expect("a stored snapshot is one of ours")
        });
        let membership = machine.membership().cloned();
        let mut log = Log::new(
            base,
            membership.unwrap_or_else(|| Membership::of(config.members.iter().copied())),
        );
        for entry in stored.entries.into_iter().filter(|entry| entry.index > base.index) {
            log.push(entry.into());
        }
        let mut replica = Replica {
            outbox: Outbox::new(log.last().index, config.is(Mutant::KeepDurable)),
            config,
            rng,
            now,
            hard_state: stored.hard_state,
            log,
            committed: base.index,
            applied: base.index,
            machine,
            snapshot: stored.snapshot,
            unsaved_entries: 0,
            unsaved_bytes: 0,
            office: Office::Follower,
            pending: VecDeque::new(),
            leader: None,
            heard_at: now,
            verified: LogIndex(0),
            incoming: None,
            election_due: now,
            used_at: BTreeMap::new(),
        };
        replica.reset_election_timer();
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
            while let Some(term) = self.outbox.take_step() {
                self.on_own_vote(term);
            }
        }
        self.finish(out);
    }

    /// How it stands.
    #[must_use]
    pub fn status(&self) -> Status {
        let role = match self.office {
            Office::Follower => Role::Follower,
            Office::PreCandidate(_) => Role::PreCandidate,
            Office::Candidate(_) => Role::Candidate,
            Office::Leader(_) => Role::Leader,
        };
        Status {
            id: self.config.id,
            role,
            hard_state: self.hard_state,
            leader: self.leader,
            last: self.log.last(),
            durable: self.outbox.durable(),
            committed: self.committed,
            applied: self.applied,
        }
    }

    /// The current term, for those who check invariants.
    #[must_use]
    pub fn term(&self) -> Term {
        self.hard_state.term
    }

    /// Its log, for those who check invariants.
    #[must_use]
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// Its state machine, for those who check invariants.
    #[must_use]
    pub fn machine(&self) -> &kv::Machine {
        &self.machine
    }

    /// What a step leaves to be done once, whatever its inputs were.
    fn finish(&mut self, out: &mut Vec<Effect<Message>>) {
        self.commit_as_leader();
        self.settle_membership();
        self.advance_transfer();
        self.settle_reads();
        self.feed();
        let timer = match &self.office {
            Office::Leader(leader) => leader.heartbeat_due.min(leader.quorum_due),
            _ => self.election_due,
        };
        self.outbox.finish(timer, out);
    }

    fn tick(&mut self) {
        match &self.office {
            Office::Leader(leader) => {
                let (beat, check) = (leader.heartbeat_due, leader.quorum_due);
                if self.now >= check {
                    self.check_quorum();
                }
                if self.now >= beat {
                    self.reset_heartbeat_timer();
                    self.expire_transfer();
                    self.tick_followers();
                    self.beat();
                }
            }
            _ if self.now >= self.election_due => self.campaign(),
            _ => {}
        }
    }

    fn tick_followers(&mut self) {
        let Office::Leader(leader) = &mut self.office else { return };
        for (peer, progress) in &mut leader.progress {
            if progress.snapshot_stalled() {
                let piece =
                    progress.snapshot_piece(self.hard_state.term, self.config.piece_bytes_max());
                piece
                    .into_iter()
                    .for_each(|piece| self.outbox.send(After::HardState, *peer, piece));
            }
            progress.tick();
        }
    }

    fn request(&mut self, id: RequestId, request: kv::Request) {
        let leading = matches!(self.office, Office::Leader(_));
        match request {
            kv::Request::Status => {
                let response = kv::Response::Status {
                    term: self.hard_state.term.0,
                    leading,
                    leader: self.leader,
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
                let (since, membership) = self.log.membership();
                let settled = since <= self.committed;
                let membership = Membership::clone(membership);
                self.outbox.reply(id, kv::Response::Members { membership, settled });
            }
            _ if !leading => {
                self.outbox.reply(id, kv::Response::NotLeader { leader: self.leader });
            }
            kv::Request::Perform { command, .. } if command.only_reads() => self.read(id, command),
            kv::Request::Change(change) => self.change(id, &change),
            kv::Request::Transfer(to) => self.transfer(id, to),
            _ if self.is_leaving() => {
                self.outbox.reply(id, kv::Response::NotLeader { leader: None });
            }
            kv::Request::Register => self.propose(id, Payload::Register),
            kv::Request::Perform { session, sequence, command } => {
                self.propose(id, Payload::Command { session, sequence, command });
            }
        }
    }

    /// The rule for all messages: a higher term ends this node's, and nothing of a lower one counts (paper
    /// §5.1). Pre-votes are outside of it, since they speak of a term that nobody is in yet.
    fn receive(&mut self, from: NodeId, message: Message) {
        let term = message.term();
        if from == self.config.id || self.shuts_out(from, &message) {
            return;
        }
        let hypothetical = matches!(
            message,
            Message::PreVote { .. } | Message::PreVoteReply { granted: true, .. }
        );
        if term > self.hard_state.term && !hypothetical && !self.is_deaf_to(&message) {
            let leader = message.is_from_leader().then_some(from);
            self.follow(term, leader);
        }
        let stale_vote = self.config.is(Mutant::CountStaleVotes)
            && matches!(message, Message::VoteReply { granted: true, .. });
        if term < self.hard_state.term && !hypothetical && !stale_vote {
            self.refuse(from, &message);
            return;
        }
        self.dispatch(from, message);
    }

    fn dispatch(&mut self, from: NodeId, message: Message) {
        match message {
            Message::PreVote { term, last } => self.on_pre_vote(from, term, last),
            Message::PreVoteReply { term, granted } => self.on_pre_vote_reply(from, term, granted),
            Message::Vote { last, .. } => self.on_vote(from, last),
            Message::VoteReply { granted, .. } => self.on_vote_reply(from, granted),
            Message::Append { prev, entries, commit, .. } => {
                self.on_append(from, prev, entries, commit);
            }
            Message::AppendReply { outcome, .. } => self.on_append_reply(from, outcome),
            Message::Heartbeat { commit, round, .. } => self.on_heartbeat(from, commit, round),
            Message::HeartbeatReply { round, .. } => self.on_heartbeat_reply(from, round),
            Message::TimeoutNow { .. } => self.on_timeout_now(from),
            Message::InstallSnapshot { last, offset, data, done, .. } => {
                self.on_install_snapshot(from, last, offset, &data, done);
            }
            Message::InstallSnapshotReply { last, received, .. } => {
                self.on_install_snapshot_reply(from, last, received);
            }
        }
    }

    /// Answers a message of an earlier term, so that its sender learns of this one. Late replies get none.
    fn refuse(&mut self, from: NodeId, message: &Message) {
        let term = self.hard_state.term;
        let reply = match message {
            Message::Vote { .. } => Message::VoteReply { term, granted: false },
            Message::Append { .. } | Message::InstallSnapshot { .. } => {
                Message::AppendReply { term, outcome: AppendOutcome::Stale }
            }
            Message::Heartbeat { round, .. } => Message::HeartbeatReply { term, round: *round },
            _ => return,
        };
        self.outbox.send(After::HardState, from, reply);
    }

    /// The mutant R10 does not look at the term of a reply.
    fn is_deaf_to(&self, message: &Message) -> bool {
        self.config.is(Mutant::IgnoreHigherTerm)
            && message.is_reply()
            && matches!(self.office, Office::Leader(_) | Office::Candidate(_))
    }

    /// Raises the commit index, applies what is committed now, and answers the clients who waited for it.
    pub(super) fn commit(&mut self, to: LogIndex) {
        self.committed = to;
        while self.applied < self.committed {
            let index = LogIndex(self.applied.0 + 1);
            let Some(entry) = self.log.get(index) else { break };
            let position = Position { term: entry.term, index };
            if self.config.is(Mutant::ExpireByClock) {
                expire(&mut self.machine, &mut self.used_at, entry, self.now);
            }
            let response = if self.config.is(Mutant::NoDedupe) {
                self.machine.apply_again(entry.as_ref())
            } else {
                self.machine.apply(entry.as_ref())
            };
            self.applied = index;
            self.unsaved_entries += 1;
            self.unsaved_bytes += weight(entry) as u64;
            self.answer_pending(position, response);
            self.compact();
        }
    }

    /// Answers who waits for the entry applied just now. An index alone does not tell that it is theirs.
    fn answer_pending(&mut self, applied: Position, response: Option<kv::Response>) {
        let mut response = response;
        while let Some((position, id)) = self.pending.front().copied()
            && position.index <= applied.index
        {
            self.pending.pop_front();
            let theirs = position == applied
                || self.config.is(Mutant::ReplyByIndex) && position.index == applied.index;
            let answer = response.take().filter(|_| theirs);
            self.outbox.reply(id, answer.unwrap_or(kv::Response::Unknown));
        }
    }

    pub(super) fn broadcast(&mut self, after: After, message: &Message) {
        let peers: Vec<NodeId> = self.peers().collect();
        for peer in peers {
            self.outbox.send(after, peer, message.clone());
        }
    }
}

/// The state machine of a snapshot.
pub(super) fn restore(config: &Config, data: &[u8]) -> Result<kv::Machine, kv::RestoreError> {
    let mut machine = kv::Machine::restore(data)?.with_mistake(config.mistake);
    if config.is(Mutant::ForgetSessions) {
        machine.forget_commands();
    }
    Ok(machine)
}

/// How long a session of the mutant R29 lives unused.
const SESSION_LIFE: Nanos = Nanos(200_000_000);

/// What the mutant R29 does before it applies an entry.
fn expire(
    machine: &mut kv::Machine,
    used_at: &mut BTreeMap<SessionId, Nanos>,
    entry: &Entry,
    now: Nanos,
) {
    let Payload::Command { session, .. } = entry.payload else { return };
    let last = used_at.insert(session, now).unwrap_or(now);
    if now.0 - last.0 > SESSION_LIFE.0 {
        machine.forget(session);
    }
}
