//! The schedule as operations of the process `nemesis`.

use std::collections::{BTreeSet, VecDeque};
use std::rc::Rc;

use keelhaul_engine::Invocation;
use keelhaul_engine::generator::{Context, Generator, Next, Thread, once};
use keelhaul_history::{F, Kind, Op, Value};

use crate::nemesis::reference;
use crate::schedule::Schedule;

/// Time between two looks at who leads.
const LEADER_POLL_NS: u64 = 1_000_000_000;
/// No look shortly before a fault is due: while nodes are down it may take this long, and would hold the fault up.
const LEADER_POLL_MARGIN_NS: u64 = 400_000_000;

/// One operation that is due at a time.
struct Step {
    at_ns: u64,
    fault: u64,
    op: Invocation,
}

/// See [`generator`].
pub struct Faults {
    steps: VecDeque<Step>,
    /// Faults whose injection failed for certain: there is nothing to verify or heal.
    skipped: BTreeSet<u64>,
    next_poll_ns: u64,
    end_ns: u64,
}

/// All faults of a schedule, each verified right after it was injected and right after it was healed, with looks at
/// who leads in between until `end_ns`. Done when that time has come and every fault is healed, however late. Who has fallen behind by then
/// injects none of the rest.
#[must_use]
pub fn generator(schedule: &Rc<Schedule>, end_ns: u64) -> Faults {
    let mut steps = Vec::new();
    for fault in &schedule.faults {
        let mut push = |at_ms: u64, f: &str| {
            let op = Invocation { f: F::from(f), key: None, value: reference(fault) };
            steps.push(Step { at_ns: at_ms * 1_000_000, fault: fault.id, op });
        };
        push(fault.at_ms, "inject");
        push(fault.at_ms, "verify");
        push(fault.until_ms, "heal");
        push(fault.until_ms, "verify-healed");
    }
    // Stable: what belongs together stays together.
    steps.sort_by_key(|step| step.at_ns);
    Faults { steps: steps.into(), skipped: BTreeSet::new(), next_poll_ns: 0, end_ns }
}

/// What follows the last fault: wait until the store is well.
#[must_use]
pub fn recovery() -> impl Generator + 'static {
    once(Invocation { f: F::from("await-healthy"), key: None, value: Value::Null })
}

impl Generator for Faults {
    fn next(&mut self, ctx: &Context<'_>) -> Next {
        if !ctx.is_free(Thread::Nemesis) {
            return Next::Pending;
        }
        let now = ctx.now_ns();
        while let Some(step) = self.steps.front() {
            if now >= self.end_ns && step.op.f.as_str() == "inject" {
                self.skipped.insert(step.fault);
            }
            if !self.skipped.contains(&step.fault) {
                break;
            }
            self.steps.pop_front();
        }
        if let Some(step) = self.steps.pop_front_if(|step| step.at_ns <= now) {
            return Next::Op { thread: Some(Thread::Nemesis), op: step.op };
        }
        let due = self.steps.front().map(|step| step.at_ns);
        if due.is_none() && now >= self.end_ns {
            return Next::Done;
        }
        let due = due.unwrap_or(self.end_ns);
        let poll = self.next_poll_ns.max(now);
        if poll + LEADER_POLL_MARGIN_NS >= due {
            return Next::Until(due);
        }
        if poll == now {
            self.next_poll_ns = now + LEADER_POLL_NS;
            let op = Invocation { f: F::from("leader"), key: None, value: Value::Null };
            return Next::Op { thread: Some(Thread::Nemesis), op };
        }
        Next::Until(poll)
    }

    fn update(&mut self, _ctx: &Context<'_>, event: &Op) {
        if event.kind == Kind::Fail
            && event.f.as_str() == "inject"
            && let Some(id) = event.value.get("fault").and_then(Value::as_int)
        {
            self.skipped.insert(id.cast_unsigned());
        }
    }
}

#[cfg(test)]
mod tests {
    use keelhaul_engine::Outcome;
    use keelhaul_engine::generator::{Combine, simulate};
    use keelhaul_engine::interpreter::Dispatch;

    use super::*;
    use crate::{Spec, Target};

    #[test]
    fn who_is_behind_injects_nothing_after_the_end() {
        let faults = (0..50).map(|id| crate::ScheduledFault {
            id,
            at_ms: id * 10,
            until_ms: id * 10 + 20,
            spec: Spec::Kill { target: Target::One },
            order: vec![1, 2, 3],
            moment: None,
        });
        let schedule = Rc::new(Schedule { faults: faults.collect() });
        let generator = generator(&schedule, 500_000_000).boxed();
        let latency = |_: &Dispatch| 20_000_000;
        let outcome = |dispatch: &Dispatch| Outcome::Ok(dispatch.op.value.clone());
        let history = simulate(generator, 1, latency, outcome);
        let times = |f: &str| -> Vec<u64> {
            let mine = |op: &&Op| op.kind == Kind::Invoke && op.f.as_str() == f;
            history.iter().filter(mine).map(|op| op.time_ns).collect()
        };
        let injected = times("inject");
        assert!(!injected.is_empty() && injected.len() < 50, "{injected:?}");
        assert!(injected.iter().all(|at| *at < 500_000_000), "{injected:?}");
        assert_eq!(times("verify-healed").len(), injected.len(), "what was injected is healed");
    }

    #[test]
    fn every_fault_is_injected_verified_healed_and_verified() {
        let faults = (0..3).map(|id| crate::ScheduledFault {
            id,
            at_ms: 100 + id * 50,
            until_ms: 400 + id * 10,
            spec: Spec::Kill { target: Target::One },
            order: vec![1, 2, 3],
            moment: None,
        });
        let schedule = Rc::new(Schedule { faults: faults.collect() });
        let generator = generator(&schedule, 1_000_000_000).boxed();
        let latency = |_: &Dispatch| 5_000_000;
        let outcome =
            |dispatch: &Dispatch| match dispatch.op.value.get("fault").and_then(Value::as_int) {
                Some(1) => Outcome::Fail("nothing to strike".into()),
                _ => Outcome::Ok(dispatch.op.value.clone()),
            };
        let history = simulate(generator, 1, latency, outcome);
        let steps_of = |id: i64| -> Vec<String> {
            let mine = |op: &&Op| {
                op.kind == Kind::Invoke && op.value.get("fault").and_then(Value::as_int) == Some(id)
            };
            history.iter().filter(mine).map(|op| op.f.to_string()).collect()
        };
        assert_eq!(steps_of(0), ["inject", "verify", "heal", "verify-healed"]);
        assert_eq!(steps_of(1), ["inject"], "a fault that struck nothing needs no healing");
        assert_eq!(steps_of(2), ["inject", "verify", "heal", "verify-healed"]);
        assert!(history.iter().any(|op| op.f.as_str() == "leader"));
    }
}
