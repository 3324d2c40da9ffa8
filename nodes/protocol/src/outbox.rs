//! What a replica wants done, held back for as long as durability demands.
//!
//! A step collects storage effects and messages. It ends with at most one `Sync`, and whatever depends on what is
//! not durable yet waits for its ticket. There are two kinds of waiting: for the hard state (no node speaks for an era that it might
//! forget), and for the log too (what says that entries are stored). What a leader proposes waits for neither, since a node leads only
//! after what makes it the leader is durable; its own copy of an entry counts towards a quorum only when that is durable.

use std::collections::{BTreeMap, VecDeque};

use crate::api::{
    Effect, LogEntry, LogIndex, Nanos, NodeId, Note, RequestId, Snapshot, SyncTicket, Vocabulary,
};
use crate::kv::Response;

/// What a message or a step waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum After {
    /// Nothing.
    Nothing,
    /// The hard state as it is now.
    HardState,
    /// That, and the log as it is now.
    Log,
}

#[derive(Debug)]
enum Held<M, S> {
    Send(NodeId, M),
    Step(S),
}

/// Effects of the current step, and what of earlier ones waits: messages `M`, and steps `S` with which the node itself goes on.
#[derive(Debug)]
pub(crate) struct Outbox<M: Vocabulary, S> {
    effects: Vec<Effect<M>>,
    waiting: BTreeMap<SyncTicket, Vec<Held<M, S>>>,
    steps: VecDeque<S>,
    /// The last ticket given out.
    issued: SyncTicket,
    /// The last one reported durable.
    synced: SyncTicket,
    /// Storage effects were collected since the last ticket.
    dirty: bool,
    /// The ticket that makes the hard state durable.
    hard_state_ticket: SyncTicket,
    /// The ticket that makes the log durable.
    log_ticket: SyncTicket,
    /// How far the log reached at each ticket that is still out.
    unsynced: VecDeque<(SyncTicket, LogIndex)>,
    /// How far the log is durable.
    durable: LogIndex,
    /// When the driver's timer will go off.
    armed: Option<Nanos>,
    /// The mutants R19 and Z6: what was durable stays so, whatever takes its place.
    keeps_durable: bool,
}

impl<M: Vocabulary, S> Default for Outbox<M, S> {
    fn default() -> Self {
        Self::new(LogIndex(0), false)
    }
}

impl<M: Vocabulary, S> Outbox<M, S> {
    /// With a log that is durable up to here.
    pub(crate) fn new(durable: LogIndex, keeps_durable: bool) -> Self {
        let none = SyncTicket(0);
        Self {
            effects: Vec::new(),
            waiting: BTreeMap::new(),
            steps: VecDeque::new(),
            issued: none,
            synced: none,
            dirty: false,
            hard_state_ticket: none,
            log_ticket: none,
            unsynced: VecDeque::new(),
            durable,
            armed: None,
            keeps_durable,
        }
    }

    /// How far the log is durable on this node; said of logs that are appended to only.
    pub(crate) fn durable(&self) -> LogIndex {
        self.durable
    }

    pub(crate) fn save_hard_state(&mut self, hard_state: M::HardState) {
        self.save_hard_state_unsynced(hard_state);
        self.dirty = true;
        self.hard_state_ticket = self.next_ticket();
    }

    /// The same, in the place of what the step asked to be saved just before: one write is enough.
    pub(crate) fn save_hard_state_once(&mut self, hard_state: M::HardState) {
        self.effects.pop_if(|last| matches!(last, Effect::SaveHardState(_)));
        self.save_hard_state(hard_state);
    }

    /// What mutants do in its place: nothing asks for a sync, and nothing waits for one.
    pub(crate) fn save_hard_state_unsynced(&mut self, hard_state: M::HardState) {
        self.effects.push(Effect::SaveHardState(hard_state));
    }

    /// Entries that follow on each other and on what is before; whatever was there goes.
    pub(crate) fn append(&mut self, entries: Vec<M::Entry>) {
        let (Some(first), Some(last)) = (entries.first(), entries.last()) else { return };
        let (before, last) = (LogIndex(first.index().0.saturating_sub(1)), last.index());
        self.effects.push(Effect::Append(entries));
        self.stored(before, last);
    }

    /// What mutants do in place of [`Outbox::append`]: nothing asks for a sync, and nothing waits for one.
    pub(crate) fn append_unsynced(&mut self, entries: Vec<M::Entry>) {
        let Some(last) = entries.last().map(LogEntry::index) else { return };
        self.effects.push(Effect::Append(entries));
        self.durable = last;
        for (_, reached) in &mut self.unsynced {
            *reached = last;
        }
    }

    /// Nothing is left after this position.
    pub(crate) fn truncate(&mut self, last: LogIndex) {
        self.effects.push(Effect::Truncate(LogIndex(last.0 + 1)));
        self.stored(last, last);
    }

    /// Entries that each take their own place.
    pub(crate) fn put(&mut self, entries: impl IntoIterator<Item = M::Entry>) {
        self.put_unsynced(entries);
        self.dirty = true;
        self.log_ticket = self.next_ticket();
    }

