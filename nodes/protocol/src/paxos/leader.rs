//! What a replica holds while it leads, and loses when it stops.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use super::ballot::Ballot;
use super::log::Entry;
use crate::api::{LogIndex, Nanos, NodeId};

/// A value proposed, and who has accepted it.
#[derive(Debug)]
pub(super) struct Proposal {
    pub(super) entry: Arc<Entry>,
    pub(super) accepted_by: BTreeSet<NodeId>,
}

/// What a leader knows of another node.
#[derive(Debug)]
pub(super) struct Acceptor {
    /// The next slot to be proposed to it.
    pub(super) next: LogIndex,
    /// Messages with proposals that it has not answered.
    pub(super) in_flight: usize,
    /// The first slot that was proposed to it and that it had not accepted at the last heartbeat.
    pub(super) lacks: Option<LogIndex>,
    /// When it was heard last.
    pub(super) heard_at: Nanos,
    /// The last round of heartbeats that it answered.
    pub(super) round: u64,
}

/// A leader's state.
#[derive(Debug)]
pub(super) struct Leader {
    /// Its ballot.
    pub(super) ballot: Ballot,
    /// What was open when it took office ends here. Until that is executed, it may lack what earlier leaders have acknowledged.
    pub(super) opened: LogIndex,
    /// What it proposed and does not know to be committed, slot after slot.
    pub(super) proposals: VecDeque<Proposal>,
    /// The last slot that it proposed for.
    pub(super) last: LogIndex,
    /// How far its own acceptances were asked to be stored.
    pub(super) stored: LogIndex,
    /// The others.
    pub(super) acceptors: BTreeMap<NodeId, Acceptor>,
    /// Somebody has promised a higher ballot.
    pub(super) outbid: bool,
    /// The last round of heartbeats sent.
    pub(super) round: u64,
    /// When each round was sent that may still begin a lease, oldest first.
    pub(super) sent: VecDeque<(u64, Nanos)>,
    /// Until when it may answer reads alone.
    pub(super) lease_until: Nanos,
    /// When the next regular one is due, and what was lost is sent again.
    pub(super) heartbeat_due: Nanos,
}

impl Leader {
    /// Of a ballot under which slots after `before` are proposed for.
    pub(super) fn new(
        ballot: Ballot,
        before: LogIndex,
        peers: impl Iterator<Item = NodeId>,
        now: Nanos,
    ) -> Self {
        let acceptor = |peer| {
            let next = LogIndex(before.0 + 1);
            (peer, Acceptor { next, in_flight: 0, lacks: None, heard_at: now, round: 0 })
        };
        Self {
            ballot,
            opened: before,
            proposals: VecDeque::new(),
            last: before,
            stored: before,
            acceptors: peers.map(acceptor).collect(),
            outbid: false,
            round: 0,
            sent: VecDeque::new(),
            lease_until: Nanos(0),
            heartbeat_due: now,
        }
    }

    /// The proposal for a slot, if it is not known to be committed.
    pub(super) fn proposal(&mut self, slot: LogIndex) -> Option<&mut Proposal> {
        let first = self.proposals.front()?.entry.slot;
        let at = usize::try_from(slot.0.checked_sub(first.0)?).ok()?;
        self.proposals.get_mut(at)
    }

    /// Proposals from a slot on.
    pub(super) fn from(&self, slot: LogIndex) -> impl Iterator<Item = &Arc<Entry>> {
        let first = self.proposals.front().map_or(slot, |proposal| proposal.entry.slot);
        let skip = usize::try_from(slot.0.saturating_sub(first.0)).unwrap_or(usize::MAX);
        self.proposals.iter().skip(skip).map(|proposal| &proposal.entry)
    }

    /// Slots up to here are committed.
    pub(super) fn committed(&mut self, to: LogIndex) {
        while self.proposals.front().is_some_and(|proposal| proposal.entry.slot <= to) {
            self.proposals.pop_front();
        }
        for acceptor in self.acceptors.values_mut() {
            acceptor.next = acceptor.next.max(LogIndex(to.0 + 1)).min(LogIndex(self.last.0 + 1));
        }
    }

    /// What was sent to this acceptor and not answered from one heartbeat to the next is taken for lost, and all that follows it is sent again.
    pub(super) fn rewind(&mut self, peer: NodeId) {
        let Some(acceptor) = self.acceptors.get_mut(&peer) else { return };
        let lacks = |proposal: &&Proposal| !proposal.accepted_by.contains(&peer);
        let first = self.proposals.iter().find(lacks).map(|proposal| proposal.entry.slot);
        let first = first.filter(|slot| *slot < acceptor.next);
        if let Some(slot) = first
            && acceptor.lacks == first
        {
            (acceptor.next, acceptor.in_flight) = (slot, 0);
        }
        if first.is_none() {
            acceptor.in_flight = 0;
        }
        acceptor.lacks = first;
    }
}
