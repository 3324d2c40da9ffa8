//! A client of transactions: the driver of a [`Coordinator`].
//!
//! Keys are placed on groups by the ring of `keelhaul_protocol::placement`, and each group is a cluster of its own on the same nodes. A client
//! has a session in each group, and asks the groups of a transaction at the same time. The coordinator is in the client: when an operation takes
//! too long and the client is dropped, what it had prepared stays behind, for others to settle. An operation ends when its outcome is decided; the groups
//! are told while the client rests, and its next operation waits for that.
//!
//! The coordinator says what an answer means for the transaction; what an ending without an answer means for a step is
//! [`errors`](super::errors)' business, here as everywhere.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use keelhaul_engine::{Client, Invocation, LocalFuture, Outcome, together};
use keelhaul_history::{NodeId, Process, Value};
use keelhaul_protocol::api::Nanos;
use keelhaul_protocol::coordinator::{Answer, Coordinator, End, Input, Isolation, Move, Tidy, Why};
use keelhaul_protocol::kv::txns::{Puts, Step};
use keelhaul_protocol::kv::{Command, Key};
use keelhaul_protocol::placement::{GroupId, Ring};
use tokio::task::{JoinHandle, spawn_local};
use tokio::time::{Duration, Instant, sleep};

use super::client::RaftClient;
use super::errors::{GaveUp, Trouble};
use super::members::addresses;
use super::values;
use crate::txn::{Done, Txn};

/// Moves of one transaction at most: more than all its attempts can take.
const MOVES_MAX: usize = 1_000;

/// Groups of replicas on the same nodes, and what transactions over them promise.
#[derive(Clone, Debug)]
pub struct Transacting {
    /// Where keys are.
    pub ring: Rc<Ring>,
    /// What is promised.
    pub isolation: Isolation,
}

/// A client of one node, with a session in each group.
pub(super) struct TxnClient {
    transacting: Transacting,
    groups: Groups,
    /// The groups, while they are told of the last transaction's outcome.
    tidying: Option<JoinHandle<Groups>>,
    begun: u64,
    origin: Instant,
}

/// A client in each group.
struct Groups(BTreeMap<GroupId, RaftClient>);

impl TxnClient {
    /// Connects to `home`, one of the nodes, in each group.
    ///
    /// # Errors
    /// [`Trouble::NoConnection`].
    pub(super) async fn open(
        home: NodeId,
        nodes: &BTreeMap<NodeId, std::net::Ipv4Addr>,
        transacting: Transacting,
    ) -> Result<Self, Trouble> {
        let mut groups = BTreeMap::new();
        for group in transacting.ring.groups() {
            groups.insert(group, RaftClient::open(home, addresses(nodes, group)).await?);
        }
        let groups = Groups(groups);
        Ok(Self { transacting, groups, tidying: None, begun: 0, origin: Instant::now() })
    }

    async fn perform(&mut self, op: &Invocation) -> Outcome {
        let txn = match Txn::of(op) {
            Some(Ok(txn)) => txn,
            Some(Err(why)) => return Outcome::Fail(why.into()),
            None => {
                return Outcome::Fail(
                    format!("a client of transactions does not know {}", op.f).into(),
                );
            }
        };
        if let Some(tidying) = &mut self.tidying {
            self.groups = tidying.await.expect("it does not panic, and nobody aborts it");
            self.tidying = None;
        }
        let first = self.groups.first();
        let session = match first.session().await {
            Ok(session) => session,
            Err(gave_up) => return first.without_answer(&gave_up).await,
        };
        self.begun += 1;
        let keys = keys(&txn, self.transacting.isolation);
        let ring = Rc::clone(&self.transacting.ring);
        let name = (session, self.begun);
        let coordinator = Coordinator::new(&ring, self.transacting.isolation, name, keys);
        self.drive(&txn, coordinator).await
    }

    async fn drive(&mut self, txn: &Txn, mut coordinator: Coordinator<'_>) -> Outcome {
        let (mut input, mut result, mut refusal) = (Input::Begin, Value::Null, "");
        let mut trouble = None;
        for _ in 0..MOVES_MAX {
            input = match coordinator.step(self.now(), input) {
                Move::Ask(steps) => {
                    let (answers, last) = self.groups.ask(steps).await;
                    trouble = last.or(trouble);
                    Input::Answers(answers)
                }
                Move::Compute(holds) => match compute(txn, &holds) {
                    Ok((told, puts)) => {
                        result = told;
                        Input::Computed(puts)
                    }
                    Err(why) => {
                        refusal = why;
                        Input::Refused
                    }
                },
                Move::Wait(time) => {
                    sleep(Duration::from_nanos(time.0)).await;
                    Input::Woken
                }
                Move::Done(end) => {
                    let outcome = self.groups.ended(end, result, refusal, trouble).await;
                    if let Some(left) = coordinator.left() {
                        self.tidy_up(left);
                    }
                    return outcome;
                }
            };
        }
        unreachable!("a coordinator gives up before")
    }

