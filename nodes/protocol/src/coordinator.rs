//! A transaction's coordinator: two-phase commit over groups of replicas, at a level of isolation that is chosen.
//!
//! It is a state machine like the protocols are: asked what to do next ([`Coordinator::step`]), it names steps for groups, and is told what came of
//! them. It keeps nothing that matters. When it is lost, whoever meets what it prepared settles that (below), so any client is a
//! coordinator, and no node has to be.
//!
//! # How a transaction goes
//! 1. *Collect*: its keys are fetched, with versions, from their groups. If one is held by a prepared transaction, that is waited for, and
//!    settled if it takes too long.
//! 2. *Compute*: from what was found follows what it puts, or that it must not take effect.
//! 3. *Confirm*, where the level asks for it: the keys are fetched again. If no version has changed, and none of them was held either time, then
//!    all of what was collected was so at once, at any moment between the two (a double collect: Afek et al., *Atomic
//!    snapshots of shared memory*, JACM 1993, §3).
//! 4. *Commit*: in one step if one group has all keys that matter; else prepare and decide, which is when it is over.
//! 5. *Tidy up* ([`Tidy`]): the groups are told what was decided. Its client need not wait for that; nobody else gets at the keys before.
//!
//! # Levels
//! | level | collected | checked on commit | what it lets happen |
//! |---|---|---|---|
//! | serializable | confirmed, if nothing is put | all that was collected | nothing: strictly serializable |
//! | snapshot | confirmed | what is put | write skew: two that read what the other puts |
//! | read committed | each key by itself, what is held as it was before | what is put | read skew as well: a part of another transaction is seen |
//!
//! *Serializable.* From when the last group said yes until the outcome is decided, everything read is as it was read and everything put is held: it
//! takes effect then, in real time (optimistic validation with locks: Kung & Robinson 1981; Bernstein et al. 1987, §4.10).
//! *Snapshot.* Reads are of a moment after the transaction began, so snapshots are the strong ones of Daudjee & Salem (2006); what is put must be unchanged since,
//! so of two concurrent writers of a key one commits (Berenson et al. 1995, §4.2). Write keys have to be among those collected.
//! *Read committed* is not as weak as its name allows: since what is put is checked, no update is lost (cursor stability), and since a key is held from
//! prepare to finish, writes of two transactions have one order on all keys.
//!
//! # Settling
//! Whoever finds a key held by the same transaction for [`PATIENCE`] asks that one's home group to decide that it is aborted. The answer is what was decided,
//! perhaps before and otherwise; it is carried out in the group at hand, and the road is free. A live but slow coordinator that is overtaken so
//! is told when it comes to decide.
//!
//! # Moving keys
//! The ring is as the client knows it. A group that does not serve a key, since its placement is another or about to be, says so
//! ([`kv::share`](crate::kv::share)); the transaction fails with [`Why::Misplaced`], for its client to learn the placement and begin anew.
//!
//! Limits: there is no queue, so under contention luck decides who gets on; after [`ATTEMPTS_MAX`] attempts a transaction gives up. Predicates are not
//! read. What one transaction may put is bounded by what a group takes in one entry.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use crate::api::Nanos;
use crate::kv::txns::{Checks, Held, Puts, Step, TxnId};
use crate::kv::{Key, Response, SessionId, Value, Version};
use crate::placement::{GroupId, Ring};

/// How long a key is found held before the transaction that holds it is settled: many times what commits take, and less than
/// a client is patient.
pub const PATIENCE: Nanos = Nanos(150_000_000);
/// How long to wait before a held key is looked at again.
pub const PAUSE: Nanos = Nanos(10_000_000);
/// How often a transaction is begun anew because others were in its way.
pub const ATTEMPTS_MAX: u64 = 64;

/// What a transaction promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Isolation {
    /// It takes effect at one moment between its beginning and its end.
    Serializable,
    /// It reads at one moment, and nobody else has changed what it changes since.
    Snapshot,
    /// It reads what was committed.
    ReadCommitted,
}

