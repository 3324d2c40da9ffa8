//! The cluster as operators see it: who leads, whether it is well; and what they ask of it.

use keelhaul_history::NodeId;
use keelhaul_nemesis::{Ask, ScheduledFault, Spec, names};
use keelhaul_protocol::api;
use keelhaul_protocol::kv::{Request, Response};
use keelhaul_protocol::membership::Change;

use crate::client::OPERATOR;
use crate::nemesis::{Doing, at, id};
use crate::system::{Simulated, Standing};
use crate::world::Sim;

impl<P: Simulated> Sim<'_, P> {
    fn protocols(&self) -> impl Iterator<Item = Option<(&P, Standing)>> {
        self.nodes.iter().map(|node| {
            let process = node.process.as_ref().filter(|_| node.paused.is_none())?;
            Some((process.core.protocol(), process.core.protocol().standing()))
        })
    }

    /// Every node's process that runs, one that stands still included.
    pub(crate) fn processes(&self) -> impl Iterator<Item = (usize, &P, Standing)> {
        self.nodes.iter().enumerate().filter_map(|(node, state)| {
            let protocol = state.process.as_ref()?.core.protocol();
            Some((node, protocol, protocol.standing()))
        })
    }

    /// The leader of the highest term for which anybody names one, as on real nodes.
    pub(crate) fn leadership(&self) -> (Option<NodeId>, u64) {
        let named = (0..).zip(self.protocols()).filter_map(|(node, seen)| {
            let (_, standing) = seen?;
            let named = standing.leader.map(|leader| NodeId(leader.0));
            let leader = if standing.leads { Some(id(node)) } else { named };
            Some((standing.term, leader?))
        });
        named.max().map_or((None, 0), |(term, leader)| (Some(leader), term))
    }

    /// Why the cluster is not well, if so: all members must run, name one leader in one term, who has committed in that term, and know as
    /// much to be committed. Whether it serves, the final reads show.
    pub(crate) fn unready(&self) -> Option<String> {
        let mut agreed = None;
        let leads = |seen: &(&P, Standing)| seen.1.leads;
        let leading = self.protocols().flatten().filter(leads).max_by_key(|seen| seen.1.term);
        let is_member =
            |node: NodeId| leading.is_none_or(|(leader, _)| leader.is_member(api::NodeId(node.0)));
        for (node, seen) in self.protocols().enumerate().filter(|(node, _)| is_member(id(*node))) {
            let node = id(node);
            let Some((protocol, standing)) = seen else {
                return Some(format!("{node} does not answer"));
            };
            let view = (standing.term, standing.leader);
            if standing.leader.is_none() {
                return Some(format!("{node} knows no leader"));
            }
            if *agreed.get_or_insert(view) != view {
                return Some(format!(
                    "{node} sees another leader or term than the nodes before it"
                ));
            }
            if standing.leads && !protocol.is_established() {
                return Some(format!("{node} leads and does not get anything committed"));
            }
            if leading.is_some_and(|(_, leader)| standing.committed < leader.committed) {
                return Some(format!("{node} does not learn what is committed"));
            }
        }
        None
    }

    /// An operator asks who leads, as far as anybody knows, or any node.
    pub(crate) fn ask(&mut self, fault: &ScheduledFault, ask: Ask, actor: Option<usize>) {
        let order = fault.order();
        let of: Vec<api::NodeId> = ask.nodes(&order).iter().map(|id| api::NodeId(id.0)).collect();
        let request = match ask {
            Ask::Learner => Request::Change(Change::AddLearner(of[0])),
            Ask::Promote => Request::Change(Change::Promote(of[0])),
            Ask::Remove => Request::Change(Change::Remove(of[0])),
            Ask::Voters(_) => Request::Change(Change::Voters(of.into_iter().collect())),
            Ask::Transfer => Request::Transfer(of[0]),
        };
        let asked = actor.or_else(|| self.leadership().0.map(at)).unwrap_or(at(order[0]));
        self.fault(asked, &format!("is asked for {} {}", names(ask.nodes(&order)), ask.in_words()));
        self.send_as(OPERATOR, fault.id, asked, request);
        let label = format!("membership: {} {}", names(ask.nodes(&order)), ask.in_words());
        self.injected(fault, &[id(asked)], label);
    }

    /// An operator's request was answered.
    pub(crate) fn answered(&mut self, fault: u64, response: &Response) {
        self.nemesis.answers.insert(fault, response.clone());
        if let Some(Doing::Asked { fault: waiting }) = self.nemesis.doing
            && self.plan.schedule.faults[waiting].id == fault
        {
            self.go_on(self.nemesis.waits);
        }
    }

    pub(crate) fn is_request(&self, fault: usize) -> bool {
        matches!(self.plan.schedule.faults[fault].spec, Spec::Membership { .. })
    }

    /// Whether it is a request that was not answered yet.
    pub(crate) fn is_open(&self, fault: usize) -> bool {
        let id = self.plan.schedule.faults[fault].id;
        self.is_request(fault) && !self.nemesis.answers.contains_key(&id)
    }

    /// Whether what a fault asked for came to pass.
    pub(crate) fn granted(&self, fault: u64) -> Result<(), String> {
        match self.nemesis.answers.get(&fault) {
            Some(Response::Changed) => Ok(()),
            Some(other) => Err(format!("the answer is {other:?}")),
            None => Err("nobody has answered".into()),
        }
    }
}
