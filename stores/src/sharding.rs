//! Systems whose keys are spread over groups of replicas, where which groups have them can be changed.

use std::collections::BTreeSet;

use keelhaul_cluster::Node;
use keelhaul_engine::LocalFuture;
pub use keelhaul_protocol::mover::Moved;
pub use keelhaul_protocol::placement::GroupId;

use crate::StoreError;

/// Which groups there are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Groups {
    /// Those that run.
    pub all: BTreeSet<GroupId>,
    /// Those that have keys.
    pub placed: BTreeSet<GroupId>,
}

/// Changes of the groups that have keys, while clients go on.
pub trait Sharding {
    /// The groups, as the latest change left them.
    fn groups<'a>(&'a self, nodes: &'a [Node]) -> LocalFuture<'a, Result<Groups, StoreError>>;

    /// Lets these groups have all keys, and answers when they do. An error says that it is not known to be done.
    fn place<'a>(
        &'a self,
        groups: BTreeSet<GroupId>,
        nodes: &'a [Node],
    ) -> LocalFuture<'a, Result<Moved, StoreError>>;
}
