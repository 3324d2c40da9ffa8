//! Decisions drawn from bytes. Where they end, every decision is the first.

/// Bytes that are used up.
pub struct Bytes<'a>(pub &'a [u8]);

impl Bytes<'_> {
    /// The next byte, 0 at the end.
    pub fn next(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    /// The next two bytes.
    pub fn next_u16(&mut self) -> usize {
        usize::from(u16::from_le_bytes([self.next(), self.next()]))
    }

    /// A number below `n`, which is at most 256.
    pub fn below(&mut self, n: usize) -> usize {
        usize::from(self.next()) % n
    }

    /// True so many times of 256.
    pub fn chance(&mut self, of_256: u8) -> bool {
        let byte = self.next();
        !self.0.is_empty() && byte < of_256
    }

    /// One of these.
    pub fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }
}
