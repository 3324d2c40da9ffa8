//! What a history comes to, in one pass and bounded memory, for the report.
//!
//! A million operations are counted, never kept: everything here has a cap, and where a cap was reached the summary
//! says so. A history that breaks off or cannot be read to its end is summed up as far as it goes; a report must
//! never decide anything.

mod outage;
mod points;
mod series;

use std::collections::{BTreeMap, HashSet};
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::io::{self, Read};

use keelhaul_history::faults::{Collector, LeaderSpan};
use keelhaul_history::{Ending, Header, Kind, NodeId, Process, RawOp, ReadError, Reader};

pub use outage::Fault;
pub(crate) use points::{Point, Points};
pub(crate) use series::{Bin, Series};

use outage::Outages;

/// Keys told apart; beyond it a summary says "more than".
const KEYS_MAX: usize = 100_000;
/// Functions, and reasons for a failure, listed by name; the rest are summed.
const NAMES_MAX: usize = 24;
/// Reasons are told apart by this many bytes, since many end in a number that differs every time.
const REASON_BYTES_MAX: usize = 160;

/// How many operations ended how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Certainly happened.
    pub ok: u64,
    /// Certainly did not happen.
    pub fail: u64,
    /// Nobody knows.
    pub info: u64,
}

impl Counts {
    fn add(&mut self, kind: Kind) {
        match kind {
            Kind::Invoke => {}
            Kind::Ok => self.ok += 1,
            Kind::Fail => self.fail += 1,
            Kind::Info => self.info += 1,
        }
    }

    /// All completions.
    #[must_use]
    pub const fn total(self) -> u64 {
        self.ok + self.fail + self.info
    }
}

/// What a history comes to.
#[derive(Clone, Debug)]
pub struct Summary {
    /// What was run.
    pub header: Header,
    /// How the history ends; absent where it could not be read to its end.
    pub ending: Option<Ending>,
    /// Why it could not be.
    pub problem: Option<String>,
    /// Operations that clients invoked.
    pub invoked: u64,
    /// How they ended; those that never completed are in none of these.
    pub counts: Counts,
    /// The same by function, in alphabetical order.
    pub by_function: Vec<(String, Counts)>,
    /// The same by node.
    pub by_node: Vec<(NodeId, Counts)>,
    /// Why operations failed or are unknown, the most frequent first.
    pub reasons: Vec<(String, u64)>,
    /// Distinct keys.
    pub keys: u64,
    /// Whether there are more keys than were counted.
    pub more_keys: bool,
    /// Time of the last event, nanoseconds since the run began.
    pub end_ns: u64,
    /// Faults with what they did to the service, in order of injection.
    pub faults: Vec<Fault>,
    /// Who led when.
    pub leaders: Vec<LeaderSpan>,
    pub(crate) series: Series,
    pub(crate) points: [Points; 3],
}

impl Summary {
    /// Sums up a history.
    ///
    /// # Errors
    /// It has no header that can be read. Anything wrong after the header ends up in [`Summary::problem`].
    pub fn read(input: impl Read) -> Result<Self, ReadError> {
        let mut reader = Reader::new(input)?;
        let mut tally = Tally::default();
        let problem = loop {
            match reader.next_op() {
                Ok(Some(op)) => tally.add(&op),
                Ok(None) => break None,
                Err(e) => break Some(in_words(&e)),
            }
        };
        let header = reader.header().clone();
        Ok(tally.finish(header, reader.ending(), reader.time_ns(), problem))
    }

    /// Sums up a history that `open` opens.
    ///
    /// # Errors
    /// As [`Summary::read`], and where it cannot be opened.
    pub fn open(open: &dyn Fn() -> io::Result<Box<dyn Read>>) -> Result<Self, ReadError> {
        let input = open().map_err(|source| ReadError::Io { line: 1, source })?;
        Self::read(input)
    }
}

/// An error with its causes.
fn in_words(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        words += &format!(": {cause}");
        source = cause.source();
    }
    words
}

#[derive(Default)]
struct Tally {
    invoked: u64,
    counts: Counts,
    by_function: BTreeMap<String, Counts>,
    by_node: BTreeMap<NodeId, Counts>,
    reasons: BTreeMap<String, u64>,
    keys: HashSet<u64>,
    more_keys: bool,
    hasher: BuildHasherDefault<DefaultHasher>,
    collector: Collector,
    outages: Outages,
    series: Series,
    points: [Points; 3],
}

