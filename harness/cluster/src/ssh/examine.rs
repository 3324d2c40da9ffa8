//! What hosts can do, and what stands in the way of a run on them.

use std::io;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use keelhaul_agent::Finding;
use keelhaul_agent::examine::what;
use tokio::task::JoinSet;

use super::bundle::Bundle;
use super::host::Host;
use super::start::{Prepared, Ssh, SshError, last_line, prepare, run};
use super::transport::Transport;

/// By how much a host's clock may differ from ours before it is worth a word.
const OFFSET_MAX: Duration = Duration::from_millis(500);

impl Ssh {
    /// Looks at every host: how it is called, and a line for each thing that a run needs. `ports` are those of the stores. A host that is not
    /// reached has one line, which says why.
    pub async fn examine(
        hosts: &[Host],
        transport: Transport,
        ports: &[u16],
    ) -> Result<Vec<(String, Vec<Finding>)>, SshError> {
        let bundle = Bundle::of_this_program()
            .map_err(|source| SshError::Here { what: "read this program".into(), source })?;
        let mut looking = JoinSet::new();
        for (i, host) in hosts.iter().cloned().enumerate() {
            let (bundle, ports) = (bundle.clone(), ports.to_vec());
            looking.spawn(async move {
                let found = look(&host, transport, &bundle, &ports).await;
                let found = found.unwrap_or_else(|error| vec![no_access(&error)]);
                (i, host.shown(), found)
            });
        }
        let mut found = looking.join_all().await;
        found.sort_unstable_by_key(|(i, ..)| *i);
        Ok(found.into_iter().map(|(_, host, found)| (host, found)).collect())
    }
}

async fn look(
    host: &Host,
    transport: Transport,
    bundle: &Bundle,
    ports: &[u16],
) -> Result<Vec<Finding>, SshError> {
    let Prepared { program, address, .. } = prepare(host, transport, bundle).await?;
    let mut found =
        vec![Finding::new("access", Ok(format!("by {}, at {address}", transport.as_str())))];
    let ports: Vec<String> = ports.iter().map(ToString::to_string).collect();
    let line = format!("exec {program} agent examine {}", ports.join(" "));
    let output = run(host, transport, &line, &[]).await?;
    let text = String::from_utf8_lossy(&output.stdout);
    found.extend(text.lines().filter_map(Finding::from_line));
    if !output.success {
        let said = last_line(&output.stderr);
        return Err(SshError::Examine { host: host.shown(), said });
    }
    found.extend(offset(host, transport).await?);
    Ok(found)
}

/// By how much its clock differs from ours: somewhere between question and answer it looked at it.
async fn offset(host: &Host, transport: Transport) -> Result<Option<Finding>, SshError> {
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let before = now();
    let output = run(host, transport, "date +%s%N", &[]).await?;
    let unsure = now().saturating_sub(before) / 2;
    let theirs = String::from_utf8_lossy(&output.stdout).trim().parse::<u64>();
    // One whose `date` knows no nanoseconds is not asked any further.
    let Ok(theirs) = theirs.map(Duration::from_nanos) else { return Ok(None) };
    Ok(Some(clock_offset(theirs, before + unsure, unsure)))
}

fn clock_offset(theirs: Duration, ours: Duration, unsure: Duration) -> Finding {
    let (by, word) = match theirs.checked_sub(ours) {
        Some(by) => (by, "ahead"),
        None => (ours - theirs, "behind"),
    };
    let detail = format!("{} ms {word}, give or take {}", by.as_millis(), unsure.as_millis());
    let result = if by <= OFFSET_MAX + unsure {
        Ok(detail)
    } else {
        let remedy = "set it by the network (as root, chronyc makestep), or take it into account when you read logs";
        Err((io::Error::other(detail), remedy.into()))
    };
    Finding::new(what::OFFSET, result)
}

/// Why a host is not reached, or not of use.
fn no_access(error: &SshError) -> Finding {
    let remedy = match error {
        SshError::UnknownKey { .. } => "add the line, once you know that the key is the host's",
        SshError::ChangedKey(_) => {
            "find out why; remove the old line from known_hosts if all is well"
        }
        SshError::Denied { .. } => "name the right user and key (user@host, or an inventory)",
        SshError::Unreachable { .. } => {
            "see that it is on, that an SSH server listens there, and that the address and the port are right"
        }
        SshError::Copy { .. } => "make room in ~/.cache there",
        SshError::NoRoot(_) => "log in as root, or let the user use sudo without a password",
        SshError::NoAddress(_) => "name one as `address` in an inventory",
        _ => "give another host, or mend what it says",
    };
    Finding::new("access", Err((io::Error::other(error.to_string()), remedy.into())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_are_told_with_their_error() {
        let millis = Duration::from_millis;
        let found = clock_offset(millis(10_020), millis(10_000), millis(7));
        assert_eq!((found.ok, &*found.detail), (true, "20 ms ahead, give or take 7"));
        let found = clock_offset(millis(9_000), millis(10_000), millis(7));
        assert_eq!((found.ok, &*found.detail), (false, "1000 ms behind, give or take 7"));
    }
}
