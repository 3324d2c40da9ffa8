//! A control node that is silent for too long counts as gone.
//!
//! A stream's end says that the control node is gone; a cut network says nothing. So on hosts the agent holds everything it
//! does on a *lease*: each byte that arrives renews it, and once it has run out the agent behaves as at the end of the stream.

use std::io::{self, Read};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// A stream whose bytes renew the lease; once it is dropped, the lease does not run out any more.
pub(crate) struct Leased<R> {
    input: R,
    length: Duration,
    state: Arc<State>,
}

struct State {
    /// When the lease runs out; none once nobody is to watch it.
    ends: Mutex<Option<Instant>>,
    changed: Condvar,
}

impl<R: Read> Leased<R> {
    /// Reads from `input`; `expired` is called, on a thread of its own, when nothing has arrived for `length`.
    pub fn new(
        input: R,
        length: Duration,
        expired: impl FnOnce() + Send + 'static,
    ) -> io::Result<Self> {
        let ends = Mutex::new(Some(Instant::now() + length));
        let state = Arc::new(State { ends, changed: Condvar::new() });
        let watched = Arc::clone(&state);
        thread::Builder::new().name("lease".into()).spawn(move || {
            if watched.runs_out() {
                expired();
            }
        })?;
        Ok(Self { input, length, state })
    }
}

impl State {
    /// Waits until the lease has run out, or nobody is to watch it; whether it was the former.
    fn runs_out(&self) -> bool {
        let mut ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let Some(end) = *ends else { return false };
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return true;
            }
            ends = self.changed.wait_timeout(ends, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn set(&self, ends: Option<Instant>) {
        *self.ends.lock().unwrap_or_else(PoisonError::into_inner) = ends;
    }
}

impl<R: Read> Read for Leased<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.input.read(buffer)?;
        self.state.set(Some(Instant::now() + self.length));
        Ok(count)
    }
}

impl<R> Drop for Leased<R> {
    fn drop(&mut self) {
        self.state.set(None);
        self.state.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{RecvTimeoutError, channel};

    use super::*;

    /// Gives a byte after each pause.
    struct Slow(Vec<Duration>);

    impl Read for Slow {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let Some(pause) = self.0.pop() else { return Ok(0) };
            thread::sleep(pause);
            buffer[0] = 1;
            Ok(1)
        }
    }

    /// Whether the lease ran out, and how much was read.
    fn watch(pauses_ms: &[u64], lease_ms: u64) -> (bool, usize) {
        let pauses = pauses_ms.iter().map(|ms| Duration::from_millis(*ms)).collect();
        let (sender, receiver) = channel();
        let expired = move || sender.send(()).unwrap();
        let mut input =
            Leased::new(Slow(pauses), Duration::from_millis(lease_ms), expired).unwrap();
        let mut read = Vec::new();
        input.read_to_end(&mut read).unwrap();
        drop(input);
        let ran_out = receiver.recv_timeout(Duration::from_secs(5));
        (ran_out != Err(RecvTimeoutError::Disconnected), read.len())
    }

    #[test]
    fn bytes_renew_it_and_silence_ends_it() {
        assert_eq!(watch(&[30; 10], 2_000), (false, 10));
        assert_eq!(watch(&[300], 30), (true, 1));
    }
}
