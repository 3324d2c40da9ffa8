//! One connection to one server, with the session that goes with it; one request at a time.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::errors::CallError;
use super::jute::{Fields, Op, Record};

/// How long connecting and opening a session may take. Opening one is a transaction of the ensemble, so it takes a leader.
const PATIENCE: Duration = Duration::from_millis(900);
/// How long a silent session is wanted to live, in milliseconds: longer than any pause between the requests of a busy client.
const SESSION_MS: i32 = 20_000;
/// The longest answer that is believed; ZooKeeper's own limit of what a node holds is one mebibyte.
const ANSWER_BYTES_MAX: usize = 2 << 20;

/// An open connection with no request in flight.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    xid: i32,
}

impl Connection {
    /// Connects, and opens a session.
    ///
    /// # Errors
    /// [`CallError::Connect`] and [`CallError::NoSession`], both definite.
    pub async fn open(address: SocketAddr) -> Result<Self, CallError> {
        timeout(PATIENCE, Self::greet(address))
            .await
            .unwrap_or_else(|_| Err(CallError::Connect(io::ErrorKind::TimedOut.into())))
    }

    async fn greet(address: SocketAddr) -> Result<Self, CallError> {
        let mut stream = TcpStream::connect(address).await.map_err(CallError::Connect)?;
        stream.set_nodelay(true).map_err(CallError::Connect)?;
        let greeting = Record::connect(SESSION_MS).frame();
        stream.write_all(&greeting).await.map_err(CallError::Connect)?;
        let answer = read_frame(&mut stream).await.map_err(CallError::Connect)?;
        let mut fields = Fields(&answer);
        let (_version, timeout_ms) = (fields.int(), fields.int());
        if timeout_ms.unwrap_or(0) <= 0 {
            return Err(CallError::NoSession);
        }
        Ok(Self { stream, xid: 0 })
    }

    /// The connection again, unless the other side has closed it since it was last used, as it does when a session expires. Sends nothing.
    pub async fn idle(self) -> Option<Self> {
        // The runtime may not know yet what the kernel knows.
        let _ = timeout(Duration::ZERO, self.stream.ready(Interest::READABLE)).await;
        match self.stream.try_read(&mut [0]) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Some(self),
            // An end, an error, or bytes that nobody asked for.
            _ => None,
        }
    }

    /// Sends one request, once, and reads its answer: what follows on the head of it. Only a connection whose answer was read whole comes back.
    ///
    /// # Errors
    /// [`CallError::Lost`] and [`CallError::Garbled`]. What the server answers is in the result.
    pub async fn exchange(
        mut self,
        op: Op,
        fill: impl FnOnce(Record) -> Record,
    ) -> Result<(Answer, Self), CallError> {
        self.xid = self.xid.wrapping_add(1).max(1);
        let request = fill(Record::request(self.xid, op)).frame();
        self.stream.write_all(&request).await.map_err(CallError::Lost)?;
        let bytes = read_frame(&mut self.stream).await.map_err(CallError::Lost)?;
        let mut fields = Fields(&bytes);
        let (xid, _zxid, code) = (fields.int(), fields.long(), fields.int());
        match code {
            Some(code) if xid == Some(self.xid) => {
                Ok((Answer { code, body: fields.0.to_vec() }, self))
            }
            _ => Err(CallError::Garbled),
        }
    }
}

/// What a server answers.
#[derive(Debug)]
pub struct Answer {
    /// 0, or an error.
    pub code: i32,
    /// The record that follows.
    pub body: Vec<u8>,
}

async fn read_frame(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let length = usize::try_from(stream.read_i32().await?).unwrap_or(usize::MAX);
    if length > ANSWER_BYTES_MAX {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes).await?;
    Ok(bytes)
}
