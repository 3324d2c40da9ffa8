//! Histories of sets, counters, queues, locks and banks in a short notation, through the one entry.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic, as tests do")]

mod notation;

use keelhaul_checkers::{Check, JudgeError, JudgeRequest, Settings, Unlimited, Verdict, judge};
use keelhaul_history::{Reader, Value};
use notation::{jsonl, jsonl_every};
use serde_json::{Value as Json, json};

fn judged(workload: &str, options: &str, history: &str) -> Result<Check, JudgeError> {
    let options = options.split_whitespace().map(|option| {
        let (name, value) = option.split_once('=').unwrap();
        (name.to_string(), Value::from_json(value).unwrap())
    });
    let settings = Settings { options: options.collect(), ..Settings::default() };
    let request = JudgeRequest { workload: workload.into(), settings, ..JudgeRequest::default() };
    let judgement = judge(Reader::new(history.as_bytes()).unwrap(), &request, &Unlimited)?;
    Ok(judgement.checks.into_iter().next().unwrap())
}

/// Judges events with options like `drained=true`; `anomalies` are expected, separated by blanks.
#[track_caller]
fn check(workload: &str, options: &str, events: &str, verdict: Verdict, anomalies: &str) -> Check {
    let check = judged(workload, options, &jsonl(events)).unwrap();
    assert_eq!(check.verdict, verdict, "{check:#?}");
    assert_eq!(check.anomalies.join(" "), anomalies, "{check:#?}");
    assert_eq!(check.evidence.is_some(), verdict == Verdict::Invalid);
    check
}

#[track_caller]
fn valid(workload: &str, options: &str, events: &str) -> Check {
    check(workload, options, events, Verdict::Valid, "")
}

#[track_caller]
fn vacuous(workload: &str, options: &str, events: &str) -> Check {
    check(workload, options, events, Verdict::Vacuous, "")
}

#[track_caller]
fn unknown(workload: &str, options: &str, events: &str) -> Check {
    check(workload, options, events, Verdict::Unknown, "")
}

#[track_caller]
fn invalid(workload: &str, options: &str, events: &str, anomalies: &str) -> Check {
    check(workload, options, events, Verdict::Invalid, anomalies)
}

/// What the evidence shows: its operations, and its sentences.
fn shown(check: &Check) -> (Vec<&str>, Vec<&str>) {
    let evidence = check.evidence.as_ref().unwrap();
    let labels = evidence.ops.iter().map(|op| op.label.as_str()).collect();
    (labels, evidence.explanation.iter().map(String::as_str).collect())
}

#[track_caller]
fn counts(check: &Check, expected: &Json) {
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(check.details.get(name), Some(value), "{name} of {:#?}", check.details);
    }
}

#[test]
fn the_last_read_has_what_was_acknowledged_before_it_began() {
    valid("set-final", "", "1+add 1; 1=; 2+add 2; 2?; 3+read; 3=[1]");
    let found = valid("set-final", "", "1+add 1; 1=; 2+add 2; 2?; 3+read; 3=[2,1]");
    counts(
        &found,
        &json!({"attempt-count": 2, "acknowledged-count": 1, "ok-count": 2, "recovered": [2]}),
    );
    let lost = invalid("set-final", "", "1+add 1; 1=; 3+read; 3=[]", "lost");
    assert_eq!(shown(&lost).0, ["add 1", "read -> 0 elements, without 1"]);
    assert!(lost.evidence.as_ref().unwrap().minimal);
    // Acknowledged while the read ran: it may have come before.
    valid("set-final", "", "2+add 2; 2=; 3+read; 1+add 1; 1=; 3=[2]");
    // An earlier read does not count.
    valid("set-final", "", "1+add 1; 1=; 3+read; 3=[]; 3+read; 3=[1]");
    invalid("set-final", "", "1+add 1; 1!; 3+read; 3=[1]", "aborted-read");
    invalid("set-final", "", "1+add 1; 1=; 3+read; 3=[1,7]", "unexpected");
    invalid("set-final", "", "1+add 1; 1=; 3+read; 3=[1,1]", "duplicate");
    vacuous("set-final", "", "");
    vacuous("set-final", "", "1+add 1; 1=; 3+read; 3?");
    vacuous("set-final", "", "1+add 1; 1?; 3+read; 3=[]");
}

