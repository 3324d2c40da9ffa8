//! The report of a whole run: what it says, that it stands alone, and that nothing a history holds can break it.

mod common;

use std::io;

use common::{Made, Plan, make};
use keelhaul_results::{Format, Judgement, Report, RunDir, Style, Summary, render, render_report};

fn report(judgement: &Judgement) -> Report<'_> {
    Report {
        subject: "raft-register",
        run: "runs/raft-register/t-1",
        plan: "{}",
        command: "keelhaul run --seed 1",
        story: "",
        judgement,
        files: &[],
    }
}

fn page(made: &Made) -> String {
    let summary = Summary::read(&made.history[..]).expect("a header");
    render_report(&report(&made.judgement), Ok(&summary)).html
}

/// Every element is closed where it must be, in a page or in a drawing.
#[track_caller]
fn check_balanced(text: &str) {
    let void = ["meta", "br", "?xml", "!doctype"];
    let mut open = Vec::new();
    for tag in text.split('<').skip(1) {
        let inside = tag.split_once('>').expect("a tag ends").0;
        let name: String = inside.split([' ', '\n', '/']).next().unwrap_or_default().into();
        if let Some(closed) = inside.strip_prefix('/') {
            assert_eq!(open.pop().as_deref(), Some(closed), "after {open:?}");
        } else if !inside.ends_with('/') && !void.contains(&name.as_str()) {
            open.push(name);
        }
    }
    assert!(open.is_empty(), "never closed: {open:?}");
}

#[test]
fn a_valid_run() {
    let made = make(&Plan { seconds: 20, pause_us: 20_000, stale_read: false });
    assert_eq!(made.judgement.verdict.as_str(), "valid", "{:?}", made.judgement.checks);
    let page = page(&made);
    check_balanced(&page);
    for expected in [
        "<title>valid: raft-register</title>",
        "partition: n1 n2 | n3 n4 n5",
        "1 kill, 1 partition and 1 pause verified in effect; operations succeeded during every one.",
        "keelhaul run --seed 1",
        "not the leader: n3 is",
        "The whole plan",
        "99th percentile of ok",
    ] {
        assert!(page.contains(expected), "{expected}");
    }
    assert!(!page.contains("Evidence:"));
}

#[test]
fn a_stale_read() {
    let made = make(&Plan { seconds: 25, pause_us: 20_000, stale_read: true });
    assert_eq!(made.judgement.verdict.as_str(), "invalid");
    let page = page(&made);
    check_balanced(&page);
    assert!(page.contains("Invalid: the promise was broken"));
    assert!(page.contains("Evidence: linearizable, key "));
    assert!(page.contains("class=\"stuck\""), "the stuck operation is drawn");
    assert!(page.contains("class=\"rank\""), "the legal order is drawn");
    assert!(page.contains("red dashed lines"));
    assert!(page.contains("Numbered dots are the longest legal order"));
    // A circle of transactions has none, and its drawing no dots to speak of.
    let mut made = made;
    for evidence in made.judgement.checks.iter_mut().filter_map(|check| check.evidence.as_mut()) {
        evidence.longest_order.clear();
    }
    assert!(!self::page(&made).contains("Numbered dots"));
}

#[test]
fn one_file_without_a_network() {
    let made = make(&Plan { seconds: 20, pause_us: 20_000, stale_read: true });
    let page = page(&made);
    let named = page.replace("xmlns=\"http://www.w3.org/2000/svg\"", "");
    for forbidden in ["http:", "https:", "<script", "<link", "@import", "url(", "src="] {
        assert!(!named.contains(forbidden), "{forbidden}");
    }
}

#[test]
fn plots_are_files_of_their_own() {
    let made = make(&Plan { seconds: 20, pause_us: 20_000, stale_read: false });
    let summary = Summary::read(&made.history[..]).unwrap();
    let rendered = render_report(&report(&made.judgement), Ok(&summary));
    for plot in [rendered.latency.unwrap(), rendered.rate.unwrap()] {
        assert!(plot.starts_with("<?xml"));
        assert!(plot.contains("<style>"));
        check_balanced(&plot);
    }
}

#[test]
fn the_same_history_gives_the_same_page() {
    let made = make(&Plan { seconds: 8, pause_us: 20_000, stale_read: false });
    assert_eq!(page(&made), page(&made));
}

