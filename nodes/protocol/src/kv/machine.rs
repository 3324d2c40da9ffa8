//! The state machine: what the log's entries do when they are applied, in their order, on every node.
//!
//! Two machines that applied the same entries are equal, and so are the bytes of their snapshots: nothing
//! here depends on time, chance or the order of a hash table. That includes which session is forgotten
//! when there are too many (dissertation §6.3): the one whose last entry lies furthest back in the log.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::locks::{Fences, Locks, Token};
use super::share::{Kept, Placing, Share};
use super::txns::{Step, Txns};
use super::values::Values;
use super::{Command, Key, Mutant, Response, SessionId, Value};
use crate::api::{LogEntry, LogIndex, Payload};
use crate::membership::Membership;

/// Sessions kept at most. A client that is silent while this many others are busy loses its own. It is part of what
/// replicas must agree on, so it is a constant and no setting.
pub const SESSIONS_MAX: usize = 16_384;

/// The first byte of a snapshot; another format gets another number.
const FORMAT: u8 = 4;

/// The bytes are no snapshot of this machine.
#[derive(Debug, Error)]
pub enum RestoreError {
    /// Empty, or written by another version.
    #[error("unknown snapshot format {0:?}")]
    Format(Option<u8>),
    /// Damaged.
    #[error("malformed snapshot")]
    Malformed(#[from] postcard::Error),
}

/// What a client's session remembers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Session {
    /// The number of the last command applied; 0 before the first.
    sequence: u64,
    /// What it was answered with.
    response: Option<Response>,
    /// The entry that last used the session.
    used: LogIndex,
}

/// Keys, values, locks, transactions, sessions, and which of the keys are this group's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    values: Values,
    locks: Locks,
    fences: Fences,
    txns: Txns,
    share: Share,
    sessions: BTreeMap<SessionId, Session>,
    /// A hash over all entries ever applied, each with the hash before it.
    digest: u64,
    /// Who belongs to the cluster; none if that never changed.
    membership: Option<Membership>,
    /// Sessions by the entry that last used them: the first is the next to be forgotten.
    #[serde(skip)]
    by_use: BTreeMap<LogIndex, SessionId>,
    /// What it does wrong.
    #[serde(skip)]
    mistake: Option<Mutant>,
}

impl Machine {
    /// The same machine, which makes a mistake from now on.
    #[must_use]
    pub fn with_mistake(self, mistake: Option<Mutant>) -> Self {
        Self { mistake, ..self }
    }

    /// Applies an entry and says what its client is to be told. Entries come in the order of the log, each
    /// once. Replicas are given equal ones: all of an entry goes into the digest.
    pub fn apply(&mut self, entry: &impl LogEntry) -> Option<Response> {
        self.digest = chain(self.digest, entry);
        match entry.payload() {
            Payload::Noop => None,
            Payload::Register => Some(self.register(entry.index())),
            Payload::Command { session, sequence, command } => {
                Some(self.once(entry.index(), *session, *sequence, command))
            }
            Payload::Membership(membership) => {
                self.membership = Some(membership.clone());
                Some(Response::Changed)
            }
        }
    }

    /// As [`Machine::apply`], but a command that was applied before is applied again (the mutant R28).
    pub(crate) fn apply_again(&mut self, entry: &impl LogEntry) -> Option<Response> {
        match entry.payload() {
            Payload::Command { command, .. } => {
                self.digest = chain(self.digest, entry);
                Some(self.perform(entry.index(), command))
            }
            Payload::Noop | Payload::Register | Payload::Membership(_) => self.apply(entry),
        }
    }

    /// Forgets a session (the mutant R29).
    pub(crate) fn forget(&mut self, session: SessionId) {
        if let Some(session) = self.sessions.remove(&session) {
            self.by_use.remove(&session.used);
        }
    }

    /// Forgets of every session what was last done in it (the mutant R30).
    pub(crate) fn forget_commands(&mut self) {
        for session in self.sessions.values_mut() {
            (session.sequence, session.response) = (0, None);
        }
    }

    /// The value under a key.
    #[must_use]
    pub fn read(&self, key: &[u8]) -> Option<&Value> {
        self.values.get(key)
    }

    /// The answer to a command that only reads.
    ///
    /// # Panics
    /// If it does not.
    #[must_use]
    pub fn answer(&self, query: &Command) -> Response {
        if let Some(refusal) = self.share.refuses(query, &self.txns, self.mistake) {
            return refusal;
        }
        match query {
            Command::Read { key } => Response::Value(self.values.get(key).cloned()),
            Command::Txn(Step::Fetch { keys }) => {
                self.txns.fetch_all(keys, &self.values, self.mistake)
            }
            Command::Place(placing) if placing.only_looks() => self.tell(placing),
            other => panic!("{other:?} is no question"),
        }
    }

