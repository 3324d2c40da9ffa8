//! Messages between nodes, best effort.
//!
//! Every node dials every other one and sends on the connection it dialed; it receives on those that the others
//! dialed. A message waits in a short queue of its peer; when that is full the oldest go, since a protocol repeats
//! itself and newer messages say more. Nothing here ever makes the protocol wait.
//!
//! A connection that lost its peer must not outlive the cut by the kernel's minutes of back-off: data that is not
//! acknowledged within [`SILENCE_MAX`] ends it, and dialing, with a short patience, starts over.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::collections::btree_map::{BTreeMap, Entry};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use keelhaul_protocol::api::NodeId;
use nix::sys::socket::{setsockopt, sockopt};
use serde::de::DeserializeOwned;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, mpsc};
use tokio::task::{AbortHandle, spawn_local};
use tokio::time::{sleep, timeout};

use crate::inbound::Inbound;
use crate::log::Log;
use crate::wire::{PEER_FRAME_BYTES_MAX, PEER_GREETING_BYTES, PeerGreeting, read_frame};

/// How long sent data may stay unacknowledged before a connection is given up.
const SILENCE_MAX: Duration = Duration::from_millis(1000);
/// How long a dialed peer may take to answer: shorter than the kernel's first repetition of a SYN, so that dialing
/// again is what finds a healed network first.
const DIAL_PATIENCE: Duration = Duration::from_millis(300);
/// Pause before dialing again, at first and at most.
const REDIAL_PAUSE: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(160));
/// How long a peer that dialed may take to say who it is.
const GREETING_PATIENCE: Duration = Duration::from_secs(2);
/// Pause after a listener could not accept, for want of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// The most messages that wait for one peer.
const QUEUE_MESSAGES_MAX: usize = 1024;
/// The most bytes that wait for one peer, unless a single message is larger.
const QUEUE_BYTES_MAX: usize = 32 << 20;
/// The most messages from before a connection that are still sent on it.
const QUEUE_STALE_MAX: usize = 16;
/// Bytes handed to the kernel at a time.
const WRITE_BYTES: usize = 256 << 10;

/// Frames on their way to one peer.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    frames: RefCell<VecDeque<Vec<u8>>>,
    bytes: Cell<usize>,
    filled: Notify,
}

impl Outbox {
    /// Queues a frame; the oldest ones make room for it.
    pub(crate) fn push(&self, frame: Vec<u8>) {
        let mut frames = self.frames.borrow_mut();
        while frames.len() >= QUEUE_MESSAGES_MAX
            || (!frames.is_empty() && self.bytes.get() + frame.len() > QUEUE_BYTES_MAX)
        {
            self.forget_oldest(&mut frames);
        }
        self.bytes.set(self.bytes.get() + frame.len());
        frames.push_back(frame);
        self.filled.notify_one();
    }

    /// Drops all but the newest frames.
    fn keep_newest(&self, count: usize) {
        let mut frames = self.frames.borrow_mut();
        while frames.len() > count {
            self.forget_oldest(&mut frames);
        }
    }

    fn forget_oldest(&self, frames: &mut VecDeque<Vec<u8>>) {
        if let Some(old) = frames.pop_front() {
            self.bytes.set(self.bytes.get() - old.len());
        }
    }

    /// Moves frames into `buffer` until it is long enough to be worth a write.
    fn drain_into(&self, buffer: &mut Vec<u8>) {
        let mut frames = self.frames.borrow_mut();
        while buffer.len() < WRITE_BYTES
            && let Some(frame) = frames.pop_front()
        {
            self.bytes.set(self.bytes.get() - frame.len());
            buffer.extend_from_slice(&frame);
        }
    }
}

/// Keeps one peer dialed and sends it what its outbox holds, for ever.
pub(crate) async fn dial(
    address: SocketAddr,
    greeting: PeerGreeting,
    outbox: Rc<Outbox>,
    log: Log,
) {
    let peer = greeting.to.0;
    let mut pause = REDIAL_PAUSE.0;
    loop {
        match timeout(DIAL_PATIENCE, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                log.line(format_args!("connected to n{peer}"));
                outbox.keep_newest(QUEUE_STALE_MAX);
                pause = REDIAL_PAUSE.0;
                let why = match send(stream, &greeting, &outbox).await {
                    Ok(()) => "it closed the connection".to_owned(),
                    Err(error) => error.to_string(),
                };
                log.line(format_args!("lost connection to n{peer}: {why}"));
            }
            Ok(Err(_)) | Err(_) => pause = (pause * 2).min(REDIAL_PAUSE.1),
        }
        sleep(pause).await;
    }
}

/// Sends until the connection ends.
async fn send(stream: TcpStream, greeting: &PeerGreeting, outbox: &Outbox) -> io::Result<()> {
    tune(&stream)?;
    let (mut incoming, mut outgoing) = stream.into_split();
    outgoing.write_all(&greeting.encode()).await?;
    let mut nothing = [0; 64];
    let ended = async {
        // The peer sends nothing on this connection: all that can be read is its end.
        while incoming.read(&mut nothing).await? > 0 {}
        Ok(())
    };
    let sending = async {
        let mut buffer = Vec::with_capacity(WRITE_BYTES);
        loop {
            buffer.clear();
            outbox.drain_into(&mut buffer);
            if buffer.is_empty() {
                outbox.filled.notified().await;
            } else {
                outgoing.write_all(&buffer).await?;
            }
        }
    };
    tokio::select! {
        end = ended => end,
        end = sending => end,
    }
}

