//! Do all reads agree on the order of writes?
//!
//! Every key is written at most once, and read together with the other keys of its *group*. Under snapshot isolation and
//! above, what two reads of a group saw is nested: one saw all that the other did. A *long fork* is two reads of
//! which each saw a write that the other did not, so that they disagree on which was first. Parallel snapshot isolation
//! allows it (Sovran, Power, Aguilera & Li, *Transactional storage for geo-replicated systems*, SOSP 2011, section 4.2).
//!
//! The reads of a group are nested in one another if and only if, ordered by how many writes they saw, each is contained in
//! the next: so neighbours are compared and not pairs.
//!
//! Limits: groups in which a key was written twice, or that overlap, are not judged. One fork a pair of neighbours is
//! counted; there may be more pairs.

use std::collections::HashMap;

use keelhaul_history::{Kind, Process, RawOp, RawValue, Value};

use crate::columns::ColumnError;
use crate::in_flight::{InFlight, Span};
use crate::interner::Interner;
use crate::judge::guard;
use crate::subject::{Asked, Judged, OptionError, Settings, Subject};
use crate::verdict::{Check, Evidence, Verdict};
use crate::workload::{Setting, Workload};

/// The workload and its check.
pub(crate) const NAME: &str = "long-fork";

pub(super) const WORKLOAD: Workload = Workload {
    name: NAME,
    what: "write [[\"w\",k,v]] of each key once, read [[\"r\",k,v],…] of a whole group of keys: do reads agree on the \
           order of writes",
    models: &[],
    options: &[Setting {
        name: "group-size",
        what: "how many keys are read together; if absent, any number, but of a key always the same group",
    }],
    subject,
};

fn subject(settings: &Settings) -> Result<Box<dyn Subject>, OptionError> {
    let whole = |value: &Value| value.as_int().and_then(|n| usize::try_from(n).ok());
    let group_size =
        settings.get("group-size", "a whole number from 1 up", |v| whole(v).filter(|n| *n > 0))?;
    Ok(Box::new(LongFork { group_size, values: vec![Value::Null], ..LongFork::default() }))
}

/// The value id of a key that was not written yet.
const UNSEEN: u32 = 0;

/// A history of writes and reads of groups.
#[derive(Default)]
struct LongFork {
    group_size: Option<usize>,
    in_flight: InFlight<Begun>,
    key_ids: Interner,
    keys: Vec<Value>,
    value_ids: Interner,
    values: Vec<Value>,
    writes: Vec<Write>,
    reads: Vec<Read>,
}

enum Begun {
    Write(Write),
    Read(Span),
}

#[derive(Clone, Copy)]
struct Write {
    span: Span,
    key: u32,
    value: u32,
    failed: bool,
}

struct Read {
    span: Span,
    /// Key and value ids, in order of the keys.
    saw: Vec<(u32, u32)>,
}

impl Read {
    fn seen(&self) -> usize {
        self.saw.iter().filter(|(_, value)| *value != UNSEEN).count()
    }
}

const READ: &str = "a list of reads [\"r\",key,value]";
const WRITE: &str = "a list of reads [\"r\",key,value], or of one write [\"w\",key,value]";