/// What a group came back with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// This.
    Response(Response),
    /// Nothing, and the step certainly was not accepted.
    Refused,
    /// Nothing, and nobody knows.
    Unknown,
}

/// What the coordinator is told.
#[derive(Clone, Debug)]
pub enum Input {
    /// To begin.
    Begin,
    /// The answers to what it asked, in the order of the questions.
    Answers(Vec<Answer>),
    /// What the transaction puts, none if it only reads.
    Computed(Puts),
    /// The transaction must not take effect.
    Refused,
    /// The time it wanted to wait is over.
    Woken,
}

/// What the coordinator wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Move {
    /// Have these groups do this, all at once, and tell it all answers.
    Ask(Vec<(GroupId, Step)>),
    /// Work out what the transaction puts where keys hold this. What was worked out before does not count any more.
    Compute(BTreeMap<Key, Option<Value>>),
    /// Come back after so long.
    Wait(Nanos),
    /// The transaction is over.
    Done(End),
}

/// How a transaction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It took effect.
    Committed,
    /// It certainly did not and will not.
    Failed(Why),
    /// Nobody knows.
    Unknown,
}

/// What is left to do for a transaction that is over: without it, whoever meets what it prepared does it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tidy {
    txn: TxnId,
    commit: bool,
    groups: Vec<GroupId>,
}

impl Tidy {
    /// First: what all groups are to be told, at once.
    #[must_use]
    pub fn finish(&self) -> Vec<(GroupId, Step)> {
        let finish = Step::Finish { txn: self.txn, commit: self.commit };
        self.groups.iter().map(|group| (*group, finish.clone())).collect()
    }

    /// Then, given the answers to that: what lets the home group forget the outcome, if all groups have carried it out.
    #[must_use]
    pub fn forget(&self, answers: &[Answer]) -> Option<(GroupId, Step)> {
        let all = |answer: &Answer| *answer == Answer::Response(Response::Finished);
        let done = self.commit && answers.iter().all(all);
        done.then_some((self.txn.home, Step::Forget { txn: self.txn }))
    }
}

/// Why a transaction did not take effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// What it does is not possible where keys hold what they do.
    Refused,
    /// What it had read has changed.
    Conflict,
    /// Others were in its way for too long.
    Busy,
    /// Another client, which it was in the way of, had it aborted.
    Overtaken,
    /// A group did not answer.
    NoAnswer,
    /// A key is not served where it was looked for, or not now.
    Misplaced,
}

impl Why {
    /// In words.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Refused => "it is not possible",
            Self::Conflict => "a key was modified meanwhile",
            Self::Busy => "other transactions were in the way",
            Self::Overtaken => "another client had it aborted",
            Self::NoAnswer => "a group did not answer",
            Self::Misplaced => "a key is moving from group to group",
        }
    }
}

/// What was found of every key.
type Found = BTreeMap<Key, Held>;

/// A group's part.
type Part = (Checks, Puts);

/// What it waits for.
#[derive(Debug)]
enum State {
    Idle,
    Collect,
    Compute(Found),
    Confirm(Found, Puts),
    Commit,
    Prepare,
    Decide,
    /// What was promised to it is given back, before it comes again.
    GiveBack,
    /// The home group of a transaction that is in the way, in this group.
    Settle(TxnId, GroupId),
    Settled,
}

/// Who is in the way, where, and since when.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Met {
    pub(crate) txn: TxnId,
    pub(crate) group: GroupId,
    since: Nanos,
}

impl Met {
    /// This transaction, perhaps the one that was met last.
    pub(crate) fn again(last: Option<Self>, now: Nanos, txn: TxnId, group: GroupId) -> Self {
        let since = last.filter(|met| met.txn == txn).map_or(now, |met| met.since);
        Self { txn, group, since }
    }