#[test]
fn elements_are_stable_stale_lost_or_never_read() {
    valid("set-full", "", "1+add 1; 1=; 2+read; 2=[1]");
    vacuous("set-full", "", "1+add 1; 1=");
    vacuous("set-full", "", "2+read; 1+add 1; 1=; 2=[]");
    let lost = invalid("set-full", "", "1+add 1; 1=; 2+read; 2=[1]; 2+read; 2=[]", "lost");
    counts(&lost, &json!({"lost": [1], "lost-count": 1, "stable-count": 0}));
    let (labels, words) = shown(&lost);
    assert_eq!(labels, ["add 1", "read -> 1 element, with 1", "read -> 0 elements, without 1"]);
    assert_eq!(
        words,
        [
            "Process 1's `add 1` had completed 0.000000 s before process 2's read began, and that read does not have it.",
            "The last read to have it, by process 2, began at 0.000000 s; it is shown for comparison.",
            "No read that began later has 1: it is lost."
        ]
    );
    // Never acknowledged, but seen: that is enough to be known.
    let lost = invalid("set-full", "", "1+add 1; 1?; 2+read; 2=[1]; 2+read; 2=[]", "lost");
    assert_eq!(shown(&lost).0.len(), 3);
    let stale = "1+add 1; 1=; 2+read; 2=[]; 2+read; 2=[1]";
    counts(&valid("set-full", "", stale), &json!({"stale-count": 1, "stale": [1]}));
    invalid("set-full", "linearizable=true", stale, "stale");
    // Added again: what was known stays known.
    invalid(
        "set-full",
        "linearizable=true",
        "1+add 1; 1=; 2+read; 2=[]; 1+add 1; 1=; 2+read; 2=[1]",
        "stale",
    );
    let most = invalid("set-full", "", "1+add 1; 1=; 2+read; 2=[1,1,1]", "duplicate");
    assert!(shown(&most).1[0].contains("3 times"));
    invalid("set-full", "", "2+read; 2=[1]; 1+add 1; 1=", "unexpected");
    invalid("set-full", "", "1+add 1; 1!; 2+read; 2=[1]", "aborted-read");
    vacuous("set-full", "", "1+add 1; 1!; 2+read; 2=[]");
}

#[test]
fn latencies_run_from_when_an_element_was_known() {
    let events =
        "1+add 1; 1=; 2+read; 2=[]; 2+read; 2=[1]; 1+add 2; 1=; 2+read; 2=[1,2]; 2+read; 2=[1]";
    let history = jsonl_every(events, 1_000_000);
    let found = judged("set-full", "", &history).unwrap();
    let quantiles = |ms: u64| json!({"0": ms, "0.5": ms, "0.95": ms, "0.99": ms, "1": ms});
    counts(
        &found,
        &json!({
            "stable-latencies": quantiles(1),
            "lost-latencies": quantiles(1),
            "worst-stale": [{"element": 1, "stable-latency-ms": 1, "known": 1, "last-absent": 2}],
            "lost": [2],
        }),
    );
}

#[test]
fn reads_of_a_counter_are_within_bounds() {
    valid("counter-bounds", "", "1+read; 1=0");
    valid("counter-bounds", "", "1+add 1; 1!; 2+read; 2=0");
    valid("counter-bounds", "", "1+add 5; 2+read; 2=5; 1?");
    valid("counter-bounds", "", "1+add 5; 2+read; 2=0; 1=");
    // Within the bounds, but no order gives it.
    valid("counter-bounds", "", "1+add 10; 2+read; 2=5; 1=");
    valid("counter-bounds", "", "1+add -3; 2+read; 2=-3; 1?");
    invalid("counter-bounds", "", "1+add 1; 1!; 2+read; 2=1", "out-of-bounds");
    let low = "1+add 1; 1=; 3+add 3; 3=; 3+add 2; 3=; 2+read; 2=3; 2+read; 2=6";
    let low = invalid("counter-bounds", "", low, "out-of-bounds");
    counts(&low, &json!({"read-count": 2, "error-count": 1, "errors": [[6, 3, 6]]}));
    assert_eq!(shown(&low).0, ["add 3", "add 2", "read -> 3"]);
    let high = invalid("counter-bounds", "", "2+read; 2=1; 1+add 1; 1=", "out-of-bounds");
    counts(&high, &json!({"errors": [[0, 1, 0]], "worst": [0, 1, 0]}));
    vacuous("counter-bounds", "", "1+add 1; 1=");
}

