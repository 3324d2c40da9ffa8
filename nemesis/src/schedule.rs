//! When which fault strikes, drawn from the seed before the run.
//!
//! A run opens with one fault of each kind, one after the other, each of a sort that leaves the leader and a majority
//! alone: whatever comes later, the history then says how the store does under each kind alone. After that every kind keeps
//! its own rhythm: about once an interval it strikes, holds for a part of the interval, and lets the cluster be for
//! the rest. So several kinds overlap in ever new ways, and each has quiet times in which operations that were held up
//! can complete and be seen.

use keelhaul_history::NodeId;
use rand::RngExt;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::asks::harms;
use crate::clock::ClockSpec;
use crate::damage::DamageSpec;
use crate::disk::{PlightSpec, Trouble};
use crate::group::GroupSpec;
use crate::is_final;
use crate::links::LinkSpec;
use crate::machine::MachineSpec;
use crate::member::MemberSpec;
use crate::membership::Ask;
use crate::named::named;
use crate::partition::{Direction, Shape};
use crate::process::ProcessSpec;
use crate::target::{Target, weighted};

/// What a schedule is drawn for.
#[derive(Clone, Debug)]
pub struct ScheduleOptions {
    /// Kinds of faults, by the names in [`KINDS`](crate::KINDS).
    pub kinds: Vec<String>,
    /// How many nodes the cluster has.
    pub nodes: u16,
    /// Length of the run in milliseconds; every fault is healed before its end.
    pub time_limit_ms: u64,
    /// Mean time between the beginnings of two faults of one kind, in milliseconds.
    pub interval_ms: u64,
}

/// All faults of a run, in order of their beginning.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Schedule {
    /// The faults.
    pub faults: Vec<ScheduledFault>,
}

/// One fault.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScheduledFault {
    /// Its number in the history.
    pub id: u64,
    /// When to inject it, milliseconds since the run began.
    pub at_ms: u64,
    /// When to heal it.
    pub until_ms: u64,
    /// What it does.
    #[serde(flatten)]
    pub spec: Spec,
    /// The order in which nodes are preferred as victims.
    pub order: Vec<u16>,
    /// In a simulation, strike at the first such moment from `at_ms` on, and where it comes about. On real nodes nobody sees it,
    /// and the fault strikes at `at_ms`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moment: Option<Moment>,
}

/// A point in a node's work that faults can be aimed at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Moment {
    /// Right after a node gave its vote away.
    Vote,
    /// Right after a node came to lead.
    Elected,
    /// Right after something was committed that was not, and before others learn of it.
    Commit,
    /// When a node is about to sync its disk.
    Sync,
    /// When a snapshot is written, or on its way to another node.
    Snapshot,
    /// Right after a leader asked its followers whether it leads still: their answers wait for it, or meet what is struck now.
    Round,
}

/// What a fault does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Spec {
    /// Cut links.
    Partition {
        /// Which.
        shape: Shape,
        /// In which direction.
        #[serde(default)]
        direction: Direction,
    },
    /// Kill and restart the daemon.
    Kill {
        /// Where.
        target: Target,
    },
    /// Stop and continue the daemon.
    Pause {
        /// Where.
        target: Target,
    },
    /// Kill the daemon, lose what it had not synced, and restart it.
    Power {
        /// Where.
        target: Target,
        /// Some of what was not synced is kept: what this seed says had reached the disk by chance.
        #[serde(default)]
        torn: Option<u64>,
    },
    /// Let no sync end for a while, then kill the daemon, lose what it had not synced, and restart it.
    PowerStall {
        /// Where.
        target: Target,
        /// Milliseconds before the power is lost.
        stall_ms: u64,
    },
    /// Let syncs take longer.
    DiskSlow {
        /// Where.
        target: Target,
        /// By how much.
        trouble: Trouble,
    },
    /// Let operations on files fail.
    DiskError {
        /// Where.
        target: Target,
        /// Which operations.
        trouble: Trouble,
    },
    /// Let there be no space left.
    DiskFull {
        /// Where.
        target: Target,
    },
    /// Ask for another membership, or another leader.
    Membership {
        /// What is asked for.
        ask: Ask,
    },
    /// Let a disk fail in another way.
    #[serde(untagged)]
    Plight(PlightSpec),
    /// Damage what a disk has stored.
    #[serde(untagged)]
    Damage(DamageSpec),
    /// Take members out, and let them in again.
    #[serde(untagged)]
    Member(MemberSpec),
    /// Stop or reset machines.
    #[serde(untagged)]
    Machine(MachineSpec),
    /// Move keys from group to group.
    #[serde(untagged)]
    Group(GroupSpec),
    /// Let clocks differ.
    #[serde(untagged)]
    Clock(ClockSpec),
    /// Restart processes, or let them lack something.
    #[serde(untagged)]
    Process(ProcessSpec),
    /// Let the network be bad.
    #[serde(untagged)]
    Links(LinkSpec),
}