    /// Whether it is to be settled rather than waited for.
    pub(crate) const fn is_overdue(&self, now: Nanos) -> bool {
        now.0.saturating_sub(self.since.0) >= PATIENCE.0
    }
}

/// One transaction under way.
#[derive(Debug)]
pub struct Coordinator {
    ring: Rc<Ring>,
    isolation: Isolation,
    /// Who it is, and which of its transactions this is.
    name: (SessionId, u64),
    keys: BTreeSet<Key>,
    state: State,
    met: Option<Met>,
    attempts: u64,
    /// The parts of two-phase commit, and its name.
    parts: BTreeMap<GroupId, Part>,
    txn: Option<TxnId>,
    left: Option<Tidy>,
}

impl Coordinator {
    /// A transaction that depends on these keys; for [`Isolation::Snapshot`], those that it puts must be among them. Its name consists of
    /// the session that the client has in the first group, and a number that counts its transactions there.
    #[must_use]
    pub fn new(
        ring: Rc<Ring>,
        isolation: Isolation,
        name: (SessionId, u64),
        keys: impl IntoIterator<Item = Key>,
    ) -> Self {
        Self {
            ring,
            isolation,
            name,
            keys: keys.into_iter().collect(),
            state: State::Idle,
            met: None,
            attempts: 0,
            parts: BTreeMap::new(),
            txn: None,
            left: None,
        }
    }

    /// What to do next, after `input`.
    ///
    /// # Panics
    /// If the input is no answer to the last move.
    pub fn step(&mut self, now: Nanos, input: Input) -> Move {
        match (std::mem::replace(&mut self.state, State::Idle), input) {
            (State::Idle, Input::Begin | Input::Woken) => self.collect(),
            (State::Compute(_), Input::Refused) => Move::Done(End::Failed(Why::Refused)),
            (State::Compute(found), Input::Computed(puts)) => self.computed(found, puts),
            (state, Input::Answers(answers)) => self.answered(now, state, answers),
            (state, input) => panic!("{input:?} is no answer in {state:?}"),
        }
    }

    /// What is left to do once it is over.
    #[must_use]
    pub fn left(&self) -> Option<Tidy> {
        self.left.clone()
    }

    fn answered(&mut self, now: Nanos, state: State, answers: Vec<Answer>) -> Move {
        match state {
            State::Collect => self.collected(now, answers),
            State::Confirm(found, puts) => self.confirmed(found, puts, answers),
            State::Commit => self.committed(now, &answers[0]),
            State::Prepare => self.prepared(now, &answers),
            State::Decide => self.decided(&answers[0]),
            State::GiveBack => self.give_way(now),
            State::Settle(txn, group) => match answers[0] {
                Answer::Response(Response::Decided { commit }) => {
                    self.ask(State::Settled, vec![(group, Step::Finish { txn, commit })])
                }
                _ => Move::Wait(self.pause()),
            },
            State::Settled => self.collect(),
            State::Idle | State::Compute(_) => unreachable!("nothing was asked"),
        }
    }

    fn ask(&mut self, state: State, steps: Vec<(GroupId, Step)>) -> Move {
        self.state = state;
        Move::Ask(steps)
    }

    fn group(&self, key: &Key) -> GroupId {
        self.ring.group(key).expect("there are groups")
    }

    /// Fetches of all keys, group by group.
    fn fetches(&self) -> Vec<(GroupId, Step)> {
        let mut by_group: BTreeMap<GroupId, Vec<Key>> = BTreeMap::new();
        for key in &self.keys {
            by_group.entry(self.group(key)).or_default().push(key.clone());
        }
        by_group.into_iter().map(|(group, keys)| (group, Step::Fetch { keys })).collect()
    }

