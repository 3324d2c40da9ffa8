//! A worker: performs the operations of one thread, one at a time.

use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use keelhaul_history::Process;

use super::mailbox::{Inbox, Outbox};
use crate::interpreter::{Completion, Dispatch};
use crate::{Client, Connect, Outcome};

/// How long a worker whose client cannot be opened waits before it says so: a node that refuses connections must
/// not turn the run into a busy loop of failures.
const OPEN_PAUSE: Duration = Duration::from_millis(100);

/// Where a worker gets its client from.
pub enum Source {
    /// Opened for each process when it has its first operation.
    Connect(Rc<dyn Connect>),
    /// One for the whole run: the nemesis.
    Fixed(Box<dyn Client>),
}

/// What a worker has beside its client.
pub struct Desk {
    /// Where its work comes from.
    pub inbox: Rc<Inbox>,
    /// Where its results go.
    pub outbox: Rc<Outbox>,
    /// How long an operation may take. The loop keeps the time; the worker only says so in its outcome.
    pub limit: Duration,
}

impl Desk {
    fn timeout(&self) -> Box<str> {
        format!("timeout after {:?}", self.limit).into()
    }
}

/// Performs operations until the task is dropped.
pub async fn work(mut source: Source, desk: Desk) {
    let mut open: Option<(Process, Box<dyn Client>)> = None;
    loop {
        let dispatch = desk.inbox.take().await;
        let outcome = match &mut source {
            Source::Fixed(client) => perform(&mut **client, &dispatch, &desk).await,
            Source::Connect(connect) => with_client(&**connect, &mut open, &dispatch, &desk).await,
        };
        desk.outbox.put(Completion { thread: dispatch.thread, outcome });
    }
}

/// Performs an operation with the process' client, opening it if need be and dropping it when the process ends.
async fn with_client(
    connect: &dyn Connect,
    open: &mut Option<(Process, Box<dyn Client>)>,
    dispatch: &Dispatch,
    desk: &Desk,
) -> Outcome {
    if open.as_ref().is_none_or(|(process, _)| *process != dispatch.process) {
        // The old process' connection must be gone before the new one's appears.
        drop(open.take());
        match open_client(connect, dispatch, desk).await {
            Ok(client) => *open = Some((dispatch.process, client)),
            Err(Opening::Refused(reason)) => {
                return Outcome::Fail(format!("no client: {reason}").into());
            }
            Err(Opening::Panicked(message)) => return panicked(message, desk),
        }
    }
    let Some((_, client)) = open.as_mut() else { unreachable!("the client was just opened") };
    let outcome = perform(&mut **client, dispatch, desk).await;
    if matches!(outcome, Outcome::Info(_)) {
        drop(open.take());
    }
    outcome
}

/// Why there is no client. Nothing was sent in any case.
enum Opening {
    Refused(Box<str>),
    Panicked(String),
}

async fn open_client(
    connect: &dyn Connect,
    dispatch: &Dispatch,
    desk: &Desk,
) -> Result<Box<dyn Client>, Opening> {
    let Some(node) = dispatch.node else {
        return Err(Opening::Refused("there is no node to speak to".into()));
    };
    let opening = Guarded(guarded(|| connect.open(dispatch.process, node)));
    let refused = tokio::select! {
        biased;
        opened = opening => match opened {
            Ok(Ok(client)) => return Ok(client),
            Ok(Err(reason)) => reason,
            Err(panic) => return Err(Opening::Panicked(message(&*panic))),
        },
        () = desk.inbox.expired() => desk.timeout(),
    };
    tokio::select! {
        () = tokio::time::sleep(OPEN_PAUSE) => {}
        () = desk.inbox.expired() => {}
    }
    Err(Opening::Refused(refused))
}

async fn perform(client: &mut dyn Client, dispatch: &Dispatch, desk: &Desk) -> Outcome {
    let (process, op) = (dispatch.process, &*dispatch.op);
    let mut operation = pin!(Guarded(guarded(move || client.invoke(process, op))));
    tokio::select! {
        biased;
        ended = operation.as_mut() => match ended {
            Ok(outcome) => outcome,
            Err(panic) => panicked(message(&*panic), desk),
        },
        () = desk.inbox.expired() => Outcome::Info(desk.timeout()),
    }
}

fn panicked(message: String, desk: &Desk) -> Outcome {
    let outcome = Outcome::Info(format!("client panicked: {message}").into());
    desk.outbox.put_panic(message);
    outcome
}

type Panic = Box<dyn Any + Send>;

/// Calls a function and takes its panic, if it has one, as the result. Whatever it touched is not used again then.
fn guarded<T>(call: impl FnOnce() -> T) -> Result<T, Panic> {
    catch_unwind(AssertUnwindSafe(call))
}

/// A future that may have panicked when it was made, and whose panics are its result.
struct Guarded<F>(Result<F, Panic>);

impl<F: Future + Unpin> Future for Guarded<F> {
    type Output = Result<F::Output, Panic>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            // A panic is reported once, and the client and its future are not used again.
            Err(panic) => Poll::Ready(Err(std::mem::replace(panic, Box::new(())))),
            Ok(future) => match guarded(|| Pin::new(future).poll(cx)) {
                Ok(Poll::Pending) => Poll::Pending,
                Ok(Poll::Ready(output)) => Poll::Ready(Ok(output)),
                Err(panic) => Poll::Ready(Err(panic)),
            },
        }
    }
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_owned())
}
