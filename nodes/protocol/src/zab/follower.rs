//! The follower's side of the three phases: it accepts the epoch, takes the leader's history for its own, and stores what the
//! leader proposes (Zab 1.0, phases 1 to 3).
//!
//! Proposals are taken only where they continue the history exactly. Whoever finds a gap, or hears nothing for a heartbeat while
//! it waits for something, says again what it has: the leader resynchronises it from there.

use std::sync::Arc;

use super::message::{Entry, Epoch, HardState, Message, Zxid};
use super::mutant::Mutant;
use super::node::{Office, Replica, Step};
use crate::api::{LogIndex, Nanos, NodeId, Note};
use crate::outbox::After;

/// How far a follower has come with its leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Wants to be told an epoch.
    Discovery,
    /// Has accepted it, and waits for the leader's history.
    Synchronisation,
    /// Has it all, and makes it durable.
    Adoption,
    /// Has said so, and waits until a quorum has.
    Acknowledged,
    /// Is up to date.
    Serving,
}

/// What a node knows that follows.
#[derive(Debug)]
pub(super) struct Follower {
    pub(super) leader: NodeId,
    pub(super) stage: Stage,
    /// When it loses patience.
    patience_due: Nanos,
    /// When it says again what may have been lost.
    again_due: Nanos,
    /// How far the history is known to be the leader's.
    verified: LogIndex,
    /// Something of what it waits for has come since then.
    moved: bool,
    /// It has asked for what it lacks since then.
    asked: bool,
}

impl Follower {
    /// When something is to be done next.
    pub(super) fn due(&self) -> Nanos {
        self.patience_due.min(self.again_due)
    }
}

impl Replica {
    pub(super) fn follow(&mut self, leader: NodeId) {
        let (patience_due, again_due) = (self.patience(), self.next_beat());
        let stage = Stage::Discovery;
        self.office = Office::Following(Follower {
            leader,
            stage,
            patience_due,
            again_due,
            verified: LogIndex(0),
            moved: false,
            asked: false,
        });
        self.outbox.send(After::HardState, leader, self.follower_info());
    }

    fn follower_info(&self) -> Message {
        Message::FollowerInfo { accepted: self.epochs.accepted }
    }

    pub(super) fn tick_follower(&mut self) {
        let (now, again) = (self.now, self.next_beat());
        let Office::Following(follower) = &mut self.office else { return };
        if now >= follower.patience_due {
            self.look();
            return;
        }
        if now < follower.again_due {
            return;
        }
        follower.again_due = again;
        follower.asked = false;
        let (leader, stage) = (follower.leader, follower.stage);
        let moved = std::mem::take(&mut follower.moved);
        match stage {
            Stage::Discovery => self.outbox.send(After::HardState, leader, self.follower_info()),
            Stage::Synchronisation if !moved => self.say_what_it_has(),
            Stage::Acknowledged => {
                let epoch = self.epochs.accepted;
                self.outbox.send(After::Log, leader, Message::AckNewLeader { epoch });
            }
            Stage::Synchronisation | Stage::Adoption | Stage::Serving => {}
        }
        self.tick_requests();
    }

    /// NEWEPOCH. An epoch is accepted from one leader only, and durably before anybody hears of it: two leaders that open the same
    /// one cannot both be acknowledged by a quorum.
    pub(super) fn on_new_epoch(&mut self, from: NodeId, epoch: Epoch) {
        let patience_due = self.patience();
        let Office::Following(follower) = &mut self.office else { return };
        if follower.leader != from {
            return;
        }
        if follower.stage != Stage::Discovery {
            // It has forgotten this node, as when an old request to join comes late.
            if epoch == self.epochs.accepted {
                self.ask_once();
            }
            return;
        }
        if epoch < self.epochs.accepted {
            self.look();
            return;
        }
        follower.stage = Stage::Synchronisation;
        follower.patience_due = patience_due;
        if epoch > self.epochs.accepted || self.config.is(Mutant::SameEpoch) {
            self.opened_by = Some(from);
            self.save_epochs(HardState { accepted: epoch, ..self.epochs });
        }
        if self.config.is(Mutant::TruncateToCommitted)
            && self.history.last().counter > self.committed
        {
            self.history.truncate(self.committed);
            self.outbox.truncate(self.committed);
        }
        self.say_what_it_has();
    }

    /// ACKEPOCH: what a follower has, so that the leader sends what it lacks.
    pub(super) fn say_what_it_has(&mut self) {
        let Office::Following(follower) = &mut self.office else { return };
        follower.asked = true;
        let fresh = self.opened_by == Some(follower.leader);
        let HardState { accepted: epoch, current } = self.epochs;
        let message = Message::AckEpoch { epoch, current, last: self.history.last(), fresh };
        self.outbox.send(After::Log, follower.leader, message);
    }

