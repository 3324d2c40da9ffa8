//! Jute, ZooKeeper's way of writing records: numbers in network order, texts and buffers after their length, -1 for none.
//!
//! Source: `zookeeper.jute` in ZooKeeper's own tree, and `BinaryOutputArchive`.

/// What a client asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Op {
    /// Makes a node.
    Create = 1,
    /// Reads a node.
    GetData = 4,
    /// Writes a node that is there.
    SetData = 5,
    /// Catches up with the leader.
    Sync = 9,
}

/// A record that is being written.
#[derive(Debug, Default)]
pub struct Record(Vec<u8>);

impl Record {
    /// The beginning of a request: its number, which its answer repeats, and what it asks.
    #[must_use]
    pub fn request(xid: i32, op: Op) -> Self {
        Self::default().int(xid).int(op as i32)
    }

    /// The greeting that opens a new session, which ends when its client was silent for so long, in milliseconds.
    #[must_use]
    pub fn connect(timeout_ms: i32) -> Self {
        const VERSION: i32 = 0;
        const LAST_ZXID_SEEN: i64 = 0;
        const NO_SESSION: i64 = 0;
        let record = Self::default().int(VERSION).long(LAST_ZXID_SEEN).int(timeout_ms);
        record.long(NO_SESSION).buffer(&[0; 16]).bool(false)
    }

    /// Four bytes.
    #[must_use]
    pub fn int(mut self, value: i32) -> Self {
        self.0.extend(value.to_be_bytes());
        self
    }

    /// Eight bytes.
    #[must_use]
    pub fn long(mut self, value: i64) -> Self {
        self.0.extend(value.to_be_bytes());
        self
    }

    /// One byte.
    #[must_use]
    pub fn bool(mut self, value: bool) -> Self {
        self.0.push(value.into());
        self
    }

    /// Bytes, or a text.
    ///
    /// # Panics
    /// If there are more than fit a length of four bytes.
    #[must_use]
    pub fn buffer(mut self, bytes: &[u8]) -> Self {
        self.0.extend(i32::try_from(bytes.len()).expect("a short text").to_be_bytes());
        self.0.extend(bytes);
        self
    }

    /// The one entry of an access list that lets everybody do everything.
    #[must_use]
    pub fn open_to_all(self) -> Self {
        const ENTRIES: i32 = 1;
        const ALL: i32 = 31;
        self.int(ENTRIES).int(ALL).buffer(b"world").buffer(b"anyone")
    }

    /// The record after its length, as it travels.
    ///
    /// # Panics
    /// If it is longer than fits a length of four bytes.
    #[must_use]
    pub fn frame(self) -> Vec<u8> {
        let mut frame = i32::try_from(self.0.len()).expect("a short record").to_be_bytes().to_vec();
        frame.extend(self.0);
        frame
    }
}

/// A record that is being read. Whatever is not there is `None`.
#[derive(Clone, Copy, Debug)]
pub struct Fields<'a>(pub &'a [u8]);

impl<'a> Fields<'a> {
    /// Four bytes.
    pub fn int(&mut self) -> Option<i32> {
        let (head, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(i32::from_be_bytes(*head))
    }

    /// Eight bytes.
    pub fn long(&mut self) -> Option<i64> {
        let (head, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(i64::from_be_bytes(*head))
    }

    /// Bytes, or a text; no bytes if there is none.
    pub fn buffer(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.int()?.max(0)).ok()?;
        let (head, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(head)
    }

    /// The version in a node's `Stat`, which begins here: how often its data were written.
    pub fn stat_version(&mut self) -> Option<i32> {
        // When it was created and modified, in transactions and in milliseconds.
        for _ in 0..4 {
            self.long()?;
        }
        self.int()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let frame = Record::default().int(-3).long(1 << 40).buffer(b"/k").buffer(b"").frame();
        let mut fields = Fields(&frame);
        assert_eq!(fields.int(), Some(4 + 8 + 6 + 4));
        assert_eq!((fields.int(), fields.long()), (Some(-3), Some(1 << 40)));
        assert_eq!((fields.buffer(), fields.buffer()), (Some(&b"/k"[..]), Some(&b""[..])));
        assert_eq!((fields.int(), fields.long(), fields.buffer()), (None, None, None));
    }

    #[test]
    fn a_buffer_that_is_cut_is_none_and_one_that_is_absent_is_empty() {
        assert_eq!(Fields(&[0, 0, 0, 2, 7]).buffer(), None);
        assert_eq!(Fields(&[0xff; 4]).buffer(), Some(&[][..]));
    }

    /// Byte for byte what ZooKeeper's own client sends.
    #[test]
    fn requests_are_as_zookeeper_writes_them() {
        let read = Record::request(7, Op::GetData).buffer(b"/a").bool(false).frame();
        assert_eq!(read, [0, 0, 0, 15, 0, 0, 0, 7, 0, 0, 0, 4, 0, 0, 0, 2, b'/', b'a', 0]);
        assert_eq!(Record::connect(4000).frame().len(), 4 + 45);
    }
}
