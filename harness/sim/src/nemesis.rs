//! Carrying out a schedule's faults in virtual time. Which nodes and links a fault means, and the operations of the process `nemesis`, are
//! the nemesis crate's, as on real nodes; only the doing is here.

use std::collections::{BTreeMap, BTreeSet};

use keelhaul_engine::generator::Thread;
use keelhaul_engine::interpreter::Completion;
use keelhaul_engine::{Invocation, Outcome};
use keelhaul_history::{NodeId, Value};
use keelhaul_nemesis::{
    Direction, Effect, Link, LinkSpec, Moment, ScheduledFault, Shape, Spec, Target, label, links,
    names, reference,
};
use keelhaul_protocol::kv::Response;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use crate::around::Seen;
use crate::disk::Trip;
use crate::links::{Way, ways};
use crate::system::Simulated;
use crate::world::{Event, MS, Sim};

/// How long an operation of the nemesis takes that has nothing to wait for.
const STEP: u64 = MS;
/// How long a restarted process is given to end by itself, as on real nodes.
const SETTLE: u64 = 200 * MS;
/// How long the store may take to become well once everything is healed, and the pause between two looks.
const RECOVERY_LIMIT: u64 = 30_000 * MS;
const RECOVERY_POLL: u64 = 200 * MS;
/// How long an operator waits for an answer before it goes on.
const ANSWER: u64 = 100 * MS;
/// How long a fault waits for the moment it is aimed at, before it strikes without.
const MOMENT_LIMIT: u64 = 400 * MS;

/// What the nemesis is in the middle of.
#[derive(Debug)]
pub(crate) enum Doing {
    /// An operation that is done, told when its time has passed.
    Done(Outcome),
    /// Waits for a moment.
    Aiming { fault: usize },
    /// Waits for disks that were armed to go dark.
    Armed { fault: usize, nodes: Vec<usize> },
    /// Waits for started processes to settle.
    Settling(usize),
    /// Waits for the answer to a request of an operator.
    Asked { fault: usize },
    /// Waits until the store is well.
    Recovering { since: u64 },
}

/// Who is struck, and how.
#[derive(Debug, Default)]
pub(crate) struct Struck {
    pub(crate) doing: Option<Doing>,
    /// Counts waits, so that the end of one that a moment has cut short is known.
    pub(crate) waits: u64,
    nodes: BTreeMap<u64, Vec<NodeId>>,
    links: BTreeMap<u64, BTreeSet<Link>>,
    /// Links that are not cut, and what is done to them.
    shaped: BTreeMap<u64, (BTreeSet<Link>, Effect)>,
    /// Torn cuts to come, by node.
    torn: BTreeMap<usize, u64>,
    /// What became of requests of an operator, by fault.
    pub(crate) answers: BTreeMap<u64, Response>,
}

impl Struck {
    /// What chance keeps of what an armed disk had not synced.
    pub(crate) fn torn(&mut self, node: usize) -> Option<ChaCha8Rng> {
        self.torn.remove(&node).map(ChaCha8Rng::seed_from_u64)
    }

    fn busy(&self) -> Vec<NodeId> {
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
            ("await-healthy", _) => self.wait(STEP, Doing::Recovering { since: self.now }),
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
            ("verify-healed", Some(fault)) => self.wait(SETTLE, Doing::Settling(fault)),
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

    fn wait(&mut self, time: u64, doing: Doing) {
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
            Some(Doing::Settling(fault)) => {
                let healed = self.healed(fault);
                self.done(self.seen_or(fault, healed, "not healed"));
            }
            Some(Doing::Recovering { since }) => match self.unready() {
                None => self.done(Outcome::Ok(Value::Null)),
                Some(why) if self.now - since > RECOVERY_LIMIT => {
                    self.healthy = Some(why.clone());
                    self.done(Outcome::Fail(why.into()));
                }
                Some(_) => self.wait(RECOVERY_POLL, Doing::Recovering { since }),
            },
            None => {}
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
            (Some(Moment::Vote | Moment::Elected | Moment::Snapshot), _) => {
                self.wait(MOMENT_LIMIT, Doing::Aiming { fault });
            }
            _ => self.strike(fault, None),
        }
    }

