//! The QEMU machine protocol: JSON, an object a line, over a socket that QEMU listens on.
//!
//! Source: QEMU's `docs/interop/qmp-spec.txt`. The server greets; commands are understood once `qmp_capabilities` has been given. Answers carry the id of
//! their command; events come at any time in between.

use std::io;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::time::timeout;

/// How long QEMU may take to answer. It does so from its main loop, which a busy machine or a slow disk may hold up.
const PATIENCE: Duration = Duration::from_secs(30);

/// Why a command was not carried out.
#[derive(Debug, thiserror::Error)]
pub(super) enum QmpError {
    /// The connection.
    #[error("speak with QEMU: {0}")]
    Io(#[from] io::Error),
    /// No answer in time.
    #[error("hear from QEMU within {} s after {command}", PATIENCE.as_secs())]
    Slow {
        /// What was asked.
        command: String,
    },
    /// QEMU refused.
    #[error("have QEMU do {command}: {said}")]
    Refused {
        /// What was asked.
        command: String,
        /// Its sentence.
        said: String,
    },
    /// Not as the protocol has it.
    #[error("understand QEMU, which says {0:?}")]
    Nonsense(String),
}

/// A connection to one QEMU process.
#[derive(Debug)]
pub(super) struct Qmp<S = UnixStream> {
    stream: BufReader<S>,
    id_next: u64,
    /// Names of events that came and that nobody has waited for.
    events: Vec<String>,
}

impl Qmp {
    /// Connects, and agrees on the protocol.
    pub async fn connect(path: &Path) -> Result<Self, QmpError> {
        Self::over(UnixStream::connect(path).await?).await
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Qmp<S> {
    async fn over(stream: S) -> Result<Self, QmpError> {
        let mut qmp = Self { stream: BufReader::new(stream), id_next: 0, events: Vec::new() };
        let greeting = timeout(PATIENCE, qmp.message()).await;
        let greeting = greeting.map_err(|_| QmpError::Slow { command: "connecting".into() })??;
        if greeting.get("QMP").is_none() {
            return Err(QmpError::Nonsense(greeting.to_string()));
        }
        qmp.execute("qmp_capabilities", json!({})).await?;
        Ok(qmp)
    }

    /// Carries out a command and answers what it returned.
    pub async fn execute(&mut self, command: &str, arguments: Value) -> Result<Value, QmpError> {
        let late = |_| QmpError::Slow { command: command.into() };
        timeout(PATIENCE, self.ask(command, arguments)).await.map_err(late)?
    }

    /// Waits until an event of this name has come since the last time.
    pub async fn event(&mut self, name: &str) -> Result<(), QmpError> {
        let wait = async {
            loop {
                if let Some(at) = self.events.iter().position(|event| event == name) {
                    self.events.drain(..=at);
                    return Ok(());
                }
                let message = self.message().await?;
                self.note(&message);
            }
        };
        let late = |_| QmpError::Slow { command: format!("waiting for {name}") };
        timeout(PATIENCE, wait).await.map_err(late)?
    }

    async fn ask(&mut self, command: &str, arguments: Value) -> Result<Value, QmpError> {
        self.id_next += 1;
        let id = self.id_next;
        let line = json!({ "execute": command, "arguments": arguments, "id": id });
        self.stream.get_mut().write_all(format!("{line}\n").as_bytes()).await?;
        loop {
            let mut message = self.message().await?;
            if message.get("id").and_then(Value::as_u64) != Some(id) {
                // An event, or the late answer to a command that was given up.
                self.note(&message);
            } else if let Some(error) = message.get("error") {
                let said = error.get("desc").and_then(Value::as_str).unwrap_or("no reason");
                return Err(QmpError::Refused { command: command.into(), said: said.into() });
            } else {
                return Ok(message.get_mut("return").map(Value::take).unwrap_or_default());
            }
        }
    }

    fn note(&mut self, message: &Value) {
        if let Some(event) = message.get("event").and_then(Value::as_str) {
            self.events.push(event.to_owned());
        }
    }

    async fn message(&mut self) -> Result<Value, QmpError> {
        let mut line = String::new();
        if self.stream.read_line(&mut line).await? == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it is gone").into());
        }
        serde_json::from_str(&line).map_err(|_| QmpError::Nonsense(line.trim().into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lets a client talk to a server that sends the given lines, each after as many lines as its number says have been heard.
    async fn against(
        lines: &'static [(usize, &'static str)],
    ) -> Result<Qmp<tokio::io::DuplexStream>, QmpError> {
        let (ours, theirs) = tokio::io::duplex(4096);
        tokio::spawn(async move {
            let mut theirs = BufReader::new(theirs);
            let mut heard = 0;
            for (after, line) in lines {
                while heard < *after {
                    let mut command = String::new();
                    theirs.read_line(&mut command).await.unwrap();
                    heard += 1;
                }
                theirs.get_mut().write_all(format!("{line}\n").as_bytes()).await.unwrap();
            }
            // Stays open until the client is done.
            let _ = theirs.read_line(&mut String::new()).await;
        });
        Qmp::over(ours).await
    }

    fn run<T>(test: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test)
    }

    #[test]
    fn answers_find_their_commands_and_events_are_kept() {
        run(async {
            let mut qmp = against(&[
                (0, r#"{"QMP":{"version":{},"capabilities":[]}}"#),
                (1, r#"{"return":{},"id":1}"#),
                (2, r#"{"event":"STOP","timestamp":{}}"#),
                (2, r#"{"return":{"status":"paused"},"id":2}"#),
                (3, r#"{"error":{"class":"GenericError","desc":"no"},"id":3}"#),
                (3, r#"{"event":"RESET","timestamp":{}}"#),
            ])
            .await
            .unwrap();
            let status = qmp.execute("query-status", json!({})).await.unwrap();
            assert_eq!(status["status"], "paused");
            let refused = qmp.execute("cont", json!({})).await.unwrap_err();
            assert_eq!(refused.to_string(), "have QEMU do cont: no");
            qmp.event("STOP").await.unwrap();
            qmp.event("RESET").await.unwrap();
        });
    }

    #[test]
    fn what_is_no_qemu_is_said() {
        run(async {
            let error = against(&[(0, "SSH-2.0-OpenSSH")]).await.unwrap_err();
            assert!(matches!(error, QmpError::Nonsense(_)), "{error}");
            let error = against(&[(0, r#"{"hello":1}"#)]).await.unwrap_err();
            assert!(matches!(error, QmpError::Nonsense(_)), "{error}");
        });
    }
}
