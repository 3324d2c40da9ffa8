//! Standard output, which may go away: `keelhaul check … | head`.
//!
//! `print!` and `println!` of this crate are the ones below. Those of the standard library panic where the reader has
//! gone; here the work goes on, since its exit code is the answer. That nothing can be written for another reason, a
//! full disk say, is told at the end. `eprint!` and `eprintln!` do not panic either: a store that ends because its disk is full may find
//! no room for its last words, and must still end with the right code.

use std::fmt;
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::OnceLock;

use crate::exit::Exit;

/// The first error of writing; after it nothing more is written.
static FAILED: OnceLock<io::Error> = OnceLock::new();

/// Writes to standard output, if that is still there.
pub fn write(text: fmt::Arguments<'_>) {
    if FAILED.get().is_none()
        && let Err(error) = io::stdout().lock().write_fmt(text)
    {
        let _ = FAILED.set(error);
    }
}

/// Writes to standard error; nobody is left to tell if that cannot be.
pub fn complain(text: fmt::Arguments<'_>) {
    let _ = io::stderr().lock().write_fmt(text);
}

/// Ends the program: as `exit` says, unless what was to be printed could not be.
pub fn end(exit: Exit) -> ExitCode {
    if let Err(error) = io::stdout().lock().flush() {
        let _ = FAILED.set(error);
    }
    match FAILED.get() {
        Some(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            eprintln!("error: failed to write to standard output: {error}");
            exit.worst(Exit::Infrastructure).into()
        }
        _ => exit.into(),
    }
}

macro_rules! print {
    ($($text:tt)*) => { $crate::out::write(format_args!($($text)*)) };
}

macro_rules! println {
    ($($text:tt)*) => { $crate::out::write(format_args!("{}\n", format_args!($($text)*))) };
}

macro_rules! eprint {
    ($($text:tt)*) => { $crate::out::complain(format_args!($($text)*)) };
}

macro_rules! eprintln {
    () => { $crate::out::complain(format_args!("\n")) };
    ($($text:tt)*) => { $crate::out::complain(format_args!("{}\n", format_args!($($text)*))) };
}