impl Subject for LongFork {
    fn observe(&mut self, op: &RawOp<'_>) -> Result<(), ColumnError> {
        let Process::Client(process) = op.process else { return Ok(()) };
        if op.kind == Kind::Invoke {
            return self.invoke(op, process);
        }
        let (begun, ret) = self.in_flight.end(op.index, process)?;
        let ended = |span| Span { ret, end_ns: op.time_ns, ..span };
        match (begun, op.kind) {
            (Begun::Write(write), Kind::Ok) => {
                self.writes.push(Write { span: ended(write.span), ..write });
            }
            (Begun::Write(write), Kind::Fail) => {
                self.writes.push(Write { failed: true, ..write });
            }
            (Begun::Write(write), _) => self.writes.push(write),
            (Begun::Read(span), Kind::Ok) => {
                let misfit = || misfit(op, READ);
                let micro = self.micro_ops(op.value.json()).ok_or_else(misfit)?;
                if micro.iter().any(|(write, ..)| *write) {
                    return Err(misfit());
                }
                let mut saw: Vec<_> = micro.into_iter().map(|(_, k, v)| (k, v)).collect();
                saw.sort_unstable();
                saw.dedup();
                self.reads.push(Read { span: ended(span), saw });
            }
            (Begun::Read(_), _) => {}
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>, _asked: &Asked<'_>) -> Judged {
        for begun in self.in_flight.rest() {
            if let Begun::Write(write) = begun {
                self.writes.push(write);
            }
        }
        let (keys, operations) = (self.keys.len(), self.writes.len() + self.reads.len());
        Judged {
            keys,
            operations,
            checks: vec![guard(NAME, || self.check())],
            standing: Vec::new(),
        }
    }
}

fn misfit(op: &RawOp<'_>, expected: &'static str) -> ColumnError {
    ColumnError::Value { index: op.index, f: op.f.into(), expected }
}

impl LongFork {
    fn invoke(&mut self, op: &RawOp<'_>, process: u32) -> Result<(), ColumnError> {
        if !matches!(op.f, "read" | "write" | "txn") {
            let known = "long-fork has read, write and txn";
            return Err(ColumnError::OtherFunction { index: op.index, f: op.f.into(), known });
        }
        let micro = self.micro_ops(op.value.json()).ok_or_else(|| misfit(op, WRITE))?;
        let who = (op.index, op.time_ns, process);
        match micro[..] {
            [(true, key, value)] => self
                .in_flight
                .begin(who, |span| Begun::Write(Write { span, key, value, failed: false })),
            _ if micro.iter().any(|(write, ..)| *write) => Err(misfit(op, WRITE)),
            _ => self.in_flight.begin(who, Begun::Read),
        }
    }

    /// Whether each is a write, its key and its value.
    fn micro_ops(&mut self, value: RawValue<'_>) -> Option<Vec<(bool, u32, u32)>> {
        value.items()?.map(|micro| self.micro_op(micro)).collect()
    }

    fn micro_op(&mut self, micro: RawValue<'_>) -> Option<(bool, u32, u32)> {
        let mut parts = micro.items()?;
        let write = match parts.next()?.text() {
            "\"w\"" | "\"write\"" => true,
            "\"r\"" | "\"read\"" => false,
            _ => return None,
        };
        let key = self.key_ids.intern_raw(parts.next()?, &mut self.keys);
        let value = parts.next().filter(|value| !value.is_null());
        let value =
            value.map_or(UNSEEN, |value| self.value_ids.intern_raw(value, &mut self.values));
        let whole = parts.next().is_none() && (!write || value != UNSEEN);
        whole.then_some((write, key, value))
    }

    fn check(&self) -> Check {
        let groups = self.groups();
        let mut found = Found::default();
        let mut details = serde_json::Map::new();
        let mut spoiled = self.spoiled_keys(&mut found);
        self.overlaps(&groups, &mut spoiled, &mut found);
        for group in &groups {
            if !group.keys.iter().any(|key| spoiled[*key as usize]) {
                self.judge_group(group, &mut found);
            }
        }
        let early = self.reads.iter().filter(|read| read.seen() == 0).count();
        let late = self.reads.iter().filter(|read| read.seen() == read.saw.len()).count();
        for (name, count) in [
            ("reads", self.reads.len()),
            ("early-reads", early),
            ("late-reads", late),
            ("groups", groups.len()),
            ("forks", found.forks),
        ] {
            details.insert(name.into(), count.into());
        }
        let (verdict, reason) = found.verdict(groups.len());
        let anomalies = found.anomalies;
        Check { anomalies, evidence: found.evidence, details, ..Check::new(NAME, verdict, reason) }
    }

    /// Reads by the keys that they read, in order of first read.
    fn groups(&self) -> Vec<Group> {
        let mut ids: HashMap<Vec<u32>, usize> = HashMap::new();
        let mut groups: Vec<Group> = Vec::new();
        for (row, read) in self.reads.iter().enumerate() {
            let mut keys: Vec<u32> = read.saw.iter().map(|(key, _)| *key).collect();
            keys.dedup();
            let id = *ids.entry(keys).or_insert_with_key(|keys| {
                groups.push(Group { keys: keys.clone(), reads: Vec::new() });
                groups.len() - 1
            });
            groups[id].reads.push(row);
        }
        groups
    }