    /// The same, unless it was said a moment ago.
    fn ask_once(&mut self) {
        if matches!(&self.office, Office::Following(follower) if !follower.asked) {
            self.say_what_it_has();
        }
    }

    pub(super) fn receive_as_follower(&mut self, from: NodeId, message: Message) {
        let patience_due = self.patience();
        let Office::Following(follower) = &mut self.office else { return };
        if follower.leader != from
            || follower.stage == Stage::Discovery
            || message.epoch() != Some(self.epochs.accepted)
        {
            return;
        }
        follower.patience_due = patience_due;
        follower.moved |= !matches!(message, Message::Ping { .. });
        if self.config.is(Mutant::EpochBeforeHistory) && self.is_synchronising() {
            self.save_epochs(HardState { current: self.epochs.accepted, ..self.epochs });
        }
        match message {
            Message::Diff { after, .. } => self.on_diff(after),
            Message::Trunc { to, .. } => self.on_trunc(to),
            Message::Snap { last, offset, data, done, .. } => {
                self.on_snap(from, last, offset, &data, done);
            }
            Message::NewLeader { last, .. } => self.on_new_leader(last),
            Message::UpToDate { commit, .. } => self.on_up_to_date(commit),
            Message::Propose { prev, entries, commit, .. } => {
                self.on_propose(from, prev, entries, commit);
            }
            Message::Commit { commit, .. } => self.commit_as_follower(commit),
            Message::Ping { round, sent, commit, .. } => self.on_ping(from, round, sent, commit),
            Message::Forwarded { number, entered, .. } => self.on_forwarded(number, entered),
            Message::Synced { number, commit, .. } => self.on_synced(number, commit),
            _ => {}
        }
    }

    /// Whether the leader's history is still being taken for this node's own.
    fn is_synchronising(&self) -> bool {
        matches!(&self.office, Office::Following(follower) if follower.stage == Stage::Synchronisation)
    }

    fn on_diff(&mut self, after: Zxid) {
        if self.history.holds(after) {
            self.progressed(after.counter);
        } else if self.is_synchronising() {
            self.ask_once();
        }
    }

    /// The history is the leader's up to here. The next gap is another one.
    pub(super) fn progressed(&mut self, to: LogIndex) {
        if let Office::Following(follower) = &mut self.office {
            follower.asked &= to <= follower.verified;
            follower.verified = follower.verified.max(to);
        }
    }

    /// TRUNC. What is committed is in the history of every later leader, and never cut; nor is what came from this one, whatever late message
    /// asks for it.
    fn on_trunc(&mut self, to: Zxid) {
        let Office::Following(follower) = &self.office else { return };
        if follower.stage != Stage::Synchronisation
            || to.counter < follower.verified
            || self.config.is(Mutant::KeepTail)
        {
            return;
        }
        if !self.history.holds(to) || to.counter < self.committed {
            self.ask_once();
        } else if self.history.last() != to {
            self.history.truncate(to.counter);
            self.outbox.truncate(to.counter);
            self.progressed(to.counter);
        }
    }

    /// Transactions are named once and for all, and come in their order: a history that ends where another one goes through has all
    /// before that in common with it.
    fn on_propose(&mut self, from: NodeId, prev: Zxid, entries: Vec<Arc<Entry>>, commit: LogIndex) {
        let last = self.history.last();
        let to = entries.last().map_or(prev.counter, |entry| entry.index);
        let unchecked = self.skips_checks(prev, last);
        let entries = if unchecked && prev.counter > last.counter {
            renumbered(entries, last)
        } else {
            entries
        };
        // With doubled messages, some of them may be here already.
        let held = entries.partition_point(|entry| entry.index <= last.counter);
        let joint = held.checked_sub(1).map_or(prev, |at| entries[at].zxid());
        let continues = if held == entries.len() {
            joint.counter <= self.committed || self.history.holds(joint)
        } else {
            joint == last
        };
        if !continues && !unchecked {
            self.ask_once();
            return;
        }
        let new = &entries[held..];
        if !new.is_empty() {
            self.store(new);
        }
        self.progressed(self.history.last().counter.min(to));
        let after = if self.config.is(Mutant::AckUnsynced) { After::Nothing } else { After::Log };
        let epoch = self.epochs.accepted;
        self.outbox.send(after, from, Message::Ack { epoch, to });
        self.commit_as_follower(commit);
    }

