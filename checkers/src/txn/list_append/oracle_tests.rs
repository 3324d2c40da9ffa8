//! Small random histories against the definitions themselves: is there an order of the transactions that explains every
//! read? All orders are tried.

use proptest::prelude::*;

use super::axioms::{AXIOMATIC, History};
use super::tests::verdict_of;
use crate::models::Model;
use crate::testing::{self, judged};
use crate::verdict::Verdict;

/// An operation: whether it appends, on which key, and which of several lists a read returns.
#[derive(Clone, Copy, Debug)]
struct Micro {
    append: bool,
    key: usize,
    choice: usize,
}

/// Transactions, each with the process and the ends of its interval.
#[derive(Clone, Debug)]
struct Case {
    txns: Vec<Vec<Micro>>,
    processes: Vec<usize>,
    /// Events in order: transactions by number, each twice.
    events: Vec<usize>,
}

/// Whether one transaction must precede another.
type Before<'a> = &'a dyn Fn(usize, usize) -> bool;

const KEYS: usize = 2;
const PROCESSES: usize = 3;

fn micro() -> impl Strategy<Value = Micro> {
    (any::<bool>(), 0..KEYS, 0..6_usize).prop_map(|(append, key, choice)| Micro {
        append,
        key,
        choice,
    })
}

fn case() -> impl Strategy<Value = Case> {
    let txns = prop::collection::vec(prop::collection::vec(micro(), 1..=3), 2..=5);
    (txns, prop::collection::vec(0..PROCESSES, 5), prop::collection::vec(any::<u32>(), 10))
        .prop_map(|(txns, processes, ranks)| {
            let mut events = Vec::new();
            // Processes take turns as the ranks say; each ends what it began before it begins again.
            let mut queues: Vec<Vec<usize>> = vec![Vec::new(); PROCESSES];
            for txn in (0..txns.len()).rev() {
                queues[processes[txn]].extend([txn, txn]);
            }
            for rank in ranks {
                let waiting: Vec<usize> =
                    (0..PROCESSES).filter(|p| !queues[*p].is_empty()).collect();
                let Some(process) = waiting.get(rank as usize % waiting.len().max(1)) else {
                    break;
                };
                events.extend(queues[*process].pop());
            }
            queues.into_iter().flatten().for_each(|txn| events.push(txn));
            Case { txns, processes, events }
        })
}

/// What each operation appended or read, and the order in which elements of each key stand.
struct Run {
    lists: Vec<Vec<Vec<i64>>>,
    orders: Vec<Vec<i64>>,
}

/// Values by transaction and operation: appended values count up; reads return a beginning of one order of all appends,
/// with the transaction's own earlier appends known.
fn run(case: &Case) -> Run {
    let mut orders: Vec<Vec<i64>> = vec![Vec::new(); KEYS];
    for (txn, ops) in case.txns.iter().enumerate() {
        for (at, op) in ops.iter().enumerate().filter(|(_, op)| op.append) {
            let place = op.choice % (orders[op.key].len() + 1);
            orders[op.key].insert(place, value(txn, at));
        }
    }
    let lists = case.txns.iter().enumerate().map(|(txn, ops)| {
        let read = |(at, op): (usize, &Micro)| {
            let order = &orders[op.key];
            if op.append {
                vec![value(txn, at)]
            } else {
                order[..op.choice % (order.len() + 1)].to_vec()
            }
        };
        ops.iter().enumerate().map(read).collect()
    });
    Run { lists: lists.collect(), orders }
}

const fn value(txn: usize, at: usize) -> i64 {
    (txn * 10 + at + 1) as i64
}

fn text(case: &Case, run: &Run) -> String {
    let mut begun = vec![false; case.txns.len()];
    let mut out = String::new();
    let mut event = |process: usize, kind: &str, txn: usize, done: bool| {
        let ops = case.txns[txn].iter().zip(&run.lists[txn]).map(|(op, list)| {
            let key = op.key;
            match (op.append, done) {
                (true, _) => format!("[\"append\",{key},{}]", list[0]),
                (false, true) => format!("[\"r\",{key},{list:?}]"),
                (false, false) => format!("[\"r\",{key},null]"),
            }
        });
        let ops = ops.collect::<Vec<_>>().join(",").replace(' ', "");
        out += &format!("{process} {kind} txn [{ops}]\n");
    };
    for txn in &case.events {
        let kind = if std::mem::replace(&mut begun[*txn], true) { "ok" } else { "invoke" };
        event(case.processes[*txn], kind, *txn, kind == "ok");
    }
    // Everything is seen in the end, so every order is known.
    for key in 0..KEYS {
        out += &format!("{} invoke txn [[\"r\",{key},null]]\n", PROCESSES + key);
        let list = format!("{:?}", run.orders[key]).replace(' ', "");
        out += &format!("{} ok txn [[\"r\",{key},{list}]]\n", PROCESSES + key);
    }
    out
}

