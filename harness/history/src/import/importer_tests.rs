use proptest::prelude::*;

use super::*;
use crate::Op;

/// Everything a file gives when it is read some bytes at a time.
fn import(bytes: &[u8], format: Format, chunk: usize) -> (Vec<(Op, u64)>, Option<String>) {
    let mut importer =
        Importer::with(Window::in_chunks(bytes, 1, chunk), syntax(format), Header::new("", ""));
    let mut ops = Vec::new();
    loop {
        let op = match importer.next_op() {
            Ok(Some(op)) => op.to_op(),
            Ok(None) => return (ops, None),
            Err(error) => return (ops, Some(error.to_string())),
        };
        ops.push((op, importer.line()));
    }
}

fn texts() -> impl Strategy<Value = (Format, Vec<u8>)> {
    const EDN: [&str; 10] = [
        "{:process 0, :type :invoke, :f :write, :value \"é\u{1f600}\"}\n",
        "{:process 0, :type :ok, :f :write, :value nil}",
        "#a.Op{:process 1, :type :invoke, :f :read, :value [1 #{2 3}]}\r\n",
        "{:process 1, :type :info,\n :f :read, :error \"a \\\" } b\"}\n",
        "; a comment }\n",
        " #_ {:process 2} ",
        "[",
        "]",
        "{:process 12345, :type :invoke, :f :x}",
        "\"",
    ];
    const JSON: [&str; 6] = [
        "{\"process\":0,\"type\":\"invoke\",\"f\":\"write\",\"value\":\"é\u{1f600}\"}\n",
        "{\"process\":0,\"type\":\"ok\",\"f\":\"write\",\"value\":{\"b\":12345,\"a\":[1.5]}}",
        ",",
        "[",
        "]\n",
        "{\"process\":1,\"type\":\"invoke\",\"f\":\"\\u00e9\"}",
    ];
    const LOG: [&str; 5] = [
        "INFO - 0 :invoke :write \"é\"\n",
        "INFO - 0 :ok :write 12345\n",
        "\n",
        "INFO - 1 :invoke :read nil\r\n",
        "INFO - 1 :info :read :timed-out\n",
    ];
    let of = |format, pieces: &'static [&'static str]| {
        prop::collection::vec(prop::sample::select(pieces), 0..12)
            .prop_map(move |pieces| (format, pieces.concat().into_bytes()))
    };
    let whole = prop_oneof![
        of(Format::Edn, &EDN),
        of(Format::Json, &JSON),
        of(Format::PorcupineEtcd, &LOG)
    ];
    // Sometimes cut, perhaps in the middle of a character.
    (whole, 0usize..2000).prop_map(|((format, mut bytes), cut)| {
        bytes.truncate(cut);
        (format, bytes)
    })
}

/// Ops of a few processes in any order, as EDN; most of them fit nothing.
fn events() -> impl Strategy<Value = String> {
    let process = prop::sample::select(&["0", "1", "2", "nil", ":nemesis"][..]);
    let kind = prop::sample::select(&["invoke", "invoke", "ok", "fail", "info"][..]);
    let f = prop::sample::select(&["read", "write", "crash"][..]);
    let value = prop::sample::select(&["nil", "1", "2", "[1 nil]"][..]);
    let time = prop::option::of(0u8..20);
    let event = (process, kind, f, value, time).prop_map(|(process, kind, f, value, time)| {
        let time = time.map(|time| format!(" :time {time}")).unwrap_or_default();
        format!("{{:process {process} :type :{kind} :f :{f} :value {value}{time}}}\n")
    });
    prop::collection::vec(event, 0..12).prop_map(|events| events.concat())
}

/// What a well-behaved recorder writes: each process invokes, then completes or is gone.
fn right_events() -> impl Strategy<Value = String> {
    prop::collection::vec((0u32..4, 0usize..3), 0..20).prop_map(|steps| {
        let (mut open, mut text) = ([false; 4], String::new());
        for (process, outcome) in steps {
            let kind =
                if open[process as usize] { ["ok", "fail", "info"][outcome] } else { "invoke" };
            open[process as usize] ^= true;
            text += &format!("{{:process {process} :type :{kind} :f :read :value {outcome}}}\n");
        }
        text
    })
}