#[test]
fn ids_are_different() {
    valid("unique-ids", "", "1+generate; 1=0; 2+generate; 2=\"a\"; 3+generate; 3?");
    let same = "1+generate; 1=7; 2+generate; 2=8; 2+generate; 2=7; 2+generate; 2=7";
    let same = invalid("unique-ids", "", same, "duplicate");
    counts(
        &same,
        &json!({"attempted-count": 4, "acknowledged-count": 4, "duplicated": [[7, 3]], "range": [7, 8]}),
    );
    assert_eq!(shown(&same).0, ["generate -> 7"; 2]);
    vacuous("unique-ids", "", "1+generate; 1=0");
}

#[test]
fn what_comes_out_of_a_queue_went_in() {
    for workload in ["queue-sources", "total-queue"] {
        valid(workload, "", "2+dequeue; 1+enqueue 1; 2=1; 1?");
        invalid(workload, "", "2+dequeue; 2=1; 1+enqueue 1; 1=", "unexpected");
        invalid(workload, "", "1+enqueue 1; 1!; 2+dequeue; 2=1", "aborted-read");
        invalid(workload, "", "2+drain; 2=[9]", "unexpected");
    }
    let twice = "1+enqueue 1; 1=; 2+dequeue; 2=1; 2+drain; 2=[1]";
    let found = invalid("queue-sources", "", twice, "duplicate");
    assert_eq!(shown(&found).0, ["enqueue 1", "dequeue -> 1", "drain -> 1 value, with 1"]);
    counts(&valid("total-queue", "", twice), &json!({"duplicated-count": 1}));
    invalid("total-queue", "exactly-once=true", twice, "duplicate");
    valid("queue-sources", "", "1+enqueue 1; 1=; 1+enqueue 1; 1?; 2+dequeue; 2=1; 2+drain; 2=[1]");
    vacuous("queue-sources", "", "1+enqueue 1; 1=");
}

#[test]
fn what_goes_into_a_queue_comes_out() {
    valid("total-queue", "", "1+enqueue 1; 1=; 2+enqueue 2; 2?; 3+drain; 3=[1]");
    let lost = invalid("total-queue", "", "1+enqueue 1; 1=; 2+drain; 2=[]", "lost");
    assert_eq!(shown(&lost).0, ["enqueue 1", "drain -> 0 values"]);
    counts(&lost, &json!({"lost-count": 1, "missing": [1]}));
    invalid("total-queue", "", "1+enqueue 1; 1=; 2+dequeue; 2=null", "lost");
    let again = "1+enqueue 1; 1=; 1+enqueue 1; 1=; 2+drain; 2=[1]";
    let again = invalid("total-queue", "", again, "lost");
    assert_eq!(shown(&again).0, ["enqueue 1", "enqueue 1", "drain -> 1 value, with 1"]);
    let said = "1 was acknowledged more than 1 times before process 2 found the queue empty, and came out so often.";
    assert_eq!(shown(&again).1, [said]);
    // Nothing shows that it is not there any more.
    unknown("total-queue", "", "1+enqueue 1; 1=");
    unknown("total-queue", "", "2+drain; 1+enqueue 1; 1=; 2=[]");
    invalid("total-queue", "drained=true", "1+enqueue 1; 1=", "lost");
    // The dequeue of unknown outcome may have taken it, but not two.
    valid("total-queue", "", "1+enqueue 1; 1=; 3+dequeue; 3?; 2+drain; 2=[]");
    let two = "1+enqueue 1; 1=; 1+enqueue 2; 1=; 3+dequeue; 3?; 2+drain; 2=[]";
    assert_eq!(shown(&invalid("total-queue", "", two, "lost")).0.len(), 4);
    // It came too late.
    invalid(
        "total-queue",
        "",
        "1+enqueue 1; 1=; 2+drain; 2=[]; 3+dequeue; 3?; 2+drain; 2=[]",
        "lost",
    );
    unknown("total-queue", "", "1+enqueue 1; 1=; 3+drain; 3?; 2+drain; 2=[]");
    vacuous("total-queue", "", "2+drain; 2=[]");
}

