//! Clocks that go wrong.

use rand::RngExt;

use crate::system::Simulated;
use crate::world::{Event, MS, Sim};

/// How far a clock jumps.
const JUMP: std::ops::Range<u64> = 10 * MS..2_000 * MS;

impl<P: Simulated> Sim<'_, P> {
    pub(crate) fn schedule_jump(&mut self) {
        let mean = u64::from(self.plan.weather.jump_ms) * MS;
        if mean > 0 && self.now < self.plan.time_limit_ms * MS {
            let wait = self.chance.random_range(mean / 2..mean * 3 / 2);
            self.queue.push(self.now + wait, Event::Jump);
        }
    }

    pub(crate) fn jump(&mut self) {
        let node = self.chance.random_range(0..self.nodes.len());
        let by = self.chance.random_range(JUMP);
        let now = self.now;
        self.nodes[node].clock.jump(now, by);
        self.fault(node, &format!("its clock jumps {} ms", by / MS));
        if let Some(process) = &mut self.nodes[node].process {
            process.armed_at = self.now;
            let life = self.nodes[node].life;
            self.queue.push(self.now, Event::Timer { node: node as u8, life });
        }
        self.schedule_jump();
    }
}
