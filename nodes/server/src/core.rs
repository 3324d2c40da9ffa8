//! The heart of a node: gathers what happened, lets the protocol decide, and says what is to be carried out.
//!
//! No clock, thread or socket: a process drives it (`node`), and so does a simulator, each with a [`World`] of its own. What
//! a node does with an input is the same in both.

use std::collections::BTreeMap;

use keelhaul_protocol::api::{
    Effect, Input, Nanos, NodeId, Note, RequestId, SyncTicket, Vocabulary,
};
use keelhaul_protocol::kv;

use crate::protocol::Protocol;
use crate::storage::Command;

/// What surrounds a node: its disk, its peers, its clients.
pub trait World<Message: Vocabulary, Client> {
    /// A change to what is stored, in order.
    fn store(&mut self, command: Command<Message>);
    /// A message to a peer, best effort.
    fn send(&mut self, to: NodeId, message: Message);
    /// The answer to a request.
    fn reply(&mut self, client: Client, response: kv::Response);
    /// Something worth a line in a log.
    fn note(&mut self, note: Note<Message::Era>);
}

/// A protocol at work. `Client` is how its driver finds the one who asked.
#[derive(Debug)]
pub struct Core<P: Protocol, Client> {
    protocol: P,
    pending: BTreeMap<RequestId, Client>,
    requests: u64,
    timer: Option<Nanos>,
    inputs: Vec<Input<P::Message>>,
    effects: Vec<Effect<P::Message>>,
}

impl<P: Protocol, Client> Core<P, Client> {
    /// A node around a protocol that was just started; `effects` is what it wanted done at its start.
    pub fn new(protocol: P, effects: Vec<Effect<P::Message>>) -> Self {
        let (pending, inputs) = (BTreeMap::new(), Vec::new());
        Self { protocol, pending, requests: 0, timer: None, inputs, effects }
    }

    /// The protocol, to be looked at.
    pub const fn protocol(&self) -> &P {
        &self.protocol
    }

    /// What the last step wants done and [`Core::carry_out`] has not done yet.
    pub fn effects(&self) -> &[Effect<P::Message>] {
        &self.effects
    }

    /// When the protocol wants to be woken, by the clock that its steps are given.
    pub const fn timer(&self) -> Option<Nanos> {
        self.timer
    }

    /// A peer said something.
    pub fn receive(&mut self, from: NodeId, message: P::Message) {
        self.inputs.push(Input::Receive { from, message });
    }

    /// A client asked something.
    pub fn request(&mut self, client: Client, request: kv::Request) {
        self.requests += 1;
        let id = RequestId(self.requests);
        self.pending.insert(id, client);
        self.inputs.push(Input::Request { id, request });
    }

    /// Everything up to a ticket is durable.
    pub fn synced(&mut self, ticket: SyncTicket) {
        self.inputs.push(Input::Synced(ticket));
    }

    /// Clients that are gone need no answer.
    pub fn keep_clients(&mut self, mut keep: impl FnMut(&Client) -> bool) {
        self.pending.retain(|_, client| keep(client));
    }

    /// Takes the timer into account, if it is due. To be called last before a step: what a leader sent in time counts before the
    /// suspicion that it did not.
    pub fn look_at_timer(&mut self, now: Nanos) {
        if self.timer.is_some_and(|at| at <= now) {
            self.timer = None;
            self.inputs.push(Input::Timer);
        }
    }

    /// Lets the protocol decide on everything gathered, at once: what came together is stored, synced and sent together.
    pub fn step(&mut self, now: Nanos) {
        if !self.inputs.is_empty() {
            self.protocol.step(now, self.inputs.drain(..), &mut self.effects);
        }
    }

    /// Has everything done that the protocol wants, in order.
    pub fn carry_out(&mut self, world: &mut impl World<P::Message, Client>) {
        for effect in self.effects.drain(..) {
            match effect {
                Effect::SaveHardState(hard_state) => world.store(Command::HardState(hard_state)),
                Effect::Append(entries) => world.store(Command::Append(entries)),
                Effect::Put(entries) => world.store(Command::Put(entries)),
                Effect::Truncate(from) => world.store(Command::Truncate(from)),
                Effect::SaveSnapshot { snapshot, log_from, keep_log } => {
                    world.store(Command::Snapshot { snapshot, log_from, keep_log });
                }
                Effect::Sync(ticket) => world.store(Command::Sync(ticket)),
                Effect::Send { to, message } => world.send(to, message),
                Effect::Reply { id, response } => {
                    if let Some(client) = self.pending.remove(&id) {
                        world.reply(client, response);
                    }
                }
                Effect::SetTimer(at) => self.timer = Some(at),
                Effect::Note(note) => world.note(note),
            }
        }
    }
}
