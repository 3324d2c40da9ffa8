//! The leader's side of discovery and synchronisation (Zab 1.0, phases 1 and 2): it opens an epoch that a quorum accepts, and brings
//! followers to its own history.

use std::collections::BTreeMap;

use super::learner::{Flow, Learner};
use super::message::{Epoch, HardState, Message, Vote, Zxid};
use super::mutant::Mutant;
use super::node::{Office, Replica, Step};
use super::read::LeaderReads;
use crate::api::{LogIndex, Nanos, NodeId, Note};
use crate::outbox::After;

/// How far a leader has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Until a quorum has accepted its epoch.
    Discovery,
    /// Until a quorum has its history.
    Synchronisation,
    /// It proposes.
    Broadcast,
}

/// What a node knows that leads.
#[derive(Debug)]
pub(super) struct Leader {
    pub(super) phase: Phase,
    /// The epoch that it opened, once a quorum wants to follow it.
    pub(super) epoch: Option<Epoch>,
    /// It has accepted that itself, durably.
    agreed: bool,
    /// It has made it its current one, durably.
    adopted: bool,
    /// The end of the initial history.
    initial: LogIndex,
    pub(super) learners: BTreeMap<NodeId, Learner>,
    /// The last round of pings.
    pub(super) round: u64,
    pub(super) reads: LeaderReads,
    /// When pings are due.
    pub(super) heartbeat_due: Nanos,
    /// When it checks next whether a quorum is there; in discovery, when it gives up.
    pub(super) quorum_due: Nanos,
}

impl Replica {
    /// Tries to lead.
    pub(super) fn lead(&mut self) {
        let (quorum_due, heartbeat_due) = (self.patience(), self.next_beat());
        let Office::Looking(election) = &mut self.office else { return };
        let early = std::mem::take(&mut election.followers);
        let mut learners: BTreeMap<NodeId, Learner> =
            self.config.peers().map(|peer| (peer, Learner::default())).collect();
        for (node, accepted) in early {
            learners.entry(node).or_default().joins(accepted);
        }
        self.office = Office::Leading(Leader {
            phase: Phase::Discovery,
            epoch: None,
            agreed: false,
            adopted: false,
            initial: LogIndex(0),
            learners,
            round: 0,
            reads: LeaderReads::default(),
            heartbeat_due,
            quorum_due,
        });
        self.open_epoch();
    }

    pub(super) fn learner(&mut self, node: NodeId) -> Option<&mut Learner> {
        match &mut self.office {
            Office::Leading(leader) => leader.learners.get_mut(&node),
            _ => None,
        }
    }

    /// Whether a quorum, this node among them if `own`, is as wanted.
    fn has_quorum(&self, own: bool, is: impl Fn(&Learner) -> bool) -> bool {
        let Office::Leading(leader) = &self.office else { return false };
        let others = leader.learners.values().filter(|learner| is(learner)).count();
        usize::from(own) + others >= self.config.quorum()
    }

    /// CEPOCH.
    pub(super) fn on_follower_info(&mut self, from: NodeId, accepted: Epoch) {
        self.newest = self.newest.max(accepted);
        match &mut self.office {
            Office::Looking(election) => drop(election.followers.insert(from, accepted)),
            Office::Following(_) => {}
            Office::Leading(leader) => {
                if let Some(learner) = leader.learners.get_mut(&from) {
                    learner.joins(accepted);
                }
                match leader.epoch {
                    None => self.open_epoch(),
                    // A later epoch was opened. That node can follow nobody of an earlier one, so there must be one later still.
                    Some(epoch) if accepted > epoch => self.look(),
                    Some(epoch) => {
                        self.outbox.send(After::HardState, from, Message::NewEpoch { epoch });
                    }
                }
            }
        }
    }

