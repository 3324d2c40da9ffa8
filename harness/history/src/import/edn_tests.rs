use proptest::prelude::*;

use super::*;

fn read(text: &str) -> Result<String, Problem> {
    let (mut edn, mut out) = (Edn::new(text, 0), String::new());
    edn.form(&mut out, 0).and_then(|()| edn.blank(0)).map_err(|fault| fault.problem)?;
    assert_eq!(edn.at, text.len(), "{text} was not read to its end");
    Ok(out)
}

fn check(edn: &str, json: &str) {
    assert_eq!(read(edn).as_deref(), Ok(json), "{edn}");
}

#[test]
fn atoms() {
    check("nil", "null");
    check("true", "true");
    check("-17", "-17");
    check("+17", "17");
    check("0", "0");
    check("017", "15");
    check("0x1F", "31");
    check("-0xff", "-255");
    check("2r101", "5");
    check("36rZZ", "1295");
    check("9223372036854775807", "9223372036854775807");
    check("-9223372036854775808", "-9223372036854775808");
    check("9223372036854775808", "\"9223372036854775808\"");
    check("42N", "42");
    check("99999999999999999999N", "\"99999999999999999999\"");
    check("1/3", "\"1/3\"");
    check("-1.5e3", "\"-1.5e3\"");
    check("1.5M", "\"1.5\"");
    check("##NaN", "\"NaN\"");
    check("##-Inf", "\"-Inf\"");
    check(":read", "\"read\"");
    check(":a.b/c", "\"a.b/c\"");
    check("jepsen.x_test$fn__1", "\"jepsen.x_test$fn__1\"");
    check("->x", "\"->x\"");
    check("-", "\"-\"");
    check("\\a", "\"a\"");
    check("\\newline", "\"\\n\"");
    check("\\u00e9", "\"é\"");
    check("\\o101", "\"A\"");
    check("\\(", "\"(\"");
    check("[\\a\\b]", "[\"a\",\"b\"]");
    check("\"x 0 0 y\"", "\"x 0 0 y\"");
    check("\"a\\\"\\\\\\t\\u0041\\ud83d\\ude00é\"", "\"a\\\"\\\\\\u0009A😀é\"");
    check("\"two\nlines\"", "\"two\\nlines\"");
    check("#\"a\\d\\\"\"", "\"a\\\\d\\\\\\\"\"");
    check("#'clojure.core/map", "\"clojure.core/map\"");
}

#[test]
fn collections() {
    check("[]", "[]");
    check("(1, 2 [nil])", "[1,2,[null]]");
    check("#{10 9 :b \"a\"}", "[9,10,\"a\",\"b\"]");
    check("{:b 1, :a {2 3}}", "{\"a\":{\"2\":3},\"b\":1}");
    check("{10 1, 9 2, [1 2] 3, nil 4}", "{\"9\":2,\"10\":1,\"[1,2]\":3,\"null\":4}");
    check("#:op{:f 1, :_/g 2, :x/h 3}", "{\"g\":2,\"op/f\":1,\"x/h\":3}");
    check("#jepsen.history.Op{:index 1}", "{\"index\":1}");
    check("#jepsen.independent.Tuple[1 [2 3]]", "[1,[2,3]]");
    check("#inst \"2020-01-01\"", "\"2020-01-01\"");
    check("#object[java.lang.Object 0x3f \"x\"]", "[\"java.lang.Object\",63,\"x\"]");
}

#[test]
fn what_says_nothing_is_skipped() {
    check("; first\n [1 #_2 #_ #_ 3 4 5 ; rest\n]", "[1,5]");
    check("^{:line 3} [^:k 1]", "[1]");
    check("[1 #_[2 3]]", "[1]");
    check("{:a #_ 1 2}", "{\"a\":2}");
}

#[test]
fn equal_values_are_equal_text() {
    assert_eq!(read("{:x 1 :y #{1 2}}"), read("{:y #{2 1}, :x 1}"));
}

#[test]
fn errors_say_what_would_be_right() {
    let error = |text: &str| read(text).unwrap_err().to_string();
    for (text, expected) in [
        ("", "not the end"),
        ("[1 2", "never closed"),
        ("[1 2}", "not a closing bracket"),
        ("\"abc", "never ends"),
        ("\"\\q\"", "no such escape"),
        ("{:a}", "a value must follow"),
        ("{:a 1 :a 2}", "stands twice"),
        ("12ab", "like a number"),
        ("1/", "like a number"),
        (":", "keyword's name"),
        ("#<Object@1>", "cannot be read"),
        ("\\longname", "no such character"),
        ("#", "cannot be read"),
    ] {
        assert!(error(text).contains(expected), "{text}: {}", error(text));
    }
    let deep = "[".repeat(100_000);
    assert_eq!(read(&deep), Err(Problem::TooDeep { max: DEPTH_MAX }));
    for opening in ["#_", "^", "#a ", "{[", "#{", "("] {
        assert!(read(&opening.repeat(100_000)).is_err(), "{opening}");
    }
}

/// A form and, in the most obvious way, the value it stands for.
#[derive(Clone, Debug)]
enum Tree {
    Nil,
    Bool(bool),
    Int(i64),
    Word(String),
    Text(String),
    List(Vec<Tree>),
    Set(Vec<Tree>),
    Map(Vec<(Tree, Tree)>),
    Tagged(Box<Tree>),
}

