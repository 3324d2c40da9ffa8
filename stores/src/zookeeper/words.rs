//! What a server says of itself, by its word of four letters `srvr`: it answers from its own state, also while it is cut off from the others.
//!
//! Source: ZooKeeper's administrator's guide, *The Four Letter Words*. The high half of a zxid is the epoch.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long a server may take. One that runs answers in a few milliseconds.
const PATIENCE: Duration = Duration::from_millis(500);
/// More than it ever says.
const BYTES_MAX: u64 = 4096;

/// How a server stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Whether it leads; it follows otherwise.
    pub leads: bool,
    /// The epoch of the last transaction that it has.
    pub epoch: u64,
}

/// How the server at `address` stands; nothing while it does not serve.
///
/// # Errors
/// When it does not answer in time.
pub async fn ask(address: SocketAddr) -> io::Result<Option<Standing>> {
    let talk = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(b"srvr").await?;
        let mut said = String::new();
        stream.take(BYTES_MAX).read_to_string(&mut said).await?;
        Ok(parse(&said))
    };
    timeout(PATIENCE, talk).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

fn parse(said: &str) -> Option<Standing> {
    let field = |name: &str| said.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let leads = match field("Mode:")? {
        "leader" | "standalone" => true,
        "follower" => false,
        _ => return None,
    };
    let zxid = u64::from_str_radix(field("Zxid:")?.strip_prefix("0x")?, 16).ok()?;
    Some(Standing { leads, epoch: zxid >> 32 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_says_whether_it_leads_and_in_which_epoch() {
        let said = "Zookeeper version: 3.8.0\nLatency min/avg/max: 0/0.0/0\nZxid: 0x200000003\nMode: leader\nNode count: 5\n";
        assert_eq!(parse(said), Some(Standing { leads: true, epoch: 2 }));
        let follows = said.replace("leader", "follower");
        assert_eq!(parse(&follows), Some(Standing { leads: false, epoch: 2 }));
    }

    #[test]
    fn one_that_does_not_serve_stands_nowhere() {
        assert_eq!(parse("This ZooKeeper instance is not currently serving requests\n"), None);
        assert_eq!(parse(""), None);
    }
}
