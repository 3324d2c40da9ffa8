//! Who belongs to a cluster, and changes of that, for systems that have them.

use std::collections::BTreeSet;
use std::future::Future;
use std::time::Duration;

use keelhaul_cluster::Node;
use keelhaul_engine::LocalFuture;
use keelhaul_history::NodeId;
use tokio::time::Instant;

use crate::StoreError;

/// How long a node may take to become a voter: it is started, caught up, and voted in.
pub(crate) const JOIN_PATIENCE: Duration = Duration::from_secs(25);
/// Pause between two tries of a change that was refused for certain.
const RETRY_PAUSE: Duration = Duration::from_millis(200);

/// Changes of the members, through the system's own interface.
///
/// An error of [`StoreError::NotReady`] says that it was not done as far as is known; who must know looks at [`Membership::voters`].
pub trait Membership {
    /// The nodes that vote, as a quorum has it. An error while a change is under way.
    fn voters<'a>(
        &'a self,
        nodes: &'a [Node],
    ) -> LocalFuture<'a, Result<BTreeSet<NodeId>, StoreError>>;

    /// Takes a node out, whether or not it runs.
    fn remove<'a>(
        &'a self,
        id: NodeId,
        nodes: &'a [Node],
    ) -> LocalFuture<'a, Result<(), StoreError>>;

    /// Lets a node in that is no member, has nothing in its data directory, and does not run; starts it, and answers when it votes.
    fn join<'a>(&'a self, id: NodeId, nodes: &'a [Node])
    -> LocalFuture<'a, Result<(), StoreError>>;
}

/// Tries again until it is done, it fails for good, or patience is over. `Ok(false)` and [`StoreError::NotReady`] ask for another try.
pub(crate) async fn until_done<Turn>(
    patience: Duration,
    mut turn: impl FnMut() -> Turn,
) -> Result<(), StoreError>
where
    Turn: Future<Output = Result<bool, StoreError>>,
{
    let started = Instant::now();
    loop {
        let why = match turn().await {
            Ok(true) => return Ok(()),
            Ok(false) => "it is not done yet".to_owned(),
            Err(StoreError::NotReady(why)) => why,
            Err(other) => return Err(other),
        };
        if started.elapsed() > patience {
            return Err(StoreError::NotReady(why));
        }
        tokio::time::sleep(RETRY_PAUSE).await;
    }
}

/// The node with this number.
pub(crate) fn node_of(nodes: &[Node], id: NodeId) -> Result<&Node, StoreError> {
    let node = nodes.iter().find(|node| node.id() == id);
    node.ok_or_else(|| StoreError::NotReady(format!("there is no node {id}")))
}
