//! What the members of a cluster say of themselves, asked of all at once.
//!
//! Sources: the v3 maintenance service's `Status` (`etcdserver/api/v3rpc/maintenance.go`): a member answers it alone,
//! from its own Raft state, so it also answers while it is cut off, and what it says of the leader is only what it
//! believes.

use std::collections::BTreeMap;
use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::time::Duration;

use keelhaul_engine::together;
use keelhaul_history::NodeId;
use tokio::time::timeout;

use super::Reads;
use super::api::{RANGE, RangeRequest, RangeResponse, STATUS, StatusRequest, StatusResponse};
use super::base64::Blob;
use super::client::EtcdClient;
use crate::Leadership;

/// The port that clients connect to; etcd's default.
pub const CLIENT_PORT: u16 = 2379;
/// The port that members connect to; etcd's default.
pub const PEER_PORT: u16 = 2380;

/// How long a member may take to say who leads. A member that runs answers in a few milliseconds.
const STATUS_TIMEOUT: Duration = Duration::from_millis(500);
/// How long a member may take to serve a linearizable read before it counts as not ready.
const READ_TIMEOUT: Duration = Duration::from_secs(2);

/// A member as the others and the clients find it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// The node it runs on; its name in etcd, too.
    pub id: NodeId,
    /// The node's address.
    pub address: Ipv4Addr,
}

impl Member {
    /// Where clients reach it.
    #[must_use]
    pub fn client(&self) -> SocketAddr {
        (self.address, CLIENT_PORT).into()
    }
}

/// What a member said, or why it said nothing.
pub type Answer = Result<StatusResponse, Box<str>>;

/// Asks every member for its status; none holds up another. Takes half a second at most.
pub async fn status(members: &[Member]) -> Vec<(NodeId, Answer)> {
    each(members, STATUS_TIMEOUT, |client| Box::pin(client.call(STATUS, &StatusRequest {}))).await
}

/// Why the cluster is not ready, or `None` when it is: all members name one leader in one term in `answers`, and every
/// one then serves a linearizable read. Takes two seconds
/// at most.
pub async fn unready(members: &[Member], answers: &[(NodeId, Answer)]) -> Option<String> {
    if let Some(reason) = disagreement(answers) {
        return Some(reason);
    }
    let probe = || RangeRequest { key: Blob(b"keelhaul".to_vec()), serializable: false };
    let reads: Vec<(NodeId, Result<RangeResponse, _>)> = each(members, READ_TIMEOUT, |client| {
        Box::pin(async move { client.call(RANGE, &probe()).await })
    })
    .await;
    reads
        .into_iter()
        .find_map(|(node, read)| Some(format!("{node} does not serve reads: {}", read.err()?)))
}

fn disagreement(answers: &[(NodeId, Answer)]) -> Option<String> {
    let mut agreed = None;
    for (node, answer) in answers {
        let status = match answer {
            Ok(status) => status,
            Err(error) => return Some(format!("{node} does not answer: {error}")),
        };
        if status.leader == 0 {
            return Some(format!("{node} knows no leader"));
        }
        let view = (status.raft_term, status.leader);
        if *agreed.get_or_insert(view) != view {
            return Some(format!(
                "{node} takes another member for the leader than those before it"
            ));
        }
    }
    None
}

/// Notes which etcd member runs on which node. A member keeps its id for as long as its data lives.
pub fn remember(ids: &mut BTreeMap<u64, NodeId>, answers: &[(NodeId, Answer)]) {
    for (node, answer) in answers {
        if let Ok(status) = answer {
            ids.insert(status.header.member_id, *node);
        }
    }
}

/// The leader of the highest term for which anybody named one; where several are named, the one named most often.
///
/// The term that a member reports is that of the last entry it applied, so it lags behind its view of the leader for a
/// moment after an election, and two leaders can be named under one term. A leader need not answer itself: it may be
/// paused, and is still the one the others follow.
pub fn leadership(ids: &BTreeMap<u64, NodeId>, answers: &[(NodeId, Answer)]) -> Leadership {
    let mut named: BTreeMap<(u64, NodeId), usize> = BTreeMap::new();
    for status in answers.iter().filter_map(|(_, answer)| answer.as_ref().ok()) {
        if let Some(leader) = ids.get(&status.leader) {
            *named.entry((status.raft_term, *leader)).or_default() += 1;
        }
    }
    let best = named.into_iter().max_by_key(|&((term, _), times)| (term, times));
    best.map_or_else(Leadership::default, |((term, leader), _)| Leadership {
        leader: Some(leader),
        term,
    })
}

