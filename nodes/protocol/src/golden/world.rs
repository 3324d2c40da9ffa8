//! What the commands of scripts do, whatever the protocol; what is a protocol's own, its [`Scripted`] says.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Display;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use super::{answer, id, name, perform, write};
use crate::api::{
    Effect, Input, LogEntry, Nanos, NodeId, RequestId, Stored, SyncTicket, Vocabulary,
};
use crate::kv::{Command, Request};

/// A protocol of which there are scripts.
pub(crate) trait Scripted: Sized {
    type Message: Vocabulary;
    type Replica;
    type Mutant: Copy + Display;

    /// A node of a cluster, with the settings that the script asks for.
    fn start(
        id: NodeId,
        scene: &Scene<Self>,
        stored: Stored<Self::Message>,
        rng: ChaCha8Rng,
        out: &mut Vec<Effect<Self::Message>>,
    ) -> Self::Replica;

    /// A replica takes inputs, or only looks at the clock.
    fn step(
        replica: &mut Self::Replica,
        now: Nanos,
        input: Option<Input<Self::Message>>,
        out: &mut Vec<Effect<Self::Message>>,
    );

    /// The time of a replica's last step.
    fn now(replica: &Self::Replica) -> Nanos;

    /// What a node has stored from before, by the words of a command `stored`.
    fn stored(words: &[&str]) -> Stored<Self::Message>;

    /// A command that only this protocol's scripts have.
    fn command(world: &mut World<Self>, words: &[&str]);

    /// How a replica stands, and what is in its log.
    fn standing(replica: &Self::Replica) -> String;

    /// What a message says.
    fn say(message: &Self::Message) -> String;

    /// What a node does that stores something, or notes it.
    fn does(effect: &Effect<Self::Message>) -> String;
}

/// How a script's cluster is.
pub(crate) struct Scene<P: Scripted> {
    pub(crate) members: Vec<NodeId>,
    options: BTreeMap<String, u64>,
    /// The mistake that all replicas make.
    pub(crate) mutant: Option<P::Mutant>,
}

impl<P: Scripted> Scene<P> {
    /// What the script sets, or what is usual.
    pub(crate) fn option(&self, name: &str, otherwise: u64) -> u64 {
        self.options.get(name).copied().unwrap_or(otherwise)
    }
}

struct Node<P: Scripted> {
    replica: Option<P::Replica>,
    stored: Stored<P::Message>,
    /// Storage effects and syncs that are not durable yet.
    disk: Vec<Effect<P::Message>>,
    slow_disk: bool,
    /// When its timer goes off.
    timer: Nanos,
}

/// Nodes, and the messages between them.
pub(crate) struct World<P: Scripted> {
    scene: Scene<P>,
    nodes: BTreeMap<NodeId, Node<P>>,
    wires: BTreeMap<(NodeId, NodeId), VecDeque<P::Message>>,
    /// Nodes that nothing reaches, and that reach nobody.
    cut: BTreeSet<NodeId>,
    /// Nothing is written down.
    quiet: bool,
    requests: u64,
    lines: Vec<String>,
}

impl<P: Scripted> World<P> {
    /// Of replicas that all make a mistake.
    pub(crate) fn of(mutant: Option<P::Mutant>) -> Self {
        Self {
            scene: Scene { members: Vec::new(), options: BTreeMap::new(), mutant },
            nodes: BTreeMap::new(),
            wires: BTreeMap::new(),
            cut: BTreeSet::new(),
            quiet: false,
            requests: 0,
            lines: Vec::new(),
        }
    }

    /// What happened since this was last asked.
    pub(super) fn take_lines(&mut self) -> Vec<String> {
        std::mem::take(&mut self.lines)
    }

    /// Does what a line asks for.
    pub(super) fn command(&mut self, words: &[&str]) {
        match words {
            ["quietly", rest @ ..] => {
                self.quiet = true;
                self.command(rest);
                self.quiet = false;
            }
            ["cluster", count, options @ ..] => self.cluster(count.parse().unwrap(), options),
            ["stored", node, words @ ..] => self.node(id(node)).stored = P::stored(words),
            ["start"] => self.scene.members.clone().into_iter().for_each(|node| self.start(node)),
            ["start" | "restart", nodes @ ..] => nodes.iter().for_each(|n| self.start(id(n))),
            ["crash", node] => {
                let node = self.node(id(node));
                node.replica = None;
                node.disk.clear();
            }
            ["slow-disk", node] => self.node(id(node)).slow_disk = true,
            ["sync", node] => self.sync(id(node)),
            ["deliver"] => self.deliver_all(),
            ["deliver", from, to] => self.deliver(id(from), id(to)),
            ["deliver-one", from, to] => self.deliver_one(id(from), id(to)),
            ["drop", from, to] => drop(self.wires.remove(&(id(from), id(to)))),
            ["drop", node] => self.lose(id(node)),
            ["drop"] => self.wires.clear(),
            ["cut", node] => {
                self.cut.insert(id(node));
                self.lose(id(node));
            }
            ["heal"] => self.cut.clear(),
            ["register", node] => self.request(id(node), Request::Register),
            ["read", node, key] => {
                let command = Command::Read { key: key.as_bytes().to_vec() };
                self.request(id(node), perform("0/0", command));
            }
            ["write", node, number, assignment] => {
                self.request(id(node), perform(number, write(assignment)));
            }
            ["log"] => self.logs(),
            own => P::command(self, own),
        }
    }

