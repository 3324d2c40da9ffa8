//! A judgement in words, with its evidence drawn as intervals.

use keelhaul_checkers::{Check, Evidence, EvidenceOp, Verdict};

use super::Style;
use crate::Judgement;
use crate::layout::{Layout, Room};
use crate::plot;
use crate::text::{cut, duration, grouped};

/// Operations drawn at most; a screen has no more lines.
const OPS_MAX: usize = 30;

/// Labels longer than this are cut.
const LABEL_MAX: usize = 32;

/// A paint of the terminal (ECMA-48, select graphic rendition).
#[derive(Clone, Copy)]
enum Paint {
    Bold,
    Dim,
    Red,
    Green,
    Yellow,
}

impl Style<'_> {
    fn paint(self, paint: Paint, text: &str) -> String {
        if !self.colour {
            return text.into();
        }
        let code = match paint {
            Paint::Bold => "1",
            Paint::Dim => "2",
            Paint::Red => "1;31",
            Paint::Green => "1;32",
            Paint::Yellow => "1;33",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }

    fn verdict(self, verdict: Verdict) -> String {
        let paint = match verdict {
            Verdict::Valid => Paint::Green,
            Verdict::Invalid => Paint::Red,
            Verdict::Unknown | Verdict::Vacuous => Paint::Yellow,
        };
        self.paint(paint, verdict.as_str())
    }
}

pub(super) fn render(judgement: &Judgement, style: Style<'_>) -> String {
    let mut lines = Vec::new();
    let subject = style.paint(Paint::Bold, style.subject);
    lines.push(format!(
        "{subject}: {} ({} operations, judged in {})",
        style.verdict(judgement.verdict),
        grouped(judgement.operations),
        duration(judgement.elapsed_ms.saturating_mul(1_000_000)),
    ));
    for check in &judgement.checks {
        push_check(&mut lines, check, style);
    }
    if judgement.checks.is_empty() {
        lines.push("  no check was made, so nothing was proved".into());
    }
    push_models(&mut lines, judgement, style);
    push_sentences(&mut lines, "tested", &judgement.tested, style);
    push_sentences(&mut lines, "not tested", &judgement.not_tested, style);
    lines.join("\n") + "\n"
}

/// The strongest models that stand and the weakest that fell, where that is more than the checks say.
fn push_models(lines: &mut Vec<String>, judgement: &Judgement, style: Style<'_>) {
    let mut push = |title: &str, models: &[String], either: &[String]| {
        if models.is_empty() {
            return;
        }
        let also = if either.is_empty() {
            String::new()
        } else {
            format!(", and so not {}", either.join(", "))
        };
        let title = style.paint(Paint::Bold, &format!("{title:<11}"));
        lines.push(format!("  {title} {}{also}", models.join(", ")));
    };
    if !judgement.standing.is_empty() {
        push("still:", &judgement.strongest, &[]);
    }
    push("not:", &judgement.not, &judgement.also_not);
    let open: Vec<String> = judgement
        .standing
        .iter()
        .filter(|standing| standing.verdict == Verdict::Unknown)
        .map(|standing| standing.model.clone())
        .collect();
    push("undecided:", &open, &[]);
}

fn push_sentences(lines: &mut Vec<String>, title: &str, sentences: &[String], style: Style<'_>) {
    for (i, sentence) in sentences.iter().enumerate() {
        let title = if i == 0 { format!("{title}:") } else { String::new() };
        let title = style.paint(Paint::Bold, &format!("{title:<11}"));
        lines.push(format!("  {title} {sentence}"));
    }
}

fn push_check(lines: &mut Vec<String>, check: &Check, style: Style<'_>) {
    let name = style.paint(Paint::Bold, &check.name);
    lines.push(format!("  {name} {}: {}", style.verdict(check.verdict), check.reason));
    if !check.anomalies.is_empty() {
        lines.push(format!("    anomalies: {}", check.anomalies.join(", ")));
    }
    if let Some(evidence) = &check.evidence {
        lines.push(String::new());
        push_evidence(lines, evidence, style);
        lines.push(String::new());
    }
}

