//! The program as a user meets it.

#![expect(clippy::unwrap_used, reason = "what a test's helper cannot do fails the test")]

mod bad_input;
mod capture;
mod check;
mod common;
mod expect;
mod explain;
mod faults;
mod logs;
mod malformed;
mod run;
