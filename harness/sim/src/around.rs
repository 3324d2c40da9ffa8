//! What surrounds a node while it acts: its disk, its peers, its clients, and the weather between them.

use keelhaul_nemesis::Moment;
use keelhaul_protocol::api::{self, Note, Vocabulary};
use keelhaul_protocol::kv::Response;
use keelhaul_server::core::World;
use keelhaul_server::storage::Command;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::links::Way;
use crate::node::Caller;
use crate::plan::SimPlan;
use crate::queue::Queue;
use crate::system::Simulated;
use crate::trace::{self, Happening, What};
use crate::world::{Event, MS};

/// A message's usual delay, and that of one that is late.
const DELAY: std::ops::Range<u64> = MS / 5..2 * MS;
const LATE: std::ops::Range<u64> = 2 * MS..50 * MS;

/// What surrounds a node while it acts.
pub(crate) struct Around<'a, P: Simulated> {
    pub(crate) node: usize,
    pub(crate) now: u64,
    pub(crate) queue: &'a mut Queue<Event<P::Message>>,
    pub(crate) plan: &'a SimPlan,
    pub(crate) rng: &'a mut ChaCha8Rng,
    pub(crate) commands: &'a mut Vec<Command<P::Message>>,
    pub(crate) trace: &'a mut Option<Vec<Happening>>,
    pub(crate) seen: &'a mut Seen,
    /// From this node, by whom they lead to.
    pub(crate) ways: &'a [Way],
}

/// Moments that came about in the present step, for faults that are aimed at them.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) vote: bool,
    pub(crate) elected: bool,
    pub(crate) snapshot: bool,
}

/// Whether something happens that has these chances in a thousand.
pub(crate) fn chance(rng: &mut ChaCha8Rng, per_mille: u16) -> bool {
    per_mille > 0 && rng.random_range(0..1000) < per_mille
}

pub(crate) fn delay(rng: &mut ChaCha8Rng, late: u16) -> u64 {
    let range = if chance(rng, late) { LATE } else { DELAY };
    rng.random_range(range)
}

impl<P: Simulated> World<P::Message, Caller> for Around<'_, P> {
    fn store(&mut self, command: Command<P::Message>) {
        self.commands.push(command);
    }

    /// Messages are lost, doubled and late now and then, and overtake each other.
    fn send(&mut self, to: api::NodeId, message: P::Message) {
        self.seen.vote |= P::moment(&message) == Some(Moment::Vote);
        self.seen.snapshot |= P::moment(&message) == Some(Moment::Snapshot);
        let weather = &self.plan.weather;
        if chance(self.rng, weather.lost) {
            return;
        }
        let (from, to) = (self.node as u8, (to.0 - 1) as u8);
        let way = self.ways[usize::from(to)];
        if way.loses(self.rng) {
            return;
        }
        if chance(self.rng, weather.doubled) || way.doubles(self.rng) {
            let at = self.now + self.rng.random_range(MS..100 * MS);
            let message = message.clone();
            self.queue.push(at, Event::Message { from, to, sent: self.now, message });
        }
        let at = self.now + delay(self.rng, weather.late) + way.delay(self.rng);
        self.queue.push(at, Event::Message { from, to, sent: self.now, message });
    }

    fn reply(&mut self, caller: Caller, response: Response) {
        let at = self.now + delay(self.rng, self.plan.weather.late);
        self.queue.push(at, Event::Reply { caller, response });
    }

    fn note(&mut self, note: Note<<P::Message as Vocabulary>::Era>) {
        self.seen.elected |= matches!(note, Note::Leading(_));
        if let Some(trace) = self.trace {
            let node = self.node as u16 + 1;
            let what = What::Note { node, text: trace::words(note) };
            trace.push(Happening { at_ns: self.now, what });
        }
    }
}
