//! Histories of other tools: what is read, what is refused with its line, and what repairing does.

use keelhaul_history::import::{Format, Imported, Independent, OpSource, Options, open, open_all};
use keelhaul_history::{F, Kind, Process, ReadError, Value};

fn import(text: &str) -> Result<Imported, ReadError> {
    open_all(text.as_bytes(), None, Options::default())
}

/// Each op in short: `3 ok write [key] value !error`.
fn shown(imported: &Imported) -> Vec<String> {
    let show = |op: &keelhaul_history::Op| {
        let key = op.key.as_ref().map(|key| format!(" [{key}]")).unwrap_or_default();
        let error = op.error.as_ref().map(|error| format!(" !{error}")).unwrap_or_default();
        format!("{} {} {}{key} {}{error}", op.process, op.kind, op.f, op.value)
    };
    imported.ops.iter().map(show).collect()
}

fn check(text: &str, expected: &[&str]) {
    let imported = import(text).unwrap_or_else(|e| panic!("{text}: {e}"));
    assert_eq!(shown(&imported), expected, "{text}");
    for (at, op) in imported.ops.iter().enumerate() {
        assert_eq!(op.index, at as u64, "{text}");
    }
}

const WRITE: [&str; 2] = ["3 invoke write 1", "3 ok write 1"];

#[test]
fn shapes_of_edn() {
    for text in [
        "{:process 3, :type :invoke, :f :write, :value 1}\n{:process 3 :type :ok :f :write :value 1}",
        "[{:process 3, :type :invoke, :f :write, :value 1}\n {:process 3 :type :ok :f :write :value 1}]\n",
        "({:process 3, :type :invoke, :f :write, :value 1}{:process 3 :type :ok :f :write :value 1})",
        "; begun\n\n{:value 1,\n :process 3, ; one op, two lines\n :type :invoke, :f :write} #_{:process 4}\n\
         {:process 3 :type :ok :f :write :value 1} ; no newline",
        "#jepsen.history.Op{:index 0, :time 5, :type :invoke, :process 3, :f :write, :value 1, :odd #{1}}\n\
         #jepsen.history.Op{:index 1, :time 9, :type :ok, :process 3, :f :write, :value 1}",
        "#jepsen.history.DenseHistory [#a.Op {:process 3, :type :invoke, :f :write, :value 1}\
         ^{:m 1} {:process 3 :type :ok :f :write :value 1}]",
        "{\"process\" 3, \"type\" \"invoke\", \"f\" \"write\", \"value\" 1}\n\
         {process 3, type ok, f write, value 1}",
        "\u{feff}{:process 3N, :type :invoke, :f :write, :value 0x1}\r\n\
         {:process 3 :type :ok :f :write :value 1}\r\n",
    ] {
        check(text, &WRITE);
    }
    for empty in ["", "\n \n", "[]", "()", "; nothing"] {
        check(empty, &[]);
    }
}

#[test]
fn shapes_of_json() {
    for text in [
        "{\"process\":3,\"type\":\"invoke\",\"f\":\"write\",\"value\":1}\n\
         {\"process\":3,\"type\":\"ok\",\"f\":\"write\",\"value\":1,\"rate\":0.5}\n",
        "[{\"process\":3,\"type\":\"invoke\",\"f\":\"write\",\"value\":1}\n,\n\
         {\"process\":3,\"type\":\"\\u006fk\",\"f\":\"wr\\u0069te\",\"value\":1, \"error\" : null}] ",
    ] {
        check(text, &WRITE);
    }
}