/// How long no sync ends before the power is lost: some round trips, or an election.
const STALLS_MS: std::ops::RangeInclusive<u64> = 100..=1_500;

impl Spec {
    /// The name in [`KINDS`](crate::KINDS).
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Partition { .. } => "partition",
            Self::Kill { .. } => "kill",
            Self::Pause { .. } => "pause",
            Self::Power { .. } => "power",
            Self::PowerStall { .. } => "power-stall",
            Self::DiskSlow { .. } => "disk-slow",
            Self::DiskError { .. } => "disk-error",
            Self::DiskFull { .. } => "disk-full",
            Self::Membership { .. } => "membership",
            Self::Plight(spec) => spec.plight.kind(),
            Self::Damage(spec) => spec.damage.kind(),
            Self::Process(spec) => spec.process.name(),
            Self::Links(spec) => spec.effect.kind(),
            Self::Clock(spec) => spec.clock.name(),
            Self::Member(spec) => spec.member.name(),
            Self::Group(spec) => spec.group.name(),
            Self::Machine(spec) => spec.machine.name(),
        }
    }

    /// The nodes it strikes, where that is a choice of roles and shares.
    pub const fn target_mut(&mut self) -> Option<&mut Target> {
        match self {
            Self::Partition { .. } | Self::Links(_) | Self::Membership { .. } | Self::Group(_) => {
                None
            }
            Self::Kill { target }
            | Self::Pause { target }
            | Self::Power { target, .. }
            | Self::PowerStall { target, .. }
            | Self::DiskSlow { target, .. }
            | Self::DiskError { target, .. }
            | Self::DiskFull { target } => Some(target),
            Self::Plight(spec) => Some(&mut spec.target),
            Self::Damage(spec) => Some(&mut spec.target),
            Self::Process(spec) => Some(&mut spec.target),
            Self::Clock(spec) => Some(&mut spec.target),
            Self::Member(spec) => Some(&mut spec.target),
            Self::Machine(spec) => Some(&mut spec.target),
        }
    }

    /// The same for other nodes; a fault that is none of nodes stays as it is.
    #[must_use]
    pub const fn aimed_at(mut self, to: Target) -> Self {
        if let Some(target) = self.target_mut() {
            *target = to;
        }
        self
    }

    /// What a fault of a disk does to it.
    pub const fn trouble(&self) -> Option<(Target, Trouble)> {
        match *self {
            Self::DiskSlow { target, trouble } | Self::DiskError { target, trouble } => {
                Some((target, trouble))
            }
            Self::DiskFull { target } => Some((target, Trouble::Full)),
            Self::Plight(PlightSpec { plight, target }) => Some((target, plight.trouble())),
            _ => None,
        }
    }

    /// A fault that a cluster of three or more nodes need not even notice: a majority goes on, and the leader with it.
    fn survivable(kind: &str) -> Option<Self> {
        Some(match kind {
            "partition" => Self::Partition { shape: Shape::Followers, direction: Direction::Both },
            "kill" => Self::Kill { target: Target::Followers },
            "pause" => Self::Pause { target: Target::Followers },
            "power" => Self::Power { target: Target::Followers, torn: None },
            "power-stall" => {
                Self::PowerStall { target: Target::Followers, stall_ms: *STALLS_MS.start() }
            }
            "disk-slow" => {
                Self::DiskSlow { target: Target::Followers, trouble: Trouble::SLOW[1].0 }
            }
            "disk-error" => {
                Self::DiskError { target: Target::Followers, trouble: Trouble::ERRORS[0].0 }
            }
            "disk-full" => Self::DiskFull { target: Target::Followers },
            "membership" => Self::Membership { ask: Ask::Transfer },
            _ => {
                return Self::of_disk(kind, Target::Followers, Target::One)
                    .or_else(|| ProcessSpec::survivable(kind).map(Self::Process))
                    .or_else(|| ClockSpec::survivable(kind).map(Self::Clock))
                    .or_else(|| MemberSpec::named(kind, Target::One).map(Self::Member))
                    .or_else(|| GroupSpec::named(kind).map(Self::Group))
                    .or_else(|| MachineSpec::named(kind, Target::Followers).map(Self::Machine))
                    .or_else(|| LinkSpec::survivable(kind).map(Self::Links));
            }
        })
    }

    fn draw(kind: &str, rng: &mut ChaCha8Rng) -> Option<Self> {
        Some(match kind {
            "partition" => Self::Partition {
                shape: weighted(&Shape::WEIGHTED, rng),
                direction: weighted(&Direction::WEIGHTED, rng),
            },
            "kill" => Self::Kill { target: weighted(&Target::WEIGHTED, rng) },
            "pause" => Self::Pause { target: weighted(&Target::WEIGHTED, rng) },
            "power" => Self::Power {
                target: weighted(&Target::WEIGHTED_POWER, rng),
                torn: rng.random_bool(0.4).then(|| rng.random()),
            },
            "power-stall" => Self::PowerStall {
                target: weighted(&Target::WEIGHTED_POWER, rng),
                stall_ms: rng.random_range(STALLS_MS),
            },
            "disk-slow" => Self::DiskSlow {
                target: weighted(&Target::WEIGHTED, rng),
                trouble: weighted(&Trouble::SLOW, rng),
            },
            "disk-error" => Self::DiskError {
                target: weighted(&Target::WEIGHTED, rng),
                trouble: weighted(&Trouble::ERRORS, rng),
            },
            "disk-full" => Self::DiskFull { target: weighted(&Target::WEIGHTED, rng) },
            "membership" => Self::Membership { ask: weighted(&Ask::WEIGHTED, rng) },
            _ if let Some(spec) = ProcessSpec::draw(kind, rng) => Self::Process(spec),
            _ if let Some(spec) = LinkSpec::draw(kind, rng) => Self::Links(spec),
            _ if let Some(spec) = ClockSpec::draw(kind, rng) => Self::Clock(spec),
            _ if let Some(spec) = MemberSpec::draw(kind, rng) => Self::Member(spec),
            _ if let Some(spec) = GroupSpec::draw(kind, rng) => Self::Group(spec),
            _ if let Some(spec) = MachineSpec::draw(kind, rng) => Self::Machine(spec),
            _ => {
                let damaged = weighted(&crate::damage::TARGETS, rng);
                return Self::of_disk(kind, weighted(&Target::WEIGHTED, rng), damaged);
            }
        })
    }

    /// The plight or damage with this name, on one target or the other.
    fn of_disk(kind: &str, plight: Target, damage: Target) -> Option<Self> {
        if let Some(found) = named(kind) {
            let target = if harms(kind) { damage } else { plight };
            return Some(Self::Plight(PlightSpec { plight: found, target }));
        }
        DamageSpec::named(kind, damage).map(Self::Damage)
    }
}

