//! libssh2 as a transport: no `ssh` program is needed on the control node, and nothing of `~/.ssh/config` is heeded.
//!
//! A session of libssh2 does one thing at a time, so each command and each stream has a session, and a thread, of its own. A
//! stream's thread carries bytes between the channel and a local socket until either ends.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use ssh2::{
    BlockDirections, Channel, CheckResult, HostKeyType, KnownHostFileKind, KnownHostKeyFormat,
    MethodType, Session,
};

use super::host::Host;
use super::transport::{Said, Trouble};

/// How long connecting may take.
const CONNECT_PATIENCE: Duration = Duration::from_secs(10);
/// How long a command may take; copying the program is the longest.
const PATIENCE_MS: u32 = 120_000;
/// An agent that is asked for a sign of life every few seconds and is silent for so long is out of reach.
const SILENCE: Duration = Duration::from_secs(15);
/// Pause after which a stream looks around even if nothing has happened.
const LOOK_MS: u16 = 500;
const USUAL_PORT: u16 = 22;
/// Private keys that are tried when none is named and no agent has one.
const USUAL_KEYS: [&str; 3] = ["id_ed25519", "id_ecdsa", "id_rsa"];
/// Host key algorithms by the names that known_hosts and the protocol give them, best first.
const ALGORITHMS: [(&str, &str); 5] = [
    ("ssh-ed25519", "ssh-ed25519"),
    ("ecdsa-sha2-nistp256", "ecdsa-sha2-nistp256"),
    ("ecdsa-sha2-nistp384", "ecdsa-sha2-nistp384"),
    ("ecdsa-sha2-nistp521", "ecdsa-sha2-nistp521"),
    ("ssh-rsa", "rsa-sha2-512,rsa-sha2-256,ssh-rsa"),
];

/// A session and the socket below it.
struct Connected {
    session: Session,
    socket: TcpStream,
}

/// Runs a line of shell to its end.
pub(super) fn run(host: &Host, line: &str, input: &[u8]) -> Result<Said, Trouble> {
    let Connected { session, .. } = connect(host)?;
    session.set_timeout(PATIENCE_MS);
    let perform = || -> io::Result<Said> {
        let mut channel = session.channel_session()?;
        channel.exec(line)?;
        // A command need not read its input: how it ended says what is wrong.
        let _ = channel.write_all(input);
        channel.send_eof()?;
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        channel.read_to_end(&mut stdout)?;
        channel.stderr().read_to_end(&mut stderr)?;
        channel.wait_close()?;
        Ok(Said { success: channel.exit_status()? == 0, stdout, stderr })
    };
    perform().map_err(unreachable)
}

/// Starts a line of shell; answers the work of its thread, which ends with whether the command ended well.
pub(super) fn open(
    host: &Host,
    line: &str,
    local: UnixStream,
    errors: File,
) -> Result<impl FnOnce() -> io::Result<bool> + use<>, Trouble> {
    let Connected { session, socket } = connect(host)?;
    let mut channel = session.channel_session().map_err(unreachable)?;
    channel.exec(line).map_err(unreachable)?;
    session.set_blocking(false);
    local.set_nonblocking(true).map_err(unreachable)?;
    let pump = Pump { session, channel, socket, local, errors };
    Ok(move || pump.run())
}

fn unreachable(error: impl std::fmt::Display) -> Trouble {
    Trouble::Unreachable(error.to_string())
}

fn connect(host: &Host) -> Result<Connected, Trouble> {
    let port = host.port.unwrap_or(USUAL_PORT);
    let addresses = (host.host.as_str(), port).to_socket_addrs().map_err(unreachable)?;
    let mut socket = Err(io::Error::other("it has no address"));
    for address in addresses {
        socket = TcpStream::connect_timeout(&address, CONNECT_PATIENCE);
        if socket.is_ok() {
            break;
        }
    }
    let socket = socket.map_err(unreachable)?;
    // Frames are small and waited for.
    socket.set_nodelay(true).map_err(unreachable)?;
    let mut session = Session::new().map_err(unreachable)?;
    session.set_timeout(u32::try_from(CONNECT_PATIENCE.as_millis()).unwrap_or(u32::MAX));
    let known = host.known_hosts.clone().or_else(|| in_ssh_dir("known_hosts"));
    let known = known.unwrap_or_default();
    let text = std::fs::read_to_string(&known).unwrap_or_default();
    let algorithms = preferred(&text, &listed(&host.host, port));
    session.method_pref(MethodType::HostKey, &algorithms).map_err(unreachable)?;
    session.set_tcp_stream(socket.try_clone().map_err(unreachable)?);
    session.handshake().map_err(unreachable)?;
    check_key(&session, host, port, &known)?;
    log_in(&session, host)?;
    Ok(Connected { session, socket })
}

