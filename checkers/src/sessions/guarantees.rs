//! Read your writes, monotonic reads, monotonic writes, and writes follow reads, each by one walk.

use rayon::prelude::*;

use super::order::{INIT, NONE, Sessions, is_op};
use super::violation::{Known, Link, Step, Violation, happened};
use crate::budget::{Budget, Exhausted, Sparing};
use crate::causal::clocks::{Clocks, NoClocks};
use crate::causal::writes::Writes;
use crate::causal::{cyclic, not_written};

type Answer = Result<Option<Violation>, Exhausted>;

/// The violation whose read returned first.
fn first(known: Known<'_>, found: impl Iterator<Item = Violation>) -> Option<Violation> {
    found.min_by_key(|violation| match violation {
        Violation::Stale { read, .. } => known.sessions.row(*read).ret,
        _ => 0,
    })
}

/// Whether it finds a value that is known to be from somewhere.
fn finds(known: Known<'_>, op: u32) -> bool {
    let source = known.sources[op as usize];
    source == INIT || is_op(source)
}

/// Looks at every session, a key at a time: `look` gets the key's operations of the session in order, and how many of
/// them belong to the session that it goes on.
fn by_key(
    known: Known<'_>,
    budget: &dyn Budget,
    look: impl Fn(&[u32], usize) -> Option<Violation> + Sync,
) -> Answer {
    if let Some(violation) = not_written(known) {
        return Ok(Some(violation));
    }
    let sessions = known.sessions;
    let sparing = Sparing::new(budget);
    let of_key = |key: u32| {
        let ops = sessions.of_key(key);
        sparing.step(ops.len(), 0)?;
        let runs = ops.chunk_by(|a, b| sessions.chain(*a) == sessions.chain(*b));
        let found = runs.filter_map(|run| {
            let parent = sessions.chains()[sessions.chain(run[0]) as usize].parent;
            if parent == NONE {
                return look(run, 0);
            }
            let of_parent = |op: &&u32| sessions.chain(**op) == sessions.chain(parent);
            let mut whole: Vec<u32> =
                ops.iter().filter(of_parent).take_while(|op| **op <= parent).copied().collect();
            let before = whole.len();
            whole.extend_from_slice(run);
            look(&whole, before)
        });
        Ok(first(known, found))
    };
    let keys = 0..sessions.registers().keys.len() as u32;
    let found: Vec<Option<Violation>> =
        keys.into_par_iter().map(of_key).collect::<Result<_, _>>()?;
    Ok(first(known, found.into_iter().flatten()))
}

fn step(to: u32, link: Link) -> Step {
    Step { to, link }
}

/// A process does not read the initial value of a key that it has written, nor a value of its own that it has overwritten.
///
/// # Errors
/// If the budget ends.
pub fn refute_read_your_writes(known: Known<'_>, budget: &dyn Budget) -> Answer {
    let sessions = known.sessions;
    by_key(known, budget, |ops, before| {
        let mut last = NONE;
        for (at, op) in ops.iter().copied().enumerate() {
            let old = known.sources[op as usize];
            if at >= before && last != NONE && finds(known, op) {
                let replaced = is_op(old) && old != last && sessions.in_order(old, last);
                if old == INIT || replaced {
                    let link = |to| vec![step(to, Link::Session)];
                    let anomaly = "own-write-missed";
                    let (replaced, known) =
                        (if replaced { link(last) } else { Vec::new() }, link(op));
                    return Some(Violation::Stale {
                        anomaly,
                        old,
                        replaced,
                        new: last,
                        known,
                        read: op,
                    });
                }
            }
            if sessions.writes(op) {
                last = op;
            }
        }
        None
    })
}

/// What a session has read of a key.
#[derive(Default)]
struct Past {
    /// For each chain, by its number, the last of its writes that was read or came before one that was, and the read.
    seen: Vec<(u32, u32, u32)>,
    /// The last read.
    last: Option<u32>,
}

impl Past {
    /// The read before `read` that says that what `read` found was replaced, and why it was.
    fn replaced(&self, known: Known<'_>, read: u32) -> Option<(u32, Vec<Step>)> {
        let sessions = known.sessions;
        let (last, source) = (self.last?, known.sources[read as usize]);
        let newest = known.sources[last as usize];
        if source == newest {
            return None;
        }
        if source == INIT {
            return Some((last, Vec::new()));
        }
        let chain = sessions.chain(source);
        let (_, write, reader) = *self.seen.iter().find(|(other, ..)| *other == chain)?;
        let found = known.found(reader);
        if sessions.in_order(source, found) {
            Some((reader, vec![step(found, Link::Session)]))
        } else if source == write {
            let seen = vec![step(reader, Link::Found), step(last, Link::Session)];
            Some((last, vec![step(newest, Link::Replaced { reader: last, seen })]))
        } else {
            None
        }
    }

