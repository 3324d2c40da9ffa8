//! A client of locks: `acquire`, `release`, and `append` to the resource that a lock of the same key guards.
//!
//! *Fenced*, the client has its token told and passes it to the resource, which refuses smaller ones than it has seen. *Unfenced*,
//! it appends without one, as clients of lock services without tokens do; what is then left of mutual exclusion is what
//! this kind is there to show.
//!
//! *Keeper.* A held lock is renewed in the background, through the client's own node and no other: as with the agents of Consul,
//! whose sessions live and die with the node at hand. While that node is paused or dead the lock is not renewed, a lease
//! later a contender may take it, and the holder, whose operations find their way around the node, goes on as if nothing were. That
//! is what fencing is for (M. Kleppmann, *How to do distributed locking*, 2016).
//!
//! *Contenders.* An acquisition is one attempt, and fails if the lock is held. A client remembers which hold it was told and since when;
//! once that is a lease ago, its next attempt names the hold as outlived (`keelhaul_protocol::kv::locks`).

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use keelhaul_engine::{Client, Invocation, LocalFuture, Outcome};
use keelhaul_history::{F, NodeId, Process, Value};
use keelhaul_protocol::kv::locks::{Act, Hold, Token};
use keelhaul_protocol::kv::{Command, Key, Response};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, timeout};

use super::client::RaftClient;
use super::errors::{GaveUp, Trouble};
use super::values;

/// How long a hold lives unrenewed: several failovers, so that only a holder who is silent loses it.
pub const LEASE: Duration = Duration::from_secs(1);
/// Renewals in the time of a lease.
const RENEWALS_PER_LEASE: u32 = 4;
/// How much of the time between two renewals one may take; less than it takes until a request is sent to another node.
const RENEWAL_PATIENCE: f64 = 0.6;
/// Renewals of one hold at most; no workload holds a lock for so long.
const RENEWALS_MAX: u32 = 10_000;

/// What clients of locks do with their tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fencing {
    /// Pass them to the resource.
    Fenced,
    /// Know of none.
    Unfenced,
}

/// Locks as a store is to offer them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Locking {
    /// What becomes of tokens.
    pub fencing: Fencing,
    /// How long a hold lives unrenewed.
    pub lease: Duration,
}

/// A client of one node that holds locks.
pub(super) struct LockClient {
    client: RaftClient,
    locking: Locking,
    home: NodeId,
    nodes: BTreeMap<NodeId, SocketAddr>,
    held: BTreeMap<Key, Held>,
    /// Holds of others, as they were told, and since when.
    watched: BTreeMap<Key, (Hold, Instant)>,
}

/// A lock that this client was given.
struct Held {
    token: Token,
    keeper: AbortHandle,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

impl LockClient {
    /// Connects to `home`, one of the nodes.
    ///
    /// # Errors
    /// [`Trouble::NoConnection`].
    pub(super) async fn open(
        home: NodeId,
        nodes: BTreeMap<NodeId, SocketAddr>,
        locking: Locking,
    ) -> Result<Self, Trouble> {
        let client = RaftClient::open(home, nodes.clone()).await?;
        let (held, watched) = (BTreeMap::new(), BTreeMap::new());
        Ok(Self { client, locking, home, nodes, held, watched })
    }

    async fn perform(&mut self, op: &Invocation) -> Outcome {
        let key = values::key(op.key.as_ref());
        match op.f.as_str() {
            "acquire" => self.acquire(key).await,
            "release" => self.release(key, op).await,
            "append" => self.append(key, op).await,
            _ if op.f == F::Read => self.client.perform(op).await,
            name => Outcome::Fail(format!("a client of locks does not know {name}").into()),
        }
    }

