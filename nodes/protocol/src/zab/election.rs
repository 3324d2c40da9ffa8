//! Who is to lead: fast leader election (Medeiros §4.1). Votes are compared by epoch, then last transaction, then
//! number, and everyone votes for the best it has heard of; so that whoever a quorum votes for has a history that no member
//! of that quorum is ahead of. Nothing rests on that: discovery checks it. What is lost is said again at every heartbeat.

use std::collections::BTreeMap;

use super::leader::Phase;
use super::message::{Epoch, Message, Stance, Vote};
use super::mutant::Mutant;
use super::node::{Office, Replica};
use crate::api::{Nanos, NodeId, Note};
use crate::outbox::After;

/// What a node knows that looks for a leader.
#[derive(Debug, Default)]
pub(super) struct Election {
    /// How the others voted last in this round.
    votes: BTreeMap<NodeId, Vote>,
    /// Who wants to follow this node already, and what it has accepted.
    pub(super) followers: BTreeMap<NodeId, Epoch>,
    /// When it says again how it votes.
    again_due: Nanos,
    /// When the vote that a quorum has is taken for the result.
    settle_due: Option<Nanos>,
}

impl Election {
    /// When something is to be done next.
    pub(super) fn due(&self) -> Nanos {
        self.settle_due.map_or(self.again_due, |settle| settle.min(self.again_due))
    }
}

impl Replica {
    /// Gives up whatever this node is, and begins an election.
    pub(super) fn look(&mut self) {
        if let Office::Leading(leader) = &self.office
            && let Some(epoch) = leader.epoch
        {
            self.outbox.note(Note::SteppedDown(epoch));
        }
        self.leave_clients();
        self.incoming = self.incoming.take().filter(|_| self.config.is(Mutant::PartialSnapshot));
        self.round += 1;
        self.vote = self.own_vote();
        let again_due = self.next_beat();
        self.office = Office::Looking(Election { again_due, ..Election::default() });
        self.outbox.note(Note::Campaigning(Epoch(self.epochs.accepted.0 + 1)));
        self.broadcast(&self.notification());
        self.count_votes();
    }

    pub(super) fn own_vote(&self) -> Vote {
        Vote { epoch: self.epochs.current, last: self.history.last(), leader: Some(self.config.id) }
    }

    fn notification(&self) -> Message {
        let stance = match &self.office {
            Office::Looking(_) => Stance::Looking,
            Office::Leading(leader) if leader.phase == Phase::Broadcast => Stance::Established,
            Office::Following(_) | Office::Leading(_) => Stance::Decided,
        };
        Message::Notification { round: self.round, vote: self.vote, stance }
    }

    pub(super) fn on_notification(&mut self, from: NodeId, round: u64, vote: Vote, stance: Stance) {
        match &self.office {
            Office::Looking(_) => self.on_vote(from, round, vote, stance),
            // Its leader has begun another election: there is nothing to wait for.
            Office::Following(follower)
                if follower.leader == from && stance == Stance::Looking && round > self.round =>
            {
                self.look();
                self.on_vote(from, round, vote, stance);
            }
            _ if stance == Stance::Looking => {
                self.outbox.send(After::HardState, from, self.notification());
            }
            _ => {}
        }
    }

    fn on_vote(&mut self, from: NodeId, round: u64, vote: Vote, stance: Stance) {
        match stance {
            Stance::Established => {
                self.round = self.round.max(round);
                self.follow(from);
                return;
            }
            Stance::Decided if round != self.round => return,
            Stance::Looking if round < self.round => {
                self.outbox.send(After::HardState, from, self.notification());
                return;
            }
            Stance::Looking if round > self.round => self.enter_round(round, vote),
            Stance::Looking | Stance::Decided => {}
        }
        if self.is_better(vote, self.vote) {
            self.change_vote(vote);
        } else if stance == Stance::Looking && vote != self.vote {
            self.outbox.send(After::HardState, from, self.notification());
        }
        if let Office::Looking(election) = &mut self.office {
            election.votes.insert(from, vote);
        }
        self.count_votes();
    }

    /// A later election is going on: nothing of the earlier ones counts.
    fn enter_round(&mut self, round: u64, vote: Vote) {
        self.round = round;
        let own = self.own_vote();
        let best = if self.is_better(vote, own) { vote } else { own };
        if let Office::Looking(election) = &mut self.office {
            election.votes.clear();
        }
        self.change_vote(best);
    }

    fn change_vote(&mut self, vote: Vote) {
        self.vote = vote;
        if let Office::Looking(election) = &mut self.office {
            election.settle_due = None;
        }
        self.broadcast(&self.notification());
    }

    /// Whether a vote is to be preferred: the total order of votes.
    pub(super) fn is_better(&self, a: Vote, b: Vote) -> bool {
        match self.config.mutant {
            Some(Mutant::VoteByZxid) => (a.last, a.leader) > (b.last, b.leader),
            Some(Mutant::LargerNumber) => a.leader > b.leader,
            Some(Mutant::LargerCounter) => (a.last.counter, a.leader) > (b.last.counter, b.leader),
            _ => a > b,
        }
    }

    /// Decides, if a quorum votes as this node does: at once if everybody does, for then nothing better can come.
    fn count_votes(&mut self) {
        let (quorum, all) = (self.config.quorum(), self.config.members.len());
        let settle = Nanos(self.now.0 + self.config.settle_time.0);
        let Office::Looking(election) = &mut self.office else { return };
        let agree = 1 + election.votes.values().filter(|vote| **vote == self.vote).count();
        if agree < quorum {
            election.settle_due = None;
            return;
        }
        let due = *election.settle_due.get_or_insert(settle);
        if agree >= all || self.now >= due {
            self.decide();
        }
    }

    fn decide(&mut self) {
        match self.vote.leader {
            Some(leader) if leader != self.config.id => self.follow(leader),
            _ => self.lead(),
        }
    }

    pub(super) fn tick_election(&mut self) {
        let Office::Looking(election) = &mut self.office else { return };
        if self.now >= election.again_due {
            election.again_due = Nanos(self.now.0 + self.config.heartbeat_interval.0);
            self.broadcast(&self.notification());
        }
        self.count_votes();
    }
}
