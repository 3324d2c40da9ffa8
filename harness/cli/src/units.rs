//! Quantities as users type them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::exit::Failure;

/// `30`, `1.5`, `250ms`, `2m`: seconds unless a unit says otherwise.
pub fn duration(flag: &str, text: &str) -> Result<Duration, Failure> {
    let (number, unit_s) = match text {
        t if t.ends_with("ms") => (&t[..t.len() - 2], 0.001),
        t if t.ends_with('s') => (&t[..t.len() - 1], 1.0),
        t if t.ends_with('m') => (&t[..t.len() - 1], 60.0),
        t if t.ends_with('h') => (&t[..t.len() - 1], 3600.0),
        t => (t, 1.0),
    };
    let bad = || {
        Failure::usage(format!(
            "{flag} takes a duration such as 30, 1.5s, 250ms or 2m, not {text:?}"
        ))
    };
    let seconds = number.parse::<f64>().map_err(|_| bad())? * unit_s;
    if !(0.001..=1e7).contains(&seconds) {
        return Err(bad());
    }
    Ok(Duration::from_secs_f64(seconds))
}

/// `512M`, `2G`, `1000000`: bytes, with binary multiples.
pub fn bytes(flag: &str, text: &str) -> Result<usize, Failure> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let shift = match text[digits.len()..].to_ascii_uppercase().as_str() {
        "" | "B" => Some(0),
        "K" | "KB" | "KIB" => Some(10),
        "M" | "MB" | "MIB" => Some(20),
        "G" | "GB" | "GIB" => Some(30),
        _ => None,
    };
    shift
        .and_then(|shift| digits.parse::<usize>().ok()?.checked_mul(1 << shift))
        .filter(|&n| n > 0)
        .ok_or_else(|| {
            Failure::usage(format!("{flag} takes a size such as 512M or 2G, not {text:?}"))
        })
}

/// A whole number within bounds.
pub fn number(flag: &str, text: &str, low: u64, high: u64) -> Result<u64, Failure> {
    text.parse().ok().filter(|n| (low..=high).contains(n)).ok_or_else(|| {
        Failure::usage(format!("{flag} takes a whole number from {low} to {high}, not {text:?}"))
    })
}

/// A positive rate.
pub fn rate(flag: &str, text: &str) -> Result<f64, Failure> {
    text.parse().ok().filter(|rate: &f64| (0.001..=1e7).contains(rate)).ok_or_else(|| {
        Failure::usage(format!(
            "{flag} takes operations a second, such as 100 or 0.5, not {text:?}"
        ))
    })
}

/// `10`, or `2n` for two a node.
pub fn concurrency(text: &str, nodes: u16) -> Result<u32, Failure> {
    let (digits, per) =
        text.strip_suffix('n').map_or((text, 1), |digits| (digits, u32::from(nodes)));
    digits
        .parse::<u32>()
        .ok()
        .and_then(|n| n.checked_mul(per))
        .filter(|n| (1..=10_000).contains(n))
        .ok_or_else(|| {
            Failure::usage(format!(
                "--concurrency takes a number such as 10, or 2n for two a node, not {text:?}"
            ))
        })
}

/// Now, in UTC, fit for a file name: `20261120T154501Z`.
pub fn timestamp() -> String {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let (days, second_of_day) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = civil(days);
    let (hour, minute, second) =
        (second_of_day / 3600, second_of_day / 60 % 60, second_of_day % 60);
    format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z")
}

/// The Gregorian date, from days since 1970 (Hinnant, "chrono-compatible low-level date algorithms": years begin in
/// March, so that the leap day is the last of its year).
const fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + if month <= 2 { 1 } else { 0 };
    (year, month, day)
}

/// The ports that a user names: numbers, or the store's own.
pub fn ports(text: &str, own: &[u16]) -> Result<Vec<u16>, Failure> {
    let port = |word: &str| match word {
        "store" => Some(own.to_vec()),
        _ => word.parse().ok().filter(|port| *port > 0).map(|port| vec![port]),
    };
    let ports: Option<Vec<Vec<u16>>> = text.split(',').map(|word| port(word.trim())).collect();
    let mut ports = ports.map(|ports| ports.concat()).ok_or_else(|| {
        Failure::usage(format!(
            "--capture takes ports, separated by commas, or `store`, not {text:?}"
        ))
    })?;
    ports.sort_unstable();
    ports.dedup();
    Ok(ports)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units_and_bounds() {
        let check = |text, expected_ms: Option<u128>| {
            assert_eq!(duration("--x", text).ok().map(|d| d.as_millis()), expected_ms, "{text}");
        };
        check("30", Some(30_000));
        check("1.5s", Some(1_500));
        check("250ms", Some(250));
        check("2m", Some(120_000));
        check("0", None);
        check("-1", None);
        check("soon", None);
        check("", None);
        check("NaN", None);
    }

    #[test]
    fn sizes_and_counts() {
        assert_eq!(bytes("--m", "512M").ok(), Some(512 << 20));
        assert_eq!(bytes("--m", "2G").ok(), Some(2 << 30));
        assert!(bytes("--m", "2T").is_err() && bytes("--m", "M").is_err());
        assert_eq!(concurrency("2n", 5).ok(), Some(10));
        assert_eq!(concurrency("7", 5).ok(), Some(7));
        assert!(concurrency("0", 5).is_err() && concurrency("n", 5).is_err());
    }

    #[test]
    fn dates_are_the_calendars() {
        assert_eq!(civil(0), (1970, 1, 1));
        assert_eq!(civil(19_782), (2024, 2, 29));
        assert_eq!(civil(20_777), (2026, 11, 20));
    }

    #[test]
    fn ports_are_numbers_or_the_stores() {
        let of = |text| ports(text, &[7002, 7001]).map_err(|failure| failure.to_string());
        assert_eq!(of("store").unwrap(), [7001, 7002]);
        assert_eq!(of("53, store,7001").unwrap(), [53, 7001, 7002]);
        for text in ["", "0", "65536", "7001,", "http"] {
            assert!(of(text).is_err_and(|words| words.contains("--capture takes ports")), "{text}");
        }
    }
}
