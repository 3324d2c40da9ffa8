//! Whole histories in a short notation, through the one entry.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic, as tests do")]

use std::sync::atomic::{AtomicUsize, Ordering};

use keelhaul_checkers::{
    Evidence, Exhausted, JudgeError, JudgeRequest, Judgement, Sealed, Settings, Unlimited, Verdict,
    judge, name_nodes,
};
use keelhaul_history::{Reader, Value};

/// One line an event: `process type f [key] value [@milliseconds]`; time is the event's number in milliseconds where none is
/// given. `nemesis` events have a JSON value.
fn jsonl(events: &str) -> String {
    let mut out = String::from("{\"keelhaul\":1}\n");
    let mut ms: u64 = 0;
    for (index, line) in events.lines().map(str::trim).filter(|l| !l.is_empty()).enumerate() {
        let (line, at) = line.split_once(" @").unwrap_or((line, ""));
        ms = if at.is_empty() { ms + 1 } else { at.parse().unwrap() };
        let words: Vec<&str> = line.splitn(5, ' ').collect();
        let (process, key, value) = match words[..] {
            ["nemesis", _, _, value] => ("\"nemesis\"", String::new(), value),
            [process, _, _, value] => (process, String::new(), value),
            [process, _, _, key, value] => (process, format!(",\"key\":{key}"), value),
            _ => panic!("{line}"),
        };
        out += &format!(
            "{{\"index\":{index},\"time\":{},\"type\":\"{}\",\"process\":{process},\"f\":\"{}\"{key},\"value\":{value}}}\n",
            ms * 1_000_000,
            words[1],
            words[2],
        );
    }
    out
}

fn request() -> JudgeRequest {
    JudgeRequest { workload: "register".into(), ..JudgeRequest::default() }
}

fn judged_by(events: &str, request: &JudgeRequest) -> Result<Judgement, JudgeError> {
    judge(Reader::new(jsonl(events).as_bytes()).unwrap(), request, &Unlimited)
}

fn judged(events: &str) -> Judgement {
    judged_by(events, &request()).unwrap()
}

fn evidence(events: &str) -> Evidence {
    let judgement = judged(events);
    assert_eq!(judgement.verdict, Verdict::Invalid, "{judgement:?}");
    let refuted = || judgement.not.iter().chain(&judgement.also_not);
    assert!(refuted().any(|model| model == "linearizable"), "{judgement:?}");
    assert_eq!(judgement.anomalies, ["nonlinearizable"]);
    judgement.checks.into_iter().find_map(|check| check.evidence).unwrap()
}

#[track_caller]
fn check_explanation(events: &str, labels: &[&str], explanation: &[&str]) {
    let evidence = evidence(events);
    let shown: Vec<&str> = evidence.ops.iter().map(|op| op.label.as_str()).collect();
    assert_eq!(shown, labels, "{evidence:#?}");
    assert_eq!(evidence.explanation, explanation);
    assert!(evidence.minimal);
}

const WRITE_7: &str = "5 invoke write \"x\" 7 \n 5 ok write \"x\" 7 \n";

#[test]
fn garbage_is_one_operation() {
    check_explanation(
        &format!("{WRITE_7} 3 invoke read \"x\" null \n 3 ok read \"x\" 8"),
        &["read -> 8"],
        &[
            "Process 3 read 8 (0.003 s to 0.004 s).",
            "Nobody ever wrote 8 to this key, and it is not the initial value.",
        ],
    );
}

#[test]
fn a_read_from_the_future_names_the_write() {
    check_explanation(
        "3 invoke read null \n 3 ok read 7 \n 5 invoke write 7 \n 5 ok write 7",
        &["read -> 7", "write 7"],
        &[
            "Process 3 read 7 (0.001 s to 0.002 s).",
            "Process 5's write of 7 began only at 0.003 s: no earlier operation could have left 7.",
        ],
    );
}

