//! What went into a queue and what came out, value by value: `enqueue`, `dequeue`, `drain`.
//!
//! A dequeue that found nothing returns null. A drain dequeues until nothing is left and returns the list of what it got. Every
//! value that came out is matched with an enqueue of it that did not fail and had begun before it was out, the earliest
//! first; what cannot be matched is *unexpected* (nobody had begun to enqueue it), an *aborted read* (all who had, failed) or a
//! *duplicate* (it came out more often than it can have gone in).

use keelhaul_history::{RawValue, Value};
use serde_json::Map;

use crate::in_flight::Span;
use crate::interner::Interner;
use crate::objects::Misfit;
use crate::verdict::Evidence;
use crate::words::count;

use super::calls::End;
use super::tell::{self, LISTED_MAX};

/// What a queue has.
pub const KNOWN: &str = "a queue has enqueue, dequeue and drain";

/// What is known of an enqueue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It certainly happened.
    Acked,
    /// It certainly did not.
    Failed,
    /// Nobody knows.
    Unknown,
}

/// An enqueue.
#[derive(Clone, Copy, Debug)]
pub struct Put {
    /// When.
    pub span: Span,
    /// Number of the value.
    pub value: u32,
    /// How it ended.
    pub fate: Fate,
}

/// A value that came out.
#[derive(Clone, Copy, Debug)]
pub struct Take {
    /// Number of the value.
    pub value: u32,
    /// Number of the operation that returned it.
    pub by: u32,
}

/// An operation that returned values.
#[derive(Clone, Copy, Debug)]
pub struct Taker {
    /// When.
    pub span: Span,
    /// How many it returned, if it was a drain.
    pub drained: Option<u32>,
}

/// An operation in flight.
#[derive(Clone, Copy, Debug)]
pub enum Call {
    /// Number of the enqueue.
    Enqueue(u32),
    /// Takes one.
    Dequeue,
    /// Takes all.
    Drain,
}

/// Everything that went in and came out.
#[derive(Debug, Default)]
pub struct Flow {
    interner: Interner,
    /// What the values are.
    pub values: Vec<Value>,
    /// In order of invocation.
    pub puts: Vec<Put>,
    /// In order of completion.
    pub takes: Vec<Take>,
    /// In order of completion.
    pub takers: Vec<Taker>,
    /// Operations that found the queue empty, in order of completion.
    pub empties: Vec<Taker>,
    /// Dequeues of unknown outcome.
    pub crashed_dequeues: Vec<Span>,
    /// Drains of unknown outcome.
    pub crashed_drains: Vec<Span>,
}

impl Flow {
    /// An operation begins.
    ///
    /// # Errors
    /// If a queue has none of that name.
    pub fn invoke(&mut self, span: &Span, f: &str, value: RawValue<'_>) -> Result<Call, Misfit> {
        match f {
            "enqueue" => {
                let value = self.interner.intern_raw(value, &mut self.values);
                self.puts.push(Put { span: *span, value, fate: Fate::Unknown });
                Ok(Call::Enqueue(self.puts.len() as u32 - 1))
            }
            "dequeue" => Ok(Call::Dequeue),
            "drain" => Ok(Call::Drain),
            _ => Err(Misfit::Function),
        }
    }

    /// It ends.
    ///
    /// # Errors
    /// If a drain returned no list.
    pub fn complete(&mut self, call: Call, span: &Span, end: End<'_>) -> Result<(), Misfit> {
        match (call, end) {
            (Call::Enqueue(at), end) => {
                let put = &mut self.puts[at as usize];
                (put.span, put.fate) = match end {
                    End::Ok(_) => (*span, Fate::Acked),
                    End::Fail => (*span, Fate::Failed),
                    End::Info => (put.span, Fate::Unknown),
                };
            }
            (_, End::Fail) => {}
            (Call::Dequeue, End::Info) => self.crashed_dequeues.push(*span),
            (Call::Drain, End::Info) => self.crashed_drains.push(*span),
            (Call::Dequeue, End::Ok(value)) if value.is_null() => {
                self.empties.push(Taker { span: *span, drained: None });
            }
            (Call::Dequeue, End::Ok(value)) => {
                self.takers.push(Taker { span: *span, drained: None });
                self.take(value);
            }
            (Call::Drain, End::Ok(values)) => {
                let values =
                    values.items().ok_or(Misfit::Value("the list of what was dequeued"))?;
                self.takers.push(Taker { span: *span, drained: None });
                let before = self.takes.len();
                values.for_each(|value| self.take(value));
                let drained = Some((self.takes.len() - before) as u32);
                if let Some(taker) = self.takers.last_mut() {
                    taker.drained = drained;
                }
                self.empties.push(Taker { span: *span, drained });
            }
        }
        Ok(())
    }

