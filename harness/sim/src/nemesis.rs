//! The operations of the process `nemesis` in virtual time: when a fault strikes, and what is waited for. Which nodes and links a fault means,
//! and the operations themselves, are the nemesis crate's, as on real nodes; what a fault does is in `strikes`.

use std::collections::{BTreeMap, BTreeSet};

use keelhaul_engine::generator::Thread;
use keelhaul_engine::interpreter::Completion;
use keelhaul_engine::{Invocation, Outcome};
use keelhaul_history::{NodeId, Value};
use keelhaul_nemesis::{ClockSpec, Effect, Link, Moment, ScheduledFault, Spec, names, reference};
use keelhaul_protocol::kv::Response;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use crate::around::Seen;
use crate::disk::Trip;
use crate::system::Simulated;
use crate::world::{Event, MS, Sim};

/// How long an operation of the nemesis takes that has nothing to wait for.
const STEP: u64 = MS;
/// How long a restarted process is given to end by itself, as on real nodes.
const SETTLE: u64 = 200 * MS;
/// How long the store may take to become well once everything is healed, and the pause between two looks.
const RECOVERY_LIMIT: u64 = 30_000 * MS;
const RECOVERY_POLL: u64 = 200 * MS;
/// How long the store must be well with one leader: a cluster that elects another all the time is well now and then.
const STEADY: u64 = 1_000 * MS;
/// How long an operator waits for an answer before it goes on.
const ANSWER: u64 = 100 * MS;
/// How long a fault waits for the moment it is aimed at, before it strikes without: an election may be over by then.
const MOMENT_LIMIT: u64 = 700 * MS;

/// What the nemesis is in the middle of.
#[derive(Debug)]
pub(crate) enum Doing {
    /// An operation that is done, told when its time has passed.
    Done(Outcome),
    /// Waits for a moment.
    Aiming {
        fault: usize,
    },
    /// Waits for disks that were armed to go dark.
    Armed {
        fault: usize,
        nodes: Vec<usize>,
    },
    /// Waits for started processes to settle.
    Settling(usize),
    /// Waits for the answer to a request of an operator.
    Asked {
        fault: usize,
    },
    /// Lets clocks run fast and slow by turns.
    Strobing {
        fault: usize,
        spec: ClockSpec,
        turn: u32,
    },
    /// Waits for a member to be let go, or in.
    Leaving {
        fault: usize,
        until: u64,
    },
    Joining {
        fault: usize,
        until: u64,
    },
    /// Waits until the store is well, which it was with one leader since the second time.
    Recovering {
        since: u64,
        steady: Option<Steady>,
    },
}

/// A cluster that is well: who leads in which term, and since when.
pub(crate) type Steady = ((Option<NodeId>, u64), u64);

/// Who is struck, and how.
#[derive(Debug, Default)]
pub(crate) struct Struck {
    pub(crate) doing: Option<Doing>,
    /// Counts waits, so that the end of one that a moment has cut short is known.
    pub(crate) waits: u64,
    pub(crate) nodes: BTreeMap<u64, Vec<NodeId>>,
    pub(crate) links: BTreeMap<u64, BTreeSet<Link>>,
    /// Links that are not cut, and what is done to them.
    pub(crate) shaped: BTreeMap<u64, (BTreeSet<Link>, Effect)>,
    /// Torn cuts to come, by node.
    pub(crate) torn: BTreeMap<usize, u64>,
    /// Which fault tells clocks anything.
    pub(crate) clocks: Option<u64>,
    /// What became of requests of an operator, by fault.
    pub(crate) answers: BTreeMap<u64, Response>,
}

impl Struck {
    /// What chance keeps of what an armed disk had not synced.
    pub(crate) fn torn(&mut self, node: usize) -> Option<ChaCha8Rng> {
        self.torn.remove(&node).map(ChaCha8Rng::seed_from_u64)
    }

    /// Whom a fault struck.
    pub(crate) fn struck(&self, fault: u64) -> Vec<usize> {
        self.nodes.get(&fault).into_iter().flatten().copied().map(at).collect()
    }

    pub(crate) fn busy(&self) -> Vec<NodeId> {
        self.nodes.values().flatten().copied().collect()
    }
}

pub(crate) fn at(id: NodeId) -> usize {
    usize::from(id.0) - 1
}

pub(crate) fn id(node: usize) -> NodeId {
    NodeId(node as u16 + 1)
}

