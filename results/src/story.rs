//! A space-time diagram: what happened between the nodes of a run that could be looked into, as a part of the report.
//!
//! One line a node, time runs downwards; every row is one thing that happened, so that what takes microseconds and what takes seconds are
//! equally easy to read. The diagram was Lamport's (*Time, Clocks, and the Ordering of Events*, CACM 21(7), 1978), turned upside down.

use std::collections::HashMap;
use std::ops::Range;

use crate::svg::Svg;
use crate::text::{cut, escape, moment};

/// Rows at most; of more, the last ones until it has gone wrong are shown.
const ROWS_MAX: usize = 160;
/// Rows after that, of those that there are.
const ROWS_AFTER: usize = 12;
/// How often the same is told of the same nodes: what goes on and on would hide what it came of.
const TELLINGS: u32 = 3;
const ROW: f64 = 19.0;
const LANE: f64 = 165.0;
const LEFT: f64 = 84.0;
const TOP: f64 = 34.0;
const LABEL_MAX: usize = 44;

/// What happened. Nodes are counted from 1; times are nanoseconds since the run began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Happened {
    /// A message went from one node to another.
    Message {
        /// Who sent it.
        from: u16,
        /// Who got it.
        to: u16,
        /// When it was sent.
        sent_ns: u64,
        /// When it arrived.
        at_ns: u64,
        /// In short.
        label: String,
    },
    /// Something at one node.
    Note {
        /// Where.
        node: u16,
        /// When.
        at_ns: u64,
        /// What.
        label: String,
        /// Whether it was done to the node, and not by it.
        fault: bool,
    },
    /// A client's operation began or ended.
    Operation {
        /// When.
        at_ns: u64,
        /// Which, and how.
        label: String,
        /// Whether the violation shows in it.
        evidence: bool,
    },
}

impl Happened {
    const fn at_ns(&self) -> u64 {
        match self {
            Self::Message { at_ns, .. }
            | Self::Note { at_ns, .. }
            | Self::Operation { at_ns, .. } => *at_ns,
        }
    }
}

/// Everything that a diagram shows.
#[derive(Clone, Debug, Default)]
pub struct Story {
    /// How many nodes there are.
    pub nodes: u16,
    /// What happened, in any order.
    pub happened: Vec<Happened>,
    /// When all that shows what is wrong had happened, if that is known: of a long story this part is shown.
    pub wrong_by_ns: Option<u64>,
    /// How it ends, in one sentence.
    pub ending: String,
}

impl Story {
    /// The diagram with its caption, as a part of a page.
    #[must_use]
    pub fn to_html(&self) -> String {
        let mut rows = self.happened.clone();
        rows.sort_by_key(Happened::at_ns);
        let all = rows.len();
        leave_out_repetitions(&mut rows);
        let repeated = match all - rows.len() {
            0 => String::new(),
            times => format!(
                " What happened more than {TELLINGS} times is left out from then on, {times} times in all."
            ),
        };
        let (shown, left_out) = self.shown(&rows);
        let drawing = self.draw(&rows[shown]);
        format!(
            "<figure class=\"scroll\">\n{}<figcaption>Time runs downwards, one row a thing that happened. An arrow is a message that arrived; red is \
             what was done to a node, and where the violation shows.{repeated}{left_out}</figcaption>\n</figure>\n<p><strong>{}</strong></p>\n",
            drawing.inline(),
            escape(&self.ending)
        )
    }

    /// Which rows are shown, and a sentence on the others.
    fn shown(&self, rows: &[Happened]) -> (Range<usize>, String) {
        let wrong =
            self.wrong_by_ns.map_or(rows.len(), |by| rows.partition_point(|row| row.at_ns() <= by));
        let end =
            if rows.len() <= ROWS_MAX { rows.len() } else { rows.len().min(wrong + ROWS_AFTER) };
        let begin = end.saturating_sub(ROWS_MAX);
        let left_out = match (begin, rows.len() - end) {
            (0, 0) => String::new(),
            (earlier, 0) => format!(" {earlier} earlier things are left out."),
            (earlier, later) => {
                format!(" {earlier} earlier things and {later} later ones are left out.")
            }
        };
        (begin..end, left_out)
    }

    fn x(node: u16) -> f64 {
        LEFT + LANE * (f64::from(node) - 0.5)
    }

