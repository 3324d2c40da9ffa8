//! Every workload of transactions against simulated databases: the one that promises enough passes, and each that promises less is
//! caught, by what the workload is for.
//!
//! A database keeps all versions of a key. A transaction takes effect at its completion, but what it reads may be older: how
//! much it sees, and whether what it overwrites must be among that, is the database's isolation.

use std::collections::BTreeMap;

use keelhaul_checkers::models::Model;
use keelhaul_checkers::{JudgeRequest, Judgement, Unlimited, Verdict, judge};
use keelhaul_engine::generator::{Combine, phases, simulate};
use keelhaul_engine::interpreter::Dispatch;
use keelhaul_engine::{Invocation, Outcome};
use keelhaul_history::{Header, Process, Reader, Value, Writer};
use keelhaul_sim::stream;
use keelhaul_stores::txn::{Done, Txn};
use keelhaul_workloads::TxnOptions;
use rand::{Rng, RngExt};

use crate::registry::transactional;

/// What the database promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Isolation {
    /// Everything takes effect at one moment: strict serializability.
    Serial,
    /// As serial, but transactions that only read may see the past: strong session serializability.
    StaleReads,
    /// Reads from one moment of the past; what is overwritten must not be newer: strong session snapshot isolation.
    Snapshot,
    /// The same at each of two sites, which learn late what the other committed: parallel snapshot isolation.
    Parallel,
    /// Reads from one moment of the past, and nothing else: updates are lost.
    Unchecked,
    /// Of each key whatever it held lately: nothing.
    Nothing,
}

/// A value of a key.
struct Version {
    value: Value,
    site: usize,
    /// The site's time of the commit.
    committed: u64,
}

use Isolation::{Nothing, Parallel, Serial, Snapshot, StaleReads, Unchecked};

struct Database<R> {
    isolation: Isolation,
    rng: R,
    keys: BTreeMap<String, Vec<Version>>,
    /// By site: commits.
    clocks: [u64; 2],
    /// By site: what it knows of both.
    known: [[u64; 2]; 2],
    /// By process: the newest that it did or saw, at one site.
    sessions: BTreeMap<Process, u64>,
}

/// By how many commits the past may lie behind.
const LAG_MAX: u64 = 6;

impl<R: Rng> Database<R> {
    fn new(isolation: Isolation, rng: R) -> Self {
        Self {
            isolation,
            rng,
            keys: BTreeMap::new(),
            clocks: [0; 2],
            known: [[0; 2]; 2],
            sessions: BTreeMap::new(),
        }
    }

    /// By site: the time up to which a transaction sees what was committed there.
    fn snapshot(&mut self, process: Process, site: usize, only_reads: bool) -> [u64; 2] {
        let past = |rng: &mut R, now: u64| now.saturating_sub(rng.random_range(0..=LAG_MAX));
        match self.isolation {
            Serial => self.clocks,
            StaleReads if !only_reads => self.clocks,
            Parallel => {
                if self.rng.random_bool(0.1) {
                    self.known[site] = self.clocks;
                }
                self.known[site][site] = self.clocks[site];
                self.known[site]
            }
            StaleReads | Snapshot => {
                let session = self.sessions.entry(process).or_default();
                *session = past(&mut self.rng, self.clocks[0]).max(*session);
                [*session, 0]
            }
            Unchecked | Nothing => [past(&mut self.rng, self.clocks[0]), 0],
        }
    }

    fn perform(&mut self, process: Process, op: &Invocation) -> Outcome {
        let txn = Txn::of(op).expect("workloads of transactions have nothing else").unwrap();
        let site = match (self.isolation, process) {
            (Parallel, Process::Client(n)) => n as usize % 2,
            _ => 0,
        };
        // It is known beforehand, from what is put on an empty database, who only reads.
        let only_reads = txn.perform(&|_| Value::Null).is_ok_and(|done| done.puts.is_empty());
        let snapshot = self.snapshot(process, site, only_reads);
        let mut seen = BTreeMap::new();
        for key in txn.reads().into_keys() {
            let at = match self.isolation {
                Nothing => self.snapshot(process, site, only_reads),
                _ => snapshot,
            };
            let versions = self.keys.get(&key).map_or(&[][..], Vec::as_slice);
            let last = versions.iter().rev().find(|v| v.committed <= at[v.site]);
            seen.insert(key, last.map_or(Value::Null, |version| version.value.clone()));
        }
        let holds = |key: &str| seen.get(key).cloned().unwrap_or_default();
        match txn.perform(&holds) {
            Err(why) => Outcome::Fail(why.into()),
            Ok(Done { result, puts }) if puts.is_empty() => Outcome::Ok(result),
            Ok(done) => {
                let outcome = self.commit(site, snapshot, done);
                if matches!(outcome, Outcome::Ok(_)) {
                    self.sessions.insert(process, self.clocks[site]);
                }
                outcome
            }
        }
    }

