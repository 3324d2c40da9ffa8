//! What the process needs from a protocol.

use keelhaul_protocol::api::{Effect, Input, Nanos};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A protocol as a state machine: an input goes in, effects come out, to be carried out in order.
pub trait Protocol {
    /// What its nodes say to each other.
    type Message: Serialize + DeserializeOwned + 'static;

    /// Takes an input at a time and adds what is to be done about it to `effects`.
    fn step(
        &mut self,
        now: Nanos,
        input: Input<Self::Message>,
        effects: &mut Vec<Effect<Self::Message>>,
    );
}