fn tune(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let silence_ms = u32::try_from(SILENCE_MAX.as_millis()).expect("a short time");
    setsockopt(stream, sockopt::TcpUserTimeout, &silence_ms)?;
    Ok(())
}

/// Who may send to this node.
#[derive(Clone, Debug)]
pub(crate) struct Membership {
    /// The cluster's number.
    pub(crate) cluster: u64,
    /// This node.
    pub(crate) own: NodeId,
    /// The others.
    pub(crate) peers: Vec<NodeId>,
}

impl Membership {
    fn check(&self, greeting: &PeerGreeting) -> Result<NodeId, &'static str> {
        if greeting.cluster != self.cluster {
            Err("it belongs to another cluster")
        } else if greeting.to != self.own {
            Err("it looks for another node")
        } else if !self.peers.contains(&greeting.from) {
            Err("it is no member of this cluster")
        } else {
            Ok(greeting.from)
        }
    }
}

/// The connection that each peer sends on. A newer one replaces the older: its other end is gone.
type Connections = Rc<RefCell<BTreeMap<NodeId, AbortHandle>>>;

/// Accepts the other nodes' connections and hands on what they say, for ever.
pub(crate) async fn listen<M: DeserializeOwned + 'static>(
    listener: TcpListener,
    membership: Membership,
    inbound: mpsc::Sender<Inbound<M>>,
    log: Log,
) {
    let connections = Connections::default();
    let membership = Rc::new(membership);
    loop {
        let Ok((stream, address)) = listener.accept().await else {
            sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let (membership, inbound, connections) =
            (Rc::clone(&membership), inbound.clone(), Rc::clone(&connections));
        spawn_local(async move {
            match greet(stream, &membership).await {
                Ok((stream, from)) => {
                    let task = spawn_local(receive(stream, from, inbound, log));
                    match connections.borrow_mut().entry(from) {
                        Entry::Vacant(vacant) => drop(vacant.insert(task.abort_handle())),
                        Entry::Occupied(mut old) => old.insert(task.abort_handle()).abort(),
                    }
                }
                Err(why) => log.line(format_args!("turned away a node at {address}: {why}")),
            }
        });
    }
}

async fn greet(
    mut stream: TcpStream,
    membership: &Membership,
) -> Result<(TcpStream, NodeId), String> {
    let mut greeting = [0; PEER_GREETING_BYTES];
    match timeout(GREETING_PATIENCE, stream.read_exact(&mut greeting)).await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => return Err(error.to_string()),
        Err(_) => return Err("it did not say who it is".to_owned()),
    }
    let from = PeerGreeting::decode(greeting).and_then(|greeting| membership.check(&greeting))?;
    Ok((stream, from))
}

async fn receive<M: DeserializeOwned>(
    stream: TcpStream,
    from: NodeId,
    inbound: mpsc::Sender<Inbound<M>>,
    log: Log,
) {
    let mut stream = tokio::io::BufReader::with_capacity(64 << 10, stream);
    let mut buffer = Vec::new();
    loop {
        match read_frame(&mut stream, &mut buffer, PEER_FRAME_BYTES_MAX).await {
            Ok(Some(message)) => {
                if inbound.send(Inbound::Message { from, message }).await.is_err() {
                    return;
                }
            }
            Ok(None) => return,
            Err(error) => {
                log.line(format_args!("lost connection from n{}: {error}", from.0));
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_outbox_forgets_its_oldest_frames() {
        let outbox = Outbox::default();
        for number in 0..QUEUE_MESSAGES_MAX + 3 {
            outbox.push(number.to_le_bytes().to_vec());
        }
        let mut sent = Vec::new();
        outbox.drain_into(&mut sent);
        assert_eq!(sent.len(), QUEUE_MESSAGES_MAX * 8);
        assert_eq!(sent[..8], 3_usize.to_le_bytes());
        assert_eq!(outbox.bytes.get(), 0);
    }

    #[test]
    fn a_frame_beyond_the_byte_limit_travels_alone() {
        let outbox = Outbox::default();
        outbox.push(vec![1; 10]);
        outbox.push(vec![2; QUEUE_BYTES_MAX + 1]);
        let mut sent = Vec::new();
        outbox.drain_into(&mut sent);
        assert_eq!((sent.len(), sent[0]), (QUEUE_BYTES_MAX + 1, 2));
    }

    #[test]
    fn only_members_of_this_cluster_that_mean_this_node_are_let_in() {
        let membership = Membership { cluster: 5, own: NodeId(1), peers: vec![NodeId(2)] };
        let check = |cluster, from, to| {
            membership.check(&PeerGreeting { cluster, from: NodeId(from), to: NodeId(to) })
        };
        assert_eq!(check(5, 2, 1), Ok(NodeId(2)));
        assert!(check(6, 2, 1).is_err());
        assert!(check(5, 3, 1).is_err());
        assert!(check(5, 1, 1).is_err());
        assert!(check(5, 2, 3).is_err());
    }
}