fn in_ssh_dir(name: &str) -> Option<PathBuf> {
    Some(PathBuf::from(std::env::var_os("HOME")?).join(".ssh").join(name))
}

/// A host as known_hosts has it.
fn listed(host: &str, port: u16) -> String {
    if port == USUAL_PORT { host.into() } else { format!("[{host}]:{port}") }
}

/// Algorithms in an order that begins with those by which the host is known: a server that is known by one key may have others.
fn preferred(known: &str, listed: &str) -> String {
    let is_known = |algorithm: &str| {
        known.lines().any(|line| {
            let mut words = line.split_ascii_whitespace();
            let names = words.next().unwrap_or_default();
            // Hashed names might be this one.
            let named = names.starts_with("|1|") || names.split(',').any(|name| name == listed);
            named && words.next() == Some(algorithm)
        })
    };
    let (first, last): (Vec<_>, Vec<_>) =
        ALGORITHMS.iter().partition(|(algorithm, _)| is_known(algorithm));
    first.iter().chain(&last).map(|(_, offered)| *offered).collect::<Vec<_>>().join(",")
}

fn check_key(session: &Session, host: &Host, port: u16, known: &Path) -> Result<(), Trouble> {
    let (key, kind) = session.host_key().ok_or_else(|| unreachable("it shows no key"))?;
    let mut hosts = session.known_hosts().map_err(unreachable)?;
    if known.exists() {
        hosts.read_file(known, KnownHostFileKind::OpenSSH).map_err(unreachable)?;
    }
    match hosts.check_port(&host.host, port, key) {
        CheckResult::Match => Ok(()),
        CheckResult::Mismatch => Err(Trouble::ChangedKey),
        CheckResult::Failure => Err(unreachable("its key cannot be compared")),
        CheckResult::NotFound => Err(Trouble::UnknownKey(line_of(session, host, port, key, kind))),
    }
}

/// The line of known_hosts that would make the host known.
fn line_of(
    session: &Session,
    host: &Host,
    port: u16,
    key: &[u8],
    kind: HostKeyType,
) -> Option<String> {
    let mut hosts = session.known_hosts().ok()?;
    hosts.add(&listed(&host.host, port), key, "", KnownHostKeyFormat::from(kind)).ok()?;
    let entry = hosts.hosts().ok()?.pop()?;
    let line = hosts.write_string(&entry, KnownHostFileKind::OpenSSH).ok()?;
    Some(line.trim().to_owned())
}

fn log_in(session: &Session, host: &Host) -> Result<(), Trouble> {
    let user = host.user.clone().or_else(|| std::env::var("USER").ok()).unwrap_or("root".into());
    let denied =
        |error: &dyn std::fmt::Display| Trouble::Denied(format!("{user} is not let in: {error}"));
    let with_file = |key: &Path| session.userauth_pubkey_file(&user, None, key, None);
    if let Some(key) = &host.key {
        return with_file(key).map_err(|error| denied(&error));
    }
    if session.userauth_agent(&user).is_ok() {
        return Ok(());
    }
    let usual = USUAL_KEYS.iter().filter_map(|name| in_ssh_dir(name)).filter(|key| key.exists());
    for key in usual {
        if with_file(&key).is_ok() {
            return Ok(());
        }
    }
    Err(denied(&"neither the SSH agent nor ~/.ssh has a key that it takes"))
}

/// Carries bytes between a channel and a local socket.
struct Pump {
    session: Session,
    channel: Channel,
    socket: TcpStream,
    local: UnixStream,
    errors: File,
}

/// Bytes on their way, and whether more will come.
struct Flow {
    bytes: Vec<u8>,
    sent: usize,
    ended: bool,
}

impl Flow {
    const fn new() -> Self {
        Self { bytes: Vec::new(), sent: 0, ended: false }
    }

    fn is_empty(&self) -> bool {
        self.sent == self.bytes.len()
    }

    /// Takes what `input` has, once all before is sent; whether anything happened.
    fn take(&mut self, input: &mut impl Read) -> io::Result<bool> {
        if self.ended || !self.is_empty() {
            return Ok(false);
        }
        self.bytes.resize(64 * 1024, 0);
        self.sent = 0;
        let taken = later(input.read(&mut self.bytes));
        self.bytes.truncate(taken.as_ref().ok().copied().flatten().unwrap_or(0));
        let taken = taken?;
        self.ended = taken == Some(0);
        Ok(taken.is_some())
    }

