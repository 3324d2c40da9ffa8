//! What each combinator promises, in virtual time.
//!
//! Operations are single letters. An invocation is written `MS@THREAD LETTER`, with `/KEY` where it has one; the
//! nemesis is thread `n`.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use keelhaul_history::{Kind, Process, Value};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use super::*;
use crate::Outcome;
use crate::interpreter::Dispatch;

const MS: u64 = 1_000_000;
const SECOND: u64 = 1_000 * MS;

fn op(letter: &str) -> Invocation {
    Invocation { f: letter.into(), key: None, value: Value::Null }
}

/// The same letter for ever.
fn letter(name: &str) -> Boxed {
    repeat(op(name)).boxed()
}

/// One operation a letter.
fn word(letters: &str) -> Boxed {
    let all: Vec<_> = letters.chars().map(|c| op(&c.to_string())).collect();
    ops(all).boxed()
}

fn rng(seed: u64) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(seed)
}

fn ok(dispatch: &Dispatch) -> Outcome {
    Outcome::Ok(dispatch.op.value.clone())
}

fn invocations(history: &[Op]) -> impl Iterator<Item = &Op> {
    history.iter().filter(|op| op.kind == Kind::Invoke)
}

fn render(history: &[Op], concurrency: u32) -> String {
    let line = |op: &Op| {
        let thread = match op.process {
            Process::Client(id) => (id % concurrency).to_string(),
            Process::Nemesis => "n".to_owned(),
        };
        let key = op.key.as_ref().map_or_else(String::new, |key| format!("/{key}"));
        format!("{}@{thread} {}{key}", op.time_ns / MS, op.f)
    };
    invocations(history).map(line).collect::<Vec<_>>().join(", ")
}

/// Runs with every operation taking 10 ms and succeeding.
fn check(generator: impl Generator + 'static, concurrency: u32, expected: &str) {
    let history = simulate(generator, concurrency, |_| 10 * MS, ok);
    assert_eq!(render(&history, concurrency), expected);
}

#[test]
fn operations_go_to_whoever_was_idle_longest() {
    check(word("abcde"), 2, "0@0 a, 0@1 b, 10@0 c, 10@1 d, 20@0 e");
    check(word("abcd").delay(20 * MS), 3, "0@0 a, 20@1 b, 40@2 c, 60@0 d");
}

#[test]
fn limit_counts_operations() {
    check(letter("a").limit(3), 2, "0@0 a, 0@1 a, 10@0 a");
    check(letter("a").limit(0), 2, "");
}

#[test]
fn sequence_does_not_wait_and_phases_do() {
    check(sequence([word("abc"), word("de")]), 2, "0@0 a, 0@1 b, 10@0 c, 10@1 d, 20@0 e");
    check(phases([word("abc"), word("de")]), 2, "0@0 a, 0@1 b, 10@0 c, 20@1 d, 20@0 e");
    check(word("abc").then(word("d")), 2, "0@0 a, 0@1 b, 10@0 c, 20@1 d");
}

#[test]
fn phases_wait_for_the_nemesis_too() {
    let first = any_of([word("a"), nemesis(word("x")).boxed()]);
    let latency =
        |dispatch: &Dispatch| if dispatch.thread == Thread::Nemesis { 50 * MS } else { 10 * MS };
    let history = simulate(phases([first.boxed(), word("b")]), 1, latency, ok);
    assert_eq!(render(&history, 1), "0@0 a, 0@n x, 50@0 b");
}

#[test]
fn any_of_takes_turns_and_takes_the_soonest() {
    check(any_of([word("aaa"), word("bb")]), 1, "0@0 a, 10@0 b, 20@0 a, 30@0 b, 40@0 a");
    let late = sequence([sleep(25 * MS).boxed(), word("b")]);
    check(any_of([late.boxed(), word("aaa")]), 1, "0@0 a, 10@0 a, 20@0 a, 30@0 b");
    check(any_of([]), 1, "");
}