fn push_evidence(lines: &mut Vec<String>, evidence: &Evidence, style: Style<'_>) {
    let ops = shown(evidence, OPS_MAX);
    let left = evidence.ops.len() - ops.len();
    if let Some(key) = &evidence.key {
        lines.push(format!("    key {key}"));
    }
    let label = |op: &EvidenceOp| cut(&op.label, LABEL_MAX);
    let width_of = |texts: &mut dyn Iterator<Item = usize>| texts.max().unwrap_or(0);
    let label_width = width_of(&mut ops.iter().map(|op| label(op).chars().count())).max(9);
    let process_width = width_of(&mut ops.iter().map(|op| op.actor().chars().count())).max(7);
    let room = style.columns.saturating_sub(label_width + process_width + 14).max(16) as f64;
    let layout =
        Layout::new(&ops, Room { step_min: 2.0, step_max: 9.0, lane_gap: 1.0 }, false, |_| 0.0);
    let scale = (room / layout.width).min(1.0);
    let title =
        format!("    order  {:<process_width$}  {:<label_width$}  time →", "process", "operation");
    if !ops.is_empty() {
        lines.push(style.paint(Paint::Dim, &title));
    }
    for (op, place) in ops.iter().zip(&layout.places) {
        let (from, to) = ((place.from * scale) as usize, (place.to * scale) as usize);
        let to = to.max(from + 1);
        let end = if op.end_ns.is_some() { "┤" } else { "┄" };
        let bar = format!("{:from$}├{}{end}", "", "─".repeat(to - from - 1));
        let stuck = evidence.stuck.contains(&op.index);
        let rank = evidence.longest_order.iter().filter(|i| ops.iter().any(|op| op.index == **i));
        let rank = rank.clone().position(|i| *i == op.index).map(|i| (i + 1).to_string());
        let order = if stuck { "✗".into() } else { rank.unwrap_or_default() };
        let line = format!(
            "    {order:>5}  {:<process_width$}  {:<label_width$}  {bar}{}",
            op.actor(),
            label(op),
            if stuck { " fits nowhere" } else { "" },
        );
        lines.push(if stuck { style.paint(Paint::Red, &line) } else { line });
    }
    if left > 0 {
        lines.push(format!("    … and {left} more operations"));
    }
    if !ops.is_empty() {
        lines.push(String::new());
    }
    if let Some(circle) = plot::line(evidence) {
        lines.push(format!("    {circle}"));
    }
    lines.extend(evidence.explanation.iter().map(|sentence| format!("    {sentence}")));
}

/// The operations to draw: all, or those nearest to the first stuck one.
pub(crate) fn shown(evidence: &Evidence, max: usize) -> Vec<EvidenceOp> {
    let ops = &evidence.ops;
    if ops.len() <= max {
        return ops.clone();
    }
    let stuck = ops.iter().position(|op| evidence.stuck.contains(&op.index));
    let centre = stuck.unwrap_or(ops.len() / 2);
    let from = centre.saturating_sub(3 * max / 4).min(ops.len() - max);
    ops[from..from + max].to_vec()
}

#[cfg(test)]
mod tests {
    use super::super::{Format, Style, render};
    use crate::samples;

    const STYLE: Style<'_> = Style { subject: "raft-register", colour: false, columns: 90 };

    #[test]
    fn evidence_is_drawn() {
        let text = render(&samples::invalid(), Format::Human, STYLE);
        let expected = "\
    key 3
    order  process  operation  time →
        1  0        write 7    ├─┤
        2  1        write 8             ├───────────┤
        3  2        read -> 8             ├───────┤
        ✗  3        read -> 7                               ├─┤ fits nowhere";
        assert!(text.contains(expected), "{text}");
        assert!(text.starts_with("raft-register: invalid (4 operations, judged in 12.0 ms)\n"));
        assert!(text.contains("  not tested: clock faults (nodes share one clock)"), "{text}");
        assert!(!text.contains('\x1b'));
    }

    #[test]
    fn colour_only_when_asked() {
        let text = render(&samples::invalid(), Format::Human, Style { colour: true, ..STYLE });
        assert!(text.contains("\x1b[1;31minvalid\x1b[0m"));
    }

    #[test]
    fn a_narrow_terminal_and_many_operations() {
        let judgement = samples::crowded(200);
        let text = render(&judgement, Format::Human, Style { columns: 60, ..STYLE });
        assert!(text.contains("… and 170 more operations"), "{text}");
        assert!(text.contains("✗"), "the stuck operation is among those shown");
        let drawn = text.lines().filter(|line| line.contains('├'));
        assert!(drawn.clone().all(|line| line.chars().count() <= 80), "{text}");
        assert_eq!(drawn.count(), 30);
    }
}
