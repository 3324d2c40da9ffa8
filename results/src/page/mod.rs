//! The report page: one file, no network, no script.
//!
//! Everything it shows comes from the judgement and from one pass over the history. It decides nothing: whatever it
//! cannot draw is left out with a word about it, and the verdict stands.

mod tables;
mod words;

use std::io::{self, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};

use keelhaul_checkers::{Check, Evidence, Verdict};

use crate::stats::Summary;
use crate::svg::{self, Svg};
use crate::text::{counted, cut, duration, escape, grouped};
use crate::{FileError, Judgement, RunDir, plot};

const STYLE: &str = include_str!("page.css");
/// Characters of a plan that are shown; the whole is in the run directory.
const PLAN_MAX: usize = 100_000;
/// Evidences that are drawn; `verdict.json` has all.
const EVIDENCES_MAX: usize = 12;
/// Sentences of an explanation that are shown.
const SENTENCES_MAX: usize = 200;

/// What a report shows besides the history.
#[derive(Clone, Copy, Debug)]
pub struct Report<'a> {
    /// What was run, for the title, e.g. `raft-register`.
    pub subject: &'a str,
    /// The run directory as a user would name it.
    pub run: &'a str,
    /// The content of `plan.json`; empty for a history from elsewhere.
    pub plan: &'a str,
    /// The exact command that runs it again; empty for a history from elsewhere.
    pub command: &'a str,
    /// What happened inside, as a part of the page ([`crate::Story`]); empty where nobody could look.
    pub story: &'a str,
    /// What was judged.
    pub judgement: &'a Judgement,
    /// Files to link to, relative to the report, e.g. `nodes/n1/raft.log`.
    pub files: &'a [String],
}

/// The report and its plots, rendered.
#[derive(Clone, Debug)]
pub struct Rendered {
    /// The content of `report.html`.
    pub html: String,
    /// The content of `latency.svg`, if there is one.
    pub latency: Option<String>,
    /// The content of `rate.svg`, if there is one.
    pub rate: Option<String>,
}

/// Writes `report.html`, `latency.svg` and `rate.svg` into a run directory, reading the history that `open` opens.
///
/// # Errors
/// A file cannot be written. A history that cannot be read, or a plot that cannot be drawn, is said on the page.
pub fn write_report(
    dir: &RunDir,
    report: &Report<'_>,
    open: &dyn Fn() -> io::Result<Box<dyn Read>>,
) -> Result<(), FileError> {
    let summary = Summary::open(open);
    let rendered = render_report(report, summary.as_ref().map_err(|e| e as &dyn std::error::Error));
    dir.write(&dir.report(), rendered.html.as_bytes())?;
    for (path, plot) in [(dir.latency_plot(), &rendered.latency), (dir.rate_plot(), &rendered.rate)]
    {
        if let Some(plot) = plot {
            dir.write(&path, plot.as_bytes())?;
        }
    }
    Ok(())
}

/// Renders the report from a summary of the history, or from the reason why there is none.
#[must_use]
pub fn render_report(
    report: &Report<'_>,
    summary: Result<&Summary, &dyn std::error::Error>,
) -> Rendered {
    let judgement = report.judgement;
    let span = judgement
        .checks
        .iter()
        .find_map(|check| check.evidence.as_ref().and_then(plot::evidence_span));
    let known = summary.ok();
    let latency = known.and_then(|summary| draw(|| plot::latency(summary, span)));
    let rate = known.and_then(|summary| draw(|| plot::rate(summary, span)));
    let mut page = Page { html: String::with_capacity(256 * 1024) };
    page.head(report);
    page.verdict(report, summary);
    page.evidences(&judgement.checks, known);
    page.section("What happened", report.story);
    page.checks(&judgement.checks);
    page.models(judgement);
    if let Some(summary) = known {
        page.plots(summary, span, rate.as_ref(), latency.as_ref());
        page.section("Faults", &tables::faults(summary));
        page.section("Operations", &tables::operations(summary));
    }
    page.again(report);
    page.html.push_str("</main>\n</body>\n</html>\n");
    Rendered {
        html: page.html,
        latency: latency.as_ref().map(Svg::file),
        rate: rate.as_ref().map(Svg::file),
    }
}

/// A drawing that panics is a bug of ours, but no reason to lose the page, let alone the verdict.
fn draw<T>(drawing: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(drawing)).ok()
}

struct Page {
    html: String,
}