    fn take(&mut self, value: RawValue<'_>) {
        let value = self.interner.intern_raw(value, &mut self.values);
        self.takes.push(Take { value, by: self.takers.len() as u32 - 1 });
    }

    /// When a value came out.
    pub fn span(&self, take: Take) -> Span {
        self.takers[take.by as usize].span
    }
}

/// What cannot be matched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nobody had begun to enqueue it.
    Unexpected,
    /// All who had begun to enqueue it failed.
    Aborted,
    /// It came out more often than it can have gone in.
    Duplicate,
}

/// Values that came out, by where they came from.
#[derive(Debug, Default)]
pub struct Matched {
    /// Those with an enqueue.
    pub ok: usize,
    /// Those whose only enqueues left to match were never acknowledged.
    pub recovered: usize,
    /// Numbers of takes without an enqueue, by what is wrong.
    pub unexpected: Vec<u32>,
    /// As above.
    pub aborted: Vec<u32>,
    /// As above.
    pub duplicated: Vec<u32>,
    /// Acknowledged enqueues of values that came out less often than that, in order of completion; of each value those that
    /// were acknowledged last.
    pub missing: Vec<u32>,
}

impl Matched {
    /// Matches every value that came out.
    pub fn new(flow: &Flow) -> Self {
        let mut matched = Self::default();
        let puts = Groups::new(flow.values.len(), flow.puts.iter().map(|put| put.value));
        let takes = Groups::new(flow.values.len(), flow.takes.iter().map(|take| take.value));
        for value in 0..flow.values.len() {
            matched.value(flow, puts.of(value), takes.of(value));
        }
        for list in [&mut matched.unexpected, &mut matched.aborted, &mut matched.duplicated] {
            list.sort_unstable();
        }
        matched.missing.sort_unstable_by_key(|at| flow.puts[*at as usize].span.ret);
        matched
    }

    fn value(&mut self, flow: &Flow, puts: &[u32], takes: &[u32]) {
        let put = |at: &u32| flow.puts[*at as usize];
        let mut sources = puts.iter().filter(|at| put(at).fate != Fate::Failed).peekable();
        let mut used = 0;
        for at in takes {
            let out = flow.span(flow.takes[*at as usize]).ret;
            if sources.next_if(|at| put(at).span.call < out).is_some() {
                used += 1;
            } else if used > 0 {
                self.duplicated.push(*at);
            } else if puts.iter().any(|at| put(at).fate == Fate::Failed && put(at).span.call < out)
            {
                self.aborted.push(*at);
            } else {
                self.unexpected.push(*at);
            }
        }
        self.ok += used;
        let mut acked: Vec<u32> =
            puts.iter().filter(|at| put(at).fate == Fate::Acked).copied().collect();
        self.recovered += used.saturating_sub(acked.len());
        if acked.len() > takes.len() {
            // What came out is taken for what was acknowledged first, so that of what is left as little as can be had been
            // there when the queue was empty.
            acked.sort_unstable_by_key(|at| put(at).span.ret);
            self.missing.extend(&acked[takes.len()..]);
        }
    }

    /// What cannot be matched, by what is wrong.
    pub fn faults(&self) -> [(Fault, &[u32]); 3] {
        [
            (Fault::Unexpected, &self.unexpected),
            (Fault::Aborted, &self.aborted),
            (Fault::Duplicate, &self.duplicated),
        ]
    }

    /// Counts and lists of what was found.
    pub fn details(&self, flow: &Flow) -> Map<String, serde_json::Value> {
        let mut details = Map::new();
        let acked = flow.puts.iter().filter(|put| put.fate == Fate::Acked).count();
        for (name, n) in [
            ("attempt-count", flow.puts.len()),
            ("acknowledged-count", acked),
            ("dequeue-count", flow.takes.len()),
            ("ok-count", self.ok),
            ("recovered-count", self.recovered),
        ] {
            details.insert(name.into(), n.into());
        }
        for (fault, takes) in self.faults() {
            let name = fault.detail();
            details.insert(format!("{name}-count"), takes.len().into());
            if !takes.is_empty() {
                let value = |at: &u32| &flow.values[flow.takes[*at as usize].value as usize];
                details.insert(name.into(), tell::listed(takes.iter().map(value), LISTED_MAX));
            }
        }
        details
    }
}

