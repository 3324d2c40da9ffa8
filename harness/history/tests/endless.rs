//! Files that never end, or hold one line of a hundred megabytes, are refused after the bytes that one op may take.

use std::io::{self, Read};

use keelhaul_history::import::{Format, Options, open_all};
use keelhaul_history::{LINE_BYTES_MAX, Problem, ReadError};

/// Counts what is read.
struct Counted<R> {
    inner: R,
    read: usize,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buf)?;
        self.read += read;
        Ok(read)
    }
}

#[test]
fn a_line_of_any_length_takes_bounded_memory() {
    const HEAD: [(Format, &str, u64); 5] = [
        (Format::Keelhaul, "{\"keelhaul\":1}\n{\"index\":0,\"value\":\"", 2),
        (Format::Edn, "{:process 0 :value \"", 1),
        (Format::Json, "{\"process\":0,\"value\":\"", 1),
        (Format::JepsenText, "0 :invoke :write \"", 1),
        (Format::PorcupineEtcd, "INFO - 0 :invoke :write \"", 1),
    ];
    for (format, head, expected) in HEAD {
        let rest = io::repeat(b'x').take(100 << 20);
        let mut input = Counted { inner: head.as_bytes().chain(rest), read: 0 };
        let error = open_all(&mut input, Some(format), Options::default()).unwrap_err();
        let ReadError::Malformed { line, problem } = error else { panic!("{format}: {error}") };
        assert_eq!(
            (line, problem),
            (expected, Problem::LineTooLong { max: LINE_BYTES_MAX }),
            "{format}"
        );
        // A buffer is filled in steps that double.
        assert!(input.read <= 2 * LINE_BYTES_MAX + (1 << 20), "{format}: {}", input.read);
    }
}