impl Tree {
    fn json(&self) -> serde_json::Value {
        match self {
            Self::Nil => serde_json::Value::Null,
            Self::Bool(b) => (*b).into(),
            Self::Int(n) => (*n).into(),
            Self::Word(s) | Self::Text(s) => s.as_str().into(),
            Self::List(items) => items.iter().map(Self::json).collect(),
            Self::Set(items) => {
                let mut items: Vec<serde_json::Value> = items.iter().map(Self::json).collect();
                items.sort_by_key(|item| match item {
                    serde_json::Value::Number(n) => (0, n.as_i64(), String::new()),
                    other => (1, None, other.to_string()),
                });
                items.into()
            }
            Self::Map(entries) => {
                let name = |key: &Self| match key.json() {
                    serde_json::Value::String(s) => s,
                    other => other.to_string(),
                };
                let mut entries: Vec<_> =
                    entries.iter().map(|(k, v)| (name(k), v.json())).collect();
                entries.sort_by_key(|(k, _)| match k.parse::<i64>() {
                    Ok(n) => (0, n, k.clone()),
                    Err(_) => {
                        let quoted = serde_json::Value::from(k.as_str()).to_string();
                        (1, 0, quoted[1..quoted.len() - 1].to_owned())
                    }
                });
                serde_json::Value::Object(entries.into_iter().collect())
            }
            Self::Tagged(inner) => inner.json(),
        }
    }

    fn repeats_a_key(&self) -> bool {
        match self {
            Self::List(items) | Self::Set(items) => items.iter().any(Self::repeats_a_key),
            Self::Map(entries) => {
                let object = self.json();
                object.as_object().is_some_and(|object| object.len() < entries.len())
                    || entries.iter().any(|(k, v)| k.repeats_a_key() || v.repeats_a_key())
            }
            Self::Tagged(inner) => inner.repeats_a_key(),
            _ => false,
        }
    }

    /// Printed with more blanks, commas, comments and discards than anybody would.
    fn print(&self, noise: &mut dyn FnMut() -> &'static str) -> String {
        let between = |items: &[Self], noise: &mut dyn FnMut() -> &'static str| {
            let mut text = String::new();
            for item in items {
                text += noise();
                text += &item.print(noise);
                text += noise();
            }
            text
        };
        match self {
            Self::Nil => "nil".into(),
            Self::Bool(b) => b.to_string(),
            Self::Int(n) => n.to_string(),
            Self::Word(s) => format!(":{s}"),
            Self::Text(s) => {
                let escaped = s.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
                format!("\"{escaped}\"")
            }
            Self::List(items) => format!("[{}]", between(items, noise)),
            Self::Set(items) => format!("#{{{}}}", between(items, noise)),
            Self::Map(entries) => {
                let flat: Vec<Self> =
                    entries.iter().flat_map(|(k, v)| [k.clone(), v.clone()]).collect();
                format!("{{{}}}", between(&flat, noise))
            }
            Self::Tagged(inner) => format!("#a.b/C{}{}", noise(), inner.print(noise)),
        }
    }
}

fn trees() -> impl Strategy<Value = Tree> {
    let leaf = prop_oneof![
        Just(Tree::Nil),
        any::<bool>().prop_map(Tree::Bool),
        any::<i64>().prop_map(Tree::Int),
        "[a-z][a-z0-9/.*!?-]{0,5}".prop_map(Tree::Word),
        "[ -~é\n\u{1f600}]{0,8}".prop_map(Tree::Text),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        let items = prop::collection::vec(inner.clone(), 0..6);
        let entries = prop::collection::vec((inner.clone(), inner.clone()), 0..5);
        prop_oneof![
            items.clone().prop_map(Tree::List),
            items.prop_map(Tree::Set),
            entries.prop_map(Tree::Map),
            inner.prop_map(|tree| Tree::Tagged(Box::new(tree))),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_form_is_read_as_the_obvious_reader_says(tree in trees(), mut seed in any::<u64>()) {
        const NOISE: [&str; 6] = [" ", "\n", ", ", " ; said\n", " #_ [x] ", " #_#_ 1 2 "];
        let text = tree.print(&mut || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            NOISE[(seed >> 33) as usize % NOISE.len()]
        });
        match read(&text) {
            Ok(json) => {
                let found: serde_json::Value = serde_json::from_str(&json).expect("it is JSON");
                prop_assert_eq!(found.to_string(), tree.json().to_string(), "{}", text);
            }
            Err(Problem::KeyTwice(_)) => prop_assert!(tree.repeats_a_key(), "{}", text),
            Err(other) => prop_assert!(false, "{}: {}", text, other),
        }
    }

    #[test]
    fn nothing_makes_the_reader_panic(text in "[\\[\\](){}#_^:;\"\\\\a-f0-9/.+ \n'<é-]{0,40}") {
        let (mut edn, mut out) = (Edn::new(&text, 0), String::new());
        while edn.at < text.len() && edn.form(&mut out, 0).is_ok() {}
        let (mut edn, mut open, mut record) = (Edn::new(&text, 0), None, Record::default());
        while matches!(edn.next_op(&mut open), Ok(true)) && edn.op(&mut record).is_ok() {}
    }
}
