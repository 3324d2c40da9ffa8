//! One request, tried until it is answered or cannot be.
//!
//! An attempt that was certainly not accepted leads to the node that the answer names. An attempt that may have been accepted
//! and is not answered soon leads to the next node, with the same request: for a command that is the same
//! session and sequence number. Late answers to earlier attempts count as well, from whatever node they come.
//!
//! Limits: an operation's time is the driver's to bound; [`TIME_MAX`] and a most of attempts only keep a forgotten
//! call from going on for ever.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use keelhaul_history::NodeId;
use keelhaul_protocol::kv::locks::Act;
use keelhaul_protocol::kv::share::Placing;
use keelhaul_protocol::kv::txns::Step;
use keelhaul_protocol::kv::{Command, Request, Response};
use keelhaul_server::wire::{ReplyFrame, RequestFrame};

use super::errors::{GaveUp, Trouble};
use super::net::{Line, Net};

/// How long an attempt may stay without an answer before the request is sent to another node, too: longer than a commit takes with a
/// slow disk, shorter than an election.
const RESEND_AFTER: Duration = Duration::from_millis(200);
/// Pause before the next attempt when the last one found no leader or no connection.
const PAUSE: Duration = Duration::from_millis(50);
/// How often a request that was certainly not accepted is sent on to the leader that a node names.
const REDIRECTS_MAX: u32 = 4;
/// How often such a request is repeated where no leader was known.
const LEADERLESS_MAX: u32 = 3;
/// The most attempts of one request.
const ATTEMPTS_MAX: usize = 200;
/// The longest that one request is tried, unless a client is told otherwise.
pub const TIME_MAX: Duration = Duration::from_secs(30);

/// A client's connections, and the numbers it gives to its requests.
pub struct Links<N: Net> {
    net: N,
    open: BTreeMap<NodeId, N::Line>,
    correlation: u64,
    time_max: Duration,
}

/// What became of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Its answer may still come.
    Waiting,
    /// It certainly was not accepted.
    Refused,
    /// Its answer will not come; it may have been accepted.
    Lost,
}

#[derive(Debug)]
struct Attempt {
    node: NodeId,
    correlation: u64,
    state: State,
}

/// What happened while a call waited.
enum Event {
    Reply(NodeId, ReplyFrame),
    Closed(NodeId),
    Due,
}

impl<N: Net> Links<N> {
    /// Connections to none of the nodes yet.
    #[must_use]
    pub fn new(net: N) -> Self {
        Self { net, open: BTreeMap::new(), correlation: 0, time_max: TIME_MAX }
    }

    /// The network that they lead through.
    pub const fn net(&self) -> &N {
        &self.net
    }

    /// Bounds how long one request is tried.
    pub fn set_time_max(&mut self, time_max: Duration) {
        self.time_max = time_max;
    }

    /// Connects to a node, unless that is done.
    ///
    /// # Errors
    /// [`Trouble::NoConnection`].
    pub async fn connect(&mut self, node: NodeId) -> Result<(), Trouble> {
        if self.open.contains_key(&node) {
            return Ok(());
        }
        let link = self.net.open(node).await;
        let link = link.map_err(|source| Trouble::NoConnection { node, source })?;
        self.open.insert(node, link);
        Ok(())
    }

    /// Tries `request`, first at `home`, until it is answered or certainly cannot be.
    ///
    /// # Errors
    /// Why there is no answer, and whether an attempt may have been accepted nevertheless.
    pub async fn call(&mut self, home: NodeId, request: &Request) -> Result<Response, GaveUp> {
        let mut call = Call::new(home, request, self.net.now());
        let end = self.net.now() + self.time_max;
        while call.attempts.len() < ATTEMPTS_MAX && self.net.now() < end {
            let event = self.event(call.due).await;
            call.now = self.net.now();
            match event {
                Event::Due => {
                    let node = call.next;
                    let sent = self.send(node, request).await;
                    call.now = self.net.now();
                    call.sent(node, sent, self.net.nodes())?;
                }
                Event::Closed(node) => call.closed(node, self.net.nodes()),
                Event::Reply(node, reply) => {
                    if let Some(response) = call.replied(node, reply, self.net.nodes())? {
                        return Ok(response);
                    }
                }
            }
        }
        let node = call.next;
        Err(call.give_up(Trouble::Silence { node }))
    }

    /// Sends a request to a node, over a new connection if there is none.
    async fn send(&mut self, node: NodeId, request: &Request) -> Result<u64, Trouble> {
        self.connect(node).await?;
        self.correlation += 1;
        let frame = RequestFrame { correlation: self.correlation, request: request.clone() };
        // Out of the map while it is written to: half a frame must not stay behind when the caller gives up now.
        let mut link = self.open.remove(&node).expect("just connected");
        link.send(frame).await.map_err(|source| Trouble::NotSent { node, source })?;
        self.open.insert(node, link);
        Ok(self.correlation)
    }

