//! As much of EDN as verdicts are written in, read as JSON: keywords are text without their colon, sets are sorted lists.

use serde_json::{Map, Value};

/// The first form of a text.
pub fn read(text: &str) -> Value {
    let mut tokens = tokens(text).into_iter();
    let first = tokens.next().expect("a form");
    form(first, &mut tokens)
}

fn tokens(text: &str) -> Vec<&str> {
    let bytes = text.as_bytes();
    let (mut at, mut tokens) = (0, Vec::new());
    while at < bytes.len() {
        let from = at;
        match bytes[at] {
            b if b.is_ascii_whitespace() || b == b',' => {
                at += 1;
                continue;
            }
            b'[' | b'(' | b'{' | b']' | b')' | b'}' => at += 1,
            b'#' if bytes[at + 1] == b'{' => at += 2,
            b'"' => {
                at += 1;
                while bytes[at] != b'"' {
                    at += if bytes[at] == b'\\' { 2 } else { 1 };
                }
                at += 1;
            }
            _ => {
                let end = |b: &u8| b.is_ascii_whitespace() || b",[](){}\"".contains(b);
                at += bytes[at..].iter().position(end).unwrap_or(bytes.len() - at);
            }
        }
        tokens.push(&text[from..at]);
    }
    tokens
}

fn form<'a>(token: &'a str, tokens: &mut impl Iterator<Item = &'a str>) -> Value {
    match token {
        "[" | "(" => Value::Array(forms(tokens)),
        "#{" => {
            let mut all = forms(tokens);
            all.sort_by_key(ToString::to_string);
            Value::Array(all)
        }
        "{" => {
            let all = forms(tokens);
            let entry = |pair: &[Value]| {
                let name = pair[0].as_str().map_or_else(|| pair[0].to_string(), Into::into);
                (name, pair[1].clone())
            };
            Value::Object(all.chunks(2).map(entry).collect::<Map<_, _>>())
        }
        "nil" => Value::Null,
        "true" | "false" => Value::Bool(token == "true"),
        // What follows a tag is what it is.
        _ if token.starts_with('#') => form(tokens.next().expect("a tagged form"), tokens),
        _ if token.starts_with('"') => token.trim_matches('"').into(),
        _ => token.parse::<i64>().map_or_else(|_| token.trim_start_matches(':').into(), Into::into),
    }
}

/// The forms up to the closing bracket.
fn forms<'a>(tokens: &mut impl Iterator<Item = &'a str>) -> Vec<Value> {
    let mut all = Vec::new();
    loop {
        match tokens.next().expect("a closing bracket") {
            "]" | ")" | "}" => return all,
            token => all.push(form(token, tokens)),
        }
    }
}