impl Page {
    fn head(&mut self, report: &Report<'_>) {
        let (subject, verdict) = (escape(report.subject), report.judgement.verdict.as_str());
        self.html += &format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n\
             <title>{verdict}: {subject}</title>\n<style>\n{STYLE}{}</style>\n</head>\n<body>\n<main>\n",
            svg::STYLE
        );
    }

    fn verdict(&mut self, report: &Report<'_>, summary: Result<&Summary, &dyn std::error::Error>) {
        let judgement = report.judgement;
        let class = judgement.verdict.as_str();
        let lead = words::lead(judgement);
        self.html += &format!(
            "<h1>{}</h1>\n<p class=\"verdict {class}\">{}</p>\n<p class=\"lead\">{}</p>\n",
            escape(report.subject),
            words::headline(judgement.verdict),
            escape(&lead)
        );
        if let Ok(summary) = summary {
            self.html += &format!("<p>{}</p>\n", escape(&words::scope(summary)));
        }
        self.html += &words::facts(report, summary.ok());
        match summary {
            Ok(summary) => {
                for warning in words::warnings(summary) {
                    self.html += &format!("<p class=\"warn\">{}</p>\n", escape(&warning));
                }
            }
            Err(e) => {
                let why = escape(&e.to_string());
                self.html +=
                    &format!("<p class=\"warn\">The history could not be read: {why}.</p>\n");
            }
        }
        self.html += "<div class=\"scope\">\n";
        self.sentences("What was tested", &judgement.tested);
        self.sentences("What was not tested", &judgement.not_tested);
        self.html += "</div>\n";
    }

    fn sentences(&mut self, title: &str, sentences: &[String]) {
        self.html += &format!("<div><h3>{title}</h3>\n<ul>\n");
        for sentence in sentences.iter().take(SENTENCES_MAX) {
            self.html += &format!("<li>{}</li>\n", escape(sentence));
        }
        if sentences.is_empty() {
            self.html += "<li class=\"soft\">not stated</li>\n";
        }
        self.html += "</ul></div>\n";
    }

    fn checks(&mut self, checks: &[Check]) {
        let mut body = String::from(
            "<table>\n<tr><th>Check</th><th>Verdict</th><th>What it established</th></tr>\n",
        );
        for check in checks {
            let verdict = check.verdict.as_str();
            let anomalies = if check.anomalies.is_empty() {
                String::new()
            } else {
                format!(
                    "<br><span class=\"soft\">anomalies: {}</span>",
                    escape(&check.anomalies.join(", "))
                )
            };
            body += &format!(
                "<tr><td class=\"w\">{}</td><td class=\"v {verdict}\">{verdict}</td><td>{}{anomalies}</td></tr>\n",
                escape(&check.name),
                escape(&check.reason),
            );
        }
        body += "</table>\n";
        if checks.is_empty() {
            body = "<p>No check was made, so nothing was proved.</p>\n".into();
        }
        self.section("Checks", &body);
    }

    /// What is known of models besides those that were asked for.
    fn models(&mut self, judgement: &Judgement) {
        if judgement.standing.is_empty() {
            return;
        }
        let mut body =
            String::from("<table>\n<tr><th>Model</th><th>Verdict</th><th>Why</th></tr>\n");
        for standing in &judgement.standing {
            let verdict = standing.verdict.as_str();
            body += &format!(
                "<tr><td class=\"w\">{}</td><td class=\"v {verdict}\">{verdict}</td><td>{}</td></tr>\n",
                escape(&standing.model),
                escape(&standing.reason),
            );
        }
        body += "</table>\n<p class=\"soft\">Nobody asked for these: they have no part in the verdict.</p>\n";
        self.section("Weaker promises", &body);
    }

    fn evidences(&mut self, checks: &[Check], summary: Option<&Summary>) {
        let with = || checks.iter().filter_map(|check| Some((check, check.evidence.as_ref()?)));
        for (check, evidence) in with().take(EVIDENCES_MAX) {
            let key =
                evidence.key.as_ref().map_or(String::new(), |key| format!(", key {}", escape(key)));
            let title = format!("Evidence: {}{key}", escape(&check.name));
            self.section(&title, &evidence_body(evidence, summary));
        }
        let left = with().count().saturating_sub(EVIDENCES_MAX);
        if left > 0 {
            self.html +=
                &format!("<p class=\"note\">{} more in verdict.json.</p>\n", grouped(left as u64));
        }
    }

    fn plots(
        &mut self,
        summary: &Summary,
        span: Option<(u64, u64)>,
        rate: Option<&Svg>,
        latency: Option<&Svg>,
    ) {
        let mut body = String::new();
        if let Some(Some(run)) = draw(|| plot::run(summary, span)) {
            body += &figure("Faults and leaders", &run, "");
        }
        let bands = "Shaded while a fault was verified in effect.";
        for (title, plot) in [("Throughput", rate), ("Latency", latency)] {
            match plot {
                Some(plot) => body += &figure(title, plot, bands),
                None => body += &format!("<p class=\"note\">{title} could not be drawn.</p>\n"),
            }
        }
        if span.is_some() {
            body +=
                "<p class=\"note\">The red dashed lines enclose the time of the evidence.</p>\n";
        }
        self.section("The run over time", &body);
    }

    fn again(&mut self, report: &Report<'_>) {
        let mut body = String::new();
        if !report.command.is_empty() {
            body += &format!("<pre>{}</pre>\n", escape(report.command));
        }
        if !report.plan.is_empty() {
            let plan = escape(&cut(report.plan, PLAN_MAX));
            body += &format!(
                "<details><summary>The whole plan</summary>\n<pre>{plan}</pre></details>\n"
            );
        }
        if !report.files.is_empty() {
            body += "<h3>Files</h3>\n<ul class=\"files\">\n";
            for file in report.files {
                body += &format!("<li><a href=\"{}\">{}</a></li>\n", link(file), escape(file));
            }
            body += "</ul>\n";
        }
        if !body.is_empty() {
            self.section("Run it again", &body);
        }
    }

    fn section(&mut self, title: &str, body: &str) {
        if !body.is_empty() {
            self.html += &format!("<section>\n<h2>{title}</h2>\n{body}</section>\n");
        }
    }
}