#[test]
fn a_stale_read_names_what_overwrote_it() {
    let events = "5 invoke write 7 @11100 \n 5 ok write 7 @11200 \n 4 invoke write 9 @11900 \n \
         4 ok write 9 @11980 \n 3 invoke read null @12031 \n 3 ok read 7 @12040";
    check_explanation(
        events,
        &["write 7", "write 9", "read -> 7"],
        &[
            "Process 3 read 7 at 12.031 s, after process 4's write of 9 had completed at 11.980 s.",
            "7 had been overwritten by then: process 5's write of 7 completed at 11.200 s, before that began at \
             11.900 s.",
        ],
    );
    let evidence = evidence(events);
    assert_eq!(evidence.longest_order, [0, 2]);
    assert_eq!(evidence.stuck, [4]);
    assert_eq!(evidence.ops[2].completion, Some(5));
    assert_eq!(evidence.ops[2].end_ns, Some(12_040_000_000));
}

#[test]
fn the_initial_value_can_be_stale() {
    check_explanation(
        &format!("{WRITE_7} 3 invoke read \"x\" null \n 3 ok read \"x\" null"),
        &["write 7", "read -> null"],
        &[
            "Process 3 read null at 0.003 s, after process 5's write of 7 had completed at 0.002 s.",
            "null is the initial value, and it had been overwritten by then.",
        ],
    );
}

#[test]
fn a_read_that_goes_back_in_time() {
    check_explanation(
        "0 invoke write 1 \n 0 ok write 1 \n 1 invoke write 2 \n 2 invoke read null \n 2 ok read 2 \n \
         3 invoke read null \n 3 ok read 1 \n 1 info write 2",
        &["write 1", "write 2", "read -> 2", "read -> 1"],
        &[
            "Process 2 read 2 (0.004 s to 0.005 s): process 1's write of 2 had taken effect by 0.005 s.",
            "After that, from 0.006 s on, process 3 read 1, which is older.",
            "Process 0's write of 1 completed at 0.002 s, before process 1's write of 2 began at 0.003 s.",
        ],
    );
}

#[test]
fn two_cas_cannot_both_win() {
    check_explanation(
        "0 invoke cas [null,1] \n 1 invoke cas [null,2] \n 0 ok cas [null,1] \n 1 ok cas [null,2]",
        &["cas null -> 1", "cas null -> 2"],
        &[
            "No order of these 2 operations explains what they returned.",
            "The longest order is: process 0's cas from null to 1.",
            "Process 1's cas from null to 2 (0.002 s to 0.004 s) fits nowhere: it found null, but the value is 1 then.",
        ],
    );
}

#[test]
fn keys_are_judged_apart_and_the_right_one_is_shown() {
    let events = format!(
        "{WRITE_7} 1 invoke read [1,\"y\"] null \n 1 ok read [1,\"y\"] 7 \n 1 invoke read \"x\" null \n 1 ok read \"x\" 7"
    );
    let evidence = evidence(&events);
    assert_eq!(evidence.key.as_deref(), Some("[1,\"y\"]"));
    assert_eq!(judged(&events).keys, 2);
}

#[test]
fn what_is_not_sealed_is_judged_and_says_so() {
    let judgement = judged(&format!("{WRITE_7} 1 invoke write \"x\" 8"));
    assert_eq!(judgement.verdict, Verdict::Valid);
    assert_eq!(judgement.ending, Sealed::Unsealed);
    assert!(judgement.not_tested.iter().any(|text| text.contains("unsealed")), "{judgement:?}");
    assert_eq!(judgement.outcomes["write"].info, 1);
}

#[test]
fn too_little_is_vacuous() {
    assert_eq!(judged("").verdict, Verdict::Vacuous);
    let judgement =
        judged(&format!("{WRITE_7} 1 invoke read \"x\" null \n 1 fail read \"x\" null"));
    assert_eq!(judgement.verdict, Verdict::Vacuous);
    assert!(judgement.checks[1].reason.contains("none of 1 read operations succeeded"));
}

