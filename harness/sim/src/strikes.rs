//! What each fault does to nodes and links, how that is seen, and how it is healed.

use std::collections::BTreeSet;

use keelhaul_agent::Shaping;
use keelhaul_history::NodeId;
use keelhaul_nemesis::{
    Direction, Effect, Link, LinkSpec, ScheduledFault, Shape, Spec, Target, harms, label, links,
    minority, names,
};

use crate::nemesis::{at, id};
use crate::system::Simulated;
use crate::world::Sim;

impl<P: Simulated> Sim<'_, P> {
    /// Victims of a process fault; the node where a moment came about is preferred.
    pub(crate) fn choose(
        &mut self,
        fault: &ScheduledFault,
        target: Target,
        actor: Option<usize>,
    ) -> Vec<usize> {
        let mut order = fault.order();
        if harms(fault.spec.kind()) {
            // One minority throughout, whoever leads: what it loses an undamaged majority has.
            order.truncate(minority(order.len()));
        }
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

    /// A fault strikes.
    pub(crate) fn strike(&mut self, fault: usize, actor: Option<usize>) {
        let number = fault;
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
            Spec::Member(spec) => return self.take_out(number, *spec, actor),
            // Two would contradict each other.
            Spec::Clock(_) if self.nemesis.clocks.is_some() => {
                return self.nothing_to_strike(&fault);
            }
            Spec::Clock(spec) => spec.target,
            Spec::Damage(spec) => spec.target,
            Spec::Kill { target } | Spec::Pause { target } | Spec::Power { target, .. } => *target,
            other => other.trouble().map_or(Target::One, |(target, _)| target),
        };
        let nodes = self.choose(&fault, target, actor);
        if nodes.is_empty() {
            self.nothing_to_strike(&fault);
            return;
        }
        if let Spec::Clock(spec) = &fault.spec {
            return self.strike_clocks(&fault, *spec, &nodes);
        }
        for &node in &nodes {
            match &fault.spec {
                Spec::Kill { .. } => self.end(node, "is killed"),
                Spec::Damage(_) => {
                    self.end(node, "is killed");
                    self.wipe(node);
                    self.start(node);
                }
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

    pub(crate) fn cut_power(&mut self, node: usize) {
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
            self.shape_links();
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

    /// What all faults together do to each way.
    fn shape_links(&mut self) {
        let nodes = self.nodes.len();
        self.lines.iter_mut().for_each(|line| line.shaping = Shaping::default());
        for (links, effect) in self.nemesis.shaped.values() {
            for (from, to) in links {
                let line = &mut self.lines[at(*from) * nodes + at(*to)];
                line.shaping = line.shaping.and(effect.shaping());
            }
        }
    }

    pub(crate) fn heal(&mut self, fault: usize) {
        let fault = self.plan.schedule.faults[fault].clone();
        if let Some((links, _)) = self.nemesis.shaped.remove(&fault.id) {
            self.shape_links();
            let nodes: BTreeSet<NodeId> = links.iter().flat_map(|&(a, b)| [a, b]).collect();
            let words = format!("no more {}", fault.spec.kind());
            nodes.iter().for_each(|node| self.fault(at(*node), &words));
        }
        if let Some(links) = self.nemesis.links.remove(&fault.id) {
            self.set_cut(&links, false);
            let nodes: BTreeSet<NodeId> = links.iter().flat_map(|&(a, b)| [a, b]).collect();
            nodes.iter().for_each(|node| self.fault(at(*node), "partition heals"));
        }
        if self.nemesis.clocks == Some(fault.id) {
            self.heal_clocks();
        }
        if let Spec::Member(_) = &fault.spec {
            return self.let_in(&fault);
        }
        for node in self.nemesis.struck(fault.id) {
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

    pub(crate) fn healed(&mut self, fault: usize) -> Result<(), String> {
        let scheduled = &self.plan.schedule.faults[fault];
        let nodes = self.nemesis.struck(scheduled.id);
        if let Some(down) = nodes.iter().find(|node| self.is_down(**node)) {
            return Err(format!("the process on {} is gone", id(*down)));
        }
        self.nemesis.nodes.remove(&scheduled.id);
        let members = self.members_among(&nodes).map_or(0, |members| members.len());
        if self.is_of_members(fault) && members < nodes.len() {
            return Err("it is no member yet".into());
        }
        Ok(())
    }

    pub(crate) fn in_effect(&self, fault: &ScheduledFault) -> Result<(), String> {
        if matches!(fault.spec, Spec::Membership { .. }) {
            return self.granted(fault.id);
        }
        let nodes = self.nemesis.struck(fault.id);
        if let Spec::Member(_) = &fault.spec {
            return match self.members_among(&nodes) {
                Some(members) if members.is_empty() => Ok(()),
                _ => Err("it is a member still".into()),
            };
        }
        for node in nodes {
            let state = &self.nodes[node];
            let as_wanted = match &fault.spec {
                // Both are done when they were told.
                Spec::Damage(_) => true,
                Spec::Clock(_) => self.nemesis.clocks == Some(fault.id),
                Spec::Kill { .. } | Spec::Power { .. } => state.process.is_none(),
                Spec::Pause { .. } => state.paused.is_some(),
                other => other.trouble().map(|(_, trouble)| trouble) == state.disk.trouble(),
            };
            if !as_wanted {
                return Err(format!("{} is not struck", id(node)));
            }
        }
        let index = |link: &Link| at(link.0) * self.nodes.len() + at(link.1);
        if let Some((links, _)) = self.nemesis.shaped.get(&fault.id)
            && let Some((from, to)) = links.iter().find(|l| self.lines[index(l)].shaping.is_none())
        {
            return Err(format!("nothing happens to messages from {from} to {to}"));
        }
        let open = |link: &&Link| self.cut[index(link)] == 0;
        match self.nemesis.links.get(&fault.id).and_then(|links| links.iter().find(open)) {
            Some((from, to)) => Err(format!("messages from {from} reach {to}")),
            None => Ok(()),
        }
    }

    pub(crate) fn is_of_members(&self, fault: usize) -> bool {
        matches!(self.plan.schedule.faults[fault].spec, Spec::Member(_))
    }

    pub(crate) fn is_down(&self, node: usize) -> bool {
        self.nodes[node].process.is_none()
    }
}
