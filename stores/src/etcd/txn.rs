//! Transactions over several keys.
//!
//! etcd's own transactions are one round: conditions on keys, and requests for either case, that take effect at one revision. A
//! transaction that writes what depends on what it reads takes two:
//!
//! 1. all keys that it reads or appends to are read by one etcd transaction, hence at one revision;
//! 2. what it writes is put by another, on condition that none of these keys has been modified since (`MOD`, the revision of
//!    a key's last change). If one has, nothing is written, and the operation has failed.
//!
//! A transaction without writes ends after the first, one that neither reads nor appends needs only the second. So it is
//! optimistic concurrency control: what was read is still so at the revision that writes, and the whole takes effect there;
//! etcd orders revisions in real time, so transactions are strictly serializable. With [`Reads::Serializable`] the first
//! request is answered by the member's own copy: what writes is checked all the same, but what only reads may be stale.
//!
//! A list is one key, whose value is the whole list as JSON. The first request changes nothing, so whatever became of it the
//! operation has failed, definitely; the second's errors are those of any write.
//!
//! Limits: etcd takes 128 requests in one transaction, unless told otherwise.

use std::collections::BTreeMap;

use keelhaul_engine::Outcome;
use keelhaul_history::Value;

use super::Reads;
use super::api::{
    Compare, PutRequest, RangeRequest, RequestOp, TXN, Target, TxnRequest, TxnResponse,
};
use super::base64::Blob;
use super::client::{EtcdClient, encode, key_of, not_done, value_of};

/// What an operation within a transaction does.
#[derive(Clone, Debug)]
enum Micro {
    Read,
    Write(Value),
    Append(Value),
}

/// Operations with their keys, in order.
type Micros = Vec<(Value, Micro)>;

const EXPECTED: &str = "the value of a txn is a list of [\"r\",key,null], [\"w\",key,value] and [\"append\",key,value]";

fn parse(value: &Value) -> Option<Micros> {
    let micro = |item: &Value| {
        let [f, key, value] = item.as_list()? else { return None };
        let micro = match f.as_str()? {
            "r" => Micro::Read,
            "w" if *value != Value::Null => Micro::Write(value.clone()),
            "append" => Micro::Append(value.clone()),
            _ => return None,
        };
        Some((key.clone(), micro))
    };
    value.as_list()?.iter().map(micro).collect()
}

/// What the first request found of a key.
struct Seen {
    value: Value,
    revision: u64,
}

/// What a transaction comes to.
struct Done {
    /// The operations with their results.
    result: Vec<Value>,
    /// By key's text: what to put.
    puts: BTreeMap<String, (Value, Value)>,
}

impl EtcdClient {
    /// Performs a transaction.
    pub(super) async fn txn(&mut self, value: &Value) -> Outcome {
        let Some(micros) = parse(value) else { return Outcome::Fail(EXPECTED.into()) };
        let seen = match self.look(&micros).await {
            Ok(seen) => seen,
            Err(why) => return Outcome::Fail(why),
        };
        let done = match perform(&micros, &seen) {
            Ok(done) => done,
            Err(why) => return Outcome::Fail(why.into()),
        };
        if done.puts.is_empty() {
            return Outcome::Ok(Value::List(done.result.into()));
        }
        match self.call::<TxnResponse>(TXN, &request(&seen, &done)).await {
            Ok(answer) if answer.succeeded => Outcome::Ok(Value::List(done.result.into())),
            Ok(_) => Outcome::Fail("a key was modified meanwhile".into()),
            Err(error) => not_done(&error),
        }
    }

    /// Reads all keys that the transaction depends on, at one revision.
    async fn look(&mut self, micros: &Micros) -> Result<BTreeMap<String, (Value, Seen)>, Box<str>> {
        let mut keys: BTreeMap<String, Value> = BTreeMap::new();
        for (key, micro) in micros {
            if !matches!(micro, Micro::Write(_)) {
                keys.insert(key.to_string(), key.clone());
            }
        }
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
            (name, (key, Seen { value: value_of(&kvs), revision }))
        });
        Ok(seen.collect())
    }
}

/// Does the operations one after the other, on what was seen.
fn perform(micros: &Micros, seen: &BTreeMap<String, (Value, Seen)>) -> Result<Done, &'static str> {
    let mut done = Done { result: Vec::new(), puts: BTreeMap::new() };
    for (key, micro) in micros {
        let name = key.to_string();
        let put = done.puts.get(&name).map(|(_, value)| value);
        let now = put.or(seen.get(&name).map(|(_, seen)| &seen.value));
        let now = now.cloned().unwrap_or_default();
        let (f, told) = match micro {
            Micro::Read => ("r", now),
            Micro::Write(value) => {
                done.puts.insert(name, (key.clone(), value.clone()));
                ("w", value.clone())
            }
            Micro::Append(value) => {
                let list = appended(&now, value).ok_or("the key holds no list to append to")?;
                done.puts.insert(name, (key.clone(), list));
                ("append", value.clone())
            }
        };
        done.result.push(Value::List([Value::from(f), key.clone(), told].into()));
    }
    Ok(done)
}

fn appended(list: &Value, value: &Value) -> Option<Value> {
    let mut items = match list {
        Value::Null => Vec::new(),
        list => list.as_list()?.to_vec(),
    };
    items.push(value.clone());
    Some(Value::List(items.into()))
}

/// Puts everything, if what was seen is still so.
fn request(seen: &BTreeMap<String, (Value, Seen)>, done: &Done) -> TxnRequest {
    let compare = seen.values().map(|(key, seen)| Compare {
        key: key_of(Some(key)),
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
