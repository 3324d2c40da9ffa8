//! What a script's commands do, and how what happens is written down.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use crate::api::{
    Effect, Input, LogIndex, Nanos, NodeId, Note, Payload, RequestId, Stored, SyncTicket,
};
use crate::golden::{Stage, answer, id, name, payload, perform};
use crate::kv::{Command, Request};
use crate::zab::node::Office;
use crate::zab::{
    Config, Entry, Epoch, HardState, Message, Mutant, Replica, Role, Stance, Vote, Zxid,
};

#[derive(Default)]
struct Node {
    replica: Option<Replica>,
    stored: Stored<Message>,
    /// Storage effects and syncs that are not durable yet.
    disk: Vec<Effect<Message>>,
    slow_disk: bool,
    /// When its timer goes off.
    timer: Nanos,
}

/// Nodes, and the messages between them.
#[derive(Default)]
pub(super) struct World {
    nodes: BTreeMap<NodeId, Node>,
    wires: BTreeMap<(NodeId, NodeId), VecDeque<Message>>,
    /// Nodes that nothing reaches, and that reach nobody.
    cut: BTreeSet<NodeId>,
    options: BTreeMap<String, u64>,
    /// The mistake that all replicas make.
    mutant: Option<Mutant>,
    /// Nothing is written down.
    quiet: bool,
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
            ["quietly", rest @ ..] => {
                self.quiet = true;
                self.command(&rest.join(" "));
                self.quiet = false;
            }
            ["cluster", count, options @ ..] => self.cluster(count.parse().unwrap(), options),
            ["stored", node, accepted, current, log @ ..] => {
                self.stored(id(node), accepted, current, log);
            }
            ["start"] => {
                let nodes: Vec<_> = self.nodes.keys().copied().collect();
                nodes.into_iter().for_each(|node| self.start(node));
            }
            ["start", nodes @ ..] => nodes.iter().for_each(|node| self.start(id(node))),
            ["crash", node] => {
                let node = self.node(node);
                node.replica = None;
                node.disk.clear();
            }
            ["slow-disk", node] => self.node(node).slow_disk = true,
            ["sync", node] => self.sync(id(node)),
            ["timer", node] => {
                let due = self.node(node).timer;
                self.step_at(id(node), due, Input::Timer);
            }
            ["patience", node] => self.lose_patience(id(node)),
            ["deliver"] => self.deliver_all(),
            ["deliver", from, to] => self.deliver(id(from), id(to)),
            ["deliver-one", from, to] => self.deliver_one(id(from), id(to)),
            ["cut", node] => {
                let node = id(node);
                self.cut.insert(node);
                self.wires.retain(|(from, to), _| *from != node && *to != node);
            }
            ["heal"] => self.cut.clear(),
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
                let (key, value) = assignment.split_once('=').unwrap();
                let command = Command::Write { key: key.into(), value: value.into() };
                self.request(id(node), perform(number, command));
            }
            ["log"] => self.logs(),
            other => panic!("unknown command {other:?}"),
        }
    }
}

impl World {
    /// Of replicas that all make this mistake.
    pub(super) fn of(mutant: Option<Mutant>) -> World {
        World { mutant, ..World::default() }
    }

    fn node(&mut self, name: &str) -> &mut Node {
        self.nodes.get_mut(&id(name)).expect("a node of the cluster")
    }

    fn cluster(&mut self, count: u16, options: &[&str]) {
        for option in options {
            let (name, value) = option.split_once('=').unwrap();
            self.options.insert(name.to_owned(), value.parse().unwrap());
        }
        self.nodes = (1..=count).map(|n| (NodeId(n), Node::default())).collect();
    }

    /// `stored n1 4 3 1,1,3`: the accepted and the current epoch, and the epochs of the transactions.
    fn stored(&mut self, node: NodeId, accepted: &str, current: &str, log: &[&str]) {
        let epoch = |text: &str| Epoch(text.parse().unwrap());
        let stored = &mut self.nodes.get_mut(&node).unwrap().stored;
        stored.hard_state = HardState { accepted: epoch(accepted), current: epoch(current) };
        let epochs = log.iter().flat_map(|log| log.split(',')).map(epoch);
        stored.entries = (1..)
            .zip(epochs)
            .map(|(index, epoch)| Entry { index: LogIndex(index), epoch, payload: Payload::Noop })
            .collect();
    }

    fn start(&mut self, node: NodeId) {
        let option = |name: &str, otherwise| self.options.get(name).copied().unwrap_or(otherwise);
        let mut config = Config::new(node, self.nodes.keys().copied().collect());
        config.snapshot_entries = option("snapshot-entries", config.snapshot_entries);
        config.keep_entries = option("keep-entries", config.keep_entries);
        config.propose_bytes_max = option("piece-bytes", 1 << 20) as usize;
        config.local_reads = option("local-reads", 0) == 1;
        config.mutant = self.mutant;
        let state = self.nodes.get_mut(&node).unwrap();
        let mut out = Vec::new();
        let rng = ChaCha8Rng::seed_from_u64(u64::from(node.0));
        let stored = state.stored.clone();
        state.replica = Some(Replica::new(config, stored, Nanos(0), rng, &mut out));
        self.carry_out(node, out);
    }

