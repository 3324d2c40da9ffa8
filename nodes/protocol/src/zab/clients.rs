//! Clients that wait at this node, and their writes: every serving node takes them, and hands to its leader what needs a transaction
//! (Zab paper §2; ZooKeeper's request processors). A write is answered by the node that took it, after that node applied it: a client that stays with
//! its node reads its own writes there.

use std::collections::{BTreeMap, VecDeque};

use super::leader::Phase;
use super::message::Message;
use super::node::{Office, Replica};
use super::read::Read;
use crate::api::{LogIndex, Nanos, NodeId, Payload, RequestId};
use crate::kv::{Request, Response};
use crate::outbox::After;

/// Who waits for what.
#[derive(Debug, Default)]
pub(super) struct Clients {
    /// The last number that a request to the leader was given.
    pub(super) numbers: u64,
    /// Writes handed to the leader, and since when, by number.
    forwarded: BTreeMap<u64, (RequestId, Nanos)>,
    /// Writes that became transactions.
    entered: BTreeMap<LogIndex, RequestId>,
    /// A follower's reads that the leader was not asked about yet.
    pub(super) waiting: Vec<Read>,
    /// Those that it was asked about, by number and since when.
    pub(super) asked: Option<(u64, Nanos, Vec<Read>)>,
    /// Those that wait until this node is so far.
    pub(super) ready: VecDeque<(LogIndex, Vec<Read>)>,
}

impl Clients {
    /// Who waits for the transaction at this position.
    pub(super) fn take_entered(&mut self, index: LogIndex) -> Option<RequestId> {
        self.entered.remove(&index)
    }

    /// Those who wait for transactions up to this position, of which nobody will say what came of them.
    pub(super) fn forget_entered(&mut self, to: LogIndex) -> Vec<RequestId> {
        let later = self.entered.split_off(&LogIndex(to.0 + 1));
        std::mem::replace(&mut self.entered, later).into_values().collect()
    }
}

impl Replica {
    pub(super) fn write(&mut self, id: RequestId, request: Request) {
        match &self.office {
            Office::Leading(_) => {
                if let Some(payload) = payload(request) {
                    let index = self.propose(payload);
                    self.clients.entered.insert(index, id);
                }
            }
            Office::Following(follower) => {
                let leader = follower.leader;
                self.clients.numbers += 1;
                let (number, epoch) = (self.clients.numbers, self.epochs.accepted);
                self.clients.forwarded.insert(number, (id, self.now));
                let message = Message::Forward { epoch, number, request };
                self.outbox.send(After::HardState, leader, message);
            }
            Office::Looking(_) => {}
        }
    }

    /// Its transaction is named before it is proposed, on the same way: its node knows whom to answer when it is committed.
    pub(super) fn on_forward(&mut self, from: NodeId, number: u64, request: Request) {
        let Office::Leading(leader) = &self.office else { return };
        let takes = leader.phase == Phase::Broadcast;
        let entered = payload(request).filter(|_| takes).map(|payload| self.propose(payload));
        let epoch = self.epochs.accepted;
        self.outbox.send(After::HardState, from, Message::Forwarded { epoch, number, entered });
    }

    pub(super) fn on_forwarded(&mut self, number: u64, entered: Option<LogIndex>) {
        let Some((id, _)) = self.clients.forwarded.remove(&number) else { return };
        match entered {
            Some(index) if index > self.applied => {
                if let Some(other) = self.clients.entered.insert(index, id) {
                    self.outbox.reply(other, Response::Unknown);
                }
            }
            Some(_) => self.outbox.reply(id, Response::Unknown),
            None => self.outbox.reply(id, Response::NotLeader { leader: None }),
        }
    }

    /// Requests to the leader, or its answers, may be lost. Writes are given up then, for nobody knows whether they were taken; reads are asked about again.
    pub(super) fn tick_requests(&mut self) {
        let long_ago = self.now.0.saturating_sub(self.config.election_timeout.end().0);
        while let Some(first) = self.clients.forwarded.first_entry()
            && first.get().1.0 < long_ago
        {
            let (id, _) = first.remove();
            self.outbox.reply(id, Response::Unknown);
        }
        let a_while_ago = self.now.0.saturating_sub(self.config.heartbeat_interval.0);
        if self.clients.asked.as_ref().is_some_and(|(_, since, _)| since.0 <= a_while_ago) {
            let (_, _, reads) = self.clients.asked.take().unwrap_or_default();
            self.clients.waiting.extend(reads);
        }
    }

    /// This node serves no more. What became of writes nobody here will know; reads did nothing.
    pub(super) fn leave_clients(&mut self) {
        let clients = std::mem::take(&mut self.clients);
        self.clients.numbers = clients.numbers;
        let forwarded = clients.forwarded.into_values().map(|(id, _)| id);
        for id in forwarded.chain(clients.entered.into_values()) {
            self.outbox.reply(id, Response::Unknown);
        }
        let asked = clients.asked.into_iter().flat_map(|(_, _, reads)| reads);
        let ready = clients.ready.into_iter().flat_map(|(_, reads)| reads);
        let mut reads: Vec<Read> = clients.waiting.into_iter().chain(asked).chain(ready).collect();
        if let Office::Leading(leader) = &mut self.office {
            reads.extend(std::mem::take(&mut leader.reads).into_own());
        }
        for read in reads {
            self.outbox.reply(read.id, Response::NotLeader { leader: None });
        }
    }
}

/// What a request that needs one asks to be made a transaction.
fn payload(request: Request) -> Option<Payload> {
    match request {
        Request::Register => Some(Payload::Register),
        Request::Perform { session, sequence, command } => {
            Some(Payload::Command { session, sequence, command })
        }
        _ => None,
    }
}