    /// Opens an epoch later than any that a quorum has accepted.
    fn open_epoch(&mut self) {
        if !self.has_quorum(true, |learner| learner.accepted.is_some()) {
            return;
        }
        let newest = self.epochs.accepted.max(self.newest);
        let Office::Leading(leader) = &mut self.office else { return };
        let epoch = match self.config.mutant {
            Some(Mutant::SameEpoch) => newest.max(Epoch(1)),
            _ => Epoch(newest.0 + 1),
        };
        leader.epoch = Some(epoch);
        let followers: Vec<NodeId> = leader
            .learners
            .iter()
            .filter(|(_, learner)| learner.accepted.is_some())
            .map(|(node, _)| *node)
            .collect();
        self.opened_by = Some(self.config.id);
        self.save_epochs(HardState { accepted: epoch, ..self.epochs });
        for follower in followers {
            self.outbox.send(After::HardState, follower, Message::NewEpoch { epoch });
        }
        self.outbox.then(After::HardState, Step::Accepted(epoch));
    }

    /// This node has accepted the epoch that it opened.
    pub(super) fn on_own_epoch(&mut self, epoch: Epoch) {
        let Office::Leading(leader) = &mut self.office else { return };
        if leader.epoch == Some(epoch) {
            leader.agreed = true;
            self.end_discovery();
        }
    }

    /// ACKEPOCH. Of an epoch that is being opened it says also that nothing more is committed in earlier ones with the help of that follower.
    pub(super) fn on_ack_epoch(&mut self, from: NodeId, current: Epoch, last: Zxid, fresh: bool) {
        let Office::Leading(leader) = &mut self.office else { return };
        let Some(learner) = leader.learners.get_mut(&from) else { return };
        learner.last = Some(last);
        learner.agreed |= fresh || self.config.is(Mutant::SameEpoch);
        if leader.phase != Phase::Discovery {
            // One that has lost something on the way, and no more, counts still.
            learner.synchronised &= leader.epoch == Some(current);
            self.synchronise(from, last);
            return;
        }
        // What that follower has and this node has not may be committed: this node must not lead.
        let unchecked = self.config.is(Mutant::LargerNumber);
        let (theirs, own) = (Vote { epoch: current, last, leader: None }, self.own_vote());
        if self.is_better(theirs, Vote { leader: None, ..own }) && !unchecked {
            self.look();
        } else {
            self.end_discovery();
        }
    }

    /// A quorum has accepted the epoch, and nobody of it is ahead: this node's history is the initial one.
    fn end_discovery(&mut self) {
        let Office::Leading(leader) = &self.office else { return };
        let (own, Some(epoch)) = (leader.agreed, leader.epoch) else { return };
        let opens = leader.phase == Phase::Discovery;
        if !opens || !self.has_quorum(own, |learner| learner.agreed && learner.last.is_some()) {
            return;
        }
        let quorum_due = self.patience();
        let last = self.history.last().counter;
        let Office::Leading(leader) = &mut self.office else { return };
        leader.phase = Phase::Synchronisation;
        leader.initial = last;
        leader.quorum_due = quorum_due;
        let known: Vec<(NodeId, Zxid)> = leader
            .learners
            .iter()
            .filter_map(|(node, learner)| learner.last.map(|last| (*node, last)))
            .collect();
        self.outbox.then(After::Log, Step::Adopt(epoch));
        for (follower, last) in known {
            self.synchronise(follower, last);
        }
        if self.config.is(Mutant::EarlyBroadcast) {
            self.begin_broadcast();
        }
    }

    /// Brings a follower whose history ends with `last` to this node's: by what is missing, after cutting what should not be there, or by a snapshot.
    fn synchronise(&mut self, follower: NodeId, last: Zxid) {
        let (epoch, end) = (self.epochs.accepted, self.history.last());
        let floor = self.history.floor(last);
        let early = self.config.is(Mutant::EarlyNewLeader);
        let Some(learner) = self.learner(follower) else { return };
        let message = match floor {
            Some(at) if at == last => Message::Diff { epoch, after: last },
            Some(at) => Message::Trunc { epoch, to: at },
            None => {
                let under_way =
                    matches!(learner.flow, Flow::Snapshot { last: end, .. } if end > last);
                if !under_way {
                    self.begin_snapshot(follower);
                }
                return;
            }
        };
        let from = floor.map_or(LogIndex(0), |at| at.counter);
        learner.begin_proposals(from, end.counter);
        self.outbox.send(After::HardState, follower, message);
        if early {
            self.outbox.send(After::HardState, follower, Message::NewLeader { epoch, last: end });
        }
    }