    /// Keys of which nothing can be said, by id; reads of what was never written are found on the way.
    fn spoiled_keys(&self, found: &mut Found) -> Vec<bool> {
        let mut spoiled = vec![false; self.keys.len()];
        let mut written: Vec<Option<u32>> = vec![None; self.keys.len()];
        for write in self.writes.iter().filter(|write| !write.failed) {
            let key = write.key as usize;
            if written[key].replace(write.value).is_some() {
                spoiled[key] = true;
                found.problem(|| format!("key {} was written more than once", self.keys[key]));
            }
        }
        for read in &self.reads {
            for &(key, value) in &read.saw {
                let known = &mut written[key as usize];
                if value == UNSEEN || spoiled[key as usize] || *known == Some(value) {
                    continue;
                }
                let failed =
                    self.writes.iter().find(|w| w.failed && (w.key, w.value) == (key, value));
                spoiled[key as usize] = true;
                if let Some(write) = failed {
                    self.aborted(read, write, found);
                } else if !self.writes.is_empty() {
                    self.garbage(read, (key, value), found);
                } else if let Some(other) = *known {
                    let name = &self.keys[key as usize];
                    let (a, b) = (&self.values[other as usize], &self.values[value as usize]);
                    found.problem(|| format!("key {name} was read as {a} and as {b}"));
                } else {
                    *known = Some(value);
                    spoiled[key as usize] = false;
                }
            }
        }
        spoiled
    }

    /// A key must always be read with the same others, each once, as many as the user says.
    fn overlaps(&self, groups: &[Group], spoiled: &mut [bool], found: &mut Found) {
        let mut group_of: Vec<Option<usize>> = vec![None; self.keys.len()];
        for (id, group) in groups.iter().enumerate() {
            let twice = group.reads.iter().any(|row| self.reads[*row].saw.len() > group.keys.len());
            let wrong = self.group_size.filter(|size| *size != group.keys.len());
            if let Some(size) = wrong {
                let read = group.keys.len();
                found.problem(|| format!("a read must be of {size} keys, but one is of {read}"));
            } else if twice {
                found.problem(|| "a read saw two values of one key".into());
            }
            for key in &group.keys {
                let other = group_of[*key as usize].replace(id);
                if other.is_some() {
                    let name = &self.keys[*key as usize];
                    found.problem(|| format!("key {name} was read together with different keys"));
                }
                if wrong.is_some() || twice || other.is_some() {
                    let both = other.into_iter().flat_map(|other| &groups[other].keys);
                    group.keys.iter().chain(both).for_each(|key| spoiled[*key as usize] = true);
                }
            }
        }
    }

    fn judge_group(&self, group: &Group, found: &mut Found) {
        let mut first: HashMap<Box<[u64]>, usize> = HashMap::new();
        let mut distinct: Vec<(usize, usize, Box<[u64]>)> = Vec::new();
        let mut partial = 0;
        for &row in &group.reads {
            let read = &self.reads[row];
            let seen = read.seen();
            partial += usize::from(seen > 0 && seen < read.saw.len());
            let mask = mask(&read.saw);
            first.entry(mask).or_insert_with_key(|mask| {
                distinct.push((seen, row, mask.clone()));
                row
            });
        }
        found.telling |= partial > 1;
        distinct.sort_unstable_by_key(|(seen, row, _)| (*seen, *row));
        for pair in distinct.windows(2) {
            let nested = pair[0].2.iter().zip(&pair[1].2).all(|(a, b)| a & !b == 0);
            if !nested {
                found.forks += 1;
                let [a, b] = [pair[0].1, pair[1].1].map(|row| &self.reads[row]);
                found.anomaly(NAME, || self.fork(a, b));
            }
        }
    }

    fn fork(&self, a: &Read, b: &Read) -> (String, Evidence) {
        let only = |this: &Read, that: &Read| {
            let pairs = this.saw.iter().zip(&that.saw);
            let only = pairs.filter(|(this, that)| this.1 != UNSEEN && that.1 == UNSEEN);
            only.map(|(this, _)| self.keys[this.0 as usize].to_string()).next()
        };
        let x = only(a, b).expect("not nested: each saw what the other did not");
        let y = only(b, a).expect("not nested: each saw what the other did not");
        let (p, q) = (a.span.process, b.span.process);
        let explanation = vec![
            format!(
                "Process {p} saw the write of {x} but not that of {y}, so {x} was written first."
            ),
            format!(
                "Process {q} saw the write of {y} but not that of {x}, so {y} was written first."
            ),
        ];
        let reason = format!("two reads disagree on which of {x} and {y} was written first");
        (reason, self.evidence(&[a], &[b], &[], explanation))
    }

