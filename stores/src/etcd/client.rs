//! Operations as etcd requests, and answers as outcomes.
//!
//! Terms: a key of the workload becomes `keelhaul/` and the key's text; a whole number becomes decimal text, any other
//! value its JSON. `read` is a range over one key, `write` a put, `cas` a transaction that compares and then puts. A
//! cas that expects null expects a key that is not set.
//!
//! A transaction, such as a transfer between accounts, may take two requests: see [`super::txn`].
//!
//! A client is pinned to one member. Any other operation is one request on one connection; each request is sent at most once. A connection
//! that its peer has closed is replaced, but only before the request is handed over; see [`super::http`].
//!
//! Limits: null cannot be written, since etcd has no such value and a delete would be another operation.

use std::net::SocketAddr;
use std::time::Duration;

use keelhaul_engine::{Client, Invocation, LocalFuture, Outcome};
use keelhaul_history::{F, Process, Value};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Reads;
use super::api::{
    Compare, ErrorResponse, KeyValue, PUT, PutRequest, PutResponse, RANGE, RangeRequest,
    RangeResponse, RequestOp, TXN, Target, TxnRequest, TxnResponse,
};
use super::base64::Blob;
use super::errors::CallError;
use super::http::{Connection, Reply};

/// How long to wait for a TCP connection. On a healthy local network it takes well under a millisecond; Linux repeats
/// an unanswered SYN after one second, and waiting for that would only make a cut look longer than it is.
pub const CONNECT_TIMEOUT: Duration = Duration::from_millis(900);

/// How long a member that refuses connections holds up the operation that met it: a dead member must not turn the run
/// into a busy loop of failures.
const REFUSED_PAUSE: Duration = Duration::from_millis(100);

/// Where the adapter's keys live.
const PREFIX: &str = "keelhaul/";

/// A client of one member.
pub struct EtcdClient {
    address: SocketAddr,
    pub(super) reads: Reads,
    /// Whether transactions on registers tell the revisions that they read and made.
    pub(super) revisions: bool,
    /// Absent while a request is in flight, and after one that did not end with a whole response.
    connection: Option<Connection>,
}

impl EtcdClient {
    /// Connects to the member at `address`.
    ///
    /// # Errors
    /// [`CallError::Http`], always definite.
    pub async fn open(address: SocketAddr, reads: Reads) -> Result<Self, CallError> {
        let connection = Connection::open(address, CONNECT_TIMEOUT).await?;
        Ok(Self { address, reads, revisions: false, connection: Some(connection) })
    }

    /// Has transactions on registers tell of every version which revision made it, or not.
    #[must_use]
    pub fn telling_revisions(self, revisions: bool) -> Self {
        Self { revisions, ..self }
    }

    /// Posts one request and reads its answer.
    ///
    /// # Errors
    /// Any [`CallError`]; [`CallError::is_definite`] tells what it means.
    pub async fn call<T: DeserializeOwned>(
        &mut self,
        path: &'static str,
        request: &impl Serialize,
    ) -> Result<T, CallError> {
        let body = serde_json::to_vec(request).expect("requests are plain data with text keys");
        let idle = match self.connection.take() {
            Some(connection) => connection.idle().await,
            None => None,
        };
        let connection = match idle {
            Some(connection) => connection,
            None => self.reconnect().await?,
        };
        let (reply, connection) = connection.exchange(path, body).await?;
        self.connection = Some(connection);
        parse(&reply)
    }

    async fn reconnect(&self) -> Result<Connection, CallError> {
        match Connection::open(self.address, CONNECT_TIMEOUT).await {
            Ok(connection) => Ok(connection),
            Err(error) => {
                tokio::time::sleep(REFUSED_PAUSE).await;
                Err(error.into())
            }
        }
    }

    async fn read(&mut self, key: Blob) -> Outcome {
        let serializable = self.reads == Reads::Serializable;
        match self.call::<RangeResponse>(RANGE, &RangeRequest { key, serializable }).await {
            Ok(answer) => Outcome::Ok(value_of(&answer.kvs)),
            // A read leaves nothing behind, whatever became of it.
            Err(error) => Outcome::Fail(error.in_words()),
        }
    }

    async fn write(&mut self, key: Blob, value: &Value) -> Outcome {
        if *value == Value::Null {
            return Outcome::Fail("etcd has no null to write".into());
        }
        match self.call::<PutResponse>(PUT, &PutRequest { key, value: encode(value) }).await {
            Ok(_) => Outcome::Ok(value.clone()),
            Err(error) => not_done(&error),
        }
    }

