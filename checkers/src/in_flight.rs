//! Invocations and their completions brought together, while a history streams by.

use crate::columns::{ColumnError, NEVER, WordMap};
use crate::verdict::EvidenceOp;

/// When and by whom an operation was done. Positions are indices of history events, so comparing them is comparing real
/// time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    /// Index of the invocation.
    pub call: u32,
    /// Index of the completion, or [`NEVER`] if the outcome is unknown.
    pub ret: u32,
    /// The client process.
    pub process: u32,
    /// Invocation, nanoseconds since the run began.
    pub start_ns: u64,
    /// Completion; 0 if `ret` is [`NEVER`].
    pub end_ns: u64,
}

impl Span {
    /// Whether it is known to have ended.
    pub const fn completed(&self) -> bool {
        self.ret != NEVER
    }

    /// Whether it had ended before the other began.
    pub const fn before(&self, other: &Self) -> bool {
        self.ret < other.call
    }

    /// The operation as evidence shows it.
    pub fn shown(&self, label: impl Into<String>) -> EvidenceOp {
        let completed = self.completed();
        EvidenceOp {
            index: u64::from(self.call),
            completion: completed.then_some(u64::from(self.ret)),
            process: self.process.to_string(),
            node: None,
            label: label.into(),
            start_ns: self.start_ns,
            end_ns: completed.then_some(self.end_ns),
        }
    }
}

/// What is in flight of each process.
#[derive(Debug)]
pub(crate) struct InFlight<T> {
    by_process: WordMap<u32, T>,
    next_index: u64,
}

impl<T> Default for InFlight<T> {
    fn default() -> Self {
        Self { by_process: WordMap::default(), next_index: 0 }
    }
}

impl<T> InFlight<T> {
    /// An operation begins.
    ///
    /// # Errors
    /// If indices do not rise, or the process has an operation in flight.
    pub fn begin(
        &mut self,
        event: (u64, u64, u32),
        what: impl FnOnce(Span) -> T,
    ) -> Result<(), ColumnError> {
        self.try_begin(event, |span| Ok(what(span)))
    }

    /// As [`InFlight::begin`], of one that may be none of the workload's.
    ///
    /// # Errors
    /// As there, and whatever is wrong with it.
    pub fn try_begin(
        &mut self,
        (index, start_ns, process): (u64, u64, u32),
        what: impl FnOnce(Span) -> Result<T, ColumnError>,
    ) -> Result<(), ColumnError> {
        let call = self.position(index)?;
        let what = what(Span { call, ret: NEVER, process, start_ns, end_ns: 0 })?;
        if self.by_process.insert(process, what).is_some() {
            return Err(ColumnError::DoubleInvoke { index, process });
        }
        Ok(())
    }

    /// The operation in flight of the process ends; its index becomes a position.
    ///
    /// # Errors
    /// If indices do not rise, or the process has no operation in flight.
    pub fn end(&mut self, index: u64, process: u32) -> Result<(T, u32), ColumnError> {
        let ret = self.position(index)?;
        let begun =
            self.by_process.remove(&process).ok_or(ColumnError::Orphan { index, process })?;
        Ok((begun, ret))
    }

    /// What never ended.
    pub fn rest(&mut self) -> Vec<T> {
        let mut rest: Vec<(u32, T)> = self.by_process.drain().collect();
        rest.sort_unstable_by_key(|(process, _)| *process);
        rest.into_iter().map(|(_, what)| what).collect()
    }

    fn position(&mut self, index: u64) -> Result<u32, ColumnError> {
        let position = u32::try_from(index).ok().filter(|p| *p < NEVER - 1);
        let position = position.filter(|_| index >= self.next_index);
        self.next_index = index + 1;
        position.ok_or(ColumnError::Index { index })
    }
}
