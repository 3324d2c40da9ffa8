//! Values of a history as bytes of the store, and back.
//!
//! A value is stored as its compact JSON, so a whole number is decimal text; a key is its text. Null is no value: a key that was never written.
//!
//! What is appended to a key is an *item*: its JSON and a line feed, which compact JSON never contains. So bytes that end in one
//! are a list of items, and nothing else is.

use keelhaul_history::Value;

/// The bytes under which a key of the workload is stored.
#[must_use]
pub fn key(key: Option<&Value>) -> Vec<u8> {
    match key {
        None => b"register".to_vec(),
        Some(Value::Str(name)) => name.as_bytes().to_vec(),
        Some(other) => other.to_string().into_bytes(),
    }
}

/// The bytes of a value; none for null.
#[must_use]
pub fn encode(value: &Value) -> Option<Vec<u8>> {
    (*value != Value::Null).then(|| value.to_string().into_bytes())
}

/// The bytes of an item of a list.
#[must_use]
pub fn item(value: &Value) -> Vec<u8> {
    let mut bytes = value.to_string().into_bytes();
    bytes.push(b'\n');
    bytes
}

/// What [`encode`] and [`item`] made these bytes from. Bytes that it never makes become text: a checker shall see that the store
/// returned something nobody wrote.
#[must_use]
pub fn decode(bytes: Option<&[u8]>) -> Value {
    let Some(bytes) = bytes else { return Value::Null };
    if let Some(items) = bytes.strip_suffix(b"\n") {
        let items = items.split(|byte| *byte == b'\n');
        return Value::List(items.map(|item| decode(Some(item))).collect());
    }
    let text = String::from_utf8_lossy(bytes);
    if let Ok(number) = text.parse() {
        let value = Value::Int(number);
        if value.to_string().as_bytes() == bytes {
            return value;
        }
    }
    serde_json::from_slice(bytes)
        .ok()
        .and_then(from_json)
        .filter(|value| encode(value).as_deref() == Some(bytes))
        .unwrap_or_else(|| text.into_owned().into())
}

fn from_json(json: serde_json::Value) -> Option<Value> {
    Some(match json {
        serde_json::Value::Null => Value::Null,
        serde_json::Value::Bool(truth) => Value::Bool(truth),
        serde_json::Value::Number(number) => Value::Int(number.as_i64()?),
        serde_json::Value::String(text) => Value::from(text),
        serde_json::Value::Array(items) => {
            Value::List(items.into_iter().map(from_json).collect::<Option<_>>()?)
        }
        serde_json::Value::Object(entries) => {
            let entry =
                |(name, value): (String, _)| Some((name.into_boxed_str(), from_json(value)?));
            Value::Map(entries.into_iter().map(entry).collect::<Option<_>>()?)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_back_as_they_went() {
        let values = [
            Value::Int(0),
            Value::Int(i64::MIN),
            Value::from("7"),
            Value::from("a \"quoted\" \u{1} text"),
            Value::Bool(true),
            Value::pair(1, "x"),
            Value::map([("a", Value::Null), ("b", Value::Int(-1))]),
            Value::Null,
        ];
        for value in values {
            assert_eq!(decode(encode(&value).as_deref()), value);
        }
    }

    #[test]
    fn numbers_are_decimal_text_and_null_is_absence() {
        assert_eq!(encode(&Value::Int(-12)), Some(b"-12".to_vec()));
        assert_eq!(encode(&Value::Null), None);
    }

    #[test]
    fn items_become_a_list() {
        let items = [Value::Int(7), Value::from("a\nb"), Value::pair(1, 2)];
        let bytes: Vec<u8> = items.iter().flat_map(item).collect();
        assert_eq!(decode(Some(&bytes)), Value::List(items.into()));
        assert_eq!(decode(Some(&item(&Value::Int(1)))), Value::List([Value::Int(1)].into()));
        // A text with a line feed in it is no list.
        let text = Value::from("a\n");
        assert_eq!(decode(encode(&text).as_deref()), text);
    }

    #[test]
    fn bytes_nobody_wrote_become_text() {
        for bytes in ["", "007", "1 ", "null", "1.5", "\"open"] {
            assert_eq!(decode(Some(bytes.as_bytes())), Value::from(bytes));
        }
    }
}