#[test]
fn shapes_of_logs() {
    check("3\t:invoke\t:write\t1\n3\t:ok\t:write\t1", &WRITE);
    check(
        "\nINFO  jepsen.util - 3\t:invoke\t:write\t1\nINFO [1] worker - jepsen.util 3 :ok :write 1\n",
        &WRITE,
    );
    check(
        "0 :invoke :cas [0 1]\n0 :fail :cas [0 1] :conflict\n0 :invoke :read nil\n0 :info :read :timed-out\n\
         :nemesis :info :start nil\n:nemesis :info :start \"cut {:n1 #{:n2}}\"",
        &[
            "0 invoke cas [0,1]",
            "0 fail cas [0,1] !conflict",
            "0 invoke read null",
            "0 info read null !timed-out",
            "nemesis invoke start null",
            "nemesis info start \"cut {:n1 #{:n2}}\"",
        ],
    );
}

#[test]
fn a_line_of_a_log_may_be_longer_than_what_is_read_at_once() {
    // The text begins long before the end of the first part that is read, and ends behind it.
    let text = "x".repeat(300 * 1024);
    for prefix in ["", "INFO - "] {
        let log = format!("{prefix}0 :invoke :write \"{text}\"\n{prefix}0 :ok :write \"{text}\"\n");
        let imported = import(&log).map_err(|error| error.to_string());
        assert_eq!(imported.map(|imported| imported.ops.len()), Ok(2));
    }
}

#[test]
fn values_of_any_kind() {
    let value = |edn: &str| {
        let text = format!("{{:process 0 :type :invoke :f :x :value {edn}}}");
        import(&text).unwrap_or_else(|e| panic!("{edn}: {e}")).ops[0].value.clone()
    };
    assert_eq!(value("nil"), Value::Null);
    assert_eq!(
        value("[:r \\a 1/2 1.5]"),
        ["r", "a", "1/2", "1.5"].map(Value::from).to_vec().into()
    );
    assert_eq!(value("#{3 1 2}"), vec![1, 2, 3].into());
    assert_eq!(value("{:b 1 \"a\" 2}"), Value::map([("a", 2.into()), ("b", 1.into())]));
    assert_eq!(value("{2 20, 10 30}"), Value::map([("2", 20.into()), ("10", 30.into())]));
    let json = "{\"process\":0,\"type\":\"invoke\",\"f\":\"x\",\"value\":{\"10\":1e3,\"2\":[-0,18446744073709551615]}}";
    let big = Value::List([0.into(), "18446744073709551615".into()].into());
    assert_eq!(import(json).unwrap().ops[0].value, Value::map([("2", big), ("10", "1e3".into())]));
}

#[test]
fn absent_fields_are_filled_in() {
    let imported = import(
        "{:type :invoke :process 0 :value [[:r :x nil]]}\n{:type :ok :process 0 :value [[:r :x 1]]}\n\
         {:type :invoke :process 0 :f :txn :value [[:w :x 1]] :time 50}\n{:type :info :process 0, :time -1}",
    )
    .unwrap();
    assert_eq!(
        shown(&imported),
        [
            "0 invoke txn [[\"r\",\"x\",null]]",
            "0 ok txn [[\"r\",\"x\",1]]",
            "0 invoke txn [[\"w\",\"x\",1]]",
            "0 info txn null"
        ]
    );
    let times: Vec<u64> = imported.ops.iter().map(|op| op.time_ns).collect();
    assert_eq!(times, [0, 1, 50, 51]);
    assert_eq!(imported.lines, [1, 2, 3, 4]);
}

#[test]
fn a_process_goes_on_after_an_info_under_a_new_number() {
    let text = "{:process 7 :type :invoke :f :write :value 1}\n{:process 7 :type :info :f :write :value 1}\n\
                {:process 7 :type :invoke :f :read}\n{:process 7 :type :ok :f :read :value 1}";
    let imported = import(text).unwrap();
    let processes = |imported: &Imported| -> Vec<Process> {
        imported.ops.iter().map(|op| op.process).collect()
    };
    assert_eq!(processes(&imported), [7, 7, 8, 8].map(Process::Client));
    assert!(imported.notes[0].contains("1× (first at line 3)"), "{:?}", imported.notes);
    // The new number is found in the file later on.
    let clash =
        format!("{text}\n{{:process 8 :type :invoke :f :read}}\n{{:process 8 :type :ok :f :read}}");
    let imported = import(&clash).unwrap();
    assert_eq!(processes(&imported), [7, 7, 8, 8, 9, 9].map(Process::Client));
}

