//! A made-up run, large or small, with faults, a changing leader and, on request, a stale read.

use std::collections::BTreeMap;

use keelhaul_checkers::{Check, Evidence, EvidenceOp, Verdict};
use keelhaul_history::{F, Header, Kind, NodeId, Op, Process, Value, Writer};
use keelhaul_results::Judgement;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

/// What to make up.
pub struct Plan {
    pub seconds: u64,
    /// Mean pause between two operations of a process, in microseconds.
    pub pause_us: u64,
    pub stale_read: bool,
}

pub struct Made {
    pub history: Vec<u8>,
    pub judgement: Judgement,
}

const MS: u64 = 1_000_000;
const FAULTS: [(&str, &str, &[u16]); 4] = [
    ("partition", "partition: n1 n2 | n3 n4 n5", &[1, 2]),
    ("kill", "kill: n2", &[2]),
    ("pause", "pause: n4", &[4]),
    ("partition", "partition: n3 alone", &[3]),
];

struct Maker {
    rng: ChaCha8Rng,
    /// Events by time; the number keeps those of one time in order.
    events: BTreeMap<(u64, u64), Op>,
    number: u64,
}

impl Maker {
    fn push(&mut self, op: Op) {
        self.number += 1;
        self.events.insert((op.time_ns, self.number), op);
    }

    fn nemesis(&mut self, time_ns: u64, kind: Kind, f: &str, value: Value, error: Option<&str>) {
        let (key, node, error) = (None, None, error.map(Into::into));
        let process = Process::Nemesis;
        self.push(Op { index: 0, time_ns, process, kind, f: F::from(f), key, value, node, error });
    }

    /// Faults of three seconds, every five; the third of each round is never seen in effect.
    fn faults(&mut self, seconds: u64) {
        for (i, start) in (3..seconds.saturating_sub(3)).step_by(5).enumerate() {
            let (kind, label, nodes) = FAULTS[i % FAULTS.len()];
            let at = start * 1000 * MS;
            let short = || Value::map([("fault", Value::Int(i as i64)), ("kind", kind.into())]);
            let nodes: Vec<Value> = nodes.iter().map(|n| Value::from(format!("n{n}"))).collect();
            let full = Value::map([
                ("fault", Value::Int(i as i64)),
                ("kind", kind.into()),
                ("label", label.into()),
                ("nodes", Value::from(nodes)),
            ]);
            self.nemesis(at, Kind::Invoke, "inject", short(), None);
            self.nemesis(at + 12 * MS, Kind::Ok, "inject", full, None);
            self.nemesis(at + 15 * MS, Kind::Invoke, "verify", short(), None);
            if i == 6 {
                let why = Some("the process still answers");
                self.nemesis(at + 40 * MS, Kind::Fail, "verify", short(), why);
            } else {
                self.nemesis(at + 40 * MS, Kind::Ok, "verify", short(), None);
            }
            for (offset, f) in [(3000, "heal"), (3020, "verify-healed")] {
                self.nemesis(at + offset * MS, Kind::Invoke, f, short(), None);
                self.nemesis(at + (offset + 15) * MS, Kind::Ok, f, short(), None);
            }
            let leader = |leader: Option<&str>, term: i64| {
                Value::map([("leader", leader.into()), ("term", Value::Int(term))])
            };
            let next = format!("n{}", 1 + (i + 2) % 5);
            for (offset, who, term) in
                [(100, None, i as i64 + 2), (900, Some(next.as_str()), i as i64 + 3)]
            {
                self.nemesis(at + offset * MS, Kind::Invoke, "leader", Value::Null, None);
                self.nemesis(at + (offset + 5) * MS, Kind::Ok, "leader", leader(who, term), None);
            }
        }
    }

    fn clients(&mut self, plan: &Plan) {
        for worker in 0..10u32 {
            let mut process = worker;
            let mut now = self.rng.random_range(0..3 * MS);
            while now < plan.seconds * 1000 * MS {
                let (kind, error, latency) = self.outcome(now);
                let f = [F::Read, F::Write, F::Cas][self.rng.random_range(0..3usize)].clone();
                let (a, b) = (self.rng.random_range(0..50i64), self.rng.random_range(0..50i64));
                let (argument, result) = match f {
                    F::Read => (Value::Null, Value::Int(a)),
                    F::Cas => (Value::pair(a, b), Value::pair(a, b)),
                    _ => (Value::Int(a), Value::Int(a)),
                };
                let invoke = Op {
                    index: 0,
                    time_ns: now,
                    process: Process::Client(process),
                    kind: Kind::Invoke,
                    f,
                    key: Some(Value::Int(self.rng.random_range(0..12i64))),
                    value: argument.clone(),
                    node: Some(NodeId(1 + (worker % 5) as u16)),
                    error: None,
                };
                let value = if kind == Kind::Ok { result } else { argument };
                now += latency;
                let error = error.map(Into::into);
                self.push(Op { time_ns: now, kind, value, error, ..invoke.clone() });
                self.push(invoke);
                if kind == Kind::Info {
                    process += 10;
                }
                now += self.rng.random_range(plan.pause_us * 500..plan.pause_us * 1500);
            }
        }
    }