/// Whether some order of the transactions explains all lists. The last reads see everything, so the appends must stand in
/// the order that they show. `before` says which transactions must precede which.
fn explained(case: &Case, run: &Run, before: Before<'_>) -> bool {
    let mut order = Vec::new();
    extend(case, run, before, &mut order, &vec![Vec::new(); KEYS])
}

fn extend(
    case: &Case,
    run: &Run,
    before: Before<'_>,
    order: &mut Vec<usize>,
    state: &[Vec<i64>],
) -> bool {
    let count = case.txns.len();
    if order.len() == count {
        return state == run.orders;
    }
    for txn in (0..count).filter(|txn| !order.contains(txn)).collect::<Vec<_>>() {
        let early =
            (0..count).any(|other| other != txn && !order.contains(&other) && before(other, txn));
        let Some(next) = (!early).then(|| apply(case, run, txn, state)).flatten() else { continue };
        order.push(txn);
        if extend(case, run, before, order, &next) {
            return true;
        }
        order.pop();
    }
    false
}

/// The state after a transaction, if its reads fit.
fn apply(case: &Case, run: &Run, txn: usize, state: &[Vec<i64>]) -> Option<Vec<Vec<i64>>> {
    let mut state = state.to_vec();
    for (op, list) in case.txns[txn].iter().zip(&run.lists[txn]) {
        if op.append {
            state[op.key].push(list[0]);
        } else if state[op.key] != *list {
            return None;
        }
    }
    Some(state)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    #[test]
    fn serializability_is_an_order_that_explains_everything(case in case()) {
        let run = run(&case);
        let history = text(&case, &run);
        let at = |txn: usize, last: bool| {
            let mut places = case.events.iter().enumerate().filter(|(_, t)| **t == txn).map(|(at, _)| at);
            let first = places.next().unwrap();
            if last { places.next().unwrap() } else { first }
        };
        let in_time = |a: usize, b: usize| at(a, true) < at(b, false);
        let in_session = |a: usize, b: usize| case.processes[a] == case.processes[b] && in_time(a, b);
        let models: [(Model, Before<'_>); 3] = [
            (Model::StrictSerializable, &in_time),
            (Model::StrongSessionSerializable, &in_session),
            (Model::Serializable, &|_, _| false),
        ];
        // Where nothing depends on anything there is nothing to say.
        let vacuous = verdict_of(Model::StrictSerializable, &history) == Verdict::Vacuous;
        for (model, before) in models.into_iter().filter(|_| !vacuous) {
            let found = verdict_of(model, &history);
            let expected = if explained(&case, &run, before) { Verdict::Valid } else { Verdict::Invalid };
            prop_assert!(found == expected, "{model} is {found:?}, not {expected:?}:\n{history}");
        }
    }
}

proptest! {
    // Trying all orders of commits takes its time.
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn weaker_models_are_what_their_axioms_say(case in case()) {
        let text = text(&case, &run(&case));
        let judgement = judged("list-append", &[], &text);
        // The axioms do not know what is wrong with single reads.
        let single = ["internal", "future-read", "G1b", "incompatible-order"];
        let known = !judgement.anomalies.iter().any(|name| single.contains(&name.as_str()));
        let history = History::of(&text);
        for model in AXIOMATIC.iter().filter(|_| known) {
            let verdict = testing::verdict_of(*model, &judgement);
            if let Verdict::Valid | Verdict::Invalid = verdict {
                let keeps = history.keeps(*model);
                prop_assert!(keeps == (verdict == Verdict::Valid), "{model} is {verdict:?}, and by its axioms {keeps}:\n{text}");
            }
        }
    }
}
