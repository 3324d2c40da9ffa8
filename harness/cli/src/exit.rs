//! Exit codes: part of the interface, versioned, never renumbered.

use std::fmt;

/// Why the program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Nothing wrong was found, and enough was tested to say so.
    Valid = 0,
    /// A violation was proved.
    Violation = 1,
    /// A checker gave up, and said why.
    Unknown = 2,
    /// Too little happened to prove anything.
    Vacuous = 3,
    /// Nothing was selected to run.
    NothingSelected = 4,
    /// The environment failed: namespaces, deployment, ports, packages, disk.
    Infrastructure = 10,
    /// The store never became healthy.
    StoreUnhealthy = 11,
    /// Something was left behind on a host.
    CleanupIncomplete = 12,
    /// The command line or an input file is wrong.
    Usage = 64,
    /// A bug of keelhaul itself.
    Internal = 70,
    /// Interrupted by the user.
    Interrupted = 130,
}

/// The table that `--help` shows.
pub const TABLE: &str = "\
Exit codes:
    0  valid: the promise was kept, and enough happened to say so
    1  a violation is proved
    2  unknown: a checker gave up, and says why
    3  vacuous: too little happened to prove anything
    4  nothing was selected
   10  infrastructure: namespaces, deployment, ports, packages, disk
   11  the store never became healthy
   12  clean-up incomplete
   64  wrong usage, or an input that is not a history
   70  a bug of keelhaul
  130  interrupted";

impl Exit {
    /// How bad it is when several runs end differently: a proved violation always wins.
    const fn severity(self) -> u8 {
        match self {
            Self::Valid => 0,
            Self::Unknown => 1,
            Self::Vacuous => 2,
            Self::NothingSelected => 3,
            Self::Infrastructure => 4,
            Self::StoreUnhealthy => 5,
            Self::CleanupIncomplete => 6,
            Self::Usage => 7,
            Self::Internal => 8,
            Self::Interrupted => 9,
            Self::Violation => 10,
        }
    }

    /// What another of our processes meant by its exit code. One that is none of ours (a panic, a signal) is a bug.
    #[must_use]
    pub fn of_code(code: u8) -> Self {
        let all = [
            Self::Valid,
            Self::Violation,
            Self::Unknown,
            Self::Vacuous,
            Self::NothingSelected,
            Self::Infrastructure,
            Self::StoreUnhealthy,
            Self::CleanupIncomplete,
            Self::Usage,
            Self::Internal,
            Self::Interrupted,
        ];
        all.into_iter().find(|&exit| exit as u8 == code).unwrap_or(Self::Internal)
    }

    /// The worse of two.
    #[must_use]
    pub const fn worst(self, other: Self) -> Self {
        if other.severity() > self.severity() { other } else { self }
    }
}

impl From<keelhaul_checkers::Verdict> for Exit {
    fn from(verdict: keelhaul_checkers::Verdict) -> Self {
        match verdict {
            keelhaul_checkers::Verdict::Valid => Self::Valid,
            keelhaul_checkers::Verdict::Invalid => Self::Violation,
            keelhaul_checkers::Verdict::Unknown => Self::Unknown,
            keelhaul_checkers::Verdict::Vacuous => Self::Vacuous,
        }
    }
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// A failure that ends the program: a sentence for the user and the code to exit with.
#[derive(Debug)]
pub struct Failure {
    /// The exit code.
    pub exit: Exit,
    /// The sentence, with its causes.
    pub error: anyhow::Error,
}

impl Failure {
    /// A failure with this code.
    pub fn new(exit: Exit, error: impl Into<anyhow::Error>) -> Self {
        Self { exit, error: error.into() }
    }

    /// A mistake of the user.
    pub fn usage(sentence: impl fmt::Display) -> Self {
        Self::new(Exit::Usage, anyhow::anyhow!("{sentence}"))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#}", self.error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_violation_wins_over_everything() {
        let all = [
            Exit::Interrupted,
            Exit::Internal,
            Exit::StoreUnhealthy,
            Exit::Vacuous,
            Exit::Unknown,
            Exit::Valid,
        ];
        for other in all {
            assert_eq!(Exit::Violation.worst(other), Exit::Violation);
            assert_eq!(other.worst(Exit::Violation), Exit::Violation);
        }
        assert_eq!(Exit::Unknown.worst(Exit::Vacuous), Exit::Vacuous);
        assert_eq!(Exit::Internal.worst(Exit::CleanupIncomplete), Exit::Internal);
    }
}
