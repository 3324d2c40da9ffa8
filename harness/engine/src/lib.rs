//! Generators, the client trait and the interpreter that runs them.

mod client;

pub use client::{Client, Connect, Invocation, LocalFuture, Outcome};