#[test]
fn any_of_survives_the_end_of_each() {
    let each = ["abc", "d", "ef", "", "g"].map(word);
    let history = simulate(any_of(each), 1, |_| MS, ok);
    let letters: String = invocations(&history).map(|op| op.f.to_string()).collect();
    assert_eq!(letters, "adegbfc");
}

#[test]
fn any_of_asks_everybody_although_one_before_has_ended() {
    let late = sequence([sleep(100 * MS).boxed(), word("c")]);
    check(any_of([word("a"), word("bb"), late.boxed()]), 1, "0@0 a, 10@0 b, 20@0 b, 100@0 c");
}

#[test]
fn mix_keeps_proportions() {
    let history = simulate(
        mix([(3, letter("a")), (1, letter("b")), (0, letter("c"))], rng(1)).limit(4_000),
        5,
        |_| MS,
        ok,
    );
    let count = |name: &str| invocations(&history).filter(|op| op.f.as_str() == name).count();
    assert!((2_850..3_150).contains(&count("a")), "{}", count("a"));
    assert_eq!((count("a") + count("b"), count("c")), (4_000, 0));
}

#[test]
fn mix_goes_on_with_what_is_left() {
    let history = simulate(mix([(1, word("aa")), (9, word("bbb"))], rng(2)), 1, |_| MS, ok);
    let mut letters: Vec<_> = invocations(&history).map(|op| op.f.to_string()).collect();
    letters.sort();
    assert_eq!(letters.concat(), "aabbb");
}

#[test]
fn a_slow_member_of_a_mix_keeps_its_share() {
    let slow = letter("a").delay(100 * MS);
    let history =
        simulate(mix([(1, slow.boxed()), (1, letter("b"))], rng(3)).limit(400), 4, |_| MS, ok);
    let slow = invocations(&history).filter(|op| op.f.as_str() == "a").count();
    assert!((150..250).contains(&slow), "{slow}");
}

#[test]
fn the_same_seed_gives_the_same_history() {
    let history = |seed| {
        let work = mix([(1, letter("a")), (1, letter("b"))], rng(seed)).stagger(
            500.0,
            Spacing::Poisson,
            rng(seed),
        );
        simulate(work.time_limit(SECOND), 3, |_| 2 * MS, ok)
    };
    assert_eq!(history(7), history(7));
    assert_ne!(history(7), history(8));
}

#[test]
fn stagger_keeps_its_rate_over_all_threads() {
    for spacing in [Spacing::Poisson, Spacing::Uniform] {
        let work = letter("a").stagger(1_000.0, spacing, rng(4)).time_limit(10 * SECOND);
        let history = simulate(work, 50, |_| 20 * MS, ok);
        let count = invocations(&history).count();
        assert!((9_600..10_400).contains(&count), "{spacing:?} {count}");
    }
}

#[test]
fn a_stall_is_not_followed_by_a_flood() {
    let work = letter("a").stagger(1_000.0, Spacing::Uniform, rng(5)).time_limit(6 * SECOND);
    let stalls = |dispatch: &Dispatch| if dispatch.op.f.as_str() == "a" { 3 * SECOND } else { 0 };
    let mut begun = 0;
    let latency = |dispatch: &Dispatch| {
        begun += 1;
        if begun <= 10 { stalls(dispatch) } else { 0 }
    };
    let history = simulate(work, 10, latency, ok);
    let after: Vec<_> = invocations(&history).filter(|op| op.time_ns >= 3 * SECOND).collect();
    let at_once = after.iter().filter(|op| op.time_ns < 3 * SECOND + 10 * MS).count();
    assert!(
        (80..=130).contains(&at_once),
        "a tenth of a second's worth and what is due: {at_once}"
    );
    assert!((2_900..3_250).contains(&after.len()), "{}", after.len());
}

#[test]
fn delay_keeps_a_distance() {
    check(letter("a").delay(15 * MS).limit(3), 4, "0@0 a, 15@1 a, 30@2 a");
}

