//! Frames: what travels over the one byte stream between a control node and an agent.
//!
//! A *frame* is its length (four bytes, little-endian) and so many bytes. The first frame each way is a *hello*: the eight bytes
//! `keelhaul` and the protocol version (four bytes, little-endian); this much is the same in every version. All others are
//! postcard: a [`Call`] one way, an [`Answer`] the other, joined by an id, in any order.

use std::io::{self, Read, Write};

use serde::{Deserialize, Serialize};

use crate::request::{Reply, Request};

/// Version of the frames and of everything in them; an agent of another version refuses to serve.
pub const PROTOCOL_VERSION: u32 = 6;
/// Longest frame: room for a file chunk or two captured outputs. More is a broken stream.
pub const FRAME_BYTES_MAX: u32 = 8 * 1024 * 1024;
const MAGIC: &[u8; 8] = b"keelhaul";

/// A request and the number its answer will carry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// Chosen by the control node, never used twice on a stream.
    pub id: u64,
    /// What is asked.
    pub request: Request,
}

/// An answer and the number of its request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// As in the [`Call`].
    pub id: u64,
    /// What is answered.
    pub reply: Reply,
}

/// Why a stream cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// The stream itself.
    #[error("exchange frames")]
    Io(#[from] io::Error),
    /// The bytes are no message of ours.
    #[error("decode a frame")]
    Malformed(#[from] postcard::Error),
    /// The other side does not begin as an agent or a control node does.
    #[error("recognise the other side: no keelhaul hello")]
    NoHello,
    /// The other side speaks another version.
    #[error("speak protocol version {theirs}: this is version {PROTOCOL_VERSION}")]
    Version {
        /// What it speaks.
        theirs: u32,
    },
}

/// The payload of the first frame.
#[must_use]
pub fn hello() -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    bytes.extend(PROTOCOL_VERSION.to_le_bytes());
    bytes
}

/// Whether the other side's first frame lets us go on.
pub fn check_hello(payload: &[u8]) -> Result<(), WireError> {
    let version = payload
        .strip_prefix(MAGIC)
        .and_then(|rest| rest.first_chunk::<4>())
        .ok_or(WireError::NoHello)?;
    match u32::from_le_bytes(*version) {
        PROTOCOL_VERSION => Ok(()),
        theirs => Err(WireError::Version { theirs }),
    }
}

/// A message as the payload of a frame.
pub fn encode<T: Serialize>(message: &T) -> Result<Vec<u8>, WireError> {
    Ok(postcard::to_stdvec(message)?)
}

/// A message from the payload of a frame.
pub fn decode<'a, T: Deserialize<'a>>(payload: &'a [u8]) -> Result<T, WireError> {
    Ok(postcard::from_bytes(payload)?)
}

/// Length prefix and payload in one piece.
pub fn frame(payload: &[u8]) -> Result<Vec<u8>, WireError> {
    let length = checked_length(u32::try_from(payload.len()).unwrap_or(u32::MAX))?;
    let mut bytes = length.to_le_bytes().to_vec();
    bytes.extend(payload);
    Ok(bytes)
}

/// The length, if a frame may be that long.
pub fn checked_length(length: u32) -> Result<u32, WireError> {
    if length <= FRAME_BYTES_MAX {
        return Ok(length);
    }
    Err(io::Error::new(
        io::ErrorKind::InvalidData,
        format!("a frame of {length} bytes is longer than allowed"),
    )
    .into())
}

/// Writes one frame and flushes.
pub(crate) fn write_frame(output: &mut impl Write, payload: &[u8]) -> Result<(), WireError> {
    output.write_all(&frame(payload)?)?;
    Ok(output.flush()?)
}

/// Reads one frame's payload; `None` at the end of the stream between two frames.
pub(crate) fn read_frame(input: &mut impl Read) -> Result<Option<Vec<u8>>, WireError> {
    let mut length = [0; 4];
    let first = loop {
        match input.read(&mut length) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            other => break other?,
        }
    };
    if first == 0 {
        return Ok(None);
    }
    input.read_exact(&mut length[first..])?;
    let mut payload = vec![0; checked_length(u32::from_le_bytes(length))? as usize];
    input.read_exact(&mut payload)?;
    Ok(Some(payload))
}

#[cfg(test)]
mod tests {
    use super::{Call, WireError, check_hello, decode, encode, frame, hello, read_frame};
    use crate::request::Request;

    #[test]
    fn a_call_survives_the_wire() {
        let call = Call { id: 7, request: Request::Kill { name: "raft".into() } };
        let bytes = frame(&encode(&call).unwrap()).unwrap();
        let payload = read_frame(&mut &bytes[..]).unwrap().unwrap();
        assert_eq!(decode::<Call>(&payload).unwrap(), call);
    }

    #[test]
    fn streams_end_between_frames_only() {
        assert!(read_frame(&mut &[][..]).unwrap().is_none());
        for broken in [&[1][..], &[2, 0, 0, 0, 9], &[255, 255, 255, 255, 0]] {
            assert!(matches!(read_frame(&mut { broken }), Err(WireError::Io(_))), "{broken:?}");
        }
    }

    #[test]
    fn another_version_is_refused() {
        assert!(check_hello(&hello()).is_ok());
        let mut other = hello();
        other[8] += 1;
        assert!(
            matches!(check_hello(&other), Err(WireError::Version { theirs }) if theirs != super::PROTOCOL_VERSION)
        );
        assert!(matches!(check_hello(b"SSH-2.0-OpenSSH"), Err(WireError::NoHello)));
    }
}
