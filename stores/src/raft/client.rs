//! Operations as commands, and answers as outcomes.
//!
//! A client has a session, opened before its first command that changes something, and numbers those commands. Reads need
//! none. A client whose session has gone opens another one for its next command.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use keelhaul_engine::{Client, Invocation, LocalFuture, Outcome};
use keelhaul_history::{F, NodeId, Process, Value};
use keelhaul_protocol::kv::{Command, Request, Response, SessionId};

use super::call::Links;
use super::errors::{GaveUp, Trouble};
use super::net::{Net, Tcp, within};
use super::values;

/// How long opening a session may take. Nothing of the operation has been sent by then, so giving up is a definite
/// failure, which is worth more than the unknown that the driver's own limit would make of it.
const SESSION_PATIENCE: Duration = Duration::from_millis(600);
/// How long a node that cannot be reached holds up the operation that met it: a dead node must not turn a run into a
/// busy loop of failures.
const REFUSED_PAUSE: Duration = Duration::from_millis(50);
/// Reads have no session.
const NO_SESSION: SessionId = SessionId(0);

/// A client of one node, which goes to others only as [`super::call`] says.
pub struct RaftClient<N: Net = Tcp> {
    home: NodeId,
    links: Links<N>,
    session: Option<SessionId>,
    sequence: u64,
}

impl RaftClient {
    /// Connects to `home`, one of the nodes.
    ///
    /// # Errors
    /// [`Trouble::NoConnection`].
    pub async fn open(home: NodeId, nodes: BTreeMap<NodeId, SocketAddr>) -> Result<Self, Trouble> {
        Self::on(Tcp::new(nodes), home).await
    }
}

impl<N: Net> RaftClient<N> {
    /// Connects to `home`, one of the nodes on a network.
    ///
    /// # Errors
    /// [`Trouble::NoConnection`].
    pub async fn on(net: N, home: NodeId) -> Result<Self, Trouble> {
        let mut links = Links::new(net);
        links.connect(home).await?;
        Ok(Self { home, links, session: None, sequence: 0 })
    }

    /// With another bound than [`super::call::TIME_MAX`] on how long an operation is tried.
    #[must_use]
    pub fn with_time_max(mut self, time_max: Duration) -> Self {
        self.links.set_time_max(time_max);
        self
    }

    /// How a node sees the cluster. Of a client that knows one node only, it is that node's view.
    ///
    /// # Errors
    /// Why there is no answer.
    pub async fn status(&mut self) -> Result<Response, GaveUp> {
        self.links.call(self.home, &Request::Status).await
    }

    /// A linearizable read.
    ///
    /// # Errors
    /// Why there is no answer.
    pub async fn read(&mut self, key: Vec<u8>) -> Result<Option<Vec<u8>>, GaveUp> {
        let command = Command::Read { key };
        let request = Request::Perform { session: NO_SESSION, sequence: 0, command };
        match self.links.call(self.home, &request).await? {
            Response::Value(value) => Ok(value),
            Response::Misplaced(_) => {
                Err(GaveUp { trouble: Trouble::Misplaced, accepted_maybe: false })
            }
            _ => unreachable!("a call returns only what fits the request"),
        }
    }

    /// Performs a command that changes something, in this client's session.
    pub(super) async fn change(&mut self, command: Command) -> Result<Response, GaveUp> {
        let session = self.session().await?;
        self.sequence += 1;
        let request = Request::Perform { session, sequence: self.sequence, command };
        let end = self.links.call(self.home, &request).await;
        if let Err(GaveUp { trouble: Trouble::SessionExpired, .. }) = end {
            self.session = None;
        }
        end
    }

    /// The session that commands are performed in, opened if there is none.
    pub(super) async fn session(&mut self) -> Result<SessionId, GaveUp> {
        if let Some(session) = self.session {
            return Ok(session);
        }
        // A registration that may have been accepted leaves an unused session behind, and changes no key.
        let definite = |trouble| GaveUp { trouble, accepted_maybe: false };
        let net = self.links.net().clone();
        match within(&net, SESSION_PATIENCE, self.links.call(self.home, &Request::Register)).await {
            Some(Ok(Response::Registered(session))) => {
                self.session = Some(session);
                self.sequence = 0;
                Ok(session)
            }
            Some(Ok(_)) => unreachable!("a call returns only what fits the request"),
            Some(Err(gave_up)) => Err(definite(gave_up.trouble)),
            None => Err(definite(Trouble::NoSession)),
        }
    }

    pub(super) async fn perform(&mut self, op: &Invocation) -> Outcome {
        let key = values::key(op.key.as_ref());
        let end = match &op.f {
            F::Read => match self.read(key).await {
                Ok(value) => return Outcome::Ok(values::decode(value.as_deref())),
                // A read leaves nothing behind, whatever became of its attempts.
                Err(GaveUp { trouble, .. }) => Err(GaveUp { trouble, accepted_maybe: false }),
            },
            F::Write => match values::encode(&op.value) {
                Some(value) => self.change(Command::Write { key, value }).await,
                None => return Outcome::Fail("null cannot be written".into()),
            },
            F::Cas => match cas(key, &op.value) {
                Ok(command) => self.change(command).await,
                Err(why) => return Outcome::Fail(why.into()),
            },
            F::Other(name) => {
                return Outcome::Fail(format!("the raft adapter does not know {name}").into());
            }
        };
        match end {
            Ok(Response::Mismatch { actual }) => {
                let actual = values::decode(actual.as_deref());
                Outcome::Fail(format!("cas mismatch: found {actual}").into())
            }
            Ok(Response::Misplaced(_)) => Outcome::Fail(Trouble::Misplaced.to_string().into()),
            Ok(Response::Blocked(_)) => Outcome::Fail("a transaction holds the key".into()),
            Ok(_) => Outcome::Ok(op.value.clone()),
            Err(gave_up) => self.without_answer(&gave_up).await,
        }
    }

    pub(super) async fn without_answer(&self, gave_up: &GaveUp) -> Outcome {
        let reason = gave_up.to_string().into_boxed_str();
        if gave_up.accepted_maybe {
            return Outcome::Info(reason);
        }
        if matches!(gave_up.trouble, Trouble::NoConnection { .. } | Trouble::NotSent { .. }) {
            let net = self.links.net();
            net.sleep_until(net.now() + REFUSED_PAUSE).await;
        }
        Outcome::Fail(reason)
    }
}

fn cas(key: Vec<u8>, value: &Value) -> Result<Command, &'static str> {
    let Some([expected, new]) = value.as_list() else {
        return Err("the value of a cas is not [expected, new]");
    };
    let new = values::encode(new).ok_or("null cannot be written")?;
    Ok(Command::Cas { key, expected: values::encode(expected), new })
}

impl<N: Net> Client for RaftClient<N> {
    fn invoke<'a>(&'a mut self, _process: Process, op: &'a Invocation) -> LocalFuture<'a, Outcome> {
        Box::pin(self.perform(op))
    }
}
