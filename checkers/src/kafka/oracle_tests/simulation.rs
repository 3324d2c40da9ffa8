//! A log with a few keys, producers and consumers; and mistakes put into what they say.

use std::fmt::Write as _;

use rand::{RngExt, seq::IndexedRandom};
use rand_chacha::ChaCha8Rng;

pub(super) const KEYS: usize = 2;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Ok,
    Fail,
    Info,
    /// It never completed.
    Never,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum What {
    Txn,
    Assign(Vec<usize>),
    Subscribe(Vec<usize>),
}

/// A key's offset, if it is known, and value.
pub(super) type Item = (usize, Option<i64>, i64);

/// One operation, with the numbers of the events that begin and end it.
#[derive(Clone, Debug)]
pub(super) struct Act {
    pub process: u32,
    pub call: usize,
    pub end: usize,
    pub outcome: Outcome,
    pub what: What,
    pub sends: Vec<Item>,
    /// By poll: what was returned.
    pub polls: Vec<Vec<Item>>,
    pub rebalanced: Vec<usize>,
}

impl Act {
    /// Everything polled.
    pub fn polled(&self) -> impl Iterator<Item = &Item> {
        self.polls.iter().flatten()
    }
}

/// A history.
#[derive(Clone, Debug, Default)]
pub(super) struct Run {
    /// In the order in which they began.
    pub acts: Vec<Act>,
}

impl Run {
    /// In the notation of the tests; an event takes a second.
    pub fn text(&self) -> String {
        let mut events: Vec<(usize, String)> = Vec::new();
        for act in &self.acts {
            let f = match act.what {
                What::Txn => "txn",
                What::Assign(_) => "assign",
                What::Subscribe(_) => "subscribe",
            };
            let process = act.process;
            events.push((act.call, format!("{process} invoke {f} {}", act.value(false))));
            let kind = match act.outcome {
                Outcome::Ok => "ok",
                Outcome::Fail => "fail",
                Outcome::Info => "info",
                Outcome::Never => continue,
            };
            events.push((act.end, format!("{process} {kind} {f} {}", act.value(true))));
        }
        events.sort();
        events.into_iter().fold(String::new(), |mut text, (_, line)| {
            writeln!(text, "{line}").unwrap();
            text
        })
    }

    /// Those acts, with their events numbered without gaps.
    pub fn only(&self, keep: impl Fn(&Act) -> bool) -> Self {
        Self { acts: self.acts.iter().filter(|act| keep(act)).cloned().collect() }
    }

    /// In the order in which they completed, those that never did at the end.
    pub fn completed(&self) -> Vec<&Act> {
        let mut acts: Vec<&Act> = self.acts.iter().collect();
        acts.sort_by_key(|act| match act.outcome {
            Outcome::Never => (usize::MAX, act.process),
            _ => (act.end, 0),
        });
        acts
    }
}

impl Act {
    fn value(&self, completed: bool) -> String {
        if let What::Assign(keys) | What::Subscribe(keys) = &self.what {
            return format!("{keys:?}").replace(' ', "");
        }
        let mut parts: Vec<String> = Vec::new();
        for (key, offset, value) in &self.sends {
            parts.push(match offset {
                Some(offset) if completed => format!("[\"send\",{key},[{offset},{value}]]"),
                _ => format!("[\"send\",{key},{value}]"),
            });
        }
        for poll in &self.polls {
            if !completed {
                parts.push("[\"poll\"]".into());
                continue;
            }
            let keys = (0..KEYS).filter_map(|key| {
                let items = poll.iter().filter(|item| item.0 == key);
                let pairs = items.map(|(_, offset, value)| {
                    let offset = offset.map_or("null".into(), |offset| offset.to_string());
                    format!("[{offset},{value}]")
                });
                let pairs: Vec<String> = pairs.collect();
                (!pairs.is_empty()).then(|| format!("\"{key}\":[{}]", pairs.join(",")))
            });
            parts.push(format!("[\"poll\",{{{}}}]", keys.collect::<Vec<_>>().join(",")));
        }
        if completed && !self.rebalanced.is_empty() {
            parts.push(format!("[\"rebalance\",{:?}]", self.rebalanced).replace(' ', ""));
        }
        format!("[{}]", parts.join(","))
    }
}

