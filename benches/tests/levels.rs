//! Simulated databases of known isolation: each is judged to have what it promises, and found not to have more.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic, as tests do")]

use keelhaul_benches::txns::{Isolation, TxnOptions, write_txn_history};
use keelhaul_checkers::models::Model;
use keelhaul_checkers::{JudgeRequest, Judgement, Unlimited, Verdict, judge};
use keelhaul_history::Reader;

fn judged(isolation: Isolation, txns: u64, seed: u64) -> Judgement {
    let options = TxnOptions {
        txns,
        clients: 6,
        keys: 4,
        writes_per_key: 40,
        isolation,
        seed,
        ..TxnOptions::default()
    };
    let history = write_txn_history(Vec::new(), &options).unwrap();
    let request = JudgeRequest { workload: "list-append".into(), ..JudgeRequest::default() };
    judge(Reader::new(&history[..]).unwrap(), &request, &Unlimited).unwrap()
}

fn verdict(judgement: &Judgement, model: Model) -> Verdict {
    let check = judgement.checks.iter().find(|check| check.name == model.name());
    let standing = judgement.standing.iter().find(|standing| standing.model == model.name());
    check.map(|c| c.verdict).or(standing.map(|s| s.verdict)).unwrap_or(Verdict::Unknown)
}

/// What a level has, always; and what it does not have, in most histories.
fn promises(isolation: Isolation) -> (&'static [Model], &'static [Model]) {
    match isolation {
        Isolation::Serial => (&[Model::StrictSerializable], &[]),
        Isolation::Snapshot => (&[Model::StrongSnapshotIsolation], &[Model::Serializable]),
        Isolation::ParallelSnapshot => (
            &[Model::ParallelSnapshotIsolation],
            &[Model::SnapshotIsolation, Model::StrongSnapshotIsolation],
        ),
        Isolation::ReadCommitted => (
            &[Model::StrongReadCommitted],
            &[Model::ConsistentView, Model::CursorStability, Model::ReadAtomic],
        ),
        Isolation::ReadUncommitted => (&[Model::ReadUncommitted], &[Model::ReadCommitted]),
        Isolation::Nothing => (&[], &[Model::ReadUncommitted]),
    }
}

const LEVELS: [Isolation; 6] = [
    Isolation::Serial,
    Isolation::Snapshot,
    Isolation::ParallelSnapshot,
    Isolation::ReadCommitted,
    Isolation::ReadUncommitted,
    Isolation::Nothing,
];

#[test]
fn every_level_is_told_for_what_it_is() {
    const SEEDS: u64 = 12;

    for isolation in LEVELS {
        let (kept, broken) = promises(isolation);
        let judgements: Vec<Judgement> =
            (0..SEEDS).map(|seed| judged(isolation, 400, seed)).collect();
        for (seed, judgement) in judgements.iter().enumerate() {
            for model in kept {
                let verdict = verdict(judgement, *model);
                let found = &judgement.anomalies;
                assert_eq!(verdict, Verdict::Valid, "{isolation:?} {seed}: {model}: {found:?}");
            }
        }
        for model in broken {
            let found = judgements.iter().filter(|j| verdict(j, *model) == Verdict::Invalid);
            let found = found.count() as u64;
            assert!(found > SEEDS / 2, "{isolation:?} is {model} in all but {found}");
        }
    }
}

/// Everything that a long history of the level has, in the fewest words: models that do not imply each other.
const fn strongest(isolation: Isolation) -> &'static [Model] {
    match isolation {
        Isolation::Serial => &[Model::StrictSerializable],
        Isolation::Snapshot => &[Model::StrongSnapshotIsolation],
        // Both sites append to a list in the order in which they commit.
        Isolation::ParallelSnapshot => {
            &[Model::ParallelSnapshotIsolation, Model::StrongReadCommitted]
        }
        Isolation::ReadCommitted => &[Model::StrongReadCommitted],
        Isolation::ReadUncommitted => &[Model::StrongReadUncommitted],
        Isolation::Nothing => &[],
    }
}

#[test]
fn a_long_history_has_its_level_and_nothing_above() {
    for isolation in LEVELS {
        let judgement = judged(isolation, 4_000, 1);
        let expected: Vec<&str> = strongest(isolation).iter().map(|model| model.name()).collect();
        assert_eq!(judgement.strongest, expected, "{isolation:?}: {:?}", judgement.anomalies);
    }
}
