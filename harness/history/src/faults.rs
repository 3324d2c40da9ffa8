//! Which faults were in effect when, and who led, as the history tells it.
//!
//! The nemesis performs four operations for each fault: `inject`, `verify`, `heal` and `verify-healed`, each
//! invoked and completed under [`Process::Nemesis`]. Their value is a map with the fault's number under `fault` and
//! its kind under `kind`; inject's completion adds a short text for people under `label`, and the nodes concerned
//! under `nodes`. An ok of `verify` means that the fault was seen in effect; a fail that it was not.
//!
//! Its operation `leader` reports who leads: the value of its ok is `{"leader":"n2","term":5}`, the leader null where
//! there is none.
//!
//! A window runs from the completion of inject to the invocation of heal: inside it the fault was fully there. What
//! happens while it is being injected or healed belongs to no window. A fault that is all in its injection, such as nodes that are restarted one after
//! the other, says `"gradual":true` on inject's completion: its window begins with inject's invocation.

use std::collections::BTreeMap;

use crate::{Kind, NodeId, Op, Process, RawOp, Value};

/// A fault and the time it was there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FaultWindow {
    /// Its number, unique in a history.
    pub id: u64,
    /// Its kind, e.g. `partition`.
    pub kind: String,
    /// What it did, for people, e.g. `partition: n1 n2 | n3 n4 n5`.
    pub label: String,
    /// When its injection completed; when that was invoked where it never did, or was all of the fault.
    pub injected_ns: u64,
    /// Whether it was verified to be in effect. Only such a fault counts as tested.
    pub effective: bool,
    /// When its healing began; absent where it was there to the end of the history.
    pub healed_ns: Option<u64>,
    /// Whether it was verified to be gone.
    pub healed_verified: bool,
    /// The nodes concerned.
    pub nodes: Vec<NodeId>,
    /// Why it was not verified in effect or not verified healed, where the nemesis said so.
    pub error: Option<String>,
}

/// A time in which one node was known to lead, or none was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaderSpan {
    /// Who led; absent where nobody did.
    pub leader: Option<NodeId>,
    /// In which term, where the store has such a thing.
    pub term: Option<i64>,
    /// When this was first seen.
    pub from_ns: u64,
    /// When something else was seen, or the end of the history.
    pub to_ns: u64,
}

/// What the nemesis' part of a history comes to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Timeline {
    /// In order of injection.
    pub faults: Vec<FaultWindow>,
    /// In order of time; they do not overlap.
    pub leaders: Vec<LeaderSpan>,
}

/// Collects the nemesis' ops of a history in one pass.
#[derive(Debug, Default)]
pub struct Collector {
    windows: Vec<FaultWindow>,
    by_id: BTreeMap<u64, usize>,
    leaders: Vec<LeaderSpan>,
}

impl Collector {
    /// Takes the next op of a history; one of a client costs nothing.
    #[inline]
    pub fn observe_raw(&mut self, op: &RawOp<'_>) {
        if op.process == Process::Nemesis {
            self.observe(&op.to_op());
        }
    }

    /// Takes the next op of a history.
    pub fn observe(&mut self, op: &Op) {
        if op.process != Process::Nemesis {
            return;
        }
        match (op.f.as_str(), op.kind) {
            ("inject", _) => self.inject(op),
            ("verify", Kind::Ok) => self.update(op, |window| window.effective = true),
            ("heal", Kind::Invoke) => {
                let at = op.time_ns;
                self.update(op, |window| window.healed_ns = window.healed_ns.or(Some(at)));
            }
            ("verify-healed", Kind::Ok) => self.update(op, |window| window.healed_verified = true),
            ("verify" | "heal" | "verify-healed", Kind::Fail | Kind::Info) => {
                self.update(op, |window| {
                    let why = op.error.as_deref().unwrap_or("no reason given");
                    window.error.get_or_insert_with(|| format!("{}: {why}", op.f));
                });
            }
            ("leader", Kind::Ok) => self.leader(op),
            _ => {}
        }
    }

    /// Ends with the time of the history's last op.
    #[must_use]
    pub fn finish(mut self, end_ns: u64) -> Timeline {
        if let Some(last) = self.leaders.last_mut() {
            last.to_ns = end_ns;
        }
        Timeline { faults: self.windows, leaders: self.leaders }
    }

    fn inject(&mut self, op: &Op) {
        let Some(id) = fault_id(op) else { return };
        let next = self.windows.len();
        let at = *self.by_id.entry(id).or_insert(next);
        if at == next {
            self.windows.push(FaultWindow {
                id,
                kind: String::new(),
                label: String::new(),
                injected_ns: op.time_ns,
                effective: false,
                healed_ns: None,
                healed_verified: false,
                nodes: Vec::new(),
                error: None,
            });
        }
        let window = &mut self.windows[at];
        let gradual = op.value.get("gradual") == Some(&Value::Bool(true));
        if op.kind != Kind::Invoke && !gradual {
            window.injected_ns = op.time_ns;
        }
        if let Some(error) = &op.error {
            window.error = Some(format!("inject: {error}"));
        }
        if let Some(kind) = op.value.get("kind").and_then(Value::as_str) {
            window.kind = kind.into();
        }
        if let Some(label) = op.value.get("label").and_then(Value::as_str) {
            window.label = label.into();
        } else if window.label.is_empty() {
            window.label.clone_from(&window.kind);
        }
        if let Some(nodes) = op.value.get("nodes").and_then(Value::as_list) {
            window.nodes = nodes.iter().filter_map(node).collect();
        }
    }

    fn update(&mut self, op: &Op, change: impl FnOnce(&mut FaultWindow)) {
        if let Some(&at) = fault_id(op).and_then(|id| self.by_id.get(&id)) {
            change(&mut self.windows[at]);
        }
    }

    fn leader(&mut self, op: &Op) {
        let leader = op.value.get("leader").and_then(node);
        let term = op.value.get("term").and_then(Value::as_int);
        if let Some(last) = self.leaders.last_mut() {
            last.to_ns = op.time_ns;
            if (last.leader, last.term) == (leader, term) {
                return;
            }
        }
        let (from_ns, to_ns) = (op.time_ns, op.time_ns);
        self.leaders.push(LeaderSpan { leader, term, from_ns, to_ns });
    }
}

/// The timeline of a history held in memory.
#[must_use]
pub fn timeline<'a>(ops: impl IntoIterator<Item = &'a Op>) -> Timeline {
    let mut collector = Collector::default();
    let mut end_ns = 0;
    for op in ops {
        collector.observe(op);
        end_ns = op.time_ns;
    }
    collector.finish(end_ns)
}

/// The faults of a history held in memory.
#[must_use]
pub fn fault_windows<'a>(ops: impl IntoIterator<Item = &'a Op>) -> Vec<FaultWindow> {
    timeline(ops).faults
}

/// The leaders of a history held in memory.
#[must_use]
pub fn leader_spans<'a>(ops: impl IntoIterator<Item = &'a Op>) -> Vec<LeaderSpan> {
    timeline(ops).leaders
}

fn fault_id(op: &Op) -> Option<u64> {
    op.value.get("fault").and_then(Value::as_int).and_then(|id| id.try_into().ok())
}

fn node(value: &Value) -> Option<NodeId> {
    value.as_str().and_then(|name| name.parse().ok())
}