    fn node(&mut self, node: NodeId) -> &mut Node<P> {
        self.nodes.get_mut(&node).expect("a node of the cluster")
    }

    pub(crate) fn replica(&self, node: NodeId) -> &P::Replica {
        self.nodes[&node].replica.as_ref().expect("it is up")
    }

    /// When a node's timer goes off.
    pub(crate) fn timer(&self, node: NodeId) -> Nanos {
        self.nodes[&node].timer
    }

    fn cluster(&mut self, count: u16, options: &[&str]) {
        for option in options {
            let (name, value) = option.split_once('=').unwrap();
            self.scene.options.insert(name.to_owned(), value.parse().unwrap());
        }
        self.scene.members = (1..=count).map(NodeId).collect();
        let node = |_: &NodeId| Node {
            replica: None,
            stored: Stored::default(),
            disk: Vec::new(),
            slow_disk: false,
            timer: Nanos(0),
        };
        self.nodes = self.scene.members.iter().map(|id| (*id, node(id))).collect();
    }

    fn start(&mut self, node: NodeId) {
        let stored = self.node(node).stored.clone();
        let rng = ChaCha8Rng::seed_from_u64(u64::from(node.0));
        let mut out = Vec::new();
        let replica = P::start(node, &self.scene, stored, rng, &mut out);
        self.node(node).replica = Some(replica);
        self.carry_out(node, out);
    }

    pub(crate) fn request(&mut self, node: NodeId, request: Request) {
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

    fn lose(&mut self, node: NodeId) {
        self.wires.retain(|(from, to), _| *from != node && *to != node);
    }

    fn step(&mut self, node: NodeId, input: Input<P::Message>) {
        self.step_at(node, P::now(self.replica(node)), Some(input));
    }

    /// A node's time comes, with an input or with nothing.
    pub(crate) fn step_at(&mut self, node: NodeId, now: Nanos, input: Option<Input<P::Message>>) {
        let mut out = Vec::new();
        P::step(self.node(node).replica.as_mut().expect("it is up"), now, input, &mut out);
        self.carry_out(node, out);
    }

    fn carry_out(&mut self, node: NodeId, effects: Vec<Effect<P::Message>>) {
        let mut syncs = false;
        for effect in effects {
            if let Some(line) = describe::<P>(&effect).filter(|_| !self.quiet) {
                self.lines.push(format!("{} {line}", name(node)));
            }
            match effect {
                Effect::Send { to, .. } if self.cut.contains(&node) || self.cut.contains(&to) => {}
                Effect::Send { to, message } => {
                    self.wires.entry((node, to)).or_default().push_back(message);
                }
                Effect::SetTimer(at) => self.node(node).timer = at,
                Effect::Reply { .. } | Effect::Note(_) => {}
                stored => {
                    syncs |= matches!(stored, Effect::Sync(_));
                    self.node(node).disk.push(stored);
                }
            }
        }
        if syncs && !self.nodes[&node].slow_disk {
            self.sync(node);
        }
    }

    fn sync(&mut self, node: NodeId) {
        let Node { stored, disk, .. } = self.node(node);
        let mut last = SyncTicket(0);
        for effect in std::mem::take(disk) {
            match effect {
                Effect::SaveHardState(hard_state) => stored.hard_state = hard_state,
                Effect::Append(entries) => {
                    stored.entries.retain(|entry| entry.index() < entries[0].index());
                    stored.entries.extend(entries);
                }
                Effect::Put(entries) => {
                    for entry in entries {
                        stored.entries.retain(|held| held.index() != entry.index());
                        stored.entries.push(entry);
                    }
                    stored.entries.sort_by_key(LogEntry::index);
                }
                Effect::Truncate(first) => stored.entries.retain(|entry| entry.index() < first),
                Effect::SaveSnapshot { snapshot, log_from, keep_log } => {
                    stored.entries.retain(|entry| keep_log && entry.index() >= log_from);
                    stored.snapshot = Some(snapshot);
                }
                Effect::Sync(ticket) => last = ticket,
                other => unreachable!("{other:?} is not stored"),
            }
        }
        self.step(node, Input::Synced(last));
    }

    fn logs(&mut self) {
        for (node, state) in &self.nodes {
            let standing = state.replica.as_ref().map_or("is down".to_owned(), P::standing);
            self.lines.push(format!("{} {}", name(*node), standing.trim_end()));
        }
    }
}

fn describe<P: Scripted>(effect: &Effect<P::Message>) -> Option<String> {
    Some(match effect {
        Effect::Sync(_) | Effect::SetTimer(_) => return None,
        Effect::Send { to, message } => format!("-> {}: {}", name(*to), P::say(message)),
        Effect::Reply { id, response } => format!("answers request {}: {}", id.0, answer(response)),
        effect => P::does(effect),
    })
}
