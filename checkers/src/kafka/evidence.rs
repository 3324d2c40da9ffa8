//! The few operations that show what is worst.

use super::cases::{Case, Facts, Kind, Writer};
use super::check::{Analysis, shows};
use super::log::Outcome;
use super::tell::{self, Why, label, why};
use crate::columns::NEVER;
use crate::verdict::Evidence;
use crate::words::count;

/// Of more operations it is not proved that none can be spared.
const PROVED_MAX: usize = 24;

/// Evidence for the first case of a kind that was found.
pub(super) fn evidence(analysis: &Analysis<'_>, kind: Kind, ww_deps: bool) -> Evidence {
    let facts = &analysis.facts;
    let case = &analysis.found.kept(kind)[0];
    let mut told = Told { facts, rows: Vec::new(), matters: Vec::new(), words: Vec::new() };
    told.case(case);
    let Told { mut rows, matters, words, .. } = told;
    rows.sort_unstable();
    rows.dedup();
    let minimal = spare(analysis, kind, ww_deps, &mut rows);
    rows.sort_unstable_by_key(|row| facts.log.ops[*row as usize].span.call);
    let ops = rows.iter().map(|row| {
        let op = &facts.log.ops[*row as usize];
        let mut shown = op.span.shown(label(facts.log, op, &matters));
        if op.outcome == Outcome::Fail {
            shown.label += " (failed)";
        }
        shown
    });
    let key = match case {
        Case::Cycle { .. } | Case::CycleExists { .. } => None,
        Case::Unseen { key, .. } => Some(*key),
        _ => matters.first().map(|message| facts.log.key_of(*message)),
    };
    Evidence {
        key: key.map(|key| facts.log.keys[key as usize].to_string()),
        ops: ops.collect(),
        longest_order: Vec::new(),
        stuck: Vec::new(),
        minimal,
        edges: Vec::new(),
        explanation: words,
    }
}

/// Leaves out what the same can be seen without; whether it was proved that nothing more can be.
fn spare(analysis: &Analysis<'_>, kind: Kind, ww_deps: bool, rows: &mut Vec<u32>) -> bool {
    let log = analysis.facts.log;
    let shown = |rows: &[u32]| shows(&log.only(rows), ww_deps, kind);
    if rows.len() > PROVED_MAX || !shown(rows) {
        return false;
    }
    // To leave one out may make another dispensable that was not before: once more, until nothing changes.
    loop {
        let before = rows.len();
        let mut at = 0;
        while at < rows.len() {
            let mut fewer = rows.clone();
            fewer.remove(at);
            if shown(&fewer) {
                *rows = fewer;
            } else {
                at += 1;
            }
        }
        if rows.len() == before {
            return true;
        }
    }
}

/// The operations and words of one case.
struct Told<'a> {
    facts: &'a Facts<'a>,
    rows: Vec<u32>,
    /// Messages that it is about.
    matters: Vec<u32>,
    words: Vec<String>,
}

