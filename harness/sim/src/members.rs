//! Members that are taken out and let in again as new ones, with an empty disk.
//!
//! As on real nodes, nothing of a node is wiped before the cluster says that it is none of its members, and what it sent before is not on its
//! way any more when it comes again.

use keelhaul_nemesis::{Member, MemberSpec, ScheduledFault, names};
use keelhaul_protocol::api;
use keelhaul_protocol::kv::Request;
use keelhaul_protocol::membership::{Change, Membership};

use crate::client::OPERATOR;
use crate::nemesis::{Doing, id};
use crate::system::Simulated;
use crate::world::{Event, MS, Sim};

/// How long a cluster may take to let a member go, or in, and the pause between two looks.
const PATIENCE: u64 = 3_000 * MS;
const LOOK: u64 = 100 * MS;

impl<P: Simulated> Sim<'_, P> {
    /// Who leads the cluster, and who belongs to it, when nothing is about to change that: the leader of the latest term, if it knows all that is
    /// committed.
    fn roll(&self) -> Option<(usize, &Membership)> {
        let (node, protocol, standing) = self
            .processes()
            .filter(|(_, _, standing)| standing.leads)
            .max_by_key(|(_, _, standing)| standing.term)?;
        let knows = protocol.is_established() && standing.committed >= self.oracle.committed();
        Some((node, protocol.settled().filter(|_| knows)?))
    }

    /// Takes one node out, unless another is out already.
    pub(crate) fn take_out(&mut self, fault: usize, spec: MemberSpec, actor: Option<usize>) {
        let scheduled = self.plan.schedule.faults[fault].clone();
        let all = self.roll().map_or(0, |(_, members)| members.voters.len());
        let nodes = if all < self.nodes.len() {
            Vec::new()
        } else {
            self.choose(&scheduled, spec.target, actor)
        };
        if nodes.is_empty() {
            self.nothing_to_strike(&scheduled);
            return;
        }
        for &node in &nodes {
            match spec.member {
                Member::MemberReplace => self.end(node, "is killed, and to be replaced"),
                Member::MemberRemove => self.fault(node, "is to be taken out"),
            }
        }
        self.leaving(fault, self.now + PATIENCE);
    }

    /// Looks whether the node that is to go is gone, and asks for it.
    pub(crate) fn leaving(&mut self, fault: usize, until: u64) {
        let scheduled = self.plan.schedule.faults[fault].clone();
        let nodes = self.nemesis.struck(scheduled.id);
        if self.members_among(&nodes).is_some_and(|members| members.is_empty()) || self.now > until
        {
            let named: Vec<_> = nodes.into_iter().map(id).collect();
            let label = format!("{}: {}", scheduled.spec.kind(), names(&named));
            self.injected(&scheduled, &named, label);
            return;
        }
        for node in nodes {
            self.request_change(&scheduled, Change::Remove(api::NodeId(id(node).0)));
        }
        self.wait(LOOK, Doing::Leaving { fault, until });
    }

    /// Lets a node in again with an empty disk; one that is a member still keeps what it has.
    pub(crate) fn let_in(&mut self, fault: &ScheduledFault) {
        let nodes = self.nemesis.struck(fault.id);
        let out = self.members_among(&nodes).is_some_and(|members| members.is_empty());
        for node in nodes {
            if out {
                self.end(node, "is replaced");
                self.wipe(node);
                self.nodes[node].newcomer = true;
            }
            self.start(node);
        }
    }

    /// Nothing is left of what a node, whose process has ended, wrote and sent.
    pub(crate) fn wipe(&mut self, node: usize) {
        self.nodes[node].disk.wipe();
        self.oracle.wiped(node);
        self.fault(node, "its disk is wiped");
        let gone = node as u8;
        self.queue.forget(|event| matches!(event, Event::Message { from, .. } if *from == gone));
    }

    /// Looks whether the node that is to come votes, and asks for it.
    pub(crate) fn joining(&mut self, fault: usize, until: u64) {
        let scheduled = self.plan.schedule.faults[fault].clone();
        let nodes = self.nemesis.struck(scheduled.id);
        let Some(&node) = nodes.first() else { return self.settle(fault) };
        let own = api::NodeId(id(node).0);
        let next = match self.roll() {
            Some((_, members)) if members.is_voter(own) => None,
            Some((_, members)) if members.learners.contains(&own) => Some(Change::Promote(own)),
            _ => Some(Change::AddLearner(own)),
        };
        match next {
            Some(change) if self.now <= until => {
                self.request_change(&scheduled, change);
                self.wait(LOOK, Doing::Joining { fault, until });
            }
            _ => self.settle(fault),
        }
    }

    /// When a node that was let in again is given up.
    pub(crate) fn patience(&self) -> u64 {
        self.now + PATIENCE
    }

    /// Which of these nodes belong to the cluster; nothing if that cannot be told now.
    pub(crate) fn members_among(&self, nodes: &[usize]) -> Option<Vec<usize>> {
        let (_, membership) = self.roll()?;
        let is_in = |node: &usize| membership.members().any(|m| m.0 == id(*node).0);
        Some(nodes.iter().copied().filter(is_in).collect())
    }

    /// An operator asks who leads for a change; whether it came to pass is looked for.
    fn request_change(&mut self, fault: &ScheduledFault, change: Change) {
        if let Some((leader, _)) = self.roll() {
            self.send_as(OPERATOR, fault.id, leader, Request::Change(change));
        }
    }
}