    /// This node holds the initial history, and so does its disk.
    pub(super) fn on_own_history(&mut self, epoch: Epoch) {
        let Office::Leading(leader) = &mut self.office else { return };
        if leader.epoch == Some(epoch) {
            leader.adopted = true;
            self.end_synchronisation();
        }
    }

    pub(super) fn on_ack_new_leader(&mut self, from: NodeId) {
        let (epoch, commit) = (self.epochs.accepted, self.committed);
        let Office::Leading(leader) = &mut self.office else { return };
        let Some(learner) = leader.learners.get_mut(&from) else { return };
        learner.synchronised |= matches!(learner.flow, Flow::Proposals { until: None, .. });
        if leader.phase == Phase::Broadcast {
            learner.told = learner.told.max(commit);
            self.outbox.send(After::HardState, from, Message::UpToDate { epoch, commit });
        } else {
            self.end_synchronisation();
        }
    }

    /// A quorum has the initial history, durably, and listens to no earlier leader: all of it is committed.
    fn end_synchronisation(&mut self) {
        let Office::Leading(leader) = &self.office else { return };
        let waits = leader.phase == Phase::Synchronisation;
        if waits && self.has_quorum(leader.adopted, |learner| learner.synchronised) {
            self.begin_broadcast();
        }
    }

    fn begin_broadcast(&mut self) {
        let quorum_due = self.patience();
        let epoch = self.epochs.accepted;
        let Office::Leading(leader) = &mut self.office else { return };
        leader.phase = Phase::Broadcast;
        leader.quorum_due = quorum_due;
        let commit = leader.initial;
        let followers: Vec<NodeId> = leader
            .learners
            .iter_mut()
            .filter(|(_, learner)| learner.synchronised)
            .map(|(node, learner)| {
                learner.told = commit;
                *node
            })
            .collect();
        self.outbox.note(Note::Leading(epoch));
        self.commit(commit);
        for follower in followers {
            self.outbox.send(After::HardState, follower, Message::UpToDate { epoch, commit });
        }
    }

    pub(super) fn tick_leader(&mut self) {
        let Office::Leading(leader) = &self.office else { return };
        let (beat, check) = (leader.heartbeat_due, leader.quorum_due);
        if self.now >= check && !self.keeps_office() {
            self.look();
            return;
        }
        if self.now >= beat {
            let again = self.next_beat();
            let Office::Leading(leader) = &mut self.office else { return };
            leader.heartbeat_due = again;
            let epoch = leader.epoch;
            for (node, learner) in &mut leader.learners {
                learner.say_newleader_again();
                if let (Some(epoch), Some(_), Flow::Waiting) =
                    (epoch, learner.accepted, &learner.flow)
                {
                    self.outbox.send(After::HardState, *node, Message::NewEpoch { epoch });
                }
            }
            self.resend_pieces();
            self.ping();
            self.tick_requests();
        }
    }

    /// Whether a quorum was heard since the last time. Discovery ends in time, or with this.
    fn keeps_office(&mut self) -> bool {
        let quorum_due = self.patience();
        let heard = self.has_quorum(true, |learner| learner.active);
        let unchecked = !self.config.check_quorum();
        let Office::Leading(leader) = &mut self.office else { return false };
        leader.quorum_due = quorum_due;
        leader.learners.values_mut().for_each(|learner| learner.active = false);
        leader.phase != Phase::Discovery && (heard || unchecked && leader.phase == Phase::Broadcast)
    }
}