#[test]
fn a_lock_has_one_holder() {
    valid("lock", "", "1+acquire; 1=; 1+release; 1=; 2+acquire; 2=");
    valid("lock", "", "1+acquire; 1=; 1+release; 2+acquire; 2=; 1?");
    let two = invalid("lock", "", "1+acquire; 1=; 2+acquire; 2=; 1+release; 1=", "two-holders");
    assert_eq!(shown(&two).0, ["acquire", "acquire", "release"]);
    assert_eq!(
        shown(&two).1[0],
        "Process 1 held the lock from 0.000000 s on and had not asked to release it when process 2's acquire returned at \
         0.000000 s."
    );
    invalid("lock", "", "1+acquire; 1=; 1+acquire; 1=", "two-holders");
    // Nobody knows whether process 1 ever held it.
    vacuous("lock", "", "1+acquire; 1?; 2+acquire; 2=");
    // The client is gone.
    valid("lock", "", "1+acquire; 1=; 1+release; 1?; 2+acquire; 2=");
    // Its release failed, so it was not released.
    let lost = "1+acquire; 1=; 1+release; 1!; 2+acquire; 2=";
    assert_eq!(
        shown(&invalid("lock", "", lost, "lost-lock")).0,
        ["acquire", "release, failed", "acquire"]
    );
    valid("lock", "", "1+acquire; 1=; 1+release; 1!; 1+release; 1=; 2+acquire; 2=");
    // Somebody else has released it, or may have.
    valid("lock", "", "1+acquire; 1=; 3+release; 3=; 2+acquire; 2=");
    valid("lock", "", "1+acquire; 1=; 3+release; 3?; 2+acquire; 2=");
    invalid("lock", "", "1+acquire; 1=; 3+release; 3!; 2+acquire; 2=", "two-holders");
}

#[test]
fn a_lease_ends_a_hold_and_tokens_tell_the_holders_apart() {
    // An event a millisecond: the second acquire returns at 3.
    let events = "1+acquire; 1=; 2+acquire; 2=; 1+release; 1=";
    let verdict =
        |options, events| judged("lock", options, &jsonl_every(events, 1_000_000)).unwrap();
    assert_eq!(verdict("lease-ms=4", events).verdict, Verdict::Invalid);
    let unfenced = verdict("lease-ms=3", events);
    assert_eq!(unfenced.verdict, Verdict::Valid);
    counts(&unfenced, &json!({"expired-count": 1, "fenced-count": 0}));
    assert!(unfenced.reason.contains("without fencing tokens"), "{}", unfenced.reason);
    let fenced = verdict("lease-ms=3", "1+acquire; 1=1; 2+acquire; 2=2; 1+release; 1=null");
    assert!(fenced.reason.contains("tokens rose"), "{}", fenced.reason);
}

#[test]
fn tokens_rise() {
    let turn =
        |a, b| format!("1+acquire; 1={a}; 1+release; 1=null; 2+acquire; 2={b}; 2+release; 2=null");
    valid("lock", "", &turn(1, 2));
    let lower = invalid("lock", "", &turn(2, 1), "token-not-rising");
    assert_eq!(shown(&lower).0, ["acquire -> 2", "acquire -> 1"]);
    invalid("lock", "", &turn(2, 2), "token-not-rising");
    // At the same time either may come first, but not with one token.
    let at_once = |a, b| format!("1+acquire; 2+acquire; 1={a}; 1+release; 1=null; 2={b}");
    valid("lock", "", &at_once(2, 1));
    invalid("lock", "", &at_once(2, 2), "token-not-rising");
}

