//! Clocks that go wrong: by the weather, and by faults.
//!
//! What a fault does to a clock comes on top of its own drift. One fault at a time tells clocks anything, as on real nodes.

use keelhaul_nemesis::{Clock, ClockSpec, ScheduledFault, names};
use rand::RngExt;

use crate::nemesis::{Doing, id};
use crate::system::Simulated;
use crate::world::{Event, MS, Sim};

/// How far a clock jumps in bad weather.
const JUMP: std::ops::Range<u64> = 10 * MS..2_000 * MS;
/// How long a pace holds in a strobe, and how often it turns: as on real nodes.
const STROBE: u64 = 60 * MS;
const STROBE_TURNS: u32 = 16;

impl<P: Simulated> Sim<'_, P> {
    pub(crate) fn schedule_jump(&mut self) {
        let mean = u64::from(self.plan.weather.jump_ms) * MS;
        if mean > 0 && self.now < self.plan.time_limit_ms * MS {
            let wait = self.chance.random_range(mean / 2..mean * 3 / 2);
            self.queue.push(self.now + wait, Event::Jump);
        }
    }

    /// The weather lets a clock jump.
    pub(crate) fn jump(&mut self) {
        let node = self.chance.random_range(0..self.nodes.len());
        let by = self.chance.random_range(JUMP);
        self.jump_by(node, by);
        self.schedule_jump();
    }

    fn jump_by(&mut self, node: usize, by: u64) {
        let now = self.now;
        self.nodes[node].clock.jump(now, by);
        self.fault(node, &format!("its clock jumps {} ms", by / MS));
        self.look_again(node);
    }

    fn tell(&mut self, node: usize, ppm: i64) {
        let now = self.now;
        self.nodes[node].clock.tell(now, ppm);
        self.look_again(node);
    }

    /// A node's timer is due at another time than it was, now that its clock is another one.
    fn look_again(&mut self, node: usize) {
        if let Some(process) = &mut self.nodes[node].process {
            process.armed_at = self.now;
            let life = self.nodes[node].life;
            self.queue.push(self.now, Event::Timer { node: node as u8, life });
        }
    }

    /// The clocks of these nodes go wrong; in a drift, those of the others the other way.
    pub(crate) fn strike_clocks(
        &mut self,
        fault: &ScheduledFault,
        spec: ClockSpec,
        nodes: &[usize],
    ) {
        let pace = i64::from(spec.by);
        self.nemesis.clocks = Some(fault.id);
        match spec.clock {
            Clock::ClockBump => {
                nodes.iter().for_each(|node| self.jump_by(*node, u64::from(spec.by) * MS));
            }
            Clock::ClockDrift => {
                for node in 0..self.nodes.len() {
                    self.set_pace(node, if nodes.contains(&node) { -pace } else { pace });
                }
            }
            Clock::ClockStrobe => {
                nodes
                    .iter()
                    .for_each(|node| self.fault(*node, "its clock runs fast and slow by turns"));
                let at = self.plan.schedule.faults.iter().position(|other| other.id == fault.id);
                self.strobe(at.unwrap_or(0), spec, 0);
                return;
            }
        }
        self.clocks_struck(fault, spec, nodes);
    }

    fn set_pace(&mut self, node: usize, ppm: i64) {
        self.tell(node, ppm);
        let words = match ppm {
            0 => "its clock runs well again".to_owned(),
            1.. => format!("its clock runs {ppm} ppm fast"),
            _ => format!("its clock runs {} ppm slow", -ppm),
        };
        self.fault(node, &words);
    }

    fn clocks_struck(&mut self, fault: &ScheduledFault, spec: ClockSpec, nodes: &[usize]) {
        let named: Vec<_> = nodes.iter().copied().map(id).collect();
        let unit = if spec.clock == Clock::ClockBump { "ms ahead" } else { "ppm" };
        let label = format!("{}: {}, {} {unit}", fault.spec.kind(), names(&named), spec.by);
        self.injected(fault, &named, label);
    }

    /// The next turn of a strobe.
    pub(crate) fn strobe(&mut self, fault: usize, spec: ClockSpec, turn: u32) {
        let scheduled = self.plan.schedule.faults[fault].clone();
        let nodes = self.nemesis.struck(scheduled.id);
        if turn == STROBE_TURNS {
            self.clocks_struck(&scheduled, spec, &nodes);
            return;
        }
        let pace = i64::from(spec.by);
        let ppm = if turn.is_multiple_of(2) { pace } else { -pace };
        nodes.iter().for_each(|node| self.tell(*node, ppm));
        self.wait(STROBE, Doing::Strobing { fault, spec, turn: turn + 1 });
    }

    /// All clocks run by themselves again; what they have jumped stays.
    pub(crate) fn heal_clocks(&mut self) {
        self.nemesis.clocks = None;
        for node in 0..self.nodes.len() {
            if self.nodes[node].clock.told_ppm() != 0 {
                self.set_pace(node, 0);
            }
        }
    }
}
