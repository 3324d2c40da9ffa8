//! Making a history of what is none.
//!
//! Every rule here must keep a right history right: it may claim less than the file does, never more. A process that
//! does two things at once is taken for several, each with a *lane* of its own; lanes claim no order between each
//! other beyond that of the file. See [`super::Options::repair`].

use std::collections::BTreeMap;
use std::io::Read;

use super::importer::{CAS_MISMATCH, CRASH, Importer};
use super::notes::{Note, Notes};
use super::pairs::Who;
use super::record::Field;
use crate::error::{Problem, ReadError};
use crate::{F, Kind, NodeId, Op, Process, Value};

/// Broken pieces of text after which a file is given up: what has this many is no history.
const GARBLED_MAX: u64 = 1000;

/// A completion is compared with so many open invocations of its process at most; of more, it could be anybody's.
const OPEN_COMPARED_MAX: usize = 1000;

/// An op as the file says it.
struct Event {
    line: u64,
    time_ns: Option<i64>,
    kind: Kind,
    /// Absent where the file does not say.
    who: Option<Who>,
    f: Option<Box<str>>,
    key: Option<Value>,
    value: Value,
    error: Option<Box<str>>,
    node: Option<NodeId>,
}

/// A history that was made of what is none.
pub(super) struct Mended {
    pub ops: Vec<Op>,
    /// For each op, the line of the file that it comes from.
    pub lines: Vec<u64>,
    pub notes: Vec<String>,
}

/// Reads what is left of a file and makes a history of it.
pub(super) fn repair<R: Read>(mut importer: Importer<R>) -> Result<Mended, ReadError> {
    let mut repair = Repair::default();
    let (mut given_index, mut garbled) = (None, 0);
    loop {
        match importer.read_record() {
            Ok(true) => {}
            Ok(false) => break,
            Err(error @ ReadError::Io { .. }) => return Err(error),
            Err(error @ ReadError::Malformed { line, .. }) => {
                garbled += 1;
                let text_ends =
                    matches!(&error, ReadError::Malformed { problem: Problem::NotUtf8 { .. }, .. });
                if garbled > GARBLED_MAX {
                    return Err(error);
                }
                if text_ends || !importer.skip_line()? {
                    importer.notes.add(Note::CutTail, line);
                    break;
                }
                importer.notes.add(Note::Garbled, line);
                continue;
            }
        }
        if importer.record.range(Field::Seal).is_some() {
            continue;
        }
        let line = importer.line;
        if let Ok(Some(index)) = importer.record.number(Field::Index, "index") {
            if index >= 0 && given_index.is_some_and(|previous| index <= previous) {
                importer.notes.add(Note::IndexIgnored, line);
            }
            given_index = Some(index);
        }
        match event(&mut importer) {
            Some(event) => repair.take(event, &mut importer.notes),
            None => importer.notes.add(Note::Unusable, line),
        }
    }
    let (ops, lines) = repair.finish();
    Ok(Mended { ops, lines, notes: importer.notes() })
}

/// What the record says; nothing if it is of no use.
fn event<R: Read>(importer: &mut Importer<R>) -> Option<Event> {
    let kind = importer.record.kind().ok()?;
    let who = importer.record.process().ok()?;
    if importer.independent && who != Some(Who::Nemesis) {
        let completed_without =
            kind != Kind::Invoke && importer.record.range(Field::Value).is_none();
        if !completed_without && !importer.record.lift_key() {
            return None;
        }
    }
    let f = importer.record.function().ok()?;
    if f.is_some() && kind == Kind::Invoke && !importer.record.says_function() {
        importer.notes.add(Note::TxnInferred, importer.line);
    }
    let mismatch = kind == Kind::Fail && f.as_ref().is_some_and(|f| importer.is_mismatch(f));
    let record = &importer.record;
    Some(Event {
        line: importer.line,
        time_ns: record.number(Field::Time, "time").ok().flatten().filter(|time| *time >= 0),
        kind,
        who,
        f: f.map(|range| record.json[range].into()),
        key: record.range(Field::Key).map(|range| crate::RawValue(&record.json[range]).to_value()),
        value: record.value().to_value(),
        error: if mismatch {
            Some(CAS_MISMATCH.into())
        } else {
            record.error().as_deref().map(Into::into)
        },
        node: record.node(),
    })
}

/// A process as we tell it: one thing at a time.
struct Lane {
    process: Process,
    /// Position in the output: of its invocation if it has one open, else the first at which it was idle.
    at: usize,
}