    /// Half a second into each fault nothing works; otherwise a few milliseconds with a long tail.
    fn outcome(&mut self, now: u64) -> (Kind, Option<&'static str>, u64) {
        let into_round = (now / MS + 5000 - 3000) % 5000;
        let tail = -f64::ln(self.rng.random_range(1e-6..1.0));
        let usual = 400_000 + (tail * tail * 900_000.0) as u64;
        match (now > 3000 * MS && into_round < 800, self.rng.random_range(0..10)) {
            (true, 0..7) => (Kind::Fail, Some("not the leader: n3 is"), usual),
            (true, _) => (Kind::Info, Some("timed out after 1 s"), 1000 * MS),
            (false, _) => (Kind::Ok, None, usual),
        }
    }
}

pub fn make(plan: &Plan) -> Made {
    let mut maker = Maker { rng: ChaCha8Rng::seed_from_u64(7), events: BTreeMap::new(), number: 0 };
    maker.faults(plan.seconds);
    maker.clients(plan);
    let mut header = Header::new("raft", "register");
    header.model = "linearizable".into();
    header.nodes = (1..=5).map(|n| format!("n{n}")).collect();
    header.faults = ["partition", "kill", "pause"].map(String::from).to_vec();
    header.seed = 1_234_567;
    header.started = "2026-01-31T12:00:00Z".into();
    let mut writer = Writer::new(Vec::new(), &header).expect("memory takes all");
    let mut open = BTreeMap::new();
    let mut operations = 0;
    for ((_, _), mut op) in maker.events {
        // What is left out at one end is left out at the other: the nemesis does one thing at a time.
        let expected = op.kind == Kind::Invoke;
        if expected == open.contains_key(&op.process) {
            continue;
        }
        if expected {
            open.insert(op.process, op.f.clone());
        } else if open.get(&op.process) == Some(&op.f) {
            open.remove(&op.process);
        } else {
            continue;
        }
        op.index = writer.count();
        operations += u64::from(expected && op.process != Process::Nemesis);
        writer.append(&op).expect("memory takes all");
    }
    let history = writer.seal().expect("memory takes all");
    Made { history, judgement: judgement(plan.stale_read, operations) }
}

fn judgement(stale_read: bool, operations: u64) -> Judgement {
    let check = |name: &str, verdict, reason: &str| Check {
        name: name.into(),
        verdict,
        reason: reason.into(),
        anomalies: Vec::new(),
        evidence: None,
    };
    let mut linearizable = check(
        "linearizable",
        Verdict::Valid,
        "every key has an order that explains all its operations",
    );
    if stale_read {
        linearizable.verdict = Verdict::Invalid;
        linearizable.reason =
            "key 3 has no order that explains all its operations: process 14 read a value that was overwritten".into();
        linearizable.anomalies = vec!["stale-read".into()];
        linearizable.evidence = Some(evidence());
    }
    let progress = check("progress", Verdict::Valid, "operations succeeded during every fault");
    let mut judgement = Judgement::new(vec![linearizable, progress]);
    judgement.operations = operations;
    judgement.elapsed_ms = 212;
    judgement
}

fn evidence() -> Evidence {
    let op = |index, completion, process: &str, label: &str, start_us: u64, end_us: Option<u64>| {
        EvidenceOp {
            index,
            completion,
            process: process.into(),
            label: label.into(),
            start_ns: start_us * 1_000,
            end_ns: end_us.map(|end| end * 1_000),
        }
    };
    Evidence {
        key: Some("3".into()),
        ops: vec![
            op(40_100, Some(40_107), "2", "write 17", 18_100_250, Some(18_103_900)),
            op(40_104, None, "21", "cas 17 -> 4", 18_102_000, None),
            op(40_120, Some(40_131), "5", "write 23", 18_940_000, Some(18_951_000)),
            op(40_125, Some(40_140), "7", "read -> 23", 18_949_500, Some(19_003_000)),
            op(40_141, Some(40_150), "2", "read -> 23", 19_004_000, Some(19_004_700)),
            op(40_160, Some(40_166), "14", "read -> 17", 19_120_100, Some(19_121_300)),
        ],
        longest_order: vec![40_100, 40_120, 40_125, 40_141],
        stuck: vec![40_160],
        minimal: true,
        explanation: vec![
            "Process 5 wrote 23 over 17, and processes 7 and 2 read 23: the write had taken effect by 19.005 s.".into(),
            "Process 14 asked at 19.120 s and read 17. No operation could have written 17 again: the only write of 17 completed at 18.104 s.".into(),
            "So the read saw a value that had been overwritten at least 115 ms before it was asked for.".into(),
        ],
    }
}
