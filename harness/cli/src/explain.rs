//! `keelhaul explain` and `keelhaul list models`: what the names in a verdict mean.

use keelhaul_checkers::models::{Anomaly, Example, Model, anomalies, anomaly};

use crate::exit::{Exit, Failure};

/// Columns that a line of prose takes at most.
const WIDTH: usize = 100;

/// Names that are offered instead of one that does not exist, at most.
const NEAR_MAX: usize = 3;

/// Explains a model or an anomaly; without a name, lists them.
pub fn explain(name: Option<&str>) -> Result<Exit, Failure> {
    let Some(name) = name else {
        println!("models, strongest first:");
        models();
        println!("\nanomalies:");
        let width = anomalies().map(|anomaly| anomaly.name.len()).max().unwrap_or(0);
        for Anomaly { name, found_by, .. } in anomalies() {
            println!("{name:width$}  {found_by}");
        }
        return Ok(Exit::Valid);
    };
    let typed = name.to_ascii_lowercase();
    if let Some(model) = Model::by_name(&typed) {
        print!("{}", of_model(model));
    } else if let Some(anomaly) = anomaly(name) {
        print!("{}", of_anomaly(anomaly));
    } else {
        return Err(unknown(&typed));
    }
    Ok(Exit::Valid)
}

/// Prints the models, a name a line.
pub fn models() {
    let width = Model::ALL.iter().map(|model| model.name().len()).max().unwrap_or(0);
    for model in Model::ALL {
        println!("{:width$}  {}", model.name(), model.about().line);
    }
}

fn of_model(model: Model) -> String {
    let about = model.about();
    let mut page = Page::default();
    page.prose("", &format!("{model}: {}", about.line));
    if !model.aliases().is_empty() {
        page.lines.push(format!("also called {}", model.aliases().join(", ")));
    }
    for paragraph in about.meaning {
        page.blank();
        page.prose("", paragraph);
    }
    page.example("Allowed", &about.allowed);
    page.example("Forbidden", &about.forbidden);
    page.blank();
    let at_once = model.implied();
    let later =
        |weaker: &Model| *weaker != model && model.implies(*weaker) && !at_once.contains(weaker);
    page.names("implies", at_once.iter().copied());
    page.names("and so also", Model::ALL.into_iter().filter(later));
    page.names("implied by", model.implied_by());
    let refuting =
        anomalies().filter(|anomaly| anomaly.refutes.iter().any(|refuted| model.implies(*refuted)));
    let refuting: Vec<&str> = refuting.map(|anomaly| anomaly.name).collect();
    if !refuting.is_empty() {
        page.prose("refuted by", &refuting.join(", "));
    }
    page.blank();
    page.lines.push("Sources".into());
    for source in about.sources {
        page.prose("  -", source);
    }
    page.text()
}

fn of_anomaly(anomaly: &Anomaly) -> String {
    let mut page = Page::default();
    page.lines.push(format!("{}: an anomaly", anomaly.name));
    page.blank();
    page.prose("", anomaly.meaning);
    if let Some(example) = anomaly.example() {
        page.example("Example", example);
    }
    page.blank();
    page.prose("looked for by", anomaly.found_by);
    page.names("refutes", anomaly.refutes.iter().copied());
    let also = |model: &Model| {
        let stronger = anomaly.refutes.iter().any(|weakest| model.implies(*weakest));
        stronger && !anomaly.refutes.contains(model)
    };
    page.names("and so also", Model::ALL.into_iter().filter(also));
    page.text()
}

/// What is printed.
#[derive(Default)]
struct Page {
    lines: Vec<String>,
}

impl Page {
    fn blank(&mut self) {
        self.lines.push(String::new());
    }

    /// A title, and text that is broken into lines beside it.
    fn prose(&mut self, title: &str, text: &str) {
        let indent = if title.is_empty() { 0 } else { title.len().max(13) + 1 };
        let indent = if title.trim_end() == "  -" { 4 } else { indent };
        let mut line = format!("{title:<indent$}");
        let mut empty = true;
        for word in text.split_whitespace() {
            if !empty && line.chars().count() + 1 + word.chars().count() > WIDTH {
                self.lines.push(std::mem::replace(&mut line, " ".repeat(indent)));
                empty = true;
            }
            if !empty {
                line.push(' ');
            }
            line += word;
            empty = false;
        }
        self.lines.push(line);
    }

    fn names(&mut self, title: &str, models: impl Iterator<Item = Model>) {
        let names: Vec<&str> = models.map(Model::name).collect();
        if !names.is_empty() {
            self.prose(title, &names.join(", "));
        }
    }

    fn example(&mut self, title: &str, example: &Example) {
        self.blank();
        self.prose("", &format!("{title}: {}.", example.why));
        self.lines.extend(example.drawing.lines().map(|line| format!("    {line}")));
    }

    fn text(&self) -> String {
        self.lines.join("\n") + "\n"
    }
}

/// One sentence that offers the names nearest to the one that was typed.
fn unknown(typed: &str) -> Failure {
    let models = Model::ALL.iter().flat_map(|m| m.aliases().iter().copied().chain([m.name()]));
    let names = models.chain(anomalies().map(|anomaly| anomaly.name));
    let mut near: Vec<(usize, &str)> = names
        .map(|name| (distance(typed, &name.to_ascii_lowercase()), name))
        .filter(|(distance, name)| *distance <= name.len().max(typed.len()) / 2)
        .collect();
    near.sort_unstable();
    let near: Vec<&str> = near.into_iter().take(NEAR_MAX).map(|(_, name)| name).collect();
    if near.is_empty() {
        return Failure::usage(format!(
            "explain takes the name of a model or an anomaly, not {typed:?}: `keelhaul explain` lists them"
        ));
    }
    Failure::usage(format!(
        "explain takes the name of a model or an anomaly, not {typed:?}: did you mean {}?",
        near.join(", ")
    ))
}

/// How many letters must be put in, taken out or replaced to make one word of the other (Levenshtein).
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, letter) in one.chars().enumerate() {
        let mut before = std::mem::replace(&mut row[0], i + 1);
        for (j, against) in other.iter().enumerate() {
            let replaced = before + usize::from(letter != *against);
            before = row[j + 1];
            row[j + 1] = replaced.min(before + 1).min(row[j] + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("causal", "causal"), 0);
    }

    #[test]
    fn no_line_is_too_long() {
        let pages = Model::ALL.into_iter().map(of_model);
        for page in pages.chain(anomalies().map(of_anomaly)) {
            assert!(page.lines().all(|line| line.chars().count() <= WIDTH + 10), "{page}");
        }
    }
}