    fn aborted(&self, read: &Read, write: &Write, found: &mut Found) {
        let (key, value) = (&self.keys[write.key as usize], &self.values[write.value as usize]);
        found.anomaly("G1a", || {
            let reason = format!("key {key} was read as {value}, whose write failed");
            let explanation = vec![
                format!(
                    "The write of {value} to key {key} failed, so it certainly did not happen."
                ),
                format!("Process {} saw it.", read.span.process),
            ];
            (reason, self.evidence(&[read], &[], &[write], explanation))
        });
    }

    fn garbage(&self, read: &Read, (key, value): (u32, u32), found: &mut Found) {
        let (key, value) = (&self.keys[key as usize], &self.values[value as usize]);
        found.anomaly("garbage-read", || {
            let reason = format!("key {key} was read as {value}, which nobody wrote");
            let process = read.span.process;
            let explanation = vec![
                format!("Process {process} read {value} from key {key}."),
                "Nobody ever wrote that there.".into(),
            ];
            (reason, self.evidence(&[read], &[], &[], explanation))
        });
    }

    fn evidence(
        &self,
        reads: &[&Read],
        more: &[&Read],
        writes: &[&Write],
        explanation: Vec<String>,
    ) -> Evidence {
        let read = |read: &&Read| {
            let saw = read.saw.iter().map(|(key, value)| {
                format!("{}: {}", self.keys[*key as usize], self.values[*value as usize])
            });
            read.span.shown(format!("read -> {}", saw.collect::<Vec<_>>().join(", ")))
        };
        let write = |write: &&Write| {
            let (key, value) = (&self.keys[write.key as usize], &self.values[write.value as usize]);
            write.span.shown(format!("write {key}: {value}"))
        };
        let mut ops: Vec<_> = reads.iter().chain(more).map(read).collect();
        ops.extend(writes.iter().map(write));
        ops.sort_by_key(|op| op.index);
        Evidence {
            key: None,
            ops,
            longest_order: Vec::new(),
            stuck: Vec::new(),
            // Each of two reads alone, and a failed write alone, breaks nothing.
            minimal: true,
            edges: Vec::new(),
            explanation,
        }
    }
}

/// Keys that are read together, and the rows of their reads.
struct Group {
    keys: Vec<u32>,
    reads: Vec<usize>,
}

/// Which of its keys a read saw written, a bit each.
fn mask(saw: &[(u32, u32)]) -> Box<[u64]> {
    let mut mask = vec![0; saw.len().div_ceil(64)];
    for (at, (_, value)) in saw.iter().enumerate() {
        mask[at / 64] |= u64::from(*value != UNSEEN) << (at % 64);
    }
    mask.into()
}

/// What was found so far.
#[derive(Default)]
struct Found {
    anomalies: Vec<String>,
    forks: usize,
    /// Of the first violation.
    reason: String,
    evidence: Option<Evidence>,
    /// Why something could not be judged.
    problem: Option<String>,
    /// Whether some group had two reads that saw a part of it, without which there can be no fork.
    telling: bool,
}

impl Found {
    fn problem(&mut self, problem: impl FnOnce() -> String) {
        self.problem.get_or_insert_with(problem);
    }

    fn anomaly(&mut self, name: &str, tell: impl FnOnce() -> (String, Evidence)) {
        if !self.anomalies.iter().any(|known| known == name) {
            self.anomalies.push(name.into());
        }
        if self.evidence.is_none() {
            let (reason, evidence) = tell();
            self.reason = reason;
            self.evidence = Some(evidence);
        }
    }

    fn verdict(&self, groups: usize) -> (Verdict, String) {
        if self.evidence.is_some() {
            return (Verdict::Invalid, self.reason.clone());
        }
        if let Some(problem) = &self.problem {
            return (Verdict::Unknown, format!("{problem}: reads of it cannot be compared"));
        }
        if !self.telling {
            let reason = "no two reads of one group saw a part of it, so none could disagree";
            return (Verdict::Vacuous, reason.into());
        }
        let reason = format!("in every one of {groups} groups, reads saw writes in one order");
        (Verdict::Valid, reason)
    }
}

#[cfg(test)]
#[path = "long_fork_tests.rs"]
mod tests;
