//! A server that follows a script, and counts what reaches it.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread::JoinHandle;
use std::time::Duration;

/// After so long without a byte the script is over; no test comes near it unless it fails.
const PATIENCE: Duration = Duration::from_secs(10);

/// What the server does with the next request of a connection.
#[derive(Clone, Debug)]
pub enum Step {
    /// Reads it and answers.
    Answer(u16, String),
    /// Reads it and writes these bytes, which need not be a response.
    Raw(String),
    /// Reads it and stays silent.
    Silence,
    /// Stays silent without reading anything until told; see [`Fake::go_on`].
    Wait,
}

/// What reached the server.
#[derive(Debug, Default)]
pub struct Seen {
    /// Connections that came, in the script or not.
    pub connections: usize,
    /// Whole requests: path and body.
    pub requests: Vec<(String, String)>,
    /// Bytes that were not part of a whole request.
    pub stray_bytes: usize,
}

/// The server, running.
pub struct Fake {
    pub address: SocketAddr,
    thread: JoinHandle<io::Result<Seen>>,
    go_on: std::sync::mpsc::Sender<()>,
}

impl Fake {
    /// Starts a server that serves one connection a script, one after the other. When a script ends and `linger` is not
    /// set, the connection is closed at once; otherwise the server reads on until the client closes.
    pub fn start(scripts: Vec<Vec<Step>>, linger: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (go_on, told) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            let mut seen = Seen::default();
            for script in scripts {
                let (socket, _) = listener.accept()?;
                seen.connections += 1;
                serve(socket, script, linger, &told, &mut seen)?;
            }
            // The test has dropped its client by now, or has its outcome: whoever connected besides is in the backlog.
            let _ = told.recv_timeout(PATIENCE);
            listener.set_nonblocking(true)?;
            while listener.accept().is_ok() {
                seen.connections += 1;
            }
            Ok(seen)
        });
        Self { address, thread, go_on }
    }

    /// Ends one [`Step::Wait`]; after the last one, the server.
    pub fn go_on(&self) {
        self.go_on.send(()).unwrap();
    }

    /// Whether the server has ended.
    pub fn is_over(&self) -> bool {
        self.thread.is_finished()
    }

    /// Ends the server and tells what it saw.
    pub fn finish(self) -> Seen {
        // Nobody listens any more when the server has ended already.
        let _ = self.go_on.send(());
        self.thread.join().unwrap().unwrap()
    }
}

fn serve(
    mut socket: TcpStream,
    script: Vec<Step>,
    linger: bool,
    told: &std::sync::mpsc::Receiver<()>,
    seen: &mut Seen,
) -> io::Result<()> {
    socket.set_read_timeout(Some(PATIENCE))?;
    for step in script {
        if matches!(step, Step::Wait) {
            let _ = told.recv_timeout(PATIENCE);
        }
        match read_request(&mut socket)? {
            Ok(request) => seen.requests.push(request),
            Err(stray) => {
                seen.stray_bytes += stray;
                return Ok(());
            }
        }
        match step {
            Step::Answer(status, body) => {
                let length = body.len();
                let head = format!("HTTP/1.1 {status} X\r\nContent-Type: application/json\r\n");
                write!(socket, "{head}Content-Length: {length}\r\n\r\n{body}")?;
            }
            Step::Raw(bytes) => socket.write_all(bytes.as_bytes())?,
            Step::Silence | Step::Wait => {}
        }
    }
    if linger {
        match read_request(&mut socket)? {
            Ok(request) => seen.requests.push(request),
            Err(stray) => seen.stray_bytes += stray,
        }
    }
    Ok(())
}

/// One whole request, or how many bytes came before the end of the connection.
fn read_request(socket: &mut TcpStream) -> io::Result<Result<(String, String), usize>> {
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        if let Some(request) = whole(&bytes) {
            return Ok(Ok(request));
        }
        match socket.read(&mut chunk) {
            Ok(0) => return Ok(Err(bytes.len())),
            Ok(n) => bytes.extend_from_slice(&chunk[..n]),
            Err(e) if e.kind() == ErrorKind::ConnectionReset => return Ok(Err(bytes.len())),
            Err(e) => return Err(e),
        }
    }
}

fn whole(bytes: &[u8]) -> Option<(String, String)> {
    let end = bytes.windows(4).position(|w| w == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))?
        .parse::<usize>()
        .unwrap();
    let body = bytes.get(end + 4..end + 4 + length)?;
    let path = head.split(' ').nth(1)?.to_owned();
    Some((path, String::from_utf8_lossy(body).into_owned()))
}