impl<P: Simulated> Sim<'_, P> {
    /// An operation of the nemesis begins.
    pub(crate) fn begin(&mut self, op: &Invocation) {
        let fault = op.value.get("fault").and_then(Value::as_int).and_then(|id| {
            self.plan.schedule.faults.iter().position(|fault| i64::try_from(fault.id) == Ok(id))
        });
        match (op.f.as_str(), fault) {
            ("leader", _) => {
                let (leader, term) = self.leadership();
                let leader = leader.map(|leader| leader.to_string()).into();
                self.done(Outcome::Ok(Value::map([
                    ("leader", leader),
                    ("term", Value::Int(term.cast_signed())),
                ])));
            }
            ("await-healthy", _) => {
                self.wait(STEP, Doing::Recovering { since: self.now, steady: None });
            }
            ("inject", Some(fault)) => self.aim(fault),
            ("verify", Some(fault)) if self.is_open(fault) => {
                self.wait(ANSWER, Doing::Asked { fault });
            }
            ("verify", Some(fault)) => {
                let seen = self.in_effect(&self.plan.schedule.faults[fault]);
                self.done(self.seen_or(fault, seen, "not in effect"));
            }
            ("heal", Some(fault)) => {
                self.heal(fault);
                self.done(Outcome::Ok(reference(&self.plan.schedule.faults[fault])));
            }
            ("verify-healed", Some(fault)) if self.is_request(fault) => {
                self.done(Outcome::Ok(reference(&self.plan.schedule.faults[fault])));
            }
            ("verify-healed", Some(fault)) if self.is_of_members(fault) => {
                self.joining(fault, self.patience());
            }
            ("verify-healed", Some(fault)) => {
                let restarted =
                    !self.nemesis.struck(self.plan.schedule.faults[fault].id).is_empty();
                self.wait(if restarted { SETTLE } else { STEP }, Doing::Settling(fault));
            }
            (other, _) => self.done(Outcome::Fail(format!("the nemesis cannot {other}").into())),
        }
    }

    fn seen_or(&self, fault: usize, seen: Result<(), String>, not: &str) -> Outcome {
        match seen {
            Ok(()) => Outcome::Ok(reference(&self.plan.schedule.faults[fault])),
            Err(why) => Outcome::Fail(format!("{not}: {why}").into()),
        }
    }

    fn done(&mut self, outcome: Outcome) {
        self.wait(STEP, Doing::Done(outcome));
    }

    pub(crate) fn wait(&mut self, time: u64, doing: Doing) {
        self.nemesis.doing = Some(doing);
        self.nemesis.waits += 1;
        self.queue.push(self.now + time, Event::Nemesis { wait: self.nemesis.waits });
    }

    /// The time that the nemesis waited for has come.
    pub(crate) fn go_on(&mut self, wait: u64) {
        if wait != self.nemesis.waits {
            return;
        }
        match self.nemesis.doing.take() {
            Some(Doing::Done(outcome)) => {
                self.completions.push(Completion { thread: Thread::Nemesis, outcome });
            }
            Some(Doing::Aiming { fault }) => self.strike(fault, None),
            Some(Doing::Armed { fault, nodes }) => {
                let late: Vec<usize> =
                    nodes.iter().copied().filter(|node| !self.is_down(*node)).collect();
                late.into_iter().for_each(|node| self.cut_power(node));
                self.power_is_cut(fault, &nodes);
            }
            Some(Doing::Asked { fault }) => {
                let seen = self.in_effect(&self.plan.schedule.faults[fault]);
                self.done(self.seen_or(fault, seen, "not in effect"));
            }
            Some(Doing::Settling(fault)) => self.settle(fault),
            Some(Doing::Strobing { fault, spec, turn }) => self.strobe(fault, spec, turn),
            Some(Doing::Leaving { fault, until }) => self.leaving(fault, until),
            Some(Doing::Joining { fault, until }) => self.joining(fault, until),
            Some(Doing::Recovering { since, steady }) => self.recover(since, steady),
            None => {}
        }
    }

    /// A fault was healed, and that had time to show.
    pub(crate) fn settle(&mut self, fault: usize) {
        let healed = self.healed(fault);
        self.done(self.seen_or(fault, healed, "not healed"));
    }

    /// Looks whether the store is well, and was for long enough.
    fn recover(&mut self, since: u64, steady: Option<Steady>) {
        let (unready, who) = (self.unready(), self.leadership());
        let steady = match (&unready, steady) {
            (Some(_), _) => None,
            (None, Some((led_by, from))) if led_by == who => Some((who, from)),
            (None, _) => Some((who, self.now)),
        };
        if steady.is_some_and(|(_, from)| self.now - from >= STEADY) {
            self.done(Outcome::Ok(Value::Null));
        } else if self.now - since > RECOVERY_LIMIT {
            let why = unready.unwrap_or_else(|| "it has one leader after the other".into());
            self.healthy = Some(why.clone());
            self.done(Outcome::Fail(why.into()));
        } else {
            self.wait(RECOVERY_POLL, Doing::Recovering { since, steady });
        }
    }

    /// A fault is due: it strikes now, or when its moment comes.
    fn aim(&mut self, fault: usize) {
        let spec = &self.plan.schedule.faults[fault];
        match (spec.moment, &spec.spec) {
            (Some(Moment::Sync), Spec::Power { .. } | Spec::Kill { .. }) => {
                self.arm(fault, Trip::Sync);
            }
            (Some(Moment::Snapshot), Spec::Power { .. }) => self.arm(fault, Trip::Snapshot),
            (
                Some(
                    Moment::Vote
                    | Moment::Elected
                    | Moment::Commit
                    | Moment::Snapshot
                    | Moment::Round,
                ),
                _,
            ) => {
                self.wait(MOMENT_LIMIT, Doing::Aiming { fault });
            }
            _ => self.strike(fault, None),
        }
    }

    /// Looks whether the moment that a fault waits for has come at a node.
    pub(crate) fn look_for_moments(&mut self, node: usize) {
        let Seen { vote, elected, commit, snapshot, round } = std::mem::take(&mut self.seen);
        match &self.nemesis.doing {
            Some(Doing::Aiming { fault }) => {
                let fault = *fault;
                let came = match self.plan.schedule.faults[fault].moment {
                    Some(Moment::Vote) => vote,
                    Some(Moment::Elected) => elected,
                    Some(Moment::Commit) => commit,
                    Some(Moment::Snapshot) => snapshot,
                    Some(Moment::Round) => round,
                    _ => false,
                };
                if came {
                    self.nemesis.doing = None;
                    self.strike(fault, Some(node));
                }
            }
            Some(Doing::Armed { fault, nodes }) if nodes.iter().all(|n| self.is_down(*n)) => {
                let (fault, nodes) = (*fault, nodes.clone());
                self.power_is_cut(fault, &nodes);
            }
            _ => {}
        }
    }

    fn arm(&mut self, fault: usize, trip: Trip) {
        let scheduled = self.plan.schedule.faults[fault].clone();
        let (Spec::Power { target, .. } | Spec::Kill { target }) = scheduled.spec else { return };
        let nodes = self.choose(&scheduled, target, None);
        if nodes.is_empty() {
            self.nothing_to_strike(&scheduled);
            return;
        }
        for &node in &nodes {
            if let Spec::Power { torn: Some(seed), .. } = scheduled.spec {
                self.nemesis.torn.insert(node, seed.wrapping_add(node as u64));
            }
            self.nodes[node].disk.set_trip(Some(trip));
        }
        self.wait(MOMENT_LIMIT, Doing::Armed { fault, nodes });
    }

    fn power_is_cut(&mut self, fault: usize, nodes: &[usize]) {
        let named: Vec<NodeId> = nodes.iter().copied().map(id).collect();
        let fault = self.plan.schedule.faults[fault].clone();
        self.injected(&fault, &named, format!("power, at a moment: {}", names(&named)));
    }

    pub(crate) fn nothing_to_strike(&mut self, fault: &ScheduledFault) {
        self.nemesis.nodes.remove(&fault.id);
        self.done(Outcome::Fail(
            "all that it could strike is struck by another fault already".into(),
        ));
    }

    pub(crate) fn injected(&mut self, fault: &ScheduledFault, nodes: &[NodeId], label: String) {
        let nodes: Vec<String> = nodes.iter().map(ToString::to_string).collect();
        self.done(Outcome::Ok(Value::map([
            ("fault", Value::Int(fault.id.cast_signed())),
            ("kind", fault.spec.kind().into()),
            ("label", label.into()),
            ("nodes", nodes.into()),
        ])));
    }
}
