//! What a person sees while a run goes on.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use keelhaul_engine::driver::{Progress, Status};
use keelhaul_history::{Kind, Op, Value};

/// Seconds between two lines where the output is not a terminal.
const PLAIN_EVERY: Duration = Duration::from_secs(5);

/// Prints progress to standard error: one line that renews itself on a terminal, a plain line now and then elsewhere.
pub struct Printer {
    terminal: bool,
    quiet: bool,
    time_limit: Duration,
    last: Status,
    last_plain: Duration,
    line_open: bool,
    in_effect: Vec<(i64, String)>,
}

impl Printer {
    /// `quiet`: nothing at all, since a machine reads the output.
    pub fn new(time_limit: Duration, quiet: bool) -> Self {
        let terminal = std::io::stderr().is_terminal() && std::env::var_os("CI").is_none();
        Self {
            terminal,
            quiet,
            time_limit,
            last: Status::default(),
            last_plain: Duration::ZERO,
            line_open: false,
            in_effect: Vec::new(),
        }
    }

    /// A line that stays.
    pub fn say(&mut self, line: &str) {
        if self.quiet {
            return;
        }
        self.close_line();
        eprintln!("{line}");
    }

    /// Takes what the driver reports.
    pub fn observe(&mut self, progress: &Progress<'_>) {
        match progress {
            Progress::Tick(status) => self.tick(status),
            Progress::Nemesis(op) => self.nemesis(op),
            Progress::Log(line) => self.say(line),
        }
    }

    /// Removes the line that renews itself: whatever is printed next takes its place.
    pub fn close_line(&mut self) {
        if std::mem::take(&mut self.line_open) {
            eprint!("\r\x1b[2K");
        }
    }

    fn tick(&mut self, status: &Status) {
        if self.quiet {
            return;
        }
        if self.terminal {
            let span = status.elapsed.saturating_sub(self.last.elapsed).as_secs_f64();
            if span < 0.45 {
                return;
            }
            let faults: Vec<&str> =
                self.in_effect.iter().map(|(_, label)| label.as_str()).collect();
            let parts =
                std::iter::once(self.counts(status)).chain(faults.into_iter().map(str::to_owned));
            let line = parts.collect::<Vec<_>>().join(" · ");
            eprint!("\r\x1b[2K{}", clip(&line, terminal_columns()));
            // A terminal that is gone does not end the run.
            drop(std::io::stderr().flush());
            self.line_open = true;
            self.last = *status;
        } else if status.elapsed >= self.last_plain + PLAIN_EVERY {
            eprintln!("{}", self.counts(status));
            self.last = *status;
            self.last_plain = status.elapsed;
        }
    }

    fn counts(&self, status: &Status) -> String {
        let span = status.elapsed.saturating_sub(self.last.elapsed).as_secs_f64().max(0.001);
        let rate = (status.ok.saturating_sub(self.last.ok)) as f64 / span;
        let left = self.time_limit.saturating_sub(status.elapsed);
        format!(
            "{:>5.1}s  {rate:>6.0} ok/s  ok {} fail {} info {}  {:.0}s left",
            status.elapsed.as_secs_f64(),
            status.ok,
            status.fail,
            status.info,
            left.as_secs_f64()
        )
    }

    fn nemesis(&mut self, op: &Op) {
        let id = op.value.get("fault").and_then(Value::as_int);
        let at = Duration::from_nanos(op.time_ns).as_secs_f64();
        match (op.f.as_str(), op.kind) {
            ("inject", Kind::Ok) => {
                let label =
                    op.value.get("label").and_then(Value::as_str).unwrap_or("a fault").to_owned();
                self.say(&format!("{at:>5.1}s  {label}"));
                self.in_effect.extend(id.map(|id| (id, label)));
            }
            ("heal", Kind::Ok) => {
                if let Some(at_index) =
                    self.in_effect.iter().position(|(fault, _)| Some(*fault) == id)
                {
                    let (_, label) = self.in_effect.remove(at_index);
                    self.say(&format!("{at:>5.1}s  healed {label}"));
                }
            }
            ("inject" | "verify" | "heal" | "verify-healed", Kind::Fail | Kind::Info) => {
                let error = op.error.as_deref().unwrap_or("nobody knows why");
                self.say(&format!("{at:>5.1}s  {} of fault {}: {error}", op.f, id.unwrap_or(-1)));
            }
            ("await-healthy", Kind::Invoke) => {
                self.say(&format!("{at:>5.1}s  all healed; waiting for the store"));
            }
            _ => {}
        }
    }
}

fn clip(line: &str, columns: usize) -> String {
    line.chars().take(columns.saturating_sub(1)).collect()
}

fn terminal_columns() -> usize {
    std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok()).unwrap_or(100)
}