    /// The next thing that happens, [`Event::Due`] at `due` at the latest. What has arrived comes first, so that a
    /// connection that ended since the last call is noticed before anything is sent on it.
    async fn event(&mut self, due: Duration) -> Event {
        let net = self.net.clone();
        tokio::select! {
            biased;
            event = self.incoming() => event,
            () = net.sleep_until(due) => Event::Due,
        }
    }

    /// The next reply, or the end of a connection, which is dropped.
    async fn incoming(&mut self) -> Event {
        poll_fn(|cx| {
            for (&node, link) in &mut self.open {
                match link.poll_reply(cx) {
                    Poll::Ready(Ok(reply)) => return Poll::Ready(Event::Reply(node, reply)),
                    Poll::Ready(Err(_)) => {
                        self.open.remove(&node);
                        return Poll::Ready(Event::Closed(node));
                    }
                    Poll::Pending => {}
                }
            }
            Poll::Pending
        })
        .await
    }
}

/// A request under way.
struct Call<'a> {
    request: &'a Request,
    attempts: Vec<Attempt>,
    /// Where and when it is sent next, if nothing happens before.
    next: NodeId,
    due: Duration,
    /// The time of the latest event.
    now: Duration,
    redirects: u32,
    leaderless: u32,
    /// What first made it unknown whether the request was accepted.
    doubt: Option<Trouble>,
}

impl<'a> Call<'a> {
    fn new(home: NodeId, request: &'a Request, now: Duration) -> Self {
        Self {
            request,
            attempts: Vec::new(),
            next: home,
            due: now,
            now,
            redirects: 0,
            leaderless: 0,
            doubt: None,
        }
    }

    /// Whether an attempt may have been accepted.
    fn accepted_maybe(&self) -> bool {
        self.attempts.iter().any(|attempt| attempt.state != State::Refused)
    }

    /// An ending for the whole call. What made it unknown says more than what came last.
    fn give_up(&mut self, last: Trouble) -> GaveUp {
        let accepted_maybe = self.accepted_maybe();
        let doubt = if accepted_maybe { self.doubt.take() } else { None };
        GaveUp { trouble: doubt.unwrap_or(last), accepted_maybe }
    }

    fn go(&mut self, node: NodeId, after: Duration) {
        self.next = node;
        self.due = self.now + after;
    }

    /// An attempt was sent, or could not be.
    fn sent(
        &mut self,
        node: NodeId,
        sent: Result<u64, Trouble>,
        nodes: &[NodeId],
    ) -> Result<(), GaveUp> {
        match sent {
            Ok(correlation) => {
                self.attempts.push(Attempt { node, correlation, state: State::Waiting });
                self.go(after(nodes, node), RESEND_AFTER);
                Ok(())
            }
            Err(trouble) if !self.accepted_maybe() => Err(self.give_up(trouble)),
            Err(_) => {
                self.go(after(nodes, node), PAUSE);
                Ok(())
            }
        }
    }

    /// A connection ended, and with it the hope for the answers it would have brought.
    fn closed(&mut self, node: NodeId, nodes: &[NodeId]) {
        let waits = |attempt: &Attempt| attempt.node == node && attempt.state == State::Waiting;
        let was_last = self.attempts.last().is_some_and(waits);
        // A node that takes requests only to drop them must not be fed without end.
        let patience = if self.doubt.is_some() { PAUSE } else { Duration::ZERO };
        for attempt in self.attempts.iter_mut().filter(|attempt| waits(attempt)) {
            attempt.state = State::Lost;
            self.doubt.get_or_insert(Trouble::Lost { node });
        }
        if was_last {
            self.go(after(nodes, node), patience);
        }
    }

    /// A reply came. Returns the response if it answers the call.
    fn replied(
        &mut self,
        node: NodeId,
        reply: ReplyFrame,
        nodes: &[NodeId],
    ) -> Result<Option<Response>, GaveUp> {
        let Some(position) = self
            .attempts
            .iter()
            .position(|attempt| attempt.node == node && attempt.correlation == reply.correlation)
        else {
            return Ok(None);
        };
        let is_last = position + 1 == self.attempts.len();
        match reply.response {
            Response::NotLeader { leader } => {
                self.attempts[position].state = State::Refused;
                if is_last {
                    self.redirect(node, leader.map(|leader| NodeId(leader.0)), nodes)?;
                }
            }
            Response::SessionExpired => {
                self.attempts[position].state = State::Refused;
                return Err(self.give_up(Trouble::SessionExpired));
            }
            Response::Unknown => {
                self.attempts[position].state = State::Lost;
                self.doubt.get_or_insert(Trouble::Deposed { node });
                if is_last {
                    self.go(after(nodes, node), Duration::ZERO);
                }
            }
            response if fits(self.request, &response) => return Ok(Some(response)),
            _ => {
                self.doubt.get_or_insert(Trouble::Misfit { node });
                return Err(self.give_up(Trouble::Misfit { node }));
            }
        }
        Ok(None)
    }