/// A partition from 10 ms to 30 ms, with `ops` writes begun and completed in it.
fn faulty(verified: bool, ops: usize) -> String {
    let partition = |kind: &str, f: &str, at: u32| {
        format!("nemesis {kind} {f} {{\"fault\":1,\"kind\":\"partition\"}} @{at}\n")
    };
    let mut events = partition("invoke", "inject", 9) + &partition("ok", "inject", 10);
    events += &partition("invoke", "verify", 10);
    events += &partition(if verified { "ok" } else { "fail" }, "verify", 11);
    for i in 0..ops {
        events += &format!("1 invoke write {i} @12\n1 ok write {i} @12\n");
    }
    events + &partition("invoke", "heal", 30) + &partition("ok", "heal", 31)
}

#[test]
fn faults_count_only_in_effect_and_with_progress() {
    let verdict = |events: &str, faults: &[&str]| {
        let requested_faults = faults.iter().map(ToString::to_string).collect();
        let judgement = judged_by(events, &JudgeRequest { requested_faults, ..request() }).unwrap();
        (judgement.verdict, judgement.checks[2].reason.clone())
    };
    assert_eq!(verdict(&faulty(true, 10), &["partition"]).0, Verdict::Valid);
    let lacking = [
        (faulty(true, 9), "partition", "only 9 operations succeeded while partition"),
        (faulty(false, 10), "partition", "partition was injected 1 times but never verified"),
        (faulty(true, 10), "kill", "kill was asked for but never injected"),
    ];
    for (events, fault, reason) in lacking {
        let (verdict, said) = verdict(&events, &[fault]);
        assert_eq!(verdict, Verdict::Vacuous);
        assert!(said.contains(reason), "{said}");
    }
}

#[test]
fn mistakes_are_refused_in_a_sentence() {
    let sentence = |events: &str, request: &JudgeRequest| {
        let error = judged_by(events, request).unwrap_err();
        let cause = std::error::Error::source(&error).map(ToString::to_string);
        format!("{error}: {}", cause.unwrap_or_default())
    };
    let said = sentence("0 invoke push 1", &request());
    assert!(said.contains("line 2") && said.contains("`push`"), "{said}");
    let said = sentence("0 invoke write 1 \n 1 invoke cas 1", &request());
    assert!(said.contains("line 3") && said.contains("[expected, new]"), "{said}");
    let said = sentence("", &JudgeRequest { workload: "shop".into(), ..request() });
    assert!(said.contains("`shop`"), "{said}");
    let said = sentence("", &JudgeRequest { models: vec!["eventually".into()], ..request() });
    assert!(said.contains("`eventually`"), "{said}");
}

#[test]
fn a_store_that_does_not_come_back_is_not_valid() {
    let end = |kind: &str| {
        let events = format!(
            "0 invoke write 1 \n 0 ok write 1 \n nemesis invoke await-healthy null \n nemesis {kind} await-healthy null"
        );
        let judgement = judged(&events);
        (judgement.verdict, judgement.checks.iter().any(|check| check.name == "recovery"))
    };
    assert_eq!(end("ok"), (Verdict::Valid, true));
    assert_eq!(end("fail"), (Verdict::Unknown, true));
    assert!(
        !judged("0 invoke write 1 \n 0 ok write 1").checks.iter().any(|c| c.name == "recovery")
    );
}

#[test]
fn a_second_look_names_the_nodes_of_the_evidence() {
    let events = "0 invoke write 1 \n 0 ok write 1 \n 1 invoke read null \n 1 ok read null";
    let said = jsonl(events).replace("\"process\":1,", "\"process\":1,\"node\":\"n3\",");
    let reader = || Reader::new(said.as_bytes()).unwrap();
    let mut judgement = judge(reader(), &request(), &Unlimited).unwrap();
    name_nodes(&mut judgement.checks, reader()).unwrap();
    let evidence = judgement.checks[0].evidence.as_ref().unwrap();
    let actors: Vec<_> = evidence.ops.iter().map(|op| op.actor()).collect();
    assert_eq!(actors, ["0", "1 on n3"]);
}

