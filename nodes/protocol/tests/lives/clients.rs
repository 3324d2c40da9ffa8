//! Clients with sessions, who write values that are never written twice, and remember what they were told.

use std::collections::BTreeMap;

use keelhaul_protocol::api::{NodeId, RequestId};
use keelhaul_protocol::kv::{Command, Request, Response, SessionId};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::linear::{Kind, Op, Value};

/// Keys in use at a time.
const KEYS: u64 = 4;
/// Operations on these before others are taken.
const OPS_PER_KEYS: u64 = 400;
/// Attempts of one call before its client gives up: some nodes do not answer, others name a leader that is gone.
const ATTEMPTS_MAX: u32 = 12;

#[derive(Debug)]
struct Call {
    key: u64,
    kind: Kind,
    start: u64,
    attempts: u32,
    /// An attempt may have been accepted.
    doubtful: bool,
}

#[derive(Debug, Default)]
struct Client {
    session: Option<SessionId>,
    sequence: u64,
    call: Option<Call>,
    /// The request that it waits for.
    request: Option<RequestId>,
    /// Where it tries first.
    home: u16,
    target: u16,
    /// Counts its calls, so that a late answer to an earlier attempt of the same call is known.
    calls: u64,
    last_seen: BTreeMap<u64, Value>,
}

/// What a client does next.
pub enum Next {
    /// Sends a request to a node.
    Send(NodeId, RequestId, Request),
    /// Rests before the next operation.
    Rest,
}

pub struct Clients {
    clients: Vec<Client>,
    nodes: u16,
    next_request: u64,
    next_value: Value,
    started: u64,
    owner: BTreeMap<RequestId, (usize, u64)>,
    /// By key.
    pub history: BTreeMap<u64, Vec<Op>>,
    /// Writes and swaps that were acknowledged.
    pub acknowledged: u64,
}

impl Clients {
    pub fn new(count: usize, nodes: u16) -> Clients {
        let client = |at: usize| Client {
            home: at as u16 % nodes,
            target: at as u16 % nodes,
            ..Client::default()
        };
        Clients {
            clients: (0..count).map(client).collect(),
            nodes,
            next_request: 0,
            next_value: 0,
            started: 0,
            owner: BTreeMap::new(),
            history: BTreeMap::new(),
            acknowledged: 0,
        }
    }

    /// A client that rested goes on.
    pub fn wake(&mut self, client: usize, now: u64, rng: &mut ChaCha8Rng) -> Next {
        if self.clients[client].session.is_some() && self.clients[client].call.is_none() {
            self.started += 1;
            let call = self.invent(client, now, rng);
            let state = &mut self.clients[client];
            if !matches!(call.kind, Kind::Read(_)) {
                state.sequence += 1;
            }
            state.call = Some(call);
            state.calls += 1;
            state.target = state.home;
        }
        self.send(client)
    }

    fn invent(&mut self, client: usize, now: u64, rng: &mut ChaCha8Rng) -> Call {
        let key = self.started / OPS_PER_KEYS * KEYS + rng.random_range(0..KEYS);
        let expected = self.clients[client].last_seen.get(&key).copied().unwrap_or(0);
        self.next_value += 1;
        let kind = match rng.random_range(0..10) {
            0..4 => Kind::Read(0),
            4..7 => Kind::Write(self.next_value),
            _ => Kind::Cas(expected, self.next_value),
        };
        Call { key, kind, start: now, attempts: 0, doubtful: false }
    }

    fn send(&mut self, client: usize) -> Next {
        self.next_request += 1;
        let id = RequestId(self.next_request);
        let state = &mut self.clients[client];
        state.request = Some(id);
        self.owner.insert(id, (client, state.calls));
        let request = match (&mut state.call, state.session) {
            (Some(call), Some(session)) => {
                call.attempts += 1;
                let command = command(call.key, call.kind);
                Request::Perform { session, sequence: state.sequence, command }
            }
            _ => Request::Register,
        };
        Next::Send(NodeId(state.target), id, request)
    }

