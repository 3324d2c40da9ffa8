//! Which models a history of registers can be judged by, and what decides each.

use crate::causal;
use crate::columns::Registers;
use crate::lattice::Table;
use crate::linearizable;
use crate::models::Model;
use crate::sequential;
use crate::sessions;
use crate::workload::Setting;

/// Every model that can be decided, strongest first.
pub const DECIDABLE: &Table<Registers> = &[
    (Model::Linearizable, linearizable::check),
    (Model::Sequential, sequential::check),
    (Model::CausalMemory, causal::check_memory),
    (Model::CausalConvergence, causal::check_convergence),
    (Model::Causal, causal::check),
    (Model::Pram, sessions::check_pram),
    (Model::WritesFollowReads, sessions::check_writes_follow_reads),
    (Model::MonotonicReads, sessions::check_monotonic_reads),
    (Model::MonotonicWrites, sessions::check_monotonic_writes),
    (Model::ReadYourWrites, sessions::check_read_your_writes),
];

/// Models that need more than the registers: times, and when faults were healed.
const TIMED: [Model; 2] = [Model::BoundedStaleness, Model::Eventual];

/// The names of all of them, strongest first.
pub const NAMES: &[&str] = &{
    let mut names = [""; DECIDABLE.len() + TIMED.len()];
    let mut at = 0;
    while at < names.len() {
        let model =
            if at < DECIDABLE.len() { DECIDABLE[at].0 } else { TIMED[at - DECIDABLE.len()] };
        names[at] = model.name();
        at += 1;
    }
    names
};

/// How stale a read may be.
pub const STALENESS: &str = "staleness";

/// How long replicas may take to agree.
pub const CONVERGENCE: &str = "convergence";

/// What may be said of registers.
pub const OPTIONS: &[Setting] = &[
    Setting {
        name: STALENESS,
        what: "how stale a read may be, e.g. 500ms, for bounded-staleness; without it reads are measured only",
    },
    Setting {
        name: CONVERGENCE,
        what: "how long replicas may take to agree once all is quiet, e.g. 5s, for eventual; without it no time",
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::Unlimited;

    #[test]
    fn the_table_is_ordered_and_each_check_bears_its_name() {
        assert!(DECIDABLE.is_sorted_by_key(|(model, _)| *model));
        for (model, check) in DECIDABLE {
            assert_eq!(check(&Registers::default(), &Unlimited).name, model.name());
        }
    }
}
