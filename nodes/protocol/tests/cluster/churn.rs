//! An operator who changes the members and moves leadership, without a plan: whom it asks, and for what, is chance. Most of what it
//! asks for is refused; enough is not that a life sees memberships of all sizes.

use keelhaul_protocol::api::{NodeId, RequestId};
use keelhaul_protocol::kv::{Request, Response};
use keelhaul_protocol::membership::Change;
use keelhaul_protocol::raft::{Replica, Role};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// Its requests are told from those of clients by their numbers.
const FIRST_REQUEST: u64 = 1 << 40;

#[derive(Default)]
pub struct Operator {
    asked: u64,
    /// Changes and transfers that came to pass.
    pub done: u64,
}

impl Operator {
    /// The next request of all that there are, and the node that is asked: a leader, if there is one, or any.
    pub fn next<'a>(
        &mut self,
        nodes: usize,
        replicas: impl Iterator<Item = &'a Replica>,
        rng: &mut ChaCha8Rng,
    ) -> (usize, RequestId, Request) {
        let leaders: Vec<usize> = replicas
            .map(Replica::status)
            .filter(|status| status.role == Role::Leader)
            .map(|status| usize::from(status.id.0))
            .collect();
        let target = match leaders.len() {
            0 => rng.random_range(0..nodes),
            count => leaders[rng.random_range(0..count)],
        };
        self.asked += 1;
        let node = NodeId(rng.random_range(0..nodes as u16));
        let request = match rng.random_range(0..13) {
            0..3 => Request::Change(Change::AddLearner(node)),
            3..6 => Request::Change(Change::Promote(node)),
            6..9 => Request::Change(Change::Remove(node)),
            9..11 => {
                let some = (0..nodes as u16).map(NodeId).filter(|_| rng.random_bool(0.6));
                Request::Change(Change::Voters(some.collect()))
            }
            _ => Request::Transfer(node),
        };
        (target, RequestId(FIRST_REQUEST + self.asked), request)
    }

    pub fn answered(&mut self, id: RequestId, response: &Response) {
        self.done += u64::from(id.0 > FIRST_REQUEST && *response == Response::Changed);
    }
}

/// Who belongs to the cluster, by the leader of the latest term; all, where nobody leads. Learners count if `learners`: one that
/// has just come may be as slow as the window that it is fed through.
pub fn is_member(replicas: &[&Replica], node: NodeId, learners: bool) -> bool {
    let leaders = replicas.iter().filter(|replica| replica.status().role == Role::Leader);
    leaders
        .max_by_key(|leader| leader.term())
        .map(|leader| leader.membership())
        .is_none_or(|now| now.is_voter(node) || (learners && now.learners.contains(&node)))
}
