//! The loop of a node's process: waits for what happens on sockets, disk and clock, and hands it to the [`Core`].
//!
//! Waiting happens in one place; everything else here is synchronous. All that has arrived is taken together, so that
//! many requests share one batch of entries and one sync.

use std::collections::BTreeMap;
use std::rc::Rc;

use keelhaul_protocol::api::{Effect, Era, NodeId, Note, Vocabulary};
use keelhaul_protocol::kv;
use tokio::sync::mpsc::{self, UnboundedReceiver};
use tokio::time::sleep_until;

use crate::core::{Core, World};
use crate::error::ServerError;
use crate::inbound::{ConnectionId, INBOUND_MAX, Inbound};
use crate::log::Log;
use crate::peers::Outbox;
use crate::protocol::Protocol;
use crate::storage::{Command, Report, Worker};
use crate::wire::{CLIENT_FRAME_BYTES_MAX, PEER_FRAME_BYTES_MAX, ReplyFrame, encode_frame};

/// Who waits for an answer.
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
    core: Core<P, Pending>,
    around: Around<P::Message>,
}

/// What is around it in a process.
struct Around<M: Vocabulary> {
    log: Log,
    worker: Worker<M>,
    outboxes: BTreeMap<NodeId, Rc<Outbox>>,
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
        worker: Worker<P::Message>,
        outboxes: BTreeMap<NodeId, Rc<Outbox>>,
        log: Log,
    ) -> Self {
        Self { core: Core::new(protocol, effects), around: Around { log, worker, outboxes } }
    }

    /// Works until `shutdown` resolves or the disk fails.
    pub(crate) async fn run(
        mut self,
        mut sources: Sources<P::Message>,
        shutdown: impl Future<Output = ()>,
    ) -> Result<(), ServerError> {
        tokio::pin!(shutdown);
        let log = self.around.log;
        loop {
            self.core.carry_out(&mut self.around);
            let wake = self.core.timer().map(|at| tokio::time::Instant::from_std(log.instant(at)));
            let event = tokio::select! {
                biased;
                () = &mut shutdown => Event::Shutdown,
                report = sources.reports.recv() => Event::Report(report),
                Some(inbound) = sources.inbound.recv() => Event::Inbound(inbound),
                () = sleep_until(wake.unwrap_or_else(tokio::time::Instant::now)), if wake.is_some() => Event::Timer,
            };
            match event {
                Event::Inbound(inbound) => self.receive(inbound),
                Event::Report(Some(report)) => self.core.synced(report?),
                Event::Report(None) => return Err(ServerError::StorageThread),
                Event::Timer => {}
                Event::Shutdown => return Ok(()),
            }
            self.gather(&mut sources)?;
            self.core.step(log.now());
        }
    }

    /// Takes all else that has arrived, up to a bound.
    fn gather(&mut self, sources: &mut Sources<P::Message>) -> Result<(), ServerError> {
        loop {
            match sources.reports.try_recv() {
                Ok(report) => self.core.synced(report?),
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
        self.core.look_at_timer(self.around.log.now());
        Ok(())
    }

    fn receive(&mut self, inbound: Inbound<P::Message>) {
        match inbound {
            Inbound::Message { from, message } => self.core.receive(from, message),
            Inbound::Request { connection, replies, correlation, request } => {
                self.core.request(Pending { connection, replies, correlation }, request);
            }
            Inbound::Closed(connection) => {
                self.core.keep_clients(|pending| pending.connection != connection);
            }
        }
    }
}

impl<M: Vocabulary> World<M, Pending> for Around<M> {
    fn store(&mut self, command: Command<M>) {
        self.worker.send(command);
    }

    fn send(&mut self, to: NodeId, message: M) {
        let Some(outbox) = self.outboxes.get(&to) else {
            // The log may name a member that this node was given no address of, as when it was started with a shorter list.
            return;
        };
        match encode_frame(&message, PEER_FRAME_BYTES_MAX) {
            Some(frame) => outbox.push(frame),
            None => self.log.line(format_args!("a message to n{} is too large to send", to.0)),
        }
    }

    /// A reply that its client does not take is dropped; the client learns nothing, as if the connection had broken.
    fn reply(&mut self, client: Pending, response: kv::Response) {
        let Pending { replies, correlation, .. } = client;
        if let Some(frame) =
            encode_frame(&ReplyFrame { correlation, response }, CLIENT_FRAME_BYTES_MAX + 64)
        {
            let _ = replies.try_send(frame);
        }
    }

    fn note(&mut self, note: Note<M::Era>) {
        self.log.line(Words(note));
    }
}

/// A note as a line of the log.
struct Words<E>(Note<E>);

impl<E: Era> std::fmt::Display for Words<E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Note::Leading(era) => write!(f, "leading in {era}"),
            Note::SteppedDown(era) => write!(f, "stepped down in {era}"),
            Note::Following(era, leader) => write!(f, "following n{} in {era}", leader.0),
            Note::Campaigning(era) => write!(f, "campaigning for {era}"),
        }
    }
}
