//! Changes of the members (dissertation, chapter 4).
//!
//! A membership is an entry of the log and in force as soon as it is in it, on every node by itself; an entry that is truncated takes
//! its membership with it ([`super::Log::membership`]). A leader begins a change only when none is under way, so that of
//! two memberships that may both be in force any two quorums meet; and only after an entry of its own term is
//! committed, since until then a change of an earlier leader may be under way that it does not have (the correction of
//! 2015: D. Ongaro, *bug in single-server membership changes*, raft-dev, July 2015).
//!
//! A node answers messages of nodes that it does not take for members: they may know of a change that it does not (§4.1).
//! One that was removed and does not know it cannot disrupt the cluster by campaigning, since nodes that hear a leader
//! grant neither pre-votes nor votes (§4.2.3).
//!
//! Limit: a node that lost its disk is another node. Brought back under its old number it must have been removed first, and
//! nothing that it sent before may be on its way still.

use std::collections::BTreeSet;

use super::mutant::Mutant;
use super::node::{Office, Replica};
use super::progress::Progress;
use crate::api::{LogIndex, NodeId, Payload, RequestId};
use crate::kv::Response;
use crate::membership::{Change, Membership, Refusal};

impl Replica {
    /// The membership in force on this node.
    #[must_use]
    pub fn membership(&self) -> &Membership {
        self.log.membership().1
    }

    /// Whether this node votes.
    pub(super) fn is_voter(&self) -> bool {
        self.membership().is_voter(self.config.id)
    }

    /// Whether this node may lead: if it votes; and if it did until an entry that may not be committed, for it may
    /// be the only one who has that entry, and without its vote there may be no leader (§4.2.2).
    pub(super) fn may_campaign(&self) -> bool {
        let (since, _) = self.log.membership();
        let voted = || self.log.membership_before().is_voter(self.config.id);
        self.is_voter() || (since > self.committed && voted())
    }

    /// The members but for this node, in their order.
    pub(super) fn peers(&self) -> impl Iterator<Item = NodeId> {
        self.membership().members().filter(|member| *member != self.config.id)
    }

    /// Whether the nodes for which `is` holds are a quorum.
    pub(super) fn has_quorum(&self, is: impl Fn(NodeId) -> bool) -> bool {
        self.electorate().has_quorum(is, |of| self.config.majority(of))
    }

    /// The largest value that a quorum reaches.
    pub(super) fn reached_by<T: Ord>(&self, value: impl Fn(NodeId) -> T) -> Option<T> {
        self.electorate().reached_by(value, |of| self.config.majority(of))
    }

    /// Those who are counted. Mutants count others: R45 learners too, R42 the old and the new voters as one group.
    fn electorate(&self) -> std::borrow::Cow<'_, Membership> {
        use std::borrow::Cow;
        let membership = self.membership();
        if self.config.is(Mutant::CountLearners) {
            return Cow::Owned(Membership::of(membership.members()));
        }
        if self.config.is(Mutant::JointUnion) {
            return Cow::Owned(Membership::of(
                membership.voters.union(&membership.outgoing).copied(),
            ));
        }
        Cow::Borrowed(membership)
    }

    /// Begins a change, or says why not.
    pub(super) fn change(&mut self, id: RequestId, change: &Change) {
        match self.next_membership(change) {
            Err(refusal) => self.outbox.reply(id, Response::Refused(refusal)),
            Ok(next) if next.is_joint() => {
                self.append_membership(next);
                let Office::Leader(leader) = &mut self.office else { return };
                leader.joint_request = Some(id);
            }
            Ok(next) => {
                let position = self.append_membership(next);
                self.pending.push_back((position, id));
            }
        }
    }

    fn next_membership(&self, change: &Change) -> Result<Membership, Refusal> {
        let Office::Leader(leader) = &self.office else { return Err(Refusal::TooEarly) };
        let (since, now) = self.log.membership();
        if self.committed < leader.first && !self.config.is(Mutant::ChangeTooEarly) {
            return Err(Refusal::TooEarly);
        }
        let pending = since > self.committed && !self.config.is(Mutant::ChangeWhilePending);
        if pending || now.is_joint() || leader.transfer.is_some() {
            return Err(Refusal::Pending);
        }
        let next = now.after(change)?;
        let known = |node: &NodeId| {
            self.config.reachable.contains(node) || self.config.members.contains(node)
        };
        if !next.learners.iter().all(known) {
            return Err(Refusal::UnknownNode);
        }
        // Behind by no more than one append carries: it will hold back no commit for long.
        let slack = self.config.append_entries_max as u64;
        let caught_up = |node: &NodeId| {
            now.voters.contains(node)
                || leader
                    .progress
                    .get(node)
                    .is_some_and(|progress| progress.matched.0 + slack >= self.committed.0)
        };
        if next.voters.iter().all(caught_up) { Ok(next) } else { Err(Refusal::Behind) }
    }

    fn append_membership(&mut self, membership: Membership) -> super::Position {
        let position = self.append_own(Payload::Membership(membership));
        let peers: BTreeSet<NodeId> = self.peers().collect();
        if let Office::Leader(leader) = &mut self.office {
            leader.progress.retain(|peer, _| peers.contains(peer));
            for peer in peers {
                let next = LogIndex(position.index.0 + 1);
                leader.progress.entry(peer).or_insert_with(|| Progress::new(next));
            }
        }
        position
    }

    /// Once a membership is committed: from a joint one the leader goes on to the new one (§4.3), whoever began it; and
    /// a leader that votes no longer lets the others choose another (§4.2.2).
    pub(super) fn settle_membership(&mut self) {
        let (since, now) = self.log.membership();
        let Office::Leader(leader) = &mut self.office else { return };
        if since > self.committed || self.committed < leader.first {
            return;
        }
        if now.is_joint() {
            let request = leader.joint_request.take();
            let position = self.append_membership(now.settled());
            self.pending.extend(request.map(|id| (position, id)));
        } else if !now.is_voter(self.config.id) {
            // The others learn that they need this node no more.
            self.beat();
            self.follow(self.hard_state.term, None);
        }
    }
}