    /// A hash over every entry ever applied: of machines that applied equally many, those with different digests have
    /// diverged.
    #[must_use]
    pub fn digest(&self) -> u64 {
        self.digest
    }

    /// Who belongs to the cluster, by the entries applied; none if none of them changed it.
    #[must_use]
    pub fn membership(&self) -> Option<&Membership> {
        self.membership.as_ref()
    }

    /// How many sessions are open.
    #[must_use]
    pub fn sessions(&self) -> usize {
        self.sessions.len()
    }

    /// The whole state as bytes; equal states give equal bytes.
    #[must_use]
    pub fn snapshot(&self) -> Vec<u8> {
        let bytes = |machine| {
            postcard::to_extend(machine, vec![FORMAT]).expect("a vector takes any number of bytes")
        };
        match self.mistake {
            Some(Mutant::ForgetLocks) => bytes(&Self { locks: Locks::default(), ..self.clone() }),
            Some(Mutant::ForgetPrepared) => {
                bytes(&Self { txns: self.txns.clone().without_prepared(), ..self.clone() })
            }
            _ => bytes(self),
        }
    }

    /// The state that [`Machine::snapshot`] was taken of.
    pub fn restore(bytes: &[u8]) -> Result<Machine, RestoreError> {
        let Some((&FORMAT, rest)) = bytes.split_first() else {
            return Err(RestoreError::Format(bytes.first().copied()));
        };
        let mut machine: Machine = postcard::from_bytes(rest)?;
        machine.txns = machine.txns.restored();
        machine.share = machine.share.restored();
        machine.by_use = machine.sessions.iter().map(|(id, session)| (session.used, *id)).collect();
        Ok(machine)
    }

    fn register(&mut self, index: LogIndex) -> Response {
        let id = SessionId(index.0);
        if self.sessions.len() >= SESSIONS_MAX
            && let Some((_, oldest)) = self.by_use.pop_first()
        {
            self.sessions.remove(&oldest);
        }
        self.sessions.insert(id, Session { sequence: 0, response: None, used: index });
        self.by_use.insert(index, id);
        Response::Registered(id)
    }

    fn once(
        &mut self,
        index: LogIndex,
        id: SessionId,
        sequence: u64,
        command: &Command,
    ) -> Response {
        let Some(session) = self.sessions.get_mut(&id) else { return Response::SessionExpired };
        self.by_use.remove(&session.used);
        self.by_use.insert(index, id);
        session.used = index;
        match (&session.response, sequence.cmp(&session.sequence)) {
            (Some(response), std::cmp::Ordering::Equal) => return response.clone(),
            // The client went on to a later command: nobody waits for this one, and its answer is forgotten.
            (_, std::cmp::Ordering::Less) => return Response::Unknown,
            _ => {}
        }
        let response = self.perform(index, command);
        if let Some(session) = self.sessions.get_mut(&id) {
            session.sequence = sequence;
            session.response = Some(response.clone());
        }
        response
    }

    fn perform(&mut self, index: LogIndex, command: &Command) -> Response {
        if let Some(refusal) = self.share.refuses(command, &self.txns, self.mistake) {
            return refusal;
        }
        if let Some(holder) = changed(command).and_then(|key| self.txns.holder(key)) {
            return Response::Blocked(holder);
        }
        match command {
            Command::Read { key } => Response::Value(self.values.get(key).cloned()),
            Command::Write { key, value } => {
                self.values.put(index, key.clone(), value.clone());
                Response::Written
            }
            Command::Cas { key, expected, new } => {
                let actual = self.values.get(key);
                if actual != expected.as_ref() {
                    return Response::Mismatch { actual: actual.cloned() };
                }
                self.values.put(index, key.clone(), new.clone());
                Response::Swapped
            }
            Command::Append { key, value, fence } => self.append(index, key, value, *fence),
            Command::Lock { lock, act } => self.locks.perform(lock, *act, self.mistake),
            Command::Txn(step) => self.txns.perform(index, step, &mut self.values, self.mistake),
            Command::Place(placing) => {
                let mut kept = Kept { values: &mut self.values, fences: &mut self.fences };
                self.share.perform(index, placing, &mut kept);
                self.tell(placing)
            }
        }
    }