    async fn cas(&mut self, key: Blob, value: &Value) -> Outcome {
        let Some([expected, new]) = value.as_list() else {
            return Outcome::Fail("the value of a cas is not [expected, new]".into());
        };
        if *new == Value::Null {
            return Outcome::Fail("etcd has no null to write".into());
        }
        match self.call::<TxnResponse>(TXN, &cas_request(key, expected, new)).await {
            Ok(answer) if answer.succeeded => Outcome::Ok(value.clone()),
            Ok(answer) => {
                let found = answer.responses.first().and_then(|r| r.response_range.as_ref());
                let found = found.map_or(Value::Null, |range| value_of(&range.kvs));
                Outcome::Fail(format!("cas mismatch: found {found}").into())
            }
            Err(error) => not_done(&error),
        }
    }
}

impl Client for EtcdClient {
    fn invoke<'a>(&'a mut self, _process: Process, op: &'a Invocation) -> LocalFuture<'a, Outcome> {
        Box::pin(async move {
            if let Some(outcome) = self.txn(op).await {
                return outcome;
            }
            let key = key_of(op.key.as_ref());
            match &op.f {
                F::Read => self.read(key).await,
                F::Write => self.write(key, &op.value).await,
                F::Cas => self.cas(key, &op.value).await,
                F::Other(name) => {
                    Outcome::Fail(format!("the etcd adapter does not know {name}").into())
                }
            }
        })
    }
}

/// The outcome of a write that ended in `error`.
pub(super) fn not_done(error: &CallError) -> Outcome {
    if error.is_definite() {
        Outcome::Fail(error.in_words())
    } else {
        Outcome::Info(error.in_words())
    }
}

fn parse<T: DeserializeOwned>(reply: &Reply) -> Result<T, CallError> {
    let status = reply.status;
    let garbled = |source| CallError::Garbled { status, source };
    if status.is_success() {
        return serde_json::from_slice(&reply.body).map_err(garbled);
    }
    let error: ErrorResponse = serde_json::from_slice(&reply.body).map_err(garbled)?;
    Err(CallError::Refused { status, code: error.code, message: error.into_message() })
}

fn cas_request(key: Blob, expected: &Value, new: &Value) -> TxnRequest {
    let target = match expected {
        Value::Null => Target::Create { create_revision: "0" },
        value => Target::Value { value: encode(value) },
    };
    TxnRequest {
        compare: vec![Compare { key: key.clone(), result: "EQUAL", target }],
        success: vec![RequestOp::RequestPut(PutRequest { key: key.clone(), value: encode(new) })],
        failure: vec![RequestOp::RequestRange(RangeRequest { key, serializable: false })],
    }
}

pub(super) fn key_of(key: Option<&Value>) -> Blob {
    let name = match key {
        None => "register".to_owned(),
        Some(Value::Str(name)) => name.to_string(),
        Some(other) => other.to_string(),
    };
    Blob(format!("{PREFIX}{name}").into_bytes())
}

pub(super) fn encode(value: &Value) -> Blob {
    Blob(value.to_string().into_bytes())
}

pub(super) fn value_of(kvs: &[KeyValue]) -> Value {
    kvs.first().map_or(Value::Null, |kv| decode(&kv.value.0))
}

/// What [`encode`] made these bytes from. Bytes that it never makes become text, so that a checker gets to see that the
/// store returned something nobody wrote.
fn decode(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes)
        .ok()
        .and_then(from_json)
        .filter(|value| *value != Value::Null && encode(value).0 == bytes)
        .unwrap_or_else(|| String::from_utf8_lossy(bytes).into_owned().into())
}

fn from_json(json: serde_json::Value) -> Option<Value> {
    use serde_json::Value as Json;
    Some(match json {
        Json::Null => Value::Null,
        Json::Bool(b) => b.into(),
        Json::Number(n) => n.as_i64()?.into(),
        Json::String(s) => s.into(),
        Json::Array(items) => items.into_iter().map(from_json).collect::<Option<Vec<_>>>()?.into(),
        Json::Object(entries) => {
            let entries = entries
                .into_iter()
                .map(|(name, value)| Some((name.into_boxed_str(), from_json(value)?)));
            Value::Map(entries.collect::<Option<_>>()?)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_survive_the_store() {
        let values = [
            Value::Int(i64::MIN),
            Value::Int(0),
            Value::Bool(true),
            Value::from("3"),
            Value::pair(1, "a\"b"),
            Value::map([("a", Value::Int(1)), ("0", Value::Null)]),
        ];
        for value in values {
            assert_eq!(decode(&encode(&value).0), value);
        }
        assert_eq!(encode(&Value::Int(-7)).0, b"-7");
    }

    #[test]
    fn foreign_bytes_become_text() {
        for bytes in ["", "null", " 1", "01", "1.5", "99999999999999999999", "nonsense"] {
            assert_eq!(decode(bytes.as_bytes()), Value::from(bytes));
        }
    }

    #[test]
    fn keys_are_told_apart() {
        let key = |v: Option<Value>| String::from_utf8(key_of(v.as_ref()).0).unwrap();
        assert_eq!(key(None), "keelhaul/register");
        assert_eq!(key(Some(Value::Int(3))), "keelhaul/3");
        assert_eq!(key(Some(Value::from("x"))), "keelhaul/x");
    }
}
