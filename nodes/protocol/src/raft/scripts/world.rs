//! What is Raft's own in its scripts.

use std::collections::BTreeSet;

use rand_chacha::ChaCha8Rng;

use crate::api::{Effect, Entry, Input, LogIndex, Nanos, NodeId, Note, Payload, Stored, Term};
use crate::golden::{self, Scene, Scripted, World, id, name};
use crate::kv::Request;
use crate::membership::{Change, Membership};
use crate::raft::message::{AppendOutcome, HardState, Message, Position};
use crate::raft::node::{Office, Replica};
use crate::raft::{Config, Mutant, Role};

pub(super) struct Raft;

impl Scripted for Raft {
    type Message = Message;
    type Replica = Replica;
    type Mutant = Mutant;

    fn start(
        id: NodeId,
        scene: &Scene<Self>,
        stored: Stored<Message>,
        rng: ChaCha8Rng,
        out: &mut Vec<Effect<Message>>,
    ) -> Replica {
        let members = &scene.members;
        let voters = scene.option("voters", members.len() as u64) as usize;
        let mut config = Config::new(id, members[..voters].to_vec());
        config.reachable = members.clone();
        config.snapshot_entries = scene.option("snapshot-entries", config.snapshot_entries);
        config.keep_entries = scene.option("keep-entries", config.keep_entries);
        config.append_bytes_max = scene.option("append-bytes", 1 << 20) as usize;
        config.append_entries_max =
            scene.option("append-entries", config.append_entries_max as u64) as usize;
        config.lease_reads = scene.option("lease", 0) == 1;
        let late = (scene.option("late-lease", 0) == 1).then_some(Mutant::LeaseFromReceipt);
        config.mutant = scene.mutant.or(late);
        Replica::new(config, stored, Nanos(0), rng, out)
    }

    fn step(
        replica: &mut Replica,
        now: Nanos,
        input: Option<Input<Message>>,
        out: &mut Vec<Effect<Message>>,
    ) {
        replica.step_all(now, input, out);
    }

    fn now(replica: &Replica) -> Nanos {
        replica.now
    }

    /// `stored n1 4 1,1,4`: a term, and the terms of the entries.
    fn stored(words: &[&str]) -> Stored<Message> {
        let [term, log] = words else { panic!("a term and a log, not {words:?}") };
        let term_of = |word: &str| Term(word.parse().unwrap());
        let entry = |(index, term)| Entry { index: LogIndex(index), term, payload: Payload::Noop };
        Stored {
            hard_state: HardState { term: term_of(term), vote: None },
            entries: (1..).zip(log.split(',').map(term_of)).map(entry).collect(),
            snapshot: None,
        }
    }

    fn command(world: &mut World<Self>, words: &[&str]) {
        let mut change = |node: &str, change| world.request(id(node), Request::Change(change));
        match words {
            ["add", node, learner] => change(node, Change::AddLearner(id(learner))),
            ["promote", node, learner] => change(node, Change::Promote(id(learner))),
            ["remove", node, member] => change(node, Change::Remove(id(member))),
            ["voters", node, voters @ ..] => {
                change(node, Change::Voters(voters.iter().map(|voter| id(voter)).collect()));
            }
            ["transfer", node, to] => world.request(id(node), Request::Transfer(id(to))),
            ["timeout", node] => timeout(world, id(node)),
            ["check-quorum", node] => check_quorum(world, id(node)),
            ["wait", node] => wait(world, id(node)),
            ["pass", node, milliseconds] => pass(world, id(node), milliseconds.parse().unwrap()),
            other => panic!("unknown command {other:?}"),
        }
    }

    fn standing(replica: &Replica) -> String {
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
        let from = if base.index.0 > 0 { format!("{} | ", position(base)) } else { String::new() };
        format!("{role} in term {term}, committed {committed}: {from}{}", entries.join(" "))
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
            Message::VoteReply { term, granted } => {
                format!("vote {} term {}", yes(granted), term.0)
            }
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
                format!(
                    "snapshot term {} of {}, {received} bytes received",
                    term.0,
                    position(*last)
                )
            }
        }
    }

    fn does(effect: &Effect<Message>) -> String {
        match effect {
            Effect::SaveHardState(HardState { term, vote }) => {
                let vote = vote.map_or("nobody".to_owned(), name);
                format!("saves term {}, vote for {vote}", term.0)
            }
            Effect::Append(entries) => {
                let entries: Vec<String> = entries.iter().map(entry).collect();
                format!("stores {}", entries.join(" "))
            }
            Effect::SaveSnapshot { snapshot, log_from, keep_log } => {
                let log = if *keep_log {
                    format!("keeps the log from {}", log_from.0)
                } else {
                    "drops its log".to_owned()
                };
                format!("saves snapshot {}@{}, {log}", snapshot.last_index.0, snapshot.last_era.0)
            }
            Effect::Note(Note::Leading(term)) => format!("leads term {}", term.0),
            Effect::Note(Note::SteppedDown(term)) => format!("steps down, in term {}", term.0),
            Effect::Note(Note::Following(term, leader)) => {
                format!("follows {} in term {}", name(*leader), term.0)
            }
            Effect::Note(Note::Campaigning(term)) => format!("aims at term {}", term.0),
            other => unreachable!("a log of Raft is replaced from an entry on: {other:?}"),
        }
    }
}

/// The node's patience ends: an election, or a leader's heartbeat.
fn timeout(world: &mut World<Raft>, node: NodeId) {
    let replica = world.replica(node);
    let due = match &replica.office {
        Office::Leader(leader) => leader.heartbeat_due,
        _ => replica.election_due,
    };
    world.step_at(node, due, Some(Input::Timer));
}

fn check_quorum(world: &mut World<Raft>, node: NodeId) {
    let Office::Leader(leader) = &world.replica(node).office else {
        panic!("{} does not lead", name(node));
    };
    let due = leader.quorum_due;
    world.step_at(node, due, Some(Input::Timer));
}

/// For as long as a leader that says nothing is trusted.
fn wait(world: &mut World<Raft>, node: NodeId) {
    let replica = world.replica(node);
    let patience = replica.config.election_timeout.start().0;
    world.step_at(node, Nanos(replica.now.0 + patience), None);
}

/// So much time, in which the timer goes off if it was set to.
fn pass(world: &mut World<Raft>, node: NodeId, milliseconds: u64) {
    const MILLISECOND: u64 = 1_000_000;
    let now = Nanos(world.replica(node).now.0 + milliseconds * MILLISECOND);
    let due = world.timer(node);
    if due <= now {
        world.step_at(node, due, Some(Input::Timer));
    }
    world.step_at(node, now, None);
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
    let list = |nodes: &BTreeSet<NodeId>| {
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
