//! What a script's commands do, and how what happens is written down.

use std::collections::{BTreeMap, VecDeque};

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use crate::api::{
    Effect, Entry, Input, LogIndex, Nanos, NodeId, Note, Payload, RequestId, Stored, SyncTicket,
    Term,
};
use crate::golden::{self, Stage, answer, id, name, perform};
use crate::kv::{Command, Request};
use crate::membership::{Change, Membership};
use crate::raft::message::{AppendOutcome, HardState, Message, Position};
use crate::raft::node::{Office, Replica};
use crate::raft::{Config, Mutant, Role};

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
            ["stored", node, term, log] => self.stored(id(node), term, log),
            ["start"] => self
                .nodes
                .keys()
                .copied()
                .collect::<Vec<_>>()
                .into_iter()
                .for_each(|n| self.start(n)),
            ["restart", node] => self.start(id(node)),
            ["crash", node] => {
                let node = self.node(node);
                node.replica = None;
                node.disk.clear();
            }
            ["slow-disk", node] => self.node(node).slow_disk = true,
            ["sync", node] => self.sync(id(node)),
            ["timeout", node] => self.timeout(id(node)),
            ["wait", node] => self.wait(id(node)),
            ["pass", node, milliseconds] => self.pass(id(node), milliseconds.parse().unwrap()),
            ["check-quorum", node] => self.check_quorum(id(node)),
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
                let (key, value) = assignment.split_once('=').unwrap();
                let command = Command::Write { key: key.into(), value: value.into() };
                self.request(id(node), perform(number, command));
            }
            ["add", node, learner] => self.change(node, Change::AddLearner(id(learner))),
            ["promote", node, learner] => self.change(node, Change::Promote(id(learner))),
            ["remove", node, member] => self.change(node, Change::Remove(id(member))),
            ["voters", node, voters @ ..] => {
                let voters = voters.iter().map(|voter| id(voter)).collect();
                self.change(node, Change::Voters(voters));
            }
            ["transfer", node, to] => self.request(id(node), Request::Transfer(id(to))),
            ["log"] => self.logs(),
            other => panic!("unknown command {other:?}"),
        }
    }
}