/// Quiet time at the start of a run, so that every history has a part without faults; milliseconds.
const CALM_MS: u64 = 1_000;

impl Schedule {
    /// Draws a schedule. `rng` is asked in an order that depends on the options alone.
    #[must_use]
    pub fn draw(options: &ScheduleOptions, rng: &mut ChaCha8Rng) -> Self {
        let mut draw = Draw { options, rng, faults: Vec::new(), harmed: None };
        let opened_ms = draw.opening();
        for kind in options.kinds.iter().filter(|kind| !is_final(kind)) {
            draw.rhythm(kind, opened_ms);
        }
        let mut faults = draw.faults;
        faults.sort_by_key(|fault| fault.at_ms);
        for (id, fault) in (0..).zip(&mut faults) {
            fault.id = id;
        }
        Self { faults }
    }
}

impl Schedule {
    /// The kinds of its faults, each once, in order of their first.
    #[must_use]
    pub fn kinds(&self) -> Vec<String> {
        let mut kinds: Vec<String> = Vec::new();
        for fault in &self.faults {
            let kind = fault.spec.kind();
            if !kinds.iter().any(|known| known == kind) {
                kinds.push(kind.into());
            }
        }
        kinds
    }
}

/// A schedule in the making.
struct Draw<'a> {
    options: &'a ScheduleOptions,
    rng: &'a mut ChaCha8Rng,
    faults: Vec<ScheduledFault>,
    /// The order of victims of all faults that harm what is stored: those that must not be more than a minority, taken together.
    harmed: Option<Vec<u16>>,
}

