//! A judgement as text: for a terminal, for a program, for continuous integration.

mod ci;
mod human;

pub(crate) use human::shown;

use std::str::FromStr;

use crate::Judgement;

/// How a judgement is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// Words and a drawing, for a person.
    #[default]
    Human,
    /// The content of `verdict.json`.
    Json,
    /// One JSON object a line: each check, then the whole without the checks.
    Ndjson,
    /// JUnit's XML, as most continuous integration reads it.
    Junit,
    /// Annotations of GitHub Actions.
    Github,
}

impl Format {
    /// Every format with its name.
    pub const ALL: [(&'static str, Self); 5] = [
        ("human", Self::Human),
        ("json", Self::Json),
        ("ndjson", Self::Ndjson),
        ("junit", Self::Junit),
        ("github", Self::Github),
    ];
}

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(name: &str) -> Result<Self, UnknownFormat> {
        let found = Self::ALL.iter().find(|(known, _)| *known == name);
        found.map(|(_, format)| *format).ok_or_else(|| UnknownFormat(name.into()))
    }
}

/// A format that does not exist.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("format \"{0}\" does not exist: it is one of human, json, ndjson, junit, github")]
pub struct UnknownFormat(String);

/// What a rendering needs besides the judgement.
#[derive(Clone, Copy, Debug)]
pub struct Style<'a> {
    /// What was judged, e.g. `raft-register` or a file's name.
    pub subject: &'a str,
    /// Whether to colour, for [`Format::Human`].
    pub colour: bool,
    /// Columns of the terminal, for [`Format::Human`].
    pub columns: usize,
}

/// Renders a judgement; the text ends with a newline.
#[must_use]
pub fn render(judgement: &Judgement, format: Format, style: Style<'_>) -> String {
    match format {
        Format::Human => human::render(judgement, style),
        Format::Json => judgement.to_json(),
        Format::Ndjson => ci::ndjson(judgement),
        Format::Junit => ci::junit(judgement, style.subject),
        Format::Github => ci::github(judgement, style.subject),
    }
}

/// The last line of every run's output, for scripts.
#[must_use]
pub fn last_line(judgement: &Judgement, run: &str, seed: u64, dir: &str) -> String {
    format!("verdict={} run={run} seed={seed} dir={dir}", judgement.verdict.as_str())
}
