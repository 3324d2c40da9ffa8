//! Building and reading messages. Everything is in the machine's byte order unless a name says `be`.

/// Length of a message's header.
const HEADER_BYTES: usize = 16;
/// Length of an attribute's header.
const ATTRIBUTE_BYTES: usize = 4;
/// Marks an attribute that holds attributes.
const NLA_F_NESTED: u16 = 1 << 15;
/// The bits of an attribute's kind that are the kind.
const NLA_TYPE_MASK: u16 = 0x3fff;
/// Messages and attributes start at multiples of this.
const ALIGN: usize = 4;

fn aligned(bytes: usize) -> usize {
    bytes.div_ceil(ALIGN) * ALIGN
}

/// A message under construction.
#[derive(Clone, Debug)]
pub struct Message {
    bytes: Vec<u8>,
}

impl Message {
    /// A message of this kind and flags; `NLM_F_REQUEST` is implied.
    #[must_use]
    pub fn new(kind: u16, flags: u16) -> Self {
        let flags = flags | libc::NLM_F_REQUEST as u16;
        let mut bytes = vec![0; 4];
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(flags.to_ne_bytes());
        bytes.resize(HEADER_BYTES, 0);
        Self { bytes }
    }

    /// Appends the fixed part, or a piece of it.
    #[must_use]
    pub fn fixed(mut self, bytes: &[u8]) -> Self {
        self.bytes.extend(bytes);
        self
    }

    /// Appends an attribute.
    #[must_use]
    pub fn with(mut self, kind: u16, value: &[u8]) -> Self {
        let length = u16::try_from(ATTRIBUTE_BYTES + value.len())
            .expect("an attribute is shorter than 64 KiB");
        self.bytes.extend(length.to_ne_bytes());
        self.bytes.extend(kind.to_ne_bytes());
        self.bytes.extend(value);
        self.bytes.resize(aligned(self.bytes.len()), 0);
        self
    }

    /// Appends a number.
    #[must_use]
    pub fn with_u32(self, kind: u16, value: u32) -> Self {
        self.with(kind, &value.to_ne_bytes())
    }

    /// Appends a number in network byte order, as nf_tables wants all of its numbers.
    #[must_use]
    pub fn with_be32(self, kind: u16, value: u32) -> Self {
        self.with(kind, &value.to_be_bytes())
    }

    /// Appends a string with its final zero.
    #[must_use]
    pub fn with_str(self, kind: u16, value: &str) -> Self {
        let mut bytes = value.as_bytes().to_vec();
        bytes.push(0);
        self.with(kind, &bytes)
    }

    /// Appends an attribute that holds what `inner` appends.
    #[must_use]
    pub fn nest(mut self, kind: u16, inner: impl FnOnce(Self) -> Self) -> Self {
        let start = self.bytes.len();
        self = inner(self.with(kind | NLA_F_NESTED, &[]));
        let length =
            u16::try_from(self.bytes.len() - start).expect("an attribute is shorter than 64 KiB");
        self.bytes[start..start + 2].copy_from_slice(&length.to_ne_bytes());
        self
    }

    /// The kind given to [`Message::new`].
    pub(super) fn kind(&self) -> u16 {
        u16::from_ne_bytes([self.bytes[4], self.bytes[5]])
    }

    /// The finished bytes with this sequence number and these further flags.
    pub(super) fn finish(mut self, sequence: u32, flags: u16) -> Vec<u8> {
        let length = u32::try_from(self.bytes.len()).expect("a message is shorter than 4 GiB");
        self.bytes[..4].copy_from_slice(&length.to_ne_bytes());
        let flags = u16::from_ne_bytes([self.bytes[6], self.bytes[7]]) | flags;
        self.bytes[6..8].copy_from_slice(&flags.to_ne_bytes());
        self.bytes[8..12].copy_from_slice(&sequence.to_ne_bytes());
        self.bytes.resize(aligned(self.bytes.len()), 0);
        self.bytes
    }
}

/// The attributes in a piece of a message, in order, as `(kind, value)`. Ends at the first that is malformed.
#[derive(Clone, Copy, Debug)]
pub struct Attributes<'a>(pub &'a [u8]);

impl<'a> Attributes<'a> {
    /// The value of the first attribute of this kind.
    #[must_use]
    pub fn get(self, kind: u16) -> Option<&'a [u8]> {
        { self }.find(|&(k, _)| k == kind).map(|(_, value)| value)
    }

    /// The attributes inside the first attribute of this kind; none when it is absent.
    #[must_use]
    pub fn nested(self, kind: u16) -> Self {
        Self(self.get(kind).unwrap_or_default())
    }

    /// A string without its final zero.
    #[must_use]
    pub fn str(self, kind: u16) -> Option<&'a str> {
        let value = self.get(kind)?;
        std::str::from_utf8(value.strip_suffix(&[0]).unwrap_or(value)).ok()
    }

    /// A number in network byte order.
    #[must_use]
    pub fn be64(self, kind: u16) -> Option<u64> {
        Some(u64::from_be_bytes(self.get(kind)?.try_into().ok()?))
    }
}

impl<'a> Iterator for Attributes<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let header = self.0.get(..ATTRIBUTE_BYTES)?;
        let length = usize::from(u16::from_ne_bytes([header[0], header[1]]));
        let kind = u16::from_ne_bytes([header[2], header[3]]) & NLA_TYPE_MASK;
        let value = self.0.get(ATTRIBUTE_BYTES..length)?;
        self.0 = self.0.get(aligned(length)..).unwrap_or_default();
        Some((kind, value))
    }
}

/// A message that came.
#[derive(Clone, Copy, Debug)]
pub(super) struct Incoming<'a> {
    pub kind: u16,
    pub sequence: u32,
    /// What follows the header.
    pub payload: &'a [u8],
}

/// The messages in a datagram, in order. Ends at the first that is malformed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Messages<'a>(pub &'a [u8]);

impl<'a> Iterator for Messages<'a> {
    type Item = Incoming<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        let header = self.0.get(..HEADER_BYTES)?;
        let word = |at: usize| {
            u32::from_ne_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
        };
        let length = word(0) as usize;
        let kind = u16::from_ne_bytes([header[4], header[5]]);
        let payload = self.0.get(HEADER_BYTES..length)?;
        self.0 = self.0.get(aligned(length)..).unwrap_or_default();
        Some(Incoming { kind, sequence: word(8), payload })
    }
}

#[cfg(test)]
mod tests {
    use super::{Attributes, HEADER_BYTES, Message};

    #[test]
    fn attributes_are_read_as_written() {
        let bytes = Message::new(16, 0)
            .fixed(&[0; 4])
            .with_str(3, "kh0")
            .nest(18, |m| m.with(1, b"veth").nest(2, |m| m.with_be32(7, 9)))
            .finish(5, 4);
        assert_eq!(bytes.len() as u32, u32::from_ne_bytes(bytes[..4].try_into().unwrap()));
        let all = Attributes(&bytes[HEADER_BYTES + 4..]);
        assert_eq!(all.str(3), Some("kh0"));
        assert_eq!(all.nested(18).get(1), Some(&b"veth"[..]));
        assert_eq!(all.nested(18).nested(2).get(7), Some(&9u32.to_be_bytes()[..]));
        assert_eq!(all.get(4), None);
    }

    #[test]
    fn malformed_attributes_end_the_list() {
        for bytes in [&[][..], &[4], &[0, 0, 1, 0], &[9, 0, 1, 0, 5], &[3, 0, 1, 0]] {
            assert_eq!(Attributes(bytes).next(), None, "{bytes:?}");
        }
    }
}
