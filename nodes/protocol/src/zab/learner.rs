//! What a leader knows of one follower, and how it feeds it.

use std::collections::VecDeque;
use std::sync::Arc;

use super::message::{Epoch, Zxid};
use crate::api::LogIndex;

/// How a follower is fed.
#[derive(Clone, Debug, Default)]
pub(super) enum Flow {
    /// What it has is not known.
    #[default]
    Waiting,
    /// Transactions, ahead of their acknowledgements.
    Proposals {
        /// The last transaction of each message on its way.
        in_flight: VecDeque<LogIndex>,
        /// When everything up to here was sent, NEWLEADER is.
        until: Option<LogIndex>,
    },
    /// The transactions that it needs are compacted: a snapshot, one piece at a time.
    Snapshot {
        /// The last transaction that it includes.
        last: Zxid,
        /// All of it.
        data: Arc<[u8]>,
        /// Where the piece on its way begins.
        offset: usize,
        /// It went on since the last heartbeat.
        moved: bool,
    },
}

/// A follower, as its leader sees it.
#[derive(Clone, Debug, Default)]
pub(super) struct Learner {
    /// What it had accepted when it came, if it came.
    pub(super) accepted: Option<Epoch>,
    /// It accepted this leader's epoch from this leader.
    pub(super) agreed: bool,
    /// The last transaction of its history, as it said when it accepted the epoch or found something missing.
    pub(super) last: Option<Zxid>,
    /// How it is fed.
    pub(super) flow: Flow,
    /// The next transaction to send.
    pub(super) next: LogIndex,
    /// It has the initial history, durably: it counts.
    pub(super) synchronised: bool,
    /// What is durable there, and the leader's.
    pub(super) matched: LogIndex,
    /// The commit index that it was told last.
    pub(super) told: LogIndex,
    /// It said something since the leader last checked its quorum.
    pub(super) active: bool,
    /// The last round of pings that it answered.
    pub(super) round: u64,
}

impl Learner {
    /// It comes, and nothing is known of its history.
    pub(super) fn joins(&mut self, accepted: Epoch) {
        *self = Learner {
            accepted: Some(accepted),
            active: true,
            round: self.round,
            ..Learner::default()
        };
    }

    /// Its history and the leader's part after `from`: what follows is sent, and after `until` NEWLEADER.
    pub(super) fn begin_proposals(&mut self, from: LogIndex, until: LogIndex) {
        self.next = LogIndex(from.0 + 1);
        self.matched = LogIndex(0);
        self.told = LogIndex(0);
        self.flow = Flow::Proposals { in_flight: VecDeque::new(), until: Some(until) };
    }

    /// NEWLEADER, or its acknowledgement, may have been lost.
    pub(super) fn say_newleader_again(&mut self) {
        let sent = self.sent();
        if !self.synchronised
            && let Flow::Proposals { until, .. } = &mut self.flow
        {
            until.get_or_insert(sent);
        }
    }

    /// So much is durable there.
    pub(super) fn acknowledges(&mut self, to: LogIndex) {
        self.matched = self.matched.max(to);
        if let Flow::Proposals { in_flight, .. } = &mut self.flow {
            while in_flight.front().is_some_and(|last| *last <= to) {
                in_flight.pop_front();
            }
        }
    }

    /// The last transaction sent.
    pub(super) fn sent(&self) -> LogIndex {
        match self.flow {
            Flow::Proposals { .. } => LogIndex(self.next.0.saturating_sub(1)),
            Flow::Waiting | Flow::Snapshot { .. } => LogIndex(0),
        }
    }
}