    /// Looks whether the moment that a fault waits for has come at a node.
    pub(crate) fn look_for_moments(&mut self, node: usize) {
        let Seen { vote, elected, snapshot } = std::mem::take(&mut self.seen);
        match &self.nemesis.doing {
            Some(Doing::Aiming { fault }) => {
                let fault = *fault;
                let came = match self.plan.schedule.faults[fault].moment {
                    Some(Moment::Vote) => vote,
                    Some(Moment::Elected) => elected,
                    Some(Moment::Snapshot) => snapshot,
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

    /// Victims of a process fault; the node where a moment came about is preferred.
    fn choose(
        &mut self,
        fault: &ScheduledFault,
        target: Target,
        actor: Option<usize>,
    ) -> Vec<usize> {
        let mut order = fault.order();
        if let Some(position) = actor.and_then(|a| order.iter().position(|node| *node == id(a))) {
            order[..=position].rotate_right(1);
        }
        let leader = match (target, actor) {
            // The actor is what the fault is aimed at.
            (Target::Leader, Some(actor)) => Some(id(actor)),
            (Target::Leader | Target::Followers, _) => self.leadership().0,
            _ => None,
        };
        let nodes = target.pick(&order, leader, &self.nemesis.busy());
        self.nemesis.nodes.insert(fault.id, nodes.clone());
        nodes.into_iter().map(at).collect()
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

    fn nothing_to_strike(&mut self, fault: &ScheduledFault) {
        self.nemesis.nodes.remove(&fault.id);
        self.done(Outcome::Fail(
            "every node it could strike is struck by another fault already".into(),
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

    /// A fault strikes.
    fn strike(&mut self, fault: usize, actor: Option<usize>) {
        let fault = self.plan.schedule.faults[fault].clone();
        let target = match &fault.spec {
            Spec::Partition { shape, direction } => {
                return self.strike_links(&fault, *shape, *direction, None, actor);
            }
            Spec::Links(spec) => {
                let LinkSpec { effect, shape, direction } = *spec;
                return self.strike_links(&fault, shape, direction, Some(effect), actor);
            }
            Spec::Membership { ask } => return self.ask(&fault, *ask, actor),
            Spec::Kill { target } | Spec::Pause { target } | Spec::Power { target, .. } => *target,
            other => other.trouble().map_or(Target::One, |(target, _)| target),
        };
        let nodes = self.choose(&fault, target, actor);
        if nodes.is_empty() {
            self.nothing_to_strike(&fault);
            return;
        }
        for &node in &nodes {
            match &fault.spec {
                Spec::Kill { .. } => self.end(node, "is killed"),
                Spec::Pause { .. } => {
                    self.nodes[node].paused.get_or_insert_default();
                    self.fault(node, "stands still");
                }
                Spec::Power { torn, .. } => {
                    if let Some(seed) = torn {
                        self.nemesis.torn.insert(node, seed.wrapping_add(node as u64));
                    }
                    self.cut_power(node);
                }
                other => {
                    let trouble = other.trouble().map(|(_, trouble)| trouble);
                    self.nodes[node].disk.set_trouble(trouble);
                    let words = trouble.map_or(String::new(), keelhaul_nemesis::Trouble::in_words);
                    self.fault(node, &format!("disk: {words}"));
                }
            }
        }
        let named: Vec<NodeId> = nodes.into_iter().map(id).collect();
        self.injected(&fault, &named, format!("{}: {}", fault.spec.kind(), names(&named)));
    }

    fn cut_power(&mut self, node: usize) {
        self.end(node, "power is cut");
        let mut torn = self.nemesis.torn(node);
        self.nodes[node].disk.lose_power(torn.as_mut());
    }

    /// Cuts links, or does something else to them.
    fn strike_links(
        &mut self,
        fault: &ScheduledFault,
        shape: Shape,
        direction: Direction,
        effect: Option<Effect>,
        actor: Option<usize>,
    ) {
        let mut order = fault.order();
        let last = order.len() - 1;
        let (place, node) = match shape {
            Shape::Leader => (0, actor.map(id).or_else(|| self.leadership().0)),
            Shape::Followers => (last, self.leadership().0),
            _ => (0, actor.map(id)),
        };
        if let Some(found) = node.and_then(|node| order.iter().position(|other| *other == node)) {
            order.swap(place, found);
        }
        let links = links(shape, direction, &order);
        let nodes: BTreeSet<NodeId> = links.iter().flat_map(|&(a, b)| [a, b]).collect();
        if let Some(effect) = effect {
            self.nemesis.shaped.insert(fault.id, (links, effect));
            self.reckon_ways();
        } else {
            self.set_cut(&links, true);
            self.nemesis.links.insert(fault.id, links);
        }
        let words = format!("{}: {}", fault.spec.kind(), label(shape, direction, &order));
        for node in &nodes {
            self.fault(at(*node), &words);
        }
        let nodes: Vec<NodeId> = nodes.into_iter().collect();
        self.injected(fault, &nodes, words);
    }

    fn set_cut(&mut self, links: &BTreeSet<Link>, cut: bool) {
        let nodes = self.nodes.len();
        for (from, to) in links {
            let count = &mut self.cut[at(*from) * nodes + at(*to)];
            *count = if cut { *count + 1 } else { count.saturating_sub(1) };
        }
    }

    fn reckon_ways(&mut self) {
        self.ways = ways(self.nodes.len(), self.nemesis.shaped.values());
    }

    fn heal(&mut self, fault: usize) {
        let fault = self.plan.schedule.faults[fault].clone();
        if let Some((links, _)) = self.nemesis.shaped.remove(&fault.id) {
            self.reckon_ways();
            let nodes: BTreeSet<NodeId> = links.iter().flat_map(|&(a, b)| [a, b]).collect();
            let words = format!("no more {}", fault.spec.kind());
            nodes.iter().for_each(|node| self.fault(at(*node), &words));
        }
        if let Some(links) = self.nemesis.links.remove(&fault.id) {
            self.set_cut(&links, false);
            let nodes: BTreeSet<NodeId> = links.iter().flat_map(|&(a, b)| [a, b]).collect();
            nodes.iter().for_each(|node| self.fault(at(*node), "partition heals"));
        }
        for node in self.nemesis.nodes.get(&fault.id).cloned().unwrap_or_default() {
            let node = at(node);
            match &fault.spec {
                Spec::Pause { .. } => self.resume(node),
                Spec::Kill { .. } | Spec::Power { .. } => self.start(node),
                _ => {
                    self.nodes[node].disk.set_trouble(None);
                    self.start(node);
                }
            }
        }
    }

    fn healed(&mut self, fault: usize) -> Result<(), String> {
        let fault = self.plan.schedule.faults[fault].id;
        let nodes = self.nemesis.nodes.get(&fault).cloned().unwrap_or_default();
        let down = nodes.iter().find(|node| self.is_down(at(**node)));
        match down {
            Some(node) => Err(format!("the process on {node} is gone")),
            None => {
                self.nemesis.nodes.remove(&fault);
                Ok(())
            }
        }
    }

    fn in_effect(&self, fault: &ScheduledFault) -> Result<(), String> {
        if matches!(fault.spec, Spec::Membership { .. }) {
            return self.granted(fault.id);
        }
        let nodes = self.nemesis.nodes.get(&fault.id).into_iter().flatten();
        for &node in nodes {
            let state = &self.nodes[at(node)];
            let as_wanted = match &fault.spec {
                Spec::Kill { .. } | Spec::Power { .. } => state.process.is_none(),
                Spec::Pause { .. } => state.paused.is_some(),
                other => other.trouble().map(|(_, trouble)| trouble) == state.disk.trouble(),
            };
            if !as_wanted {
                return Err(format!("{node} is not struck"));
            }
        }
        let index = |link: &Link| at(link.0) * self.nodes.len() + at(link.1);
        if let Some((links, _)) = self.nemesis.shaped.get(&fault.id)
            && let Some((from, to)) = links.iter().find(|l| self.ways[index(l)] == Way::default())
        {
            return Err(format!("nothing happens to messages from {from} to {to}"));
        }
        let open = |link: &&Link| self.cut[index(link)] == 0;
        match self.nemesis.links.get(&fault.id).and_then(|links| links.iter().find(open)) {
            Some((from, to)) => Err(format!("messages from {from} reach {to}")),
            None => Ok(()),
        }
    }

    pub(crate) fn is_down(&self, node: usize) -> bool {
        self.nodes[node].process.is_none()
    }
}
