//! Members of an etcd cluster come and go through its cluster service.
//!
//! Sources: `Documentation/op-guide/runtime-configuration.md`, the cluster service in `rpc.proto`. A member that was removed cannot come back
//! with its data; one that joins is announced first, and then started with the list of those that are there.

use std::collections::BTreeSet;
use std::time::Duration;

use keelhaul_cluster::Node;
use keelhaul_engine::LocalFuture;
use keelhaul_history::NodeId;
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use super::Reads;
use super::api::{StatusRequest, number};
use super::client::EtcdClient;
use super::members::{Member, PEER_PORT};
use super::store::{Etcd, members_of};
use crate::membership::{JOIN_PATIENCE, node_of, until_done};
use crate::{Membership, Store, StoreError};

const LIST: &str = "/v3/cluster/member/list";
const ADD: &str = "/v3/cluster/member/add";
const REMOVE: &str = "/v3/cluster/member/remove";
/// How long a member may take to answer for the others, and to have a change agreed on.
const LIST_PATIENCE: Duration = Duration::from_secs(1);
const CHANGE_PATIENCE: Duration = Duration::from_secs(7);

#[derive(Debug, Deserialize)]
struct Members {
    #[serde(default)]
    members: Vec<Listed>,
}

/// A member as the cluster has it.
#[derive(Clone, Debug, Deserialize)]
struct Listed {
    #[serde(rename = "ID", deserialize_with = "number")]
    id: u64,
    #[serde(rename = "peerURLs", default)]
    peer_urls: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Add {
    #[serde(rename = "peerURLs")]
    peer_urls: [String; 1],
}

#[derive(Debug, Serialize)]
struct Remove {
    #[serde(rename = "ID")]
    id: String,
}

fn peer_url(member: &Member) -> String {
    format!("http://{}:{PEER_PORT}", member.address)
}

impl Etcd {
    /// What whoever leads has for members, and itself: another may not have heard yet.
    async fn list(&self, nodes: &[Node]) -> Result<(Member, Vec<Listed>), StoreError> {
        let leader = self.leadership(nodes).await.leader;
        let at = members_of(nodes).into_iter().find(|member| Some(member.id) == leader);
        let at = at.ok_or_else(|| StoreError::NotReady("no member knows a leader".into()))?;
        let asked = async {
            let mut client = EtcdClient::open(at.client(), Reads::Linearizable).await?;
            client.call::<Members>(LIST, &StatusRequest {}).await
        };
        match timeout(LIST_PATIENCE, asked).await {
            Ok(Ok(answer)) => Ok((at, answer.members)),
            Ok(Err(error)) => Err(StoreError::NotReady(error.in_words().into())),
            Err(_) => Err(StoreError::NotReady(format!("{} does not answer", at.id))),
        }
    }
}

/// Asks one member, once, for a change; what is not answered may still be made.
async fn change(at: Member, path: &'static str, what: &impl Serialize) -> Result<(), StoreError> {
    let asked = async {
        let mut client = EtcdClient::open(at.client(), Reads::Linearizable).await?;
        client.call::<serde_json::Value>(path, what).await
    };
    match timeout(CHANGE_PATIENCE, asked).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(StoreError::NotReady(error.in_words().into())),
        Err(_) => Err(StoreError::NotReady(format!("{} does not answer", at.id))),
    }
}

fn present(members: &[Member], listed: &[Listed]) -> BTreeSet<NodeId> {
    let is_listed =
        |member: &&Member| listed.iter().any(|one| one.peer_urls.contains(&peer_url(member)));
    members.iter().filter(is_listed).map(|member| member.id).collect()
}

impl Membership for Etcd {
    fn voters<'a>(
        &'a self,
        nodes: &'a [Node],
    ) -> LocalFuture<'a, Result<BTreeSet<NodeId>, StoreError>> {
        Box::pin(async move {
            let members = members_of(nodes);
            let (_, listed) = self.list(nodes).await?;
            Ok(present(&members, &listed))
        })
    }

    fn remove<'a>(
        &'a self,
        id: NodeId,
        nodes: &'a [Node],
    ) -> LocalFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            let members = members_of(nodes);
            let (at, listed) = self.list(nodes).await?;
            let url = members.iter().find(|member| member.id == id).map(peer_url);
            let found = listed.iter().find(|one| url.iter().any(|url| one.peer_urls.contains(url)));
            match found {
                Some(member) => change(at, REMOVE, &Remove { id: member.id.to_string() }).await,
                None => Err(StoreError::NotReady(format!("{id} is no member"))),
            }
        })
    }

    fn join<'a>(
        &'a self,
        id: NodeId,
        nodes: &'a [Node],
    ) -> LocalFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            let members = members_of(nodes);
            let node = node_of(nodes, id)?;
            let own = members
                .iter()
                .find(|member| member.id == id)
                .copied()
                .ok_or_else(|| StoreError::NotReady(format!("there is no node {id}")))?;
            let (all, patience) = (&members, JOIN_PATIENCE * self.factor());
            until_done(patience, || async move {
                let (at, listed) = self.list(nodes).await?;
                if present(all, &listed).contains(&id) {
                    return Ok(true);
                }
                change(at, ADD, &Add { peer_urls: [peer_url(&own)] }).await?;
                Ok(false)
            })
            .await?;
            let (_, listed) = self.list(nodes).await?;
            self.note_joined(id, present(all, &listed));
            self.start(node, nodes).await?;
            until_done(patience, || async move {
                let answers = super::members::status(&[own]).await;
                Ok(answers.iter().any(|(_, answer)| answer.is_ok()))
            })
            .await
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_known_by_where_their_peers_find_them() {
        let members: Vec<Member> = (1..=3)
            .map(|n| Member { id: NodeId(n), address: [10, 0, 0, n as u8].into() })
            .collect();
        let text = r#"{"members":[
            {"ID":"17","name":"n1","peerURLs":["http://10.0.0.1:2380"]},
            {"ID":"18446744073709551615","peerURLs":["http://10.0.0.3:2380"]}]}"#;
        let listed: Members = serde_json::from_str(text).expect("as etcd writes it");
        assert_eq!(listed.members[1].id, u64::MAX);
        assert_eq!(present(&members, &listed.members), [NodeId(1), NodeId(3)].into());
        let remove = Remove { id: listed.members[0].id.to_string() };
        assert_eq!(serde_json::to_string(&remove).expect("plain data"), r#"{"ID":"17"}"#);
    }
}