    /// Who waits for this request, or would be glad of its answer, if someone does.
    pub fn waits(&self, id: RequestId, response: Option<&Response>) -> Option<usize> {
        let (client, call) = *self.owner.get(&id)?;
        let state = &self.clients[client];
        let late = state.call.is_some() && response.is_some_and(is_definite);
        (state.calls == call && (state.request == Some(id) || late)).then_some(client)
    }

    /// An answer, or none in time.
    pub fn answered(
        &mut self,
        client: usize,
        now: u64,
        response: Option<&Response>,
        rng: &mut ChaCha8Rng,
    ) -> Next {
        let state = &mut self.clients[client];
        state.request = None;
        if let Some(Response::NotLeader { leader: Some(leader) }) = response {
            state.target = leader.0;
        } else if !matches!(response, Some(r) if is_definite(r)) {
            state.target = rng.random_range(0..self.nodes);
        }
        let Some(mut call) = state.call.take() else {
            if let Some(Response::Registered(session)) = response {
                (state.session, state.sequence) = (Some(*session), 0);
            }
            return Next::Rest;
        };
        call.doubtful |= matches!(response, None | Some(Response::Unknown));
        match response {
            Some(response) if is_definite(response) => {
                self.complete(client, &call, now, response);
                Next::Rest
            }
            Some(Response::SessionExpired) if !call.doubtful => {
                state.session = None;
                Next::Rest
            }
            Some(Response::NotLeader { .. } | Response::Unknown) | None
                if call.attempts < ATTEMPTS_MAX =>
            {
                state.call = Some(call);
                self.send(client)
            }
            _ if !call.doubtful => Next::Rest,
            _ => {
                state.session = None;
                self.record(&call, call.kind, None);
                Next::Rest
            }
        }
    }

    fn complete(&mut self, client: usize, call: &Call, now: u64, response: &Response) {
        let kind = match (call.kind, response) {
            (_, Response::Value(actual) | Response::Mismatch { actual }) => {
                Kind::Read(decode(actual.as_deref()))
            }
            (kind, _) => kind,
        };
        let (Kind::Read(value) | Kind::Write(value) | Kind::Cas(_, value)) = kind;
        self.clients[client].last_seen.insert(call.key, value);
        self.acknowledged += u64::from(!matches!(kind, Kind::Read(_)));
        self.record(call, kind, Some(now));
    }

    fn record(&mut self, call: &Call, kind: Kind, end: Option<u64>) {
        if end.is_none() && matches!(kind, Kind::Read(_)) {
            return;
        }
        self.history.entry(call.key).or_default().push(Op { kind, start: call.start, end });
    }

    /// At the end: calls that nobody answered.
    pub fn give_up(&mut self) {
        for client in 0..self.clients.len() {
            if let Some(call) = self.clients[client].call.take() {
                self.record(&call, call.kind, None);
            }
        }
    }
}

/// The operation took place, as the answer says.
fn is_definite(response: &Response) -> bool {
    matches!(
        response,
        Response::Written | Response::Swapped | Response::Value(_) | Response::Mismatch { .. }
    )
}

fn command(key: u64, kind: Kind) -> Command {
    let key = key.to_be_bytes().to_vec();
    match kind {
        Kind::Read(_) => Command::Read { key },
        Kind::Write(value) => Command::Write { key, value: encode(value) },
        Kind::Cas(expected, new) => Command::Cas {
            key,
            expected: (expected != 0).then(|| encode(expected)),
            new: encode(new),
        },
    }
}

fn encode(value: Value) -> Vec<u8> {
    value.to_be_bytes().to_vec()
}

/// What a state machine holds under a key, as a value.
pub fn decode(bytes: Option<&[u8]>) -> Value {
    bytes.map_or(0, |bytes| Value::from_be_bytes(bytes.try_into().expect("a value of ours")))
}
