//! Schedules that depose one leader after the other, each before what the last one began is settled.
//!
//! What a leader leaves undone mostly shows to the successor of its successor: an entry that a few nodes hold, a value that nobody
//! knows to be chosen, a lease that still runs. Faults that strike independently of each other seldom meet three leaders in a row.

use std::ops::{Range, RangeInclusive};

use keelhaul_nemesis::{
    Ask, Direction, Effect, LinkSpec, Moment, Schedule, ScheduledFault, Shape, Spec, Target,
};
use rand::RngExt;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use crate::drawing::{one_of, tidy};
use crate::plan::SimPlan;

/// Quiet time at the start of a life, and at its end.
const CALM_MS: u64 = 1_000;
/// A fault is healed so long after the next one was due: for a moment both hold.
const OVERLAP_MS: u64 = 5;
/// How many leaders are deposed without a rest.
const REIGNS: RangeInclusive<u32> = 2..=6;
/// A rest, in which the cluster settles and clients see what has become of their operations.
const REST_MS: Range<u64> = 600..2_500;

const REMOVE: &[Ask] = &[Ask::Remove];
const TRANSFER: &[Ask] = &[Ask::Transfer];
const VOTERS: &[Ask] = &[Ask::Voters(2), Ask::Voters(3), Ask::Voters(4)];
const ANYTHING: &[Ask] = &[Ask::Remove, Ask::Learner, Ask::Promote, Ask::Voters(3), Ask::Transfer];

/// How the leaders of a life go.
struct Manner {
    end: fn(&mut ChaCha8Rng) -> Spec,
    /// Of three ends, so many hold on for as long again as a reign.
    long: u32,
    /// What leaders are asked for: one thing again and again, for then quorums of two leaders differ, or anything.
    asks: &'static [&'static [Ask]],
    /// How many of the requests come before the end.
    before: f64,
    /// Whether requests may be aimed at moments.
    aimed: bool,
    /// How many of the lives with requests have four nodes: of an even number of members, one more or fewer is enough for quorums that
    /// have no common member.
    four: f64,
    /// How long a life is, if that is not as usual.
    time_limit_ms: Option<u64>,
}

/// Leaders end in any way.
const DEPOSED: Manner = Manner {
    end: deposed,
    long: 1,
    asks: &[TRANSFER, REMOVE, TRANSFER, VOTERS, ANYTHING],
    before: 0.5,
    aimed: true,
    four: 0.5,
    time_limit_ms: None,
};

/// Nothing but the network deposes leaders: each lives on with the members that it was asked for, as long as nobody hears of them. Members
/// that are gone do not come back, and quorums of the few that are left meet: such a life is short.
const RIVALS: Manner = Manner {
    end: cut_off,
    long: 2,
    asks: &[REMOVE, REMOVE, REMOVE, VOTERS, ANYTHING],
    before: 0.25,
    aimed: false,
    four: 0.75,
    time_limit_ms: Some(4_000),
};

const HALVES: Spec = Spec::Partition { shape: Shape::Halves, direction: Direction::Both };

const fn cut(direction: Direction) -> Spec {
    Spec::Partition { shape: Shape::Leader, direction }
}

fn deposed(rng: &mut ChaCha8Rng) -> Spec {
    let target = Target::Leader;
    match rng.random_range(0..14) {
        0 => Spec::Kill { target },
        1 => Spec::Power { target, torn: None },
        2 => Spec::Power { target: one_of(&[Target::Majority, Target::All], rng), torn: None },
        3 => Spec::Pause { target },
        4 => cut(Direction::Inbound),
        5 => cut(Direction::Outbound),
        6..=8 => HALVES,
        _ => cut(Direction::Both),
    }
}

fn cut_off(rng: &mut ChaCha8Rng) -> Spec {
    if rng.random_range(0..14) < 7 { HALVES } else { cut(Direction::Both) }
}

/// What the faults of a life have in common.
struct Style {
    /// Time between the ends of two reigns. The shortest are shorter than an election takes: there the moments decide.
    gap_ms: Range<u64>,
    moments: &'static [Option<Moment>],
    /// How late messages are meanwhile.
    late: Option<LinkSpec>,
    /// What most leaders are asked for right before or after their end: other members, or another leader.
    asks: Option<&'static [Ask]>,
    manner: &'static Manner,
}

