//! What is Zab's own in its scripts.

use rand_chacha::ChaCha8Rng;

use crate::api::{Effect, Input, LogIndex, Nanos, NodeId, Note, Payload, Stored};
use crate::golden::{Scene, Scripted, World, id, name, payload};
use crate::zab::node::Office;
use crate::zab::{
    Config, Entry, Epoch, HardState, Message, Mutant, Replica, Role, Stance, Vote, Zxid,
};

pub(super) struct Zab;

impl Scripted for Zab {
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
        config.snapshot_entries = scene.option("snapshot-entries", config.snapshot_entries);
        config.keep_entries = scene.option("keep-entries", config.keep_entries);
        config.propose_bytes_max = scene.option("piece-bytes", 1 << 20) as usize;
        config.local_reads = scene.option("local-reads", 0) == 1;
        config.mutant = scene.mutant;
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

    /// `stored n1 4 3 1,1,3`: the accepted and the current epoch, and the epochs of the transactions.
    fn stored(words: &[&str]) -> Stored<Message> {
        let [accepted, current, log @ ..] = words else { panic!("two epochs, not {words:?}") };
        let epoch = |text: &str| Epoch(text.parse().unwrap());
        let entry =
            |(index, epoch)| Entry { index: LogIndex(index), epoch, payload: Payload::Noop };
        let epochs = log.iter().flat_map(|log| log.split(',')).map(epoch);
        Stored {
            hard_state: HardState { accepted: epoch(accepted), current: epoch(current) },
            entries: (1..).zip(epochs).map(entry).collect(),
            snapshot: None,
        }
    }

    fn command(world: &mut World<Self>, words: &[&str]) {
        match words {
            ["timer", node] => {
                let due = world.timer(id(node));
                world.step_at(id(node), due, Some(Input::Timer));
            }
            ["patience", node] => lose_patience(world, id(node)),
            other => panic!("unknown command {other:?}"),
        }
    }

    fn standing(replica: &Replica) -> String {
        let status = replica.status();
        let role = match (status.role, status.serving) {
            (Role::Looking, _) => "looks",
            (Role::Following, true) => "follows",
            (Role::Following, false) => "joins",
            (Role::Leading, true) => "leads",
            (Role::Leading, false) => "would lead",
        };
        let base = replica.history().base();
        let entries = (base.counter.0 + 1..=status.last.counter.0)
            .filter_map(|index| replica.history().get(LogIndex(index)).map(|e| entry(e)));
        let HardState { accepted, current } = status.epochs;
        let from = if base.counter.0 > 0 { format!("{} | ", zxid(base)) } else { String::new() };
        let (epochs, committed) = (format!("{}/{}", accepted.0, current.0), status.committed.0);
        format!("{role}, epochs {epochs}, committed {committed}: {from}{}", list(entries))
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
            Message::NewLeader { epoch, last } => {
                format!("NEWLEADER {} at {}", epoch.0, zxid(*last))
            }
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

    fn does(effect: &Effect<Message>) -> String {
        match effect {
            Effect::SaveHardState(HardState { accepted, current }) => {
                format!("saves epochs {}/{}", accepted.0, current.0)
            }
            Effect::Append(entries) => format!("stores {}", list(entries.iter().map(entry))),
            Effect::Truncate(first) => format!("cuts its log from {}", first.0),
            Effect::SaveSnapshot { snapshot, log_from, keep_log } => {
                let log = if *keep_log {
                    format!("keeps its log from {}", log_from.0)
                } else {
                    "drops its log".to_owned()
                };
                let (epoch, counter) = (snapshot.last_era.0, snapshot.last_index.0);
                format!("saves snapshot {epoch}:{counter}, {log}")
            }
            Effect::Note(Note::Leading(epoch)) => format!("leads {epoch}"),
            Effect::Note(Note::SteppedDown(epoch)) => format!("steps down, in {epoch}"),
            Effect::Note(Note::Following(epoch, leader)) => {
                format!("follows {} in {epoch}", name(*leader))
            }
            Effect::Note(Note::Campaigning(_)) => "looks".to_owned(),
            other => unreachable!("a history is appended to and cut: {other:?}"),
        }
    }
}

/// A follower that hears nothing, or a leader that hears no quorum, for as long as it takes.
fn lose_patience(world: &mut World<Zab>, node: NodeId) {
    const LONG: u64 = 1_000_000_000;
    let times = if matches!(world.replica(node).office, Office::Leading(_)) { 2 } else { 1 };
    for _ in 0..times {
        let now = world.replica(node).now.0;
        world.step_at(node, Nanos(now + LONG), Some(Input::Timer));
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

fn vote(vote: &Vote) -> String {
    let leader = vote.leader.map_or("nobody".to_owned(), name);
    format!("{leader} with {}/{}", vote.epoch.0, zxid(vote.last))
}
