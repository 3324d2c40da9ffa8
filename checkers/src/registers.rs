//! Which models a history of registers can be judged by, and what decides each.

use crate::causal;
use crate::columns::Registers;
use crate::lattice::Table;
use crate::linearizable;
use crate::models::Model;
use crate::sequential;
use crate::sessions;

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

/// Their names, strongest first.
pub const NAMES: &[&str] = &{
    let mut names = [""; DECIDABLE.len()];
    let mut at = 0;
    while at < names.len() {
        names[at] = DECIDABLE[at].0.name();
        at += 1;
    }
    names
};

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
