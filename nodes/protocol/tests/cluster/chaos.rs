//! Lives of a Raft cluster without a common clock, with or without an operator.

use std::fmt::Debug;

use keelhaul_protocol::api::{Effect, Input, LogIndex, Nanos, NodeId, RequestId, Stored};
use keelhaul_protocol::kv::{Request, Response};
use keelhaul_protocol::raft::{Config, Message, Mutant, Replica};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::churn::{self, Operator};
use super::lives::chaos::{self, ELECTION, HEARTBEAT, Odds, Sizes, Subject};
use super::oracle::{self, Disk, Oracle};

/// What a life did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    pub acknowledged: u64,
    pub terms: u64,
    pub unjudged: u64,
    /// Changes of the members, and transfers.
    pub changes: u64,
}

struct Raft {
    config: Config,
    operator: Operator,
    oracle: Oracle,
}

/// With an operator if `churn`.
pub fn run(seed: u64, mutant: Option<Mutant>, churn: bool) -> Result<Summary, String> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    // Four is the smallest number of voters of which two single changes can have quorums that do not meet.
    let counts = if churn { [1, 2, 3, 4, 4, 4, 4, 5] } else { chaos::COUNTS };
    let count = counts[rng.random_range(0..8)];
    let voters = if churn && rng.random_bool(0.3) { rng.random_range(1..=count) } else { count };
    let config = config(count, voters, mutant, &Sizes::draw(&mut rng));
    let odds = Odds::draw((5, 30), churn.then_some((5, 40)), &mut rng);
    let mut raft = Raft { config, operator: Operator::default(), oracle: Oracle::default() };
    let life = chaos::live(&mut raft, count, odds, rng)?;
    let (acknowledged, changes) = (life.acknowledged, raft.operator.done);
    Ok(Summary { acknowledged, terms: life.eras, unjudged: life.unjudged, changes })
}

fn config(count: usize, voters: usize, mutant: Option<Mutant>, sizes: &Sizes) -> Config {
    let nodes: Vec<NodeId> = (0..count as u16).map(NodeId).collect();
    let mut config = Config::new(NodeId(0), nodes[..voters].to_vec());
    config.reachable = nodes;
    config.election_timeout = ELECTION..=Nanos(2 * ELECTION.0);
    config.heartbeat_interval = HEARTBEAT;
    config.snapshot_entries = sizes.snapshot_entries;
    config.keep_entries = sizes.keep_entries;
    config.append_entries_max = sizes.entries_max;
    config.append_bytes_max = sizes.bytes_max;
    config.appends_in_flight_max = sizes.in_flight_max;
    config.mutant = mutant;
    config
}

impl Subject for Raft {
    type Message = Message;
    type Replica = Replica;

    fn start(
        &mut self,
        id: NodeId,
        stored: Stored<Message>,
        now: Nanos,
        rng: ChaCha8Rng,
        out: &mut Vec<Effect<Message>>,
    ) -> Replica {
        let config = Config { id, ..self.config.clone() };
        let replica = Replica::new(config, stored.clone(), now, rng, out);
        self.oracle.restarted(&replica, &stored);
        replica
    }

    fn step(
        replica: &mut Replica,
        now: Nanos,
        inputs: impl Iterator<Item = Input<Message>>,
        out: &mut Vec<Effect<Message>>,
    ) {
        replica.step_all(now, inputs, out);
    }

    fn status(replica: &Replica) -> impl Debug {
        replica.status()
    }

    fn may_store(effect: &Effect<Message>) -> bool {
        !matches!(effect, Effect::Put(_) | Effect::Truncate(_))
    }

    fn check(
        &mut self,
        replica: &Replica,
        asked: &[Effect<Message>],
        disks: &[&Disk],
    ) -> Result<(), String> {
        self.oracle.asked(replica.status().id, asked)?;
        self.oracle.check(replica, disks)
    }

    fn may_send(
        &mut self,
        disk: &Disk,
        from: NodeId,
        to: NodeId,
        message: &Message,
    ) -> Result<(), String> {
        oracle::may_send(disk, from, to, message)
    }

    fn committed(&self) -> LogIndex {
        self.oracle.committed()
    }

    fn caught_up(replicas: &[&Replica], committed: LogIndex) -> bool {
        let mut statuses = replicas.iter().map(|replica| replica.status());
        statuses.all(|status| {
            status.committed >= committed || !churn::is_member(replicas, status.id, true)
        })
    }

    fn compare(&mut self, replicas: &[&Replica]) -> Result<(), String> {
        self.oracle.compare_states(replicas)
    }

    fn eras(&self, replicas: &[&Replica]) -> u64 {
        replicas.iter().map(|replica| replica.term().0).max().unwrap_or(0)
    }

    fn operate(
        &mut self,
        nodes: usize,
        replicas: &[&Replica],
        rng: &mut ChaCha8Rng,
    ) -> Option<(usize, RequestId, Request)> {
        Some(self.operator.next(nodes, replicas.iter().copied(), rng))
    }

    fn answered(&mut self, id: RequestId, response: &Response) {
        self.operator.answered(id, response);
    }
}
