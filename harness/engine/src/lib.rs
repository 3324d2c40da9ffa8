//! Generators, the client trait and the interpreter that runs them.
//!
//! Reading order: a [`generator`] says what shall be done next, the [`interpreter`] turns its answers and the
//! clients' completions into a history, both without clocks or threads; the [`driver`] runs the interpreter
//! against real clients on tokio.

mod client;
pub mod driver;
pub mod generator;
pub mod interpreter;
mod together;

pub use client::{Client, Connect, Invocation, LocalFuture, Outcome};
pub use together::together;