    /// What mutants do without: whether proposals that do not continue the history are taken all the same.
    fn skips_checks(&self, prev: Zxid, last: Zxid) -> bool {
        self.config.is(Mutant::NoGapCheck)
            || self.config.is(Mutant::KeepTail) && prev.counter <= last.counter
    }

    fn store(&mut self, new: &[Arc<Entry>]) {
        let owned = new.iter().map(|entry| Entry::clone(entry)).collect();
        let unsynced = self.config.is(Mutant::AckUnsynced)
            || self.config.is(Mutant::DiffUnsynced) && self.is_synchronising();
        if unsynced {
            self.outbox.append_unsynced(owned);
        } else {
            self.outbox.append(owned);
        }
        new.iter().for_each(|entry| self.history.push(Arc::clone(entry)));
    }

    /// NEWLEADER: this node's history is the leader's. It becomes the current epoch's only when it is durable: an epoch
    /// whose initial history could be lost would win elections with less than that.
    fn on_new_leader(&mut self, last: Zxid) {
        let complete = match self.config.mutant {
            Some(Mutant::EarlyNewLeader) => true,
            Some(Mutant::KeepTail) => self.history.last().counter >= last.counter,
            _ => self.history.last() == last,
        };
        let epoch = self.epochs.accepted;
        let Office::Following(follower) = &mut self.office else { return };
        match follower.stage {
            Stage::Synchronisation if complete => {
                follower.stage = Stage::Adoption;
                self.outbox.note(Note::Following(epoch, follower.leader));
                let after = match self.config.mutant {
                    Some(Mutant::AckUnsyncedHistory) => After::Nothing,
                    _ => After::Log,
                };
                self.outbox.then(after, Step::Adopt(epoch));
            }
            Stage::Synchronisation => self.ask_once(),
            // It was resynchronised in the middle of an epoch.
            Stage::Acknowledged | Stage::Serving if last.counter <= self.history.last().counter => {
                let to = follower.leader;
                self.outbox.send(After::Log, to, Message::AckNewLeader { epoch });
            }
            Stage::Acknowledged | Stage::Serving => self.ask_once(),
            Stage::Discovery | Stage::Adoption => {}
        }
    }

    /// The initial history is durable: this node's, if it leads, or its leader's.
    pub(super) fn adopt(&mut self, epoch: Epoch) {
        if self.epochs.accepted != epoch {
            return;
        }
        match &mut self.office {
            Office::Following(follower) if follower.stage == Stage::Adoption => {
                follower.stage = Stage::Acknowledged;
                let leader = follower.leader;
                self.save_epochs(HardState { current: epoch, ..self.epochs });
                let after = match self.config.mutant {
                    Some(Mutant::AckUnsyncedHistory) => After::Nothing,
                    _ => After::Log,
                };
                self.outbox.send(after, leader, Message::AckNewLeader { epoch });
            }
            Office::Leading(leader) if leader.epoch == Some(epoch) => {
                self.save_epochs(HardState { current: epoch, ..self.epochs });
                self.outbox.then(After::Log, Step::Adopted(epoch));
            }
            _ => {}
        }
    }

    /// UPTODATE: everything that was committed before this node came is in its history, and known to be committed.
    fn on_up_to_date(&mut self, commit: LogIndex) {
        let Office::Following(follower) = &mut self.office else { return };
        if follower.stage == Stage::Acknowledged && commit <= self.history.last().counter {
            follower.stage = Stage::Serving;
        }
        self.commit_as_follower(commit);
    }

    pub(super) fn commit_as_follower(&mut self, commit: LogIndex) {
        if self.is_serving() {
            self.commit(commit.min(self.history.last().counter));
        }
    }

    /// Says that this node is there, and how far its history is durable.
    fn on_ping(&mut self, from: NodeId, round: u64, sent: LogIndex, commit: LogIndex) {
        let epoch = self.epochs.accepted;
        let Office::Following(follower) = &self.office else { return };
        let joined = matches!(follower.stage, Stage::Acknowledged | Stage::Serving);
        let durable = if joined { self.outbox.durable() } else { LogIndex(0) };
        self.outbox.send(After::HardState, from, Message::Pong { epoch, round, durable });
        if joined && self.history.last().counter < sent && !self.config.is(Mutant::NoGapCheck) {
            self.ask_once();
        }
        self.commit_as_follower(commit);
    }
}

/// What a follower without any check of gaps makes of proposals: the next transactions.
fn renumbered(entries: Vec<Arc<Entry>>, last: Zxid) -> Vec<Arc<Entry>> {
    let next = last.counter.0 + 1;
    (next..)
        .zip(entries)
        .map(|(index, entry)| {
            let entry = Entry { index: LogIndex(index), ..Entry::clone(&entry) };
            Arc::new(entry)
        })
        .collect()
}
