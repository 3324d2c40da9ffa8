//! What a script's commands do, and how what happens is written down.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use crate::api::{
    Effect, Input, LogIndex, Nanos, NodeId, Note, Payload, RequestId, Stored, SyncTicket,
};
use crate::golden::{self, Stage, answer, id, name, perform};
use crate::kv::{Command, Request, SessionId};
use crate::paxos::node::Office;
use crate::paxos::{Ballot, Config, Entry, HardState, Message, Mutant, Replica, Role};

const MILLISECOND: u64 = 1_000_000;

#[derive(Default)]
struct Node {
    replica: Option<Replica>,
    stored: Stored<Message>,
    /// Storage effects and syncs that are not durable yet.
    disk: Vec<Effect<Message>>,
    slow_disk: bool,
}

/// Nodes, and the messages between them.
#[derive(Default)]
pub(super) struct World {
    nodes: BTreeMap<NodeId, Node>,
    wires: BTreeMap<(NodeId, NodeId), VecDeque<Message>>,
    options: BTreeMap<String, u64>,
    /// The mistake that all replicas make.
    mutant: Option<Mutant>,
    requests: u64,
    lines: Vec<String>,
}

impl Stage for World {
    fn take_lines(&mut self) -> Vec<String> {
        std::mem::take(&mut self.lines)
    }

    fn command(&mut self, line: &str) {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["cluster", count, options @ ..] => self.cluster(count.parse().unwrap(), options),
            ["stored", node, promised, entries @ ..] => self.stored(id(node), promised, entries),
            ["start"] => {
                let nodes: Vec<NodeId> = self.nodes.keys().copied().collect();
                nodes.into_iter().for_each(|node| self.start(node));
            }
            ["restart", node] => self.start(id(node)),
            ["crash", node] => {
                let node = self.nodes.get_mut(&id(node)).unwrap();
                node.replica = None;
                node.disk.clear();
            }
            ["slow-disk", node] => self.nodes.get_mut(&id(node)).unwrap().slow_disk = true,
            ["sync", node] => self.sync(id(node)),
            ["timeout", node] => self.timeout(id(node)),
            ["pass", node, milliseconds] => self.pass(id(node), milliseconds.parse().unwrap()),
            ["deliver"] => self.deliver_all(),
            ["deliver", from, to] => self.deliver(id(from), id(to)),
            ["drop", from, to] => drop(self.wires.remove(&(id(from), id(to)))),
            ["drop", node] => {
                let node = id(node);
                self.wires.retain(|(from, to), _| *from != node && *to != node);
            }
            ["drop"] => self.wires.clear(),
            ["register", node] => self.request(id(node), Request::Register),
            ["read", node, key] => {
                let command = Command::Read { key: key.as_bytes().to_vec() };
                self.request(id(node), perform("0/0", command));
            }
            ["write", node, number, assignment] => {
                self.request(id(node), perform(number, write(assignment)));
            }
            ["log"] => self.logs(),
            other => panic!("unknown command {other:?}"),
        }
    }
}

impl World {
    /// Of replicas that all make a mistake.
    pub(super) fn of(mutant: Mutant) -> Self {
        Self { mutant: Some(mutant), ..Self::default() }
    }

    fn cluster(&mut self, count: u16, options: &[&str]) {
        for option in options {
            let (name, value) = option.split_once('=').unwrap();
            self.options.insert(name.to_owned(), value.parse().unwrap());
        }
        self.nodes = (1..=count).map(|n| (NodeId(n), Node::default())).collect();
    }

    /// `stored n1 4.1 3@2.2:x=a`: a promise, and slots with ballots and values.
    fn stored(&mut self, node: NodeId, promised: &str, entries: &[&str]) {
        let stored = &mut self.nodes.get_mut(&node).unwrap().stored;
        stored.hard_state = HardState { promised: ballot(promised) };
        let entry = |text: &&str| {
            let (place, assignment) = text.split_once(':').unwrap();
            let (slot, under) = place.split_once('@').unwrap();
            let payload =
                Payload::Command { session: SessionId(0), sequence: 1, command: write(assignment) };
            Entry { slot: LogIndex(slot.parse().unwrap()), ballot: ballot(under), payload }
        };
        stored.entries = entries.iter().map(entry).collect();
    }