#[test]
fn a_resource_sees_one_holder_after_the_other() {
    const A: &str = "1+acquire; 1=null; 1+append 10; 1=; ";
    const B: &str = "2+acquire; 2=null; 2+append 20; 2=; ";
    let read = |items: &str| format!("3+read; 3={items}");
    let check = |events: &str| judged("lock", "lease-ms=0", &jsonl(events)).unwrap();
    let turns = format!("{A}1+release; 1=; {B}{}", read("[10,20]"));
    assert_eq!(check(&turns).verdict, Verdict::Valid);
    assert_eq!(check(&turns).name, "critical-sections");
    // The first holder goes on behind the second.
    let late = format!("{A}{B}1+append 11; 1=; {}", read("[10,20,11]"));
    let late = check(&late);
    assert_eq!(late.anomalies, ["stale-holder"]);
    let (shown, words) = shown(&late);
    assert_eq!(shown, ["acquire", "append 10", "acquire", "append 20", "append 11", "read"]);
    assert!(words[1].contains("20 of process 2 and behind it 11 of process 1"), "{words:?}");
    assert!(words[2].starts_with("Without fencing tokens"), "{words:?}");
    // What it wrote before the second was there does not matter, nor does what was refused.
    let before = format!("{A}{B}1+append 11; 1=; {}", read("[10,11,20]"));
    assert_eq!(check(&before).verdict, Verdict::Valid);
    let refused = format!("{A}{B}1+append 11; 1!; {}", read("[10,20]"));
    assert_eq!(check(&refused).verdict, Verdict::Valid);
    assert!(check(&refused).reason.contains("1 append failed"), "{}", check(&refused).reason);
    // The acquisitions were concurrent: either may be first, but not twice.
    let at_once =
        "1+acquire; 2+acquire; 1=null; 2=null; 1+append 10; 1=; 2+append 20; 2=; 1+append 11; 1=; ";
    assert_eq!(check(&format!("{at_once}{}", read("[20,10,11]"))).verdict, Verdict::Valid);
    let mixed = check(&format!("{at_once}{}", read("[10,20,11]")));
    assert_eq!(mixed.anomalies, ["interleaved-holders"]);
    // Tokens tell all the same.
    let tokens = at_once.replace("1=null", "1=2").replace("2=null", "2=1");
    let ordered = check(&format!("{tokens}{}", read("[10,11,20]")));
    assert!(ordered.anomalies.contains(&"stale-holder".into()), "{ordered:?}");
}

#[test]
fn what_a_lock_guards_is_read_as_it_was_written() {
    let check = |events: &str| judged("lock", "", &jsonl(events)).unwrap();
    const A: &str = "1+acquire; 1=null; 1+append 10; 1=; 1+append 11; 1=; 1+release; 1=null; ";
    for (reads, anomaly) in [
        ("3+read; 3=[10]", "lost-append"),
        ("3+read; 3=null", "lost-append"),
        ("3+read; 3=[10,11]; 3+read; 3=[10]", "lost-append"),
        ("3+read; 3=[11,10]; 3+read; 3=[10,11]", "wrong-journal"),
        ("3+read; 3=[10,11,12]", "wrong-journal"),
        ("3+read; 3=[10,11,10]", "wrong-journal"),
        ("2+append 12; 2!; 3+read; 3=[10,11,12]", "wrong-journal"),
    ] {
        let found = check(&format!("{A}{reads}"));
        assert_eq!(found.anomalies, [anomaly], "{reads}: {found:?}");
    }
    // Of unknown outcome: it may be there or not.
    let unknown = "2+acquire; 2=null; 2+append 12; 2?; ";
    for read in ["3+read; 3=[10,11,12]", "3+read; 3=[10,11]"] {
        assert_ne!(check(&format!("{A}{unknown}{read}")).verdict, Verdict::Invalid, "{read}");
    }
    assert_eq!(check(&format!("{A}3+read; 3=[10,11]")).verdict, Verdict::Vacuous);
}

#[test]
fn a_bank_keeps_its_total() {
    let reads = |a: &str, b: &str| {
        format!("1+read; 1={a}; 1+transfer {{\"from\":0,\"to\":1,\"amount\":5}}; 1?; 2+read; 2={b}")
    };
    valid("bank", "", &reads("{\"0\":10,\"1\":0}", "{\"0\":5,\"1\":5}"));
    let wrong =
        invalid("bank", "", &reads("{\"0\":10,\"1\":0}", "{\"0\":5,\"1\":0}"), "wrong-total");
    assert_eq!(
        shown(&wrong).0,
        ["read -> {0: 10, 1: 0}, total 10", "read -> {0: 5, 1: 0}, total 5"]
    );
    counts(
        &wrong,
        &json!({"read-count": 2, "error-count": 1, "lowest-total": 5, "highest-total": 5}),
    );
    let one = "1+read; 1={\"0\":10,\"1\":0}";
    vacuous("bank", "", one);
    valid("bank", "total=10", one);
    let wrong = invalid("bank", "total=11 accounts=[0,1,2]", one, "wrong-total");
    assert_eq!(shown(&wrong).1[1], "It has no balance of 2.");
    invalid("bank", "accounts=[0]", one, "unexpected-key");
    valid("bank", "accounts=[\"0\",1] total=10", one);
    let below = reads("{\"0\":10,\"1\":0}", "{\"0\":11,\"1\":-1}");
    invalid("bank", "", &below, "negative-value");
    valid("bank", "negative-balances=true", &below);
    invalid("bank", "total=10", "1+read; 1={\"0\":10,\"1\":null}", "nil-balance");
    vacuous("bank", "", "1+read; 1?");
}

