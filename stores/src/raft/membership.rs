//! Our own nodes let others in and out by requests to whoever leads.
//!
//! A node that joins is started as none of the first voters, becomes a learner, and a voter when it has caught up. What is stored counts
//! more than what it is started with, so from then on it may be started like that any number of times.

use std::collections::BTreeSet;

use keelhaul_cluster::Node;
use keelhaul_engine::LocalFuture;
use keelhaul_history::NodeId;
use keelhaul_protocol::api;
use keelhaul_protocol::membership::Change;
use keelhaul_protocol::placement::GroupId;

use super::operator::{self, NotDone};
use super::store::{Own, members_of};
use crate::membership::{JOIN_PATIENCE, node_of, until_done};
use crate::{Membership, Store, StoreError};

/// The one group there is.
const GROUP: GroupId = GroupId(0);

fn not_ready(why: &NotDone) -> StoreError {
    StoreError::NotReady(why.to_string())
}

impl Membership for Own {
    fn voters<'a>(
        &'a self,
        nodes: &'a [Node],
    ) -> LocalFuture<'a, Result<BTreeSet<NodeId>, StoreError>> {
        Box::pin(async move {
            let (membership, settled) = operator::membership(&members_of(nodes, GROUP))
                .await
                .map_err(|why| not_ready(&why))?;
            if !settled || membership.is_joint() {
                return Err(StoreError::NotReady("a change of members is under way".into()));
            }
            Ok(membership.voters.into_iter().map(|node| NodeId(node.0)).collect())
        })
    }

    fn remove<'a>(
        &'a self,
        id: NodeId,
        nodes: &'a [Node],
    ) -> LocalFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            let change = Change::Remove(api::NodeId(id.0));
            operator::change(&members_of(nodes, GROUP), change).await.map_err(|why| not_ready(&why))
        })
    }

    fn join<'a>(
        &'a self,
        id: NodeId,
        nodes: &'a [Node],
    ) -> LocalFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            let (members, own) = (members_of(nodes, GROUP), api::NodeId(id.0));
            self.note_joined(id);
            self.start(node_of(nodes, id)?, nodes).await?;
            let members = &members;
            until_done(JOIN_PATIENCE * self.timeout_factor(), || async move {
                let (now, settled) =
                    operator::membership(members).await.map_err(|why| not_ready(&why))?;
                if now.voters.contains(&own) {
                    return Ok(settled);
                }
                let change = if now.learners.contains(&own) {
                    Change::Promote(own)
                } else {
                    Change::AddLearner(own)
                };
                operator::change(members, change).await.map_err(|why| not_ready(&why))?;
                Ok(false)
            })
            .await
        })
    }
}