/// What our own reader says of ops that were imported.
fn read_back(imported: &crate::import::Imported) -> Result<Vec<Op>, ReadError> {
    let mut writer = crate::Writer::new(Vec::new(), &imported.header).expect("memory takes all");
    for op in &imported.ops {
        writer.append(op).expect("memory takes all");
    }
    let file = writer.seal().expect("memory takes all");
    crate::Reader::new(&file[..])?.read_all()
}

#[test]
fn what_the_nemesis_calls_crash_ends_nothing_else() {
    let text = "{:process :nemesis :type :invoke :f :read :value nil}
                {:process :nemesis :type :info :f :crash :value nil}";
    for repair in [false, true] {
        let options = Options { repair, independent: Independent::No };
        let imported = crate::import::open_all(text.as_bytes(), None, options).unwrap();
        assert_eq!((imported.ops.len(), imported.notes.len()), (1, 1), "{imported:?}");
    }
}

#[test]
fn rebalances_are_micro_operations() {
    let text = "{:process 0 :type :invoke :f :txn :value [[:poll]]}
                {:process 0 :type :ok :f :txn :value [[:poll {}]]
                 :rebalance-log [{:event :lost, :keys [1 2]} {:event :no-keys} {:keys []}]}
                {:process 0 :type :invoke :f :txn :value []}
                {:process 0 :type :ok :f :txn :value [] :rebalance-log [{:keys [1]}]}
                {:process 0 :type :invoke :f :add :value 3 :rebalance-log [{:keys [1]}]}";
    for repair in [false, true] {
        let options = Options { repair, independent: Independent::No };
        let imported = crate::import::open_all(text.as_bytes(), None, options).unwrap();
        let values: Vec<String> = imported.ops.iter().map(|op| op.value.to_string()).collect();
        assert_eq!(
            values,
            [
                r#"[["poll"]]"#,
                r#"[["poll",{}],["rebalance",[1,2]],["rebalance",[]]]"#,
                "[]",
                r#"[["rebalance",[1]]]"#,
                "3"
            ]
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn how_the_bytes_arrive_does_not_matter((format, bytes) in texts(), chunk in 1usize..60) {
        prop_assert_eq!(import(&bytes, format, chunk), import(&bytes, format, 1 << 20));
    }

    #[test]
    fn what_is_imported_is_a_history(text in prop_oneof![events(), right_events()]) {
        let import = |repair| {
            let options = Options { repair, independent: Independent::No };
            crate::import::open_all(text.as_bytes(), None, options)
        };
        let repaired = import(true).expect("anything can be repaired");
        prop_assert_eq!(&read_back(&repaired).expect("what is repaired is right"), &repaired.ops);
        let Ok(strict) = import(false) else { return Ok(()) };
        prop_assert_eq!(&read_back(&strict).expect("what is accepted is right"), &strict.ops);
        if strict.notes.is_empty() {
            prop_assert_eq!(strict.ops, repaired.ops);
            prop_assert!(repaired.notes.is_empty());
        }
    }

    #[test]
    fn what_is_right_is_accepted(text in right_events()) {
        let imported = crate::import::open_all(text.as_bytes(), None, Options::default());
        prop_assert_eq!(imported.expect("it is right").ops.len(), text.lines().count());
    }

    #[test]
    fn nothing_makes_an_importer_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..60),
        (format, text) in texts(),
        at in any::<prop::sample::Index>(),
    ) {
        let mut mixed = text.clone();
        if !text.is_empty() {
            mixed[at.index(text.len())] = bytes.first().copied().unwrap_or(b'{');
        }
        for bytes in [&bytes, &mixed] {
            import(bytes, format, 1 << 20);
            for repair in [false, true] {
                let options = Options { repair, ..Options::default() };
                let _ = crate::import::open_all(&bytes[..], Some(format), options);
            }
        }
    }
}