    /// A page of what leaves, if that is asked for and can be had; else how things stand.
    fn tell(&self, placing: &Placing) -> Response {
        let page = match placing {
            Placing::Export { epoch, after } => {
                self.share.export(*epoch, after.as_ref(), &self.values, &self.fences)
            }
            _ => None,
        };
        let standing = || Response::Placed(self.share.standing(&self.txns, self.mistake));
        page.map_or_else(standing, Response::Exported)
    }

    fn append(
        &mut self,
        index: LogIndex,
        key: &Key,
        value: &Value,
        fence: Option<Token>,
    ) -> Response {
        let fence = fence.filter(|_| self.mistake != Some(Mutant::IgnoreFence));
        if let Some(Err(largest)) = fence.map(|token| self.fences.pass(key, token)) {
            return Response::Fenced { largest };
        }
        self.values.append(index, key, value);
        Response::Appended
    }
}

/// The key that a command sets by itself, outside of any transaction.
fn changed(command: &Command) -> Option<&Key> {
    match command {
        Command::Write { key, .. } | Command::Cas { key, .. } | Command::Append { key, .. } => {
            Some(key)
        }
        Command::Read { .. } | Command::Lock { .. } | Command::Txn(_) | Command::Place(_) => None,
    }
}

/// FNV-1a over the entry's bytes, begun with the digest so far. Against mistakes, not against malice.
fn chain(digest: u64, entry: &impl LogEntry) -> u64 {
    const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
    postcard::serialize_with_flavor(entry, Fnv(OFFSET ^ digest)).expect("hashing takes any bytes")
}

/// A place for serialised bytes that keeps their hash only.
struct Fnv(u64);

