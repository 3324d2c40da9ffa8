//! What a run leaves behind: its directory, its verdict, its report.
//!
//! [`RunDir`] is the place, [`Judgement`] the answer, [`render()`] the answer as text, and [`write_report`] the page
//! that shows it.
//!
//! Nothing here decides: a page or a plot that fails never changes a verdict.

mod judgement;
mod layout;
mod page;
mod plot;
mod render;
mod run_dir;
#[cfg(test)]
mod samples;
mod stats;
mod story;
mod svg;
mod text;

pub use judgement::{Judgement, VERDICT_VERSION};
pub use page::{Rendered, Report, render_report, write_report};
pub use render::{Format, Style, UnknownFormat, last_line, render};
pub use run_dir::{FileError, RunDir};
pub use stats::{Counts, Fault, Summary};
pub use story::{Happened, Story};