#[test]
fn a_header_that_names_a_weaker_promise_is_believed_unless_the_request_names_one() {
    let events = "1 invoke write 1\n1 ok write 1\n2 invoke read null\n2 ok read null";
    let promised = |model: &str, asked: &[&str]| {
        let header = format!("{{\"keelhaul\":1,\"model\":\"{model}\"}}");
        let history = jsonl(events).replace("{\"keelhaul\":1}", &header);
        let models = asked.iter().map(ToString::to_string).collect();
        let request = JudgeRequest { models, ..request() };
        let judgement = judge(Reader::new(history.as_bytes()).unwrap(), &request, &Unlimited);
        judgement.unwrap().checks[0].name.clone()
    };
    assert_eq!(promised("sequential", &[]), "sequential");
    assert_eq!(promised("sequential", &["linearizable"]), "linearizable");
    for usual in ["", "linearizable", "bank"] {
        assert_eq!(promised(usual, &[]), "linearizable", "{usual}");
    }
}

#[test]
fn the_initial_value_can_be_chosen() {
    let events = "0 invoke read null \n 0 ok read 0";
    assert_eq!(judged(events).verdict, Verdict::Invalid);
    let settings = Settings { initial: Value::Int(0), ..Settings::default() };
    let request = JudgeRequest { settings, ..request() };
    assert_eq!(judged_by(events, &request).unwrap().verdict, Verdict::Valid);
}

/// Writes and cas of few values, all pending together, and reads that fit none of them in the end.
fn hard(width: usize) -> String {
    let mut events = String::new();
    for i in 0..width {
        events += &format!("{i} invoke cas 1 [{},{}]\n", i % 7, (i * 3 + 1) % 7);
        events += &format!("{} invoke write 1 {}\n", i + 1000, i % 5);
    }
    for i in 0..width {
        events += &format!("{} ok write 1 {}\n", i + 1000, i % 5);
    }
    events +=
        "5000 invoke read 1 null\n5000 ok read 1 6\n5001 invoke read 1 null\n5001 ok read 1 5\n";
    for i in 0..width {
        events += &format!("{i} ok cas 1 [{},{}]\n", i % 7, (i * 3 + 1) % 7);
    }
    events
}

#[test]
fn a_budget_ends_in_unknown_that_names_the_obstacle() {
    let events = format!("{}6000 invoke write 2 1\n6000 ok write 2 1\n", hard(60));
    let asked = AtomicUsize::new(0);
    let budget =
        |_bytes: usize| (asked.fetch_add(1, Ordering::Relaxed) > 40).then_some(Exhausted::Time);
    let history = jsonl(&events);
    let judgement = judge(Reader::new(history.as_bytes()).unwrap(), &request(), &budget).unwrap();
    let check = &judgement.checks[0];
    assert_eq!(check.verdict, Verdict::Unknown, "{check:?}");
    for part in ["time budget", "1 of 2 keys", "key 1:", "pending together"] {
        assert!(check.reason.contains(part), "{part}: {}", check.reason);
    }
}

#[test]
fn a_violation_wins_over_a_key_that_is_not_decided() {
    let events = format!("{}6000 invoke read 2 null\n6000 ok read 2 1\n", hard(60));
    let history = jsonl(&events);
    let asked = AtomicUsize::new(0);
    let budget =
        |_bytes: usize| (asked.fetch_add(1, Ordering::Relaxed) > 40).then_some(Exhausted::Memory);
    let judgement = judge(Reader::new(history.as_bytes()).unwrap(), &request(), &budget).unwrap();
    assert_eq!(judgement.verdict, Verdict::Invalid, "{judgement:?}");
    assert!(judgement.checks[0].reason.contains("1 key not decided"), "{judgement:?}");
}