impl Tally {
    fn add(&mut self, op: &RawOp<'_>) {
        if op.process == Process::Nemesis {
            let op = op.to_op();
            self.collector.observe(&op);
            self.outages.nemesis(&op);
            return;
        }
        if op.kind == Kind::Invoke {
            self.invoked += 1;
            if let Some(key) = op.key {
                self.count_key(key.text());
            }
            return;
        }
        // The reader hands out no completion without its invocation.
        let Some(invoked) = op.invoked else { return };
        let latency_ns = op.time_ns - invoked.time_ns;
        self.counts.add(op.kind);
        named(&mut self.by_function, op.f, |counts| counts.add(op.kind));
        if let Some(node) = op.node {
            self.by_node.entry(node).or_default().add(op.kind);
        }
        if let Some(error) = &op.error {
            let end = error.floor_char_boundary(REASON_BYTES_MAX);
            named(&mut self.reasons, &error[..end], |count| *count += 1);
        }
        self.series.add(op.time_ns, op.kind, latency_ns);
        if let Some(points) = self.points.get_mut(outcome(op.kind)) {
            points.add(Point { time_ns: op.time_ns, latency_ns, index: op.index });
        }
        if op.kind == Kind::Ok {
            self.outages.ok(op.time_ns, invoked.time_ns);
        }
    }

    fn count_key(&mut self, text: &str) {
        let hash = self.hasher.hash_one(text);
        if self.keys.len() < KEYS_MAX {
            self.keys.insert(hash);
        } else if !self.more_keys {
            self.more_keys = !self.keys.contains(&hash);
        }
    }

    fn finish(
        self,
        header: Header,
        ending: Option<Ending>,
        end_ns: u64,
        problem: Option<String>,
    ) -> Summary {
        let timeline = self.collector.finish(end_ns);
        let mut reasons: Vec<_> = self.reasons.into_iter().collect();
        reasons.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        Summary {
            header,
            ending,
            problem,
            invoked: self.invoked,
            counts: self.counts,
            by_function: self.by_function.into_iter().collect(),
            by_node: self.by_node.into_iter().collect(),
            reasons,
            keys: self.keys.len() as u64,
            more_keys: self.more_keys,
            end_ns,
            faults: self.outages.finish(timeline.faults, end_ns),
            leaders: timeline.leaders,
            series: self.series,
            points: self.points,
        }
    }
}

/// Place of an outcome in arrays of three: ok, fail, info.
pub(crate) const fn outcome(kind: Kind) -> usize {
    match kind {
        Kind::Ok => 0,
        Kind::Fail => 1,
        Kind::Info => 2,
        Kind::Invoke => 3,
    }
}

/// Changes the entry of `name`; once there are too many names, that of all others.
fn named<T: Default>(map: &mut BTreeMap<String, T>, name: &str, change: impl FnOnce(&mut T)) {
    if let Some(entry) = map.get_mut(name) {
        return change(entry);
    }
    let name = if map.len() < NAMES_MAX { name } else { "(others)" };
    change(map.entry(name.into()).or_default());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &[&str]) -> Summary {
        let mut text = String::from("{\"keelhaul\":1,\"store\":\"raft\"}\n");
        for line in lines {
            text += line;
            text.push('\n');
        }
        Summary::read(text.as_bytes()).unwrap()
    }

    const WRITE: [&str; 2] = [
        r#"{"index":0,"time":100,"type":"invoke","process":0,"f":"write","key":3,"value":7,"node":"n1"}"#,
        r#"{"index":1,"time":1100,"type":"info","process":0,"f":"write","key":3,"value":7,"node":"n1","error":"timeout"}"#,
    ];

    #[test]
    fn counts() {
        let summary = read(&WRITE);
        assert_eq!(summary.counts, Counts { ok: 0, fail: 0, info: 1 });
        assert_eq!(summary.by_function, [("write".into(), summary.counts)]);
        assert_eq!(summary.by_node, [(NodeId(1), summary.counts)]);
        assert_eq!(summary.reasons, [("timeout".into(), 1)]);
        assert_eq!((summary.invoked, summary.keys, summary.end_ns), (1, 1, 1100));
        assert_eq!(summary.ending, Some(Ending::Unsealed { torn_tail: false }));
    }

    #[test]
    fn a_history_that_goes_wrong_is_summed_up_so_far() {
        let summary = read(&[WRITE[0], WRITE[1], "{}"]);
        assert_eq!(summary.counts.info, 1);
        assert_eq!(summary.ending, None);
        assert!(summary.problem.unwrap().starts_with("line 4: "));
    }

    #[test]
    fn names_are_capped() {
        let mut map = BTreeMap::new();
        for i in 0..1000 {
            named(&mut map, &format!("f{i}"), |n: &mut u64| *n += 1);
        }
        assert_eq!(map.len(), NAMES_MAX + 1);
        assert_eq!(map["(others)"], 1000 - NAMES_MAX as u64);
    }
}
