//! A client of transactions: the driver of a [`Coordinator`].
//!
//! Keys are placed on groups by the ring of `keelhaul_protocol::placement`, and each group is a cluster of its own on the same nodes. Which
//! groups have keys can change ([`sharding`](super::sharding)); a client learns that from groups that do not serve what it asks them for, and begins anew. It
//! has a session in each group, also in those without keys, and asks the groups of a transaction at the same time. The coordinator is in the client: when an operation takes
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
use keelhaul_protocol::kv::{Command, Key, Response};
use keelhaul_protocol::placement::{GroupId, Placement, Ring};
use tokio::task::{JoinHandle, spawn_local};
use tokio::time::{Duration, Instant, sleep};

use super::client::RaftClient;
use super::errors::{GaveUp, Trouble};
use super::members::addresses;
use super::values;
use crate::txn::{Done, Txn};

/// Moves of one transaction at most: more than all its attempts can take.
const MOVES_MAX: usize = 1_000;
/// How often a transaction is begun anew since keys were not where they were looked for: many times what a change takes.
const PLACES_MAX: u32 = 1_000;
/// Pause before that.
const PLACE_PAUSE: Duration = Duration::from_millis(10);

/// Groups of replicas on the same nodes, and what transactions over them promise.
#[derive(Clone, Debug)]
pub struct Transacting {
    /// The groups that run.
    pub groups: Vec<GroupId>,
    /// Those that had the keys first.
    pub placement: Placement,
    /// What is promised.
    pub isolation: Isolation,
}

/// A client of one node, with a session in each group.
pub(super) struct TxnClient {
    isolation: Isolation,
    placement: Placement,
    ring: Rc<Ring>,
    groups: Groups,
    /// The groups, while they are told of the last transaction's outcome.
    tidying: Option<JoinHandle<Groups>>,
    begun: u64,
    clock: Clock,
}

/// The time since it was made.
pub(super) struct Clock(Instant);

impl Clock {
    pub(super) fn new() -> Self {
        Self(Instant::now())
    }

    pub(super) fn now(&self) -> Nanos {
        Nanos(u64::try_from(self.0.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }
}

/// What became of a step, as a coordinator is told.
pub(super) fn answer(end: &Result<Response, GaveUp>) -> Answer {
    match end {
        Ok(response) => Answer::Response(response.clone()),
        Err(GaveUp { accepted_maybe: true, .. }) => Answer::Unknown,
        Err(_) => Answer::Refused,
    }
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
        for group in transacting.groups {
            groups.insert(group, RaftClient::open(home, addresses(nodes, group)).await?);
        }
        let groups = Groups(groups);
        let Transacting { placement, isolation, .. } = transacting;
        let (ring, clock) = (Rc::new(placement.ring()), Clock::new());
        Ok(Self { isolation, placement, ring, groups, tidying: None, begun: 0, clock })
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
        for _ in 0..PLACES_MAX {
            match self.attempt(&txn).await {
                Some(outcome) => return outcome,
                None => sleep(PLACE_PAUSE).await,
            }
        }
        Outcome::Fail(Why::Misplaced.as_str().into())
    }

    /// None if a key was not served where it was looked for: nothing was done.
    async fn attempt(&mut self, txn: &Txn) -> Option<Outcome> {
        if let Some(tidying) = &mut self.tidying {
            self.groups = tidying.await.expect("it does not panic, and nobody aborts it");
            self.tidying = None;
        }
        let first = self.groups.first();
        let session = match first.session().await {
            Ok(session) => session,
            Err(gave_up) => return Some(first.without_answer(&gave_up).await),
        };
        self.begun += 1;
        let keys = keys(txn, self.isolation);
        let name = (session, self.begun);
        let coordinator = Coordinator::new(Rc::clone(&self.ring), self.isolation, name, keys);
        self.drive(txn, coordinator).await
    }

    async fn drive(&mut self, txn: &Txn, mut coordinator: Coordinator) -> Option<Outcome> {
        let (mut input, mut result, mut refusal) = (Input::Begin, Value::Null, "");
        let mut trouble = None;
        for _ in 0..MOVES_MAX {
            input = match coordinator.step(self.clock.now(), input) {
                Move::Ask(steps) => {
                    let (answers, last) = self.groups.ask(steps).await;
                    trouble = last.or(trouble);
                    answers.iter().for_each(|answer| self.learn(answer));
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
                    let misplaced = end == End::Failed(Why::Misplaced);
                    let outcome = self.groups.ended(end, result, refusal, trouble).await;
                    if let Some(left) = coordinator.left() {
                        self.tidy_up(left);
                    }
                    return (!misplaced).then_some(outcome);
                }
            };
        }
        unreachable!("a coordinator gives up before")
    }

    /// Learns which groups have the keys now.
    fn learn(&mut self, answer: &Answer) {
        if let Answer::Response(Response::Misplaced(placement)) = answer
            && placement.epoch > self.placement.epoch
        {
            self.placement = placement.clone();
            self.ring = Rc::new(placement.ring());
        }
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
        let answers = together(asked).await.into_iter().map(|end| {
            let answer = answer(&end);
            trouble = end.err().or(trouble.take());
            answer
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
