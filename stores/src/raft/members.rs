//! What the nodes say of themselves, asked of all at once.
//!
//! A node answers for its status alone and at once, also while it is cut off; what it says of the leader is only what
//! it believes.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use keelhaul_engine::together;
use keelhaul_history::NodeId;
use keelhaul_protocol::kv::Response;
use keelhaul_protocol::placement::GroupId;
use tokio::time::timeout;

use super::client::RaftClient;
use super::errors::{GaveUp, Trouble};
use crate::Leadership;

/// The port that nodes listen on for each other.
pub const PEER_PORT: u16 = 7001;
/// The port that nodes listen on for clients.
pub const CLIENT_PORT: u16 = 7002;

/// What is between the ports of one group and the next.
const PORTS_PER_GROUP: u16 = 2;

/// Where a node listens for the others, in a group.
#[must_use]
pub fn peer_address(node: Ipv4Addr, GroupId(group): GroupId) -> SocketAddr {
    (node, PEER_PORT + PORTS_PER_GROUP * group).into()
}

/// Where a node listens for clients, in a group.
#[must_use]
pub fn client_address(node: Ipv4Addr, GroupId(group): GroupId) -> SocketAddr {
    (node, CLIENT_PORT + PORTS_PER_GROUP * group).into()
}

/// Where a node of a group listens.
#[must_use]
pub const fn ports(GroupId(group): GroupId) -> [u16; 2] {
    [PEER_PORT + PORTS_PER_GROUP * group, CLIENT_PORT + PORTS_PER_GROUP * group]
}

/// Where clients of a group find the nodes.
#[must_use]
pub fn addresses(
    nodes: &BTreeMap<NodeId, Ipv4Addr>,
    group: GroupId,
) -> BTreeMap<NodeId, SocketAddr> {
    nodes.iter().map(|(id, address)| (*id, client_address(*address, group))).collect()
}

/// How long a node may take to answer for its status. One that runs answers in a millisecond.
const STATUS_PATIENCE: Duration = Duration::from_millis(500);
/// How long a node may take to serve a read before it counts as not ready.
const READ_PATIENCE: Duration = Duration::from_secs(2);

/// A node as clients find it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// Which node.
    pub id: NodeId,
    /// Where its clients connect.
    pub address: SocketAddr,
}

impl Member {
    /// The member of a group on a node with this address.
    #[must_use]
    pub fn new(id: NodeId, address: Ipv4Addr, group: GroupId) -> Self {
        Self { id, address: client_address(address, group) }
    }

    /// A client that knows this node alone.
    async fn client(self) -> Result<RaftClient, Trouble> {
        RaftClient::open(self.id, BTreeMap::from([(self.id, self.address)])).await
    }
}

/// What a node believes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct View {
    /// Its term.
    pub term: u64,
    /// Who leads in it.
    pub leader: Option<NodeId>,
}

/// What a node said, or why it said nothing.
pub type Answer = Result<View, Box<str>>;

/// Asks every node for its status; none holds up another.
pub async fn status(members: &[Member]) -> Vec<(NodeId, Answer)> {
    let ask = |member: Member| async move {
        let response = member.client().await.map_err(unsent)?.status().await?;
        let Response::Status { term, leading, leader, .. } = response else {
            unreachable!("a call returns only what fits the request");
        };
        let leader = if leading { Some(member.id) } else { leader.map(|leader| NodeId(leader.0)) };
        Ok(View { term, leader })
    };
    each(members, STATUS_PATIENCE, ask).await
}