fn figure(title: &str, svg: &Svg, caption: &str) -> String {
    let caption = if caption.is_empty() {
        String::new()
    } else {
        format!("<figcaption>{caption}</figcaption>\n")
    };
    format!("<h3>{title}</h3>\n<figure class=\"fit\">\n{}{caption}</figure>\n", svg.inline())
}

/// The circle of an evidence that is one.
fn circle_body(evidence: &Evidence) -> String {
    let mut body = String::new();
    if let Some(Some(svg)) = draw(|| plot::circle(evidence)) {
        body += &format!("<figure class=\"fit\">\n{}", svg.inline());
        body += "<figcaption>An arrow leads from what must come first. <em>ww</em>: it wrote what the other wrote after it; \
                 <em>wr</em>: the other read what it wrote; <em>rw</em>: it read what was there before the other wrote; \
                 <em>process</em> and <em>realtime</em>: it was done before.</figcaption>\n</figure>\n";
    }
    if let Some(dot) = plot::dot(evidence) {
        let dot = escape(&dot);
        body +=
            &format!("<details><summary>For Graphviz</summary>\n<pre>{dot}</pre>\n</details>\n");
    }
    body
}

fn evidence_body(evidence: &Evidence, summary: Option<&Summary>) -> String {
    let mut body = circle_body(evidence);
    match draw(|| plot::evidence(evidence, summary)) {
        // What is no operation, such as a line of a log, is told and not drawn.
        _ if evidence.ops.is_empty() => {}
        Some((svg, left)) => {
            // Wider than the page: scrolled, not shrunk until nobody can read it.
            let class = if svg.width() <= 1080.0 { "fit" } else { "scroll" };
            body += &format!("<figure class=\"{class}\">\n{}", svg.inline());
            let mut caption = String::from(
                "A bar runs from invocation to completion; an open end is an outcome nobody knows.",
            );
            if !evidence.longest_order.is_empty() {
                caption +=
                    " Numbered dots are the longest legal order found; red fits nowhere after it.";
            }
            caption += " Time is stretched where much happens and compressed where nothing does.";
            if evidence.minimal {
                caption += " The evidence is minimal: without any one of these operations the rest is legal.";
            }
            if left > 0 {
                caption +=
                    &format!(" {} left out of the drawing.", counted(left as u64, "operation"));
            }
            body += &format!("<figcaption>{caption}</figcaption>\n</figure>\n");
        }
        None => body += "<p class=\"note\">The timeline could not be drawn.</p>\n",
    }
    if let Some((from, to)) = plot::evidence_span(evidence) {
        let (from, lasted) = (crate::text::moment(from), duration(to - from));
        body +=
            &format!("<p class=\"soft\">{from} into the run, {lasted} from first to last.</p>\n");
    }
    for sentence in evidence.explanation.iter().take(SENTENCES_MAX) {
        body += &format!("<p>{}</p>\n", escape(sentence));
    }
    let left = evidence.explanation.len().saturating_sub(SENTENCES_MAX);
    if left > 0 {
        body += &format!(
            "<p class=\"note\">{} more in verdict.json.</p>\n",
            counted(left as u64, "sentence")
        );
    }
    body
}

/// A relative path as a link; percent signs and what ends a path are encoded.
fn link(path: &str) -> String {
    let mut out = String::new();
    for c in path.chars() {
        match c {
            '%' | '?' | '#' | ' ' => out += &format!("%{:02X}", c as u32),
            c => out.push(c),
        }
    }
    // A colon in the first component would be read as a scheme.
    escape(&format!("./{out}"))
}

/// The word for a verdict in a title.
const fn verdict_word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Valid => "Valid",
        Verdict::Invalid => "Invalid: the promise was broken",
        Verdict::Unknown => "Unknown: a check gave up",
        Verdict::Vacuous => "Vacuous: too little happened to prove anything",
    }
}
