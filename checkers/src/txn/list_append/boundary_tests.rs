//! The boundaries of the lattice: for each edge between models of transactions a history that has the weaker model and not the
//! stronger.

use std::collections::BTreeSet;

use super::axioms::{AXIOMATIC, History};
use super::tests::verdict_of;
use crate::models::Model;
use crate::models::drawing::transactions;
use crate::testing::{self, judged};
use crate::txn::MODELS;
use crate::verdict::Verdict;

fn models() -> impl Iterator<Item = Model> {
    MODELS.iter().map(|name| Model::by_name(name).unwrap())
}

/// A drawing that tells the ends of an edge apart; none where no history of lists can, or none is known to.
fn witness(stronger: Model, weaker: Model) -> Option<&'static str> {
    use Model::{
        ConsistentView, CursorStability, ForwardConsistentView, MonotonicAtomicView,
        MonotonicSnapshotReads, MonotonicView, ParallelSnapshotIsolation, Prefix, ReadAtomic,
        ReadCommitted, ReadUncommitted, RepeatableRead, Serializable, SnapshotIsolation,
        StrongReadCommitted, StrongReadUncommitted, StrongSessionReadCommitted,
        StrongSessionReadUncommitted, StrongSessionSerializable, StrongSessionSnapshotIsolation,
        StrongSnapshotIsolation, TransactionalCausal, UpdateAtomic,
    };

    let about = match (stronger, weaker) {
        // Lists know no predicates, without which the two are the same: a phantom that rows have is told apart by
        // `predicates::tests`.
        (Serializable, RepeatableRead) => return None,
        // When transactions begin is not looked at, which is all that tells these apart.
        (ForwardConsistentView, ConsistentView) => return None,
        (StrongSnapshotIsolation, StrongSessionSnapshotIsolation) => {
            StrongSessionSerializable.about().allowed
        }
        (StrongSessionSnapshotIsolation, SnapshotIsolation)
        | (ParallelSnapshotIsolation, ConsistentView) => Serializable.about().allowed,
        (SnapshotIsolation, ForwardConsistentView) | (Prefix, TransactionalCausal) => {
            ParallelSnapshotIsolation.about().allowed
        }
        (MonotonicSnapshotReads | MonotonicView | MonotonicAtomicView, ReadCommitted) => {
            ReadAtomic.about().forbidden
        }
        (CursorStability, ReadCommitted) | (UpdateAtomic, ReadAtomic) => Prefix.about().allowed,
        (ReadAtomic, StrongSessionReadCommitted) => CursorStability.about().allowed,
        (StrongReadCommitted, StrongSessionReadCommitted) => StrongReadUncommitted.about().allowed,
        (StrongSessionReadCommitted, ReadCommitted) => StrongSessionReadUncommitted.about().allowed,
        (StrongReadUncommitted, StrongSessionReadUncommitted) => {
            StrongReadUncommitted.about().forbidden
        }
        (StrongSessionReadUncommitted, ReadUncommitted) => {
            StrongSessionReadUncommitted.about().forbidden
        }
        _ => weaker.about().allowed,
    };
    Some(about.drawing)
}

/// Models that are neither decided nor have axioms here: of their witnesses it is known only that nothing refutes them.
const UNPROVEN: [Model; 3] =
    [Model::ForwardConsistentView, Model::MonotonicSnapshotReads, Model::MonotonicView];

#[test]
fn every_edge_has_a_history_that_tells_its_ends_apart() {
    let mut edges = 0;
    for stronger in models() {
        for weaker in stronger.implied().iter().filter(|model| model.is_transactional()) {
            let Some(drawing) = witness(stronger, *weaker) else { continue };
            let (events, edge) =
                (transactions(drawing), format!("{stronger} -> {weaker}:\n{drawing}"));
            assert_eq!(verdict_of(stronger, &events), Verdict::Invalid, "{edge}");
            let proven = match verdict_of(*weaker, &events) {
                Verdict::Valid => true,
                Verdict::Unknown if AXIOMATIC.contains(weaker) => {
                    History::of(&events).keeps(*weaker)
                }
                Verdict::Unknown => {
                    UNPROVEN.contains(weaker) || *weaker == Model::MonotonicAtomicView
                }
                Verdict::Invalid | Verdict::Vacuous => false,
            };
            assert!(proven, "{edge}");
            edges += 1;
        }
    }
    assert!(edges > 35, "{edges}");
}

#[test]
fn drawings_are_judged_as_their_axioms_say() {
    let about = models().map(Model::about);
    let drawings = about.flat_map(|about| [about.allowed.drawing, about.forbidden.drawing]);
    for drawing in drawings.collect::<BTreeSet<_>>() {
        let events = transactions(drawing);
        let (judgement, history) = (judged("list-append", &[], &events), History::of(&events));
        for model in AXIOMATIC {
            let wrong = if history.keeps(model) { Verdict::Invalid } else { Verdict::Valid };
            assert_ne!(testing::verdict_of(model, &judgement), wrong, "{model}:\n{drawing}");
        }
    }
}