    /// Gives `output` what it takes; whether anything happened.
    fn give(&mut self, output: &mut impl Write) -> io::Result<bool> {
        if self.is_empty() {
            return Ok(false);
        }
        let given = later(output.write(&self.bytes[self.sent..]))?;
        self.sent += given.unwrap_or(0);
        Ok(given.is_some())
    }
}

/// None if it has to be tried again later.
fn later(result: io::Result<usize>) -> io::Result<Option<usize>> {
    match result {
        Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(None),
        other => other.map(Some),
    }
}

impl Pump {
    fn run(mut self) -> io::Result<bool> {
        let (mut out, mut back, mut said) = (Flow::new(), Flow::new(), Flow::new());
        let mut told = false;
        let mut heard = Instant::now();
        loop {
            let mut moved = said.take(&mut self.channel.stderr())? | said.give(&mut self.errors)?;
            // The end of the one stream says nothing of the other.
            said.ended = false;
            let came = back.take(&mut self.channel)?;
            moved |= came;
            if came {
                heard = Instant::now();
            }
            moved |= give_or_end(&mut back, &mut self.local)?;
            moved |= out.take(&mut self.local)?;
            moved |= out.give(&mut self.channel)?;
            if out.ended && out.is_empty() && !told {
                told = self.end_input()?;
            }
            if self.channel.eof() && back.is_empty() {
                break;
            }
            if heard.elapsed() > SILENCE {
                return Err(io::Error::new(ErrorKind::TimedOut, "nothing is heard of the host"));
            }
            if !moved {
                self.wait(&out, &back)?;
            }
        }
        // Whoever reads locally learns of the end before the command has wholly ended.
        let _ = self.local.shutdown(std::net::Shutdown::Write);
        self.session.set_blocking(true);
        self.session.set_timeout(u32::try_from(SILENCE.as_millis()).unwrap_or(u32::MAX));
        if !told {
            self.channel.send_eof()?;
        }
        self.channel.close()?;
        self.channel.wait_close()?;
        Ok(self.channel.exit_status()? == 0)
    }

    /// Tells the command that its input ends; whether that has been said.
    fn end_input(&mut self) -> io::Result<bool> {
        match self.channel.send_eof().map_err(io::Error::from) {
            Ok(()) => Ok(true),
            Err(e) if e.kind() == ErrorKind::WouldBlock => Ok(false),
            Err(e) => Err(e),
        }
    }

    /// Waits until either side can go on, but not for long.
    fn wait(&self, out: &Flow, back: &Flow) -> io::Result<()> {
        let mut remote = PollFlags::POLLIN;
        let outbound = [BlockDirections::Outbound, BlockDirections::Both];
        if !out.is_empty() || outbound.contains(&self.session.block_directions()) {
            remote |= PollFlags::POLLOUT;
        }
        let mut local = PollFlags::empty();
        if out.is_empty() && !out.ended {
            local |= PollFlags::POLLIN;
        }
        if !back.is_empty() {
            local |= PollFlags::POLLOUT;
        }
        let pair: [(BorrowedFd<'_>, PollFlags); 2] =
            [(self.socket.as_fd(), remote), (self.local.as_fd(), local)];
        let mut watched: Vec<PollFd<'_>> = pair
            .into_iter()
            // A local side that is done with would wake us for nothing.
            .filter(|(_, flags)| !flags.is_empty())
            .map(|(fd, flags)| PollFd::new(fd, flags))
            .collect();
        match poll(&mut watched, PollTimeout::from(LOOK_MS)) {
            Ok(_) | Err(nix::Error::EINTR) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }
}

/// Nobody may read locally any more: then what comes back is dropped, and the command is told by the end of its input.
fn give_or_end(back: &mut Flow, local: &mut UnixStream) -> io::Result<bool> {
    match back.give(local) {
        Err(e) if matches!(e.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset) => {
            back.sent = back.bytes.len();
            Ok(true)
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_by_which_a_host_is_known_is_asked_for_first() {
        let known = "a,10.0.0.1 ssh-rsa AAAA\n[b]:2222 ecdsa-sha2-nistp256 BBBB\n";
        assert!(preferred(known, "10.0.0.1").starts_with("rsa-sha2-512,"));
        assert!(preferred(known, &listed("b", 2222)).starts_with("ecdsa-sha2-nistp256,"));
        assert!(preferred(known, "c").starts_with("ssh-ed25519,"));
        assert!(preferred("|1|x|y ssh-rsa AAAA", "c").starts_with("rsa-sha2-512,"));
    }
}