    /// The latest attempt met a node that does not lead.
    fn redirect(
        &mut self,
        node: NodeId,
        leader: Option<NodeId>,
        nodes: &[NodeId],
    ) -> Result<(), GaveUp> {
        let doubtful = self.accepted_maybe();
        match leader.filter(|leader| nodes.contains(leader)) {
            // Its answer is still awaited: a silent leader is not asked again before the others were.
            Some(leader) if self.waits_for(leader) => self.go(after(nodes, node), PAUSE),
            Some(_) if !doubtful && self.redirects >= REDIRECTS_MAX => {
                return Err(self.give_up(Trouble::RedirectedTooOften));
            }
            Some(leader) => {
                self.redirects += 1;
                let patience = if self.redirects > REDIRECTS_MAX { PAUSE } else { Duration::ZERO };
                self.go(leader, patience);
            }
            None if doubtful => self.go(after(nodes, node), PAUSE),
            None if self.leaderless >= LEADERLESS_MAX => {
                return Err(self.give_up(Trouble::LeaderUnknown));
            }
            None => {
                self.leaderless += 1;
                self.go(node, PAUSE);
            }
        }
        Ok(())
    }

    fn waits_for(&self, node: NodeId) -> bool {
        self.attempts.iter().any(|attempt| attempt.node == node && attempt.state == State::Waiting)
    }
}

/// The node after this one, round and round.
fn after(nodes: &[NodeId], node: NodeId) -> NodeId {
    let later = nodes.iter().find(|other| **other > node);
    *later.or(nodes.first()).expect("a cluster has nodes")
}

/// Whether a response answers a request.
fn fits(request: &Request, response: &Response) -> bool {
    match request {
        Request::Register => matches!(response, Response::Registered(_)),
        Request::Status => matches!(response, Response::Status { .. }),
        Request::Members => matches!(response, Response::Members { .. }),
        Request::Change(_) | Request::Transfer(_) => {
            matches!(response, Response::Changed | Response::Refused(_))
        }
        Request::Digest => matches!(response, Response::Digest { .. }),
        Request::Perform { command, .. } => fits_command(command, response),
    }
}

fn fits_command(command: &Command, response: &Response) -> bool {
    match command {
        Command::Read { .. } => matches!(response, Response::Value(_) | Response::Misplaced(_)),
        Command::Write { .. } => {
            matches!(response, Response::Written | Response::Blocked(_) | Response::Misplaced(_))
        }
        Command::Cas { .. } => matches!(
            response,
            Response::Swapped
                | Response::Mismatch { .. }
                | Response::Blocked(_)
                | Response::Misplaced(_)
        ),
        Command::Append { .. } => matches!(
            response,
            Response::Appended
                | Response::Fenced { .. }
                | Response::Blocked(_)
                | Response::Misplaced(_)
        ),
        Command::Lock { act, .. } => match act {
            Act::Acquire { .. } => matches!(response, Response::Acquired(_) | Response::Held(_)),
            Act::Renew(_) => matches!(response, Response::Renewed | Response::NotHeld),
            Act::Release(_) => matches!(response, Response::Released | Response::NotHeld),
        },
        Command::Txn(step) => fits_step(step, response),
        Command::Place(Placing::Export { .. }) => {
            matches!(response, Response::Exported(_) | Response::Placed(_))
        }
        Command::Place(_) => matches!(response, Response::Placed(_)),
    }
}

fn fits_step(step: &Step, response: &Response) -> bool {
    match step {
        Step::Fetch { keys } => match response {
            Response::Fetched(held) => held.len() == keys.len(),
            other => matches!(other, Response::Misplaced(_)),
        },
        Step::Commit { .. } => matches!(
            response,
            Response::Committed
                | Response::Conflict
                | Response::Blocked(_)
                | Response::Misplaced(_)
        ),
        Step::Prepare { .. } => matches!(
            response,
            Response::Prepared | Response::Conflict | Response::Blocked(_) | Response::Misplaced(_)
        ),
        Step::Decide { .. } => matches!(response, Response::Decided { .. }),
        Step::Finish { .. } | Step::Forget { .. } => matches!(response, Response::Finished),
    }
}
