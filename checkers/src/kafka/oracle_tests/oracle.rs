//! The definitions, without regard to cost.

use std::collections::{BTreeMap, BTreeSet};

use super::simulation::{Act, Item, KEYS, Outcome, Run, What};

pub(super) struct Oracle<'a> {
    /// In the order in which they completed.
    acts: Vec<&'a Act>,
    ww_deps: bool,
    /// Key and value of what operations that succeeded polled.
    read_ok: BTreeSet<(usize, i64)>,
    writers: BTreeMap<(usize, i64), &'a Act>,
}

/// By key: what is said to be at each offset.
type Logs = Vec<BTreeMap<i64, BTreeSet<i64>>>;

impl<'a> Oracle<'a> {
    pub fn new(run: &'a Run, ww_deps: bool) -> Self {
        let acts = run.completed();
        let ok = acts.iter().filter(|act| act.outcome == Outcome::Ok);
        let read_ok = ok.flat_map(|act| act.polled()).map(|i| (i.0, i.2)).collect();
        let sent = acts.iter().flat_map(|act| act.sends.iter().map(|i| ((i.0, i.2), *act)));
        let writers = sent.collect();
        Self { acts, ww_deps, read_ok, writers }
    }

    fn with(&self, outcome: Outcome) -> impl Iterator<Item = &'a Act> {
        self.acts.iter().copied().filter(move |act| act.outcome == outcome)
    }

    fn read_ok(&self, key: usize, value: i64) -> bool {
        self.read_ok.contains(&(key, value))
    }

    fn committed(&self, act: &Act) -> bool {
        match act.outcome {
            Outcome::Ok => true,
            Outcome::Fail => false,
            Outcome::Info | Outcome::Never => act.sends.iter().any(|i| self.read_ok(i.0, i.2)),
        }
    }

    fn writer(&self, key: usize, value: i64) -> Option<&'a Act> {
        self.writers.get(&(key, value)).copied()
    }

    fn logs(&self) -> Logs {
        let mut logs: Logs = vec![BTreeMap::new(); KEYS];
        for act in &self.acts {
            let sends = act.sends.iter().filter(|_| self.committed(act));
            for (key, offset, value) in sends.chain(act.polled()) {
                if let Some(offset) = offset {
                    logs[*key].entry(*offset).or_default().insert(*value);
                }
            }
        }
        logs
    }

    /// Offsets of a value.
    fn places(logs: &Logs, key: usize, value: i64) -> Vec<i64> {
        let there = logs[key].iter().filter(|(_, values)| values.contains(&value));
        there.map(|(offset, _)| *offset).collect()
    }

    fn position(logs: &Logs, (key, offset, value): Item) -> Option<i64> {
        let places = Self::places(logs, key, value);
        let offset = match (offset, &places[..]) {
            (Some(offset), _) => offset,
            (None, [single]) => *single,
            (None, _) => return None,
        };
        let alone = logs[key].get(&offset) == Some(&BTreeSet::from([value]));
        alone.then(|| logs[key].range(..offset).count() as i64)
    }

    pub fn counts(&self) -> BTreeMap<String, u64> {
        let mut counts = BTreeMap::new();
        let mut add = |kind: &str, count: usize| {
            if count > 0 {
                counts.insert(kind.to_string(), count as u64);
            }
        };
        let logs = self.logs();
        let values = || {
            let known = logs.iter().enumerate();
            let all = known.flat_map(|(key, log)| log.values().flatten().map(move |v| (key, *v)));
            all.collect::<BTreeSet<(usize, i64)>>()
        };
        let contradictions = logs.iter().flat_map(BTreeMap::values).filter(|v| v.len() > 1);
        add("inconsistent-offsets", contradictions.count());
        let twice = |(key, value): &(usize, i64)| Self::places(&logs, *key, *value).len() > 1;
        add("duplicate", values().iter().filter(|v| twice(v)).count());
        let polled = || self.acts.iter().flat_map(|act| act.polled().map(move |item| (act, item)));
        let nobody = polled().filter(|(_, i)| self.writer(i.0, i.2).is_none());
        add("garbage-read", nobody.count());
        let aborted = polled().filter(|(act, i)| {
            let failed = self.writer(i.0, i.2).is_some_and(|w| w.outcome == Outcome::Fail);
            // Its own are told as such.
            act.outcome == Outcome::Ok && failed
        });
        add("G1a", aborted.count());
        let own =
            |act: &&&Act| act.polled().any(|i| act.sends.iter().any(|s| (s.0, s.2) == (i.0, i.2)));
        add("precommitted-read", self.acts.iter().filter(own).count());
        add("lost-write", values().iter().filter(|(k, v)| self.lost(&logs, *k, *v)).count());
        add("unseen", (0..KEYS).filter(|key| self.unseen_of(*key) > 0).count());
        for (kind, deltas) in self.all_deltas() {
            add(kind, deltas.len());
        }
        for (kind, count) in self.cycles(&logs) {
            add(kind, count);
        }
        counts
    }

    fn lost(&self, logs: &Logs, key: usize, value: i64) -> bool {
        let Some(writer) = self.writer(key, value) else { return false };
        let seen = |act: &&Act| {
            act.outcome != Outcome::Fail && act.polled().any(|i| (i.0, i.2) == (key, value))
        };
        let last = Self::places(logs, key, value).pop();
        let later = self.with(Outcome::Ok).flat_map(Act::polled).any(|item| {
            let first = Self::places(logs, key, item.2).first().copied();
            item.0 == key && first >= last && first.is_some()
        });
        self.committed(writer) && !self.acts.iter().copied().any(|act| seen(&act)) && later
    }

    fn unseen_of(&self, key: usize) -> usize {
        let acknowledged = self.with(Outcome::Ok).flat_map(|act| &act.sends);
        acknowledged.filter(|i| i.0 == key && !self.read_ok(key, i.2)).count()
    }

    pub fn unseen(&self) -> usize {
        (0..KEYS).map(|key| self.unseen_of(key)).sum()
    }

    pub fn deltas(&self) -> BTreeMap<String, Vec<i64>> {
        let mut all = BTreeMap::new();
        for (kind, mut deltas) in self.all_deltas() {
            deltas.sort_unstable();
            if !deltas.is_empty() {
                all.insert(kind.to_string(), deltas);
            }
        }
        all
    }

    fn all_deltas(&self) -> BTreeMap<&'static str, Vec<i64>> {
        let logs = self.logs();
        let mut all: BTreeMap<&'static str, Vec<i64>> = BTreeMap::new();
        let mut add = |skip: &'static str, back: &'static str, from: Item, to: Item| {
            let positions = (Self::position(&logs, from), Self::position(&logs, to));
            if let (Some(from), Some(to)) = positions {
                let kind = if to - from > 1 { skip } else { back };
                if to - from != 1 && !kind.is_empty() {
                    all.entry(kind).or_default().push(to - from);
                }
            }
        };
        for (at, act) in self.acts.iter().enumerate() {
            for key in 0..KEYS {
                let polls: Vec<Item> = act.polled().filter(|i| i.0 == key).copied().collect();
                let sends: Vec<Item> = act.sends.iter().filter(|i| i.0 == key).copied().collect();
                for pair in polls.windows(2).filter(|_| !act.rebalanced.contains(&key)) {
                    add("int-poll-skip", "int-nonmonotonic-poll", pair[0], pair[1]);
                }
                for pair in sends.windows(2) {
                    add("int-send-skip", "int-nonmonotonic-send", pair[0], pair[1]);
                }
                let earlier = &self.acts[..at];
                let polled = |act: &Act| act.polled().filter(|i| i.0 == key).last().copied();
                let sent = |act: &Act| act.sends.iter().rfind(|i| i.0 == key).copied();
                if let (Some(to), Some(from)) = (polls.first(), last(earlier, act, key, polled)) {
                    add("poll-skip", "nonmonotonic-poll", from, *to);
                }
                if let (Some(to), Some(from)) = (sends.first(), last(earlier, act, key, sent))
                    && act.outcome != Outcome::Fail
                {
                    add("", "nonmonotonic-send", from, *to);
                }
            }
        }
        all
    }

    /// Neighbours in logs, of messages in a place of their own that may have been committed.
    fn neighbours(&self, logs: &Logs) -> Vec<(usize, i64, i64)> {
        let mut pairs = Vec::new();
        for (key, log) in logs.iter().enumerate() {
            let certain = |value: i64| {
                let places = Self::places(logs, key, value);
                let [single] = places[..] else { return None };
                let writer = self.writer(key, value)?;
                (log[&single].len() == 1 && writer.outcome != Outcome::Fail).then_some(single)
            };
            let values: BTreeSet<i64> = log.values().flatten().copied().collect();
            let mut order: Vec<(i64, i64)> =
                values.iter().filter_map(|v| Some((certain(*v)?, *v))).collect();
            order.sort_unstable();
            pairs.extend(order.windows(2).map(|w| (key, w[0].1, w[1].1)));
        }
        pairs
    }

    /// Whether one transaction must precede another: by ww, by wr, by real time.
    fn edges(&self, neighbours: &[(usize, i64, i64)], a: &Act, b: &Act) -> [bool; 3] {
        let sent = |act: &Act, key: usize, value: i64| {
            act.sends.iter().any(|i| (i.0, i.2) == (key, value))
        };
        let ww = neighbours.iter().any(|(key, v, w)| sent(a, *key, *v) && sent(b, *key, *w));
        let wr = b.polled().any(|i| sent(a, i.0, i.2));
        [ww && self.ww_deps, wr, a.outcome == Outcome::Ok && a.end < b.call]
    }

    /// By kind: in how many components there is such a cycle, and none that is worse.
    fn cycles(&self, logs: &Logs) -> BTreeMap<&'static str, usize> {
        let may = |act: &&&Act| act.what == What::Txn && act.outcome != Outcome::Fail;
        let acts: Vec<&Act> = self.acts.iter().filter(may).copied().collect();
        let neighbours = self.neighbours(logs);
        let edges: Vec<Vec<[bool; 3]>> = acts
            .iter()
            .map(|a| {
                acts.iter().map(|b| {
                    if a.call == b.call { [false; 3] } else { self.edges(&neighbours, a, b) }
                })
            })
            .map(Iterator::collect)
            .collect();
        let reach = |by: &[usize], inside: &[usize]| {
            let mut reach: Vec<Vec<bool>> = edges
                .iter()
                .map(|row| row.iter().map(|edge| by.iter().any(|class| edge[*class])).collect())
                .collect();
            for via in inside {
                for from in inside {
                    for to in inside {
                        reach[*from][*to] |= reach[*from][*via] && reach[*via][*to];
                    }
                }
            }
            reach
        };
        let all: Vec<usize> = (0..acts.len()).collect();
        let whole = reach(&[0, 1, 2], &all);
        let mut counts = BTreeMap::new();
        for &first in &all {
            let component: Vec<usize> =
                all.iter().copied().filter(|b| whole[first][*b] && whole[*b][first]).collect();
            if component.first() != Some(&first) {
                continue;
            }
            let cyclic = |by: &[usize]| {
                let reach = reach(by, &component);
                component.iter().any(|node| reach[*node][*node])
            };
            let mut kinds: Vec<&'static str> = Vec::new();
            if cyclic(&[0]) {
                kinds.extend(["PL-1-cycle-exists", "G0"]);
            } else {
                let (read, timely) = (cyclic(&[0, 1]), cyclic(&[0, 2]));
                if read {
                    kinds.extend(["PL-2-cycle-exists", "G1c"]);
                }
                if timely {
                    kinds.extend(["strong-PL-1-cycle-exists", "G0-realtime"]);
                }
                if !read && !timely {
                    kinds.extend(["strong-PL-2-cycle-exists", "G1c-realtime"]);
                }
            }
            kinds.into_iter().for_each(|kind| *counts.entry(kind).or_default() += 1);
        }
        counts
    }

    /// By key: the longest that a poll was behind, in nanoseconds of events that take a second.
    pub fn lags(&self) -> BTreeMap<String, i64> {
        let mut worst: BTreeMap<String, i64> = BTreeMap::new();
        for (at, act) in self.acts.iter().enumerate() {
            if act.outcome != Outcome::Ok || act.what != What::Txn || act.polls.is_empty() {
                continue;
            }
            for key in 0..KEYS {
                let Some(offset) = self.consumed(&self.acts[..=at], act.process, key) else {
                    continue;
                };
                let ok = self.with(Outcome::Ok);
                let later = ok.filter(|other| {
                    let items = other.sends.iter().chain(other.polled());
                    items.filter(|i| i.0 == key).any(|i| i.1 > Some(offset))
                });
                let since = later.map(|other| other.end as i64).min();
                let lag = since.map_or(0, |since| (act.call as i64 - since).max(0) * 1_000_000_000);
                let known = worst.entry(key.to_string()).or_default();
                *known = lag.max(*known);
            }
        }
        worst
    }

    /// The highest offset that a process has polled of a key since it was assigned; -1 of none. Nothing if it is not assigned.
    fn consumed(&self, acts: &[&Act], process: u32, key: usize) -> Option<i64> {
        let mut at = None;
        for act in acts.iter().filter(|act| act.process == process && act.outcome == Outcome::Ok) {
            match &act.what {
                What::Assign(keys) => at = keys.contains(&key).then(|| at.unwrap_or(-1)),
                What::Subscribe(_) => at = None,
                What::Txn => {
                    for item in act.polled().filter(|item| item.0 == key) {
                        at = Some(at.unwrap_or(-1).max(item.1.unwrap_or(-1)));
                    }
                }
            }
        }
        at
    }
}

/// The last of the latest earlier transaction of the same process that succeeded and has any, if the key was kept since.
fn last(
    earlier: &[&Act],
    act: &Act,
    key: usize,
    item: impl Fn(&Act) -> Option<Item>,
) -> Option<Item> {
    for before in earlier.iter().rev().filter(|before| before.process == act.process) {
        match &before.what {
            What::Assign(keys) | What::Subscribe(keys) => {
                if before.outcome != Outcome::Fail && !keys.contains(&key) {
                    return None;
                }
            }
            What::Txn if before.outcome == Outcome::Ok => {
                if let Some(item) = item(before) {
                    return Some(item);
                }
            }
            What::Txn => {}
        }
    }
    None
}