/// Why the cluster is not ready, or `None` when it is: all nodes name one leader in one term, and a read that begins at
/// any of them is served.
pub async fn unready(members: &[Member]) -> Option<String> {
    if let Some(reason) = disagreement(&status(members).await) {
        return Some(reason);
    }
    let addresses: BTreeMap<_, _> =
        members.iter().map(|member| (member.id, member.address)).collect();
    let read = |member: Member| {
        let addresses = addresses.clone();
        async move {
            let mut client = RaftClient::open(member.id, addresses).await.map_err(unsent)?;
            match client.read(b"keelhaul".to_vec()).await {
                // That is as good an answer of a group that does not have the key.
                Err(GaveUp { trouble: Trouble::Misplaced, .. }) => Ok(None),
                end => end,
            }
        }
    };
    let reads = each(members, READ_PATIENCE, read).await;
    reads
        .into_iter()
        .find_map(|(node, read)| Some(format!("{node} does not serve reads: {}", read.err()?)))
}

fn unsent(trouble: Trouble) -> GaveUp {
    GaveUp { trouble, accepted_maybe: false }
}

fn disagreement(answers: &[(NodeId, Answer)]) -> Option<String> {
    let mut agreed = None;
    for (node, answer) in answers {
        let view = match answer {
            Ok(view) => *view,
            Err(error) => return Some(format!("{node} does not answer: {error}")),
        };
        if view.leader.is_none() {
            return Some(format!("{node} knows no leader"));
        }
        if *agreed.get_or_insert(view) != view {
            return Some(format!("{node} sees another leader or term than the nodes before it"));
        }
    }
    None
}

/// The leader of the highest term for which anybody names one. It need not have answered itself: a paused leader is
/// still the one that the others follow.
#[must_use]
pub fn leadership(answers: &[(NodeId, Answer)]) -> Leadership {
    let named = answers.iter().filter_map(|(_, answer)| {
        let view = answer.as_ref().ok()?;
        Some((view.term, view.leader?))
    });
    named.max().map_or_else(Leadership::default, |(term, leader)| Leadership {
        leader: Some(leader),
        term,
    })
}

/// Asks every member at once, each within `limit`.
async fn each<T, Asked: Future<Output = Result<T, GaveUp>>>(
    members: &[Member],
    limit: Duration,
    ask: impl Fn(Member) -> Asked,
) -> Vec<(NodeId, Result<T, Box<str>>)> {
    let ends = together(members.iter().map(|member| timeout(limit, ask(*member)))).await;
    let answers = ends.into_iter().map(|end| match end {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(gave_up)) => Err(gave_up.to_string().into()),
        Err(_) => Err(format!("no answer in {} ms", limit.as_millis()).into()),
    });
    members.iter().map(|member| member.id).zip(answers).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers(views: &[Option<(u64, u16)>]) -> Vec<(NodeId, Answer)> {
        let answer = |view: &Option<(u64, u16)>| match view {
            Some((term, leader)) => {
                Ok(View { term: *term, leader: (*leader > 0).then_some(NodeId(*leader)) })
            }
            None => Err("silent".into()),
        };
        (1..).map(NodeId).zip(views.iter().map(answer)).collect()
    }

    #[test]
    fn the_leader_of_the_highest_term_that_has_one_counts() {
        let leader = |views: &[_]| {
            let found = leadership(&answers(views));
            (found.term, found.leader.map_or(0, |leader| leader.0))
        };
        assert_eq!(leader(&[Some((4, 1)), Some((5, 2)), Some((7, 0))]), (5, 2));
        assert_eq!(leader(&[None, Some((5, 1))]), (5, 1), "a leader that is silent still leads");
        assert_eq!(leader(&[None, Some((5, 0))]), (0, 0));
    }

    #[test]
    fn a_cluster_is_ready_when_all_agree() {
        let unready = |views: &[_]| disagreement(&answers(views));
        assert_eq!(unready(&[Some((4, 1)), Some((4, 1))]), None);
        assert!(unready(&[Some((4, 1)), Some((5, 1))]).is_some());
        assert!(
            unready(&[Some((4, 1)), Some((4, 0))])
                .is_some_and(|why| why.contains("n2 knows no leader"))
        );
        assert!(
            unready(&[Some((4, 1)), None]).is_some_and(|why| why.contains("n2 does not answer"))
        );
    }
}
