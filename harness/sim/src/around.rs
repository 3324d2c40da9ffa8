//! What surrounds a node while it acts: its disk, its peers, its clients, and the weather between them.

use keelhaul_agent::{Fate, Line};
use keelhaul_nemesis::Moment;
use keelhaul_protocol::api::{self, Note, Vocabulary};
use keelhaul_protocol::kv::Response;
use keelhaul_server::core::World;
use keelhaul_server::storage::Command;
use keelhaul_server::wire::encode_frame;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::node::Caller;
use crate::plan::SimPlan;
use crate::queue::Queue;
use crate::system::Simulated;
use crate::trace::{self, Happening, What};
use crate::world::{Event, MS};

/// A message's usual delay, and that of one that is late.
const DELAY: std::ops::Range<u64> = MS / 5..2 * MS;
const LATE: std::ops::Range<u64> = 2 * MS..50 * MS;
/// What the headers of a packet add to a message, where its size counts.
const HEADER_BYTES: usize = 66;

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
    pub(crate) lines: &'a mut [Line],
}

/// Moments that came about in the present step, for faults that are aimed at them.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) vote: bool,
    pub(crate) elected: bool,
    pub(crate) commit: bool,
    pub(crate) snapshot: bool,
    pub(crate) round: bool,
}

/// Whether something happens that has these chances in a thousand.
pub(crate) fn chance(rng: &mut ChaCha8Rng, per_mille: u16) -> bool {
    per_mille > 0 && rng.random_range(0..1000) < per_mille
}

pub(crate) fn delay(rng: &mut ChaCha8Rng, late: u16) -> u64 {
    let range = if chance(rng, late) { LATE } else { DELAY };
    rng.random_range(range)
}

impl<P: Simulated> Around<'_, P> {
    /// When a message has been through what faults do to links, and a copy of it, if at all. One that was damaged is lost: a checksum
    /// betrays it.
    fn line(&mut self, to: usize, message: &P::Message) -> (Option<u64>, Option<u64>) {
        let line = &mut self.lines[to];
        if line.shaping.is_none() {
            return (Some(self.now), None);
        }
        let bytes = if line.shaping.rate_kbit > 0 {
            encode_frame(message, usize::MAX).map_or(0, |frame| frame.len()) + HEADER_BYTES
        } else {
            0
        };
        let Fate { at_ns, copy_at_ns, flip } = line.fate(self.now, bytes, self.rng);
        (at_ns.filter(|_| flip.is_none()), copy_at_ns)
    }
}

impl<P: Simulated> World<P::Message, Caller> for Around<'_, P> {
    fn store(&mut self, command: Command<P::Message>) {
        self.commands.push(command);
    }

    /// Messages are lost, doubled and late now and then, and overtake each other.
    fn send(&mut self, to: api::NodeId, message: P::Message) {
        match P::moment(&message) {
            Some(Moment::Vote) => self.seen.vote = true,
            Some(Moment::Snapshot) => self.seen.snapshot = true,
            Some(Moment::Round) => self.seen.round = true,
            _ => {}
        }
        let weather = &self.plan.weather;
        if chance(self.rng, weather.lost) {
            return;
        }
        let (from, to) = (self.node as u8, (to.0 - 1) as u8);
        let (passes, copy) = self.line(usize::from(to), &message);
        if chance(self.rng, weather.doubled) {
            let at = self.now + self.rng.random_range(MS..100 * MS);
            let message = message.clone();
            self.queue.push(at, Event::Message { from, to, sent: self.now, message });
        }
        if let Some(through) = copy {
            let at = through + delay(self.rng, weather.late);
            let message = message.clone();
            self.queue.push(at, Event::Message { from, to, sent: self.now, message });
        }
        let Some(through) = passes else { return };
        let at = through + delay(self.rng, weather.late);
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