    fn now(&self) -> Nanos {
        Nanos(u64::try_from(self.origin.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }

    /// Does what is left of a transaction while this client rests.
    fn tidy_up(&mut self, left: Tidy) {
        let mut groups = std::mem::replace(&mut self.groups, Groups(BTreeMap::new()));
        self.tidying = Some(spawn_local(async move {
            let (answers, _) = groups.ask(left.finish()).await;
            groups.ask(left.forget(&answers).into_iter().collect()).await;
            groups
        }));
    }
}

impl Groups {
    fn first(&mut self) -> &mut RaftClient {
        self.0.values_mut().next().expect("there are groups")
    }

    /// Has groups do their steps, all at once. What went wrong with one comes too.
    async fn ask(&mut self, steps: Vec<(GroupId, Step)>) -> (Vec<Answer>, Option<GaveUp>) {
        let mut steps: BTreeMap<GroupId, Step> = steps.into_iter().collect();
        let asked = self.0.iter_mut().filter_map(|(group, client)| {
            let command = Command::Txn(steps.remove(group)?);
            Some(client.change(command))
        });
        let mut trouble = None;
        let answers = together(asked).await.into_iter().map(|end| match end {
            Ok(response) => Answer::Response(response),
            Err(gave_up) => {
                let accepted_maybe = gave_up.accepted_maybe;
                trouble = Some(gave_up);
                if accepted_maybe { Answer::Unknown } else { Answer::Refused }
            }
        });
        (answers.collect(), trouble)
    }

    async fn ended(
        &mut self,
        end: End,
        result: Value,
        refusal: &str,
        trouble: Option<GaveUp>,
    ) -> Outcome {
        let first = self.first();
        match (end, trouble) {
            (End::Committed, _) => Outcome::Ok(result),
            (End::Failed(Why::Refused), _) => Outcome::Fail(refusal.into()),
            // Whatever became of a step, the transaction will not take effect.
            (End::Failed(Why::NoAnswer), Some(gave_up)) => {
                first.without_answer(&GaveUp { accepted_maybe: false, ..gave_up }).await
            }
            (End::Failed(why), _) => Outcome::Fail(why.as_str().into()),
            (End::Unknown, Some(gave_up)) => Outcome::Info(gave_up.to_string().into()),
            (End::Unknown, None) => Outcome::Info("nobody knows the outcome".into()),
        }
    }
}

/// The keys that a transaction is to collect. For a snapshot, what it only writes is among them: whether somebody else has written it since
/// matters there.
fn keys(txn: &Txn, isolation: Isolation) -> BTreeSet<Key> {
    let all = match isolation {
        Isolation::Snapshot => txn.keys(),
        Isolation::Serializable | Isolation::ReadCommitted => txn.reads(),
    };
    all.values().map(|key| values::key(Some(key))).collect()
}

/// What a transaction comes to, and puts, where keys hold this.
fn compute(
    txn: &Txn,
    holds: &BTreeMap<Key, Option<Vec<u8>>>,
) -> Result<(Value, Puts), &'static str> {
    // Keys are asked for by their JSON text.
    let by_text = |text: &str| {
        let key = Value::from_json(text).map(|key| values::key(Some(&key)));
        let value = key.and_then(|key| holds.get(&key)).and_then(Option::as_deref);
        values::decode(value)
    };
    let Done { result, puts } = txn.perform(&by_text)?;
    let put = |(key, value): &(Value, Value)| {
        let value = values::encode(value).ok_or("null cannot be written")?;
        Ok((values::key(Some(key)), value))
    };
    Ok((result, puts.values().map(put).collect::<Result<_, _>>()?))
}

impl Client for TxnClient {
    fn invoke<'a>(&'a mut self, _process: Process, op: &'a Invocation) -> LocalFuture<'a, Outcome> {
        Box::pin(self.perform(op))
    }
}