/// A consumer's next offset by key; none if it is not assigned.
type Consumer = [Option<usize>; KEYS];

/// A history of a log that keeps its promises, or, if it is unruly, one that does not: what is sent stands anywhere, is
/// there to be polled before it is committed, and consumers jump. Consumers begin at the beginning of all keys.
pub(super) fn simulate(unruly: bool, rng: &mut ChaCha8Rng) -> Run {
    let mut logs: [Vec<Option<i64>>; KEYS] = Default::default();
    let mut run = Run::default();
    let mut consumers: Vec<(u32, Consumer, Option<usize>)> =
        (0..3).map(|process| (process, [Some(0); KEYS], None)).collect();
    let (mut event, mut value) = (0, 0);
    let assigns = rng.random_bool(0.3);
    for _ in 0..rng.random_range(4..22) {
        let at = rng.random_range(0..consumers.len());
        let (process, consumer, busy) = &mut consumers[at];
        if let Some(act) = busy.take() {
            let act = &mut run.acts[act];
            act.end = event;
            if unruly && rng.random_bool(0.3) {
                let next = &mut consumer[rng.random_range(0..KEYS)];
                *next = next.map(|next| (next + rng.random_range(0..3)).saturating_sub(1));
            }
            complete(act, consumer, &mut logs, rng);
            if matches!(act.outcome, Outcome::Info) {
                *process += 3;
                *consumer = [Some(0); KEYS];
            }
        } else {
            *busy = Some(run.acts.len());
            let mut act = begin(*process, event, assigns, &mut value, rng);
            if unruly {
                scatter(&mut act, &mut logs, rng);
            }
            run.acts.push(act);
        }
        event += 1;
    }
    // Nobody was told where the rest stands.
    let open = run.acts.iter_mut().filter(|act| act.outcome == Outcome::Never);
    open.flat_map(|act| &mut act.sends).for_each(|item| item.1 = None);
    run
}

fn begin(process: u32, call: usize, assigns: bool, value: &mut i64, rng: &mut ChaCha8Rng) -> Act {
    let (mut sends, mut polls) = (Vec::new(), Vec::new());
    let mut what = What::Txn;
    if assigns && rng.random_bool(0.2) {
        let keys: Vec<usize> = (0..KEYS).filter(|_| rng.random_bool(0.6)).collect();
        what = if rng.random_bool(0.7) { What::Assign(keys) } else { What::Subscribe(keys) };
    } else {
        for _ in 0..rng.random_range(1..4) {
            if rng.random_bool(0.5) {
                *value += 1;
                sends.push((rng.random_range(0..KEYS), None, *value));
            } else {
                polls.push(Vec::new());
            }
        }
    }
    let (outcome, rebalanced) = (Outcome::Never, Vec::new());
    Act { process, call, end: 0, outcome, what, sends, polls, rebalanced }
}

/// Puts some of what is sent at once where it should not be.
fn scatter(act: &mut Act, logs: &mut [Vec<Option<i64>>], rng: &mut ChaCha8Rng) {
    for (key, offset, value) in &mut act.sends {
        if rng.random_bool(0.3) {
            continue;
        }
        let log = &mut logs[*key];
        let free: Vec<usize> = (0..log.len()).filter(|at| log[*at].is_none()).collect();
        let at = match free.choose(rng) {
            Some(at) if rng.random_bool(0.6) => *at,
            _ => log.len() + rng.random_range(0..3),
        };
        log.resize(log.len().max(at + 1), None);
        log[at] = Some(*value);
        *offset = rng.random_bool(0.8).then_some(at as i64);
    }
}

