//! What a leader knows of one follower, and how it feeds it.

use std::collections::VecDeque;
use std::sync::Arc;

use super::message::Position;
use crate::api::LogIndex;

/// Heartbeats without any entry acknowledged after which appends on their way are taken for lost.
const STALLED_TICKS_MAX: u8 = 3;

/// How a follower is fed.
#[derive(Clone, Debug)]
pub(super) enum Flow {
    /// Where its log leaves the leader's is not known: one append at a time, until one matches.
    Probe {
        /// One is on its way.
        waiting: bool,
    },
    /// Its log matches: appends are sent ahead of their answers (dissertation §10.2.1).
    Stream {
        /// The last entry of each append on its way.
        in_flight: VecDeque<LogIndex>,
        /// Heartbeats since the last answer.
        stalled_ticks: u8,
    },
    /// The entries it needs are compacted: a snapshot, one piece at a time.
    Snapshot {
        /// The last entry it includes.
        last: Position,
        /// All of it.
        data: Arc<[u8]>,
        /// Where the piece on its way begins.
        offset: usize,
        /// It went on since the last heartbeat.
        moved: bool,
    },
}

/// A follower, as its leader sees it.
#[derive(Clone, Debug)]
pub(super) struct Progress {
    /// Its log is known to match up to here, durably.
    pub(super) matched: LogIndex,
    /// The next entry to send.
    pub(super) next: LogIndex,
    /// How it is fed.
    pub(super) flow: Flow,
    /// It answered something since the leader last checked its quorum.
    pub(super) active: bool,
    /// It answered something since the heartbeat before.
    pub(super) responsive: bool,
    /// The last round of heartbeats that it answered.
    pub(super) round: u64,
}

impl Progress {
    /// Of a follower that nothing is known of, under a leader whose next entry is this.
    pub(super) fn new(next: LogIndex) -> Progress {
        Progress {
            matched: LogIndex(0),
            next,
            flow: Flow::Probe { waiting: false },
            active: false,
            responsive: true,
            round: 0,
        }
    }

    /// It answered something.
    pub(super) fn heard(&mut self) {
        if !self.responsive
            && let Flow::Probe { waiting } = &mut self.flow
        {
            *waiting = false;
        }
        self.active = true;
        self.responsive = true;
    }

    /// Its log matches up to here.
    pub(super) fn matched(&mut self, index: LogIndex) {
        self.matched = self.matched.max(index);
        self.next = self.next.max(LogIndex(index.0 + 1));
        match &mut self.flow {
            Flow::Stream { in_flight, stalled_ticks } => {
                while in_flight.front().is_some_and(|last| *last <= index) {
                    in_flight.pop_front();
                }
                *stalled_ticks = 0;
            }
            Flow::Snapshot { last, .. } if index < last.index => {}
            Flow::Probe { .. } | Flow::Snapshot { .. } => {
                self.next = LogIndex(self.matched.0 + 1);
                self.flow = Flow::Stream { in_flight: VecDeque::new(), stalled_ticks: 0 };
            }
        }
    }

    /// Its log does not match at `prev`: the next try begins at `next`. Says whether that is news, and not the echo
    /// of an append sent long ago.
    pub(super) fn conflict(&mut self, prev: LogIndex, next: LogIndex) -> bool {
        let news = prev > self.matched
            && match self.flow {
                Flow::Probe { .. } => prev.0 + 1 == self.next.0,
                Flow::Stream { .. } => true,
                Flow::Snapshot { .. } => false,
            };
        if news {
            self.next = next.min(prev).max(LogIndex(self.matched.0 + 1));
            self.flow = Flow::Probe { waiting: false };
        }
        news
    }

    /// A heartbeat is due: whatever was lost since the last one is to be sent again.
    pub(super) fn tick(&mut self) {
        self.responsive = false;
        match &mut self.flow {
            Flow::Probe { waiting } => *waiting = false,
            Flow::Stream { in_flight, .. } if in_flight.is_empty() => {}
            Flow::Stream { stalled_ticks, .. } => {
                *stalled_ticks += 1;
                if *stalled_ticks >= STALLED_TICKS_MAX {
                    self.next = LogIndex(self.matched.0 + 1);
                    self.flow = Flow::Probe { waiting: false };
                }
            }
            Flow::Snapshot { .. } => {}
        }
    }

    /// An append went out, with entries up to `last` or none.
    pub(super) fn sent(&mut self, last: Option<LogIndex>) {
        match &mut self.flow {
            Flow::Probe { waiting } => *waiting = true,
            Flow::Stream { in_flight, .. } => {
                if let Some(last) = last {
                    in_flight.push_back(last);
                    self.next = LogIndex(last.0 + 1);
                }
            }
            Flow::Snapshot { .. } => {}
        }
    }

    /// Whether it neither answers nor is known to match.
    pub(super) fn is_lost(&self) -> bool {
        !self.responsive && matches!(self.flow, Flow::Probe { .. })
    }
}