impl Told<'_> {
    fn case(&mut self, case: &Case) {
        match case {
            Case::Inconsistent { position } => self.inconsistent(*position),
            Case::Garbage { message, reader } => {
                let (name, process) = (self.message(*message), self.process(*reader));
                self.rows.push(*reader);
                self.words.push(format!("{process} polled {name}, which nobody sent."));
            }
            Case::Aborted { message, writer, reader } => {
                let (name, process) = (self.message(*message), self.process(*reader));
                self.rows.extend([*writer, *reader]);
                self.words.push(format!("Sending {name} failed, so it certainly did not happen."));
                self.words.push(format!("{process} polled it."));
            }
            Case::Lost { message, writer, bound, reader } => {
                self.lost((*message, *writer), (*bound, *reader));
            }
            Case::Duplicate { message, positions } => {
                let name = self.message(*message);
                let offsets = positions.iter().map(|p| self.facts.orders.offset(*p).to_string());
                let offsets = offsets.collect::<Vec<_>>().join(" and ");
                self.words.push(format!("{name} was sent once, but is at offsets {offsets}."));
                self.senders(*message);
                positions.iter().take(2).for_each(|position| self.stands(*message, *position));
            }
            Case::Precommitted { message, op } => {
                let (name, process) = (self.message(*message), self.process(*op));
                self.rows.push(*op);
                let words = format!(
                    "{process} sent {name}, and polled it in the same transaction, before that was committed."
                );
                self.words.push(words);
            }
            Case::Move { messages, positions, ops } => self.moved(*messages, *positions, *ops),
            Case::Cycle { steps, .. } => {
                for step in steps {
                    self.step(step.from, step.to, &why(self.facts, step));
                }
                self.words.push("So each of these transactions precedes itself.".into());
            }
            Case::CycleExists { ops } => {
                self.rows.extend(ops.iter().take(PROVED_MAX + 1));
                let all = count(ops.len(), "transaction");
                self.words.push(format!("Each of {all} must precede each of the others."));
            }
            Case::Unseen { messages, .. } => {
                let Some(first) = messages.first() else { return };
                let name = self.message(*first);
                self.senders(*first);
                self.words.push(format!("Sending {name} succeeded."));
                self.words.push("No operation that succeeded ever polled it.".into());
            }
        }
    }

    /// Names a message, which thereby matters.
    fn message(&mut self, message: u32) -> String {
        self.matters.push(message);
        tell::message(self.facts.log, message)
    }

    fn process(&self, row: u32) -> String {
        format!("Process {}", self.facts.log.ops[row as usize].span.process)
    }

    fn senders(&mut self, message: u32) {
        if let Writer::One(row) = self.facts.writer(message) {
            self.rows.push(row);
        }
    }

    /// An operation that says that the message stands there; if its sender crashed, one that shows that it was committed.
    fn stands(&mut self, message: u32, position: u32) {
        let entries = self.facts.orders.at(position);
        if let Some(entry) = entries.iter().find(|entry| entry.message == message) {
            self.rows.push(entry.said_by);
            self.committed(entry.said_by);
        }
    }

    fn committed(&mut self, row: u32) {
        let log = self.facts.log;
        let op = &log.ops[row as usize];
        if op.outcome != Outcome::Info {
            return;
        }
        let by = Writer::One(row);
        let saw = log.ops.iter().position(|reader| {
            let mut polls = log.polls_of(reader).iter();
            reader.outcome == Outcome::Ok && polls.any(|item| self.facts.writer(item.message) == by)
        });
        self.rows.extend(saw.map(|reader| reader as u32));
    }

    fn inconsistent(&mut self, position: u32) {
        let offset = self.facts.orders.offset(position);
        let entries: Vec<_> = self.facts.orders.at(position).iter().take(2).copied().collect();
        for entry in entries {
            let (name, process) = (self.message(entry.message), self.process(entry.said_by));
            let op = &self.facts.log.ops[entry.said_by as usize];
            let polled = self.facts.log.polls_of(op).iter().any(|i| i.message == entry.message);
            let verb = if polled { "polled" } else { "sent" };
            self.words.push(format!("{process} {verb} {name} at offset {offset}."));
            self.stands(entry.message, position);
        }
        self.words.push("An offset holds one message.".into());
    }

    fn lost(&mut self, (message, writer): (u32, u32), (bound, reader): (u32, u32)) {
        let orders = &self.facts.orders;
        let Some((_, last)) = orders.span(message) else { return };
        let (name, process) = (self.message(message), self.process(reader));
        let how = match self.facts.log.ops[writer as usize].outcome {
            Outcome::Ok => "succeeded".to_string(),
            _ => "was committed, for a message of the same transaction was polled".to_string(),
        };
        let (here, there) = (orders.offset(last), orders.offset(bound));
        self.words.push(format!("Sending {name} {how}; it is at offset {here}."));
        self.words.push(format!("{process} polled the key at offset {there}."));
        self.words.push("Nobody polled the message before it.".into());
        self.rows.extend([writer, reader]);
        self.committed(writer);
        self.stands(message, last);
        if let Some(entry) = self.facts.orders.at(bound).first() {
            self.matters.push(entry.message);
            self.stands(entry.message, bound);
        }
    }

    fn moved(&mut self, (from, to): (u32, u32), (a, b): (u32, u32), (first, second): (u32, u32)) {
        let orders = &self.facts.orders;
        let process = self.process(second);
        let (here, there) = (orders.offset(a), orders.offset(b));
        let (from_name, to_name) = (self.message(from), self.message(to));
        let between = if first == second { "In one transaction, " } else { "" };
        self.words.push(format!(
            "{between}{process} went from {from_name} (offset {here}) to {to_name} (offset {there})."
        ));
        self.rows.extend([first, second]);
        self.stands(from, a);
        self.stands(to, b);
        if a + 1 < b {
            let entry = self.facts.orders.at(a + 1)[0];
            let offset = self.facts.orders.offset(a + 1);
            let name = self.message(entry.message);
            self.words.push(format!("Between them is {name} (offset {offset})."));
            self.stands(entry.message, a + 1);
        }
    }

    fn step(&mut self, from: u32, to: u32, why: &Why) {
        self.rows.extend([from, to]);
        let (a, b) = (self.begun(from), self.begun(to));
        let words = match *why {
            Why::Realtime => format!("{a} completed before {b} began."),
            Why::Polled(message) => {
                let name = self.message(message);
                format!("{a} sent {name}, which {b} polled.")
            }
            Why::Follows(before, after) => {
                for message in [before, after] {
                    if let Some((position, _)) = self.facts.orders.span(message) {
                        self.stands(message, position);
                    }
                }
                let (before, after) = (self.message(before), self.message(after));
                format!("{a} sent {before}, which stands before {after}, which {b} sent.")
            }
        };
        self.words.push(words);
    }

    fn begun(&self, row: u32) -> String {
        let span = self.facts.log.ops[row as usize].span;
        let end = if span.ret == NEVER { ", of unknown outcome" } else { "" };
        format!("Process {}'s operation of event {}{end}", span.process, span.call)
    }
}
