//! Which hosts there are, as users write it down: `user@name:port`, a file of such lines, or an inventory in TOML.

use std::net::Ipv4Addr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// A host and how it is reached. What is absent is as `ssh` has it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Host {
    /// Its name or address, as one would give it to `ssh`.
    pub host: String,
    /// Where the other nodes reach it; by default the address that the SSH connection went to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<Ipv4Addr>,
    /// Who logs in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The port of its SSH server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// The file with the private key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<PathBuf>,
    /// The file with the keys of known hosts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub known_hosts: Option<PathBuf>,
    /// For how many seconds it may be silent before the connection counts as lost, if not as usual: a machine that is stopped says
    /// nothing, and is there still.
    #[serde(skip)]
    pub silence_s: Option<u32>,
}

/// An inventory that cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InventoryError {
    /// A word that is no host.
    #[error("{0:?} is no host: write user@name:port, where user and port may be left out")]
    Host(String),
    /// No host at all.
    #[error("no host is named")]
    Empty,
    /// Two nodes on one host would share its ports and its files.
    #[error("{0:?} is named twice: a host holds one node")]
    Twice(String),
    /// No inventory in TOML.
    #[error(
        "not an inventory ([[node]] tables with host, address, user, port, key, known-hosts): {0}"
    )]
    Toml(String),
}

/// The inventory's outermost table.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Inventory {
    node: Vec<Host>,
}

impl Host {
    /// Understands `user@name:port`.
    ///
    /// # Errors
    /// If it is not of that form.
    pub fn parse(word: &str) -> Result<Self, InventoryError> {
        let bad = || InventoryError::Host(word.into());
        let (user, rest) = match word.split_once('@') {
            Some((user, rest)) => (Some(user.to_owned()), rest),
            None => (None, word),
        };
        let (host, port) = match rest.split_once(':') {
            Some((host, port)) => (host, Some(port.parse().map_err(|_| bad())?)),
            None => (rest, None),
        };
        // A name that begins with a dash would be an option of ssh.
        let plain = |text: &str| {
            !text.is_empty()
                && !text.starts_with('-')
                && text.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
        };
        if !plain(host) || user.as_deref().is_some_and(|user| !plain(user)) {
            return Err(bad());
        }
        Ok(Self { host: host.into(), user, port, ..Self::default() })
    }

    /// Understands names separated by commas.
    ///
    /// # Errors
    /// If one is no host, or is named twice.
    pub fn parse_list(words: &str) -> Result<Vec<Self>, InventoryError> {
        let words = words.split(',').map(str::trim).filter(|word| !word.is_empty());
        distinct(words.map(Self::parse).collect::<Result<_, _>>()?)
    }

    /// Understands a file: an inventory in TOML if it has a `[[node]]`, otherwise a host a line, `#` beginning a comment.
    ///
    /// # Errors
    /// If it is neither.
    pub fn parse_file(text: &str) -> Result<Vec<Self>, InventoryError> {
        if text.lines().any(|line| line.trim_start().starts_with("[[node]]")) {
            let inventory: Inventory = toml::from_str(text).map_err(|error| {
                InventoryError::Toml(error.to_string().trim().replace('\n', " "))
            })?;
            for node in &inventory.node {
                Self::parse(&node.host)?;
            }
            return distinct(inventory.node);
        }
        let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
        distinct(lines.filter(|line| !line.is_empty()).map(Self::parse).collect::<Result<_, _>>()?)
    }

    /// How people call it.
    #[must_use]
    pub fn shown(&self) -> String {
        let user = self.user.as_ref().map(|user| format!("{user}@")).unwrap_or_default();
        let port = self.port.map(|port| format!(":{port}")).unwrap_or_default();
        format!("{user}{}{port}", self.host)
    }
}

fn distinct(hosts: Vec<Host>) -> Result<Vec<Host>, InventoryError> {
    if hosts.is_empty() {
        return Err(InventoryError::Empty);
    }
    for (i, host) in hosts.iter().enumerate() {
        let same = |other: &Host| (&other.host, other.port) == (&host.host, host.port);
        if hosts[..i].iter().any(same) {
            return Err(InventoryError::Twice(host.shown()));
        }
    }
    Ok(hosts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_names_a_host() {
        let host = Host::parse("root@db-1.example:2222").unwrap();
        assert_eq!(host.user.as_deref(), Some("root"));
        assert_eq!((host.host.as_str(), host.port), ("db-1.example", Some(2222)));
        assert_eq!(host.shown(), "root@db-1.example:2222");
        for bad in ["", "-oProxyCommand=x", "a@", "@a", "a:b", "a b", "a;b", "a:70000"] {
            assert_eq!(Host::parse(bad), Err(InventoryError::Host(bad.into())), "{bad}");
        }
    }

    #[test]
    fn lists_and_files() {
        assert_eq!(Host::parse_list("a, b:22").unwrap().len(), 2);
        assert_eq!(Host::parse_list(" , ").unwrap_err(), InventoryError::Empty);
        assert_eq!(Host::parse_list("a,a").unwrap_err(), InventoryError::Twice("a".into()));
        let lines = Host::parse_file("# ours\nn1 # first\n\nroot@n2:23\n").unwrap();
        assert_eq!(lines.iter().map(Host::shown).collect::<Vec<_>>(), ["n1", "root@n2:23"]);
        let toml = "[[node]]\nhost = \"a\"\naddress = \"10.0.0.1\"\nknown-hosts = \"k\"\n[[node]]\nhost = \"b\"\n";
        let nodes = Host::parse_file(toml).unwrap();
        assert_eq!(nodes[0].address, Some(Ipv4Addr::new(10, 0, 0, 1)));
        assert_eq!(nodes[0].known_hosts, Some("k".into()));
        let odd = Host::parse_file("[[node]]\nhost = \"a\"\npassword = \"x\"\n").unwrap_err();
        assert!(odd.to_string().contains("password"), "{odd}");
        let odd = Host::parse_file("[[node]]\nhost = \"-oProxyCommand=x\"\n");
        assert!(matches!(odd, Err(InventoryError::Host(_))));
    }
}
