//! What a replica wants done, held back for as long as durability demands.
//!
//! A step collects storage effects and messages. It ends with at most one `Sync`, and whatever depends on what is
//! not durable yet waits for its ticket. There are two kinds of waiting: for term and vote (all messages: no
//! node speaks for a term that it might forget), and for the log too (what says that entries are stored).
//! A leader's appends and heartbeats wait for neither, since a node leads only after its term and its own vote
//! are durable; its own copy of an entry counts towards a quorum only when that is durable.

use std::collections::{BTreeMap, VecDeque};

use super::message::{HardState, Message};
use crate::api::{Effect, Entry, LogIndex, Nanos, NodeId, RequestId, Snapshot, SyncTicket, Term};
use crate::kv::Response;

/// What a message waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum After {
    /// Term and vote as they are now.
    Term,
    /// Those, and the log as it is now.
    Log,
}

#[derive(Debug)]
enum Held {
    Send(NodeId, Message),
    /// The candidate's own vote in this term counts from now on.
    OwnVote(Term),
}

/// Effects of the current step, and messages of earlier ones that wait.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    effects: Vec<Effect<Message>>,
    waiting: BTreeMap<SyncTicket, Vec<Held>>,
    own_votes: Vec<Term>,
    /// The last ticket given out.
    issued: SyncTicket,
    /// The last one reported durable.
    synced: SyncTicket,
    /// Storage effects were collected since the last ticket.
    dirty: bool,
    /// The ticket that makes term and vote durable.
    term_ticket: SyncTicket,
    /// The ticket that makes the log durable.
    log_ticket: SyncTicket,
    /// How far the log reached at each ticket that is still out.
    unsynced: VecDeque<(SyncTicket, LogIndex)>,
    /// How far the log is durable.
    durable: LogIndex,
    /// When the driver's timer will go off.
    armed: Option<Nanos>,
    /// The mutant R19: what was durable stays so, whatever takes its place.
    keeps_durable: bool,
}

impl Outbox {
    /// With a log that is durable up to here.
    pub(super) fn new(durable: LogIndex, keeps_durable: bool) -> Outbox {
        Outbox { durable, keeps_durable, ..Outbox::default() }
    }

    /// How far the log is durable on this node.
    pub(super) fn durable(&self) -> LogIndex {
        self.durable
    }

    pub(super) fn save_hard_state(&mut self, hard_state: HardState) {
        // A vote in a term that is new in this step: one write is enough.
        match self.effects.last_mut() {
            Some(Effect::SaveHardState(last)) => *last = hard_state,
            _ => self.effects.push(Effect::SaveHardState(hard_state)),
        }
        self.dirty = true;
        self.term_ticket = self.next_ticket();
    }

    /// What a mutant does in its place: nothing asks for a sync, and nothing waits for one.
    pub(super) fn save_hard_state_unsynced(&mut self, hard_state: HardState) {
        self.effects.push(Effect::SaveHardState(hard_state));
    }

    pub(super) fn append(&mut self, entries: Vec<Entry>) {
        let (Some(first), Some(last)) = (entries.first(), entries.last()) else { return };
        let (before, last) = (LogIndex(first.index.0.saturating_sub(1)), last.index);
        self.effects.push(Effect::Append(entries));
        self.stored_log(before, last);
    }

    /// What mutants do in place of [`Outbox::append`]: nothing asks for a sync, and nothing waits for one.
    pub(super) fn append_unsynced(&mut self, entries: Vec<Entry>) {
        let Some(last) = entries.last().map(|entry| entry.index) else { return };
        self.effects.push(Effect::Append(entries));
        self.durable = last;
        for (_, reached) in &mut self.unsynced {
            *reached = last;
        }
    }

    /// The snapshot replaces the log up to its end, and all of it unless `keep_log`.
    pub(super) fn save_snapshot(
        &mut self,
        snapshot: Snapshot<Term>,
        log_from: LogIndex,
        keep_log: bool,
    ) {
        let last = snapshot.last_index;
        self.effects.push(Effect::SaveSnapshot { snapshot, log_from, keep_log });
        if keep_log {
            self.dirty = true;
            self.log_ticket = self.next_ticket();
        } else {
            self.stored_log(LogIndex(0), last);
        }
    }

    /// The log was replaced after `before`, and reaches to `last` now.
    fn stored_log(&mut self, before: LogIndex, last: LogIndex) {
        self.dirty = true;
        self.log_ticket = self.next_ticket();
        if !self.keeps_durable {
            self.durable = self.durable.min(before);
            for (_, reached) in &mut self.unsynced {
                *reached = (*reached).min(before);
            }
        }
        self.unsynced.push_back((self.log_ticket, last));
    }

    pub(super) fn send(&mut self, after: After, to: NodeId, message: Message) {
        self.hold(after, Held::Send(to, message));
    }

    /// Reports the candidate's own vote through [`Outbox::take_own_vote`] once it is durable.
    pub(super) fn vote_for_self(&mut self, term: Term) {
        self.hold(After::Log, Held::OwnVote(term));
    }

    pub(super) fn take_own_vote(&mut self) -> Option<Term> {
        self.own_votes.pop()
    }

    pub(super) fn reply(&mut self, id: RequestId, response: Response) {
        self.effects.push(Effect::Reply { id, response });
    }

    pub(super) fn note(&mut self, note: crate::api::Note<Term>) {
        self.effects.push(Effect::Note(note));
    }