    fn commit(&mut self, site: usize, snapshot: [u64; 2], Done { result, puts }: Done) -> Outcome {
        let newer = |key: &String| {
            let last = self.keys.get(key).and_then(|versions| versions.last());
            last.is_some_and(|last| last.committed > snapshot[last.site])
        };
        let checked = !matches!(self.isolation, Unchecked | Nothing);
        if checked && puts.keys().any(newer) {
            return Outcome::Fail("a key was modified meanwhile".into());
        }
        self.clocks[site] += 1;
        let committed = self.clocks[site];
        for (key, (_, value)) in puts {
            self.keys.entry(key).or_default().push(Version { value, site, committed });
        }
        Outcome::Ok(result)
    }
}

fn judged(workload: &str, isolation: Isolation, seed: u64) -> Judgement {
    let options = TxnOptions { rate: 400.0, time_limit_ns: 4_000_000_000 };
    let make = transactional(workload).unwrap().make;
    let made = make(options, &mut stream(seed, "workload"));
    let mut database = Database::new(isolation, stream(seed, "database"));
    let mut latency = stream(seed, "latency");
    let history = simulate(
        phases([made.main, made.last]).boxed(),
        10,
        move |_| latency.random_range(1_000_000..20_000_000),
        move |Dispatch { op, process, .. }| database.perform(*process, op),
    );
    let mut writer = Writer::new(Vec::new(), &Header::new("simulated", workload)).unwrap();
    history.iter().for_each(|op| writer.append(op).unwrap());
    let history = writer.seal().map_err(|e| e.source).unwrap();
    let request = JudgeRequest { workload: workload.into(), ..JudgeRequest::default() };
    judge(Reader::new(&history[..]).unwrap(), &request, &Unlimited).unwrap()
}

const SEEDS: std::ops::Range<u64> = 0..2;

/// The workload passes where enough is promised, and finds one of `anomalies` in each of the other databases.
#[track_caller]
fn check(workload: &str, keeps: &[Isolation], breaks: &[Isolation], anomaly: &str) {
    for seed in SEEDS {
        for isolation in keeps {
            let judgement = judged(workload, *isolation, seed);
            assert_eq!(judgement.verdict, Verdict::Valid, "{isolation:?} {seed}: {judgement:#?}");
        }
        for isolation in breaks {
            let judgement = judged(workload, *isolation, seed);
            let found = judgement.anomalies.iter().any(|found| found == anomaly);
            assert!(found, "{isolation:?} {seed}: {:?}", judgement.anomalies);
            let evidence = judgement.checks.iter().find_map(|check| check.evidence.as_ref());
            assert!(evidence.is_some_and(|e| !e.explanation.is_empty() && !e.ops.is_empty()));
        }
    }
}

#[test]
fn a_bank_needs_snapshots_and_no_lost_updates() {
    check("bank", &[Serial, StaleReads, Snapshot, Parallel], &[Unchecked, Nothing], "wrong-total");
}

#[test]
fn a_long_fork_needs_two_sites_or_worse() {
    check(
        "long-fork",
        &[Serial, StaleReads, Snapshot, Unchecked],
        &[Parallel, Nothing],
        "long-fork",
    );
}

#[test]
fn updates_are_lost_where_writers_are_not_checked() {
    let keeps = [Serial, StaleReads, Snapshot, Parallel];
    check("lost-update", &keeps, &[Unchecked, Nothing], "lost-update");
}

#[test]
fn writes_are_skewed_by_snapshots() {
    let breaks = [Snapshot, Parallel, Unchecked, Nothing];
    check("write-skew", &[Serial, StaleReads], &breaks, "write-skew");
}

#[test]
fn registers_of_a_serial_database_break_nothing_and_of_none_much() {
    for seed in SEEDS {
        assert_ne!(judged("rw-register", Serial, seed).verdict, Verdict::Invalid, "{seed}");
        assert_eq!(judged("rw-register", Nothing, seed).verdict, Verdict::Invalid, "{seed}");
    }
}

#[test]
fn lists_tell_every_level_from_the_others() {
    let levels = [
        (Serial, Some(Model::StrictSerializable), None),
        (StaleReads, Some(Model::StrongSessionSerializable), Some(Model::StrictSerializable)),
        (Snapshot, Some(Model::StrongSessionSnapshotIsolation), Some(Model::Serializable)),
        (Parallel, Some(Model::ParallelSnapshotIsolation), Some(Model::SnapshotIsolation)),
        // Who overwrites a list that it did not see takes elements out of it.
        (Unchecked, None, Some(Model::ReadUncommitted)),
        (Nothing, None, Some(Model::ReadUncommitted)),
    ];
    for (seed, (isolation, kept, broken)) in
        SEEDS.flat_map(|seed| levels.map(|level| (seed, level)))
    {
        let judgement = judged("list-append", isolation, seed);
        let verdict = |model: Model| {
            let standing = judgement.standing.iter().find(|s| s.model == model.name());
            let check = judgement.checks.iter().find(|check| check.name == model.name());
            standing.map(|s| s.verdict).or(check.map(|check| check.verdict))
        };
        for (model, expected) in [(kept, Verdict::Valid), (broken, Verdict::Invalid)] {
            let found = model.map_or(Some(expected), verdict);
            assert_eq!(found, Some(expected), "{isolation:?} {seed} {model:?}");
        }
    }
}