#[test]
fn bursts_of_timeouts_do_not_explode() {
    // 300 writes with unknown outcome, every fifth of them read later, in an order that no clock could tell.
    let mut events = String::new();
    for i in 0..300 {
        events += &format!("{i} invoke write {i}\n{i} info write {i}\n");
    }
    for i in 0..60 {
        let value = (i * 77 % 60) * 5;
        events += &format!("{} invoke read null\n{} ok read {value}\n", 1000 + i, 1000 + i);
        events += &format!("{} invoke cas [{value},{}]\n", 2000 + i, 9000 + i);
        events += &format!("{} ok cas [{value},{}]\n", 2000 + i, 9000 + i);
    }
    // No write is known to have succeeded, so the history as a whole proves little.
    assert_eq!(judged(&events).checks[0].verdict, Verdict::Valid);
    // One of them twice, with another value in between.
    let again = "4000 invoke read null\n4000 ok read 5\n4001 invoke read null\n4001 ok read 5\n";
    let judgement = judged(&(events + again));
    assert_eq!(judgement.verdict, Verdict::Invalid);
    let evidence = judgement.checks[0].evidence.as_ref().unwrap();
    assert!(evidence.minimal && evidence.ops.len() <= 4, "{evidence:#?}");
}

#[test]
fn a_violation_found_just_before_the_budget_ended_still_has_evidence() {
    // Reads that no order explains, though each could have found its value: only the search sees it.
    let events = "0 invoke write 1 \n 1 invoke write 2 \n 0 ok write 1 \n 1 ok write 2 \n 2 invoke read null \n \
         2 ok read 1 \n 2 invoke read null \n 2 ok read 2 \n 3 invoke cas [2,3] \n 3 ok cas [2,3]";
    let history = jsonl(events);
    let asked = AtomicUsize::new(0);
    let budget =
        |_bytes: usize| (asked.fetch_add(1, Ordering::Relaxed) > 0).then_some(Exhausted::Time);
    let judgement = judge(Reader::new(history.as_bytes()).unwrap(), &request(), &budget).unwrap();
    let evidence = judgement.checks[0].evidence.as_ref().unwrap();
    let labels: Vec<&str> = evidence.ops.iter().map(|op| op.label.as_str()).collect();
    assert_eq!(labels, ["write 1", "write 2", "read -> 1", "read -> 2"], "{judgement:#?}");
    assert!(evidence.minimal);
}

/// A follower that lags behind, and never goes back.
const STALE: &str = "0 invoke write x 1 \n 0 ok write x 1 \n 1 invoke read x null \n 1 ok read x null \n \
                     1 invoke read x null \n 1 ok read x 1";

#[test]
fn a_history_that_breaks_its_promise_is_placed_among_the_weaker_ones() {
    let events = STALE.replace(" x ", " \"x\" ");
    let judgement = judged(&events);
    assert_eq!(judgement.verdict, Verdict::Invalid, "nobody asked for less: {judgement:?}");
    assert_eq!(
        (&*judgement.strongest, &*judgement.not),
        (&["sequential".into()][..], &["linearizable".into()][..])
    );
    assert!(
        judgement.standing.iter().any(|s| s.model == "sequential" && s.verdict == Verdict::Valid)
    );
    assert_eq!(judgement.checks.iter().filter(|check| check.name == "sequential").count(), 0);

    let asked = |models: &[&str]| {
        let models = models.iter().map(ToString::to_string).collect();
        judged_by(&events, &JudgeRequest { models, ..request() }).unwrap()
    };
    let sequential = asked(&["sequential"]);
    assert_eq!((sequential.verdict, &*sequential.not), (Verdict::Valid, &[][..]));
    assert!(sequential.standing.is_empty());
    let both = asked(&["sc", "linearizable"]);
    assert_eq!((both.verdict, &*both.not), (Verdict::Invalid, &["linearizable".into()][..]));
    assert_eq!(both.checks[0].name, "linearizable");
}

