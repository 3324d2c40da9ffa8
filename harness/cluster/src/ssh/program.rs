//! The system's `ssh` program as a transport.
//!
//! It is asked for nothing interactively, holds no shared connection (one that ends would take other runs with it), and notices
//! within a quarter of a minute that a host does not answer any more.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::host::Host;
use super::transport::{Opened, Said, Trouble};

/// Seconds that connecting may take.
const CONNECT_SECONDS: u32 = 10;
/// How long a command may take beside connecting; copying the program is the longest.
const PATIENCE: Duration = Duration::from_secs(120);
/// How often a silent host is asked for a sign of life, in seconds, and how long it may be silent.
const SIGN_OF_LIFE_S: u32 = 5;
const SILENCE_S: u32 = 15;
/// What `ssh` itself ends with when it could not do its work.
const FAILED: i32 = 255;

fn command(host: &Host, line: &str) -> Command {
    let mut ssh = Command::new("ssh");
    ssh.args(["-T", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes"]);
    ssh.args(["-o", &format!("ConnectTimeout={CONNECT_SECONDS}")]);
    let signs = host.silence_s.unwrap_or(SILENCE_S).div_ceil(SIGN_OF_LIFE_S);
    ssh.args(["-o", &format!("ServerAliveInterval={SIGN_OF_LIFE_S}")]);
    ssh.args(["-o", &format!("ServerAliveCountMax={signs}")]);
    ssh.args(["-o", "ControlMaster=no", "-o", "ControlPath=none"]);
    ssh.args(host_arguments(host)).args(["--", &host.host, line]);
    ssh.kill_on_drop(true);
    ssh
}

/// What a host's own description means to the program.
pub(crate) fn host_arguments(host: &Host) -> Vec<OsString> {
    let mut words: Vec<OsString> = Vec::new();
    if let Some(port) = host.port {
        words.extend(["-p".into(), port.to_string().into()]);
    }
    if let Some(user) = &host.user {
        words.extend(["-l".into(), user.into()]);
    }
    if let Some(key) = &host.key {
        words.extend(["-i".into(), key.into(), "-o".into(), "IdentitiesOnly=yes".into()]);
    }
    if let Some(file) = &host.known_hosts {
        words.extend(["-o".into(), format!("UserKnownHostsFile={}", file.display()).into()]);
    }
    words
}

/// Runs a line of shell to its end.
pub(super) async fn run(host: &Host, line: &str, input: &[u8]) -> Result<Said, Trouble> {
    let mut ssh = command(host, line);
    ssh.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = ssh.spawn().map_err(Trouble::NoTransport)?;
    let stdin = child.stdin.take();
    let feed = async {
        if let Some(mut stdin) = stdin {
            // A command need not read its input: how it ended says what is wrong.
            let _ = stdin.write_all(input).await;
        }
    };
    let both = async { tokio::join!(feed, child.wait_with_output()).1 };
    let output = tokio::time::timeout(PATIENCE, both).await.map_err(|_| Trouble::Slow)?;
    let output = output.map_err(Trouble::NoTransport)?;
    match output.status.code() {
        Some(FAILED) => match trouble(&String::from_utf8_lossy(&output.stderr)) {
            Trouble::UnknownKey(_) => Err(Trouble::UnknownKey(keys(host).await)),
            other => Err(other),
        },
        _ => {
            let success = output.status.success();
            Ok(Said { success, stdout: output.stdout, stderr: output.stderr })
        }
    }
}

/// Starts a line of shell whose streams stay open.
pub(super) fn open(host: &Host, line: &str, errors: File) -> Result<Opened, Trouble> {
    let mut ssh = command(host, line);
    ssh.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(errors);
    let mut child = ssh.spawn().map_err(Trouble::NoTransport)?;
    let gone = || Trouble::NoTransport(io::Error::other("its streams are gone"));
    let (output, input) = child.stdout.take().zip(child.stdin.take()).ok_or_else(gone)?;
    let ended = async move { child.wait().await.map(|status| status.success()) };
    Ok(Opened { output: Box::new(output), input: Box::new(input), ended: Box::pin(ended) })
}

/// The line that would make the host known, as it shows itself now.
async fn keys(host: &Host) -> Option<String> {
    let mut scan = Command::new("ssh-keyscan");
    scan.args(["-T", "5", "-p", &host.port.unwrap_or(22).to_string(), "-t", "ed25519"]);
    let output = scan.arg(&host.host).stderr(Stdio::null()).output().await.ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    text.lines().find(|line| !line.starts_with('#') && !line.is_empty()).map(str::to_owned)
}

/// Understands what `ssh` said before it gave up.
fn trouble(said: &str) -> Trouble {
    let last =
        said.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or("it said nothing");
    if said.contains("REMOTE HOST IDENTIFICATION HAS CHANGED") {
        Trouble::ChangedKey
    } else if said.contains("Host key verification failed") {
        Trouble::UnknownKey(None)
    } else if said.contains("Permission denied")
        || said.contains("Too many authentication failures")
    {
        // A key that is not there is a warning to ssh, which then tries without.
        let key = said.lines().find(|line| line.contains("not accessible"));
        Trouble::Denied(key.unwrap_or(last).trim().into())
    } else {
        Trouble::Unreachable(last.into())
    }
}

/// A text as one word of a shell.
pub(super) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn troubles_are_told_apart() {
        let kind = |said: &str| match trouble(said) {
            Trouble::UnknownKey(_) => "unknown key",
            Trouble::ChangedKey => "changed key",
            Trouble::Denied(_) => "denied",
            Trouble::Unreachable(_) => "unreachable",
            Trouble::NoTransport(_) | Trouble::Slow => "other",
        };
        assert_eq!(
            kind("No ED25519 host key is known for x.\nHost key verification failed.\n"),
            "unknown key"
        );
        assert_eq!(
            kind(
                "@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @\nHost key verification failed."
            ),
            "changed key"
        );
        assert_eq!(kind("u@x: Permission denied (publickey)."), "denied");
        assert_eq!(kind("ssh: connect to host x port 22: Connection refused"), "unreachable");
        let key = "Warning: Identity file k not accessible: No such file or directory.";
        match trouble(&format!("{key}\nu@x: Permission denied (publickey).")) {
            Trouble::Denied(said) => assert_eq!(said, key),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn quoting_survives_a_shell() {
        let text = "it's $HOME \"and\" `more` \\ of\nit";
        let line = format!("printf %s {}", quoted(text));
        let output = std::process::Command::new("sh").args(["-c", &line]).output().unwrap();
        assert_eq!(String::from_utf8(output.stdout).unwrap(), text);
    }
}
