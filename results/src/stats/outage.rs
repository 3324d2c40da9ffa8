//! What each fault did to the service.

use std::collections::BTreeMap;

use keelhaul_history::faults::FaultWindow;
use keelhaul_history::{Kind, Op, Value};

/// A fault, and how the service fared while it was there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The fault and its time.
    pub window: FaultWindow,
    /// Operations that were both invoked and completed ok inside the window.
    pub ok_within: u64,
    /// The longest time inside the window in which no operation completed ok.
    pub gap_ns: u64,
    /// From the injection to the first ok of an operation invoked after it, where there was one before the history
    /// ended, inside the window or after it.
    pub recovery_ns: Option<u64>,
}

/// A window while it is open, and until the first ok after it.
#[derive(Debug)]
struct Watch {
    from_ns: u64,
    healed_ns: Option<u64>,
    last_ok_ns: u64,
    gap_ns: u64,
    ok_within: u64,
    recovery_ns: Option<u64>,
}

/// Watches all windows along a history.
#[derive(Debug, Default)]
pub(super) struct Outages {
    watches: BTreeMap<u64, Watch>,
    /// Faults with something left to watch.
    open: Vec<u64>,
}

impl Outages {
    /// Takes an op of the nemesis.
    pub fn nemesis(&mut self, op: &Op) {
        let id =
            op.value.get("fault").and_then(Value::as_int).and_then(|id| u64::try_from(id).ok());
        let Some(id) = id else { return };
        match (op.f.as_str(), op.kind) {
            ("inject", Kind::Ok | Kind::Info | Kind::Fail) => {
                let (from_ns, last_ok_ns) = (op.time_ns, op.time_ns);
                let watch = Watch {
                    from_ns,
                    healed_ns: None,
                    last_ok_ns,
                    gap_ns: 0,
                    ok_within: 0,
                    recovery_ns: None,
                };
                if self.watches.insert(id, watch).is_none() {
                    self.open.push(id);
                }
            }
            ("heal", Kind::Invoke) => {
                if let Some(watch) = self.watches.get_mut(&id) {
                    watch.close(op.time_ns);
                }
            }
            _ => {}
        }
    }

    /// Takes an operation that completed ok.
    pub fn ok(&mut self, time_ns: u64, invoked_ns: u64) {
        let watches = &mut self.watches;
        self.open
            .retain(|id| watches.get_mut(id).is_some_and(|watch| watch.ok(time_ns, invoked_ns)));
    }

    /// Joins what was watched with the windows.
    pub fn finish(mut self, windows: Vec<FaultWindow>, end_ns: u64) -> Vec<Fault> {
        let join = |window: FaultWindow| {
            let Some(mut watch) = self.watches.remove(&window.id) else {
                return Fault { window, ok_within: 0, gap_ns: 0, recovery_ns: None };
            };
            watch.close(end_ns);
            let Watch { ok_within, gap_ns, recovery_ns, .. } = watch;
            Fault { window, ok_within, gap_ns, recovery_ns }
        };
        windows.into_iter().map(join).collect()
    }
}

impl Watch {
    /// Returns whether there is more to watch.
    fn ok(&mut self, time_ns: u64, invoked_ns: u64) -> bool {
        let inside = invoked_ns >= self.from_ns;
        if inside && self.recovery_ns.is_none() {
            self.recovery_ns = Some(time_ns - self.from_ns);
        }
        if self.healed_ns.is_some() {
            return self.recovery_ns.is_none();
        }
        self.ok_within += u64::from(inside);
        self.gap_ns = self.gap_ns.max(time_ns - self.last_ok_ns);
        self.last_ok_ns = time_ns;
        true
    }

    fn close(&mut self, time_ns: u64) {
        if self.healed_ns.is_none() {
            self.healed_ns = Some(time_ns);
            self.gap_ns = self.gap_ns.max(time_ns - self.last_ok_ns);
        }
    }
}

#[cfg(test)]
mod tests {
    use keelhaul_history::{F, NodeId, Process};

    use super::*;

    fn nemesis(f: &str, kind: Kind, time_ns: u64) -> Op {
        Op {
            index: 0,
            time_ns,
            process: Process::Nemesis,
            kind,
            f: F::from(f),
            key: None,
            value: Value::map([("fault", Value::Int(1))]),
            node: None,
            error: None,
        }
    }

    fn window(healed_ns: Option<u64>) -> FaultWindow {
        FaultWindow {
            id: 1,
            kind: "kill".into(),
            label: String::new(),
            injected_ns: 100,
            effective: true,
            healed_ns,
            healed_verified: false,
            nodes: vec![NodeId(1)],
            error: None,
        }
    }

    /// Oks are (invoked, completed); the fault is injected at 100 and healed as given.
    fn fault(oks: &[(u64, u64)], healed_ns: Option<u64>, end_ns: u64) -> (u64, u64, Option<u64>) {
        let mut outages = Outages::default();
        outages.nemesis(&nemesis("inject", Kind::Ok, 100));
        let mut healing = healed_ns;
        for &(invoked, completed) in oks {
            if let Some(at) = healing.take_if(|at| *at <= completed) {
                outages.nemesis(&nemesis("heal", Kind::Invoke, at));
            }
            outages.ok(completed, invoked);
        }
        if let Some(at) = healing {
            outages.nemesis(&nemesis("heal", Kind::Invoke, at));
        }
        let fault = outages.finish(vec![window(healed_ns)], end_ns).remove(0);
        (fault.ok_within, fault.gap_ns, fault.recovery_ns)
    }

    #[test]
    fn availability() {
        assert_eq!(fault(&[(110, 120), (130, 190)], Some(200), 300), (2, 70, Some(20)));
        // One was invoked before the fault: it may have been done before it.
        assert_eq!(fault(&[(90, 120), (130, 190)], Some(200), 300), (1, 70, Some(90)));
        // Nothing came through before the healing.
        assert_eq!(fault(&[(150, 250)], Some(200), 300), (0, 100, Some(150)));
        // Never healed, never recovered.
        assert_eq!(fault(&[], None, 300), (0, 200, None));
    }
}