impl Style {
    fn draw(plan: &SimPlan, rng: &mut ChaCha8Rng) -> Self {
        const ANY_TIME: &[Option<Moment>] = &[None];
        const ELECTED: &[Option<Moment>] = &[None, Some(Moment::Elected)];
        const EARLY: &[Option<Moment>] = &[Some(Moment::Elected), Some(Moment::Commit)];
        const MIXED: &[Option<Moment>] = &[
            None,
            Some(Moment::Elected),
            Some(Moment::Commit),
            Some(Moment::Sync),
            Some(Moment::Round),
        ];
        let asks = plan.system.has_membership() && rng.random_bool(0.45);
        let rivals = asks && rng.random_bool(0.5);
        let manner = if rivals { &RIVALS } else { &DEPOSED };
        let (gap_ms, moments) = match rng.random_range(0..4) {
            _ if rivals => (10..200, ELECTED),
            0 => (10..40, EARLY),
            1 => (10..600, MIXED),
            2 => (150..600, ANY_TIME),
            _ => (400..1_500, ANY_TIME),
        };
        let (delay_ms, jitter_ms) = one_of(&[(30, 25), (100, 60), (150, 140), (200, 100)], rng);
        let late = LinkSpec {
            effect: Effect::Delay { delay_ms, jitter_ms },
            shape: one_of(&[Shape::Leader, Shape::Everyone], rng),
            direction: one_of(&[Direction::Both, Direction::Inbound], rng),
        };
        Self {
            gap_ms,
            moments,
            late: rng.random_bool(0.6).then_some(late),
            asks: asks.then(|| one_of(manner.asks, rng)),
            manner,
        }
    }

    /// Messages are late of or to these, if so.
    fn late_at(&self, shape: Shape) -> Option<Spec> {
        self.late.filter(|late| late.shape == shape).map(Spec::Links)
    }
}

/// A schedule in the making.
struct Draft<'a> {
    faults: Vec<ScheduledFault>,
    nodes: u16,
    rng: &'a mut ChaCha8Rng,
}

impl Draft<'_> {
    fn push(&mut self, held_ms: Range<u64>, spec: Spec, moment: Option<Moment>) {
        let mut order: Vec<u16> = (1..=self.nodes).collect();
        order.shuffle(self.rng);
        let Range { start: at_ms, end: until_ms } = held_ms;
        self.faults.push(ScheduledFault { id: 0, at_ms, until_ms, spec, order, moment });
    }

    /// What a leader is asked for.
    fn requests(&mut self, style: &Style) -> Vec<Ask> {
        let Some(asks) = style.asks else { return Vec::new() };
        let count = one_of(&[0, 1, 1, 1, 1, 2, 3], self.rng);
        (0..count).map(|_| one_of(asks, self.rng)).collect()
    }

    /// One leader is deposed. Answers when the next is due.
    fn reign(&mut self, at_ms: u64, style: &Style) -> u64 {
        let gap_ms = self.rng.random_range(style.gap_ms.clone());
        let next_ms = at_ms + gap_ms;
        if let Some(late) = style.late_at(Shape::Leader) {
            self.push(at_ms..next_ms, late, None);
        }
        let manner = style.manner;
        let long = self.rng.random_ratio(manner.long, 3);
        let holds_ms = OVERLAP_MS + if long { gap_ms } else { 0 };
        let (end, moment) = ((manner.end)(self.rng), one_of(style.moments, self.rng));
        // By then messages are late, if they are to be.
        let from_ms = at_ms + self.rng.random_range(0..=gap_ms / 2);
        let mut parts = vec![(from_ms..next_ms + holds_ms, end, moment)];
        for ask in self.requests(style) {
            // Mostly after, if the leader lives on: what it is asked for then stays with it.
            let before = self.rng.random_bool(manner.before);
            let place = if before { 0 } else { parts.len() };
            let moments = [None, one_of(style.moments, self.rng)];
            let moment = one_of(&moments, self.rng).filter(|_| manner.aimed);
            parts.insert(place, (from_ms..next_ms, Spec::Membership { ask }, moment));
        }
        parts.into_iter().for_each(|(held_ms, spec, moment)| self.push(held_ms, spec, moment));
        next_ms
    }
}

/// Gives a life such a schedule instead of its own.
pub(crate) fn compose(plan: &mut SimPlan, rng: &mut ChaCha8Rng) {
    let style = Style::draw(plan, rng);
    let Manner { four, time_limit_ms, .. } = style.manner;
    if style.asks.is_some() && rng.random_bool(*four) {
        plan.nodes = 4;
    }
    plan.time_limit_ms = time_limit_ms.unwrap_or(plan.time_limit_ms);
    let end_ms = plan.time_limit_ms.saturating_sub(CALM_MS);
    let mut draft = Draft { faults: Vec::new(), nodes: plan.nodes, rng };
    let mut at_ms = CALM_MS;
    while at_ms < end_ms {
        let from_ms = at_ms;
        for _ in 0..draft.rng.random_range(REIGNS) {
            at_ms = draft.reign(at_ms, &style);
        }
        if let Some(late) = style.late_at(Shape::Everyone) {
            draft.push(from_ms.saturating_sub(1)..at_ms, late, None);
        }
        at_ms += draft.rng.random_range(REST_MS);
    }
    let mut faults = draft.faults;
    faults.retain(|fault| fault.until_ms < end_ms);
    plan.schedule = Schedule { faults };
    tidy(&mut plan.schedule);
}