    /// What a mutant does in its place: nothing asks for a sync, and nothing waits for one.
    pub(crate) fn put_unsynced(&mut self, entries: impl IntoIterator<Item = M::Entry>) {
        if let Some(Effect::Put(before)) = self.effects.last_mut() {
            before.extend(entries);
        } else {
            self.effects.push(Effect::Put(entries.into_iter().collect()));
        }
    }

    /// The snapshot replaces the log up to its end, and all of it unless `keep_log`.
    pub(crate) fn save_snapshot(
        &mut self,
        snapshot: Snapshot<M::Era>,
        log_from: LogIndex,
        keep_log: bool,
    ) {
        let last = snapshot.last_index;
        self.effects.push(Effect::SaveSnapshot { snapshot, log_from, keep_log });
        if keep_log {
            self.dirty = true;
            self.log_ticket = self.next_ticket();
        } else {
            self.stored(LogIndex(0), last);
        }
    }

    /// The log was replaced after `before`, and reaches to `last` now.
    fn stored(&mut self, before: LogIndex, last: LogIndex) {
        self.dirty = true;
        self.log_ticket = self.next_ticket();
        if !self.keeps_durable {
            self.durable = self.durable.min(before);
            for (_, reached) in &mut self.unsynced {
                *reached = (*reached).min(before);
            }
        }
        match self.unsynced.back_mut() {
            Some((ticket, reached)) if *ticket == self.log_ticket && !self.keeps_durable => {
                *reached = last;
            }
            _ => self.unsynced.push_back((self.log_ticket, last)),
        }
    }

    /// To another node.
    pub(crate) fn send(&mut self, after: After, to: NodeId, message: M) {
        self.hold(after, Held::Send(to, message));
    }

    /// Hands the step out through [`Outbox::take_step`] once everything is durable that it waits for.
    pub(crate) fn then(&mut self, after: After, step: S) {
        self.hold(after, Held::Step(step));
    }

    pub(crate) fn take_step(&mut self) -> Option<S> {
        self.steps.pop_front()
    }

    pub(crate) fn reply(&mut self, id: RequestId, response: Response) {
        self.effects.push(Effect::Reply { id, response });
    }

    pub(crate) fn note(&mut self, note: Note<M::Era>) {
        self.effects.push(Effect::Note(note));
    }

    /// Everything up to the ticket is durable: lets go of what waited for it.
    pub(crate) fn synced(&mut self, ticket: SyncTicket) {
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
    pub(crate) fn disarm(&mut self) {
        self.armed = None;
    }

    /// Ends a step: asks for a sync if one is needed, and for the timer if it would go off too late. One that
    /// goes off too early is asked for again then, which is cheaper than to move it with every message.
    pub(crate) fn finish(&mut self, timer: Nanos, out: &mut Vec<Effect<M>>) {
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

    fn hold(&mut self, after: After, held: Held<M, S>) {
        let ticket = match after {
            After::Nothing => SyncTicket(0),
            After::HardState => self.hard_state_ticket,
            After::Log => self.hard_state_ticket.max(self.log_ticket),
        };
        if ticket <= self.synced {
            self.release(held);
        } else {
            self.waiting.entry(ticket).or_default().push(held);
        }
    }

    fn release(&mut self, held: Held<M, S>) {
        match held {
            Held::Send(to, message) => self.effects.push(Effect::Send { to, message }),
            Held::Step(step) => self.steps.push_back(step),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::api::{Entry, Payload, Term};
    use crate::paxos::{self, Ballot};
    use crate::raft;

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
        outbox: Outbox<raft::Message, Term>,
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

    /// How much is sent now, and how many steps are due.
    fn released(outbox: &mut Outbox<paxos::Message, ()>) -> (usize, usize) {
        let mut out = Vec::new();
        outbox.finish(Nanos(1), &mut out);
        let sent = out.iter().filter(|effect| matches!(effect, Effect::Send { .. })).count();
        (sent, std::iter::from_fn(|| outbox.take_step()).count())
    }

    #[test]
    fn a_node_speaks_and_goes_on_when_what_it_says_is_durable() {
        let (node, ballot) = (NodeId(2), Ballot { round: 1, node: NodeId(1) });
        let word = paxos::Message::HeartbeatReply { ballot, round: 1 };
        let mut outbox = Outbox::default();
        outbox.send(After::Log, node, word.clone());
        assert_eq!(released(&mut outbox), (1, 0), "nothing to wait for");
        outbox.save_hard_state(paxos::HardState { promised: ballot });
        outbox.then(After::HardState, ());
        outbox.send(After::HardState, node, word.clone());
        assert_eq!(released(&mut outbox), (0, 0));
        outbox.put([]);
        outbox.send(After::Log, node, word.clone());
        outbox.send(After::Nothing, node, word);
        assert_eq!(released(&mut outbox), (1, 0));
        outbox.synced(SyncTicket(1));
        assert_eq!(released(&mut outbox), (1, 1), "the log waits for a ticket of its own");
        outbox.synced(SyncTicket(2));
        assert_eq!(released(&mut outbox), (1, 0));
    }
}
