//! The thread that writes and syncs, so that heartbeats go on while a disk is slow.
//!
//! Commands are carried out in the order in which they were given. All that wait are taken together and cost one sync: while
//! one sync is under way, the next batch gathers. After an error nothing more is done and nothing more is
//! acknowledged.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use keelhaul_protocol::api::{SyncTicket, Vocabulary};
use tokio::sync::mpsc::UnboundedSender;

use super::{Command, Storage, StorageError};

/// The most commands that one sync covers; bounds how long the first of them waits.
const BATCH_MAX: usize = 1024;

/// What the thread says: this ticket and all before it are durable, or the disk failed and this node must stop.
pub(crate) type Report = Result<SyncTicket, StorageError>;

/// Handle of the thread. Dropping it lets the thread finish what it was given, and waits for it.
#[derive(Debug)]
pub(crate) struct Worker<M: Vocabulary> {
    commands: Option<Sender<Command<M>>>,
    thread: Option<JoinHandle<()>>,
}

impl<M: Vocabulary> Worker<M> {
    /// Starts the thread.
    pub(crate) fn spawn(
        storage: Storage<M>,
        reports: UnboundedSender<Report>,
    ) -> std::io::Result<Self> {
        let (commands, queue) = channel();
        let thread = std::thread::Builder::new()
            .name("storage".to_owned())
            .spawn(move || work(storage, &queue, &reports))?;
        Ok(Self { commands: Some(commands), thread: Some(thread) })
    }

    /// Queues a command. After a failure it goes nowhere: the report of that failure ends the node.
    pub(crate) fn send(&self, command: Command<M>) {
        if let Some(commands) = &self.commands {
            let _ = commands.send(command);
        }
    }
}

impl<M: Vocabulary> Drop for Worker<M> {
    fn drop(&mut self) {
        self.commands = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn work<M: Vocabulary>(
    mut storage: Storage<M>,
    queue: &Receiver<Command<M>>,
    reports: &UnboundedSender<Report>,
) {
    while let Ok(first) = queue.recv() {
        match batch(&mut storage, first, queue) {
            Ok(None) => {}
            Ok(Some(ticket)) => {
                let _ = reports.send(Ok(ticket));
            }
            Err(error) => {
                let _ = reports.send(Err(error));
                return;
            }
        }
    }
}

/// Carries out what waits, and syncs if that was asked for; the ticket is the last one covered.
fn batch<M: Vocabulary>(
    storage: &mut Storage<M>,
    first: Command<M>,
    queue: &Receiver<Command<M>>,
) -> Result<Option<SyncTicket>, StorageError> {
    let commands = std::iter::once(first).chain(queue.try_iter()).take(BATCH_MAX);
    let ticket = storage.write(commands)?;
    storage.settle(ticket)?;
    Ok(ticket)
}
