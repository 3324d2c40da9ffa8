//! What must come before what, where the violation is a circle: as a drawing, as Graphviz' text, and in one line.
//!
//! Transactions are called T1, T2, … in the order of the circle, as the words beside the drawing call them.

use std::f64::consts::TAU;

use keelhaul_checkers::{Evidence, EvidenceEdge, EvidenceOp};
use petgraph::dot::{Config, Dot};
use petgraph::graph::{DiGraph, NodeIndex};
use petgraph::visit::EdgeRef;

use crate::svg::{Path, Svg};

/// Transactions drawn at most: a circle of more is told in words alone.
const NODES_MAX: usize = 24;
const WIDTH: f64 = 1000.0;
const BOX: f64 = 250.0;
const LINE: f64 = 17.0;
/// Operations of a transaction that are written out.
const LINES_MAX: usize = 6;
const LABEL_MAX: usize = 32;
const ARROW: f64 = 9.0;

/// The circle: transactions in its order.
type Circle<'a> = DiGraph<&'a EvidenceOp, &'a EvidenceEdge>;

/// The graph of an evidence; nothing if it is no circle.
fn graph(evidence: &Evidence) -> Option<Circle<'_>> {
    let mut graph = Circle::new();
    let mut nodes: Vec<(u64, NodeIndex)> = Vec::new();
    for edge in &evidence.edges {
        let op = evidence.ops.iter().find(|op| op.index == edge.from)?;
        nodes.push((edge.from, graph.add_node(op)));
    }
    let node = |index: u64| nodes.iter().find(|(known, _)| *known == index).map(|(_, node)| *node);
    for edge in &evidence.edges {
        graph.add_edge(node(edge.from)?, node(edge.to)?, edge);
    }
    (graph.node_count() > 1).then_some(graph)
}

fn name(node: NodeIndex) -> String {
    format!("T{}", node.index() + 1)
}

/// The circle in one line: `T1 ─rw→ T2 ─wr→ T1`.
pub(crate) fn line(evidence: &Evidence) -> Option<String> {
    let graph = graph(evidence)?;
    let mut line = String::from("T1");
    for edge in graph.edge_references() {
        line += &format!(" ─{}→ {}", edge.weight().kind, name(edge.target()));
    }
    Some(line)
}

/// The circle in the language of Graphviz.
pub(crate) fn dot(evidence: &Evidence) -> Option<String> {
    let graph = graph(evidence)?;
    let quoted = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"");
    let edge = |_: &Circle<'_>, edge: petgraph::graph::EdgeReference<'_, &EvidenceEdge>| {
        let EvidenceEdge { kind, why, .. } = *edge.weight();
        format!("label=\"{}\" tooltip=\"{}\"", quoted(kind), quoted(why))
    };
    let node = |_: &Circle<'_>, (node, op): (NodeIndex, &&EvidenceOp)| {
        let label = quoted(&op.label.replace("; ", "\n")).replace('\n', "\\l");
        format!("shape=box label=\"{}: process {}\\l{label}\\l\"", name(node), quoted(&op.actor()))
    };
    let config = [Config::NodeNoLabel, Config::EdgeNoLabel];
    Some(format!("{:?}", Dot::with_attr_getters(&graph, &config, &edge, &node)))
}

/// A box of a transaction.
struct Place {
    centre: (f64, f64),
    height: f64,
}

/// The circle drawn.
pub(crate) fn circle(evidence: &Evidence) -> Option<Svg> {
    let graph = graph(evidence).filter(|graph| graph.node_count() <= NODES_MAX)?;
    let count = graph.node_count() as f64;
    let lines: Vec<Vec<String>> = graph.node_weights().map(|op| lines(op)).collect();
    let tallest = lines.iter().map(|lines| box_height(lines)).fold(0.0, f64::max);
    let radius =
        ((WIDTH - BOX) / 2.0 - 20.0, if count < 3.0 { 0.0 } else { tallest * count / 4.0 + 60.0 });
    let height = 2.0 * radius.1 + tallest + 60.0;
    let places: Vec<Place> = (0..graph.node_count())
        .map(|at| {
            // T1 is at the left, and the circle goes on clockwise.
            let angle = TAU * (at as f64 / count + 0.5);
            let centre =
                (WIDTH / 2.0 + radius.0 * angle.cos(), height / 2.0 + radius.1 * angle.sin());
            Place { centre, height: box_height(&lines[at]) }
        })
        .collect();
    let mut svg = Svg::new(WIDTH, height, "Which transaction must come before which");
    let both_ways = graph.node_count() == 2;
    for edge in graph.edge_references() {
        let ends = [edge.source(), edge.target()].map(|node| &places[node.index()]);
        arrow(&mut svg, ends, &edge.weight().kind, both_ways);
    }
    for (node, (place, lines)) in graph.node_indices().zip(places.iter().zip(&lines)) {
        let title = format!("{}: {}", name(node), graph[node].label);
        draw_box(
            &mut svg,
            place,
            &format!("{}  process {}", name(node), graph[node].actor()),
            lines,
            &title,
        );
    }
    Some(svg)
}