    /// A follower that hears nothing, or a leader that hears no quorum, for as long as it takes.
    fn lose_patience(&mut self, node: NodeId) {
        const LONG: u64 = 1_000_000_000;
        let replica = self.nodes[&node].replica.as_ref().unwrap();
        let times = if matches!(replica.office, Office::Leading(_)) { 2 } else { 1 };
        for _ in 0..times {
            let now = self.nodes[&node].replica.as_ref().unwrap().now.0;
            self.step_at(node, Nanos(now + LONG), Input::Timer);
        }
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

    fn deliver_one(&mut self, from: NodeId, to: NodeId) {
        let message = self.wires.get_mut(&(from, to)).and_then(VecDeque::pop_front);
        self.step(to, Input::Receive { from, message: message.expect("a message on its way") });
    }

    /// Until nothing is on its way.
    fn deliver_all(&mut self) {
        const ROUNDS_MAX: usize = 100;
        for _ in 0..ROUNDS_MAX {
            self.wires.retain(|_, messages| !messages.is_empty());
            let wires: Vec<_> = self.wires.keys().copied().collect();
            if wires.is_empty() {
                return;
            }
            wires.into_iter().for_each(|(from, to)| self.deliver(from, to));
        }
        panic!("messages go on for ever");
    }

    fn step(&mut self, node: NodeId, input: Input<Message>) {
        let now = self.nodes[&node].replica.as_ref().unwrap().now;
        self.step_at(node, now, input);
    }

    fn step_at(&mut self, node: NodeId, now: Nanos, input: Input<Message>) {
        let mut out = Vec::new();
        self.nodes.get_mut(&node).unwrap().replica.as_mut().unwrap().step(now, input, &mut out);
        self.carry_out(node, out);
    }

    fn carry_out(&mut self, node: NodeId, effects: Vec<Effect<Message>>) {
        let mut syncs = false;
        for effect in effects {
            if let Some(line) = describe(node, &effect).filter(|_| !self.quiet) {
                self.lines.push(line);
            }
            match effect {
                Effect::Send { to, .. } if self.cut.contains(&node) || self.cut.contains(&to) => {}
                Effect::Send { to, message } => {
                    self.wires.entry((node, to)).or_default().push_back(message);
                }
                Effect::SetTimer(at) => self.nodes.get_mut(&node).unwrap().timer = at,
                Effect::Reply { .. } | Effect::Note(_) => {}
                effect => {
                    syncs |= matches!(effect, Effect::Sync(_));
                    self.nodes.get_mut(&node).unwrap().disk.push(effect);
                }
            }
        }
        if syncs && !self.nodes[&node].slow_disk {
            self.sync(node);
        }
    }

    fn sync(&mut self, node: NodeId) {
        let state = self.nodes.get_mut(&node).unwrap();
        let mut last = SyncTicket(0);
        for effect in std::mem::take(&mut state.disk) {
            match effect {
                Effect::SaveHardState(hard_state) => state.stored.hard_state = hard_state,
                Effect::Append(entries) => {
                    state.stored.entries.retain(|entry| entry.index < entries[0].index);
                    state.stored.entries.extend(entries);
                }
                Effect::Truncate(first) => {
                    state.stored.entries.retain(|entry| entry.index < first);
                }
                Effect::SaveSnapshot { snapshot, log_from, keep_log } => {
                    state.stored.entries.retain(|entry| keep_log && entry.index >= log_from);
                    state.stored.snapshot = Some(snapshot);
                }
                Effect::Sync(ticket) => last = ticket,
                _ => {}
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
            let role = match (status.role, status.serving) {
                (Role::Looking, _) => "looks",
                (Role::Following, true) => "follows",
                (Role::Following, false) => "joins",
                (Role::Leading, true) => "leads",
                (Role::Leading, false) => "would lead",
            };
            let base = replica.history().base();
            let entries: Vec<String> = (base.counter.0 + 1..=status.last.counter.0)
                .filter_map(|index| replica.history().get(LogIndex(index)).map(|e| entry(e)))
                .collect();
            let HardState { accepted, current } = status.epochs;
            let from =
                if base.counter.0 > 0 { format!("{} | ", zxid(base)) } else { String::new() };
            let line = format!(
                "{} {role}, epochs {}/{}, committed {}: {from}{}",
                name(*node),
                accepted.0,
                current.0,
                status.committed.0,
                entries.join(" ")
            );
            self.lines.push(line.trim_end().to_owned());
        }
    }
}

/// Epoch, colon, counter, as the papers have it.
fn zxid(zxid: Zxid) -> String {
    format!("{}:{}", zxid.epoch.0, zxid.counter.0)
}

fn entry(entry: &Entry) -> String {
    format!("{}{}", zxid(entry.zxid()), payload(&entry.payload))
}

fn list(entries: impl Iterator<Item = String>) -> String {
    entries.collect::<Vec<_>>().join(" ")
}

fn describe(node: NodeId, effect: &Effect<Message>) -> Option<String> {
    let node = name(node);
    Some(match effect {
        Effect::SaveHardState(HardState { accepted, current }) => {
            format!("{node} saves epochs {}/{}", accepted.0, current.0)
        }
        Effect::Append(entries) => format!("{node} stores {}", list(entries.iter().map(entry))),
        Effect::Truncate(first) => format!("{node} cuts its log from {}", first.0),
        Effect::SaveSnapshot { snapshot, log_from, keep_log } => {
            let log = if *keep_log {
                format!("keeps its log from {}", log_from.0)
            } else {
                "drops its log".to_owned()
            };
            let (epoch, counter) = (snapshot.last_era.0, snapshot.last_index.0);
            format!("{node} saves snapshot {epoch}:{counter}, {log}")
        }
        Effect::Send { to, message } => format!("{node} -> {}: {}", name(*to), say(message)),
        Effect::Reply { id, response } => {
            format!("{node} answers request {}: {}", id.0, answer(response))
        }
        Effect::Note(Note::Leading(epoch)) => format!("{node} leads {epoch}"),
        Effect::Note(Note::SteppedDown(epoch)) => format!("{node} steps down, in {epoch}"),
        Effect::Note(Note::Following(epoch, leader)) => {
            format!("{node} follows {} in {epoch}", name(*leader))
        }
        Effect::Note(Note::Campaigning(_)) => format!("{node} looks"),
        Effect::Put(_) | Effect::Sync(_) | Effect::SetTimer(_) => return None,
    })
}

fn vote(vote: &Vote) -> String {
    let leader = vote.leader.map_or("nobody".to_owned(), name);
    format!("{leader} with {}/{}", vote.epoch.0, zxid(vote.last))
}

fn say(message: &Message) -> String {
    match message {
        Message::Notification { round, vote: v, stance } => {
            let stance = match stance {
                Stance::Looking => "",
                Stance::Decided => ", decided",
                Stance::Established => ", established",
            };
            format!("round {round}: {}{stance}", vote(v))
        }
        Message::FollowerInfo { accepted } => format!("CEPOCH {}", accepted.0),
        Message::NewEpoch { epoch } => format!("NEWEPOCH {}", epoch.0),
        Message::AckEpoch { epoch, current, last, fresh } => {
            let fresh = if *fresh { "" } else { ", not to be counted" };
            format!("ACKEPOCH {}, has {}/{}{fresh}", epoch.0, current.0, zxid(*last))
        }
        Message::Diff { after, .. } => format!("DIFF after {}", zxid(*after)),
        Message::Trunc { to, .. } => format!("TRUNC to {}", zxid(*to)),
        Message::Snap { last, offset, data, done, .. } => {
            let end = if *done { ", the last" } else { "" };
            format!("SNAP of {}, {} bytes at {offset}{end}", zxid(*last), data.len())
        }
        Message::SnapReceived { last, received, .. } => {
            format!("SNAP of {}, {received} bytes received", zxid(*last))
        }
        Message::NewLeader { epoch, last } => format!("NEWLEADER {} at {}", epoch.0, zxid(*last)),
        Message::AckNewLeader { epoch } => format!("ACK of NEWLEADER {}", epoch.0),
        Message::UpToDate { commit, .. } => format!("UPTODATE, commit {}", commit.0),
        Message::Propose { prev, entries, commit, .. } => {
            let entries = list(entries.iter().map(|e| entry(e)));
            format!("PROPOSE after {}: {entries}, commit {}", zxid(*prev), commit.0)
        }
        Message::Ack { to, .. } => format!("ACK {}", to.0),
        Message::Commit { commit, .. } => format!("COMMIT {}", commit.0),
        Message::Ping { round, sent, commit, .. } => {
            format!("ping {round}, sent {}, commit {}", sent.0, commit.0)
        }
        Message::Pong { round, durable, .. } => format!("pong {round}, durable {}", durable.0),
        Message::Forward { number, .. } => format!("forwards {number}"),
        Message::Forwarded { number, entered: Some(index), .. } => {
            format!("takes {number} as {}", index.0)
        }
        Message::Forwarded { number, entered: None, .. } => format!("does not take {number}"),
        Message::Sync { number, .. } => format!("sync {number}"),
        Message::Synced { number, commit, .. } => format!("sync {number}: {}", commit.0),
    }
}