impl World {
    /// Of replicas that all make a mistake.
    pub(super) fn of(mutant: Option<Mutant>) -> Self {
        Self { mutant, ..Self::default() }
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

    /// `stored n1 4 1,1,4`: a term, and the terms of the entries.
    fn stored(&mut self, node: NodeId, term: &str, log: &str) {
        let stored = &mut self.nodes.get_mut(&node).unwrap().stored;
        stored.hard_state = HardState { term: Term(term.parse().unwrap()), vote: None };
        let terms = log.split(',').map(|term| Term(term.parse().unwrap()));
        stored.entries = (1..)
            .zip(terms)
            .map(|(index, term)| Entry { index: LogIndex(index), term, payload: Payload::Noop })
            .collect();
    }

    fn start(&mut self, node: NodeId) {
        let option = |name: &str, otherwise| self.options.get(name).copied().unwrap_or(otherwise);
        let voters = option("voters", self.nodes.len() as u64) as usize;
        let mut config = Config::new(node, self.nodes.keys().copied().take(voters).collect());
        config.reachable = self.nodes.keys().copied().collect();
        config.snapshot_entries = option("snapshot-entries", config.snapshot_entries);
        config.keep_entries = option("keep-entries", config.keep_entries);
        config.append_bytes_max = option("append-bytes", 1 << 20) as usize;
        config.lease_reads = option("lease", 0) == 1;
        let late = (option("late-lease", 0) == 1).then_some(Mutant::LeaseFromReceipt);
        config.mutant = self.mutant.or(late);
        config.append_entries_max =
            option("append-entries", config.append_entries_max as u64) as usize;
        let state = self.nodes.get_mut(&node).unwrap();
        let mut out = Vec::new();
        let rng = ChaCha8Rng::seed_from_u64(u64::from(node.0));
        let stored = state.stored.clone();
        state.replica = Some(Replica::new(config, stored, Nanos(0), rng, &mut out));
        self.carry_out(node, out);
    }

    /// The node's patience ends: an election, or a leader's heartbeat.
    fn timeout(&mut self, node: NodeId) {
        let replica = self.nodes[&node].replica.as_ref().unwrap();
        let due = match &replica.office {
            Office::Leader(leader) => leader.heartbeat_due,
            _ => replica.election_due,
        };
        self.step_at(node, due, Input::Timer);
    }

    /// For as long as a leader that says nothing is trusted.
    fn wait(&mut self, node: NodeId) {
        let replica = self.nodes.get_mut(&node).unwrap().replica.as_mut().unwrap();
        let patience = replica.config.election_timeout.start().0;
        let mut out = Vec::new();
        replica.step_all(Nanos(replica.now.0 + patience), [], &mut out);
        self.carry_out(node, out);
    }

    /// So much time, in which the timer goes off if it was set to.
    fn pass(&mut self, node: NodeId, milliseconds: u64) {
        const MILLISECOND: u64 = 1_000_000;
        let state = &self.nodes[&node];
        let now = state.replica.as_ref().unwrap().now.0 + milliseconds * MILLISECOND;
        let due = state.timer;
        if due.0 <= now {
            self.step_at(node, due, Input::Timer);
        }
        let mut out = Vec::new();
        let replica = self.nodes.get_mut(&node).unwrap().replica.as_mut().unwrap();
        replica.step_all(Nanos(now), [], &mut out);
        self.carry_out(node, out);
    }

    fn change(&mut self, node: &str, change: Change) {
        self.request(id(node), Request::Change(change));
    }

    fn check_quorum(&mut self, node: NodeId) {
        let Office::Leader(leader) = &self.nodes[&node].replica.as_ref().unwrap().office else {
            panic!("{} does not lead", name(node));
        };
        let due = leader.quorum_due;
        self.step_at(node, due, Input::Timer);
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
            if let Some(line) = describe(node, &effect) {
                self.lines.push(line);
            }
            match effect {
                Effect::Send { to, message } => {
                    self.wires.entry((node, to)).or_default().push_back(message);
                }
                Effect::Put(_) | Effect::Truncate(_) => {
                    unreachable!("a log of Raft is replaced from an entry on")
                }
                Effect::Sync(_)
                | Effect::SaveHardState(_)
                | Effect::Append(_)
                | Effect::SaveSnapshot { .. } => {
                    syncs |= matches!(effect, Effect::Sync(_));
                    self.nodes.get_mut(&node).unwrap().disk.push(effect);
                }
                Effect::SetTimer(at) => self.nodes.get_mut(&node).unwrap().timer = at,
                Effect::Reply { .. } | Effect::Note(_) => {}
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
            let role = match status.role {
                Role::Follower => "follows",
                Role::PreCandidate => "asks",
                Role::Candidate => "campaigns",
                Role::Leader => "leads",
            };
            let base = replica.log().base();
            let entries: Vec<String> = (base.index.0 + 1..=status.last.index.0)
                .filter_map(|index| replica.log().get(LogIndex(index)).map(|e| entry(e)))
                .collect();
            let (term, committed) = (status.hard_state.term.0, status.committed.0);
            let from =
                if base.index.0 > 0 { format!("{} | ", position(base)) } else { String::new() };
            let log = entries.join(" ");
            let line = format!(
                "{} {role} in term {term}, committed {committed}: {from}{log}",
                name(*node)
            );
            self.lines.push(line.trim_end().to_owned());
        }
    }
}

/// Index, `@`, term.
fn position(position: Position) -> String {
    format!("{}@{}", position.index.0, position.term.0)
}

fn entry(entry: &Entry) -> String {
    let what = match &entry.payload {
        Payload::Membership(membership) => format!(":{}", members(membership)),
        other => golden::payload(other),
    };
    format!("{}{what}", position(Position { term: entry.term, index: entry.index }))
}

/// `voters 1,2`, with those of the past and learners where there are any.
fn members(membership: &Membership) -> String {
    let list = |nodes: &std::collections::BTreeSet<NodeId>| {
        nodes.iter().map(|node| node.0.to_string()).collect::<Vec<_>>().join(",")
    };
    let mut text = format!("voters({})", list(&membership.voters));
    if membership.is_joint() {
        text += &format!("and({})", list(&membership.outgoing));
    }
    if !membership.learners.is_empty() {
        text += &format!("learners({})", list(&membership.learners));
    }
    text
}

fn describe(node: NodeId, effect: &Effect<Message>) -> Option<String> {
    let node = name(node);
    Some(match effect {
        Effect::SaveHardState(HardState { term, vote }) => {
            let vote = vote.map_or("nobody".to_owned(), name);
            format!("{node} saves term {}, vote for {vote}", term.0)
        }
        Effect::Append(entries) => {
            let entries: Vec<String> = entries.iter().map(entry).collect();
            format!("{node} stores {}", entries.join(" "))
        }
        Effect::SaveSnapshot { snapshot, log_from, keep_log } => {
            let log = if *keep_log {
                format!("keeps the log from {}", log_from.0)
            } else {
                "drops its log".to_owned()
            };
            format!(
                "{node} saves snapshot {}@{}, {log}",
                snapshot.last_index.0, snapshot.last_era.0
            )
        }
        Effect::Send { to, message } => format!("{node} -> {}: {}", name(*to), say(message)),
        Effect::Reply { id, response } => {
            format!("{node} answers request {}: {}", id.0, answer(response))
        }
        Effect::Note(Note::Leading(term)) => format!("{node} leads term {}", term.0),
        Effect::Note(Note::SteppedDown(term)) => format!("{node} steps down, in term {}", term.0),
        Effect::Note(Note::Following(term, leader)) => {
            format!("{node} follows {} in term {}", name(*leader), term.0)
        }
        Effect::Note(Note::Campaigning(term)) => format!("{node} aims at term {}", term.0),
        Effect::Put(_) | Effect::Truncate(_) | Effect::Sync(_) | Effect::SetTimer(_) => {
            return None;
        }
    })
}

fn say(message: &Message) -> String {
    let yes = |granted: &bool| if *granted { "yes" } else { "no" };
    match message {
        Message::PreVote { term, last } => {
            format!("pre-vote term {} last {}", term.0, position(*last))
        }
        Message::PreVoteReply { term, granted } => {
            format!("pre-vote {} term {}", yes(granted), term.0)
        }
        Message::Vote { term, last, transfer } => {
            let why = if *transfer { ", by transfer" } else { "" };
            format!("vote term {} last {}{why}", term.0, position(*last))
        }
        Message::VoteReply { term, granted } => format!("vote {} term {}", yes(granted), term.0),
        Message::Append { term, prev, entries, commit } => {
            let entries: Vec<String> = entries.iter().map(|e| entry(e)).collect();
            let (term, commit, prev) = (term.0, commit.0, position(*prev));
            format!("append term {term} after {prev} commit {commit} [{}]", entries.join(" "))
        }
        Message::AppendReply { term, outcome } => {
            let outcome = match outcome {
                AppendOutcome::Matched(index) => format!("matched {}", index.0),
                AppendOutcome::Conflict { prev, term: Some(term), first } => {
                    format!("conflict at {}: term {} from {}", prev.0, term.0, first.0)
                }
                AppendOutcome::Conflict { prev, first, .. } => {
                    format!("conflict at {}: nothing from {}", prev.0, first.0)
                }
                AppendOutcome::Stale => "stale".to_owned(),
            };
            format!("append term {} {outcome}", term.0)
        }
        Message::Heartbeat { term, commit, round } => {
            format!("heartbeat {round} term {} commit {}", term.0, commit.0)
        }
        Message::HeartbeatReply { term, round } => {
            format!("heartbeat {round} heard term {}", term.0)
        }
        Message::InstallSnapshot { term, last, offset, data, done } => {
            let end = if *done { ", the last" } else { "" };
            let (term, last, size) = (term.0, position(*last), data.len());
            format!("snapshot term {term} of {last}, {size} bytes at {offset}{end}")
        }
        Message::TimeoutNow { term } => format!("take over from term {}", term.0),
        Message::InstallSnapshotReply { term, last, received } => {
            format!("snapshot term {} of {}, {received} bytes received", term.0, position(*last))
        }
    }
}