#[test]
fn the_nemesis_and_crashes() {
    check(
        "{:process :nemesis :type :info :f :start}\n{:process 1 :type :invoke :f :read}\n\
         {:process :nemesis :type :info :f :start :value :cut}\n{:process 1 :type :info :f :crash}\n\
         {:process 2 :type :info :f :crash}\n{:process :nemesis :type :info :f :stop}",
        &[
            "nemesis invoke start null",
            "1 invoke read null",
            "nemesis info start \"cut\"",
            "1 info read null",
            "nemesis invoke stop null",
        ],
    );
}

/// The error of a text, which must name `line`.
fn refused(text: &str, line: u64, expected: &str) {
    let error = import(text).map(|i| shown(&i));
    let text = &text[..text.len().min(200)];
    let error = error.expect_err(text).to_string();
    assert!(error.starts_with(&format!("line {line}: ")), "{text}: {error}");
    assert!(error.contains(expected), "{text}: {error}");
}

#[test]
fn malformed_histories_are_refused_with_their_line() {
    let op = |rest: &str| format!("{{:process 0, :type :invoke, :f :read}}\n\n{{{rest}}}");
    for (second, expected) in [
        (":process 0, :type :invoke, :f :read", "its operation of index 0 is open"),
        (":process 1, :type :ok, :f :read", "process 1 completes an operation that it never"),
        (":process 1, :type :info, :f :write", "process 1 completes an operation that it never"),
        (":process 0, :type :ok, :f :write", "completes \"write\" but had invoked \"read\""),
        (":type :ok, :f :read", "no process"),
        (":process nil, :type :ok, :f :read", "no process"),
        (":process :c1, :type :ok, :f :read", "process \"c1\" is neither"),
        (":process -1, :type :ok, :f :read", "process -1 is neither"),
        (":process 4294967296, :type :ok, :f :read", "process 4294967296 is neither"),
        (":process 0, :f :read", "no type"),
        (":process 0, :type :done, :f :read", "type \"done\" is none of"),
        (":process 1, :type :invoke, :value 1", "no f"),
        (":process 1, :type :invoke, :f :read, :time :now", "time \"now\" is not a whole number"),
        (":process 1, :type :invoke, :f :read, :index 1.5", "index \"1.5\" is not"),
        (":process 1, :type :invoke, :f :read, :f :write", "key f stands twice"),
        (":process 1, :type :invoke, :f", "a value must follow"),
        (":process 1, :type :invoke, :f :read, :value [1 2", "not EDN at column"),
    ] {
        refused(&op(second), 3, expected);
    }
    refused(
        "{:process 0 :type :invoke :f :a :index 3}\n{:process 1 :type :invoke :f :a :index 3}",
        2,
        "index 3 follows index 3",
    );
    let times = |who: u32, first: &str, second: &str| {
        format!(
            "{{:process 0 :type :invoke :f :a {first}}}\n{{:process {who} :type :{} :f :a {second}}}",
            if who == 0 { "ok" } else { "invoke" }
        )
    };
    refused(&times(0, ":time 100", ":time 99"), 2, "time 99 ns is before 100 ns, when process 0");
    refused(&times(1, ":time 100", ":time 50"), 2, "time 50 ns follows 100 ns");
    refused(
        &times(1, ":time 90000000000 :index 0", ":time 70000000000 :index 1"),
        2,
        "times must not go back",
    );
    assert!(
        import(&times(1, ":time 1000", ":time 900")).unwrap().notes[0].contains("times went back")
    );
    assert!(import(&times(1, ":time 8000000000 :index 0", ":time 3000000000 :index 1")).is_ok());
}

