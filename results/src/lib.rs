//! What a run leaves behind: its directory, its verdict, its report.
//!
//! [`RunDir`] is the place, [`Judgement`] the answer, [`render()`] the answer as text.

mod judgement;
mod layout;
mod render;
mod run_dir;
#[cfg(test)]
mod samples;
mod text;

pub use judgement::{Judgement, VERDICT_VERSION};
pub use render::{Format, Style, UnknownFormat, last_line, render};
pub use run_dir::{FileError, RunDir};
