//! What the process needs from a protocol.

use keelhaul_protocol::api::{Effect, Input, Nanos, Stored, Vocabulary};

use crate::args::ServerArgs;

/// A protocol as a state machine: inputs go in, effects come out, to be carried out in order.
pub trait Protocol {
    /// What its nodes say to each other, and with that all other types of its border.
    type Message: Vocabulary;

    /// Takes inputs that are there at the same time, and adds what is to be done about them to `effects`.
    fn step(
        &mut self,
        now: Nanos,
        inputs: impl Iterator<Item = Input<Self::Message>>,
        effects: &mut Vec<Effect<Self::Message>>,
    );
}

/// In nanoseconds.
pub(crate) const MILLISECOND: u64 = 1_000_000;

/// A protocol that a process can host: it is started as the arguments want it.
pub(crate) trait Hosted: Protocol + Sized {
    /// A node from what its disk held; `effects` is what it wants done at its start.
    fn start(
        args: &ServerArgs,
        stored: Stored<Self::Message>,
        now: Nanos,
        effects: &mut Vec<Effect<Self::Message>>,
    ) -> Self;
}