#[test]
fn hostile_texts_stay_texts() {
    let evil = "</script><img src=x onerror=alert(1)>";
    let json = serde_json::Value::from(evil);
    let lines = [
        format!(
            "{{\"keelhaul\":1,\"store\":{json},\"workload\":{json},\"nodes\":[{json}],\"faults\":[{json}]}}"
        ),
        format!(
            "{{\"index\":0,\"time\":1,\"type\":\"invoke\",\"process\":0,\"f\":{json},\"key\":{json},\"value\":{json}}}"
        ),
        format!(
            "{{\"index\":1,\"time\":2,\"type\":\"info\",\"process\":0,\"f\":{json},\"value\":null,\"error\":{json}}}"
        ),
        format!(
            "{{\"index\":2,\"time\":3,\"type\":\"invoke\",\"process\":\"nemesis\",\"f\":\"inject\",\"value\":{{\"fault\":1,\"kind\":{json}}}}}"
        ),
        format!(
            "{{\"index\":3,\"time\":9,\"type\":\"ok\",\"process\":\"nemesis\",\"f\":\"inject\",\"value\":{{\"fault\":1,\"kind\":{json},\"label\":{json}}}}}"
        ),
    ];
    let history = (lines.join("\n") + "\n").into_bytes();
    let mut judgement = Judgement::new(Vec::new());
    judgement.tested = vec![evil.into()];
    let summary = Summary::read(&history[..]).unwrap();
    let files = [evil.to_string()];
    let hostile = Report {
        subject: evil,
        run: evil,
        plan: evil,
        command: evil,
        story: "",
        judgement: &judgement,
        files: &files,
    };
    let rendered = render_report(&hostile, Ok(&summary));
    for text in [rendered.html, rendered.latency.unwrap(), rendered.rate.unwrap()] {
        assert!(!text.contains("<img"), "{text}");
        check_balanced(&text);
    }
}

#[test]
fn a_run_in_which_nothing_happened() {
    for header in ["{\"keelhaul\":1}\n", "{\"keelhaul\":1}\n{\"index\":0,\"ti"] {
        let summary = Summary::read(header.as_bytes()).unwrap();
        let judgement = Judgement::new(Vec::new());
        let rendered = render_report(&report(&judgement), Ok(&summary));
        check_balanced(&rendered.html);
        assert!(rendered.html.contains("no operation completed"));
        assert!(rendered.html.contains("The history is unsealed"));
        assert!(rendered.html.contains("Vacuous"));
    }
}

#[test]
fn the_ends_of_time() {
    let max = u64::MAX;
    let history = format!(
        "{{\"keelhaul\":1}}\n\
         {{\"index\":0,\"time\":0,\"type\":\"invoke\",\"process\":0,\"f\":\"read\",\"value\":null}}\n\
         {{\"index\":1,\"time\":0,\"type\":\"ok\",\"process\":0,\"f\":\"read\",\"value\":1}}\n\
         {{\"index\":2,\"time\":1,\"type\":\"invoke\",\"process\":0,\"f\":\"read\",\"value\":null}}\n\
         {{\"index\":3,\"time\":{max},\"type\":\"ok\",\"process\":0,\"f\":\"read\",\"value\":1}}\n"
    );
    let summary = Summary::read(history.as_bytes()).unwrap();
    let judgement = Judgement::new(Vec::new());
    let rendered = render_report(&report(&judgement), Ok(&summary));
    assert!(rendered.latency.is_some() && rendered.rate.is_some(), "both plots are drawn");
    check_balanced(&rendered.html);
}

#[test]
fn a_broken_history_still_gives_a_page() {
    let made = make(&Plan { seconds: 8, pause_us: 20_000, stale_read: false });
    let middle = made.history.len() / 2;
    let mut broken = made.history.clone();
    broken[middle..middle + 2].copy_from_slice(b"\n\n");
    let summary = Summary::read(&broken[..]).unwrap();
    let rendered = render_report(&report(&made.judgement), Ok(&summary));
    assert!(rendered.html.contains("The history cannot be read to its end"));
    check_balanced(&rendered.html);
}

#[test]
fn no_history_at_all_still_gives_a_page() {
    let root = tempfile::tempdir().unwrap();
    let dir = RunDir::create(root.path(), "raft", "register", "t", 1).unwrap();
    let judgement = Judgement::new(Vec::new());
    let open = || Err(io::ErrorKind::NotFound.into());
    keelhaul_results::write_report(&dir, &report(&judgement), &open).unwrap();
    let page = std::fs::read_to_string(dir.report()).unwrap();
    assert!(page.contains("The history could not be read"));
    assert!(!dir.latency_plot().exists());
}

#[test]
fn a_busy_run_stays_small() {
    let made = make(&Plan { seconds: 20, pause_us: 500, stale_read: true });
    let summary = Summary::read(&made.history[..]).unwrap();
    let rendered = render_report(&report(&made.judgement), Ok(&summary));
    assert!(summary.invoked > 30_000, "{}", summary.invoked);
    assert!(rendered.html.len() < 400_000, "{} bytes", rendered.html.len());
    let drawn =
        rendered.html.split("drawn: a sample of each outcome, and the slowest").next().unwrap();
    assert_ne!(drawn.len(), rendered.html.len(), "a thinned plot says so");
}

#[test]
fn text_for_people_draws_the_evidence() {
    let made = make(&Plan { seconds: 25, pause_us: 20_000, stale_read: true });
    let style = Style { subject: "raft-register", colour: false, columns: 100 };
    let text = render(&made.judgement, Format::Human, style);
    assert!(text.contains("fits nowhere"), "{text}");
}
