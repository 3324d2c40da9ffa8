//! A made-up run, large or small, with faults, a changing leader and, on request, a stale read.

use std::collections::BTreeMap;

use keelhaul_checkers::{JudgeRequest, Unlimited, judge};
use keelhaul_history::{F, Header, Kind, NodeId, Op, Process, Reader, Value, Writer};
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
                let invoke = Op {
                    index: 0,
                    time_ns: now,
                    process: Process::Client(process),
                    kind: Kind::Invoke,
                    f,
                    key: Some(Value::Int(self.rng.random_range(0..12i64))),
                    value: Value::Null,
                    node: Some(NodeId(1 + (worker % 5) as u16)),
                    error: None,
                };
                now += latency;
                let error = error.map(Into::into);
                self.push(Op { time_ns: now, kind, error, ..invoke.clone() });
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
    let mut store =
        Store { stale_after: plan.stale_read.then_some(18_500 * MS), ..Store::default() };
    for mut op in maker.events.into_values() {
        if store.step(&mut op) {
            op.index = writer.count();
            writer.append(&op).expect("memory takes all");
        }
    }
    let history = writer.seal().expect("memory takes all");
    let judgement = judged(&history);
    Made { history, judgement }
}

/// Registers that take every operation at the moment it completes, and once, if asked to, answer with the past.
#[derive(Default)]
struct Store {
    /// What each register holds, and whether its writer knows that.
    now: BTreeMap<Value, (Value, bool)>,
    /// What it held before, and until when, where both writers know what they did.
    before: BTreeMap<Value, (Value, u64)>,
    open: BTreeMap<Process, Op>,
    written: i64,
    stale_after: Option<u64>,
}

impl Store {
    /// Fills in what the operation does; false for an event that the history must not have.
    fn step(&mut self, op: &mut Op) -> bool {
        if op.kind == Kind::Invoke {
            return self.invoke(op);
        }
        // What was left out at one end is left out at the other.
        if self.open.get(&op.process).is_none_or(|open| open.f != op.f) {
            return false;
        }
        let Some(invoke) = self.open.remove(&op.process) else { return false };
        let Some(key) = invoke.key.clone() else { return true };
        op.key = Some(key.clone());
        op.value = invoke.value.clone();
        let now = self.now.get(&key).cloned().unwrap_or_default().0;
        let takes_effect =
            op.kind == Kind::Ok || (op.kind == Kind::Info && invoke.time_ns.is_multiple_of(2));
        match (&op.f, invoke.value) {
            (F::Read, _) if op.kind == Kind::Ok => {
                op.value = self.read(&key, now, invoke.time_ns, op.time_ns);
            }
            (F::Write, value) if takes_effect => self.write(key, value, op),
            (F::Cas, Value::List(pair)) if takes_effect => {
                if pair[0] == now {
                    self.write(key, pair[1].clone(), op);
                } else if op.kind == Kind::Ok {
                    op.kind = Kind::Fail;
                    op.error = Some("the register holds another value".into());
                }
            }
            _ => {}
        }
        true
    }

    fn invoke(&mut self, op: &mut Op) -> bool {
        if self.open.contains_key(&op.process) {
            return false;
        }
        if let Some(key) = &op.key {
            self.written += 1;
            let now = self.now.get(key).cloned().unwrap_or_default().0;
            op.value = match op.f {
                F::Write => Value::Int(self.written),
                F::Cas => Value::pair(now, self.written),
                _ => Value::Null,
            };
        }
        self.open.insert(op.process, op.clone());
        true
    }

    fn write(&mut self, key: Value, value: Value, op: &Op) {
        let known = op.kind == Kind::Ok;
        match self.now.insert(key.clone(), (value, known)) {
            Some((before, true)) if known => drop(self.before.insert(key, (before, op.time_ns))),
            _ => drop(self.before.remove(&key)),
        }
    }

    fn read(&mut self, key: &Value, now: Value, invoked_ns: u64, time_ns: u64) -> Value {
        match (self.stale_after, self.before.get(key)) {
            (Some(after), Some((before, until))) if time_ns > after && until + MS < invoked_ns => {
                self.stale_after = None;
                before.clone()
            }
            _ => now,
        }
    }
}

/// What the real checkers say.
pub fn judged(history: &[u8]) -> Judgement {
    let reader = Reader::new(history).expect("a header");
    let request = JudgeRequest {
        workload: "register".into(),
        requested_faults: reader.header().faults.clone(),
        ..JudgeRequest::default()
    };
    let answer = judge(reader, &request, &Unlimited).expect("a register history");
    let mut judgement = Judgement::new(answer.checks);
    judgement.operations = answer.operations;
    judgement.elapsed_ms = 212;
    judgement.strongest = answer.strongest;
    judgement.not = answer.not;
    judgement.also_not = answer.also_not;
    judgement.standing = answer.standing;
    judgement.tested = answer.tested;
    judgement.not_tested = answer.not_tested;
    judgement
}
