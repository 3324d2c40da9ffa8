//! One connection to one node.
//!
//! It is read without waiting and keeps its place in the middle of a frame, so that a client can listen to all its connections
//! at once and be dropped at any moment.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use keelhaul_server::wire::{
    CLIENT_FRAME_BYTES_MAX, ReplyFrame, RequestFrame, client_greeting, encode_frame,
};
use tokio::io::{AsyncRead, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::net::Line;

/// How long connecting, and handing over a request, may take. On the networks this is for, both take well under a
/// millisecond; waiting for the kernel's first repetition, after a second, would only make a cut look longer than it is.
pub const PATIENCE: Duration = Duration::from_millis(400);

/// A connection to a node's client port.
#[derive(Debug)]
pub struct Link {
    stream: TcpStream,
    /// What was read of replies that are not whole yet.
    received: Vec<u8>,
}

impl Link {
    /// Connects and greets.
    ///
    /// # Errors
    /// When there is no connection within [`PATIENCE`].
    pub async fn open(address: SocketAddr) -> io::Result<Self> {
        let open = async {
            let mut stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            stream.write_all(&client_greeting()).await?;
            Ok(Self { stream, received: Vec::new() })
        };
        timeout(PATIENCE, open).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }

    fn take_reply(&mut self) -> io::Result<Option<ReplyFrame>> {
        let Some((head, rest)) = self.received.split_first_chunk::<4>() else { return Ok(None) };
        let length = u32::from_le_bytes(*head) as usize;
        if length > 2 * CLIENT_FRAME_BYTES_MAX {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let Some(payload) = rest.get(..length) else { return Ok(None) };
        let reply = postcard::from_bytes(payload)
            .map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
        self.received.drain(..4 + length);
        Ok(Some(reply))
    }
}

impl Line for Link {
    async fn send(&mut self, request: RequestFrame) -> io::Result<()> {
        let frame = encode_frame(&request, CLIENT_FRAME_BYTES_MAX).ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidInput, "the request is too large")
        })?;
        timeout(PATIENCE, self.stream.write_all(&frame))
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }

    fn poll_reply(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<ReplyFrame>> {
        loop {
            if let Some(reply) = self.take_reply()? {
                return Poll::Ready(Ok(reply));
            }
            let mut space = [0; 4096];
            let mut space = ReadBuf::new(&mut space);
            ready!(Pin::new(&mut self.stream).poll_read(cx, &mut space))?;
            if space.filled().is_empty() {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
            self.received.extend_from_slice(space.filled());
        }
    }
}
