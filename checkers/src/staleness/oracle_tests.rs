//! Bounded staleness against its definition, by trying every order, on many small random histories.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::budget::Unlimited;
use crate::columns::{Function, INITIAL, NEVER, RegisterKey, RegisterOp};
use crate::linearizable::oracle_tests::history;
use crate::models::drawing;

/// Whether some order in which an operation comes after all that ended before it began, or for a read before the bound before it
/// began, explains all results.
fn oracle(ops: &[RegisterOp], bound_ns: u64) -> bool {
    fn begin(op: &RegisterOp, bound_ns: u64) -> (u64, bool) {
        let moved = op.f == Function::Read && bound_ns > 0;
        (if moved { op.start_ns.saturating_sub(bound_ns) } else { op.start_ns }, moved)
    }
    fn go(ops: &[RegisterOp], bound_ns: u64, placed: u32, state: u32) -> bool {
        let open = |row: &usize| placed >> row & 1 == 0;
        if (0..ops.len()).filter(open).all(|row| !ops[row].completed()) {
            return true;
        }
        (0..ops.len()).filter(open).any(|row| {
            let op = &ops[row];
            let (start_ns, moved) = begin(op, bound_ns);
            let before = |other: &RegisterOp| {
                let earlier = other.end_ns < start_ns || (!moved && other.end_ns == start_ns);
                other.completed() && earlier && other.ret != op.ret
            };
            if (0..ops.len()).filter(open).any(|other| before(&ops[other])) {
                return false;
            }
            let next = match op.f {
                Function::Read if op.a == state => state,
                Function::Write => op.a,
                Function::Cas if op.a == state => op.b,
                Function::Miss if op.a != state => state,
                _ => return false,
            };
            go(ops, bound_ns, placed | 1 << row, next)
        })
    }
    go(ops, bound_ns, 0, INITIAL)
}

fn registers(rng: &mut ChaCha8Rng) -> Registers {
    let (mut ops, ..) = history(rng);
    // Times rise with positions, by uneven steps.
    let mut times = vec![0_u64];
    for _ in 0..64 {
        times.push(times[times.len() - 1] + rng.random_range(1..8));
    }
    let mut values = INITIAL;
    for op in &mut ops {
        op.start_ns = times[op.call as usize];
        op.end_ns = if op.ret == NEVER { 0 } else { times[op.ret as usize] };
        values = values.max(op.a).max(op.b);
    }
    let values = (0..=i64::from(values)).map(keelhaul_history::Value::Int).collect();
    Registers { keys: vec![RegisterKey { key: None, ops, values }] }
}

/// Without any one operation, and what found its value if nobody else left it, the rest is as it should be.
fn assert_minimal(seed: u64, part: &[RegisterOp], bound_ns: u64) {
    for without in part {
        let left = |value: u32| {
            let kept = part.iter().filter(|op| op.call != without.call);
            value == INITIAL || kept.filter_map(RegisterOp::produces).any(|other| other == value)
        };
        let lost = |op: &&RegisterOp| {
            op.call == without.call
                || (without.produces().is_some() && op.consumes() == without.produces())
                || op.consumes().is_some_and(|value| !left(value)) && part.len() > 1
        };
        let rest: Vec<RegisterOp> = part.iter().filter(|op| !lost(op)).copied().collect();
        assert!(oracle(&rest, bound_ns), "seed {seed}: without {without:?} of {part:#?}");
    }
}

#[test]
fn bounds_are_as_defined() {
    let mut seen = [0; 2];
    for seed in 7_004_000..7_008_000 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let registers = registers(&mut rng);
        let ops = &registers.keys[0].ops;
        let bound_ns = rng.random_range(0..30);
        let check = check(&registers, Some(bound_ns), &Unlimited);
        let reads = ops.iter().any(|op| op.consumes().is_some() && op.completed());
        if !reads {
            assert!(check.verdict != Verdict::Valid, "seed {seed}: {check:?}");
            continue;
        }
        let kept = oracle(ops, bound_ns);
        assert_eq!(
            check.verdict == Verdict::Valid,
            kept,
            "seed {seed} {bound_ns}: {check:#?} {ops:#?}"
        );
        assert!(kept || check.verdict == Verdict::Invalid, "seed {seed}: {check:#?}");
        seen[usize::from(kept)] += 1;
        if let Some(evidence) = check.evidence {
            let shown =
                |op: &&RegisterOp| evidence.ops.iter().any(|o| o.index == u64::from(op.call));
            let part: Vec<RegisterOp> = ops.iter().filter(shown).copied().collect();
            assert_eq!(part.len(), evidence.ops.len(), "seed {seed}: {evidence:#?}");
            assert!(!oracle(&part, bound_ns), "seed {seed}: {evidence:#?} {ops:#?}");
            if evidence.minimal && part.iter().all(|op| op.f != Function::Cas) {
                assert_minimal(seed, &part, bound_ns);
            }
        }
    }
    assert!(seen.iter().all(|n| *n > 400), "{seen:?}");
}

#[test]
fn what_is_measured_exactly_is_the_least_bound() {
    let mut seen = 0;
    for seed in 10_000..16_000 {
        let registers = registers(&mut ChaCha8Rng::seed_from_u64(seed));
        let ops = &registers.keys[0].ops;
        let measured = measure(&registers);
        let most = measured.sorted().last().copied().unwrap_or(0);
        // What no bound makes right is not staleness; and a cas is to be current.
        let other = !oracle(ops, u64::MAX) || ops.iter().any(|op| op.f == Function::Cas);
        if other || measured.repeated > 0 {
            continue;
        }
        assert!(most == 0 || !oracle(ops, most - 1), "seed {seed}: {most} {ops:#?}");
        if measured.at_least.is_empty() {
            assert!(oracle(ops, most.max(1)), "seed {seed}: {most} {ops:#?}");
            seen += u32::from(most > 0);
        }
    }
    assert!(seen > 50, "{seen}");
}

#[test]
fn a_stale_read_is_told() {
    let model = Model::BoundedStaleness.about();
    let allowed = drawing::registers(model.allowed.drawing);
    assert_eq!(check(&allowed, Some(28_000_000_000), &Unlimited).verdict, Verdict::Valid);
    let registers = drawing::registers(model.forbidden.drawing);
    let judged = |bound_ns| check(&registers, bound_ns, &Unlimited);
    assert_eq!(judged(None).verdict, Verdict::Unknown);
    assert_eq!(judged(None).details["staleness-ns"]["max"], json!(48_000_000_000_u64));
    assert_eq!(judged(Some(48_000_000_000)).verdict, Verdict::Valid);
    let check = judged(Some(30_000_000_000));
    assert_eq!(
        (check.verdict, &check.anomalies[..]),
        (Verdict::Invalid, &["stale-read".to_string()][..])
    );
    let evidence = check.evidence.unwrap();
    assert!(evidence.minimal);
    assert_eq!(
        evidence.explanation,
        [
            "Process 1 read null, beginning at 61.000 s.",
            "Process 0 had written 1 by 13.000 s.",
            "null is the initial value.",
            "So null was stale by 48000 ms, and 30000 ms are allowed.",
        ]
    );
}