#[test]
fn malformed_text_is_refused_with_its_line() {
    refused("[{:process 0 :type :invoke :f :a}\n", 2, "never closed");
    refused("{:process 0 :type :invoke :f :a}\n]", 2, "an operation must stand here");
    refused("{:process 0 :type :invoke :f :a}\n7", 2, "an operation must stand here");
    refused("[[{:process 0 :type :invoke :f :a}]]", 1, "fit none of them");
    refused("[{\"process\":0,\"type\":\"invoke\",\"f\":\"a\"}\n{}]", 2, "a comma or the closing");
    refused("[{\"process\":0,\"type\":\"invoke\",\"f\":\"a\"},\n]", 2, "must follow the comma");
    refused("[{\"process\":0,\"type\":\"invoke\",\"f\":\"a\"}\n", 2, "never closed");
    refused("{\"process\":0,\n\"type\":invoke}", 2, "not JSON at column 8");
    refused("{\"process\":0,\"process\":0}", 1, "process stands twice");
    refused("0 :invoke :read nil\n0 :ok :read", 2, "not a log line");
    refused("0 :invoke :read nil\nhello", 2, "not a log line");
    refused(
        "0 :invoke :read nil\n0 :ok :read 1 :e 2",
        2,
        "not a log line of an operation at column 18",
    );
    refused("hello", 1, "name the kind");
    let deep = format!("{{:process 0\n :value {}", "[".repeat(1_000_000));
    refused(&deep, 2, "nested deeper than 64");
    let deep = format!("{{\"process\":0,\n \"value\":{}", "[".repeat(1_000_000));
    refused(&deep, 2, "nested deeper than 64");
}

#[test]
fn bytes_that_are_no_text_are_refused_with_their_line() {
    let mut bytes = b"{:process 0 :type :invoke :f :a}\n{:process 1 :f :b :value \"".to_vec();
    let refused = |bytes: &[u8], problem: &str| {
        let error = open_all(bytes, None, Options::default()).unwrap_err().to_string();
        assert_eq!(error, format!("line 2: {problem}"));
    };
    let cut = bytes.len();
    bytes.extend_from_slice(b"\xff\"}\n");
    refused(&bytes, &format!("not UTF-8 at column {}", cut - 33 + 1));
    bytes.truncate(cut);
    bytes.extend_from_slice("é".as_bytes());
    bytes.pop();
    refused(&bytes, &format!("not UTF-8 at column {}", cut - 33 + 1));
}

#[test]
fn an_op_that_is_too_long_is_refused() {
    let text = format!(
        "{{:process 0 :type :invoke :f :a}}\n{{:process 1 :value [\"{}",
        "x".repeat(10 * 1024 * 1024)
    );
    refused(&text, 2, "longer than");
}

#[test]
fn nothing_follows_an_error() {
    let text = "{:process 0 :type :invoke :f :a}\n{:process 0 :type :invoke :f :a}\n{:process 0 :type :ok :f :a}";
    let mut source = open(text.as_bytes(), None, Options::default()).unwrap();
    assert!(source.next_op().unwrap().is_some());
    assert!(source.next_op().is_err());
    assert!(source.next_op().unwrap().is_none());
}