impl Fault {
    /// The anomaly's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unexpected => "unexpected",
            Self::Aborted => "aborted-read",
            Self::Duplicate => "duplicate",
        }
    }

    const fn detail(self) -> &'static str {
        match self {
            Self::Unexpected => "unexpected",
            Self::Aborted => "aborted",
            Self::Duplicate => "duplicated",
        }
    }

    /// That `n` values have it.
    pub fn tell(self, n: usize) -> String {
        match self {
            Self::Unexpected => format!("{n} dequeued that nobody had enqueued"),
            Self::Aborted => format!("{n} dequeued although every enqueue of it had failed"),
            Self::Duplicate => format!("{n} dequeued more often than enqueued"),
        }
    }

    /// The operations that show it.
    pub fn evidence(self, flow: &Flow, at: u32) -> Evidence {
        let take = flow.takes[at as usize];
        let (out, name) = (flow.span(take), &flow.values[take.value as usize]);
        let mut ops = vec![out.shown(label(flow, take))];
        let mut words = vec![format!("Process {} got {name}.", out.process)];
        let same = || flow.puts.iter().filter(|put| put.value == take.value);
        match self {
            Self::Unexpected => {
                words.push(match same().find(|put| put.fate != Fate::Failed) {
                    Some(put) => format!(
                        "Nobody had begun to enqueue it: process {}'s enqueue began later, at event {}.",
                        put.span.process, put.span.call
                    ),
                    None => "Nobody ever began to enqueue it.".into(),
                });
            }
            Self::Aborted => {
                let failed = same().find(|put| put.span.call < out.ret);
                ops.extend(failed.map(|put| put.span.shown(format!("enqueue {name}, failed"))));
                words.push(
                    "Every enqueue of it failed, which says that it did not happen; one is shown."
                        .into(),
                );
            }
            Self::Duplicate => {
                let puts = same().filter(|put| put.fate != Fate::Failed && put.span.call < out.ret);
                let puts: Vec<_> =
                    puts.map(|put| put.span.shown(format!("enqueue {name}"))).collect();
                let others =
                    flow.takes[..at as usize].iter().filter(|other| other.value == take.value);
                let others: Vec<_> =
                    others.map(|other| flow.span(*other).shown(label(flow, *other))).collect();
                words.push(format!(
                    "It had come out {} before, and {} of it had begun: it was there at most so often.",
                    if others.len() == 1 { "once".into() } else { format!("{} times", others.len()) },
                    count(puts.len(), "enqueue"),
                ));
                ops.extend(
                    others.into_iter().take(SHOWN_MAX).chain(puts.into_iter().take(SHOWN_MAX)),
                );
            }
        }
        tell::evidence(ops, vec![out.call], self == Self::Unexpected, words)
    }
}

/// Operations of a kind that evidence shows, at most.
pub const SHOWN_MAX: usize = 12;

/// What an operation that returned the value is called.
pub fn label(flow: &Flow, take: Take) -> String {
    let name = &flow.values[take.value as usize];
    match flow.takers[take.by as usize].drained {
        None => format!("dequeue -> {name}"),
        Some(n) => format!("drain -> {}, with {name}", count(n as usize, "value")),
    }
}

/// Rows by value, in their order.
struct Groups {
    starts: Vec<u32>,
    rows: Vec<u32>,
}

impl Groups {
    fn new(values: usize, of_rows: impl ExactSizeIterator<Item = u32> + Clone) -> Self {
        let mut starts = vec![0; values + 1];
        for value in of_rows.clone() {
            starts[value as usize + 1] += 1;
        }
        for value in 0..values {
            starts[value + 1] += starts[value];
        }
        let mut next = starts.clone();
        let mut rows = vec![0; of_rows.len()];
        for (row, value) in of_rows.enumerate() {
            let place = &mut next[value as usize];
            rows[*place as usize] = row as u32;
            *place += 1;
        }
        Self { starts, rows }
    }

    fn of(&self, value: usize) -> &[u32] {
        &self.rows[self.starts[value] as usize..self.starts[value + 1] as usize]
    }
}