    async fn acquire(&mut self, lock: Key) -> Outcome {
        let outlived = |(hold, since): &(Hold, Instant)| {
            (since.elapsed() >= self.locking.lease).then_some(*hold)
        };
        let watched = self.watched.get(&lock).and_then(outlived);
        let act = Act::Acquire { watched };
        match self.client.change(Command::Lock { lock: lock.clone(), act }).await {
            Ok(Response::Acquired(token)) => {
                self.watched.remove(&lock);
                let keeper = tokio::task::spawn_local(keep(
                    (self.home, self.nodes.clone()),
                    (lock.clone(), token),
                    self.locking.lease / RENEWALS_PER_LEASE,
                ));
                self.held.insert(lock, Held { token, keeper: keeper.abort_handle() });
                Outcome::Ok(match self.locking.fencing {
                    Fencing::Fenced => Value::Int(i64::try_from(token.0).unwrap_or(i64::MAX)),
                    Fencing::Unfenced => Value::Null,
                })
            }
            Ok(Response::Held(hold)) => {
                let seen = self.watched.entry(lock).or_insert_with(|| (hold, Instant::now()));
                if seen.0 != hold {
                    *seen = (hold, Instant::now());
                }
                Outcome::Fail("held by another".into())
            }
            end => self.other(end).await,
        }
    }

    async fn release(&mut self, lock: Key, op: &Invocation) -> Outcome {
        let Some(held) = self.held.remove(&lock) else {
            return Outcome::Fail("this client holds no such lock".into());
        };
        match self.client.change(Command::Lock { lock, act: Act::Release(held.token) }).await {
            Ok(Response::Released) => Outcome::Ok(op.value.clone()),
            Ok(Response::NotHeld) => Outcome::Fail("the lock was lost before".into()),
            end => self.other(end).await,
        }
    }

    /// Appends to the resource as the holder that this client takes itself for.
    async fn append(&mut self, key: Key, op: &Invocation) -> Outcome {
        let Some(held) = self.held.get(&key) else {
            return Outcome::Fail("this client holds no such lock".into());
        };
        let fence = (self.locking.fencing == Fencing::Fenced).then_some(held.token);
        let command = Command::Append { key: key.clone(), value: values::item(&op.value), fence };
        match self.client.change(command).await {
            Ok(Response::Appended) => Outcome::Ok(op.value.clone()),
            Ok(Response::Fenced { largest }) => {
                self.held.remove(&key);
                Outcome::Fail(format!("fenced off: the resource has seen {}", largest.0).into())
            }
            Ok(Response::Blocked(_)) => Outcome::Fail("a transaction holds the key".into()),
            end => self.other(end).await,
        }
    }

    async fn other(&self, end: Result<Response, GaveUp>) -> Outcome {
        match end {
            Ok(_) => unreachable!("a call returns only what fits the request"),
            Err(gave_up) => self.client.without_answer(&gave_up).await,
        }
    }
}

/// Renews a hold through one node, until there is no such hold any more.
async fn keep(
    (home, nodes): (NodeId, BTreeMap<NodeId, SocketAddr>),
    (lock, token): (Key, Token),
    interval: Duration,
) {
    let patience = interval.mul_f64(RENEWAL_PATIENCE);
    let mut client = None;
    for _ in 0..RENEWALS_MAX {
        sleep(interval).await;
        let renewed = timeout(patience, async {
            let client = match &mut client {
                Some(client) => client,
                none => none.insert(RaftClient::open(home, nodes.clone()).await.ok()?),
            };
            let act = Act::Renew(token);
            client.change(Command::Lock { lock: lock.clone(), act }).await.ok()
        });
        match renewed.await {
            Ok(Some(Response::NotHeld)) => return,
            Ok(Some(_)) => {}
            // Whatever is wrong with the connection, the next one may be better.
            Ok(None) => client = None,
            Err(_) => {}
        }
    }
}

impl Client for LockClient {
    fn invoke<'a>(&'a mut self, _process: Process, op: &'a Invocation) -> LocalFuture<'a, Outcome> {
        Box::pin(self.perform(op))
    }
}