#[test]
fn time_limit_ends_even_what_waits() {
    check(letter("a").delay(10 * MS).time_limit(25 * MS), 4, "0@0 a, 10@1 a, 20@2 a");
    check(sequence([sleep(SECOND).time_limit(7 * MS).boxed(), word("b")]), 1, "7@0 b");
    check(
        sequence([sleep(5 * MS).boxed(), letter("a").delay(10 * MS).time_limit(15 * MS).boxed()]),
        9,
        "5@0 a, 15@1 a",
    );
    struct Never;
    impl Generator for Never {
        fn next(&mut self, _: &Context<'_>) -> Next {
            Next::Pending
        }
    }
    check(sequence([Never.time_limit(5 * MS).boxed(), word("a")]), 1, "5@0 a");
}

#[test]
fn until_ends_at_an_event_of_its_own_time() {
    let ends = |op: &Op| op.kind == Kind::Ok && op.f.as_str() == "x";
    let faults = sequence([sleep(25 * MS).boxed(), word("x")]);
    let work = letter("a").clients().until(ends);
    check(
        any_of([work.boxed(), nemesis(faults).boxed()]),
        1,
        "0@0 a, 10@0 a, 20@0 a, 25@n x, 30@0 a",
    );
}

#[test]
fn until_does_not_look_back() {
    let threads = Threads::new(1);
    let event = &simulate(word("x"), 1, |_| MS, ok)[1];
    let mut generator = word("a").until(|_| true);
    generator.update(&threads.context(0), event);
    assert!(matches!(generator.next(&threads.context(0)), Next::Op { .. }));
    generator.update(&threads.context(0), event);
    assert_eq!(generator.next(&threads.context(0)), Next::Done);
}

#[test]
fn map_changes_operations() {
    let keyed = word("ab").map(|op| Invocation { key: Some(7.into()), ..op });
    check(keyed, 1, "0@0 a/7, 10@0 b/7");
}

#[test]
fn only_the_nemesis_does_the_nemesis_work() {
    check(
        any_of([word("abc").clients().boxed(), nemesis(word("xy")).boxed()]),
        1,
        "0@0 a, 0@n x, 10@0 b, 10@n y, 20@0 c",
    );
    check(word("abc"), 1, "0@0 a, 10@0 b, 20@0 c");
}

#[test]
fn a_pause_of_the_nemesis_follows_the_end_of_its_operation() {
    let faults = nemesis(sequence([word("x"), sleep(30 * MS).boxed(), word("y")]));
    check(faults, 1, "0@n x, 40@n y");
}

#[test]
fn restricted_generators_hear_of_their_own_threads() {
    struct Hears(Rc<RefCell<String>>);
    impl Generator for Hears {
        fn next(&mut self, _: &Context<'_>) -> Next {
            Next::Done
        }
        fn update(&mut self, _: &Context<'_>, event: &Op) {
            *self.0.borrow_mut() += event.f.as_str();
        }
    }
    struct Both<A>(A, Boxed);
    impl<A: Generator> Generator for Both<A> {
        fn next(&mut self, ctx: &Context<'_>) -> Next {
            self.1.next(ctx)
        }
        fn update(&mut self, ctx: &Context<'_>, event: &Op) {
            self.0.update(ctx, event);
        }
    }
    let work = || any_of([word("a"), nemesis(word("x")).boxed()]).boxed();
    let heard = Rc::new(RefCell::new(String::new()));
    simulate(Both(Hears(Rc::clone(&heard)).clients(), work()), 1, |_| MS, ok);
    assert_eq!(heard.take(), "aa");
    simulate(Both(Hears(Rc::clone(&heard)).nemesis(), work()), 1, |_| MS, ok);
    assert_eq!(heard.take(), "xx");
    let mine = Hears(Rc::clone(&heard)).boxed();
    simulate(Both(reserve([(1, mine)], word("")), word("abc")), 3, |_| MS, ok);
    assert_eq!(heard.take(), "aa");
}

#[test]
fn reserve_divides_threads() {
    let work = reserve([(1, word("aaa")), (2, word("bb"))], word("cc"));
    check(work, 4, "0@0 a, 0@1 b, 0@3 c, 0@2 b, 10@3 c, 10@0 a, 20@0 a");
}