    fn draw(&self, rows: &[Happened]) -> Svg {
        let clients = LEFT + LANE * f64::from(self.nodes) + 12.0;
        let height = TOP + ROW * (rows.len() as f64 + 1.0);
        let mut svg = Svg::new(clients + 300.0, height, "What happened between the nodes");
        for node in 1..=self.nodes {
            let x = Self::x(node);
            svg.text("strong", (x - 8.0, 16.0), &format!("n{node}"));
            svg.line("grid", (x, 22.0), (x, height));
        }
        svg.text("strong", (clients, 16.0), "clients");
        let y_of = |ns: u64| {
            // A message was sent right after what had happened by then.
            let after = rows.partition_point(|row| row.at_ns() <= ns);
            TOP + ROW * (after as f64 - 0.5)
        };
        for (at, row) in rows.iter().enumerate() {
            let y = TOP + ROW * (at as f64 + 0.5);
            svg.text("soft", (4.0, y + 4.0), &moment(row.at_ns()));
            match row {
                Happened::Message { from, to, sent_ns, label, .. } => {
                    let sent =
                        (Self::x(*from), y_of(*sent_ns).min(y - ROW * 0.5).max(TOP - ROW * 0.5));
                    arrow(&mut svg, sent, (Self::x(*to), y));
                    let beside = if from < to {
                        -6.0 - 6.2 * label.len().min(LABEL_MAX) as f64
                    } else {
                        8.0
                    };
                    svg.text("story", (Self::x(*to) + beside, y - 3.0), &cut(label, LABEL_MAX));
                }
                Happened::Note { node, label, fault, .. } => {
                    let class = if *fault { "story bad" } else { "story strong" };
                    svg.circle(
                        if *fault { "happened bad" } else { "happened" },
                        (Self::x(*node), y),
                        4.0,
                    );
                    svg.text(class, (Self::x(*node) + 8.0, y + 4.0), &cut(label, LABEL_MAX));
                }
                Happened::Operation { label, evidence, .. } => {
                    let class = if *evidence { "story bad" } else { "story" };
                    svg.text(class, (clients, y + 4.0), &cut(label, LABEL_MAX));
                }
            }
        }
        svg
    }
}

/// Keeps the first few of what happens again and again; what was done to nodes, and what clients did, is told every time.
fn leave_out_repetitions(rows: &mut Vec<Happened>) {
    let mut told: HashMap<(u16, u16, String), u32> = HashMap::new();
    rows.retain(|row| {
        let (from, to, label) = match row {
            Happened::Message { from, to, label, .. } => (*from, *to, label),
            Happened::Note { node, label, fault: false, .. } => (*node, 0, label),
            Happened::Note { fault: true, .. } | Happened::Operation { .. } => return true,
        };
        let times = told.entry((from, to, label.clone())).or_default();
        *times += 1;
        *times <= TELLINGS
    });
}

/// A line with a head.
fn arrow(svg: &mut Svg, from: (f64, f64), to: (f64, f64)) {
    svg.line("message", from, to);
    let (dx, dy) = (to.0 - from.0, to.1 - from.1);
    let length = dx.hypot(dy).max(1.0);
    let (ux, uy) = (dx / length, dy / length);
    for side in [-1.0, 1.0] {
        let back = (to.0 - 8.0 * ux - side * 3.5 * uy, to.1 - 8.0 * uy + side * 3.5 * ux);
        svg.line("message", to, back);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn thing(at_ns: u64) -> Happened {
        Happened::Note { node: 1, at_ns, label: format!("thing {at_ns}<"), fault: false }
    }

    #[test]
    fn a_story_shows_messages_notes_and_how_it_ends() {
        let happened = vec![
            Happened::Operation { at_ns: 40, label: "read x <- 1".into(), evidence: true },
            Happened::Message {
                from: 1,
                to: 2,
                sent_ns: 10,
                at_ns: 30,
                label: "vote? <t2>".into(),
            },
            Happened::Note { node: 1, at_ns: 5, label: "is killed".into(), fault: true },
        ];
        let html =
            Story { nodes: 2, happened, ending: "two leaders & more".into(), ..Story::default() }
                .to_html();
        let place = |text: &str| html.find(text).unwrap_or_else(|| panic!("{text} in {html}"));
        assert!(place("is killed") < place("vote? &lt;t2&gt;"));
        assert!(place("vote?") < place("read x"));
        assert!(html.contains("two leaders &amp; more") && html.contains("class=\"message\""));
    }

    #[test]
    fn a_long_story_keeps_its_end() {
        let html = Story { nodes: 1, happened: (0..500).map(thing).collect(), ..Story::default() }
            .to_html();
        assert!(html.contains("thing 499") && !html.contains("thing 300&lt;"));
        assert!(html.contains("340 earlier things"));
    }

    #[test]
    fn what_goes_on_and_on_is_told_a_few_times() {
        let note = |at_ns| Happened::Note {
            node: 1 + (at_ns % 2) as u16,
            at_ns,
            label: "again and again".into(),
            fault: false,
        };
        let killed =
            |at_ns| Happened::Note { node: 1, at_ns, label: "is killed".into(), fault: true };
        let happened = (0..500).map(note).chain((0..5).map(killed)).collect();
        let html = Story { nodes: 2, happened, ..Story::default() }.to_html();
        assert_eq!(html.matches("again and again").count(), 6);
        assert_eq!(html.matches("is killed").count(), 5, "whatever is done to a node is told");
        assert!(html.contains("494 times in all") && !html.contains("earlier things"), "{html}");
    }

    #[test]
    fn a_story_that_goes_on_shows_where_it_went_wrong() {
        let happened = (0..500).map(thing).collect();
        let html =
            Story { nodes: 1, happened, wrong_by_ns: Some(250), ..Story::default() }.to_html();
        for (thing, shown) in [(102, false), (103, true), (250, true), (262, true), (263, false)] {
            assert_eq!(html.contains(&format!("thing {thing}&lt;")), shown, "{thing}");
        }
        assert!(html.contains("103 earlier things and 237 later ones are left out"), "{html}");
    }
}
