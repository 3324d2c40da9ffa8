//! What a store must offer so that a workload can be driven against it.

use std::future::Future;
use std::pin::Pin;

use keelhaul_history::{F, NodeId, Process, Value};

/// A future that stays on the thread that made it: clients need not be `Send`.
pub type LocalFuture<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// An operation that a generator asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct Invocation {
    /// What to perform.
    pub f: F,
    /// On which object.
    pub key: Option<Value>,
    /// With what argument.
    pub value: Value,
}

/// How an operation ended. When in doubt it is [`Outcome::Info`].
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// It certainly happened; the value is the result (for a write: what was written).
    Ok(Value),
    /// It certainly did not happen, and why.
    Fail(Box<str>),
    /// Nobody knows, and why: a timeout, a lost connection, any error that is not known to be definite.
    Info(Box<str>),
}

/// One connection to one node.
///
/// `invoke` performs the operation at most once as the store defines it, and never hides an uncertain outcome. It
/// must be cancel-safe in this sense: the driver drops its future when the operation's time is up, records an
/// info, and drops the client.
pub trait Client {
    /// Performs one operation.
    fn invoke<'a>(&'a mut self, process: Process, op: &'a Invocation) -> LocalFuture<'a, Outcome>;
}

/// Opens clients; one for the whole run.
pub trait Connect {
    /// Opens a client for a fresh process, pinned to `node`. A failure here means that no operation was sent: the
    /// driver records a fail for the operation that was waiting and tries again with the next one.
    fn open<'a>(
        &'a self,
        process: Process,
        node: NodeId,
    ) -> LocalFuture<'a, Result<Box<dyn Client>, Box<str>>>;
}