/// What the file calls one process.
#[derive(Default)]
struct Actor {
    idle: Vec<Lane>,
    /// In order of invocation.
    open: Vec<Lane>,
    /// The latest completion that had an invocation, to tell what only repeats it.
    latest: Option<(Option<i64>, Kind, F, Value)>,
    /// Whether its own number is used.
    named: bool,
}

/// An op of the output, with its line.
type Placed = (Op, u64);

#[derive(Default)]
struct Repair {
    out: Vec<Placed>,
    /// Invocations that were missing, with the position they go before.
    added: Vec<(usize, Placed)>,
    actors: BTreeMap<Option<Who>, Actor>,
    client_max: Option<u32>,
    /// New processes, numbered above all others in the end.
    fresh: u32,
    time_ns: u64,
    /// The latest time that the file itself gave: ops without one move `time_ns` beyond it.
    given_ns: u64,
}

impl Repair {
    fn take(&mut self, event: Event, notes: &mut Notes) {
        if let Some(Who::Client(id)) = event.who {
            self.client_max = self.client_max.max(Some(id));
        }
        match event.who {
            Some(Who::Nemesis) => self.nemesis(event, notes),
            _ if event.kind == Kind::Invoke => self.invoke(event, notes),
            _ => self.complete(event, notes),
        }
    }

    /// The nemesis says info at the beginning and at the end; what does not fit is left out.
    fn nemesis(&mut self, mut event: Event, notes: &mut Notes) {
        let open = self.actor(event.who).open.first().map(|lane| lane.at);
        let opened = open.map(|at| self.out[at].0.f.clone());
        let Some(f) = event.f.as_deref().map(F::from) else {
            return notes.add(Note::NemesisOdd, event.line);
        };
        if event.kind == Kind::Info && opened.is_none() {
            event.kind = Kind::Invoke;
        }
        match (event.kind, opened) {
            (Kind::Invoke, None) => self.invoke(event, notes),
            (Kind::Ok | Kind::Fail | Kind::Info, Some(opened)) if opened == f => {
                self.complete(event, notes);
            }
            _ => notes.add(Note::NemesisOdd, event.line),
        }
    }

    fn invoke(&mut self, event: Event, notes: &mut Notes) {
        if event.f.is_none() {
            return notes.add(Note::Unusable, event.line);
        }
        let who = event.who;
        if who.is_none() {
            notes.add(Note::Anonymous, event.line);
        }
        if who.is_some() && !self.actor(who).open.is_empty() {
            notes.add(Note::Overlap, event.line);
        }
        let process = self.idle_lane(who).process;
        let at = self.out.len();
        self.actor(who).open.push(Lane { process, at });
        self.push(event, process, None, notes);
    }

    fn complete(&mut self, mut event: Event, notes: &mut Notes) {
        let who = event.who;
        let open = self.actors.get(&who).map_or(&[][..], |actor| &actor.open);
        if open.len() > OPEN_COMPARED_MAX {
            return notes.add(Note::Ambiguous, event.line);
        }
        if event.kind == Kind::Info && event.f.as_deref() == Some(CRASH) && !open.is_empty() {
            event.f = None;
        }
        // One process doing one thing leaves no choice, so its value need not tell.
        let choice = open.len() > 1 || who.is_none();
        let fits = |lane: &Lane| {
            let op = &self.out[lane.at].0;
            event.f.as_deref().is_none_or(|f| f == op.f.as_str())
                && (!choice || completes(&op.value, &event.value))
        };
        let candidates: Vec<usize> = (0..open.len()).filter(|at| fits(&open[*at])).collect();
        match candidates[..] {
            [lane] => {
                let lane = self.actor(who).open.remove(lane);
                let invoked = self.out[lane.at].0.clone();
                let f = event.f.as_deref().map_or_else(|| invoked.f.clone(), F::from);
                let latest = (event.time_ns, event.kind, f, event.value.clone());
                self.actor(who).latest = Some(latest);
                self.end(lane.process, event, Some(&invoked), notes);
            }
            [] => self.orphan(event, notes),
            _ => notes.add(Note::Ambiguous, event.line),
        }
    }

    /// Ends what a lane did.
    fn end(&mut self, process: Process, event: Event, invoked: Option<&Op>, notes: &mut Notes) {
        let (at, who) = (self.out.len() + 1, event.who);
        // Nobody knows when an info ends, and a process of its own claims no order with what follows.
        let retired = event.kind == Kind::Info && who != Some(Who::Nemesis);
        if !retired && who.is_some() {
            self.actor(who).idle.push(Lane { process, at });
        }
        self.push(event, process, invoked, notes);
    }

