//! The tables of a report.

use crate::stats::{Counts, Fault, Summary};
use crate::text::{duration, escape, grouped, moment};

/// Rows at most.
const FAULTS_MAX: usize = 300;

pub(super) fn faults(summary: &Summary) -> String {
    if summary.faults.is_empty() {
        return "<p>No fault was injected.</p>\n".into();
    }
    let mut out = String::from(
        "<div class=\"scroll\"><table>\n<tr><th>Fault</th><th class=\"n\">At</th><th class=\"n\">Lasted</th>\
         <th>In effect</th><th>Healed</th><th class=\"n\">Ok during it</th>\
         <th class=\"n\">Longest without ok</th><th class=\"n\">First ok after</th></tr>\n",
    );
    for fault in summary.faults.iter().take(FAULTS_MAX) {
        out += &row(fault, summary.end_ns);
    }
    out += "</table></div>\n";
    if summary.faults.len() > FAULTS_MAX {
        out += &format!(
            "<p class=\"note\">The first {FAULTS_MAX} of {}; the rest are in the history.</p>\n",
            grouped(summary.faults.len() as u64)
        );
    }
    out += "<p class=\"note\">A fault lasts from its injection to the beginning of its healing and counts only when it \
        was verified in effect. <em>Ok during it</em>: operations both invoked and completed in that time. <em>Longest \
        without ok</em>: the longest part of it in which nothing completed ok. <em>First ok after</em>: from the \
        injection to the first ok of an operation invoked after it.</p>\n";
    out
}

fn row(fault: &Fault, end_ns: u64) -> String {
    let window = &fault.window;
    let lasted = window.healed_ns.unwrap_or(end_ns).saturating_sub(window.injected_ns);
    let why = window
        .error
        .as_ref()
        .map_or(String::new(), |why| format!("<br><span class=\"soft\">{}</span>", escape(why)));
    let effect = if window.effective {
        "<td>verified</td>".into()
    } else {
        format!("<td><b class=\"unknown\">not verified</b>{why}</td>")
    };
    let healed = match (window.healed_ns, window.healed_verified) {
        (_, true) => "<td>verified</td>".into(),
        (Some(_), false) if !window.effective => "<td>done</td>".into(),
        (Some(_), false) => format!("<td><b class=\"unknown\">not verified</b>{why}</td>"),
        (None, false) => "<td><b class=\"unknown\">never</b></td>".into(),
    };
    let dash = || "–".to_string();
    let (ok, gap, first) = if window.effective {
        let first = fault.recovery_ns.map_or("never".into(), duration);
        (grouped(fault.ok_within), duration(fault.gap_ns), first)
    } else {
        (dash(), dash(), dash())
    };
    format!(
        "<tr><td>{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td>{effect}{healed}\
         <td class=\"n\">{ok}</td><td class=\"n\">{gap}</td><td class=\"n\">{first}</td></tr>\n",
        escape(&window.label),
        moment(window.injected_ns),
        duration(lasted),
    )
}

pub(super) fn operations(summary: &Summary) -> String {
    let mut out = String::from("<div class=\"tables\">\n<div>\n");
    let functions = summary.by_function.iter().map(|(f, counts)| (f.clone(), *counts));
    out += &counts("Function", functions, Some(summary.counts));
    out += "</div>\n<div>\n";
    let nodes = summary.by_node.iter().map(|(node, counts)| (node.to_string(), *counts));
    out += &counts("Node", nodes, None);
    out += "</div>\n</div>\n";
    let open = summary.invoked.saturating_sub(summary.counts.total());
    if open > 0 {
        out += &format!("<p class=\"note\">{} never completed.</p>\n", grouped(open));
    }
    if !summary.reasons.is_empty() {
        out += "<h3>Why operations failed or are unknown</h3>\n<table>\n<tr><th>Reason</th><th class=\"n\">Times</th></tr>\n";
        for (reason, times) in &summary.reasons {
            out += &format!(
                "<tr><td><code>{}</code></td><td class=\"n\">{}</td></tr>\n",
                escape(reason),
                grouped(*times)
            );
        }
        out += "</table>\n";
    }
    out
}

fn counts(
    title: &str,
    rows: impl Iterator<Item = (String, Counts)>,
    sum: Option<Counts>,
) -> String {
    let mut rows = rows.peekable();
    if rows.peek().is_none() {
        return String::new();
    }
    let mut out = format!(
        "<table>\n<tr><th>{title}</th><th class=\"n\">ok</th><th class=\"n\">fail</th><th class=\"n\">info</th></tr>\n"
    );
    let sum = sum.map(|counts| ("all".to_string(), counts));
    for (name, Counts { ok, fail, info }) in rows.chain(sum) {
        out += &format!(
            "<tr><td>{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td></tr>\n",
            escape(&name),
            grouped(ok),
            grouped(fail),
            grouped(info)
        );
    }
    out + "</table>\n"
}