    fn add(&mut self, known: Known<'_>, read: u32) {
        let sessions = known.sessions;
        let source = known.found(read);
        let again = self.last.is_some_and(|last| known.found(last) == source);
        self.last = Some(read);
        if source == NONE || again {
            return;
        }
        let parent = sessions.chains()[sessions.chain(source) as usize].parent;
        for write in [source, parent] {
            if write == NONE {
                continue;
            }
            let chain = sessions.chain(write);
            match self.seen.iter_mut().find(|(other, ..)| *other == chain) {
                Some(entry) if entry.1 < write => *entry = (chain, write, read),
                Some(_) => {}
                None => self.seen.push((chain, write, read)),
            }
        }
    }
}

/// What a process reads of a key never goes back: not to the initial value, not to one that it has read before another one, and
/// not to one that its writer had overwritten before it wrote one that was read.
///
/// # Errors
/// If the budget ends.
pub fn refute_monotonic_reads(known: Known<'_>, budget: &dyn Budget) -> Answer {
    by_key(known, budget, |ops, before| {
        let mut past = Past::default();
        for (at, op) in ops.iter().copied().enumerate().filter(|(_, op)| finds(known, *op)) {
            if at >= before
                && let Some((reader, replaced)) = past.replaced(known, op)
            {
                return Some(Violation::Stale {
                    anomaly: "read-went-back",
                    old: known.sources[op as usize],
                    replaced,
                    new: known.found(reader),
                    known: vec![step(reader, Link::Found), step(op, Link::Session)],
                    read: op,
                });
            }
            past.add(known, op);
        }
        None
    })
}

/// What a session knows of others because it has read one of their writes.
struct Pipes {
    /// For each chain how many of its operations come before a write that was read, and that write.
    counts: Vec<(u32, u32)>,
    touched: Vec<u32>,
}

impl Pipes {
    /// `source` was read: what its session did before it is known.
    fn add(&mut self, sessions: &Sessions<'_>, source: u32) {
        let pred = sessions.pred(source);
        if pred != NONE {
            let entry = &mut self.counts[sessions.chain(pred) as usize];
            if entry.0 == 0 {
                self.touched.push(sessions.chain(pred));
            }
            if entry.0 <= sessions.index(pred) {
                *entry = (sessions.index(pred) + 1, source);
            }
        }
    }

    fn clear(&mut self) {
        for chain in self.touched.drain(..) {
            self.counts[chain as usize] = (0, NONE);
        }
    }
}

/// A process that has read a write of another one does not later read a value that the other one had overwritten before
/// that write, nor the initial value of a key that it had written before.
///
/// # Errors
/// If the budget ends.
pub fn refute_monotonic_writes(known: Known<'_>, budget: &dyn Budget) -> Answer {
    if let Some(violation) = not_written(known) {
        return Ok(Some(violation));
    }
    let sessions = known.sessions;
    let writes = Writes::new(sessions);
    let next = next_writes(sessions, &writes);
    let width = sessions.chains().len();
    let new = || Pipes { counts: vec![(0, NONE); width], touched: Vec::new() };
    let chains = (0..width as u32).into_par_iter();
    let sparing = Sparing::new(budget);
    let examined = chains.map_init(new, |pipes, chain| {
        let own = sessions.chains()[chain as usize];
        sparing.step((own.end - own.start) as usize, 0)?;
        pipes.clear();
        Ok(overtaken(known, &writes, &next, pipes, chain))
    });
    let found: Vec<Option<Violation>> = examined.collect::<Result<_, _>>()?;
    Ok(first(known, found.into_iter().flatten()))
}

/// For each write the next one of its chain to its key.
fn next_writes(sessions: &Sessions<'_>, writes: &Writes) -> Vec<u32> {
    let mut next = vec![NONE; sessions.len() as usize];
    for number in 0..writes.len() {
        for pair in writes.ops(writes.group(number)).windows(2) {
            next[pair[0] as usize] = pair[1];
        }
    }
    next
}

/// The first read of a session that shows another one's writes out of order.
fn overtaken(
    known: Known<'_>,
    writes: &Writes,
    next: &[u32],
    pipes: &mut Pipes,
    chain: u32,
) -> Option<Violation> {
    let sessions = known.sessions;
    let process = sessions.chains()[chain as usize].process;
    for op in sessions.session(chain) {
        let source = known.sources[op as usize];
        if source == INIT && sessions.chain(op) == chain {
            let firsts = writes.of_key(sessions.key(op)).map(|number| writes.group(number));
            let mut firsts = firsts.map(|group| writes.ops(group)[0]);
            let early = |write: &u32| {
                sessions.index(*write) < pipes.counts[sessions.chain(*write) as usize].0
            };
            if let Some(new) = firsts.find(early) {
                return Some(tell_overtaken(known, INIT, new, pipes, op));
            }
        } else if is_op(source) {
            let new = next[source as usize];
            let passed =
                |new: u32| sessions.index(new) < pipes.counts[sessions.chain(new) as usize].0;
            if sessions.chain(op) == chain && new != NONE && passed(new) {
                return Some(tell_overtaken(known, source, new, pipes, op));
            }
            if sessions.process(source) != process {
                pipes.add(sessions, source);
            }
        }
    }
    None
}

