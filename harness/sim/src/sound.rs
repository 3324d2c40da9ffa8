//! Whether a plan makes sense: it may come from a file that somebody wrote.

use std::collections::BTreeSet;

use keelhaul_nemesis::{ScheduledFault, is_simulated, needs_membership};

use crate::plan::{PlannedOp, SimPlan, Weather, Work};

/// The most nodes: what the search's states have room for.
const NODES_MAX: u16 = 9;
const CLIENTS_MAX: u32 = 10_000;
/// A day, ms.
const TIME_MAX: u64 = 24 * 3_600_000;
/// Clocks that run further apart are none.
const DRIFT_MAX: u32 = 500_000;

impl SimPlan {
    /// What is wrong with it, as a sentence without its full stop, if anything is.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        let Self { nodes, concurrency, rate, time_limit_ms, op_timeout_ms, .. } = self;
        if !(1..=NODES_MAX).contains(nodes) {
            return Some(format!("it has {nodes} nodes, and a life has 1 to {NODES_MAX}"));
        }
        if !(1..=CLIENTS_MAX).contains(concurrency) {
            return Some(format!(
                "it has {concurrency} clients, and a life has 1 to {CLIENTS_MAX}"
            ));
        }
        if !rate.is_finite() || *rate <= 0.0 {
            return Some(format!("its rate is {rate}, which is not above 0"));
        }
        for (what, time) in [("time limit", time_limit_ms), ("operation's timeout", op_timeout_ms)]
        {
            if !(1..=TIME_MAX).contains(time) {
                return Some(format!("its {what} is {time} ms, and a day is the most"));
            }
        }
        self.weather.trouble().or_else(|| self.troubled_fault()).or_else(|| self.troubled_op())
    }

    fn troubled_fault(&self) -> Option<String> {
        let mut ids = BTreeSet::new();
        self.schedule.faults.iter().find_map(|fault| {
            let ScheduledFault { id, at_ms, until_ms, order, .. } = fault;
            let strangers = order.iter().find(|node| !(1..=self.nodes).contains(node));
            let distinct: BTreeSet<u16> = order.iter().copied().collect();
            if !ids.insert(*id) {
                return Some(format!("two of its faults are number {id}"));
            }
            if !is_simulated(fault.spec.kind()) {
                let kind = fault.spec.kind();
                return Some(format!("its fault {id}, {kind}, does not exist in virtual time"));
            }
            if needs_membership(fault.spec.kind()) && !self.system.has_membership() {
                let (kind, store) = (fault.spec.kind(), self.system.store());
                return Some(format!("its fault {id}, {kind}, changes members, and those of {store} are fixed"));
            }
            if until_ms <= at_ms || *until_ms > self.time_limit_ms {
                return Some(format!(
                    "its fault {id} lasts from {at_ms} to {until_ms} ms, which is no time within the run"
                ));
            }
            if let Some(node) = strangers {
                return Some(format!("its fault {id} names node {node} of {}", self.nodes));
            }
            if order.is_empty() || distinct.len() < order.len() {
                return Some(format!("its fault {id} does not name its nodes once each"));
            }
            None
        })
    }

    fn troubled_op(&self) -> Option<String> {
        let Work::Listed(ops) = &self.work else { return None };
        (1..).zip(ops).find_map(|(number, op)| {
            let PlannedOp { thread, f, at_ns, .. } = op;
            if *thread >= self.concurrency {
                let clients = self.concurrency;
                return Some(format!("its operation {number} is by client {thread} of {clients}"));
            }
            if at_ns / 1_000_000 > TIME_MAX {
                return Some(format!("its operation {number} comes after a day"));
            }
            if !is_of_a_register(f, &op.value) {
                return Some(format!("its operation {number} is nothing that a register does"));
            }
            None
        })
    }
}

/// A read of nothing, a write of a number, a cas of two.
fn is_of_a_register(f: &str, value: &serde_json::Value) -> bool {
    match f {
        "read" => value.is_null(),
        "write" => value.is_i64(),
        "cas" => value.as_array().is_some_and(|pair| {
            pair.len() == 2 && pair.iter().all(|value| value.is_i64() || value.is_null())
        }),
        _ => false,
    }
}

impl Weather {
    fn trouble(&self) -> Option<String> {
        let Self { lost, doubled, late, slow_syncs, drift_ppm, snapshot_entries, .. } = *self;
        let chances =
            [("lost", lost), ("doubled", doubled), ("late", late), ("slow_syncs", slow_syncs)];
        if let Some((name, chance)) = chances.into_iter().find(|(_, chance)| *chance > 1_000) {
            return Some(format!("its weather has {name} {chance} of a thousand"));
        }
        if drift_ppm > DRIFT_MAX {
            return Some(format!(
                "its clocks drift by {drift_ppm} of a million, {DRIFT_MAX} at most"
            ));
        }
        (snapshot_entries == 0).then(|| "it takes a snapshot every 0 entries".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drawing::draw;
    use crate::system::System;

    fn check(change: impl FnOnce(&mut SimPlan), expected: &str) {
        let mut plan = draw(System::Raft(None), 3);
        assert_eq!(plan.trouble(), None);
        change(&mut plan);
        let trouble = plan.trouble().unwrap_or_default();
        assert!(trouble.contains(expected), "{trouble:?} is not {expected:?}");
    }

    #[test]
    fn what_makes_no_sense_is_told() {
        let op = |thread, f: &str, value: &str| PlannedOp {
            at_ns: 1,
            thread,
            f: f.into(),
            key: 1,
            value: serde_json::from_str(value).unwrap(),
        };
        check(|plan| plan.nodes = 0, "0 nodes");
        check(|plan| plan.nodes = 10, "10 nodes");
        check(|plan| plan.concurrency = 0, "0 clients");
        check(|plan| plan.rate = f64::NAN, "rate");
        check(|plan| plan.time_limit_ms = u64::MAX, "time limit");
        check(|plan| plan.op_timeout_ms = 0, "timeout");
        check(|plan| plan.schedule.faults[0].until_ms = 0, "no time within the run");
        check(|plan| plan.schedule.faults[0].until_ms = u64::MAX, "no time within the run");
        check(|plan| plan.schedule.faults[0].order[0] = 77, "node 77");
        check(|plan| plan.schedule.faults[0].order.clear(), "once each");
        check(|plan| plan.schedule.faults[1].id = 0, "number 0");
        check(|plan| plan.weather.lost = 1_001, "1001 of a thousand");
        check(|plan| plan.weather.drift_ppm = 1_000_000, "drift");
        check(|plan| plan.weather.snapshot_entries = 0, "snapshot");
        check(|plan| plan.work = Work::Listed(vec![op(99, "read", "null")]), "client 99");
        check(|plan| plan.work = Work::Listed(vec![op(0, "push", "1")]), "operation 1");
        check(|plan| plan.work = Work::Listed(vec![op(0, "write", "{}")]), "operation 1");
    }
}