    /// Everything up to the ticket is durable: lets go of what waited for it.
    pub(super) fn synced(&mut self, ticket: SyncTicket) {
        self.synced = self.synced.max(ticket);
        while let Some((ticket, reached)) = self.unsynced.front().copied()
            && ticket <= self.synced
        {
            let kept = if self.keeps_durable { self.durable } else { LogIndex(0) };
            self.durable = reached.max(kept);
            self.unsynced.pop_front();
        }
        let later = self.waiting.split_off(&SyncTicket(self.synced.0 + 1));
        for held in std::mem::replace(&mut self.waiting, later).into_values().flatten() {
            self.release(held);
        }
    }

    /// The driver's timer went off, or it has none.
    pub(super) fn disarm(&mut self) {
        self.armed = None;
    }

    /// Ends a step: asks for a sync if one is needed, and for the timer if it would go off too late. One that
    /// goes off too early is asked for again then, which is cheaper than to move it with every message.
    pub(super) fn finish(&mut self, timer: Nanos, out: &mut Vec<Effect<Message>>) {
        if std::mem::take(&mut self.dirty) {
            self.issued = self.next_ticket();
            self.effects.push(Effect::Sync(self.issued));
        }
        if self.armed.is_none_or(|armed| timer < armed) {
            self.armed = Some(timer);
            self.effects.push(Effect::SetTimer(timer));
        }
        out.append(&mut self.effects);
    }

    fn next_ticket(&self) -> SyncTicket {
        SyncTicket(self.issued.0 + 1)
    }

    fn hold(&mut self, after: After, held: Held) {
        let ticket = match after {
            After::Term => self.term_ticket,
            After::Log => self.term_ticket.max(self.log_ticket),
        };
        if ticket <= self.synced {
            self.release(held);
        } else {
            self.waiting.entry(ticket).or_default().push(held);
        }
    }

    fn release(&mut self, held: Held) {
        match held {
            Held::Send(to, message) => self.effects.push(Effect::Send { to, message }),
            Held::OwnVote(term) => self.own_votes.push(term),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::api::Payload;

    /// Something that happens to a log whose entries are told apart by their terms.
    #[derive(Clone, Debug)]
    enum Change {
        /// Entries go in the place of the last few.
        Append { replaced: usize, count: usize },
        /// A snapshot goes in the place of everything.
        Install { further: u64 },
        /// The step ends, and asks for a sync.
        Finish,
        /// One of the syncs asked for ends, and those before it.
        Synced { at: usize },
    }

    fn change() -> impl Strategy<Value = Change> {
        prop_oneof![
            4 => (0..4_usize, 1..4_usize)
                .prop_map(|(replaced, count)| Change::Append { replaced, count }),
            1 => (1..4_u64).prop_map(|further| Change::Install { further }),
            4 => Just(Change::Finish),
            3 => (0..4_usize).prop_map(|at| Change::Synced { at }),
        ]
    }

    /// The outbox beside what it is about: the log as it is, and as it was whenever a sync was asked for.
    #[derive(Default)]
    struct Model {
        outbox: Outbox,
        /// The last entry of the snapshot that the log begins with.
        base: u64,
        log: Vec<Term>,
        writes: u64,
        asked: VecDeque<(SyncTicket, u64, Vec<Term>)>,
        synced: SyncTicket,
        disk: (u64, Vec<Term>),
    }

    impl Model {
        fn last(&self) -> u64 {
            self.base + self.log.len() as u64
        }

        fn change(&mut self, change: &Change) {
            match *change {
                Change::Append { replaced, count } => {
                    self.log.truncate(self.log.len().saturating_sub(replaced));
                    self.writes += 1;
                    let term = Term(self.writes);
                    let first = self.last() + 1;
                    let entries = (first..first + count as u64).map(|index| Entry {
                        index: LogIndex(index),
                        term,
                        payload: Payload::Noop,
                    });
                    self.outbox.append(entries.collect());
                    self.log.extend(vec![term; count]);
                }
                Change::Install { further } => {
                    (self.base, self.log) = (self.last() + further, Vec::new());
                    let (last_index, last_era) = (LogIndex(self.base), Term(self.writes));
                    let snapshot = Snapshot { last_index, last_era, data: [].into() };
                    self.outbox.save_snapshot(snapshot, LogIndex(self.base + 1), false);
                }
                Change::Finish => {
                    let mut out = Vec::new();
                    self.outbox.finish(Nanos(0), &mut out);
                    let ticket = out.iter().find_map(|effect| match effect {
                        Effect::Sync(ticket) => Some(*ticket),
                        _ => None,
                    });
                    if let Some(ticket) = ticket {
                        self.asked.push_back((ticket, self.base, self.log.clone()));
                    }
                }
                Change::Synced { at } => {
                    for _ in 0..=at {
                        let Some((ticket, base, log)) = self.asked.pop_front() else { break };
                        (self.synced, self.disk) = (ticket, (base, log));
                    }
                    self.outbox.synced(self.synced);
                }
            }
        }

        /// How far the log on the disk is the one in memory.
        fn durable(&self) -> u64 {
            let (base, log) = &self.disk;
            let same = log.iter().zip(&self.log).take_while(|(a, b)| a == b).count();
            if *base == self.base { base + same as u64 } else { 0 }
        }
    }

    proptest! {
        /// A leader counts its own copy of an entry only when that is durable: a sync asked for before the entry took another's place does
        /// not speak of it, however late it ends.
        #[test]
        fn durable_is_what_a_crash_would_leave(changes in vec(change(), 0..60)) {
            let mut model = Model::default();
            for change in changes {
                model.change(&change);
                prop_assert_eq!(model.outbox.durable().0, model.durable());
            }
        }
    }
}
