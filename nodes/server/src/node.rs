//! The loop around a protocol: gathers what happened, lets the protocol decide, carries out what it wants.
//!
//! Waiting happens in one place; everything else here is synchronous. All that has arrived is taken together, so that
//! many requests share one batch of entries and one sync.

use std::collections::BTreeMap;
use std::rc::Rc;

use keelhaul_protocol::api::{Effect, Input, Nanos, NodeId, Note, RequestId};
use keelhaul_protocol::kv;
use tokio::sync::mpsc::{self, UnboundedReceiver};
use tokio::time::sleep_until;

use crate::error::ServerError;
use crate::inbound::{ConnectionId, INBOUND_MAX, Inbound};
use crate::log::Log;
use crate::peers::Outbox;
use crate::protocol::Protocol;
use crate::storage::{Command, Report, Worker};
use crate::wire::{CLIENT_FRAME_BYTES_MAX, PEER_FRAME_BYTES_MAX, ReplyFrame, encode_frame};

/// A request whose answer is still to come.
#[derive(Debug)]
struct Pending {
    connection: ConnectionId,
    replies: mpsc::Sender<Vec<u8>>,
    correlation: u64,
}

/// Where a node hears from.
#[derive(Debug)]
pub(crate) struct Sources<M> {
    /// Peers and clients.
    pub(crate) inbound: mpsc::Receiver<Inbound<M>>,
    /// The storage thread.
    pub(crate) reports: UnboundedReceiver<Report>,
}

/// A node at work.
pub(crate) struct Node<P: Protocol> {
    protocol: P,
    log: Log,
    worker: Worker,
    outboxes: BTreeMap<NodeId, Rc<Outbox>>,
    pending: BTreeMap<RequestId, Pending>,
    requests: u64,
    timer: Option<Nanos>,
    inputs: Vec<Input<P::Message>>,
    effects: Vec<Effect<P::Message>>,
}

/// What ended a wait.
enum Event<M> {
    Inbound(Inbound<M>),
    /// None when the storage thread is gone.
    Report(Option<Report>),
    Timer,
    Shutdown,
}

impl<P: Protocol> Node<P> {
    /// A node around a protocol that was just started; `effects` is what it wanted done at its start.
    pub(crate) fn new(
        protocol: P,
        effects: Vec<Effect<P::Message>>,
        worker: Worker,
        outboxes: BTreeMap<NodeId, Rc<Outbox>>,
        log: Log,
    ) -> Self {
        let (pending, inputs) = (BTreeMap::new(), Vec::new());
        Self { protocol, log, worker, outboxes, pending, requests: 0, timer: None, inputs, effects }
    }

    /// Works until `shutdown` resolves or the disk fails.
    pub(crate) async fn run(
        mut self,
        mut sources: Sources<P::Message>,
        shutdown: impl Future<Output = ()>,
    ) -> Result<(), ServerError> {
        tokio::pin!(shutdown);
        loop {
            self.carry_out();
            let wake = self.timer.map(|at| tokio::time::Instant::from_std(self.log.instant(at)));
            let event = tokio::select! {
                biased;
                () = &mut shutdown => Event::Shutdown,
                report = sources.reports.recv() => Event::Report(report),
                Some(inbound) = sources.inbound.recv() => Event::Inbound(inbound),
                () = sleep_until(wake.unwrap_or_else(tokio::time::Instant::now)), if wake.is_some() => Event::Timer,
            };
            match event {
                Event::Inbound(inbound) => self.receive(inbound),
                Event::Report(Some(report)) => self.synced(report)?,
                Event::Report(None) => return Err(ServerError::StorageThread),
                Event::Timer => {}
                Event::Shutdown => return Ok(()),
            }
            self.gather(&mut sources)?;
            self.step();
        }
    }

