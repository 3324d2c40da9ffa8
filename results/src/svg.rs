//! A small writer of SVG. Looks live in the style sheet, by class; here is geometry only.

use std::fmt::Write;

use crate::text::{coord, escape};

/// The style sheet of all drawings. A page includes it once; a drawing in a file of its own carries it.
pub(crate) const STYLE: &str = include_str!("svg.css");

/// A drawing in the making. Coordinates are pixels from the top left corner.
#[derive(Debug)]
pub(crate) struct Svg {
    body: String,
    width: f64,
    height: f64,
    label: String,
}

impl Svg {
    /// An empty drawing; `label` says what it shows to those who cannot see it.
    pub fn new(width: f64, height: f64, label: &str) -> Self {
        Self { body: String::new(), width, height, label: escape(label) }
    }

    pub const fn width(&self) -> f64 {
        self.width
    }

    pub fn rect(&mut self, class: &str, x: f64, y: f64, width: f64, height: f64) {
        self.shape("rect", class, &[("x", x), ("y", y), ("width", width), ("height", height)], "");
    }

    /// A rectangle that shows `title` when pointed at.
    pub fn titled_rect(&mut self, class: &str, [x, y, width, height]: [f64; 4], title: &str) {
        self.shape(
            "rect",
            class,
            &[("x", x), ("y", y), ("width", width), ("height", height)],
            title,
        );
    }

    pub fn line(&mut self, class: &str, from: (f64, f64), to: (f64, f64)) {
        let places = [("x1", from.0), ("y1", from.1), ("x2", to.0), ("y2", to.1)];
        self.shape("line", class, &places, "");
    }

    pub fn circle(&mut self, class: &str, (x, y): (f64, f64), r: f64) {
        self.shape("circle", class, &[("cx", x), ("cy", y), ("r", r)], "");
    }

    /// A path in SVG's own notation; see [`Path`].
    pub fn path(&mut self, class: &str, path: &Path) {
        if !path.0.is_empty() {
            // Writing to a string cannot fail.
            let _ = writeln!(self.body, "<path class=\"{class}\" d=\"{}\"/>", path.0);
        }
    }

    /// A text whose baseline begins at, or ends at, or is centred on a place, as the class says.
    pub fn text(&mut self, class: &str, (x, y): (f64, f64), text: &str) {
        let _ = write!(self.body, "<text class=\"{class}\" x=\"");
        coord(&mut self.body, x);
        self.body.push_str("\" y=\"");
        coord(&mut self.body, y);
        let _ = writeln!(self.body, "\">{}</text>", escape(text));
    }

    fn shape(&mut self, name: &str, class: &str, places: &[(&str, f64)], title: &str) {
        let _ = write!(self.body, "<{name} class=\"{class}\"");
        for (attribute, value) in places {
            let _ = write!(self.body, " {attribute}=\"");
            coord(&mut self.body, *value);
            self.body.push('"');
        }
        if title.is_empty() {
            self.body.push_str("/>\n");
        } else {
            let _ = writeln!(self.body, "><title>{}</title></{name}>", escape(title));
        }
    }

    /// The drawing as an element of a page.
    pub fn inline(&self) -> String {
        self.element("")
    }

    /// The drawing as a file of its own.
    pub fn file(&self) -> String {
        let style = format!(
            "<style>{STYLE}</style>\n<rect class=\"paper\" width=\"100%\" height=\"100%\"/>\n"
        );
        format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n{}", self.element(&style))
    }

    fn element(&self, head: &str) -> String {
        let Self { body, width, height, label } = self;
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"plot\" role=\"img\" aria-label=\"{label}\" \
             width=\"{width:.0}\" height=\"{height:.0}\" viewBox=\"0 0 {width:.0} {height:.0}\">\n{head}{body}</svg>\n"
        )
    }
}

/// The outline of a path.
#[derive(Debug, Default)]
pub(crate) struct Path(String);

impl Path {
    pub fn move_to(&mut self, x: f64, y: f64) {
        self.point('M', x, y);
    }

    pub fn line_to(&mut self, x: f64, y: f64) {
        self.point('L', x, y);
    }

    /// A point without extent, which a round cap makes a dot.
    pub fn dot(&mut self, x: f64, y: f64) {
        self.point('M', x, y);
        self.0.push_str("h0");
    }

    pub fn close(&mut self) {
        self.0.push('Z');
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn point(&mut self, command: char, x: f64, y: f64) {
        self.0.push(command);
        coord(&mut self.0, x);
        self.0.push(' ');
        coord(&mut self.0, y);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_escaped_everywhere() {
        let mut svg = Svg::new(10.0, 10.0, "a <b>");
        svg.text("t", (1.0, 2.0), "x < y & z");
        svg.titled_rect("r", [0.0, 0.0, 1.0, 1.0], "\"</title>");
        let text = svg.file();
        assert!(text.contains("aria-label=\"a &lt;b&gt;\""));
        assert!(text.contains(">x &lt; y &amp; z</text>"));
        assert!(text.contains("<title>&quot;&lt;/title&gt;</title>"));
        assert!(
            !text.contains("http://") || text.matches("http").count() == 1,
            "only the name space"
        );
    }
}