    fn start(&mut self, node: NodeId) {
        let option = |name: &str, otherwise| self.options.get(name).copied().unwrap_or(otherwise);
        let mut config = Config::new(node, self.nodes.keys().copied().collect());
        config.snapshot_entries = option("snapshot-slots", config.snapshot_entries);
        config.keep_entries = option("keep-slots", config.keep_entries);
        config.accept_bytes_max = option("bytes", 1 << 20) as usize;
        config.accepts_in_flight_max = option("in-flight", 16) as usize;
        config.open_slots_max = option("open-slots", config.open_slots_max);
        config.lease_reads = option("lease", 0) == 1;
        config.mutant = self.mutant;
        let state = self.nodes.get_mut(&node).unwrap();
        let mut out = Vec::new();
        let rng = ChaCha8Rng::seed_from_u64(u64::from(node.0));
        let stored = state.stored.clone();
        let mut replica = Replica::new(config, stored, Nanos(0), rng, &mut out);
        // Long enough ago that it may promise.
        replica.quiet_until = Nanos(0);
        state.replica = Some(replica);
        self.carry_out(node, out);
    }

    fn replica(&self, node: NodeId) -> &Replica {
        self.nodes[&node].replica.as_ref().expect("it is up")
    }

    /// The node's patience ends: a campaign, or a leader's heartbeat.
    fn timeout(&mut self, node: NodeId) {
        let replica = self.replica(node);
        let due = match &replica.office {
            Office::Leader(leader) => leader.heartbeat_due,
            _ => replica.election_due,
        };
        let now = replica.now.max(due);
        self.step_at(node, now, Input::Timer);
    }

    /// So much time, in which nothing happens.
    fn pass(&mut self, node: NodeId, milliseconds: u64) {
        let now = Nanos(self.replica(node).now.0 + milliseconds * MILLISECOND);
        let mut out = Vec::new();
        let state = self.nodes.get_mut(&node).unwrap();
        state.replica.as_mut().unwrap().step_all(now, [], &mut out);
        self.carry_out(node, out);
    }

    fn request(&mut self, node: NodeId, request: Request) {
        self.requests += 1;
        self.step(node, Input::Request { id: RequestId(self.requests), request });
    }

    fn deliver(&mut self, from: NodeId, to: NodeId) {
        for message in self.wires.remove(&(from, to)).unwrap_or_default() {
            if self.nodes[&to].replica.is_some() {
                self.step(to, Input::Receive { from, message });
            }
        }
    }

    /// Until nothing is on its way.
    fn deliver_all(&mut self) {
        const ROUNDS_MAX: usize = 100;
        for _ in 0..ROUNDS_MAX {
            let wires: Vec<_> = self.wires.keys().copied().collect();
            if wires.is_empty() {
                return;
            }
            wires.into_iter().for_each(|(from, to)| self.deliver(from, to));
        }
        panic!("messages go on for ever");
    }

    fn step(&mut self, node: NodeId, input: Input<Message>) {
        let now = self.replica(node).now;
        self.step_at(node, now, input);
    }

    fn step_at(&mut self, node: NodeId, now: Nanos, input: Input<Message>) {
        let mut out = Vec::new();
        let state = self.nodes.get_mut(&node).unwrap();
        state.replica.as_mut().expect("it is up").step(now, input, &mut out);
        self.carry_out(node, out);
    }

    fn carry_out(&mut self, node: NodeId, effects: Vec<Effect<Message>>) {
        let mut syncs = false;
        for effect in effects {
            self.lines.extend(describe(node, &effect));
            match effect {
                Effect::Send { to, message } => {
                    self.wires.entry((node, to)).or_default().push_back(message);
                }
                Effect::SetTimer(_) | Effect::Reply { .. } | Effect::Note(_) => {}
                stored => {
                    syncs |= matches!(stored, Effect::Sync(_));
                    self.nodes.get_mut(&node).unwrap().disk.push(stored);
                }
            }
        }
        if syncs && !self.nodes[&node].slow_disk {
            self.sync(node);
        }
    }

    fn sync(&mut self, node: NodeId) {
        let state = self.nodes.get_mut(&node).unwrap();
        let stored = &mut state.stored;
        let mut last = SyncTicket(0);
        for effect in std::mem::take(&mut state.disk) {
            match effect {
                Effect::SaveHardState(hard_state) => stored.hard_state = hard_state,
                Effect::Put(entries) => {
                    for entry in entries {
                        stored.entries.retain(|held| held.slot != entry.slot);
                        stored.entries.push(entry);
                    }
                    stored.entries.sort_by_key(|entry| entry.slot);
                }
                Effect::SaveSnapshot { snapshot, log_from, .. } => {
                    stored.entries.retain(|entry| entry.slot >= log_from);
                    stored.snapshot = Some(snapshot);
                }
                Effect::Sync(ticket) => last = ticket,
                other => unreachable!("{other:?} is not asked for"),
            }
        }
        self.step(node, Input::Synced(last));
    }