/// The operations of a transaction, one a line.
fn lines(op: &EvidenceOp) -> Vec<String> {
    let ops: Vec<&str> = op.label.split("; ").collect();
    let mut lines: Vec<String> = ops.iter().take(LINES_MAX).map(|op| shortened(op)).collect();
    if ops.len() > LINES_MAX {
        lines.push(format!("… and {} more", ops.len() - LINES_MAX));
    }
    lines
}

/// What fits into a box; all of it is shown when the box is pointed at.
fn shortened(op: &str) -> String {
    if op.chars().count() <= LABEL_MAX {
        return op.into();
    }
    let kept: String = op.chars().take(LABEL_MAX - 1).collect();
    format!("{kept}…")
}

fn box_height(lines: &[String]) -> f64 {
    LINE * (lines.len() as f64 + 1.0) + 14.0
}

fn draw_box(svg: &mut Svg, place: &Place, head: &str, lines: &[String], title: &str) {
    let (x, y) = (place.centre.0 - BOX / 2.0, place.centre.1 - place.height / 2.0);
    svg.titled_rect("node", [x, y, BOX, place.height], title);
    svg.text("strong", (x + 10.0, y + LINE + 2.0), head);
    for (at, line) in lines.iter().enumerate() {
        svg.text("mono", (x + 10.0, y + LINE * (at as f64 + 2.0) + 2.0), line);
    }
}

/// From the edge of one box to the edge of another; of two that go to and fro each keeps to its left.
fn arrow(svg: &mut Svg, [from, to]: [&Place; 2], kind: &str, both_ways: bool) {
    let aside = if both_ways { 22.0 } else { 0.0 };
    let (dx, dy) = (to.centre.0 - from.centre.0, to.centre.1 - from.centre.1);
    let length = dx.hypot(dy).max(1.0);
    let unit = (dx / length, dy / length);
    let shift = |(x, y): (f64, f64)| (x + unit.1 * aside, y - unit.0 * aside);
    let begin = shift(border(from, unit));
    let end = shift(border(to, (-unit.0, -unit.1)));
    svg.line("edge", begin, end);
    let mut head = Path::default();
    head.move_to(end.0, end.1);
    for side in [1.0, -1.0] {
        let (along, across) = (ARROW, side * ARROW / 2.0);
        head.line_to(
            end.0 - unit.0 * along - unit.1 * across,
            end.1 - unit.1 * along + unit.0 * across,
        );
    }
    head.close();
    svg.path("edgehead", &head);
    let middle = ((begin.0 + end.0) / 2.0, (begin.1 + end.1) / 2.0);
    svg.text("mono halo strong middle", (middle.0, middle.1 - 6.0), kind);
}

/// Where a ray from the centre of a box leaves it.
fn border(place: &Place, (x, y): (f64, f64)) -> (f64, f64) {
    let reach = |half: f64, part: f64| if part == 0.0 { f64::MAX } else { half / part.abs() };
    let along = reach(BOX / 2.0, x).min(reach(place.height / 2.0, y));
    (place.centre.0 + x * along, place.centre.1 + y * along)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;

    #[test]
    fn a_circle_in_three_ways() {
        let evidence = samples::circle();
        assert_eq!(line(&evidence).unwrap(), "T1 ─rw→ T2 ─realtime→ T1");
        let dot = dot(&evidence).unwrap();
        assert!(dot.starts_with("digraph {\n"), "{dot}");
        assert!(
            dot.contains("0 -> 1 [ label=\"rw\" tooltip=\"T1 came before T2: it read \\\"x\\\"\"]"),
            "{dot}"
        );
        assert!(dot.contains("1 -> 0 [ label=\"realtime\""), "{dot}");
        let svg = circle(&evidence).unwrap().file();
        assert_eq!(svg.matches("class=\"edge\"").count(), 2, "{svg}");
        assert_eq!(svg.matches("class=\"node\"").count(), 2, "{svg}");
        assert!(svg.contains("T2  process 1</text>"), "{svg}");
    }

    #[test]
    fn what_is_no_circle_is_none() {
        let judgement = samples::invalid();
        let evidence = judgement.checks[0].evidence.as_ref().unwrap();
        assert!(line(evidence).is_none() && dot(evidence).is_none() && circle(evidence).is_none());
    }
}
