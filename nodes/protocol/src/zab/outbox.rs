//! What a replica wants done, held back for as long as durability demands.
//!
//! A step collects storage effects and messages. It ends with at most one `Sync`, and whatever depends on what is
//! not durable yet waits for its ticket. There are two kinds of waiting: for the epochs (no node speaks for an epoch that it might forget),
//! and for the history too (what says that transactions are stored, and the epoch that they are the beginning of). A leader's proposals wait
//! for neither; its own copy of a transaction counts towards a quorum only when that is durable.

use std::collections::{BTreeMap, VecDeque};

use super::message::{Entry, Epoch, HardState, Message};
use crate::api::{Effect, LogIndex, Nanos, NodeId, Note, RequestId, Snapshot, SyncTicket};
use crate::kv::Response;

/// What a message or a step waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum After {
    /// The epochs as they are now.
    Epochs,
    /// Those, and the history as it is now.
    History,
    /// Nothing: what mutants do.
    Nothing,
}

/// What this node goes on with when something is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// It has accepted the epoch that it opened.
    Accepted(Epoch),
    /// It holds the epoch's initial history, and may make the epoch its current one.
    Adopt(Epoch),
    /// It has.
    Adopted(Epoch),
}

#[derive(Debug)]
enum Held {
    Send(NodeId, Message),
    Step(Step),
}

/// Effects of the current step, and what of earlier ones waits.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    effects: Vec<Effect<Message>>,
    waiting: BTreeMap<SyncTicket, Vec<Held>>,
    steps: VecDeque<Step>,
    /// The last ticket given out.
    issued: SyncTicket,
    /// The last one reported durable.
    synced: SyncTicket,
    /// Storage effects were collected since the last ticket.
    dirty: bool,
    /// The ticket that makes the epochs durable.
    epochs_ticket: SyncTicket,
    /// The ticket that makes the history durable.
    history_ticket: SyncTicket,
    /// How far the history reached at each ticket that is still out.
    unsynced: VecDeque<(SyncTicket, LogIndex)>,
    /// How far the history is durable.
    durable: LogIndex,
    /// When the driver's timer will go off.
    armed: Option<Nanos>,
    /// The mutant Z6: what was durable stays so, whatever takes its place.
    keeps_durable: bool,
}

impl Outbox {
    /// With a history that is durable up to here.
    pub(super) fn new(durable: LogIndex, keeps_durable: bool) -> Outbox {
        Outbox { durable, keeps_durable, ..Outbox::default() }
    }

    /// How far the history is durable on this node.
    pub(super) fn durable(&self) -> LogIndex {
        self.durable
    }

    pub(super) fn save_epochs(&mut self, epochs: HardState) {
        self.effects.push(Effect::SaveHardState(epochs));
        self.dirty = true;
        self.epochs_ticket = self.next_ticket();
    }

    /// What a mutant does in its place: nothing asks for a sync, and nothing waits for one.
    pub(super) fn save_epochs_unsynced(&mut self, epochs: HardState) {
        self.effects.push(Effect::SaveHardState(epochs));
    }

    pub(super) fn append(&mut self, entries: Vec<Entry>) {
        let (Some(first), Some(last)) = (entries.first(), entries.last()) else { return };
        let (before, last) = (LogIndex(first.index.0.saturating_sub(1)), last.index);
        self.effects.push(Effect::Append(entries));
        self.stored(before, last);
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

    /// Nothing is left after this position.
    pub(super) fn truncate(&mut self, last: LogIndex) {
        self.effects.push(Effect::Truncate(LogIndex(last.0 + 1)));
        self.stored(last, last);
    }

    /// The snapshot replaces the history up to its end, and all of it unless `keep_log`.
    pub(super) fn save_snapshot(
        &mut self,
        snapshot: Snapshot<Epoch>,
        log_from: LogIndex,
        keep_log: bool,
    ) {
        let last = snapshot.last_index;
        self.effects.push(Effect::SaveSnapshot { snapshot, log_from, keep_log });
        if keep_log {
            self.dirty = true;
            self.history_ticket = self.next_ticket();
        } else {
            self.stored(LogIndex(0), last);
        }
    }

    /// The history was replaced after `before`, and reaches to `last` now.
    fn stored(&mut self, before: LogIndex, last: LogIndex) {
        self.dirty = true;
        self.history_ticket = self.next_ticket();
        if !self.keeps_durable {
            self.durable = self.durable.min(before);
            for (_, reached) in &mut self.unsynced {
                *reached = (*reached).min(before);
            }
        }
        self.unsynced.push_back((self.history_ticket, last));
    }

    pub(super) fn send(&mut self, after: After, to: NodeId, message: Message) {
        self.hold(after, Held::Send(to, message));
    }

    /// Hands the step out through [`Outbox::take_step`] once everything is durable that it waits for.
    pub(super) fn then(&mut self, after: After, step: Step) {
        self.hold(after, Held::Step(step));
    }

    pub(super) fn take_step(&mut self) -> Option<Step> {
        self.steps.pop_front()
    }

    pub(super) fn reply(&mut self, id: RequestId, response: Response) {
        self.effects.push(Effect::Reply { id, response });
    }

    pub(super) fn note(&mut self, note: Note<Epoch>) {
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
            After::Nothing => SyncTicket(0),
            After::Epochs => self.epochs_ticket,
            After::History => self.epochs_ticket.max(self.history_ticket),
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
            Held::Step(step) => self.steps.push_back(step),
        }
    }
}
