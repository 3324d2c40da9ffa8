//! Operations as requests, and answers as outcomes.
//!
//! A client is pinned to one server, and sends each request at most once. What it remembers of keys is only that they are there, which stays true: nothing is deleted.

use std::cell::RefCell;
use std::collections::HashSet;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use keelhaul_engine::{Client, Invocation, LocalFuture, Outcome};
use keelhaul_history::{F, Process, Value};

use super::Reads;
use super::connection::Connection;
use super::errors::{BAD_VERSION, CallError, NO_NODE, NODE_EXISTS};
use super::jute::{Fields, Op, Record};
use crate::raft::values;

/// How long a server that cannot be reached holds up the operation that met it: a dead one must not turn a run into a busy loop of failures.
const REFUSED_PAUSE: Duration = Duration::from_millis(50);
/// Whatever the version is.
const ANY_VERSION: i32 = -1;

/// The nodes of the tree that are known to be there, shared by the clients of a run.
pub type Known = Rc<RefCell<HashSet<String>>>;

/// A client of one server.
pub struct ZooKeeperClient {
    address: SocketAddr,
    reads: Reads,
    known: Known,
    /// Absent while a request is in flight, and after one that did not end with a whole answer.
    connection: Option<Connection>,
}

impl ZooKeeperClient {
    /// Connects to the server at `address`.
    ///
    /// # Errors
    /// As [`Connection::open`].
    pub async fn open(address: SocketAddr, reads: Reads, known: Known) -> Result<Self, CallError> {
        let connection = Some(Connection::open(address).await?);
        Ok(Self { address, reads, known, connection })
    }

    /// One request; the record that answers it.
    async fn call(
        &mut self,
        op: Op,
        fill: impl FnOnce(Record) -> Record,
    ) -> Result<Vec<u8>, CallError> {
        let idle = match self.connection.take() {
            Some(connection) => connection.idle().await,
            None => None,
        };
        let connection = match idle {
            Some(connection) => connection,
            None => self.reconnect().await?,
        };
        let (answer, connection) = connection.exchange(op, fill).await?;
        self.connection = Some(connection);
        if answer.code == 0 { Ok(answer.body) } else { Err(CallError::Code(answer.code)) }
    }

    async fn reconnect(&self) -> Result<Connection, CallError> {
        let opened = Connection::open(self.address).await;
        if opened.is_err() {
            tokio::time::sleep(REFUSED_PAUSE).await;
        }
        opened
    }

