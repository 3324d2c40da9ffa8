//! Times as people write and read them.

use keelhaul_history::Value;

/// What an option that is a time takes.
pub const EXPECTED: &str = "a time such as 500ms or 2s, or a number of nanoseconds";

/// A time in nanoseconds: a number of them, or text with a unit.
#[must_use]
pub fn ns(value: &Value) -> Option<u64> {
    if let Some(ns) = value.as_int() {
        return ns.try_into().ok();
    }
    let text = value.as_str()?.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let scale = match text[digits..].trim_start() {
        "" | "ns" => 1,
        "us" | "µs" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" | "min" => 60_000_000_000,
        _ => return None,
    };
    text[..digits].parse::<u64>().ok()?.checked_mul(scale)
}

/// `37 ms`, `0.004 ms`.
#[must_use]
pub fn ms(ns: u64) -> String {
    let (whole, rest) = (ns / 1_000_000, ns % 1_000_000);
    if rest == 0 {
        return format!("{whole} ms");
    }
    let fraction = format!("{rest:06}");
    format!("{whole}.{} ms", fraction.trim_end_matches('0'))
}

/// `12.031 s`.
#[must_use]
pub fn seconds(ns: u64) -> String {
    format!("{}.{:03} s", ns / 1_000_000_000, ns / 1_000_000 % 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_and_written() {
        assert_eq!(ns(&Value::from("500ms")), Some(500_000_000));
        assert_eq!(ns(&Value::from("2 s")), Some(2_000_000_000));
        assert_eq!(ns(&Value::Int(7)), Some(7));
        assert_eq!(ns(&Value::Int(-7)), None);
        assert_eq!(ns(&Value::from("soon")), None);
        assert_eq!(ns(&Value::from("99999999999m")), None);
        assert_eq!((ms(37_000_000), ms(4_500)), ("37 ms".into(), "0.0045 ms".into()));
        assert_eq!(seconds(12_031_900_000), "12.031 s");
    }
}
