//! Linearizable reads without a slot: by a quorum, or by a lease; see [`super`].
//!
//! Rounds of heartbeats are numbered and never sent twice, so an old answer confirms nothing new. All reads that come while a round is under way
//! share the next one.

use std::collections::VecDeque;

use super::ballot::Ballot;
use super::message::Message;
use super::mutant::Mutant;
use super::node::{Office, Replica};
use crate::api::{Nanos, NodeId, RequestId};
use crate::kv::Command;
use crate::outbox::After;

/// Reads that share a round.
#[derive(Debug)]
struct Round {
    ballot: Ballot,
    round: u64,
    reads: Vec<(RequestId, Command)>,
}

/// Clients that wait for a read.
#[derive(Debug, Default)]
pub(super) struct Reads {
    /// Not in a round yet.
    waiting: Vec<(RequestId, Command)>,
    /// Under way, oldest first.
    rounds: VecDeque<Round>,
}

impl Reads {
    /// Who waits, in the order they came.
    pub(super) fn into_ids(self) -> impl Iterator<Item = RequestId> {
        let rounds = self.rounds.into_iter().flat_map(|round| round.reads);
        rounds.chain(self.waiting).map(|(id, _)| id)
    }
}

impl Replica {
    pub(super) fn read(&mut self, id: RequestId, query: Command) {
        let holds_lease = self.config.lease_reads
            && self.is_established()
            && matches!(&self.office, Office::Leader(leader) if self.now < leader.lease_until);
        if holds_lease || self.config.is(Mutant::ReadAlone) {
            self.outbox.reply(id, self.machine.answer(&query));
        } else {
            self.reads.waiting.push((id, query));
        }
    }

    /// Whether reads may begin a round: everything that was acknowledged before this node led is executed here, or was open when it began to lead.
    fn may_read(&self) -> bool {
        self.is_established() || self.config.is(Mutant::ReadTooEarly)
    }

    /// Tells the others that this node leads. Reads that wait are confirmed by the answers.
    pub(super) fn beat(&mut self) {
        let may_read = self.may_read();
        let Office::Leader(leader) = &mut self.office else { return };
        leader.round += 1;
        let (ballot, round, committed) = (leader.ballot, leader.round, self.committed);
        if may_read && !self.reads.waiting.is_empty() {
            let reads = std::mem::take(&mut self.reads.waiting);
            self.reads.rounds.push_back(Round { ballot, round, reads });
        }
        if self.config.lease_reads {
            let over = |sent: Nanos| sent.0.saturating_add(self.config.lease().0) <= self.now.0;
            while leader.sent.front().is_some_and(|(_, sent)| over(*sent)) {
                leader.sent.pop_front();
            }
            leader.sent.push_back((round, self.now));
        }
        self.broadcast(After::HardState, &Message::Heartbeat { ballot, committed, round });
    }

    pub(super) fn on_heartbeat_reply(&mut self, from: NodeId, ballot: Ballot, round: u64) {
        let Office::Leader(leader) = &mut self.office else { return };
        if leader.ballot != ballot {
            return;
        }
        let Some(acceptor) = leader.acceptors.get_mut(&from) else { return };
        acceptor.heard_at = self.now;
        acceptor.round = acceptor.round.max(round);
        if self.config.lease_reads {
            self.extend_lease();
        }
    }

    /// A lease begins with the latest round that a quorum answered, at the time at which that round was *sent*: none of them promises anything to anybody
    /// else until the shortest election timeout after it arrived (Paxos Made Live §5.2).
    fn extend_lease(&mut self) {
        let confirmed = self.confirmed();
        let Office::Leader(leader) = &mut self.office else { return };
        while let Some((round, sent)) = leader.sent.front().copied()
            && round <= confirmed
        {
            leader.sent.pop_front();
            let begin = if self.config.is(Mutant::LeaseFromReceipt) { self.now } else { sent };
            leader.lease_until = Nanos(begin.0.saturating_add(self.config.lease().0));
        }
    }

    /// The last round that a quorum answered; this node has answered all of its own.
    fn confirmed(&self) -> u64 {
        let Office::Leader(leader) = &self.office else { return 0 };
        self.quorum_reaches(|acceptor| acceptor.round, leader.round)
    }

    /// Answers reads whose round a quorum answered, and begins a round for those that gathered meanwhile.
    pub(super) fn settle_reads(&mut self) {
        if self.reads.rounds.is_empty() && self.reads.waiting.is_empty() {
            return;
        }
        self.answer_reads();
        if self.reads.rounds.is_empty() && !self.reads.waiting.is_empty() && self.may_read() {
            self.beat();
            // A cluster of one confirms itself.
            self.answer_reads();
        }
    }

    /// What was committed when a round began is executed: a leader executes in the same step.
    fn answer_reads(&mut self) {
        let Office::Leader(leader) = &self.office else { return };
        let (ballot, confirmed) = (leader.ballot, self.confirmed());
        while let Some(front) = self.reads.rounds.front() {
            if front.ballot != ballot {
                // Its ballot is over, and with it the round: it is begun again in this one.
                let over = self.reads.rounds.pop_front().into_iter().flat_map(|round| round.reads);
                self.reads.waiting.extend(over);
                continue;
            }
            if front.round > confirmed {
                return;
            }
            for (id, query) in self.reads.rounds.pop_front().into_iter().flat_map(|r| r.reads) {
                self.outbox.reply(id, self.machine.answer(&query));
            }
        }
    }
}