    /// Takes all else that has arrived, up to a bound.
    fn gather(&mut self, sources: &mut Sources<P::Message>) -> Result<(), ServerError> {
        loop {
            match sources.reports.try_recv() {
                Ok(report) => self.synced(report)?,
                Err(mpsc::error::TryRecvError::Empty) => break,
                Err(mpsc::error::TryRecvError::Disconnected) => {
                    return Err(ServerError::StorageThread);
                }
            }
        }
        for _ in 0..INBOUND_MAX {
            let Ok(inbound) = sources.inbound.try_recv() else { break };
            self.receive(inbound);
        }
        // Last: what a leader sent in time counts before the suspicion that it did not.
        if self.timer.is_some_and(|at| at <= self.log.now()) {
            self.timer = None;
            self.inputs.push(Input::Timer);
        }
        Ok(())
    }

    fn synced(&mut self, report: Report) -> Result<(), ServerError> {
        self.inputs.push(Input::Synced(report?));
        Ok(())
    }

    fn receive(&mut self, inbound: Inbound<P::Message>) {
        match inbound {
            Inbound::Message { from, message } => {
                self.inputs.push(Input::Receive { from, message });
            }
            Inbound::Request { connection, replies, correlation, request } => {
                self.requests += 1;
                let id = RequestId(self.requests);
                self.pending.insert(id, Pending { connection, replies, correlation });
                self.inputs.push(Input::Request { id, request });
            }
            Inbound::Closed(connection) => {
                self.pending.retain(|_, pending| pending.connection != connection);
            }
        }
    }

    fn step(&mut self) {
        let now = self.log.now();
        for input in self.inputs.drain(..) {
            self.protocol.step(now, input, &mut self.effects);
        }
    }

    fn carry_out(&mut self) {
        let mut effects = std::mem::take(&mut self.effects);
        for effect in effects.drain(..) {
            match effect {
                Effect::SaveHardState(hard_state) => {
                    self.worker.send(Command::HardState(hard_state));
                }
                Effect::Append(entries) => self.worker.send(Command::Append(entries)),
                Effect::SaveSnapshot { snapshot, log_from, keep_log } => {
                    self.worker.send(Command::Snapshot { snapshot, log_from, keep_log });
                }
                Effect::Sync(ticket) => self.worker.send(Command::Sync(ticket)),
                Effect::Send { to, message } => self.send(to, &message),
                Effect::Reply { id, response } => self.reply(id, response),
                Effect::SetTimer(at) => self.timer = Some(at),
                Effect::Note(note) => self.note(note),
            }
        }
        self.effects = effects;
    }

    fn send(&self, to: NodeId, message: &P::Message) {
        let Some(outbox) = self.outboxes.get(&to) else {
            debug_assert!(false, "a message to a node that is not a peer");
            return;
        };
        match encode_frame(message, PEER_FRAME_BYTES_MAX) {
            Some(frame) => outbox.push(frame),
            None => self.log.line(format_args!("a message to n{} is too large to send", to.0)),
        }
    }

    /// A reply that its client does not take is dropped; the client learns nothing, as if the connection had broken.
    fn reply(&mut self, id: RequestId, response: kv::Response) {
        let Some(Pending { replies, correlation, .. }) = self.pending.remove(&id) else { return };
        if let Some(frame) =
            encode_frame(&ReplyFrame { correlation, response }, CLIENT_FRAME_BYTES_MAX + 64)
        {
            let _ = replies.try_send(frame);
        }
    }

    fn note(&self, note: Note) {
        match note {
            Note::Leading(term) => self.log.line(format_args!("leading in term {}", term.0)),
            Note::SteppedDown(term) => {
                self.log.line(format_args!("stepped down in term {}", term.0));
            }
            Note::Following(term, leader) => {
                self.log.line(format_args!("following n{} in term {}", leader.0, term.0));
            }
            Note::Campaigning(term) => {
                self.log.line(format_args!("campaigning for term {}", term.0));
            }
        }
    }
}