#[test]
fn keys_are_lifted_out_of_values() {
    let text = "{:process 0 :type :invoke :f :write :value [5 1]}\n{:process 0 :type :ok :f :write :value [5 1]}\n\
                {:process 1 :type :invoke :f :read :value [6 nil]}\n{:process 1 :type :ok :f :read :value nil}\n\
                {:process :nemesis :type :info :f :start :value 3}";
    let with = |text: &str, independent| {
        let options = Options { independent, ..Options::default() };
        open_all(text.as_bytes(), None, options)
    };
    let lifted = [
        "0 invoke write [5] 1",
        "0 ok write [5] 1",
        "1 invoke read [6] null",
        "1 ok read [6] null",
        "nemesis invoke start 3",
    ];
    for independent in [Independent::Yes, Independent::Guess] {
        let imported = with(text, independent).unwrap();
        assert_eq!(shown(&imported), lifted, "{independent:?}");
        assert!(imported.notes[0].contains("independent keys"));
    }
    assert_eq!(with(text, Independent::No).unwrap().ops[0].key, None);
    for other in [
        "{:process 0 :type :invoke :f :cas :value [5 1]}",
        "{:process 0 :type :invoke :f :read :value nil}",
        "{:process 0 :type :invoke :f :read :value [5 1]}",
        "{:process 0 :type :invoke :f :read :value [[:r 1] nil]}",
        "{:process 0 :type :invoke :f :read :value [5 nil]}{:process 1 :type :invoke :f :write :value 1}",
    ] {
        assert_eq!(with(other, Independent::Guess).unwrap().ops[0].key, None, "{other}");
    }
    let error = with("{:process 0 :type :invoke :f :read :value 5}", Independent::Yes);
    assert!(error.unwrap_err().to_string().contains("line 1: value 5 is not [key value]"));
}

#[test]
fn keys_of_their_own() {
    check(
        "{:process 0, :type :invoke, :f :append, :key \"0\", :value \"x 0 0 y\"}\n\
         {:process 0, :type :ok, :f :append, :key \"0\", :value \"x 0 0 y\"}",
        &["0 invoke append [\"0\"] \"x 0 0 y\"", "0 ok append [\"0\"] \"x 0 0 y\""],
    );
}

fn repaired(text: &str) -> Imported {
    let options = Options { repair: true, ..Options::default() };
    open_all(text.as_bytes(), None, options).unwrap_or_else(|e| panic!("{text}: {e}"))
}

fn check_repair(text: &str, expected: &[&str], note: &str) {
    let repaired = repaired(text);
    assert_eq!(shown(&repaired), expected, "{text}");
    assert!(repaired.notes.iter().any(|n| n.contains(note)), "{text}: {:?}", repaired.notes);
}

#[test]
fn what_is_right_stays_as_it_is() {
    let text = "{:process 0 :type :invoke :f :write :value 1 :time 5}\n{:process 1 :type :invoke :f :read :time 7}\n\
                {:process 0 :type :ok :f :write :value 1 :time 7}\n{:process 1 :type :info :f :read :error [:a 1] :time 9}";
    let (strict, repaired) = (import(text).unwrap(), repaired(text));
    assert_eq!(strict.ops, repaired.ops);
    assert_eq!(strict.lines, repaired.lines);
    assert_eq!(repaired.notes, [""; 0]);
    assert_eq!(strict.ops[3].error.as_deref(), Some("[\"a\",1]"));
}

#[test]
fn repairing_claims_no_order_that_is_not_there() {
    // Completions alone: each may have begun as soon as its process was free.
    check_repair(
        "{:process 0 :type :ok :f :write :value 1}\n{:process 1 :type :ok :f :read :value 1}\n\
         {:process 0 :type :ok :f :read :value 2}",
        &[
            "0 invoke write 1",
            "1 invoke read null",
            "0 ok write 1",
            "0 invoke read null",
            "1 ok read 1",
            "0 ok read 2",
        ],
        "3× (first at line 1): completions had no invocation",
    );
    // Two things at once: two processes, and the completion goes where it fits.
    check_repair(
        "{:process 0 :type :invoke :f :write :value 1}\n{:process 0 :type :invoke :f :write :value 2}\n\
         {:process 0 :type :ok :f :write :value 1}\n{:process 0 :type :invoke :f :read}",
        &["0 invoke write 1", "1 invoke write 2", "0 ok write 1", "0 invoke read null"],
        "line 2): processes invoked while",
    );
    check_repair(
        "{:process 0 :type :invoke :f :read}\n{:process 0 :type :invoke :f :read}\n{:process 0 :type :ok :f :read :value 1}",
        &["0 invoke read null", "1 invoke read null"],
        "fit several invocations",
    );
    check_repair(
        "{:type :invoke :f :write :value 1}\n{:type :invoke :f :write :value 2}\n{:type :ok :f :write :value 2}\n\
         {:type :ok :f :write :value 1}\n{:type :invoke :f :read}\n{:type :ok :f :read :value 1}",
        &[
            "0 invoke write 1",
            "1 invoke write 2",
            "1 ok write 2",
            "0 ok write 1",
            "2 invoke read null",
            "2 ok read 1",
        ],
        "operations without a process",
    );
}