#[test]
fn a_history_that_has_its_model_has_all_weaker_ones_without_a_word() {
    let judgement = judged("0 invoke write 1 \n 0 ok write 1 \n 0 invoke read null \n 0 ok read 1");
    assert_eq!(judgement.strongest, ["linearizable"]);
    assert!(judgement.standing.is_empty() && judgement.not.is_empty());
}

#[test]
fn a_value_that_nobody_wrote_leaves_no_model() {
    let judgement = judged("0 invoke write 1 \n 0 ok write 1 \n 0 invoke read null \n 0 ok read 7");
    assert!(judgement.strongest.is_empty(), "{judgement:?}");
    assert!(judgement.also_not.contains(&"linearizable".to_string()), "{judgement:?}");
    assert!(judgement.standing.iter().all(|s| s.reason.contains("nobody ever wrote")));
}

#[test]
fn what_no_order_of_all_keys_explains_is_told() {
    let events = "0 invoke write \"x\" 1 \n 0 ok write \"x\" 1 \n 1 invoke write \"y\" 1 \n \
                  1 ok write \"y\" 1 \n 0 invoke read \"y\" null \n 0 ok read \"y\" null \n \
                  1 invoke read \"x\" null \n 1 ok read \"x\" null";
    let models = vec!["sequential".to_string()];
    let judgement = judged_by(events, &JudgeRequest { models, ..request() }).unwrap();
    let evidence = judgement.checks[0].evidence.as_ref().unwrap();
    assert!(evidence.minimal && evidence.key.is_none(), "{evidence:#?}");
    let labels: Vec<&str> = evidence.ops.iter().map(|op| op.label.as_str()).collect();
    assert_eq!(
        labels,
        ["\"x\": write 1", "\"y\": write 1", "\"y\": read -> null", "\"x\": read -> null"]
    );
    let told = evidence.explanation.join("\n");
    assert_eq!(
        told,
        "Process 0's write of 1 to key \"x\" comes before process 0's read of null from key \"y\" in its process.\n\
         Process 0's read of null from key \"y\" comes before process 1's write of 1 to key \"y\", which overwrites what \
         that found.\n\
         Process 1's write of 1 to key \"y\" comes before process 1's read of null from key \"x\" in its process.\n\
         Process 1's read of null from key \"x\" comes before process 0's write of 1 to key \"x\", which overwrites what \
         that found.\n\
         So each of these comes before itself: no order of all operations keeps each process' own order and explains \
         what was found."
    );
}

#[test]
fn objects_may_be_sequential_too() {
    let events = "0 invoke enqueue 1 \n 0 ok enqueue 1 \n 1 invoke dequeue null \n 1 ok dequeue null \n \
                  1 invoke dequeue null \n 1 ok dequeue 1";
    let request = JudgeRequest { workload: "fifo-queue".into(), ..JudgeRequest::default() };
    let judgement = judged_by(events, &request).unwrap();
    assert_eq!(
        (&*judgement.strongest, &*judgement.not),
        (&["sequential".into()][..], &["linearizable".into()][..])
    );
}

#[test]
fn a_history_that_does_not_fit_is_not_read_to_the_end() {
    let mut text = String::from("{\"keelhaul\":1}\n");
    for index in 0..20_000 {
        let kind = ["invoke", "ok"][index % 2];
        text += &format!(
            "{{\"index\":{index},\"time\":{index},\"type\":\"{kind}\",\"process\":1,\"f\":\"write\",\"value\":{index}}}\n",
        );
    }
    let request = JudgeRequest { workload: "register".into(), ..JudgeRequest::default() };
    for (why, needs) in [
        (Exhausted::Memory, "it takes more to be held"),
        (Exhausted::Time, "it takes longer to be read"),
    ] {
        let full = |_bytes: usize| Some(why);
        let judgement = judge(Reader::new(text.as_bytes()).unwrap(), &request, &full).unwrap();
        let check = &judgement.checks[0];
        assert_eq!((check.name.as_str(), check.verdict), ("linearizable", Verdict::Unknown));
        assert!(
            check.reason.contains("after 4096 events") && check.reason.ends_with(needs),
            "{check:?}"
        );
    }
}

