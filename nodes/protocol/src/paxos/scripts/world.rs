//! What is Paxos's own in its scripts.

use std::sync::Arc;

use rand_chacha::ChaCha8Rng;

use crate::api::{Effect, Input, LogIndex, Nanos, NodeId, Note, Payload, Stored};
use crate::golden::{self, Scene, Scripted, World, id, name, write};
use crate::kv::SessionId;
use crate::paxos::node::Office;
use crate::paxos::{Ballot, Config, Entry, HardState, Message, Mutant, Replica, Role};

pub(super) struct Paxos;

impl Scripted for Paxos {
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
        let mut config = Config::new(id, scene.members.clone());
        config.snapshot_entries = scene.option("snapshot-slots", config.snapshot_entries);
        config.keep_entries = scene.option("keep-slots", config.keep_entries);
        config.accept_bytes_max = scene.option("bytes", 1 << 20) as usize;
        config.accepts_in_flight_max = scene.option("in-flight", 16) as usize;
        config.open_slots_max = scene.option("open-slots", config.open_slots_max);
        config.lease_reads = scene.option("lease", 0) == 1;
        config.mutant = scene.mutant;
        let mut replica = Replica::new(config, stored, Nanos(0), rng, out);
        // Long enough ago that it may promise.
        replica.quiet_until = Nanos(0);
        replica
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

    /// `stored n1 4.1 3@2.2:x=a`: a promise, and slots with ballots and values.
    fn stored(words: &[&str]) -> Stored<Message> {
        let [promised, entries @ ..] = words else { panic!("a promise is missing") };
        let entry = |text: &&str| {
            let (place, assignment) = text.split_once(':').unwrap();
            let (slot, under) = place.split_once('@').unwrap();
            let payload =
                Payload::Command { session: SessionId(0), sequence: 1, command: write(assignment) };
            Entry { slot: LogIndex(slot.parse().unwrap()), ballot: ballot(under), payload }
        };
        Stored {
            hard_state: HardState { promised: ballot(promised) },
            entries: entries.iter().map(entry).collect(),
            snapshot: None,
        }
    }

    fn command(world: &mut World<Self>, words: &[&str]) {
        match words {
            ["timeout", node] => timeout(world, id(node)),
            ["pass", node, milliseconds] => pass(world, id(node), milliseconds.parse().unwrap()),
            other => panic!("unknown command {other:?}"),
        }
    }

    fn standing(replica: &Replica) -> String {
        let status = replica.status();
        let role = match status.role {
            Role::Follower => "follows",
            Role::Candidate => "asks",
            Role::Leader => "leads",
        };
        let base = replica.log().base();
        let from = if base.0 > 0 { format!("{} | ", base.0) } else { String::new() };
        let log = entries(replica.log().after(base));
        let (under, committed) = (number(status.promised), status.committed.0);
        format!("{role} in {under}, committed {committed}: {from}{log}")
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
                Some((last, bytes)) => {
                    format!("fetch {under}, {bytes} bytes of snapshot {}", last.0)
                }
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

    fn does(effect: &Effect<Message>) -> String {
        match effect {
            Effect::SaveHardState(HardState { promised }) => {
                format!("promises {}", number(*promised))
            }
            Effect::Put(entries) => {
                let entries: Vec<String> = entries.iter().map(entry).collect();
                format!("accepts {}", entries.join(" "))
            }
            Effect::SaveSnapshot { snapshot, log_from, .. } => {
                let last = snapshot.last_index.0;
                format!("saves snapshot {last}, keeps the log from {}", log_from.0)
            }
            Effect::Note(Note::Leading(ballot)) => format!("leads in {}", number(*ballot)),
            Effect::Note(Note::SteppedDown(ballot)) => {
                format!("steps down, in {}", number(*ballot))
            }
            Effect::Note(Note::Following(ballot, leader)) => {
                format!("follows {} in {}", name(*leader), number(*ballot))
            }
            Effect::Note(Note::Campaigning(ballot)) => format!("takes {}", number(*ballot)),
            other => unreachable!("slots are stored one by one: {other:?}"),
        }
    }
}

/// The node's patience ends: a campaign, or a leader's heartbeat.
fn timeout(world: &mut World<Paxos>, node: NodeId) {
    let replica = world.replica(node);
    let due = match &replica.office {
        Office::Leader(leader) => leader.heartbeat_due,
        _ => replica.election_due,
    };
    world.step_at(node, due, Some(Input::Timer));
}

/// So much time, in which nothing happens.
fn pass(world: &mut World<Paxos>, node: NodeId, milliseconds: u64) {
    const MILLISECOND: u64 = 1_000_000;
    let now = Nanos(world.replica(node).now.0 + milliseconds * MILLISECOND);
    world.step_at(node, now, None);
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