type Call<'a, T> = Pin<Box<dyn Future<Output = Result<T, super::errors::CallError>> + 'a>>;

/// Performs one call on every member at once, each on a connection of its own and within `limit`.
async fn each<T>(
    members: &[Member],
    limit: Duration,
    call: impl for<'a> Fn(&'a mut EtcdClient) -> Call<'a, T>,
) -> Vec<(NodeId, Result<T, Box<str>>)> {
    let call = &call;
    let calls = members.iter().map(|member| {
        timeout(limit, async move {
            let mut client = EtcdClient::open(member.client(), Reads::Linearizable).await?;
            call(&mut client).await
        })
    });
    let answers = together(calls).await.into_iter().map(|end| match end {
        Ok(answer) => answer.map_err(|e| e.in_words()),
        Err(_) => Err(format!("no answer within {} ms", limit.as_millis()).into()),
    });
    members.iter().map(|member| member.id).zip(answers).collect()
}

#[cfg(test)]
mod tests {
    use super::super::api::Header;
    use super::*;

    /// Members 11, 12, … run on n1, n2, …
    fn ids() -> BTreeMap<u64, NodeId> {
        (1..=5).map(|n| (u64::from(n) + 10, NodeId(n))).collect()
    }

    /// `(node, term, leader's member id)` of those that answered.
    fn answers(said: &[(u16, u64, u64)]) -> Vec<(NodeId, Answer)> {
        let answer = |&(node, raft_term, leader): &(u16, u64, u64)| {
            let header = Header { member_id: u64::from(node) + 10, revision: 0 };
            (
                NodeId(node),
                Ok(StatusResponse { header, version: "3.4.23".into(), leader, raft_term }),
            )
        };
        said.iter().map(answer).collect()
    }

    fn check(said: &[(u16, u64, u64)], leader: Option<u16>, term: u64) {
        let expected = Leadership { leader: leader.map(NodeId), term };
        assert_eq!(leadership(&ids(), &answers(said)), expected, "{said:?}");
    }

    #[test]
    fn the_leader_of_the_highest_term_that_has_one() {
        check(&[(1, 2, 11), (2, 2, 11), (3, 2, 11)], Some(1), 2);
        check(&[], None, 0);
        check(&[(1, 2, 0), (2, 2, 0)], None, 0);
        // Deposed, but cut off and unaware of it.
        check(&[(1, 2, 11), (2, 3, 12), (3, 3, 12)], Some(2), 3);
        // The same, before the new leader's followers have applied anything of its term.
        check(&[(1, 2, 11), (2, 2, 12), (3, 2, 12)], Some(2), 2);
        check(&[(3, 2, 13), (1, 2, 11), (2, 2, 11)], Some(1), 2);
        // A candidate that knows no leader.
        check(&[(1, 2, 11), (2, 2, 11), (3, 40, 0)], Some(1), 2);
        // Paused: only its followers speak of it.
        check(&[(2, 2, 11), (3, 2, 11)], Some(1), 2);
        // A member that has not been seen yet cannot be named.
        check(&[(1, 2, 99)], None, 0);
    }

    #[test]
    fn a_cluster_agrees_or_says_who_does_not() {
        assert_eq!(disagreement(&answers(&[(1, 2, 11), (2, 2, 11)])), None);
        assert_eq!(disagreement(&answers(&[(1, 2, 11), (2, 2, 0)])).unwrap(), "n2 knows no leader");
        assert!(
            disagreement(&answers(&[(1, 2, 11), (2, 3, 12)]))
                .unwrap()
                .starts_with("n2 takes another")
        );
        let silent = vec![(NodeId(1), Err("no answer within 500 ms".into()))];
        assert_eq!(disagreement(&silent).unwrap(), "n1 does not answer: no answer within 500 ms");
    }

    #[test]
    fn member_ids_are_learned_from_those_that_answer() {
        let mut ids = BTreeMap::new();
        remember(&mut ids, &answers(&[(2, 2, 11)]));
        remember(&mut ids, &[(NodeId(1), Err("no answer".into()))]);
        assert_eq!(ids, BTreeMap::from([(12, NodeId(2))]));
    }
}
