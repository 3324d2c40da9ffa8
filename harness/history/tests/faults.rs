//! Fault windows and leaders from the nemesis' ops.

use keelhaul_history::faults::{FaultWindow, LeaderSpan, fault_windows, leader_spans, timeline};
use keelhaul_history::{NodeId, Op, Reader};

/// Ops from a short notation, one a line: time, type, function, value, and an error after a `!`.
fn ops(notation: &str) -> Vec<Op> {
    let mut text = String::from("{\"keelhaul\":1}\n");
    for (index, line) in notation.trim().lines().enumerate() {
        let (line, error) = line.trim().split_once(" !").unwrap_or((line.trim(), ""));
        let mut words = line.splitn(4, ' ');
        let mut word = || words.next().expect("four words a line");
        let (time, kind, f, value) = (word(), word(), word(), word());
        text += &format!(
            "{{\"index\":{index},\"time\":{time},\"type\":\"{kind}\",\"process\":\"nemesis\",\"f\":\"{f}\",\"value\":{value}"
        );
        if !error.is_empty() {
            text += &format!(",\"error\":\"{error}\"");
        }
        text += "}\n";
    }
    Reader::new(text.as_bytes()).and_then(|mut reader| reader.read_all()).expect("a history")
}

fn window(id: u64) -> FaultWindow {
    FaultWindow {
        id,
        kind: "kill".into(),
        label: "kill: n2".into(),
        injected_ns: 20,
        effective: true,
        healed_ns: Some(50),
        healed_verified: true,
        nodes: vec![NodeId(2)],
        error: None,
    }
}

const INJECT: &str = r#"
    10 invoke inject {"fault":4,"kind":"kill"}
    20 ok inject {"fault":4,"kind":"kill","label":"kill: n2","nodes":["n2"]}
"#;

const VERIFY: &str = r#"
    30 invoke verify {"fault":4,"kind":"kill"}
    40 ok verify {"fault":4,"kind":"kill"}
"#;

#[test]
fn a_whole_fault() {
    let all = format!(
        "{}\n{}\n{}",
        INJECT.trim(),
        VERIFY.trim(),
        r#"50 invoke heal {"fault":4,"kind":"kill"}
           60 ok heal {"fault":4,"kind":"kill"}
           70 invoke verify-healed {"fault":4,"kind":"kill"}
           80 ok verify-healed {"fault":4,"kind":"kill"}"#
    );
    assert_eq!(fault_windows(&ops(&all)), [window(4)]);
}

#[test]
fn a_fault_that_is_all_in_its_injection() {
    let gradual = INJECT.replace("[\"n2\"]", "[\"n2\"],\"gradual\":true");
    let all = format!("{}\n{}", gradual.trim(), VERIFY.trim());
    let found = fault_windows(&ops(&all));
    let wanted =
        FaultWindow { injected_ns: 10, healed_ns: None, healed_verified: false, ..window(4) };
    assert_eq!(found, [wanted]);
}

#[test]
fn a_run_that_was_killed() {
    let all = format!("{}\n{}", INJECT.trim(), VERIFY.trim());
    let expected = FaultWindow { healed_ns: None, healed_verified: false, ..window(4) };
    assert_eq!(fault_windows(&ops(&all)), [expected]);
    let expected = FaultWindow {
        label: "kill".into(),
        injected_ns: 10,
        effective: false,
        healed_ns: None,
        healed_verified: false,
        nodes: vec![],
        ..window(4)
    };
    assert_eq!(fault_windows(&ops(INJECT.trim().lines().next().unwrap())), [expected]);
}

#[test]
fn a_fault_that_did_not_take() {
    let all = format!(
        "{}\n{}",
        INJECT.trim(),
        r#"30 invoke verify {"fault":4}
           40 fail verify {"fault":4} !the process is still there
           50 invoke heal {"fault":4}"#
    );
    let found = fault_windows(&ops(&all));
    assert!(!found[0].effective);
    assert_eq!(found[0].error.as_deref(), Some("verify: the process is still there"));
}

#[test]
fn several_at_once() {
    let all = r#"10 invoke inject {"fault":1,"kind":"pause"}
        11 ok inject {"fault":1,"kind":"pause"}
        12 invoke inject {"fault":2,"kind":"kill"}
        13 ok inject {"fault":2,"kind":"kill"}
        14 invoke verify {"fault":2}
        15 ok verify {"fault":2}
        16 invoke heal {"fault":1}
        17 ok heal {"fault":1}"#;
    let found = fault_windows(&ops(all));
    let summary: Vec<_> =
        found.iter().map(|w| (w.id, w.injected_ns, w.effective, w.healed_ns)).collect();
    assert_eq!(summary, [(1, 11, false, Some(16)), (2, 13, true, None)]);
}

#[test]
fn leaders() {
    let all = r#"10 invoke leader null
        11 ok leader {"leader":"n2","term":5}
        20 invoke leader null
        21 ok leader {"leader":"n2","term":5}
        30 invoke leader null
        31 ok leader {"leader":null,"term":6}
        40 invoke leader null
        41 fail leader null !nobody answered
        50 invoke leader null
        51 ok leader {"leader":"n3","term":6}
        60 invoke leader null"#;
    let span = |leader: Option<u16>, term, from_ns, to_ns| LeaderSpan {
        leader: leader.map(NodeId),
        term: Some(term),
        from_ns,
        to_ns,
    };
    let expected = [span(Some(2), 5, 11, 31), span(None, 6, 31, 51), span(Some(3), 6, 51, 60)];
    assert_eq!(leader_spans(&ops(all)), expected);
    assert!(timeline(&ops(all)).faults.is_empty());
}
