//! The control node's end of the stream to one agent: calls out, answers in, joined by their ids.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use keelhaul_agent::wire::{
    Answer, Call, WireError, check_hello, checked_length, decode, encode, frame, hello,
};
use keelhaul_agent::{Reply, Request};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{mpsc, oneshot};

/// How long a fresh agent may take to say hello: a node sets up its mounts before.
const HELLO_PATIENCE: Duration = Duration::from_secs(20);

/// A stream to an agent; clones share it. When it is closed or the last clone is gone, the agent undoes everything and ends.
#[derive(Clone, Debug)]
pub(crate) struct AgentStream {
    outgoing: mpsc::UnboundedSender<Outgoing>,
    waiting: Arc<Mutex<Waiting>>,
}

/// What the writing task is told.
#[derive(Debug)]
enum Outgoing {
    Frame(Vec<u8>),
    End,
}

#[derive(Debug, Default)]
struct Waiting {
    id_next: u64,
    calls: BTreeMap<u64, oneshot::Sender<Reply>>,
    /// Why the stream ended, once it has.
    ended: Option<String>,
}

impl AgentStream {
    /// Exchanges hellos and serves the stream on tasks of the current runtime.
    pub async fn open<R, W>(mut input: R, mut output: W) -> Result<Self, WireError>
    where
        R: AsyncRead + Unpin + Send + 'static,
        W: AsyncWrite + Unpin + Send + 'static,
    {
        let greeting = async {
            output.write_all(&frame(&hello())?).await?;
            let first = read_frame(&mut input).await?;
            check_hello(&first.unwrap_or_default())
        };
        let late = |_| io::Error::new(io::ErrorKind::TimedOut, "the agent says nothing");
        tokio::time::timeout(HELLO_PATIENCE, greeting).await.map_err(late)??;
        let waiting = Arc::<Mutex<Waiting>>::default();
        let (outgoing, queue) = mpsc::unbounded_channel();
        tokio::spawn(write_all(output, queue));
        tokio::spawn(read_all(input, Arc::clone(&waiting)));
        Ok(Self { outgoing, waiting })
    }

    /// Asks and waits for the answer; an error says why none will come.
    pub async fn call(&self, request: Request) -> Result<Reply, String> {
        let (answer, answered) = oneshot::channel();
        let call = {
            let mut waiting = lock(&self.waiting);
            if let Some(reason) = &waiting.ended {
                return Err(reason.clone());
            }
            waiting.id_next += 1;
            let id = waiting.id_next;
            waiting.calls.insert(id, answer);
            Call { id, request }
        };
        let bytes = encode(&call).and_then(|payload| frame(&payload)).map_err(|e| {
            lock(&self.waiting).calls.remove(&call.id);
            format!("{e}")
        })?;
        self.outgoing.send(Outgoing::Frame(bytes)).map_err(|_| self.reason())?;
        answered.await.map_err(|_| self.reason())
    }

    /// Ends the stream for all clones, after what has been asked so far.
    pub fn close(&self) {
        // A writing task that is gone has ended it already.
        let _ = self.outgoing.send(Outgoing::End);
    }

    fn reason(&self) -> String {
        lock(&self.waiting)
            .ended
            .clone()
            .unwrap_or_else(|| "the stream to the agent is closed".into())
    }
}

fn lock(waiting: &Mutex<Waiting>) -> MutexGuard<'_, Waiting> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn write_all(
    mut output: impl AsyncWrite + Unpin,
    mut queue: mpsc::UnboundedReceiver<Outgoing>,
) {
    while let Some(Outgoing::Frame(bytes)) = queue.recv().await {
        if output.write_all(&bytes).await.is_err() || output.flush().await.is_err() {
            return;
        }
    }
}

async fn read_all(mut input: impl AsyncRead + Unpin, waiting: Arc<Mutex<Waiting>>) {
    let reason = loop {
        match read_answer(&mut input).await {
            Ok(Some(Answer { id, reply })) => {
                if let Some(call) = lock(&waiting).calls.remove(&id) {
                    // Whoever asked may have stopped waiting.
                    let _ = call.send(reply);
                }
            }
            Ok(None) => break "the agent ended".to_owned(),
            Err(WireError::Io(e)) => break format!("the stream to the agent broke: {e}"),
            Err(e) => break format!("the agent sent nonsense: {e}"),
        }
    };
    let mut waiting = lock(&waiting);
    waiting.ended = Some(reason);
    waiting.calls.clear();
}

async fn read_answer(input: &mut (impl AsyncRead + Unpin)) -> Result<Option<Answer>, WireError> {
    match read_frame(input).await? {
        Some(payload) => Ok(Some(decode(&payload)?)),
        None => Ok(None),
    }
}

/// One frame's payload; `None` at the end of the stream between two frames.
async fn read_frame(input: &mut (impl AsyncRead + Unpin)) -> Result<Option<Vec<u8>>, WireError> {
    let mut length = [0; 4];
    let first = input.read(&mut length).await?;
    if first == 0 {
        return Ok(None);
    }
    input.read_exact(&mut length[first..]).await?;
    let mut payload = vec![0; checked_length(u32::from_le_bytes(length))? as usize];
    input.read_exact(&mut payload).await?;
    Ok(Some(payload))
}
