//! One line of what was tried on a machine.

use std::io;

use serde::{Deserialize, Serialize};

/// One line of the table: what was tried, and how it went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// What was tried, as a noun: "user namespaces".
    pub what: String,
    /// Whether it works.
    pub ok: bool,
    /// What was seen.
    pub detail: String,
    /// What to do about it, one sentence; empty when it works.
    pub remedy: String,
}

impl Finding {
    /// What was seen, or what the system said and what to do about it.
    #[must_use]
    pub fn new(what: &str, result: Result<String, (io::Error, String)>) -> Self {
        let what = what.into();
        match result {
            Ok(detail) => Self { what, ok: true, detail, remedy: String::new() },
            Err((error, remedy)) => Self { what, ok: false, detail: error.to_string(), remedy },
        }
    }

    /// The same for people who meet it in the middle of something else.
    #[must_use]
    pub fn sentence(&self) -> String {
        format!("{}: {}; {}", self.what, self.detail, self.remedy)
    }

    /// One line, for the way from one process to another.
    #[must_use]
    pub fn to_line(&self) -> String {
        let plain = |text: &str| text.replace(['\t', '\n'], " ");
        let ok = if self.ok { "ok" } else { "no" };
        [&plain(&self.what), ok, &plain(&self.detail), &plain(&self.remedy)].join("\t")
    }

    /// What [`Finding::to_line`] wrote.
    #[must_use]
    pub fn from_line(line: &str) -> Option<Self> {
        let mut fields = line.split('\t').map(str::to_owned);
        let (what, ok) = (fields.next()?, fields.next()? == "ok");
        Some(Self { what, ok, detail: fields.next()?, remedy: fields.next()? })
    }
}

#[cfg(test)]
mod tests {
    use super::Finding;

    #[test]
    fn a_finding_survives_its_line() {
        let finding = Finding {
            what: "tmpfs".into(),
            ok: false,
            detail: "no\tway\n".into(),
            remedy: "be root".into(),
        };
        let back = Finding::from_line(&finding.to_line()).unwrap();
        assert_eq!(back, Finding { detail: "no way ".into(), ..finding });
        assert_eq!(Finding::from_line("tmpfs\tok"), None);
    }
}