fn tell_overtaken(known: Known<'_>, old: u32, new: u32, pipes: &Pipes, read: u32) -> Violation {
    let sessions = known.sessions;
    let (_, later) = pipes.counts[sessions.chain(new) as usize];
    let own = sessions.session(sessions.chain(read));
    let reader = own.into_iter().find(|op| known.found(*op) == later).expect("it was read");
    let replaced = if old == INIT { Vec::new() } else { vec![step(new, Link::Session)] };
    let links = [(later, Link::Session), (reader, Link::Found), (read, Link::Session)];
    let known = links.map(|(to, link)| step(to, link)).to_vec();
    Violation::Stale { anomaly: "write-overtaken", old, replaced, new, known, read }
}

/// A process that has read a write of another one does not later read a value that had been replaced, as far as happened before
/// tells, by one that the other one had read before that write, nor the initial value of its key.
///
/// # Errors
/// If the budget ends.
pub fn refute_writes_follow_reads(known: Known<'_>, budget: &dyn Budget) -> Answer {
    if let Some(violation) = not_written(known) {
        return Ok(Some(violation));
    }
    let causal = match Clocks::causal(known, budget) {
        Ok(clocks) => clocks,
        Err(NoClocks::Exhausted(why)) => return Err(why),
        Err(NoClocks::Cycle(op)) => return Ok(Some(cyclic(known, op))),
    };
    let direct = Clocks::direct(known, budget)?;
    let sparing = Sparing::new(budget);
    let sessions = known.sessions;
    let of_key = |key: u32| {
        let ops = sessions.of_key(key);
        let runs: Vec<&[u32]> =
            ops.chunk_by(|a, b| sessions.chain(*a) == sessions.chain(*b)).collect();
        let answers = Answers { known, causal: &causal, direct: &direct, runs: &runs };
        let missed = |run: &&[u32]| {
            sparing.step(run.len() + runs.len(), 0)?;
            Ok(answers.missed(run))
        };
        let found: Vec<Option<Violation>> = runs.iter().map(missed).collect::<Result<_, _>>()?;
        Ok(first(known, found.into_iter().flatten()))
    };
    let keys = 0..sessions.registers().keys.len() as u32;
    let found: Vec<Option<Violation>> =
        keys.into_par_iter().map(of_key).collect::<Result<_, _>>()?;
    Ok(first(known, found.into_iter().flatten()))
}

/// The operations of one key, by chain, and what is known of them.
struct Answers<'a> {
    known: Known<'a>,
    causal: &'a Clocks,
    direct: &'a Clocks,
    runs: &'a [&'a [u32]],
}

impl Answers<'_> {
    /// The first read of `own` that misses what the author of a write had read.
    fn missed(&self, own: &[u32]) -> Option<Violation> {
        let (known, sessions) = (self.known, self.known.sessions);
        let process = sessions.process(own[0]);
        let mut passed = vec![0; self.runs.len()];
        // For each chain the last of its writes that the authors had read, and by which read.
        let mut newest: Vec<(u32, u32)> = Vec::new();
        let mut row = None;
        for read in own.iter().copied().filter(|op| finds(known, *op)) {
            // The same row: nothing was read since.
            let again = row.replace(self.direct.row_id(read)) == Some(self.direct.row_id(read));
            for (run, passed) in self.runs.iter().zip(&mut passed) {
                if again || sessions.process(run[0]) == process {
                    continue;
                }
                let count = self.direct.count(sessions, read, sessions.chain(run[0]));
                while let Some(op) = run.get(*passed)
                    && sessions.index(*op) < count
                {
                    self.add(&mut newest, *op);
                    *passed += 1;
                }
            }
            let old = known.sources[read as usize];
            let newer = |(new, _): &&(u32, u32)| {
                old == INIT || (old != *new && self.causal.before(sessions, old, *new))
            };
            if let Some((new, reader)) = newest.iter().find(newer) {
                return Some(self.tell(old, *new, *reader, read));
            }
        }
        None
    }

    fn add(&self, newest: &mut Vec<(u32, u32)>, reader: u32) {
        let source = self.known.found(reader);
        if source == NONE {
            return;
        }
        let chain = self.known.sessions.chain(source);
        match newest.iter_mut().find(|(new, _)| self.known.sessions.chain(*new) == chain) {
            Some(entry) if entry.0 < source => *entry = (source, reader),
            Some(_) => {}
            None => newest.push((source, reader)),
        }
    }

    fn tell(&self, old: u32, new: u32, reader: u32, read: u32) -> Violation {
        let (known, sessions) = (self.known, self.known.sessions);
        let follows =
            |answer: u32| answer != NONE && (answer == reader || sessions.in_order(reader, answer));
        let mut own = sessions.session(sessions.chain(read));
        let seen = own.find(|op| follows(known.found(*op))).expect("the answer was read");
        let mut steps = vec![step(reader, Link::Found)];
        if known.found(seen) != reader {
            steps.push(step(known.found(seen), Link::Session));
        }
        steps.push(step(seen, Link::Found));
        steps.push(step(read, Link::Session));
        let replaced = if old == INIT { Vec::new() } else { happened(known, old, new) };
        Violation::Stale { anomaly: "cause-missed", old, replaced, new, known: steps, read }
    }
}