impl postcard::ser_flavors::Flavor for Fnv {
    type Output = u64;

    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        const PRIME: u64 = 0x0000_0100_0000_01b3;
        self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(PRIME);
        Ok(())
    }

    fn finalize(self) -> postcard::Result<u64> {
        Ok(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{Entry, Term};
    use crate::kv::locks::{Act, Hold};

    fn entry(index: u64, payload: Payload) -> Entry {
        Entry { index: LogIndex(index), term: Term(1), payload }
    }

    fn write(index: u64, session: u64, sequence: u64, value: &str) -> Entry {
        let command = Command::Write { key: b"x".to_vec(), value: value.as_bytes().to_vec() };
        entry(index, Payload::Command { session: SessionId(session), sequence, command })
    }

    fn cas(index: u64, session: u64, sequence: u64, expected: &str, new: &str) -> Entry {
        let command = Command::Cas {
            key: b"x".to_vec(),
            expected: Some(expected.as_bytes().to_vec()),
            new: new.as_bytes().to_vec(),
        };
        entry(index, Payload::Command { session: SessionId(session), sequence, command })
    }

    #[test]
    fn a_repeated_command_is_applied_once_and_answered_again() {
        let mut machine = Machine::default();
        machine.apply(&entry(1, Payload::Register));
        machine.apply(&entry(2, Payload::Register));
        machine.apply(&write(3, 1, 1, "a"));
        assert_eq!(machine.apply(&cas(4, 1, 2, "a", "b")), Some(Response::Swapped));
        assert_eq!(machine.apply(&write(5, 2, 1, "c")), Some(Response::Written));
        assert_eq!(machine.apply(&cas(6, 1, 2, "a", "b")), Some(Response::Swapped));
        assert_eq!(machine.apply(&write(7, 1, 1, "a")), Some(Response::Unknown));
        assert_eq!(machine.read(b"x"), Some(&b"c".to_vec()));
        assert_eq!(machine.apply_again(&write(8, 1, 1, "a")), Some(Response::Written));
        assert_eq!(machine.read(b"x"), Some(&b"a".to_vec()));
    }

    #[test]
    fn a_snapshot_restores_sessions_and_values() {
        let mut machine = Machine::default();
        machine.apply(&entry(1, Payload::Register));
        machine.apply(&write(2, 1, 1, "a"));
        let mut restored = Machine::restore(&machine.snapshot()).unwrap();
        assert_eq!(restored, machine);
        assert_eq!(restored.digest(), machine.digest());
        assert_eq!(restored.apply(&write(3, 1, 1, "b")), Some(Response::Written));
        assert_eq!(restored.read(b"x"), Some(&b"a".to_vec()));
    }

    #[test]
    fn a_snapshot_restores_locks_and_what_guards_a_key() {
        let command = |index, sequence, command| {
            entry(index, Payload::Command { session: SessionId(1), sequence, command })
        };
        let append = |token| Command::Append {
            key: b"x".to_vec(),
            value: b"a".to_vec(),
            fence: Some(Token(token)),
        };
        let acquire = Command::Lock { lock: b"l".to_vec(), act: Act::Acquire { watched: None } };
        let mut machine = Machine::default();
        machine.apply(&entry(1, Payload::Register));
        assert_eq!(
            machine.apply(&command(2, 1, acquire.clone())),
            Some(Response::Acquired(Token(1)))
        );
        assert_eq!(machine.apply(&command(3, 2, append(7))), Some(Response::Appended));
        let mut restored = Machine::restore(&machine.snapshot()).unwrap();
        let held = Response::Held(Hold { token: Token(1), renewals: 0 });
        assert_eq!(restored.apply(&command(4, 3, acquire)), Some(held));
        let fenced = Response::Fenced { largest: Token(7) };
        assert_eq!(restored.apply(&command(5, 4, append(6))), Some(fenced));
        assert_eq!(restored.read(b"x"), Some(&b"a".to_vec()));
    }

    #[test]
    fn the_digest_tells_the_order_of_entries() {
        let applied = |entries: &[Entry]| {
            let mut machine = Machine::default();
            entries.iter().for_each(|entry| drop(machine.apply(entry)));
            machine.digest()
        };
        let (a, b) = (write(1, 9, 1, "a"), write(2, 9, 2, "b"));
        assert_eq!(applied(&[a.clone(), b.clone()]), applied(&[a.clone(), b.clone()]));
        assert_ne!(applied(&[a.clone(), b.clone()]), applied(&[b, a]));
    }

    #[test]
    fn the_session_used_longest_ago_is_forgotten_first() {
        let mut machine = Machine::default();
        let full = SESSIONS_MAX as u64;
        for index in 1..=full {
            machine.apply(&entry(index, Payload::Register));
        }
        machine.apply(&write(full + 1, 1, 1, "a"));
        machine.apply(&entry(full + 2, Payload::Register));
        assert_eq!(machine.apply(&write(full + 3, 2, 1, "b")), Some(Response::SessionExpired));
        assert_eq!(machine.apply(&write(full + 4, 1, 2, "c")), Some(Response::Written));
        assert_eq!(machine.sessions(), SESSIONS_MAX);
    }

    /// A replica that starts from a snapshot must forget the same sessions as one that applied every entry.
    #[test]
    fn a_restored_machine_forgets_the_same_sessions() {
        let mut machine = Machine::default();
        let full = SESSIONS_MAX as u64;
        for index in 1..=full {
            machine.apply(&entry(index, Payload::Register));
        }
        // Used in an order that is not that of their numbers; one of them by a command that is applied only once.
        for (index, session) in (full + 1..).zip((1..=full / 2).rev()) {
            machine.apply(&write(index, session, 1 + session % 2, "a"));
        }
        machine.apply(&write(full * 2, 7, 2, "a"));
        let mut restored = Machine::restore(&machine.snapshot()).unwrap();
        for index in full * 2 + 1..full * 3 {
            let entry = if index % 3 == 0 {
                write(index, index % full, 3, "b")
            } else {
                entry(index, Payload::Register)
            };
            assert_eq!(machine.apply(&entry), restored.apply(&entry), "entry {index}");
        }
        assert!(machine == restored, "states differ");
        assert_eq!(machine.sessions(), SESSIONS_MAX);
    }

    #[test]
    fn bytes_that_are_no_snapshot_are_refused() {
        assert!(matches!(Machine::restore(&[]), Err(RestoreError::Format(None))));
        assert!(matches!(Machine::restore(&[9]), Err(RestoreError::Format(Some(9)))));
        assert!(matches!(Machine::restore(&[FORMAT, 200]), Err(RestoreError::Malformed(_))));
    }

    #[test]
    fn what_only_reads_is_answered_as_if_it_were_applied() {
        let mut machine = Machine::default();
        machine.apply(&entry(1, Payload::Register));
        machine.apply(&write(2, 1, 1, "a"));
        let keys = vec![b"x".to_vec(), b"y".to_vec()];
        for query in [Command::Read { key: b"x".to_vec() }, Command::Txn(Step::Fetch { keys })] {
            assert!(query.only_reads());
            let answer = machine.answer(&query);
            let command = Payload::Command { session: SessionId(1), sequence: 2, command: query };
            assert_eq!(machine.clone().apply(&entry(3, command)), Some(answer));
        }
    }
}
