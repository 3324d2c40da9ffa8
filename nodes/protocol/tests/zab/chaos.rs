//! Lives of a Zab cluster without a common clock.

use std::fmt::Debug;

use keelhaul_protocol::api::{Effect, Input, LogIndex, Nanos, NodeId, Stored};
use keelhaul_protocol::zab::{Config, Message, Mutant, Replica};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::lives::chaos::{self, ELECTION, HEARTBEAT, Odds, Sizes, Subject};
use super::oracle::{self, Disk, Oracle};

/// What a life did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    pub acknowledged: u64,
    pub epochs: u64,
    pub unjudged: u64,
}

struct Zab {
    config: Config,
    oracle: Oracle,
}

pub fn run(seed: u64, mutant: Option<Mutant>) -> Result<Summary, String> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let count = chaos::COUNTS[rng.random_range(0..8)];
    let config = config(count, mutant, &Sizes::draw(&mut rng));
    let odds = Odds::draw((2, 12), None, &mut rng);
    let mut zab = Zab { config, oracle: Oracle::default() };
    let life = chaos::live(&mut zab, count, odds, rng)?;
    Ok(Summary { acknowledged: life.acknowledged, epochs: life.eras, unjudged: life.unjudged })
}

fn config(count: usize, mutant: Option<Mutant>, sizes: &Sizes) -> Config {
    let mut config = Config::new(NodeId(0), (0..count as u16).map(NodeId).collect());
    config.election_timeout = ELECTION..=Nanos(2 * ELECTION.0);
    config.heartbeat_interval = HEARTBEAT;
    config.settle_time = Nanos(HEARTBEAT.0 / 2);
    config.snapshot_entries = sizes.snapshot_entries;
    config.keep_entries = sizes.keep_entries;
    config.propose_entries_max = sizes.entries_max;
    config.propose_bytes_max = sizes.bytes_max;
    config.proposals_in_flight_max = sizes.in_flight_max;
    config.mutant = mutant;
    config
}

impl Subject for Zab {
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
        !matches!(effect, Effect::Put(_))
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
        _to: NodeId,
        message: &Message,
    ) -> Result<(), String> {
        oracle::may_send(disk, from, message)
    }

    fn committed(&self) -> LogIndex {
        self.oracle.committed()
    }

    fn caught_up(replicas: &[&Replica], committed: LogIndex) -> bool {
        replicas.iter().all(|replica| replica.status().committed >= committed)
    }

    fn eras(&self, _replicas: &[&Replica]) -> u64 {
        self.oracle.epochs()
    }

    fn compare(&mut self, replicas: &[&Replica]) -> Result<(), String> {
        self.oracle.compare_states(replicas)
    }
}