fn judged_as(events: &str, model: &str, options: &[(&str, Value)]) -> Judgement {
    let mut request = JudgeRequest { models: vec![model.into()], ..request() };
    request.settings.options =
        options.iter().map(|(name, value)| ((*name).to_string(), value.clone())).collect();
    judged_by(events, &request).unwrap()
}

#[test]
fn weaker_models_are_judged_by_name() {
    let stale = format!("{WRITE_7} 3 invoke read \"x\" null \n 3 ok read \"x\" null @40");
    assert_eq!(judged_as(&stale, "causal", &[]).verdict, Verdict::Valid);
    let own = format!("{WRITE_7} 5 invoke read \"x\" null \n 5 ok read \"x\" null");
    let judgement = judged_as(&own, "ryw", &[]);
    assert_eq!(
        (judgement.verdict, &judgement.not[..]),
        (Verdict::Invalid, &["read-your-writes".to_string()][..])
    );
    assert_eq!(judgement.anomalies, ["own-write-missed"]);
}

#[test]
fn staleness_has_a_bound_in_time() {
    let stale = format!("{WRITE_7} 3 invoke read \"x\" null @39 \n 3 ok read \"x\" null @40");
    let judge = |bound| judged_as(&stale, "bounded-staleness", &[("staleness", bound)]);
    assert_eq!(judge(Value::from("37ms")).verdict, Verdict::Valid);
    let judgement = judge(Value::from("36ms"));
    assert_eq!(judgement.verdict, Verdict::Invalid);
    assert_eq!(
        judgement.checks[0].reason,
        "a read was stale by at least 37 ms, and 36 ms are allowed"
    );
    assert_eq!(judgement.checks[0].details["staleness-ns"]["max"], 37_000_000);
    assert_eq!(judge(Value::Int(37_000_000)).verdict, Verdict::Valid);
    let mut wrong = JudgeRequest { models: vec!["eventual".into()], ..request() };
    wrong.settings.options.insert("convergence".into(), Value::from("soon"));
    assert!(matches!(judged_by(&stale, &wrong), Err(JudgeError::Option("register", _))));
}

#[test]
fn replicas_agree_after_the_last_fault() {
    let fault = |f: &str, kind: &str| {
        format!("nemesis {kind} {f} {{\"fault\":1,\"kind\":\"partition\"}}\n")
    };
    let read = |process: u32, value: u32| {
        format!("{process} invoke read \"x\" null \n {process} ok read \"x\" {value} \n")
    };
    let during = format!("{}{}{WRITE_7}", fault("inject", "invoke"), fault("inject", "info"))
        + "6 invoke write \"x\" 8 \n 6 ok write \"x\" 8 \n"
        + &read(3, 7)
        + &read(4, 8);
    let healed = during.clone() + &fault("heal", "invoke") + &fault("heal", "info");
    let verdict = |events: &str| judged_as(events, "eventual", &[]).checks[0].clone();
    assert_eq!(verdict(&during).verdict, Verdict::Vacuous);
    assert_eq!(verdict(&healed).verdict, Verdict::Vacuous);
    assert_eq!(verdict(&(healed.clone() + &read(3, 8) + &read(4, 8))).verdict, Verdict::Valid);
    let check = verdict(&(healed + &read(3, 7) + &read(4, 8)));
    assert_eq!(
        (check.verdict, &check.anomalies[..]),
        (Verdict::Invalid, &["not-converged".to_string()][..])
    );
}
