//! Renderings for programs that run tests.
//!
//! Sources: the JUnit XML that Jenkins and GitLab read (test suite, case, failure, error); the workflow commands of
//! GitHub Actions.

use std::fmt::Write;

use keelhaul_checkers::{Check, Verdict};
use serde_json::{Value, json};

use crate::Judgement;
use crate::text::escape;

pub(super) fn ndjson(judgement: &Judgement) -> String {
    let mut out = String::new();
    for check in &judgement.checks {
        push_line(&mut out, "check", json!(check));
    }
    let mut whole = json!(judgement);
    if let Some(map) = whole.as_object_mut() {
        map.remove("checks");
    }
    push_line(&mut out, "judgement", whole);
    out
}

/// Puts the version and the kind of the line first.
fn push_line(out: &mut String, kind: &str, body: Value) {
    let mut line = serde_json::Map::new();
    line.insert("version".into(), crate::VERDICT_VERSION.into());
    line.insert("kind".into(), kind.into());
    if let Value::Object(body) = body {
        line.extend(body);
    }
    out.push_str(&Value::Object(line).to_string());
    out.push('\n');
}

pub(super) fn junit(judgement: &Judgement, subject: &str) -> String {
    let checks = &judgement.checks;
    let count = |verdicts: &[Verdict]| {
        checks.iter().filter(|check| verdicts.contains(&check.verdict)).count()
    };
    let failures = count(&[Verdict::Invalid]);
    // JUnit has no word for "not proved"; skipped tests pass, and a check that proved nothing must not.
    let errors = count(&[Verdict::Unknown, Verdict::Vacuous]) + usize::from(checks.is_empty());
    let seconds = judgement.elapsed_ms as f64 / 1e3;
    let name = escape(subject);
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let totals = format!(
        "tests=\"{}\" failures=\"{failures}\" errors=\"{errors}\" skipped=\"0\" time=\"{seconds:.3}\"",
        checks.len().max(1),
    );
    push(&mut out, format_args!("<testsuites {totals}>\n<testsuite name=\"{name}\" {totals}>\n"));
    for check in checks {
        junit_case(&mut out, &name, check);
    }
    if checks.is_empty() {
        push(
            &mut out,
            format_args!(
                "<testcase classname=\"{name}\" name=\"any check\"><error message=\"no check was made\" type=\"vacuous\"/></testcase>\n"
            ),
        );
    }
    out.push_str("</testsuite>\n</testsuites>\n");
    out
}

fn junit_case(out: &mut String, class: &str, check: &Check) {
    let (name, reason) = (escape(&check.name), escape(&check.reason));
    push(out, format_args!("<testcase classname=\"{class}\" name=\"{name}\">"));
    let tag = match check.verdict {
        Verdict::Valid => None,
        Verdict::Invalid => Some("failure"),
        Verdict::Unknown | Verdict::Vacuous => Some("error"),
    };
    if let Some(tag) = tag {
        let verdict = check.verdict.as_str();
        let lines = check.evidence.as_ref().map_or(&[][..], |evidence| &evidence.explanation);
        let words = escape(&lines.join("\n"));
        push(
            out,
            format_args!("\n<{tag} type=\"{verdict}\" message=\"{reason}\">{words}</{tag}>\n"),
        );
    }
    out.push_str("</testcase>\n");
}

pub(super) fn github(judgement: &Judgement, subject: &str) -> String {
    let mut out = String::new();
    for check in &judgement.checks {
        let level = match check.verdict {
            Verdict::Invalid => "error",
            Verdict::Unknown | Verdict::Vacuous => "warning",
            Verdict::Valid => "notice",
        };
        let title = format!("{subject}: {} {}", check.name, check.verdict.as_str());
        let mut lines = vec![check.reason.as_str()];
        lines.extend(check.evidence.iter().flat_map(|e| &e.explanation).map(String::as_str));
        let title = command_property(&title);
        push(
            &mut out,
            format_args!("::{level} title={title}::{}\n", command_data(&lines.join("\n"))),
        );
    }
    if judgement.checks.is_empty() {
        push(
            &mut out,
            format_args!("::warning title={}::no check was made\n", command_property(subject)),
        );
    }
    out
}

fn command_data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn command_property(text: &str) -> String {
    command_data(text).replace(':', "%3A").replace(',', "%2C")
}

fn push(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _ = out.write_fmt(text);
}

#[cfg(test)]
mod tests {
    use super::super::{Format, Style, render};
    use crate::Judgement;
    use crate::samples;

    const STYLE: Style<'_> = Style { subject: "raft, <register>", colour: false, columns: 100 };

    #[test]
    fn junit() {
        let text = render(&samples::invalid(), Format::Junit, STYLE);
        assert!(text.contains("tests=\"2\" failures=\"1\" errors=\"0\""), "{text}");
        assert!(
            text.contains("classname=\"raft, &lt;register&gt;\" name=\"linearizable\""),
            "{text}"
        );
        assert!(text.contains("<failure type=\"invalid\" message=\"key 3"), "{text}");
        let text = render(&Judgement::new(Vec::new()), Format::Junit, STYLE);
        assert!(text.contains("errors=\"1\""), "nothing checked must not pass: {text}");
    }

    #[test]
    fn github() {
        let text = render(&samples::invalid(), Format::Github, STYLE);
        assert!(
            text.contains("::error title=raft%2C <register>%3A linearizable invalid::key 3"),
            "{text}"
        );
        assert_eq!(text.lines().count(), 2, "line breaks are escaped: {text}");
        assert!(text.contains("%0A"));
    }

    #[test]
    fn ndjson() {
        let text = render(&samples::invalid(), Format::Ndjson, STYLE);
        let lines: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let kinds: Vec<_> = lines.iter().map(|line| line["kind"].as_str().unwrap()).collect();
        assert_eq!(kinds, ["check", "check", "judgement"]);
        assert!(lines.iter().all(|line| line["version"] == 1));
        assert!(lines[2].get("checks").is_none());
    }
}
