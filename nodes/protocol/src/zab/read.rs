//! Reads, of two kinds.
//!
//! A *local* read is answered from the state of the node that took it, at once. Nodes apply the same transactions in the same order, so the reads of a client that
//! stays with its node are sequentially consistent; they may be old, and so are not linearizable.
//!
//! A *synced* read is ZooKeeper's `sync` followed by a read: the node asks its leader what is committed, and answers when it has applied that much. That is
//! linearizable only if the leader led still after it was asked; ZooKeeper's own takes that for granted. Here a quorum must answer a round of pings that
//! began afterwards: each of its members had accepted no later epoch by then, so no later leader had a quorum. All reads that come while a round
//! is under way share the next one, as in Raft's ReadIndex (Ongaro's dissertation, §6.4).

use std::collections::VecDeque;

use super::leader::Phase;
use super::message::Message;
use super::mutant::Mutant;
use super::node::{Office, Replica};
use crate::api::{LogIndex, NodeId, RequestId};
use crate::kv::Command;
use crate::outbox::After;

/// A client's read.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) id: RequestId,
    query: Command,
}

/// Who asked a leader how far it is.
#[derive(Debug)]
enum Asker {
    Own(Read),
    Peer(NodeId, u64),
}

/// Questions that share a round.
#[derive(Debug)]
struct Round {
    round: u64,
    /// The commit index when the round began.
    commit: LogIndex,
    askers: Vec<Asker>,
}

/// Who waits for a leader's answer.
#[derive(Debug, Default)]
pub(super) struct LeaderReads {
    /// Not in a round yet.
    waiting: Vec<Asker>,
    /// Under way, oldest first.
    rounds: VecDeque<Round>,
}

impl LeaderReads {
    /// The reads of its own clients.
    pub(super) fn into_own(self) -> impl Iterator<Item = Read> {
        let rounds = self.rounds.into_iter().flat_map(|round| round.askers);
        rounds.chain(self.waiting).filter_map(|asker| match asker {
            Asker::Own(read) => Some(read),
            Asker::Peer(..) => None,
        })
    }
}

impl Replica {
    /// Whether a command is answered as a read. Transactions rely on fetching what is so now: where reads are local, a fetch is a transaction of Zab's like a write.
    pub(super) fn is_read(&self, command: &Command) -> bool {
        command.only_reads()
            && (!self.config.local_reads || matches!(command, Command::Read { .. }))
    }

    pub(super) fn read(&mut self, id: RequestId, query: Command) {
        let read = Read { id, query };
        let unconfirmed = self.config.is(Mutant::UnconfirmedSync);
        match &mut self.office {
            _ if self.config.local_reads => self.answer_read(&read),
            Office::Leading(_) if unconfirmed => self.answer_read(&read),
            Office::Leading(leader) => leader.reads.waiting.push(Asker::Own(read)),
            Office::Following(_) => self.clients.waiting.push(read),
            Office::Looking(_) => {}
        }
    }

    fn answer_read(&mut self, read: &Read) {
        self.outbox.reply(read.id, self.machine.answer(&read.query));
    }

    /// Reads that are confirmed, once this node has applied what they must see.
    pub(super) fn answer_ready_reads(&mut self) {
        while let Some((index, _)) = self.clients.ready.front()
            && *index <= self.applied
        {
            let reads = self.clients.ready.pop_front().map(|(_, reads)| reads);
            reads.into_iter().flatten().for_each(|read| self.answer_read(&read));
        }
    }

    pub(super) fn on_sync(&mut self, from: NodeId, number: u64) {
        let (epoch, commit) = (self.epochs.accepted, self.committed);
        let unconfirmed = self.config.is(Mutant::UnconfirmedSync);
        let Office::Leading(leader) = &mut self.office else { return };
        if leader.phase != Phase::Broadcast {
            return;
        }
        if unconfirmed {
            self.outbox.send(After::HardState, from, Message::Synced { epoch, number, commit });
        } else {
            leader.reads.waiting.push(Asker::Peer(from, number));
        }
    }

    pub(super) fn on_synced(&mut self, number: u64, commit: LogIndex) {
        let asked = self.clients.asked.take_if(|(asked, _, _)| *asked == number);
        let Some((_, _, reads)) = asked else { return };
        self.clients.ready.push_back((commit, reads));
        self.answer_ready_reads();
    }

    /// A leader answers what a quorum has confirmed, and begins a round for what gathered meanwhile; a follower asks its leader.
    pub(super) fn settle_reads(&mut self) {
        match &self.office {
            Office::Looking(_) => {}
            Office::Following(_) => self.ask_leader(),
            Office::Leading(_) => {
                self.answer_confirmed();
                let Office::Leading(leader) = &mut self.office else { return };
                if leader.reads.rounds.is_empty() && !leader.reads.waiting.is_empty() {
                    let askers = std::mem::take(&mut leader.reads.waiting);
                    let (round, commit) = (leader.round + 1, self.committed);
                    leader.reads.rounds.push_back(Round { round, commit, askers });
                    self.ping();
                    // A cluster of one confirms itself.
                    self.answer_confirmed();
                }
            }
        }
    }

    fn ask_leader(&mut self) {
        if self.clients.asked.is_some() || self.clients.waiting.is_empty() {
            return;
        }
        let Office::Following(follower) = &self.office else { return };
        let leader = follower.leader;
        let reads = std::mem::take(&mut self.clients.waiting);
        self.clients.numbers += 1;
        let (epoch, number) = (self.epochs.accepted, self.clients.numbers);
        self.clients.asked = Some((number, self.now, reads));
        self.outbox.send(After::HardState, leader, Message::Sync { epoch, number });
    }

    fn answer_confirmed(&mut self) {
        let (epoch, quorum) = (self.epochs.accepted, self.config.quorum());
        let Office::Leading(leader) = &mut self.office else { return };
        let mut rounds: Vec<u64> = leader.learners.values().map(|learner| learner.round).collect();
        rounds.push(leader.round);
        rounds.sort_unstable_by(|a, b| b.cmp(a));
        let confirmed = rounds[quorum - 1];
        let mut askers = Vec::new();
        while let Some(round) = leader.reads.rounds.front()
            && round.round <= confirmed
        {
            let Some(round) = leader.reads.rounds.pop_front() else { break };
            askers.extend(round.askers.into_iter().map(|asker| (asker, round.commit)));
        }
        for (asker, commit) in askers {
            match asker {
                Asker::Own(read) => self.answer_read(&read),
                Asker::Peer(node, number) => {
                    let message = Message::Synced { epoch, number, commit };
                    self.outbox.send(After::HardState, node, message);
                }
            }
        }
    }
}
