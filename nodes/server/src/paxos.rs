//! Paxos as a protocol that this process can run.

use keelhaul_protocol::Mutant;
use keelhaul_protocol::api::{Effect, Input, Nanos, Stored};
use keelhaul_protocol::paxos::{Config, Message, Replica};

use crate::args::{Reads, ServerArgs};
use crate::protocol::{Hosted, MILLISECOND, Protocol};

impl Protocol for Replica {
    type Message = Message;

    fn step(
        &mut self,
        now: Nanos,
        inputs: impl Iterator<Item = Input<Message>>,
        effects: &mut Vec<Effect<Message>>,
    ) {
        self.step_all(now, inputs, effects);
    }
}

impl Hosted for Replica {
    fn start(
        args: &ServerArgs,
        stored: Stored<Message>,
        now: Nanos,
        effects: &mut Vec<Effect<Message>>,
    ) -> Self {
        Self::new(config(args), stored, now, args.generator(), effects)
    }
}

fn config(args: &ServerArgs) -> Config {
    let mut config = Config::new(args.id, args.peers.iter().map(|(id, _)| *id).collect());
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
    config.lease_reads = args.reads == Reads::Lease;
    match args.mutant {
        Some(Mutant::Paxos(mutant)) => config.mutant = Some(mutant),
        Some(Mutant::Kv(mistake)) => config.mistake = Some(mistake),
        _ => {}
    }
    config
}
