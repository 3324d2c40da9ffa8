//! One HTTP/1.1 connection that never does anything by itself.
//!
//! An ordinary HTTP client hides what a correctness test must see: it pools connections, dials again, follows
//! redirects, and resends a request whose connection broke. This one holds one socket and drives it only while a
//! caller waits:
//!
//! * No task runs in the background. hyper's connection future lives inside [`Connection`] and is polled only by
//!   [`Connection::exchange`] and [`Connection::idle`]. Drop the future of an exchange and its connection goes with
//!   it, so a request that was not yet written never will be.
//! * What the kernel has taken is out of hand: a member that was paused finds the request when it is resumed, long after
//!   the client gave it up. That is no accident to prevent but the late effect that an info stands for, and worth
//!   testing; so the socket is closed in the ordinary way, without throwing away what is under way.
//! * An error says whether the request can have left: [`HttpError::is_unsent`].

use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use thiserror::Error;
use tokio::net::TcpStream;

/// Longest response body accepted, in bytes. etcd's answers to single-key requests take a few hundred.
const BODY_BYTES_MAX: usize = 1 << 20;

/// Why an exchange brought no response.
#[derive(Debug, Error)]
pub enum HttpError {
    /// The TCP connection could not be made.
    #[error("failed to connect")]
    Connect(#[source] io::Error),
    /// Nobody answered the attempt to connect in time.
    #[error("failed to connect within {} ms", .0.as_millis())]
    ConnectTimeout(Duration),
    /// The connection ended while the request was still wholly on this side.
    #[error("the connection ended before the request was written")]
    Unsent(#[source] hyper::Error),
    /// The connection ended after a part of the request, or all of it, may have left.
    #[error("the connection ended before the response")]
    Lost(#[source] hyper::Error),
    /// The response began and did not end.
    #[error("the response was cut short")]
    Cut(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The response is longer than any that etcd gives.
    #[error("the response is longer than {BODY_BYTES_MAX} bytes")]
    TooLong,
}

impl HttpError {
    /// Whether it is certain that no byte of the request left this process.
    #[must_use]
    pub const fn is_unsent(&self) -> bool {
        match self {
            Self::Connect(_) | Self::ConnectTimeout(_) | Self::Unsent(_) => true,
            Self::Lost(_) | Self::Cut(_) | Self::TooLong => false,
        }
    }
}

/// A whole response.
#[derive(Clone, Debug)]
pub struct Reply {
    /// Its status line.
    pub status: StatusCode,
    /// Its body.
    pub body: Bytes,
}

/// hyper's side of a connection: it moves bytes when polled, and ends when the connection does.
type Driver = Pin<Box<dyn Future<Output = hyper::Result<()>>>>;

/// An open connection with no request in flight.
pub struct Connection {
    address: SocketAddr,
    /// The same socket once more, to look at without hyper.
    socket: std::net::TcpStream,
    sender: SendRequest<Full<Bytes>>,
    driver: Option<Driver>,
}

impl Connection {
    /// Connects to `address`, giving up after `timeout`. Sends nothing.
    ///
    /// # Errors
    /// [`HttpError::Connect`] and [`HttpError::ConnectTimeout`].
    pub async fn open(address: SocketAddr, timeout: Duration) -> Result<Self, HttpError> {
        let socket = tokio::time::timeout(timeout, TcpStream::connect(address))
            .await
            .map_err(|_| HttpError::ConnectTimeout(timeout))?
            .map_err(HttpError::Connect)?;
        socket.set_nodelay(true).map_err(HttpError::Connect)?;
        let (socket, twin) = twice(socket).map_err(HttpError::Connect)?;
        let (sender, driver) =
            http1::handshake(TokioIo::new(twin)).await.map_err(HttpError::Unsent)?;
        Ok(Self { address, socket, sender, driver: Some(Box::pin(driver)) })
    }

    /// The connection again, unless the other side has closed it since it was last used. Sends nothing.
    ///
    /// The kernel is asked, and not the runtime, which learns of the end only at its next turn: a request that is
    /// written to a connection whose peer was killed is lost, and its outcome unknown for nothing.
    pub async fn idle(mut self) -> Option<Self> {
        match self.socket.peek(&mut [0]) {
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
            // An end, an error, or bytes that nobody asked for.
            _ => return None,
        }
        let driver = &mut self.driver;
        let ready = {
            let mut ready = pin!(self.sender.ready());
            poll_fn(|cx| poll_both(driver, cx, ready.as_mut())).await
        };
        ready.ok().map(|()| self)
    }

    /// Posts `body`, which is JSON, to `path`, once. Only a connection whose response was read whole comes back.
    ///
    /// # Errors
    /// Any [`HttpError`] but those of connecting. A response with an error status is no error here.
    pub async fn exchange(
        mut self,
        path: &'static str,
        body: Vec<u8>,
    ) -> Result<(Reply, Self), HttpError> {
        let reply = {
            let sent = self.sender.try_send_request(post(self.address, path, body));
            let driver = &mut self.driver;
            let mut reply = pin!(async move {
                let response = sent.await.map_err(|mut e| match e.take_message() {
                    Some(_) => HttpError::Unsent(e.into_error()),
                    None => HttpError::Lost(e.into_error()),
                })?;
                collect(response).await
            });
            poll_fn(|cx| poll_both(driver, cx, reply.as_mut())).await?
        };
        Ok((reply, self))
    }
}

/// Polls the connection first, so that whatever it has read is there for `wanted`. Once it has ended it is dropped,
/// which answers every request that still waits.
fn poll_both<F: Future>(
    driver: &mut Option<Driver>,
    cx: &mut Context<'_>,
    wanted: Pin<&mut F>,
) -> Poll<F::Output> {
    if let Some(running) = driver
        && running.as_mut().poll(cx).is_ready()
    {
        *driver = None;
    }
    wanted.poll(cx)
}

fn twice(socket: TcpStream) -> io::Result<(std::net::TcpStream, TcpStream)> {
    let socket = socket.into_std()?;
    let twin = TcpStream::from_std(socket.try_clone()?)?;
    Ok((socket, twin))
}

fn post(address: SocketAddr, path: &'static str, body: Vec<u8>) -> Request<Full<Bytes>> {
    Request::builder()
        .method(Method::POST)
        .uri(path)
        .header(HOST, address.to_string())
        .header(CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from(body)))
        .expect("a constant path and a socket address make a valid request")
}

async fn collect(response: Response<Incoming>) -> Result<Reply, HttpError> {
    let (head, body) = response.into_parts();
    let body = Limited::new(body, BODY_BYTES_MAX).collect().await.map_err(|e| {
        if e.is::<LengthLimitError>() { HttpError::TooLong } else { HttpError::Cut(e) }
    })?;
    Ok(Reply { status: head.status, body: body.to_bytes() })
}
