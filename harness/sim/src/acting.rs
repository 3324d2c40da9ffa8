//! A node's process in the course of a life: it begins, decides on what reaches it, writes to its disk, stands still, and ends.

use keelhaul_nemesis::Trouble;
use keelhaul_protocol::api;
use rand::RngExt;

use crate::around::{Around, chance};
use crate::node::Arrival;
use crate::oracle::Broken;
use crate::states::Abstract;
use crate::system::Simulated;
use crate::trace::{Happening, What};
use crate::world::{Event, MS, Sim};

/// A sync's usual time, and that of a slow one.
const SYNC: std::ops::Range<u64> = MS / 5..2 * MS;
const SLOW_SYNC: std::ops::Range<u64> = 2 * MS..60 * MS;
/// How often a sync that stalls is looked at.
const STALL: u64 = 5 * MS;

impl<P: Simulated> Sim<'_, P> {
    pub(crate) fn message(&mut self, from: usize, to: usize, sent: u64, message: P::Message) {
        if self.cut[from * self.nodes.len() + to] > 0 || self.nodes[to].process.is_none() {
            return;
        }
        if let Some(trace) = &mut self.trace {
            let (label, routine) = P::describe(&message);
            let (from, to) = (from as u16 + 1, to as u16 + 1);
            let what = What::Message { from, to, sent_ns: sent, label, routine };
            trace.push(Happening { at_ns: self.now, what });
        }
        self.arrive(to, Arrival::Message { from, message });
    }

    pub(crate) fn timer(&mut self, node: usize, life: u32) {
        let state = &mut self.nodes[node];
        if state.life == life
            && let Some(process) = &mut state.process
            && process.armed_at <= self.now
        {
            process.armed_at = u64::MAX;
            self.arrive(node, Arrival::Timer);
        }
    }

    /// A sync ends, unless its disk stalls: then it is looked at again.
    pub(crate) fn sync_ends(&mut self, node: usize, life: u32) {
        if self.nodes[node].life != life {
            return;
        }
        if self.nodes[node].disk.trouble() == Some(Trouble::Stall) {
            let event = Event::Synced { node: node as u8, life };
            self.queue.push(self.now + STALL, event);
            return;
        }
        self.arrive(node, Arrival::Synced);
    }

    /// Something reaches a node's process, if there is one, now or when it goes on.
    pub(crate) fn arrive(&mut self, node: usize, arrival: Arrival<P::Message>) {
        let state = &mut self.nodes[node];
        let Some(process) = &mut state.process else { return };
        if let Some(waiting) = &mut state.paused {
            waiting.push_back(arrival);
            return;
        }
        match arrival {
            Arrival::Message { from, message } => {
                process.core.receive(api::NodeId(from as u16 + 1), message);
            }
            Arrival::Request { caller, request } => process.core.request(caller, request),
            Arrival::Timer => {}
            Arrival::Synced => {
                let Some((ticket, mark)) = process.syncing.take() else { return };
                if let Err(error) = process.storage.settle(Some(ticket)) {
                    self.disk_failed(node, &error.to_string());
                    return;
                }
                self.oracle.synced(node, mark);
                process.core.synced(ticket);
            }
        }
        self.advance(node);
    }

    /// Lets a node decide on what has reached it, and carries out what it wants.
    fn advance(&mut self, node: usize) {
        let nodes = self.nodes.len();
        let state = &mut self.nodes[node];
        let Some(process) = &mut state.process else { return };
        let local = api::Nanos(state.clock.local(self.now));
        process.core.look_at_timer(local);
        process.core.step(local);
        let protocol = process.core.protocol();
        let standing = protocol.standing();
        let committed = self.oracle.committed();
        let stepped = self.oracle.stepped(node, protocol, &standing, process.core.effects());
        if let Err(broken) = stepped
            && self.broken.is_none()
        {
            if let Some(trace) = &mut self.trace {
                trace.extend(broken.nodes.iter().map(|&node| {
                    let text = format!("{} is broken", broken.invariant);
                    Happening { at_ns: self.now, what: What::Fault { node, text } }
                }));
            }
            self.broken = Some(Broken { at_ns: self.now, ..broken });
        }
        self.seen.commit |= self.oracle.committed() > committed;
        let fresh = Abstract::of(&standing, self.oracle.committed());
        if fresh != self.abstracted[node] {
            self.abstracted[node] = fresh;
            self.states.insert(Abstract::cluster(&self.abstracted));
        }
        let mut around = Around::<P> {
            node,
            now: self.now,
            queue: &mut self.queue,
            plan: self.plan,
            rng: &mut self.rng,
            commands: &mut process.commands,
            trace: &mut self.trace,
            seen: &mut self.seen,
            lines: &mut self.lines[node * nodes..(node + 1) * nodes],
        };
        process.core.carry_out(&mut around);
        if let Some(due) = process.core.timer() {
            let at = state.clock.when(due.0, self.now);
            if at < process.armed_at {
                process.armed_at = at;
                self.queue.push(at, Event::Timer { node: node as u8, life: state.life });
            }
        }
        self.write(node);
        self.look_for_moments(node);
    }

    /// The disk takes the next batch, unless it is busy with one.
    fn write(&mut self, node: usize) {
        let state = &mut self.nodes[node];
        let Some(process) = &mut state.process else { return };
        if process.syncing.is_some() || process.commands.is_empty() {
            return;
        }
        let written = process.storage.write(process.commands.drain(..));
        let written = written.and_then(|ticket| process.storage.flush().map(|()| ticket));
        match written {
            Err(error) => self.disk_failed(node, &error.to_string()),
            Ok(None) => {}
            Ok(Some(ticket)) => {
                process.syncing = Some((ticket, self.oracle.asked(node)));
                let slow = chance(&mut self.rng, self.plan.weather.slow_syncs);
                let mut took = self.rng.random_range(if slow { SLOW_SYNC } else { SYNC });
                if let Some(Trouble::SlowSync(ms)) = state.disk.trouble() {
                    took += ms * MS;
                }
                let event = Event::Synced { node: node as u8, life: state.life };
                self.queue.push(self.now + took, event);
            }
        }
    }

    /// A process ends when its disk fails; when power was lost, what was not synced is gone.
    fn disk_failed(&mut self, node: usize, why: &str) {
        let dark = self.nodes[node].disk.is_dark();
        self.end(node, if dark { "power is cut" } else { why });
        if dark {
            let mut torn = self.nemesis.torn(node);
            self.nodes[node].disk.lose_power(torn.as_mut());
        }
    }

    /// A process begins with what its disk holds; it may refuse that.
    pub(crate) fn start(&mut self, node: usize) {
        if self.nodes[node].process.is_some() {
            return;
        }
        let seed = self.chance.random();
        match self.nodes[node].boot(node as u16 + 1, self.plan, self.mutant, self.now, seed) {
            Ok((process, stored)) => {
                self.oracle.restarted::<P>(node, &stored);
                self.nodes[node].process = Some(process);
                self.nodes[node].life += 1;
                self.wires.borrow_mut().set_up(node, true);
                self.fault(node, "starts");
                self.advance(node);
            }
            Err(error) => {
                if self.nodes[node].disk.is_dark() {
                    self.nodes[node].disk.lose_power(None);
                }
                self.fault(node, &format!("does not start: {error}"));
            }
        }
    }

    /// A process ends at once.
    pub(crate) fn end(&mut self, node: usize, why: &str) {
        let state = &mut self.nodes[node];
        if state.process.take().is_none() {
            return;
        }
        state.life += 1;
        state.paused = None;
        self.fault(node, why);
        self.abstracted[node] = Abstract::default();
        let threads = self.wires.borrow_mut().set_up(node, false);
        threads.into_iter().for_each(|thread| self.poll(thread));
    }

    /// A process that stood still goes on with what has waited for it.
    pub(crate) fn resume(&mut self, node: usize) {
        let Some(waiting) = self.nodes[node].paused.take() else { return };
        let life = self.nodes[node].life;
        self.fault(node, "goes on");
        for arrival in waiting {
            if self.nodes[node].life == life {
                self.arrive(node, arrival);
            }
        }
    }

    /// Notes what was done to a node.
    pub(crate) fn fault(&mut self, node: usize, text: &str) {
        self.print(4, node as u64);
        if let Some(trace) = &mut self.trace {
            let what = What::Fault { node: node as u16 + 1, text: text.to_owned() };
            trace.push(Happening { at_ns: self.now, what });
        }
    }
}
