//! What each anomaly is, in the fewest operations, and what it is not.

use super::NAME;
use crate::testing::{judged, judged_or};
use crate::verdict::{Check, Verdict};

fn check(options: &[(&str, &str)], events: &str) -> Check {
    judged(NAME, options, events).checks.into_iter().next().unwrap()
}

/// The operations, each begun and completed before the next: `process f value`, or `process kind f value`.
fn in_turn(ops: &str) -> String {
    let mut events = String::new();
    for line in ops.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let words: Vec<&str> = line.splitn(4, ' ').collect();
        let (process, kind, f, value) = match words[..] {
            [process, kind @ ("fail" | "info"), f, value] => (process, kind, f, value.to_string()),
            _ => (words[0], "ok", words[1], words[2..].join(" ")),
        };
        let asked = match f {
            "assign" | "subscribe" => value.clone(),
            _ => "[]".into(),
        };
        events += &format!("{process} invoke {f} {asked}\n{process} {kind} {f} {value}\n");
    }
    events
}

/// Which kinds are found, allowed ones included, except for `unseen`.
#[track_caller]
fn finds(ops: &str, kinds: &[&str]) -> Check {
    let check = check(&[], &in_turn(ops));
    let errors = check.details["errors"].as_object().unwrap();
    let found: Vec<&str> = errors.keys().map(String::as_str).filter(|k| *k != "unseen").collect();
    assert_eq!(found, kinds, "{check:#?}");
    check
}

const FOUR: &str =
    r#"0 send [["send","x",[0,1]],["send","x",[1,2]],["send","x",[2,3]],["send","x",[3,4]]]"#;

fn after_four(ops: &str) -> String {
    format!("{FOUR}\n{ops}")
}