#[test]
fn a_bank_that_is_opened_says_what_it_holds() {
    let opened =
        |read: &str| format!("1+open {{\"a\":3,\"b\":4}}; 1=; 1+read [\"a\",\"b\"]; 1={read}");
    valid("bank", "", &opened("{\"a\":7,\"b\":0}"));
    invalid("bank", "", &opened("{\"a\":3,\"b\":3}"), "wrong-total");
    invalid("bank", "", &opened("{\"a\":3,\"b\":4,\"c\":0}"), "unexpected-key");
    // The user knows better, and opening it again the same way changes nothing.
    invalid("bank", "total=8", &opened("{\"a\":3,\"b\":4}"), "wrong-total");
    let again = "1+open {\"a\":1}; 1?; 2+open {\"a\":1}; 2=; 2+read; 2={\"a\":1}";
    valid("bank", "", again);
    // Before that there is nothing, which a process that knows of it must not see again.
    let old = |more: &str| {
        format!("1+open {{\"a\":1}}; 1=; 2+read; 2={{\"a\":null}}; 2+read; 2={{\"a\":1}}{more}")
    };
    counts(&valid("bank", "", &old("")), &json!({"read-count": 1, "early-read-count": 1}));
    invalid("bank", "", &old("; 2+read; 2={\"a\":null}"), "nil-balance");
    invalid("bank", "", &old("; 1+read; 1={\"a\":null}"), "nil-balance");
}

#[test]
fn half_a_transfer_is_named() {
    let history = |before: &str, read: &str| {
        format!(
            "1+open {{\"a\":3,\"b\":4}}; 1=; 1+transfer {{\"from\":\"a\",\"to\":\"b\",\"amount\":2}}; {before}; 2+read; 2={read}"
        )
    };
    let told = |before: &str, read: &str| {
        let check = invalid("bank", "", &history(before, read), "wrong-total");
        shown(&check).1.get(1).map(ToString::to_string)
    };
    let lost = told("1=", "{\"a\":1,\"b\":4}").unwrap();
    assert_eq!(
        lost,
        "It would be so if of process 1's transfer of 2 from a to b (event 2) what a lost had been seen, and what b gained had not."
    );
    let gained = told("1=", "{\"a\":3,\"b\":6}").unwrap();
    assert!(gained.contains("what b gained had been seen"), "{gained}");
    assert_eq!(told("1=", "{\"a\":3,\"b\":5}"), None);
    // One that failed, or began later, explains nothing.
    assert_eq!(told("1!", "{\"a\":1,\"b\":4}"), None);
    let later = "1+open {\"a\":3}; 1=; 2+read; 2={\"a\":1}; 1+transfer {\"from\":\"a\",\"to\":\"b\",\"amount\":2}; 1=";
    assert_eq!(shown(&invalid("bank", "", later, "wrong-total")).1.len(), 1);
}

#[test]
fn the_header_knows_the_bank() {
    let history = jsonl("1+read; 1={\"a\":10,\"b\":-1}");
    let said = "{\"keelhaul\":1,\"options\":{\"total-amount\":9,\"accounts\":[\"a\",\"b\"],\"negative-balances\":true}}";
    let history = history.replacen("{\"keelhaul\":1}", said, 1);
    assert_eq!(judged("bank", "", &history).unwrap().verdict, Verdict::Valid);
    let user = judged("bank", "total=10", &history).unwrap();
    assert_eq!(user.anomalies, ["wrong-total"]);
}

