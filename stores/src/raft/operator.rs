//! What an operator asks of the cluster: who belongs to it, and who leads.
//!
//! Each request is sent once, to the node that leads as far as the nodes know: a change that was sent twice could be
//! refused the second time and seem not to have been made. So the end of a request is one of three: done, certainly not done,
//! or nobody knows; who does not know looks at the [`membership`].

use std::future::poll_fn;
use std::time::Duration;

use keelhaul_history::NodeId;
use keelhaul_protocol::api;
use keelhaul_protocol::kv::{Request, Response};
use keelhaul_protocol::membership::{Change, Membership, Refusal};
use keelhaul_server::wire::RequestFrame;
use thiserror::Error;
use tokio::time::timeout;

use super::link::Link;
use super::members::{self, Member};
use super::net::Line;

/// How long a change may take: longer than the cluster takes to commit two entries, or to choose another leader.
const PATIENCE: Duration = Duration::from_secs(5);

/// Why a request was not carried out, as far as is known.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum NotDone {
    /// Definite.
    #[error("no node that answers knows a leader")]
    NoLeader,
    /// Definite: the leader could not be reached, or led no longer.
    #[error("{0} does not take it")]
    NotTaken(NodeId),
    /// Definite.
    #[error("the leader refuses: {}", reason(*.0))]
    Refused(Refusal),
    /// It may have been, or may be still.
    #[error("{0} took it and did not say what became of it")]
    Unknown(NodeId),
}

fn reason(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::Pending => "another change or transfer is under way",
        Refusal::TooEarly => "it has not committed anything in its term yet",
        Refusal::Void => "it is so already, or the node is not what it would have to be",
        Refusal::NoVoters => "nobody would be left to vote",
        Refusal::UnknownNode => "it has no address of that node",
        Refusal::Behind => "the node has not caught up",
        Refusal::NoSuccessor => "the successor did not take over in time",
        Refusal::Unsupported => "its protocol has fixed members",
    }
}

/// Changes who belongs to the cluster.
///
/// # Errors
/// See [`NotDone`].
pub async fn change(members: &[Member], change: Change) -> Result<(), NotDone> {
    at_leader(members, Request::Change(change)).await
}

/// Hands leadership to this voter.
///
/// # Errors
/// See [`NotDone`].
pub async fn transfer(members: &[Member], to: NodeId) -> Result<(), NotDone> {
    at_leader(members, Request::Transfer(api::NodeId(to.0))).await
}

/// Who belongs to the cluster as far as its leader knows, and whether that is committed.
///
/// # Errors
/// See [`NotDone`].
pub async fn membership(members: &[Member]) -> Result<(Membership, bool), NotDone> {
    let leader = leader(members).await?;
    match once(leader, Request::Members).await? {
        Response::Members { membership, settled } => Ok((membership, settled)),
        _ => Err(NotDone::Unknown(leader.id)),
    }
}

async fn leader(members: &[Member]) -> Result<Member, NotDone> {
    let leader = members::leadership(&members::status(members).await).leader;
    members.iter().find(|member| Some(member.id) == leader).copied().ok_or(NotDone::NoLeader)
}

async fn at_leader(members: &[Member], request: Request) -> Result<(), NotDone> {
    let leader = leader(members).await?;
    match once(leader, request).await? {
        Response::Changed => Ok(()),
        Response::Refused(refusal) => Err(NotDone::Refused(refusal)),
        Response::NotLeader { .. } => Err(NotDone::NotTaken(leader.id)),
        _ => Err(NotDone::Unknown(leader.id)),
    }
}

/// One attempt, on a connection of its own.
async fn once(member: Member, request: Request) -> Result<Response, NotDone> {
    const CORRELATION: u64 = 1;
    let not_taken = |_| NotDone::NotTaken(member.id);
    let mut link = Link::open(member.address).await.map_err(not_taken)?;
    link.send(RequestFrame { correlation: CORRELATION, request }).await.map_err(not_taken)?;
    match timeout(PATIENCE, poll_fn(|cx| link.poll_reply(cx))).await {
        Ok(Ok(reply)) if reply.correlation == CORRELATION => Ok(reply.response),
        _ => Err(NotDone::Unknown(member.id)),
    }
}
