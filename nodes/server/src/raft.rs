//! Raft as a protocol that this process can run.

use keelhaul_protocol::api::{Effect, Input, Nanos, Stored};
use keelhaul_protocol::raft::{Config, Message, Replica};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use crate::args::ServerArgs;
use crate::protocol::Protocol;

const MILLISECOND: u64 = 1_000_000;

impl Protocol for Replica {
    type Message = Message;

    fn step(&mut self, now: Nanos, input: Input<Message>, effects: &mut Vec<Effect<Message>>) {
        Self::step(self, now, input, effects);
    }
}

/// A replica as the arguments want it, from what its disk held.
pub(crate) fn start(
    args: &ServerArgs,
    stored: Stored,
    now: Nanos,
    effects: &mut Vec<Effect<Message>>,
) -> Replica {
    Replica::new(config(args), stored, now, generator(args), effects)
}

fn config(args: &ServerArgs) -> Config {
    let peers: Vec<_> = args.peers.iter().map(|(id, _)| *id).collect();
    let mut config = Config::new(args.id, args.voters.clone().unwrap_or_else(|| peers.clone()));
    config.reachable = peers;
    if let Some((min, max)) = args.timing.election_ms {
        config.election_timeout = Nanos(min * MILLISECOND)..=Nanos(max * MILLISECOND);
    }
    if let Some(heartbeat) = args.timing.heartbeat_ms {
        config.heartbeat_interval = Nanos(heartbeat * MILLISECOND);
    }
    if let Some(entries) = args.snapshot_entries {
        config.snapshot_entries = entries;
        config.keep_entries = config.keep_entries.min(entries / 2);
    }
    config.lease_reads = args.lease_reads;
    config.mutant = args.mutant;
    config
}

/// One stream a node: the nodes of a cluster share a seed and must not choose alike.
fn generator(args: &ServerArgs) -> ChaCha8Rng {
    let mut generator = ChaCha8Rng::seed_from_u64(args.seed);
    generator.set_stream(u64::from(args.id.0));
    generator
}