    /// From the beginning.
    fn collect(&mut self) -> Move {
        self.attempts += 1;
        if self.attempts > ATTEMPTS_MAX {
            return Move::Done(End::Failed(Why::Busy));
        }
        let fetches = self.fetches();
        if fetches.is_empty() {
            self.state = State::Compute(Found::new());
            return Move::Compute(BTreeMap::new());
        }
        self.ask(State::Collect, fetches)
    }

    /// What fetches found, or why not.
    fn found(&self, answers: Vec<Answer>) -> Result<Found, Why> {
        let mut found = Found::new();
        for ((_, step), answer) in self.fetches().into_iter().zip(answers) {
            match (step, answer) {
                (Step::Fetch { keys }, Answer::Response(Response::Fetched(held))) => {
                    found.extend(keys.into_iter().zip(held));
                }
                (_, Answer::Response(Response::Misplaced(_))) => return Err(Why::Misplaced),
                _ => return Err(Why::NoAnswer),
            }
        }
        Ok(found)
    }

    fn collected(&mut self, now: Nanos, answers: Vec<Answer>) -> Move {
        let found = match self.found(answers) {
            Ok(found) => found,
            Err(why) => return Move::Done(End::Failed(why)),
        };
        if self.isolation != Isolation::ReadCommitted
            && let Some((key, by)) = found.iter().find_map(|(key, held)| Some((key, held.by?)))
        {
            let group = self.group(key);
            return self.blocked(now, by, group);
        }
        let values = found.iter().map(|(key, held)| (key.clone(), held.value.clone())).collect();
        self.state = State::Compute(found);
        Move::Compute(values)
    }

    /// A transaction is in the way, in a group: waits for it, or settles it.
    fn blocked(&mut self, now: Nanos, txn: TxnId, group: GroupId) -> Move {
        self.meet(now, txn, group);
        self.give_way(now)
    }

    fn meet(&mut self, now: Nanos, txn: TxnId, group: GroupId) {
        self.met = Some(Met::again(self.met, now, txn, group));
    }

    fn give_way(&mut self, now: Nanos) -> Move {
        match self.met {
            Some(met @ Met { txn, group, .. }) if met.is_overdue(now) => {
                let decide = Step::Decide { txn, commit: false };
                self.ask(State::Settle(txn, group), vec![(txn.home, decide)])
            }
            _ => Move::Wait(self.pause()),
        }
    }

    /// Different for different clients and attempts, so that two that are in each other's way do not stay so.
    fn pause(&self) -> Nanos {
        let (SessionId(session), number) = self.name;
        Nanos(PAUSE.0 * (1 + (session ^ number ^ self.attempts) % 4))
    }

    fn computed(&mut self, found: Found, puts: Puts) -> Move {
        let confirm = match self.isolation {
            Isolation::Serializable => puts.is_empty(),
            Isolation::Snapshot => true,
            Isolation::ReadCommitted => false,
        };
        let fetches = self.fetches();
        if confirm && fetches.len() > 1 {
            return self.ask(State::Confirm(found, puts), fetches);
        }
        self.commit(found, puts)
    }

    fn confirmed(&mut self, found: Found, puts: Puts, answers: Vec<Answer>) -> Move {
        match self.found(answers) {
            Err(why) => Move::Done(End::Failed(why)),
            Ok(again) if again == found => self.commit(found, puts),
            Ok(_) => self.collect(),
        }
    }

    /// What is left when reading is done.
    fn commit(&mut self, found: Found, puts: Puts) -> Move {
        if puts.is_empty() {
            return Move::Done(End::Committed);
        }
        let put: BTreeSet<&Key> = puts.iter().map(|(key, _)| key).collect();
        let counts = |key: &Key| self.isolation == Isolation::Serializable || put.contains(key);
        let checks: Vec<(Key, Version)> = found
            .into_iter()
            .filter(|(key, _)| counts(key))
            .map(|(key, held)| (key, held.version))
            .collect();
        let mut parts: BTreeMap<GroupId, Part> = BTreeMap::new();
        for (key, version) in checks {
            parts.entry(self.group(&key)).or_default().0.push((key, version));
        }
        for (key, value) in puts {
            parts.entry(self.group(&key)).or_default().1.push((key, value));
        }
        self.parts = parts;
        if self.parts.len() > 1 {
            return self.prepare();
        }
        let (group, (checks, puts)) = self.parts.pop_first().expect("something is put");
        self.parts.insert(group, Part::default());
        self.ask(State::Commit, vec![(group, Step::Commit { checks, puts })])
    }