    fn logs(&mut self) {
        for (node, state) in &self.nodes {
            let Some(replica) = &state.replica else {
                self.lines.push(format!("{} is down", name(*node)));
                continue;
            };
            let status = replica.status();
            let role = match status.role {
                Role::Follower => "follows",
                Role::Candidate => "asks",
                Role::Leader => "leads",
            };
            let base = replica.log().base();
            let from = if base.0 > 0 { format!("{} | ", base.0) } else { String::new() };
            let log = entries(replica.log().after(base));
            let (node, under, committed) =
                (name(*node), number(status.promised), status.committed.0);
            let line = format!("{node} {role} in {under}, committed {committed}: {from}{log}");
            self.lines.push(line.trim_end().to_owned());
        }
    }
}

fn write(assignment: &str) -> Command {
    let (key, value) = assignment.split_once('=').unwrap();
    Command::Write { key: key.into(), value: value.into() }
}

fn ballot(text: &str) -> Ballot {
    let (round, node) = text.split_once('.').unwrap();
    Ballot { round: round.parse().unwrap(), node: NodeId(node.parse().unwrap()) }
}

fn number(ballot: Ballot) -> String {
    format!("{}.{}", ballot.round, ballot.node.0)
}

/// Slot, `@`, ballot, and what it does.
fn entry(entry: &Entry) -> String {
    format!("{}@{}{}", entry.slot.0, number(entry.ballot), golden::payload(&entry.payload))
}

fn entries<'a>(list: impl IntoIterator<Item = &'a Arc<Entry>>) -> String {
    list.into_iter().map(|e| entry(e)).collect::<Vec<_>>().join(" ")
}

fn describe(node: NodeId, effect: &Effect<Message>) -> Option<String> {
    let node = name(node);
    Some(match effect {
        Effect::SaveHardState(HardState { promised }) => {
            format!("{node} promises {}", number(*promised))
        }
        Effect::Put(entries) => {
            let entries: Vec<String> = entries.iter().map(entry).collect();
            format!("{node} accepts {}", entries.join(" "))
        }
        Effect::SaveSnapshot { snapshot, log_from, .. } => {
            let last = snapshot.last_index.0;
            format!("{node} saves snapshot {last}, keeps the log from {}", log_from.0)
        }
        Effect::Send { to, message } => format!("{node} -> {}: {}", name(*to), say(message)),
        Effect::Reply { id, response } => {
            format!("{node} answers request {}: {}", id.0, answer(response))
        }
        Effect::Note(Note::Leading(ballot)) => format!("{node} leads in {}", number(*ballot)),
        Effect::Note(Note::SteppedDown(ballot)) => {
            format!("{node} steps down, in {}", number(*ballot))
        }
        Effect::Note(Note::Following(ballot, leader)) => {
            format!("{node} follows {} in {}", name(*leader), number(*ballot))
        }
        Effect::Note(Note::Campaigning(ballot)) => format!("{node} takes {}", number(*ballot)),
        _ => return None,
    })
}

fn say(message: &Message) -> String {
    let under = number(message.ballot());
    match message {
        Message::Prepare { committed, .. } => format!("prepare {under} after {}", committed.0),
        Message::Promise { committed, accepted, .. } => {
            format!("promise {under} committed {} [{}]", committed.0, entries(accepted))
        }
        Message::Accept { committed, entries: list, .. } => {
            format!("accept {under} committed {} [{}]", committed.0, entries(list))
        }
        Message::Accepted { first, last, .. } => {
            format!("accepted {under} {}-{}", first.0, last.0)
        }
        Message::Reject { promised, .. } => {
            format!("reject {under}, promised {}", number(*promised))
        }
        Message::Heartbeat { committed, round, .. } => {
            format!("heartbeat {round} {under} committed {}", committed.0)
        }
        Message::HeartbeatReply { round, .. } => format!("heartbeat {round} heard {under}"),
        Message::Fetch { committed, arrived, .. } => match arrived {
            Some((last, bytes)) => format!("fetch {under}, {bytes} bytes of snapshot {}", last.0),
            None => format!("fetch {under} after {}", committed.0),
        },
        Message::Chosen { committed, entries: list, .. } => {
            format!("chosen {under} committed {} [{}]", committed.0, entries(list))
        }
        Message::Piece { last, offset, data, done, .. } => {
            let end = if *done { ", the last" } else { "" };
            format!("snapshot {} {under}, {} bytes at {offset}{end}", last.0, data.len())
        }
    }
}
