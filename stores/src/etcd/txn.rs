//! Transactions over several keys.
//!
//! etcd's own transactions are one round: conditions on keys, and requests for either case, that take effect at one revision. A
//! transaction that writes what depends on what it reads takes two:
//!
//! 1. all keys that it reads or appends to are read by one etcd transaction, hence at one revision;
//! 2. what it writes is put by another, on condition that none of these keys has been modified since (`MOD`, the revision of
//!    a key's last change). If one has, nothing is written, and the transaction is begun anew, as etcd's own client does
//!    (`concurrency.NewSTM`); after some attempts it has failed. A request whose outcome is unknown is never followed by another.
//!
//! A transaction without writes ends after the first, one that neither reads nor appends needs only the second. So it is
//! optimistic concurrency control: what was read is still so at the revision that writes, and the whole takes effect there;
//! etcd orders revisions in real time, so transactions are strictly serializable. With [`Reads::Serializable`] the first
//! request is answered by the member's own copy: what writes is checked all the same, but what only reads may be stale.
//!
//! Asked to, it tells with each version of a register the revision that made it (`["w",key,value,revision]`): revisions order the versions of a key,
//! which the checker must infer otherwise.
//!
//! What a transaction comes to is [`crate::txn`]'s: a list is one key, whose value is the whole list as JSON. The first request changes nothing, so whatever became of it the
//! operation has failed, definitely; the second's errors are those of any write.
//!
//! Limits: etcd takes 128 requests in one transaction, unless told otherwise.

use std::collections::BTreeMap;

use keelhaul_engine::{Invocation, Outcome};
use keelhaul_history::Value;

use super::Reads;
use super::api::{
    Compare, PutRequest, RangeRequest, RequestOp, TXN, Target, TxnRequest, TxnResponse,
};
use super::base64::Blob;
use super::client::{EtcdClient, encode, key_of, not_done, value_of};
use crate::txn::{Done, Keys, Txn};

/// How often a transaction is begun whose keys were modified meanwhile. Where many clients share a few keys most first attempts
/// meet another client's write, and a run in which transactions fail shows little.
const ATTEMPTS: usize = 4;

/// What the first request found of a key.
struct Seen {
    key: Value,
    value: Value,
    revision: u64,
}

impl EtcdClient {
    /// Performs an operation, if it is a transaction.
    pub(super) async fn txn(&mut self, op: &Invocation) -> Option<Outcome> {
        Some(match Txn::of(op)? {
            Ok(txn) => self.transact(&txn).await,
            Err(expected) => Outcome::Fail(expected.into()),
        })
    }

    async fn transact(&mut self, txn: &Txn) -> Outcome {
        for _ in 0..ATTEMPTS {
            if let Some(outcome) = self.attempt(txn).await {
                return outcome;
            }
        }
        Outcome::Fail("a key was modified meanwhile".into())
    }

    /// Nothing if a key was modified between the two requests, so that nothing happened.
    async fn attempt(&mut self, txn: &Txn) -> Option<Outcome> {
        let seen = match self.look(txn.reads()).await {
            Ok(seen) => seen,
            Err(why) => return Some(Outcome::Fail(why)),
        };
        let holds = |key: &str| seen.get(key).map_or(Value::Null, |seen| seen.value.clone());
        let done = match txn.perform(&holds) {
            Ok(done) => done,
            Err(why) => return Some(Outcome::Fail(why.into())),
        };
        if done.puts.is_empty() {
            return Some(Outcome::Ok(self.told(done, &seen, None)));
        }
        match self.call::<TxnResponse>(TXN, &request(&seen, &done)).await {
            Ok(answer) => {
                let made = Some(answer.header.revision);
                answer.succeeded.then(|| Outcome::Ok(self.told(done, &seen, made)))
            }
            Err(error) => Some(not_done(&error)),
        }
    }

    /// The result, with revisions if they are to be told.
    fn told(&self, done: Done, seen: &BTreeMap<String, Seen>, made: Option<u64>) -> Value {
        let Some(micros) = done.result.as_list().filter(|_| self.revisions) else {
            return done.result;
        };
        let numbered = |micro: &Value| {
            let Some([f, key, value]) = micro.as_list() else { return micro.clone() };
            let name = key.to_string();
            // What another write of the same transaction took the place of never was in the store.
            let put = done.puts.get(&name).filter(|(_, put)| put == value).and(made);
            let found = seen.get(&name).filter(|seen| seen.value == *value && seen.revision > 0);
            let revision = put.or_else(|| found.map(|seen| seen.revision));
            let number = revision.and_then(|revision| i64::try_from(revision).ok());
            let fields = [f, key, value].into_iter().cloned().chain(number.map(Value::Int));
            Value::List(fields.collect())
        };
        Value::List(micros.iter().map(numbered).collect())
    }

    /// Reads all keys that the transaction depends on, at one revision.
    async fn look(&mut self, keys: Keys) -> Result<BTreeMap<String, Seen>, Box<str>> {
        if keys.is_empty() {
            return Ok(BTreeMap::new());
        }
        let serializable = self.reads == Reads::Serializable;
        let range = |key: &Value| {
            RequestOp::RequestRange(RangeRequest { key: key_of(Some(key)), serializable })
        };
        let success = keys.values().map(range).collect();
        let request = TxnRequest { compare: Vec::new(), success, failure: Vec::new() };
        let answer: TxnResponse = self.call(TXN, &request).await.map_err(|e| e.in_words())?;
        if answer.responses.len() != keys.len() {
            return Err("etcd answered another number of reads than it was asked for".into());
        }
        let seen = keys.into_iter().zip(answer.responses).map(|((name, key), response)| {
            let kvs = response.response_range.map(|range| range.kvs).unwrap_or_default();
            let revision = kvs.first().map_or(0, |kv| kv.mod_revision);
            (name, Seen { key, value: value_of(&kvs), revision })
        });
        Ok(seen.collect())
    }
}

/// Puts everything, if what was seen is still so.
fn request(seen: &BTreeMap<String, Seen>, done: &Done) -> TxnRequest {
    let compare = seen.values().map(|seen| Compare {
        key: key_of(Some(&seen.key)),
        result: "EQUAL",
        target: Target::Mod { mod_revision: seen.revision.to_string() },
    });
    let put = |(key, value): &(Value, Value)| {
        let key: Blob = key_of(Some(key));
        RequestOp::RequestPut(PutRequest { key, value: encode(value) })
    };
    let success = done.puts.values().map(put).collect();
    TxnRequest { compare: compare.collect(), success, failure: Vec::new() }
}