    fn committed(&mut self, now: Nanos, answer: &Answer) -> Move {
        let group = *self.parts.keys().next().expect("it was asked");
        match answer {
            Answer::Response(Response::Committed) => Move::Done(End::Committed),
            Answer::Response(Response::Blocked(by)) => self.blocked(now, *by, group),
            Answer::Response(Response::Misplaced(_)) => Move::Done(End::Failed(Why::Misplaced)),
            Answer::Response(_) => Move::Done(End::Failed(Why::Conflict)),
            Answer::Refused => Move::Done(End::Failed(Why::NoAnswer)),
            Answer::Unknown => Move::Done(End::Unknown),
        }
    }

    /// The first phase. The home is the first group that has a part.
    fn prepare(&mut self) -> Move {
        let home = *self.parts.keys().next().expect("it has parts");
        let (coordinator, number) = self.name;
        let number = number * ATTEMPTS_MAX + (self.attempts - 1);
        let txn = TxnId { home, coordinator, number };
        self.txn = Some(txn);
        let prepare = |(group, (checks, puts)): (&GroupId, &Part)| {
            (*group, Step::Prepare { txn, checks: checks.clone(), puts: puts.clone() })
        };
        let steps = self.parts.iter().map(prepare).collect();
        self.ask(State::Prepare, steps)
    }

    fn prepared(&mut self, now: Nanos, answers: &[Answer]) -> Move {
        let all = |answer: &Answer| *answer == Answer::Response(Response::Prepared);
        if answers.iter().all(all) {
            let txn = self.txn();
            return self.ask(State::Decide, vec![(txn.home, Step::Decide { txn, commit: true })]);
        }
        // Who is in the way is waited for when the keys are given back; but nothing helps against a conflict.
        let conflict = |answer: &Answer| *answer == Answer::Response(Response::Conflict);
        let misplaced =
            |answer: &Answer| matches!(answer, Answer::Response(Response::Misplaced(_)));
        let by = self.parts.keys().zip(answers).find_map(|(group, answer)| match answer {
            Answer::Response(Response::Blocked(by)) => Some((*by, *group)),
            _ => None,
        });
        let why = match by {
            _ if answers.iter().any(conflict) => Why::Conflict,
            _ if answers.iter().any(misplaced) => Why::Misplaced,
            Some((by, group)) => {
                self.meet(now, by, group);
                Why::Busy
            }
            None => Why::NoAnswer,
        };
        // No group was told to commit, and none ever will be.
        if why == Why::Busy {
            let steps = self.tidy(false).finish();
            return self.ask(State::GiveBack, steps);
        }
        self.over(false, End::Failed(why))
    }

    fn decided(&mut self, answer: &Answer) -> Move {
        match answer {
            Answer::Response(Response::Decided { commit: true }) => self.over(true, End::Committed),
            Answer::Response(_) => self.over(false, End::Failed(Why::Overtaken)),
            Answer::Refused => self.over(false, End::Failed(Why::NoAnswer)),
            Answer::Unknown => Move::Done(End::Unknown),
        }
    }

    fn over(&mut self, commit: bool, end: End) -> Move {
        self.left = Some(self.tidy(commit));
        Move::Done(end)
    }

    fn tidy(&self, commit: bool) -> Tidy {
        Tidy { txn: self.txn(), commit, groups: self.parts.keys().copied().collect() }
    }

    fn txn(&self) -> TxnId {
        self.txn.expect("it was prepared")
    }
}
