//! Leadership handed to a chosen voter (dissertation §3.10).
//!
//! The leader takes no more commands, waits until the successor has all of its log, and tells it to campaign at
//! once. Voters who hear the leader still vote for such a candidate all the same. Therefore the leader reads by no lease any more
//! from the moment it has said so, for the rest of its term: the message may arrive late, long after the leader gave the
//! transfer up and went on. If the successor has not taken over when an election would have come to an end, the leader goes on.

use super::message::Message;
use super::mutant::Mutant;
use super::node::{Office, Replica};
use crate::api::{Nanos, NodeId, RequestId};
use crate::kv::Response;
use crate::membership::Refusal;
use crate::outbox::After;

/// A transfer under way.
#[derive(Debug)]
pub(super) struct Transfer {
    to: NodeId,
    /// Who asked for it.
    pub(super) request: RequestId,
    /// When it is given up.
    due: Nanos,
    /// The successor was told to campaign.
    told: bool,
}

impl Replica {
    pub(super) fn transfer(&mut self, request: RequestId, to: NodeId) {
        let possible = to != self.config.id && self.membership().voters.contains(&to);
        let due = Nanos(self.now.0.saturating_add(self.config.election_timeout.end().0));
        let Office::Leader(leader) = &mut self.office else { return };
        if leader.transfer.is_some() {
            self.outbox.reply(request, Response::Refused(Refusal::Pending));
        } else if !possible {
            self.outbox.reply(request, Response::Refused(Refusal::Void));
        } else {
            leader.transfer = Some(Transfer { to, request, due, told: false });
        }
    }

    /// Whether this node leads and is about to stop, and so takes no commands.
    #[must_use]
    pub fn is_leaving(&self) -> bool {
        matches!(&self.office, Office::Leader(leader) if leader.transfer.is_some())
    }

    /// Tells the successor, as soon as it has everything.
    pub(super) fn advance_transfer(&mut self) {
        let Office::Leader(leader) = &mut self.office else { return };
        let Some(transfer) = leader.transfer.as_mut().filter(|transfer| !transfer.told) else {
            return;
        };
        let Some(progress) = leader.progress.get(&transfer.to) else { return };
        if progress.matched < self.log.last().index {
            return;
        }
        transfer.told = true;
        if !self.config.is(Mutant::LeaseAfterTransfer) {
            leader.renounced = true;
        }
        let message = Message::TimeoutNow { term: self.hard_state.term };
        self.outbox.send(After::HardState, transfer.to, message);
    }

    /// Gives up a transfer that takes too long.
    pub(super) fn expire_transfer(&mut self) {
        let now = self.now;
        if self.config.is(Mutant::TransferSticks) {
            return;
        }
        let Office::Leader(leader) = &mut self.office else { return };
        if let Some(transfer) = leader.transfer.take_if(|transfer| transfer.due <= now) {
            self.outbox.reply(transfer.request, Response::Refused(Refusal::NoSuccessor));
        }
    }

    pub(super) fn on_timeout_now(&mut self, from: NodeId) {
        if self.hear(from) && self.is_voter() {
            self.take_over();
        }
    }
}