#[test]
fn each_thread_has_its_own() {
    check(each_thread(|i| word(["ab", "c"][i as usize])), 2, "0@0 a, 0@1 c, 10@0 b");
}

#[test]
fn a_log_line_is_written_when_its_turn_comes() {
    let mut threads = Threads::new(1);
    let mut generator = sequence([log("first").boxed(), word("a"), log("second").boxed()]);
    assert!(matches!(generator.next(&threads.context(0)), Next::Op { .. }));
    assert_eq!(threads.take_log(), ["first".into()]);
    assert_eq!(generator.next(&threads.context(0)), Next::Done);
    assert_eq!(threads.take_log(), ["second".into()]);
}

#[test]
fn keys_are_worked_on_by_a_group_each() {
    let work = independent(2, (0..4).map(Value::Int), |_| word("abc"));
    check(
        work,
        4,
        "0@0 a/0, 0@2 a/1, 0@1 b/0, 0@3 b/1, 10@0 c/0, 10@2 c/1, 10@1 a/2, 10@3 a/3, 20@0 b/2, 20@2 b/3, 20@1 c/2, 20@3 c/3",
    );
}

#[test]
fn every_key_is_worked_on_and_every_thread_works() {
    for (concurrency, per_key) in [(1, 1), (3, 5), (7, 2), (10, 3), (130, 4), (5, 0)] {
        let work = independent(per_key, (0..50).map(Value::Int), |_| letter("a").limit(40).boxed());
        let history = simulate(work, concurrency, |_| MS, ok);
        let mut per: BTreeMap<_, (u32, BTreeSet<u32>)> = BTreeMap::new();
        let mut threads = BTreeSet::new();
        for op in invocations(&history) {
            let Process::Client(id) = op.process else { panic!("{op:?}") };
            let (count, who) = per.entry(op.key.clone()).or_default();
            *count += 1;
            who.insert(id % concurrency);
            threads.insert(id % concurrency);
        }
        assert_eq!(per.len(), 50);
        assert!(per.values().all(|(count, _)| *count == 40));
        let groups = (concurrency / per_key.max(1)).max(1);
        let largest = concurrency.div_ceil(groups) as usize;
        assert!(per.values().all(|(_, who)| who.len() <= largest), "{concurrency} {per_key}");
        assert_eq!(threads.len(), concurrency as usize);
    }
}

#[test]
fn a_key_hears_of_its_own_events_only() {
    struct Own(i64, u64);
    impl Generator for Own {
        fn next(&mut self, ctx: &Context<'_>) -> Next {
            self.1 += 1;
            match self.1 {
                4.. => Next::Done,
                _ if !ctx.can_take() => Next::Pending,
                _ => Next::Op { thread: None, op: op("a") },
            }
        }
        fn update(&mut self, _: &Context<'_>, event: &Op) {
            assert_eq!(event.key, Some(Value::Int(self.0)));
        }
    }
    let work = independent(2, (0..20).map(Value::Int), |key| Own(key.as_int().unwrap(), 0).boxed());
    assert!(simulate(work, 6, |_| 7 * MS, ok).len() > 100);
}

#[test]
#[should_panic(expected = "asked for nothing")]
fn endless_keys_with_nothing_to_do_are_noticed() {
    simulate(independent(1, (0..).map(Value::Int), |_| word("")), 1, |_| MS, ok);
}

#[test]
fn ranges_are_seen_across_word_boundaries() {
    let mut threads = Threads::new(200);
    for i in 60..130 {
        threads.occupy(Thread::Client(i));
    }
    let free = |from, to| threads.context(0).range(from..to).free().count();
    assert_eq!(
        (free(0, 64), free(59, 61), free(60, 130), free(63, 65), free(128, 200), free(0, 200)),
        (60, 1, 0, 0, 70, 130)
    );
    assert!(threads.context(0).range(130..200).all_free());
    assert!(!threads.context(0).range(129..200).all_free());
    assert!(threads.context(0).range(300..400).client_threads().is_empty());
}