    /// What a node of the tree holds, and its version; nothing if it is not there.
    async fn get(&mut self, path: &str) -> Result<Option<(Value, i32)>, CallError> {
        let ask = |record: Record| record.buffer(path.as_bytes()).bool(false);
        match self.call(Op::GetData, ask).await {
            Ok(body) => {
                self.note(path);
                let mut fields = Fields(&body);
                let data = fields.buffer().ok_or(CallError::Garbled)?;
                let version = fields.stat_version().ok_or(CallError::Garbled)?;
                Ok(Some((values::decode(Some(data)), version)))
            }
            Err(CallError::Code(NO_NODE)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn create(&mut self, path: &str, data: &[u8]) -> Result<(), CallError> {
        const PERSISTENT: i32 = 0;
        let fill = |record: Record| {
            record.buffer(path.as_bytes()).buffer(data).open_to_all().int(PERSISTENT)
        };
        let created = self.call(Op::Create, fill).await.map(drop);
        if matches!(created, Ok(()) | Err(CallError::Code(NODE_EXISTS))) {
            self.note(path);
        }
        created
    }

    async fn set(&mut self, path: &str, data: &[u8], version: i32) -> Result<(), CallError> {
        let fill = |record: Record| record.buffer(path.as_bytes()).buffer(data).int(version);
        self.call(Op::SetData, fill).await.map(drop)
    }

    fn note(&self, path: &str) {
        if !self.known.borrow().contains(path) {
            self.known.borrow_mut().insert(path.to_owned());
        }
    }

    async fn read(&mut self, path: &str) -> Result<Value, CallError> {
        if self.reads == Reads::Synced {
            self.call(Op::Sync, |record| record.buffer(path.as_bytes())).await?;
        }
        Ok(self.get(path).await?.map_or(Value::Null, |(value, _)| value))
    }

    async fn write(&mut self, path: &str, data: &[u8]) -> Result<(), CallError> {
        let there = self.known.borrow().contains(path);
        if !there {
            match self.create(path, data).await {
                Err(CallError::Code(NODE_EXISTS)) => {}
                end => return end,
            }
        }
        self.set(path, data, ANY_VERSION).await
    }

    /// Whether the key held what was expected; what it held if not, as far as that is known.
    async fn cas(
        &mut self,
        path: &str,
        expected: &Value,
        data: &[u8],
    ) -> Result<Result<(), Value>, CallError> {
        let found = self.get(path).await.map_err(before_writing)?;
        let (held, version) = found.map_or((Value::Null, None), |(value, v)| (value, Some(v)));
        if held != *expected {
            // Not linearizable knowledge, but knowledge: a cas that is not done may fail for any reason.
            return Ok(Err(held));
        }
        let done = match version {
            Some(version) => self.set(path, data, version).await,
            None => self.create(path, data).await,
        };
        match done {
            Err(CallError::Code(BAD_VERSION | NODE_EXISTS)) => Ok(Err(Value::Null)),
            end => end.map(Ok),
        }
    }

    async fn perform(&mut self, op: &Invocation) -> Outcome {
        let path = path(op.key.as_ref());
        match &op.f {
            // A read leaves nothing behind, whatever became of it.
            F::Read => match self.read(&path).await {
                Ok(value) => Outcome::Ok(value),
                Err(error) => Outcome::Fail(error.to_string().into()),
            },
            F::Write => {
                let Some(data) = values::encode(&op.value) else {
                    return Outcome::Fail("null cannot be written".into());
                };
                let end = self.write(&path, &data).await;
                outcome(end.map(|()| op.value.clone()))
            }
            F::Cas => {
                let Some([expected, new]) = op.value.as_list() else {
                    return Outcome::Fail("the value of a cas is not [expected, new]".into());
                };
                let Some(data) = values::encode(new) else {
                    return Outcome::Fail("null cannot be written".into());
                };
                match self.cas(&path, expected, &data).await {
                    Ok(Ok(())) => Outcome::Ok(op.value.clone()),
                    Ok(Err(found)) => Outcome::Fail(format!("cas mismatch: found {found}").into()),
                    Err(error) => outcome(Err(error)),
                }
            }
            F::Other(name) => {
                Outcome::Fail(format!("the zookeeper adapter does not know {name}").into())
            }
        }
    }
}

/// The read that a cas begins with was not done, and so the cas was not: nothing was sent that changes anything.
fn before_writing(error: CallError) -> CallError {
    if error.is_definite() {
        return error;
    }
    CallError::Connect(std::io::Error::other(error))
}

fn outcome(end: Result<Value, CallError>) -> Outcome {
    match end {
        Ok(value) => Outcome::Ok(value),
        Err(error) if error.is_definite() => Outcome::Fail(error.to_string().into()),
        Err(error) => Outcome::Info(error.to_string().into()),
    }
}

/// The node of the tree that a key is; bytes that a path may not contain are written as their numbers.
fn path(key: Option<&Value>) -> String {
    let mut path = "/keelhaul-".to_owned();
    for byte in values::key(key) {
        match byte {
            b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'-' | b'_' => path.push(byte.into()),
            other => path.push_str(&format!("%{other:02x}")),
        }
    }
    path
}

impl Client for ZooKeeperClient {
    fn invoke<'a>(&'a mut self, _process: Process, op: &'a Invocation) -> LocalFuture<'a, Outcome> {
        Box::pin(self.perform(op))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_told_apart() {
        assert_eq!(path(Some(&Value::Int(3))), "/keelhaul-3");
        assert_eq!(path(Some(&Value::from("a/b"))), "/keelhaul-a%2fb");
        assert_ne!(path(Some(&Value::from("%2f"))), path(Some(&Value::from("/"))));
        assert_eq!(path(None), "/keelhaul-register");
    }

    #[test]
    fn a_cas_whose_read_was_lost_is_not_done() {
        let lost = || CallError::Lost(std::io::ErrorKind::UnexpectedEof.into());
        assert!(!lost().is_definite());
        assert!(before_writing(lost()).is_definite());
    }
}