impl Draw<'_> {
    /// One survivable fault of each kind, alone. Answers when the last is healed.
    fn opening(&mut self) -> u64 {
        let interval = self.options.interval_ms.max(1);
        let mut at_ms = CALM_MS;
        for kind in &self.options.kinds {
            let until_ms = at_ms + (interval / 2).max(1);
            self.push(at_ms, until_ms, Spec::survivable(kind));
            at_ms = until_ms + interval * 15 / 100;
        }
        at_ms
    }

    fn rhythm(&mut self, kind: &str, from_ms: u64) {
        // Requests take little time, and most are refused.
        let often = if kind == "membership" { 3 } else { 1 };
        let interval = (self.options.interval_ms / often).max(1);
        let mut at_ms = from_ms + self.rng.random_range(0..=interval / 2);
        while at_ms < self.options.time_limit_ms {
            let hold_ms = self.rng.random_range(interval * 3 / 10..=interval * 6 / 10).max(1);
            let spec = Spec::draw(kind, self.rng);
            self.push(at_ms, at_ms + hold_ms, spec);
            at_ms += self.rng.random_range(interval * 8 / 10..=interval * 12 / 10).max(hold_ms + 1);
        }
    }

    /// Keeps a fault if it can be healed before the run's end.
    fn push(&mut self, at_ms: u64, until_ms: u64, spec: Option<Spec>) {
        let mut order: Vec<u16> = (1..=self.options.nodes).collect();
        order.shuffle(self.rng);
        if spec.as_ref().is_some_and(|spec| harms(spec.kind())) {
            order.clone_from(self.harmed.get_or_insert(order.clone()));
        }
        if until_ms < self.options.time_limit_ms {
            self.faults.extend(spec.map(|spec| ScheduledFault {
                id: 0,
                at_ms,
                until_ms,
                spec,
                order,
                moment: None,
            }));
        }
    }
}

impl ScheduledFault {
    /// The preference of victims as node ids.
    pub fn order(&self) -> Vec<NodeId> {
        self.order.iter().copied().map(NodeId).collect()
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    fn draw(seed: u64, time_limit_ms: u64) -> Schedule {
        let kinds = ["partition", "kill", "pause"].map(String::from).to_vec();
        let options = ScheduleOptions { kinds, nodes: 5, time_limit_ms, interval_ms: 5_000 };
        Schedule::draw(&options, &mut ChaCha8Rng::seed_from_u64(seed))
    }

    #[test]
    fn a_default_run_has_three_faults_of_each_kind_and_they_end_in_time() {
        for seed in 0..500 {
            let schedule = draw(seed, 30_000);
            for kind in ["partition", "kill", "pause"] {
                let count =
                    schedule.faults.iter().filter(|fault| fault.spec.kind() == kind).count();
                assert!(count >= 4, "seed {seed}: {count} faults of kind {kind}");
            }
            for fault in &schedule.faults {
                assert!(
                    fault.at_ms >= CALM_MS
                        && fault.at_ms < fault.until_ms
                        && fault.until_ms < 30_000
                );
            }
        }
    }

    #[test]
    fn each_kind_strikes_alone_first() {
        let schedule = draw(11, 60_000);
        let opening = &schedule.faults[..3];
        assert_eq!(
            opening.iter().map(|fault| fault.spec.kind()).collect::<Vec<_>>(),
            ["partition", "kill", "pause"]
        );
        for (fault, next) in schedule.faults.iter().zip(&schedule.faults[1..]).take(3) {
            assert!(fault.until_ms < next.at_ms, "{fault:?} overlaps {next:?}");
        }
    }

    #[test]
    fn every_kind_is_drawn_and_survives_in_a_plan() {
        let kinds: Vec<String> = crate::KINDS.iter().map(|kind| kind.0.into()).collect();
        let options =
            ScheduleOptions { kinds, nodes: 5, time_limit_ms: 300_000, interval_ms: 5_000 };
        let schedule = Schedule::draw(&options, &mut ChaCha8Rng::seed_from_u64(1));
        for kind in &options.kinds {
            let count = schedule.faults.iter().filter(|f| f.spec.kind() == kind).count();
            let wanted = if is_final(kind) { 1..=1 } else { 2..=usize::MAX };
            assert!(wanted.contains(&count), "{count} faults of kind {kind}");
        }
        let text = serde_json::to_string(&schedule).unwrap();
        assert_eq!(serde_json::from_str::<Schedule>(&text).unwrap(), schedule);
    }

    #[test]
    fn what_is_stored_is_harmed_on_one_minority_only() {
        let kinds: Vec<String> = crate::KINDS
            .iter()
            .map(|kind| kind.0.into())
            .filter(|kind: &String| harms(kind))
            .collect();
        assert!(kinds.len() > 3);
        let options =
            ScheduleOptions { kinds, nodes: 5, time_limit_ms: 60_000, interval_ms: 5_000 };
        let schedule = Schedule::draw(&options, &mut ChaCha8Rng::seed_from_u64(1));
        assert!(schedule.faults.len() > 10);
        for fault in &schedule.faults {
            assert_eq!(fault.order, schedule.faults[0].order, "{fault:?}");
        }
    }

    #[test]
    fn the_seed_alone_decides() {
        assert_eq!(draw(7, 60_000), draw(7, 60_000));
        assert_ne!(draw(7, 60_000), draw(8, 60_000));
    }

    #[test]
    fn a_plan_keeps_it() {
        let schedule = draw(3, 60_000);
        let text = serde_json::to_string(&schedule).unwrap();
        assert_eq!(serde_json::from_str::<Schedule>(&text).unwrap(), schedule);
    }
}