fn complete(
    act: &mut Act,
    consumer: &mut Consumer,
    logs: &mut [Vec<Option<i64>>],
    rng: &mut ChaCha8Rng,
) {
    act.outcome =
        *[Outcome::Ok, Outcome::Ok, Outcome::Ok, Outcome::Ok, Outcome::Fail, Outcome::Info]
            .choose(rng)
            .unwrap();
    if let What::Assign(keys) | What::Subscribe(keys) = &act.what {
        if act.outcome == Outcome::Ok {
            for (key, next) in consumer.iter_mut().enumerate() {
                // What is assigned anew begins at the beginning.
                *next = keys.contains(&key).then(|| next.unwrap_or(0));
            }
        }
        return;
    }
    let committed = match act.outcome {
        Outcome::Ok => true,
        Outcome::Fail => false,
        Outcome::Info | Outcome::Never => rng.random_bool(0.5),
    };
    let mut at = *consumer;
    for poll in &mut act.polls {
        for (key, next) in at.iter_mut().enumerate() {
            let Some(next) = next else { continue };
            for _ in 0..rng.random_range(0..3) {
                // Marks of the broker are not seen.
                while logs[key].get(*next) == Some(&None) {
                    *next += 1;
                }
                let Some(Some(value)) = logs[key].get(*next) else { break };
                let offset = rng.random_bool(0.95).then_some(*next as i64);
                poll.push((key, offset, *value));
                *next += 1;
            }
        }
    }
    if act.outcome == Outcome::Ok {
        *consumer = at;
    }
    for (key, offset, value) in act.sends.iter_mut().filter(|_| committed) {
        if logs[*key].contains(&Some(*value)) {
            continue;
        }
        if rng.random_bool(0.2) {
            logs[*key].push(None);
        }
        *offset = rng.random_bool(0.8).then_some(logs[*key].len() as i64);
        logs[*key].push(Some(*value));
    }
}

/// Puts one mistake in.
pub(super) fn mutate(run: &mut Run, rng: &mut ChaCha8Rng) {
    let values: Vec<Item> = run.acts.iter().flat_map(|act| act.sends.clone()).collect();
    let Some(at) = (0..run.acts.len()).collect::<Vec<_>>().choose(rng).copied() else { return };
    let act = &mut run.acts[at];
    if act.what != What::Txn || act.outcome == Outcome::Never {
        return;
    }
    let polls = act.polls.len();
    match rng.random_range(0..9) {
        0 => act.outcome = if act.outcome == Outcome::Ok { Outcome::Fail } else { act.outcome },
        1 => {
            if let Some((_, Some(offset), _)) = act.sends.iter_mut().last() {
                *offset = (*offset + rng.random_range(-1..3)).max(0);
            }
        }
        2 if act.sends.len() > 1 => {
            let first = act.sends[0];
            let last = act.sends.len() - 1;
            (act.sends[0].1, act.sends[last].1) = (act.sends[last].1, first.1);
        }
        _ if polls == 0 => {}
        3 => act.polls[rng.random_range(0..polls)].reverse(),
        4 => drop(act.polls[rng.random_range(0..polls)].pop()),
        5 => {
            let poll = &mut act.polls[rng.random_range(0..polls)];
            poll.extend(poll.first().copied());
        }
        6 => {
            // Something that was sent, wherever it stands, or was not.
            if let Some((key, offset, value)) = values.choose(rng).copied() {
                let offset =
                    offset.or_else(|| rng.random_bool(0.5).then(|| rng.random_range(0..6)));
                let value = if rng.random_bool(0.4) { 900 + at as i64 } else { value };
                act.polls[rng.random_range(0..polls)].push((key, offset, value));
            }
        }
        7 => {
            if let Some((_, Some(offset), _)) = act.polls.iter_mut().flatten().last() {
                *offset = (*offset + rng.random_range(-1..3)).max(0);
            }
        }
        _ => act.rebalanced.push(rng.random_range(0..KEYS)),
    }
}
