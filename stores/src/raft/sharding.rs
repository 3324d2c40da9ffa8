//! Our own nodes move keys from group to group: the driver of a [`Mover`].
//!
//! All groups that there can be run from the start, and serve nothing before they are told to.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use keelhaul_cluster::Node;
use keelhaul_engine::{LocalFuture, together};
use keelhaul_history::NodeId;
use keelhaul_protocol::coordinator::Answer;
use keelhaul_protocol::kv::share::{Placing, Standing};
use keelhaul_protocol::kv::{Command, Response};
use keelhaul_protocol::mover::{Input, Move, Mover};
use keelhaul_protocol::placement::{GroupId, Placement};
use tokio::time::{Instant, sleep};

use super::client::RaftClient;
use super::members::addresses;
use super::store::Own;
use super::txn::{Clock, answer};
use crate::sharding::{Groups, Moved};
use crate::{Sharding, StoreError};

/// How long a change may take: each step waits for an election at worst.
const PATIENCE: Duration = Duration::from_secs(12);
/// How long one step is tried.
const STEP_PATIENCE: Duration = Duration::from_secs(2);

/// Who asks groups for what an operator wants.
struct Operator<'a> {
    nodes: &'a [Node],
    groups: BTreeMap<GroupId, RaftClient>,
    patience: Duration,
}

impl<'a> Operator<'a> {
    fn new(nodes: &'a [Node], factor: u32) -> Self {
        Self { nodes, groups: BTreeMap::new(), patience: STEP_PATIENCE * factor }
    }

    /// A client that has been used before, or one of the first node that takes it.
    async fn client(&mut self, group: GroupId) -> Option<RaftClient> {
        if let Some(client) = self.groups.remove(&group) {
            return Some(client);
        }
        let addresses: BTreeMap<NodeId, _> =
            self.nodes.iter().map(|node| (node.id(), node.address())).collect();
        for node in self.nodes {
            let opened = RaftClient::open(node.id(), self::addresses(&addresses, group)).await;
            if let Ok(client) = opened {
                return Some(client.with_time_max(self.patience));
            }
        }
        None
    }

    async fn ask(&mut self, group: GroupId, command: Command) -> Answer {
        let Some(mut client) = self.client(group).await else { return Answer::Refused };
        let end = client.change(command).await;
        // One that met trouble is replaced: its node may be dead.
        if end.is_ok() {
            self.groups.insert(group, client);
        }
        answer(&end)
    }
}

/// How things stand in each group that answers.
async fn standings(
    groups: impl Iterator<Item = GroupId>,
    nodes: &[Node],
    factor: u32,
) -> BTreeMap<GroupId, Standing> {
    let look = |group| async move {
        match Operator::new(nodes, factor).ask(group, Command::Place(Placing::Look)).await {
            Answer::Response(Response::Placed(standing)) => Some((group, standing)),
            _ => None,
        }
    };
    together(groups.map(look)).await.into_iter().flatten().collect()
}

/// The latest placement that a group was told of.
fn latest(standings: &BTreeMap<GroupId, Standing>) -> Option<Placement> {
    let told = standings.values().filter_map(|standing| standing.placement.clone());
    told.max_by_key(|placement| placement.epoch)
}

/// What a change that was left halfway leads to, if there is one.
fn halfway(standings: &BTreeMap<GroupId, Standing>) -> Option<BTreeSet<GroupId>> {
    let latest = latest(standings)?;
    let behind = |(group, standing): (&GroupId, &Standing)| {
        latest.groups.contains(group) && standing.placement.as_ref() != Some(&latest)
    };
    let closed = standings.values().find_map(|standing| {
        let at_latest = standing.placement.as_ref() == Some(&latest);
        standing.to.clone().filter(|_| at_latest)
    });
    closed.or_else(|| standings.iter().any(behind).then(|| latest.groups.clone()))
}

impl Own {
    /// Completes a change that its mover left halfway.
    pub(super) async fn complete_moves(&self, nodes: &[Node]) -> Result<(), StoreError> {
        match halfway(&standings(self.groups(), nodes, self.timeout_factor()).await) {
            Some(wish) => self.place(wish, nodes).await.map(|_| ()),
            None => Ok(()),
        }
    }
}

impl Sharding for Own {
    fn groups<'a>(&'a self, nodes: &'a [Node]) -> LocalFuture<'a, Result<Groups, StoreError>> {
        Box::pin(async move {
            let standings = standings(self.groups(), nodes, self.timeout_factor()).await;
            if standings.len() < self.groups().count() {
                return Err(StoreError::NotReady("not every group answers".into()));
            }
            let placed = latest(&standings).unwrap_or_else(|| self.first()).groups;
            Ok(Groups { all: self.groups().collect(), placed })
        })
    }

    fn place<'a>(
        &'a self,
        groups: BTreeSet<GroupId>,
        nodes: &'a [Node],
    ) -> LocalFuture<'a, Result<Moved, StoreError>> {
        Box::pin(async move {
            let factor = self.timeout_factor();
            let known = latest(&standings(self.groups(), nodes, factor).await);
            let mut mover = Mover::new(known.unwrap_or_else(|| self.first()), groups);
            let (mut operator, clock) = (Operator::new(nodes, factor), Clock::new());
            let (mut input, deadline) = (Input::Begin, Instant::now() + PATIENCE * factor);
            while Instant::now() < deadline {
                input = match mover.step(clock.now(), input) {
                    Move::Ask(group, command) => Input::Answer(operator.ask(group, command).await),
                    Move::Wait(time) => {
                        sleep(Duration::from_nanos(time.0)).await;
                        Input::Woken
                    }
                    Move::Done(moved) => return Ok(moved),
                };
            }
            Err(StoreError::NotReady("keys are on their way from group to group".into()))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn groups(groups: &[u16]) -> BTreeSet<GroupId> {
        groups.iter().copied().map(GroupId).collect()
    }

    fn standing(epoch: u64, placed: &[u16], to: Option<&[u16]>) -> Standing {
        let placement = Some(Placement { epoch, groups: groups(placed) });
        Standing { placement, to: to.map(groups), held_by: None }
    }

    #[test]
    fn a_change_that_was_left_halfway_is_seen() {
        let halfway = |standings: Vec<Standing>| {
            halfway(&(0..).map(GroupId).zip(standings).collect::<BTreeMap<_, _>>())
        };
        let settled = || standing(1, &[0, 1], None);
        assert_eq!(halfway(vec![Standing::default(), Standing::default()]), None);
        assert_eq!(halfway(vec![settled(), settled(), standing(0, &[0, 1, 2], None)]), None);
        let closed = standing(1, &[0, 1], Some(&[1]));
        assert_eq!(halfway(vec![closed, settled()]), Some(groups(&[1])));
        let behind = standing(0, &[0], Some(&[0, 1]));
        assert_eq!(halfway(vec![settled(), behind.clone()]), Some(groups(&[0, 1])));
        // Who has left may never have been told that the change is complete.
        assert_eq!(halfway(vec![settled(), settled(), behind]), None);
    }
}