    /// A completion that nothing began.
    fn orphan(&mut self, event: Event, notes: &mut Notes) {
        let who = event.who;
        let Some(f) = event.f.as_deref().map(F::from) else {
            return notes.add(Note::Unusable, event.line);
        };
        let repeated = (event.time_ns, event.kind, f.clone(), event.value.clone());
        let latest = self.actors.get(&who).and_then(|actor| actor.latest.as_ref());
        if who.is_some() && latest == Some(&repeated) {
            return notes.add(Note::Duplicate, event.line);
        }
        if event.kind == Kind::Info && f.as_str() == CRASH {
            return notes.add(Note::IdleCrash, event.line);
        }
        notes.add(Note::InvocationAdded, event.line);
        let Lane { process, at: idle_from } = self.idle_lane(who);
        let value = if f == F::Read { Value::Null } else { event.value.clone() };
        let invocation = Op {
            index: 0,
            time_ns: 0,
            process,
            kind: Kind::Invoke,
            f,
            key: event.key.clone(),
            value,
            node: event.node,
            error: None,
        };
        self.added.push((idle_from, (invocation, event.line)));
        self.actor(who).latest = None;
        self.end(process, event, None, notes);
    }

    fn push(&mut self, event: Event, process: Process, invoked: Option<&Op>, notes: &mut Notes) {
        match event.time_ns.map(i64::cast_unsigned) {
            Some(given) => {
                if given < self.given_ns {
                    notes.add(Note::TimeRaised, event.line);
                }
                self.given_ns = self.given_ns.max(given);
                self.time_ns = self.time_ns.max(given);
            }
            None => self.time_ns += u64::from(!self.out.is_empty()),
        }
        let f = event.f.as_deref().map(F::from).or_else(|| invoked.map(|op| op.f.clone()));
        let op = Op {
            index: 0,
            time_ns: self.time_ns,
            process,
            kind: event.kind,
            f: f.unwrap_or(F::Other("".into())),
            key: event.key.or_else(|| invoked?.key.clone()),
            value: event.value,
            node: event.node,
            error: event.error,
        };
        self.out.push((op, event.line));
    }

    fn actor(&mut self, who: Option<Who>) -> &mut Actor {
        self.actors.entry(who).or_default()
    }

    /// A lane that does nothing, taken out: an idle one, or a new one.
    fn idle_lane(&mut self, who: Option<Who>) -> Lane {
        let fresh = Process::Client(Who::CLIENT_MAX + 1 + self.fresh);
        let actor = self.actor(who);
        if let Some(lane) = actor.idle.pop() {
            return lane;
        }
        let own = who.filter(|_| !actor.named).map(Who::process);
        actor.named = true;
        self.fresh += u32::from(own.is_none());
        Lane { process: own.unwrap_or(fresh), at: 0 }
    }

    /// The ops with their lines, numbered.
    fn finish(mut self) -> (Vec<Op>, Vec<u64>) {
        self.added.sort_by_key(|(before, _)| *before);
        let mut added = self.added.into_iter().peekable();
        let first_fresh = self.client_max.map_or(0, |max| max + 1);
        let (mut ops, mut lines) = (Vec::new(), Vec::new());
        let mut put = |(mut op, line): Placed| {
            op.index = ops.len() as u64;
            if let Process::Client(id) = op.process
                && id > Who::CLIENT_MAX
            {
                op.process = Process::Client(first_fresh + (id - Who::CLIENT_MAX - 1));
            }
            ops.push(op);
            lines.push(line);
        };
        let mut time_ns = 0;
        for (at, placed) in self.out.into_iter().enumerate() {
            while let Some((_, mut invocation)) = added.next_if(|(before, _)| *before <= at) {
                invocation.0.time_ns = time_ns;
                put(invocation);
            }
            time_ns = placed.0.time_ns;
            put(placed);
        }
        (ops, lines)
    }
}

/// Whether a completion's value can be that of an invocation: equal, but for what the invocation left open.
fn completes(invoked: &Value, completed: &Value) -> bool {
    match (invoked, completed) {
        (Value::Null, _) | (_, Value::Null) => true,
        (Value::List(a), Value::List(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| completes(a, b))
        }
        (a, b) => a == b,
    }
}
