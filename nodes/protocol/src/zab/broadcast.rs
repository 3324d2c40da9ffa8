//! Broadcast, the leader's side (Zab 1.0, phase 3): proposals in order, each committed when a quorum has it.
//!
//! Proposals are sent ahead of their acknowledgements, and while as many are on their way as may be, transactions gather for the next one.

use std::sync::Arc;

use super::leader::Phase;
use super::learner::Flow;
use super::message::{Entry, Message};
use super::mutant::Mutant;
use super::node::{Office, Replica};
use crate::api::{LogIndex, NodeId, Payload};
use crate::outbox::After;

impl Replica {
    /// Makes a transaction of a client's request.
    pub(super) fn propose(&mut self, payload: Payload) -> LogIndex {
        let index = LogIndex(self.history.last().counter.0 + 1);
        let entry = Entry { index, epoch: self.epochs.accepted, payload };
        if self.config.is(Mutant::CountUnsynced) {
            self.outbox.append_unsynced(vec![entry.clone()]);
        } else {
            self.outbox.append(vec![entry.clone()]);
        }
        self.history.push(Arc::new(entry));
        index
    }

    pub(super) fn on_ack(&mut self, from: NodeId, to: LogIndex) {
        let last = self.history.last().counter;
        if let Some(learner) = self.learner(from) {
            learner.acknowledges(to.min(last));
        }
    }

    /// Commits what a quorum has. Only those count that have the initial history, this node among them.
    pub(super) fn commit_as_leader(&mut self) {
        let Office::Leading(leader) = &self.office else { return };
        if leader.phase != Phase::Broadcast {
            return;
        }
        let unready = self.config.is(Mutant::EarlyBroadcast);
        let mut stored: Vec<LogIndex> = leader
            .learners
            .values()
            .map(
                |learner| {
                    if learner.synchronised || unready { learner.matched } else { LogIndex(0) }
                },
            )
            .collect();
        stored.push(self.outbox.durable());
        stored.sort_unstable_by(|a, b| b.cmp(a));
        let reached = stored[self.config.quorum() - 1].min(self.history.last().counter);
        if reached > self.committed {
            self.commit(reached);
        }
    }

    /// Sends each follower what it may be sent, and what is committed.
    pub(super) fn feed(&mut self) {
        let Office::Leading(leader) = &self.office else { return };
        if leader.phase == Phase::Discovery {
            return;
        }
        let learners: Vec<NodeId> = leader.learners.keys().copied().collect();
        for node in learners {
            while self.feed_one(node) {}
            self.tell_commit(node);
        }
    }

    /// Sends one message, if there is one to send.
    fn feed_one(&mut self, node: NodeId) -> bool {
        let (epoch, commit, last) =
            (self.epochs.accepted, self.committed, self.history.last().counter);
        let (entries_max, bytes_max, in_flight_max) = (
            self.config.propose_entries_max,
            self.config.propose_bytes_max,
            self.config.proposals_in_flight_max.max(1),
        );
        let Office::Leading(leader) = &mut self.office else { return false };
        let Some(learner) = leader.learners.get_mut(&node) else { return false };
        let Flow::Proposals { in_flight, until } = &mut learner.flow else { return false };
        if let Some(end) = *until
            && learner.next > end
        {
            let Some(last) = self.history.zxid(end) else {
                self.begin_snapshot(node);
                return false;
            };
            *until = None;
            self.outbox.send(After::HardState, node, Message::NewLeader { epoch, last });
            return true;
        }
        if learner.next > last || in_flight.len() >= in_flight_max {
            return false;
        }
        let Some(prev) = self.history.zxid(LogIndex(learner.next.0 - 1)) else {
            self.begin_snapshot(node);
            return false;
        };
        let entries =
            self.history.slice(learner.next, until.unwrap_or(last), entries_max, bytes_max);
        let Some(end) = entries.last().map(|entry| entry.index) else { return false };
        in_flight.push_back(end);
        learner.next = LogIndex(end.0 + 1);
        learner.told = commit;
        self.outbox.send(After::HardState, node, Message::Propose { epoch, prev, entries, commit });
        true
    }

    /// COMMIT, unless a proposal said it.
    fn tell_commit(&mut self, node: NodeId) {
        let (epoch, commit) = (self.epochs.accepted, self.committed);
        let Some(learner) = self.learner(node) else { return };
        if learner.synchronised && learner.told < commit {
            learner.told = commit;
            self.outbox.send(After::HardState, node, Message::Commit { epoch, commit });
        }
    }

    /// Tells followers that this node leads. Reads that wait are confirmed by the answers.
    pub(super) fn ping(&mut self) {
        let (epoch, commit) = (self.epochs.accepted, self.committed);
        let Office::Leading(leader) = &mut self.office else { return };
        if leader.phase == Phase::Discovery {
            return;
        }
        leader.round += 1;
        let round = leader.round;
        for (node, learner) in &mut leader.learners {
            learner.told = commit;
            let sent = learner.sent();
            self.outbox.send(After::HardState, *node, Message::Ping { epoch, round, sent, commit });
        }
    }

    pub(super) fn on_pong(&mut self, from: NodeId, round: u64, durable: LogIndex) {
        self.on_ack(from, durable);
        if let Some(learner) = self.learner(from) {
            learner.round = learner.round.max(round);
        }
    }
}
