//! What travels between nodes, and between clients and nodes.
//!
//! Both speak frames over TCP: a little-endian `u32` length, then that many bytes of a postcard-encoded value. A
//! connection begins with a greeting that says what it is for, so that a stray program, an older version, or a node of
//! another cluster is turned away with a reason instead of being misread.
//!
//! A client may have many requests in flight on one connection; replies carry the request's correlation number and come
//! in any order. When a connection ends, the replies that had not been sent are forgotten: the client knows nothing about
//! those requests.

use std::io;

use keelhaul_protocol::api::NodeId;
use keelhaul_protocol::kv;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt};

/// Version of everything in this module; both sides must have the same.
const VERSION: u16 = 2;
const PEER_MAGIC: [u8; 4] = *b"KHpr";
const CLIENT_MAGIC: [u8; 4] = *b"KHcl";

/// The largest frame between nodes, in bytes: far above the batches and snapshot pieces that a protocol makes.
pub(crate) const PEER_FRAME_BYTES_MAX: usize = 64 << 20;
/// The largest frame between client and node, in bytes: one key and one value.
pub const CLIENT_FRAME_BYTES_MAX: usize = 1 << 20;
/// The length of what a client sends first; see [`client_greeting`].
pub const CLIENT_GREETING_BYTES: usize = 6;
/// The length of what a dialing node sends first.
pub(crate) const PEER_GREETING_BYTES: usize = 18;

/// A request on its way to a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestFrame {
    /// Chosen by the client; the reply repeats it.
    pub correlation: u64,
    /// What is asked.
    pub request: kv::Request,
}

/// A reply on its way to a client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplyFrame {
    /// That of the request.
    pub correlation: u64,
    /// The answer.
    pub response: kv::Response,
}

/// What a client sends first on a connection.
#[must_use]
pub fn client_greeting() -> [u8; CLIENT_GREETING_BYTES] {
    let mut greeting = [0; CLIENT_GREETING_BYTES];
    greeting[..4].copy_from_slice(&CLIENT_MAGIC);
    greeting[4..].copy_from_slice(&VERSION.to_le_bytes());
    greeting
}

/// Checks a client's greeting.
///
/// # Errors
/// What is wrong with it.
pub fn check_client_greeting(greeting: [u8; CLIENT_GREETING_BYTES]) -> Result<(), &'static str> {
    if greeting[..4] != CLIENT_MAGIC {
        return Err("it is no keelhaul client");
    }
    check_version(&greeting[4..])
}

fn check_version(version: &[u8]) -> Result<(), &'static str> {
    if version == VERSION.to_le_bytes() { Ok(()) } else { Err("it speaks another version") }
}

/// What a node says of itself when it dials another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PeerGreeting {
    pub(crate) cluster: u64,
    pub(crate) from: NodeId,
    pub(crate) to: NodeId,
}

impl PeerGreeting {
    pub(crate) fn encode(&self) -> [u8; PEER_GREETING_BYTES] {
        let mut bytes = [0; PEER_GREETING_BYTES];
        bytes[..4].copy_from_slice(&PEER_MAGIC);
        bytes[4..6].copy_from_slice(&VERSION.to_le_bytes());
        bytes[6..14].copy_from_slice(&self.cluster.to_le_bytes());
        bytes[14..16].copy_from_slice(&self.from.0.to_le_bytes());
        bytes[16..].copy_from_slice(&self.to.0.to_le_bytes());
        bytes
    }

    pub(crate) fn decode(bytes: [u8; PEER_GREETING_BYTES]) -> Result<Self, &'static str> {
        let [m0, m1, m2, m3, v0, v1, c0, c1, c2, c3, c4, c5, c6, c7, f0, f1, t0, t1] = bytes;
        if [m0, m1, m2, m3] != PEER_MAGIC {
            return Err("it is no keelhaul node");
        }
        check_version(&[v0, v1])?;
        Ok(Self {
            cluster: u64::from_le_bytes([c0, c1, c2, c3, c4, c5, c6, c7]),
            from: NodeId(u16::from_le_bytes([f0, f1])),
            to: NodeId(u16::from_le_bytes([t0, t1])),
        })
    }
}

/// A value as a frame, or `None` if it is larger than `limit` bytes.
#[must_use]
pub fn encode_frame<T: Serialize>(value: &T, limit: usize) -> Option<Vec<u8>> {
    let mut frame = postcard::to_io(value, vec![0; 4])
        .expect("wire types serialise, and a vector takes all bytes");
    let length = frame.len() - 4;
    if length > limit {
        return None;
    }
    frame[..4].copy_from_slice(&u32::try_from(length).ok()?.to_le_bytes());
    Some(frame)
}

/// Reads the next frame into `buffer` and decodes it; `None` when the other side has ended the connection between two frames.
///
/// Not cancel-safe: a future dropped halfway leaves the connection in the middle of a frame.
///
/// # Errors
/// When the connection breaks, or a frame is longer than `limit` or does not decode.
pub async fn read_frame<T: DeserializeOwned>(
    connection: &mut (impl AsyncRead + Unpin),
    buffer: &mut Vec<u8>,
    limit: usize,
) -> io::Result<Option<T>> {
    let mut length = [0; 4];
    match connection.read_exact(&mut length).await {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    }
    let length = u32::from_le_bytes(length) as usize;
    if length > limit {
        return Err(invalid(format!("a frame of {length} bytes, where {limit} is the limit")));
    }
    buffer.resize(length, 0);
    connection.read_exact(buffer).await?;
    postcard::from_bytes(buffer).map(Some).map_err(|_| invalid("a frame that does not decode"))
}

fn invalid(what: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read<T: DeserializeOwned>(bytes: &[u8], limit: usize) -> io::Result<Option<T>> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let mut source = bytes;
        runtime.block_on(read_frame(&mut source, &mut Vec::new(), limit))
    }

    #[test]
    fn a_frame_comes_back_as_it_went() {
        let sent = RequestFrame { correlation: 9, request: kv::Request::Register };
        let frame = encode_frame(&sent, CLIENT_FRAME_BYTES_MAX).expect("small");
        assert_eq!(read(&frame, CLIENT_FRAME_BYTES_MAX).expect("reads"), Some(sent));
        assert_eq!(read::<RequestFrame>(&[], CLIENT_FRAME_BYTES_MAX).expect("ends"), None);
    }

    #[test]
    fn a_frame_beyond_the_limit_is_neither_sent_nor_read() {
        let value = vec![1_u8; 100];
        assert_eq!(encode_frame(&value, 100), None, "the length prefix inside counts too");
        let frame = encode_frame(&value, 101).expect("fits");
        assert!(read::<Vec<u8>>(&frame, 100).is_err());
        assert!(read::<Vec<u8>>(&frame[..50], 101).is_err(), "cut short");
        assert!(read::<Vec<u8>>(&[2, 0, 0, 0, 9, 9], 101).is_err(), "rubbish");
    }

    #[test]
    fn greetings_are_told_apart() {
        let greeting = PeerGreeting { cluster: 77, from: NodeId(3), to: NodeId(1) };
        assert_eq!(PeerGreeting::decode(greeting.encode()), Ok(greeting));
        let mut other = greeting.encode();
        other[4] += 1;
        assert!(PeerGreeting::decode(other).is_err());
        assert_eq!(check_client_greeting(client_greeting()), Ok(()));
        let mut client = client_greeting();
        client[0] = b'X';
        assert!(check_client_greeting(client).is_err());
    }
}
