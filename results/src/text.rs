//! Numbers and texts as people read them.

use std::fmt::Write;

/// `48211` as `48,211`.
pub(crate) fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A duration with its unit, three significant digits: `1.50 s`, `12.3 ms`, `850 ns`.
pub(crate) fn duration(ns: u64) -> String {
    const UNITS: [(f64, &str); 3] = [(1e9, "s"), (1e6, "ms"), (1e3, "µs")];
    let value = ns as f64;
    // From here on the unit's rounding reaches 1000, so that 999.9 ms is 1.00 s.
    let Some((scale, unit)) = UNITS.iter().find(|(scale, _)| value >= 0.9995 * scale) else {
        return format!("{ns} ns");
    };
    let scaled = value / scale;
    let decimals = if scaled < 9.995 {
        2
    } else if scaled < 99.95 {
        1
    } else {
        0
    };
    format!("{scaled:.decimals$} {unit}")
}

/// A moment of the run in seconds, to the millisecond: `12.345 s`.
pub(crate) fn moment(ns: u64) -> String {
    format!("{:.3} s", ns as f64 / 1e9)
}

/// `1 partition`, `2 partitions`, `3 switches`.
pub(crate) fn counted(n: u64, noun: &str) -> String {
    let plural = match noun {
        _ if n == 1 => "",
        _ if noun.ends_with(['s', 'x']) || noun.ends_with("ch") || noun.ends_with("sh") => "es",
        _ => "s",
    };
    format!("{} {noun}{plural}", grouped(n))
}

/// `a`, `a and b`, `a, b and c`.
pub(crate) fn listed(items: &[String]) -> String {
    match items {
        [] => String::new(),
        [only] => only.clone(),
        [init @ .., last] => format!("{} and {last}", init.join(", ")),
    }
}

/// The text with at most `max` characters; what is cut is said.
pub(crate) fn cut(text: &str, max: usize) -> String {
    match text.char_indices().nth(max) {
        None => text.into(),
        Some((at, _)) => {
            let left = text[at..].chars().count();
            format!("{}… ({} cut)", &text[..at], counted(left as u64, "character"))
        }
    }
}

/// Escapes for XML and HTML, in text and in attributes. Control characters that XML cannot hold become U+FFFD.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + text.len() / 8);
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\n' | '\t' => out.push(c),
            c if c < ' ' || c == '\u{fffe}' || c == '\u{ffff}' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

/// A coordinate with one decimal and nothing superfluous: plots hold thousands.
pub(crate) fn coord(out: &mut String, x: f64) {
    let tenths = (x * 10.0).round() as i64;
    let sign = if tenths < 0 { "-" } else { "" };
    let (whole, rest) = (tenths.abs() / 10, tenths.abs() % 10);
    // Writing to a string cannot fail.
    let _ =
        if rest == 0 { write!(out, "{sign}{whole}") } else { write!(out, "{sign}{whole}.{rest}") };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        assert_eq!(
            [0, 999, 1000, 48_211, 1_234_567].map(grouped),
            ["0", "999", "1,000", "48,211", "1,234,567"]
        );
        let ns = [0, 850, 1_500, 12_300_000, 999_900_000, 1_500_000_000, 90_000_000_000];
        let texts = ["0 ns", "850 ns", "1.50 µs", "12.3 ms", "1.00 s", "1.50 s", "90.0 s"];
        assert_eq!(ns.map(duration), texts);
        let mut out = String::new();
        for x in [0.0, 1.04, 1.05, -0.04, -2.55, 100.0] {
            coord(&mut out, x);
            out.push(' ');
        }
        assert_eq!(out, "0 1 1.1 0 -2.6 100 ");
    }

    #[test]
    fn words() {
        assert_eq!(counted(1, "partition"), "1 partition");
        assert_eq!(counted(2, "switch"), "2 switches");
        assert_eq!(listed(&["a".into(), "b".into(), "c".into()]), "a, b and c");
        assert_eq!(
            escape("<a href=\"x\">&'\u{1}"),
            "&lt;a href=&quot;x&quot;&gt;&amp;&#39;\u{fffd}"
        );
        assert_eq!(cut("abcdef", 3), "abc… (3 characters cut)");
    }
}