#[test]
fn repairing_drops_what_cannot_be_understood() {
    let write = "{:process 0 :type :invoke :f :write :value 1}\n{:process 0 :type :ok :f :write :value 1}\n";
    let kept = ["0 invoke write 1", "0 ok write 1"];
    for (more, note) in [
        (
            "{:process 0 :type :ok :f :write :value 1}",
            "line 3): operations were dropped that only repeat",
        ),
        (
            "{:process 1 :type :odd :f :write :value 1}",
            "line 3): operations were dropped, which lack",
        ),
        (
            "{:process :c1 :type :invoke :f :write :value 1}",
            "line 3): operations were dropped, which lack",
        ),
        ("{:process 1 :type :invoke :value 1}", "line 3): operations were dropped, which lack"),
        ("{:process 1 :type :invo", "line 3): operations were dropped at the end"),
        ("}\n", "line 3): pieces of text"),
        ("{:process :nemesis :type :ok :f :x}\n", "line 3): events of the nemesis"),
    ] {
        check_repair(&format!("{write}{more}"), &kept, note);
    }
    check_repair(
        "{:process 0 :type :invoke :f :write :value 1}\n{:process 1 #<Object> :f 1}\n{:process 0 :type :ok :f :write :value 1}",
        &kept,
        "1× (first at line 2): pieces of text",
    );
    // An operation that certainly happened is never lost.
    check_repair(
        "{:process 0 :type :invoke :f :write :value 1}\n{:process 0 :type :ok :f :write2 :value 1}",
        &["1 invoke write2 1", kept[0], "1 ok write2 1"],
        "had no invocation",
    );
    let times = "{:process 0 :type :invoke :f :write :value 1 :time 9 :index 5}\n\
                 {:process 0 :type :ok :f :write :value 1 :time 2 :index 4}";
    check_repair(times, &kept, "times went back");
    check_repair(times, &kept, "indices did not rise");
}

#[test]
fn our_own_histories_are_repaired_too() {
    let text = "{\"keelhaul\":1,\"store\":\"raft\",\"workload\":\"register\"}\n\
        {\"index\":0,\"time\":9,\"type\":\"invoke\",\"process\":0,\"f\":\"write\",\"key\":1,\"value\":1}\n\
        {\"index\":2,\"time\":5,\"type\":\"ok\",\"process\":0,\"f\":\"write\",\"key\":1,\"value\":1}\n\
        {\"seal\":{\"count\":2,\"crc32\":\"00000000\"}}\n";
    let error = import(text).unwrap_err().to_string();
    assert!(error.starts_with("line 3: index 2 where 1"), "{error}");
    let repaired = repaired(text);
    assert_eq!(repaired.header.store, "raft");
    assert_eq!(shown(&repaired), ["0 invoke write [1] 1", "0 ok write [1] 1"]);
    assert_eq!(repaired.lines, [2, 3]);
}

#[test]
fn a_source_gives_what_the_own_reader_gives() {
    let text = "{\"keelhaul\":1}\n{\"index\":0,\"time\":9,\"type\":\"invoke\",\"process\":0,\"f\":\"read\"}\n";
    let imported = import(text).unwrap();
    assert_eq!(imported.ops[0].f, F::Read);
    assert_eq!((imported.ops[0].kind, imported.lines[0]), (Kind::Invoke, 2));
    let named = open_all("[]".as_bytes(), Some(Format::Json), Options::default()).unwrap();
    assert!(named.ops.is_empty());
}
