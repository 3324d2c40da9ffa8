//! The port that clients talk to.

use std::io;

use nix::sys::socket::{setsockopt, sockopt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::spawn_local;
use tokio::time::{Duration, sleep, timeout};

use crate::inbound::{ConnectionId, Inbound};
use crate::log::Log;
use crate::wire::{
    CLIENT_FRAME_BYTES_MAX, CLIENT_GREETING_BYTES, RequestFrame, check_client_greeting, read_frame,
};

/// How long a client may take to say what it speaks.
const GREETING_PATIENCE: Duration = Duration::from_secs(5);
/// Replies that may wait for a client that does not read them; more are dropped.
const REPLIES_MAX: usize = 1024;
/// How long replies may stay unacknowledged before the client is taken for gone, in milliseconds.
const SILENCE_MS_MAX: u32 = 10_000;
/// When a silent connection is probed, how often, and how many unanswered probes end it: a client behind a cut must not hold a
/// descriptor for ever.
const PROBE: (u32, u32, u32) = (15, 5, 3);
/// Pause after the listener could not accept, for want of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Accepts clients and hands on their requests, for ever.
pub(crate) async fn listen<M: 'static>(
    listener: TcpListener,
    inbound: mpsc::Sender<Inbound<M>>,
    log: Log,
) {
    let mut next = 0;
    loop {
        let Ok((stream, address)) = listener.accept().await else {
            sleep(ACCEPT_PAUSE).await;
            continue;
        };
        next += 1;
        let inbound = inbound.clone();
        spawn_local(async move {
            if let Err(error) = serve(stream, ConnectionId(next), inbound).await
                && error.kind() == io::ErrorKind::InvalidData
            {
                log.line(format_args!("turned away a client at {address}: {error}"));
            }
        });
    }
}

async fn serve<M>(
    stream: TcpStream,
    connection: ConnectionId,
    inbound: mpsc::Sender<Inbound<M>>,
) -> io::Result<()> {
    tune(&stream)?;
    let (mut incoming, outgoing) = stream.into_split();
    let mut greeting = [0; CLIENT_GREETING_BYTES];
    timeout(GREETING_PATIENCE, incoming.read_exact(&mut greeting)).await??;
    check_client_greeting(greeting)
        .map_err(|why| io::Error::new(io::ErrorKind::InvalidData, why))?;
    let (replies, queue) = mpsc::channel(REPLIES_MAX);
    let end = tokio::select! {
        end = receive(incoming, connection, replies, &inbound) => end,
        end = reply(outgoing, queue) => end,
    };
    let _ = inbound.send(Inbound::Closed(connection)).await;
    end
}

fn tune(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let (idle_s, interval_s, count) = PROBE;
    setsockopt(stream, sockopt::TcpUserTimeout, &SILENCE_MS_MAX)?;
    setsockopt(stream, sockopt::KeepAlive, &true)?;
    setsockopt(stream, sockopt::TcpKeepIdle, &idle_s)?;
    setsockopt(stream, sockopt::TcpKeepInterval, &interval_s)?;
    setsockopt(stream, sockopt::TcpKeepCount, &count)?;
    Ok(())
}

async fn receive<M>(
    incoming: OwnedReadHalf,
    connection: ConnectionId,
    replies: mpsc::Sender<Vec<u8>>,
    inbound: &mpsc::Sender<Inbound<M>>,
) -> io::Result<()> {
    let mut incoming = tokio::io::BufReader::new(incoming);
    let mut buffer = Vec::new();
    while let Some(frame) = read_frame(&mut incoming, &mut buffer, CLIENT_FRAME_BYTES_MAX).await? {
        let RequestFrame { correlation, request } = frame;
        let event = Inbound::Request { connection, replies: replies.clone(), correlation, request };
        if inbound.send(event).await.is_err() {
            break;
        }
    }
    Ok(())
}

async fn reply(mut outgoing: OwnedWriteHalf, mut queue: mpsc::Receiver<Vec<u8>>) -> io::Result<()> {
    while let Some(mut frames) = queue.recv().await {
        while let Ok(more) = queue.try_recv() {
            frames.extend_from_slice(&more);
        }
        outgoing.write_all(&frames).await?;
    }
    Ok(())
}
