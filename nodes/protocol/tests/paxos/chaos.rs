//! Lives of a Paxos cluster without a common clock.

use std::fmt::Debug;

use keelhaul_protocol::api::{Effect, Input, LogIndex, Nanos, NodeId, Stored};
use keelhaul_protocol::paxos::{Config, Message, Mutant, Replica};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::lives::chaos::{self, ELECTION, HEARTBEAT, Odds, Sizes, Subject};
use super::oracle::{Disk, Oracle};

/// What a life did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    pub acknowledged: u64,
    /// Rounds of ballots.
    pub rounds: u64,
    pub unjudged: u64,
    /// Snapshots that were fetched.
    pub installed: u64,
}

struct Paxos {
    config: Config,
    oracle: Oracle,
    installed: u64,
}

pub fn run(seed: u64, mutant: Option<Mutant>) -> Result<Summary, String> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let count = chaos::COUNTS[rng.random_range(0..8)];
    let config = config(count, mutant, &Sizes::draw(&mut rng));
    let odds = Odds::draw((5, 30), None, &mut rng);
    let mut paxos = Paxos { config, oracle: Oracle::default(), installed: 0 };
    let life = chaos::live(&mut paxos, count, odds, rng)?;
    let (acknowledged, installed) = (life.acknowledged, paxos.installed);
    Ok(Summary { acknowledged, rounds: life.eras, unjudged: life.unjudged, installed })
}

fn config(count: usize, mutant: Option<Mutant>, sizes: &Sizes) -> Config {
    let mut config = Config::new(NodeId(0), (0..count as u16).map(NodeId).collect());
    config.election_timeout = ELECTION..=Nanos(2 * ELECTION.0);
    config.heartbeat_interval = HEARTBEAT;
    config.snapshot_entries = sizes.snapshot_entries;
    config.keep_entries = sizes.keep_entries;
    config.accept_entries_max = sizes.entries_max;
    config.accept_bytes_max = sizes.bytes_max;
    config.accepts_in_flight_max = sizes.in_flight_max;
    config.mutant = mutant;
    config
}

impl Subject for Paxos {
    type Message = Message;
    type Replica = Replica;
    const STATES_APART: bool = false;

    fn start(
        &mut self,
        id: NodeId,
        stored: Stored<Message>,
        now: Nanos,
        rng: ChaCha8Rng,
        out: &mut Vec<Effect<Message>>,
    ) -> Replica {
        let config = Config { id, ..self.config.clone() };
        let replica = Replica::new(config, stored, now, rng, out);
        self.oracle.restarted(&replica);
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

    /// Slots are stored one by one, and those after a snapshot are not its concern.
    fn may_store(effect: &Effect<Message>) -> bool {
        !matches!(
            effect,
            Effect::Append(_) | Effect::Truncate(_) | Effect::SaveSnapshot { keep_log: false, .. }
        )
    }

    fn check(
        &mut self,
        replica: &Replica,
        _asked: &[Effect<Message>],
        disks: &[&Disk],
    ) -> Result<(), String> {
        self.oracle.check(replica, disks)
    }

    fn may_send(
        &mut self,
        disk: &Disk,
        from: NodeId,
        _to: NodeId,
        message: &Message,
    ) -> Result<(), String> {
        self.installed += u64::from(matches!(message, Message::Piece { done: true, .. }));
        self.oracle.may_send(disk, from, message)
    }

    fn committed(&self) -> LogIndex {
        self.oracle.committed()
    }

    fn caught_up(replicas: &[&Replica], committed: LogIndex) -> bool {
        replicas.iter().all(|replica| replica.status().committed >= committed)
    }

    fn eras(&self, replicas: &[&Replica]) -> u64 {
        replicas.iter().map(|replica| replica.status().promised.round).max().unwrap_or(0)
    }
}