#[test]
fn keys_are_different_objects() {
    let on = |key: &str, events: &str| {
        jsonl(events).replace("\"value\"", &format!("\"key\":{key},\"value\""))
    };
    let lines = |text: String| text.lines().skip(1).map(String::from).collect::<Vec<_>>();
    let mut all = String::from("{\"keelhaul\":1}\n");
    let parts = [
        on("1", "1+add 1; 1=; 1+read; 1=[1]"),
        on("\"b\"", "1+add 1; 1=; 1+read; 1=[]"),
        on("2", "1+add 1; 1=; 1+read; 1?"),
    ];
    for (index, line) in parts.into_iter().flat_map(lines).enumerate() {
        let rest = line.split_once(",\"type\"").unwrap().1;
        all += &format!("{{\"index\":{index},\"time\":{index},\"type\"{rest}\n");
    }
    let check = judged("set-full", "", &all).unwrap();
    assert_eq!(check.verdict, Verdict::Invalid);
    assert_eq!(check.evidence.as_ref().unwrap().key.as_deref(), Some("\"b\""));
    counts(
        &check,
        &json!({"key-count": 3, "invalid-keys": ["b"], "attempt-count": 3, "lost-count": 1}),
    );
    assert!(check.reason.starts_with("key \"b\": 1 lost"), "{}", check.reason);
    // A key that too little happened to does not spoil the others.
    let good = all.replace("\"key\":\"b\",\"value\":[]", "\"key\":\"b\",\"value\":[1]");
    let check = judged("set-full", "", &good).unwrap();
    assert_eq!(check.verdict, Verdict::Valid);
    assert!(check.reason.ends_with("too little happened to 1 key"), "{}", check.reason);
}

#[test]
fn unknown_outcomes_are_counted_by_what_they_report() {
    let info = |text: &str| format!("\"type\":\"info\",\"error\":\"{text}\"");
    let mut history = jsonl("1+foo; 1?; 2+foo; 2?; 3+bar; 3?; 4+bar; 4=")
        .replace("\"type\":\"info\"", "\"type\":\"INFO\"");
    for text in ["timeout after 17 ms", "timeout after 1200 ms", "reset by peer"] {
        history = history.replacen("\"type\":\"INFO\"", &info(text), 1);
    }
    let check = judged("unhandled-exceptions", "", &history).unwrap();
    assert_eq!(check.verdict, Verdict::Valid);
    counts(
        &check,
        &json!({
            "info-count": 3,
            "exceptions": [
                {"class": "timeout after # ms", "count": 2, "example": {"index": 1, "error": "timeout after 17 ms"}},
                {"class": "reset by peer", "count": 1, "example": {"index": 5, "error": "reset by peer"}},
            ],
        }),
    );
    assert_eq!(judged("unhandled-exceptions", "", &jsonl("")).unwrap().verdict, Verdict::Vacuous);
    let stats = judged("stats", "", &history).unwrap();
    assert_eq!((stats.name.as_str(), stats.verdict), ("stats", Verdict::Vacuous));
    assert_eq!(stats.reason, "none of 2 foo operations succeeded");
    let all =
        json!({"count": 4, "ok-count": 1, "fail-count": 0, "info-count": 3, "ok-fraction": 0.25});
    counts(&stats, &all);
    assert_eq!(stats.details["by-f"]["bar"]["ok-fraction"], json!(0.5));
}

#[test]
fn what_does_not_fit_is_refused_with_its_line() {
    for (workload, events, expected) in [
        (
            "set-full",
            "1+remove 1",
            "no function `remove` is known here: a set that is read as a whole has add and read",
        ),
        ("set-final", "1+read; 1=7", "the value of `read` must be the list of all elements"),
        ("counter-bounds", "1+add x", "the value of `add` must be a whole number"),
        (
            "total-queue",
            "1+drain; 1=7",
            "the value of `drain` must be the list of what was dequeued",
        ),
        ("bank", "1+read; 1=[1]", "the value of `read` must be a map from accounts to balances"),
        ("bank", "1+open [1]", "the value of `open` must be a map from accounts to balances"),
        (
            "bank",
            "1+open {\"a\":1}; 2+open {\"a\":2}",
            "the value of `open` must be what the bank was opened with before",
        ),
        ("lock", "1+read; 1=7", "the value of `read` must be a list of what was appended"),
        ("lock", "1+steal", "no function `steal` is known here: a lock has acquire and release"),
    ] {
        let error = judged(workload, "", &jsonl(&events.replace(" x", " \"x\""))).unwrap_err();
        let JudgeError::Columns { line, source } = error else { panic!("{error}") };
        assert!(source.to_string().contains(expected), "{source}");
        assert_eq!(line, if events.contains(';') { 3 } else { 2 });
    }
    let JudgeError::Option(workload, error) =
        judged("lock", "lease-ms=-1", &jsonl("")).unwrap_err()
    else {
        panic!("it is refused");
    };
    assert_eq!(
        (workload, error.to_string().as_str()),
        ("lock", "option `lease-ms` takes a number of milliseconds, not -1")
    );
}
