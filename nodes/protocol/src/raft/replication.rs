//! Entries on their way: from the leader's log into its followers' (paper §5.3, §5.4.2; dissertation §10.2).

use std::sync::Arc;

use super::message::{AppendOutcome, Message, Position};
use super::mutant::Mutant;
use super::node::{Office, Replica};
use super::progress::{Flow, Progress};
use crate::api::{Entry, LogIndex, NodeId, Payload, RequestId};
use crate::outbox::After;

impl Replica {
    /// Takes a client's command into the leader's log.
    pub(super) fn propose(&mut self, id: RequestId, payload: Payload) {
        let position = self.append_own(payload);
        self.pending.push_back((position, id));
    }

    pub(super) fn append_own(&mut self, payload: Payload) -> Position {
        let index = LogIndex(self.log.last().index.0 + 1);
        let entry = Entry { index, term: self.hard_state.term, payload };
        if self.config.is(Mutant::CountUnsynced) {
            self.outbox.append_unsynced(vec![entry.clone()]);
        } else {
            self.outbox.append(vec![entry.clone()]);
        }
        self.log.push(Arc::new(entry));
        self.log.last()
    }

    /// Commits what a quorum stores. Only an entry of the leader's own term is counted; those before it are
    /// committed with it (paper §5.4.2).
    pub(super) fn commit_as_leader(&mut self) {
        let Office::Leader(leader) = &self.office else { return };
        let own = self.config.id;
        let stored = |node| match leader.progress.get(&node) {
            Some(progress) => progress.matched,
            None if node == own => self.outbox.durable(),
            None => LogIndex(0),
        };
        let Some(reached) = self.reached_by(stored) else { return };
        let reached = reached.min(self.log.last().index);
        let next = LogIndex(self.committed.0 + 1);
        let asked = if self.config.is(Mutant::StopAtOldTerm) { next } else { reached };
        let own = self.log.term(asked) == Some(self.hard_state.term);
        if reached > self.committed && (own || self.config.is(Mutant::CommitOldTerm)) {
            self.commit(reached);
        }
    }

    /// Commits what the leader has committed, as far as this log is known to be the leader's (paper,
    /// figure 2, AppendEntries rule 5).
    pub(super) fn commit_as_follower(&mut self, commit: LogIndex) {
        let last = self.log.last().index;
        let known =
            if self.config.is(Mutant::CommitUnverified) { last } else { self.verified.min(last) };
        if self.config.is(Mutant::CommitBack) && commit >= self.log.base().index {
            self.committed = self.committed.min(commit);
            self.applied = self.applied.min(commit);
        }
        if commit.min(known) > self.committed {
            self.commit(commit.min(known));
        }
    }

    pub(super) fn on_append(
        &mut self,
        from: NodeId,
        prev: Position,
        entries: Vec<Arc<Entry>>,
        commit: LogIndex,
    ) {
        if !self.hear(from) {
            return;
        }
        let term = self.hard_state.term;
        // What is committed here is in every later leader's log: no need to look, and it may be compacted.
        let matches = prev.index <= self.committed
            || self.log.term(prev.index) == Some(prev.term)
            || self.config.is(Mutant::AppendUnchecked);
        let outcome = if matches {
            let matched = self.take_entries(prev, entries);
            self.verified = self.verified.max(matched);
            let by_itself = self.config.is(Mutant::CommitByItself);
            self.commit_as_follower(if by_itself { matched } else { commit });
            AppendOutcome::Matched(matched)
        } else {
            self.conflict(prev.index)
        };
        self.outbox.send(After::Log, from, Message::AppendReply { term, outcome });
    }

    /// Says where the log leaves the leader's, so that it can go back by a whole term (paper §5.3).
    fn conflict(&self, prev: LogIndex) -> AppendOutcome {
        let term = self.log.term(prev);
        let first = match term {
            Some(_) => self.log.run_start(prev),
            None => LogIndex(self.log.last().index.0 + 1),
        };
        AppendOutcome::Conflict { prev, term, first }
    }

    /// What follows is another leader's.
    fn overwrite(&mut self, from: LogIndex) {
        let (since, membership) = self.log.membership();
        let kept = self.config.is(Mutant::KeepMembership).then(|| (since, Arc::clone(membership)));
        self.log.truncate(from);
        kept.into_iter().for_each(|kept| self.log.keep_membership(kept));
    }

