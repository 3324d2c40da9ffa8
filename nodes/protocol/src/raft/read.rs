//! Linearizable reads without a log entry: ReadIndex (dissertation §6.4).
//!
//! A read is answered from the leader's state when two things are known: that this state holds every entry committed
//! before the read came, and that the leader led still when it came. The first holds once an entry of the leader's own
//! term is committed; reads wait for that. The second is shown by a quorum that answers a round of
//! heartbeats sent after the read came. Rounds are numbered and never sent twice, so an old answer confirms
//! nothing new. All reads that come while a round is under way share the next one.
//!
//! With leases (§6.4.1) a leader answers at once while it may count on a quorum to have elected nobody else. That rests on clocks,
//! whose rates may differ by the bound in `config`, and on followers who keep still for an election timeout after they heard
//! from a leader, or started: they do not even look at a vote request then. Without a lease a read is confirmed as above.

use std::collections::VecDeque;

use super::message::Message;
use super::mutant::Mutant;
use super::node::{Office, Replica};
use crate::api::{LogIndex, Nanos, NodeId, RequestId};
use crate::kv::Command;
use crate::outbox::After;

/// Reads that share a round.
#[derive(Debug)]
struct Round {
    round: u64,
    /// The commit index when the round began: the state must include it.
    index: LogIndex,
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
        let Office::Leader(leader) = &mut self.office else { return };
        let holds_lease = self.config.lease_reads
            && self.now < leader.lease_until
            && !leader.renounced
            && self.committed >= leader.first;
        if holds_lease || self.config.is(Mutant::LocalRead) {
            self.outbox.reply(id, self.machine.answer(&query));
        } else {
            leader.reads.waiting.push((id, query));
        }
    }

    /// Tells followers that this node leads. Reads that wait are confirmed by the answers.
    pub(super) fn beat(&mut self) {
        let Office::Leader(leader) = &mut self.office else { return };
        if leader.round == 0 || !self.config.is(Mutant::ReuseRound) {
            leader.round += 1;
        }
        let knows = self.committed >= leader.first || self.config.is(Mutant::ReadBeforeCommit);
        if knows && !leader.reads.waiting.is_empty() {
            let reads = std::mem::take(&mut leader.reads.waiting);
            let round = Round { round: leader.round, index: self.committed, reads };
            leader.reads.rounds.push_back(round);
        }
        let round = leader.round;
        if self.config.lease_reads {
            let over = |sent: Nanos| sent.0.saturating_add(self.config.lease().0) <= self.now.0;
            while leader.sent.front().is_some_and(|(_, sent)| over(*sent)) {
                leader.sent.pop_front();
            }
            leader.sent.push_back((round, self.now));
        }
        let term = self.hard_state.term;
        let peers: Vec<NodeId> = self.peers().collect();
        for peer in peers {
            let commit = self.committed_at(peer);
            self.outbox.send(After::HardState, peer, Message::Heartbeat { term, commit, round });
        }
    }

    /// How far a follower may commit without looking at its log: what it is known to have of what is committed.
    fn committed_at(&self, peer: NodeId) -> LogIndex {
        let Office::Leader(leader) = &self.office else { return LogIndex(0) };
        let matched = leader.progress.get(&peer).map_or(LogIndex(0), |progress| progress.matched);
        if self.config.is(Mutant::CommitUnverified) {
            return self.committed;
        }
        self.committed.min(matched)
    }

    pub(super) fn on_heartbeat(&mut self, from: NodeId, commit: LogIndex, round: u64) {
        if self.hear(from) {
            // It has acknowledged these entries to this leader, perhaps before it was started again.
            if !self.config.is(Mutant::CommitUnverified) {
                self.verified = self.verified.max(commit);
            }
            self.commit_as_follower(commit);
            let term = self.hard_state.term;
            self.outbox.send(After::HardState, from, Message::HeartbeatReply { term, round });
        }
    }

    pub(super) fn on_heartbeat_reply(&mut self, from: NodeId, round: u64) {
        let Office::Leader(leader) = &mut self.office else { return };
        let Some(progress) = leader.progress.get_mut(&from) else { return };
        progress.heard();
        progress.round = progress.round.max(round);
        if self.config.lease_reads {
            self.extend_lease();
        }
    }

    /// A lease begins with the latest round that a quorum answered, at the time at which that round was *sent*: none of them
    /// votes for anybody else until an election timeout after it arrived (dissertation §6.4.1).
    pub(super) fn extend_lease(&mut self) {
        let Some(confirmed) = self.confirmed() else { return };
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
    fn confirmed(&self) -> Option<u64> {
        let Office::Leader(leader) = &self.office else { return None };
        let own = self.config.id;
        self.reached_by(|node| match leader.progress.get(&node) {
            Some(progress) => progress.round,
            None if node == own => leader.round,
            None => 0,
        })
    }

    /// Answers reads whose round a quorum answered, and begins a round for those that gathered meanwhile.
    pub(super) fn settle_reads(&mut self) {
        let Office::Leader(leader) = &mut self.office else { return };
        if leader.reads.rounds.is_empty() && leader.reads.waiting.is_empty() {
            return;
        }
        self.answer_reads();
        let Office::Leader(leader) = &self.office else { return };
        let idle = leader.reads.rounds.is_empty() && !leader.reads.waiting.is_empty();
        let knows = self.committed >= leader.first || self.config.is(Mutant::ReadBeforeCommit);
        if idle && knows {
            self.beat();
            // A cluster of one confirms itself.
            self.answer_reads();
        }
    }

    fn answer_reads(&mut self) {
        let Some(confirmed) = self.confirmed() else { return };
        let Office::Leader(leader) = &mut self.office else { return };
        while let Some(round) = leader.reads.rounds.front()
            && round.round <= confirmed
            && round.index <= self.applied
        {
            for (id, query) in leader.reads.rounds.pop_front().into_iter().flat_map(|r| r.reads) {
                self.outbox.reply(id, self.machine.answer(&query));
            }
        }
    }
}