#[test]
fn a_log_polled_in_order_is_valid() {
    let check = finds(&after_four(r#"1 poll [["poll",{"x":[[0,1],[1,2],[2,3],[3,4]]}]]"#), &[]);
    assert_eq!(check.verdict, Verdict::Valid);
    assert_eq!(check.reason, "4 messages polled in 1 key, none lost, none out of place");
    assert_eq!(check.details["acknowledged"], 4);
}

#[test]
fn a_log_contradicts_itself() {
    finds(
        r#"0 send [["send","x",[0,1]]]
           1 send [["send","x",[0,2]]]"#,
        &["inconsistent-offsets"],
    );
    let check = finds(
        r#"0 send [["send","x",[0,1]]]
           1 poll [["poll",{"x":[[7,1]]}]]"#,
        &["duplicate"],
    );
    let evidence = check.evidence.unwrap();
    assert_eq!(evidence.explanation, ["1 of key \"x\" was sent once, but is at offsets 0 and 7."]);
    assert!(evidence.minimal);
    // What crashed may never have been sent.
    finds(
        r#"0 info send [["send","x",[0,1]],["send","y",2]]
           1 send [["send","x",[0,3]]]"#,
        &[],
    );
    // But if one of its messages was polled, all of them were.
    finds(
        r#"0 info send [["send","x",[0,1]],["send","y",2]]
           1 send [["send","x",[0,3]]]
           2 poll [["poll",{"y":[[0,2]]}]]"#,
        &["inconsistent-offsets"],
    );
}

#[test]
fn messages_that_were_never_there() {
    let check = finds(r#"1 poll [["poll",{"x":[[0,1]]}]]"#, &["garbage-read"]);
    assert_eq!(check.verdict, Verdict::Invalid);
    let check = finds(
        r#"0 fail send [["send","x",1]]
           1 poll [["poll",{"x":[[0,1]]}]]"#,
        &["G1a"],
    );
    let labels: Vec<String> = check.evidence.unwrap().ops.into_iter().map(|op| op.label).collect();
    assert_eq!(labels, ["send \"x\": 1 (failed)", "poll \"x\": 1@0"]);
    finds(r#"0 txn [["send","x",[0,1]],["poll",{"x":[[0,1]]}]]"#, &["precommitted-read"]);
}

#[test]
fn a_message_that_others_stand_behind_is_lost() {
    let lost = after_four(r#"1 poll [["poll",{"x":[[3,4]]}]]"#);
    let check = finds(&lost, &["lost-write"]);
    assert_eq!(check.details["errors"]["lost-write"]["count"], 3);
    assert_eq!(check.evidence.unwrap().explanation.len(), 3);
    // What a crashed transaction polled was there; what a failed one did goes back.
    let poll = |kind: &str| {
        lost.clone() + &format!("\n2 {kind} txn [[\"poll\",{{\"x\":[[0,1],[1,2],[2,3]]}}]]")
    };
    finds(&poll("info"), &[]);
    finds(&poll("fail"), &["lost-write"]);
    finds(&after_four(r#"1 poll [["poll",{"x":[[0,1]]}]]"#), &[]);
}

#[test]
fn consumers_skip_and_go_back() {
    let polls = |first: &str, second: &str| {
        let all = r#"3 poll [["poll",{"x":[[0,1],[1,2],[2,3],[3,4]]}]]"#;
        let poll = |items: &str| format!("1 poll [[\"poll\",{{\"x\":[{items}]}}]]");
        after_four(&format!("{all}\n{}\n{}", poll(first), poll(second)))
    };
    let check = finds(&polls("[0,1]", "[2,3]"), &["poll-skip"]);
    let explanation = check.evidence.unwrap().explanation;
    assert_eq!(
        explanation,
        [
            "Process 1 went from 1 of key \"x\" (offset 0) to 3 of key \"x\" (offset 2).",
            "Between them is 2 of key \"x\" (offset 1)."
        ]
    );
    finds(&polls("[0,1],[1,2]", "[1,2],[2,3]"), &["nonmonotonic-poll"]);
    finds(&polls("[0,1],[1,2]", "[2,3],[3,4]"), &[]);
    finds(&polls("[0,1],[2,3]", "[3,4]"), &["int-poll-skip"]);
    finds(&polls("[0,1],[0,1]", "[1,2]"), &["int-nonmonotonic-poll"]);
    // A poll that finds nothing leaves the consumer where it was.
    let nothing = polls("[0,1]", "[2,3]").replace(
        "\n1 poll [[\"poll\",{\"x\":[[2",
        "\n1 poll [[\"poll\",{\"x\":[]}]]\n1 poll [[\"poll\",{\"x\":[[2",
    );
    finds(&nothing, &["poll-skip"]);
    // What is not known to exist is not skipped.
    finds(
        r#"0 send [["send","x",[0,1]],["send","x",[5,2]]]
           1 poll [["poll",{"x":[[0,1],[5,2]]}]]"#,
        &[],
    );
}

#[test]
fn what_is_assigned_anew_may_begin_anywhere() {
    let skip = |between: &str| {
        after_four(&format!(
            r#"3 poll [["poll",{{"x":[[0,1],[1,2],[2,3],[3,4]]}}]]
               1 poll [["poll",{{"x":[[0,1]]}}]]
               {between}
               1 poll [["poll",{{"x":[[2,3]]}}]]"#
        ))
    };
    finds(&skip(r#"1 assign ["y"]"#), &[]);
    finds(&skip(r#"1 assign ["x","y"]"#), &["poll-skip"]);
    finds(&skip(r#"1 fail assign ["y"]"#), &["poll-skip"]);
    // Where consumers subscribe, it is only worth knowing.
    let check = finds(&skip(r#"2 subscribe ["x"]"#), &["poll-skip"]);
    assert_eq!((check.verdict, &check.anomalies[..]), (Verdict::Valid, &[][..]));
    assert_eq!(check.details["errors"]["poll-skip"]["allowed"], true);
    let rebalanced = after_four(
        r#"3 poll [["poll",{"x":[[0,1],[1,2],[2,3],[3,4]]}]]
           1 poll [["poll",{"x":[[0,1],[3,4]]}],["rebalance",["x"]]]"#,
    );
    finds(&rebalanced, &[]);
}

#[test]
fn producers_go_back_and_skip() {
    finds(
        r#"0 send [["send","x",[5,1]]]
           0 send [["send","x",[4,2]]]"#,
        &["nonmonotonic-send"],
    );
    finds(r#"0 send [["send","x",[5,1]],["send","x",[4,2]]]"#, &["int-nonmonotonic-send"]);
    let check = finds(
        r#"0 send [["send","x",[0,1]],["send","x",[2,2]]]
           1 send [["send","x",[1,3]]]
           2 poll [["poll",{"x":[[0,1],[1,3],[2,2]]}]]"#,
        &["int-send-skip"],
    );
    assert_eq!(check.verdict, Verdict::Valid);
    // Another process' messages may stand anywhere.
    finds(
        r#"0 send [["send","x",[5,1]]]
           1 send [["send","x",[4,2]]]"#,
        &[],
    );
}

/// Both transactions are under way at once.
fn concurrent(first: &str, second: &str) -> String {
    format!("0 invoke txn []\n1 invoke txn []\n0 ok txn {first}\n1 ok txn {second}")
}

#[test]
fn transactions_that_see_each_other_are_a_cycle() {
    let events = concurrent(
        r#"[["send","x",[0,1]],["poll",{"y":[[0,2]]}]]"#,
        r#"[["send","y",[0,2]],["poll",{"x":[[0,1]]}]]"#,
    );
    let found = check(&[], &events);
    assert_eq!(found.anomalies, ["G1c", "PL-2-cycle-exists"]);
    let evidence = found.evidence.unwrap();
    assert!(evidence.minimal);
    assert_eq!(evidence.ops.len(), 2);
    assert_eq!(
        evidence.explanation[0],
        "Process 0's operation of event 0 sent 1 of key \"x\", which Process 1's operation of event 1 polled."
    );
    // Where writes count too, such cycles are to be expected.
    assert!(check(&[("ww-deps", "true")], &events).anomalies.is_empty());
}

#[test]
fn writes_that_interleave_are_a_cycle_only_where_asked() {
    let events = concurrent(
        r#"[["send","x",[0,1]],["send","y",[1,1]]]"#,
        r#"[["send","x",[1,2]],["send","y",[0,2]]]"#,
    );
    let kinds = |options: &[(&str, &str)]| {
        let check = check(options, &events);
        let errors = check.details["errors"].as_object().unwrap();
        errors.keys().filter(|kind| *kind != "unseen").cloned().collect::<Vec<_>>()
    };
    assert!(kinds(&[]).is_empty());
    assert_eq!(kinds(&[("ww-deps", "true")]), ["G0", "PL-1-cycle-exists"]);
}

#[test]
fn a_message_polled_before_it_was_sent() {
    let check = finds(
        r#"1 poll [["poll",{"x":[[0,1]]}]]
           0 send [["send","x",[0,1]]]"#,
        &["G1c-realtime", "strong-PL-2-cycle-exists"],
    );
    let explanation = check.evidence.unwrap().explanation;
    assert!(explanation[0].ends_with("polled.") || explanation[0].ends_with("began."));
}

#[test]
fn what_nobody_polled_is_unseen() {
    let events = in_turn(FOUR);
    let found = check(&[], &events);
    assert_eq!(
        (found.verdict, &found.anomalies[..]),
        (Verdict::Invalid, &["unseen".to_string()][..])
    );
    assert_eq!(found.details["unseen"]["at-the-end"], 4);
    // If that is allowed, nothing was shown at all.
    assert_eq!(check(&[("allow", "\"unseen\"")], &events).verdict, Verdict::Vacuous);
    assert_eq!(check(&[], "").verdict, Verdict::Vacuous);
}

#[test]
fn messages_must_differ() {
    let found = finds(
        r#"0 send [["send","x",[0,1]]]
           1 send [["send","x",[1,1]]]
           2 poll [["poll",{"x":[[0,1],[1,1]]}]]"#,
        &[],
    );
    assert_eq!(found.verdict, Verdict::Unknown, "{}", found.reason);
    // A failed one did not happen, so the other is meant.
    finds(
        r#"0 fail send [["send","x",1]]
           1 send [["send","x",[1,1]]]
           2 poll [["poll",{"x":[[1,1]]}]]"#,
        &[],
    );
}

#[test]
fn values_are_read_in_every_form() {
    // Text keys of maps are numbers where sends have numbers; a completion that says nothing is as the invocation.
    let events = r#"
        0 invoke send [["send",11,{"a":[1]}]]
        0 ok send null
        1 invoke poll [["poll"]]
        1 ok poll [["poll",{"11":[[null,{"a":[1]}]]}],["poll"],["poll",null]]
        2 invoke crash null
        2 info crash null
        3 invoke debug-topic-partitions [1]
        3 ok debug-topic-partitions {"what":"ever"}
    "#;
    let found = check(&[], events);
    assert_eq!(
        (found.verdict, found.reason.as_str()),
        (Verdict::Valid, "1 message polled in 1 key, none lost, none out of place")
    );
    for bad in [
        "read null",
        "send 3",
        "send [[\"send\",1]]",
        "send [[\"send\",1,[1,2,3]]]",
        "poll [[\"poll\",{\"1\":[[1]]}]]",
        "poll [[\"poll\",{\"1\":3}]]",
        "poll [[\"push\"]]",
        "txn [[\"poll\",{},1]]",
        "assign 3",
    ] {
        assert!(judged_or(NAME, &[], &format!("0 invoke {bad}")).is_err(), "{bad}");
    }
    for bad in [("sub-via", "\"mail\""), ("allow", "\"everything\""), ("ww-deps", "1")] {
        assert!(judged_or(NAME, &[bad], "").is_err(), "{bad:?}");
    }
    assert!(judged_or(NAME, &[("sub-via", "[\"assign\",\"subscribe\"]")], "").is_ok());
}

#[test]
fn lag_is_since_when_a_later_message_was_known() {
    let events = in_turn(
        r#"0 assign ["x"]
           1 send [["send","x",[0,1]]]
           1 send [["send","x",[1,2]]]
           0 poll [["poll",{}]]
           0 poll [["poll",{"x":[[0,1]]}]]"#,
    );
    let lag = check(&[], &events).details["worst-lags"][0].clone();
    // The first message was there at 3 s, the first poll began at 6 s; the second message at 5 s, the second poll at 8 s.
    assert_eq!(
        (lag["lag-ns"].as_u64(), lag["time-ns"].as_u64()),
        (Some(3_000_000_000), Some(6_000_000_000))
    );
}