    /// Stores what is new of entries whose predecessor matches; says how far the log is the leader's now.
    fn take_entries(&mut self, prev: Position, entries: Vec<Arc<Entry>>) -> LogIndex {
        let mut matched = LogIndex(prev.index.0 + entries.len() as u64).max(self.committed);
        let mut stored: Vec<Arc<Entry>> = Vec::new();
        let mut tail: Vec<Arc<Entry>> = Vec::new();
        if self.config.is(Mutant::TruncateAlways) && !entries.is_empty() {
            self.log.truncate(LogIndex(prev.index.max(self.committed).0 + 1));
        }
        for entry in entries {
            if entry.index <= self.committed {
                continue;
            }
            match self.log.term(entry.index) {
                Some(term) if term == entry.term => continue,
                Some(_) if self.config.is(Mutant::KeepTail) => {
                    tail = self.log.slice(LogIndex(entry.index.0 + 1), usize::MAX, usize::MAX);
                    self.log.truncate(entry.index);
                }
                Some(_) => self.overwrite(entry.index),
                None if self.config.is(Mutant::AppendUnchecked) => {
                    stored.extend(self.fill_gap(prev, entry.index));
                }
                None => {}
            }
            self.log.push(Arc::clone(&entry));
            stored.push(entry);
        }
        for entry in tail {
            if entry.index > self.log.last().index {
                matched = entry.index;
                self.log.push(Arc::clone(&entry));
                stored.push(entry);
            }
        }
        let stored = stored.iter().map(|entry| Entry::clone(entry)).collect();
        if self.config.is(Mutant::AckUnsynced) {
            self.outbox.append_unsynced(stored);
        } else {
            self.outbox.append(stored);
        }
        matched
    }

    /// What the mutant S2 has where it never looked: entries that do nothing.
    fn fill_gap(&mut self, prev: Position, until: LogIndex) -> Vec<Arc<Entry>> {
        let mut holes = Vec::new();
        while self.log.last().index.0 + 1 < until.0 {
            let index = LogIndex(self.log.last().index.0 + 1);
            let hole = Arc::new(Entry { index, term: prev.term, payload: Payload::Noop });
            self.log.push(Arc::clone(&hole));
            holes.push(hole);
        }
        holes
    }

    pub(super) fn on_append_reply(&mut self, from: NodeId, outcome: AppendOutcome) {
        let Office::Leader(leader) = &mut self.office else { return };
        let Some(progress) = leader.progress.get_mut(&from) else { return };
        progress.heard();
        match outcome {
            AppendOutcome::Matched(_) if self.config.is(Mutant::MatchAhead) => {
                progress.matched(LogIndex(progress.next.0 - 1));
            }
            AppendOutcome::Matched(index) => progress.matched(index),
            AppendOutcome::Conflict { prev, .. } if self.config.is(Mutant::StepBack) => {
                progress.conflict(prev, prev);
            }
            AppendOutcome::Conflict { prev, term, first } => {
                let known = term.and_then(|term| self.log.last_of_term(term));
                let next = known.map_or(first, |last| LogIndex(last.0 + 1));
                progress.conflict(prev, next);
            }
            // Its sender's term ended this office, but for the mutant R10.
            AppendOutcome::Stale => {}
        }
    }

    /// Sends followers what they lack, as far as their windows allow.
    pub(super) fn feed(&mut self) {
        let Office::Leader(leader) = &mut self.office else { return };
        let (term, bytes_max) = (self.hard_state.term, self.config.append_bytes_max);
        for (peer, progress) in &mut leader.progress {
            while may_send(progress, self.log.last().index, self.config.appends_in_flight_max) {
                let index = LogIndex(progress.next.0 - 1);
                let Some(prev_term) = self.log.term(index) else {
                    if let Some(snapshot) = &self.snapshot {
                        progress.begin_snapshot(snapshot);
                        let piece = progress.snapshot_piece(term, self.config.piece_bytes_max());
                        piece
                            .into_iter()
                            .for_each(|piece| self.outbox.send(After::HardState, *peer, piece));
                    }
                    break;
                };
                // Who does not answer is asked where it stands, and not sent the same load again and again.
                let entries = if progress.is_lost() {
                    Vec::new()
                } else {
                    self.log.slice(progress.next, self.config.entries_max(), bytes_max)
                };
                progress.sent(entries.last().map(|entry| entry.index));
                let prev = Position { term: prev_term, index };
                let append = Message::Append { term, prev, entries, commit: self.committed };
                self.outbox.send(After::HardState, *peer, append);
            }
        }
    }
}

/// Whether an append may be sent now.
fn may_send(progress: &Progress, last: LogIndex, in_flight_max: usize) -> bool {
    match &progress.flow {
        Flow::Probe { waiting } => !waiting,
        Flow::Stream { in_flight, .. } => {
            in_flight.len() < in_flight_max.max(1) && progress.next <= last
        }
        Flow::Snapshot { .. } => false,
    }
}
