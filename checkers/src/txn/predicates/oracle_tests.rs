//! Small random histories against all serial orders: is there one in which every read, by key or by predicate, finds what it
//! found, and the versions of each key come in the order that the store's numbers say?

use std::fmt::Write as _;

use proptest::prelude::*;

use crate::models::Model;
use crate::testing::{judged, verdict_of};
use crate::verdict::Verdict;

const KEYS: usize = 2;

/// What is left of a key.
type Held = Option<usize>;

/// An operation on a key, by kind, and a choice.
#[derive(Clone, Copy, Debug)]
struct Micro {
    kind: u8,
    key: usize,
    choice: usize,
}

/// A transaction's operations; reads are of the state that `from` transactions of the order made.
#[derive(Clone, Debug)]
struct Txn {
    ops: Vec<Micro>,
    from: usize,
}

fn case() -> impl Strategy<Value = Vec<Txn>> {
    let micro = (0..5_u8, 0..KEYS, 0..3_usize);
    let micro = micro.prop_map(|(kind, key, choice)| Micro { kind, key, choice });
    let txn = (prop::collection::vec(micro, 1..=3), 0..6_usize);
    prop::collection::vec(txn.prop_map(|(ops, from)| Txn { ops, from }), 2..=5)
}

/// What a transaction does: what it finds, and leaves.
#[derive(Clone, Debug)]
enum Did {
    Left(usize, Held),
    Read(usize, Held),
    /// Numbers with this rest when divided by 2, or all.
    Matched(Option<usize>, Vec<Held>),
}

fn matches(rest: Option<usize>, held: Held) -> bool {
    held.is_some_and(|value| rest.is_none_or(|rest| value % 2 == rest))
}

/// What is read of a state in which the transaction's own writes are.
fn find(did: &Did, state: &[Held]) -> Did {
    match did {
        Did::Left(..) => did.clone(),
        Did::Read(key, _) => Did::Read(*key, state[*key]),
        Did::Matched(rest, _) => {
            let found = state.iter().map(|held| held.filter(|v| matches(*rest, Some(*v))));
            Did::Matched(*rest, found.collect())
        }
    }
}

/// Plays one transaction on a state.
fn play(txn: &mut [Did], state: &mut [Held]) {
    for did in txn {
        *did = find(did, state);
        if let Did::Left(key, held) = did {
            state[*key] = *held;
        }
    }
}

/// What transactions did, when they read what the first `from` of them had made.
fn run(case: &[Txn]) -> Vec<Vec<Did>> {
    let asked = case.iter().enumerate().map(|(txn, of)| {
        let ops = of.ops.iter().enumerate().map(|(at, op)| match op.kind {
            0 => Did::Left(op.key, None),
            1 | 2 => Did::Left(op.key, Some(2 * (txn * 10 + at + 1) + op.choice % 2)),
            3 => Did::Read(op.key, None),
            _ => Did::Matched([None, Some(0), Some(1)][op.choice], Vec::new()),
        });
        ops.collect()
    });
    let mut all: Vec<Vec<Did>> = asked.collect();
    for txn in 0..all.len() {
        let mut state = vec![None; KEYS];
        for (_, before) in all.iter().enumerate().take(case[txn].from).filter(|(at, _)| *at != txn)
        {
            play(&mut before.clone(), &mut state);
        }
        play(&mut all[txn], &mut state);
    }
    all
}

fn text(all: &[Vec<Did>]) -> String {
    let (mut begins, mut ends) = (String::new(), String::new());
    let value = |held: Held| held.map_or("null".into(), |value| value.to_string());
    for (txn, dids) in all.iter().enumerate() {
        let dids = dids.iter().map(|did| match did {
            Did::Left(key, held) => format!("[\"w\",{key},{},{txn}]", value(*held)),
            Did::Read(key, held) => format!("[\"r\",{key},{}]", value(*held)),
            Did::Matched(rest, found) => {
                let predicate =
                    rest.map_or("\"true\"".into(), |rest| format!("[\"mod\",2,{rest}]"));
                let found = found.iter().enumerate().filter(|(_, held)| held.is_some());
                let found = found.map(|(key, held)| format!("\"{key}\":{}", value(*held)));
                format!("[\"rp\",{predicate},{{{}}}]", found.collect::<Vec<_>>().join(","))
            }
        });
        writeln!(begins, "{txn} invoke txn []").unwrap();
        writeln!(ends, "{txn} ok txn [{}]", dids.collect::<Vec<_>>().join(",")).unwrap();
    }
    begins + &ends
}

/// Whether some order explains everything, in which writers of a key come in the order of their numbers.
fn serial(all: &[Vec<Did>], order: &mut Vec<usize>, state: &[Held]) -> bool {
    if order.len() == all.len() {
        return true;
    }
    let writes = |txn: usize, key: usize| {
        all[txn].iter().any(|did| matches!(did, Did::Left(left, _) if *left == key))
    };
    for txn in 0..all.len() {
        let early = |other: usize| {
            other < txn
                && !order.contains(&other)
                && (0..KEYS).any(|key| writes(other, key) && writes(txn, key))
        };
        if order.contains(&txn) || (0..all.len()).any(early) {
            continue;
        }
        let (mut played, mut next) = (all[txn].clone(), state.to_vec());
        play(&mut played, &mut next);
        if format!("{played:?}") != format!("{:?}", all[txn]) {
            continue;
        }
        order.push(txn);
        if serial(all, order, &next) {
            return true;
        }
        order.pop();
    }
    false
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3_000, ..ProptestConfig::default() })]

    #[test]
    fn serializability_is_an_order_that_explains_everything(case in case()) {
        let all = run(&case);
        let history = text(&all);
        let judgement = judged("closed-predicate", &[], &history);
        if judgement.checks.iter().any(|check| check.verdict == Verdict::Vacuous) {
            return Ok(());
        }
        let exists = serial(&all, &mut Vec::new(), &[None; KEYS]);
        // All were in flight at once, so real time says nothing.
        for model in [Model::Serializable, Model::StrictSerializable] {
            match verdict_of(model, &judgement) {
                Verdict::Valid => prop_assert!(exists, "{model}: {history}"),
                Verdict::Invalid => prop_assert!(!exists, "{model}: {history}\n{judgement:#?}"),
                _ => {}
            }
        }
        // What is wrong is found, unless several versions fit.
        if !exists {
            prop_assert!(verdict_of(Model::Serializable, &judgement) != Verdict::Valid, "{history}");
        }
    }
}
