//! Which kind a file is of.

use std::fmt;
use std::str::FromStr;

use super::{log, sessions};
use crate::error::Problem;

/// What some programs put before UTF-8, in UTF-8.
pub(super) const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// A kind of history file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Format {
    /// Our own: JSON Lines behind a header.
    Keelhaul,
    /// Jepsen's EDN, and Porcupine's key–value logs.
    Edn,
    /// Jepsen's ops as JSON, an op a line or one array.
    Json,
    /// Jepsen's `history.txt`.
    JepsenText,
    /// Porcupine's etcd logs.
    PorcupineEtcd,
    /// Plume's text: an operation of a transaction a line.
    Plume,
    /// dbcop's sessions of transactions as JSON.
    Dbcop,
    /// The same as bincode.
    DbcopBincode,
    /// Logs of Cobra's clients.
    Cobra,
}

impl Format {
    /// Every kind.
    pub const ALL: [Self; 9] = [
        Self::Keelhaul,
        Self::Edn,
        Self::Json,
        Self::JepsenText,
        Self::PorcupineEtcd,
        Self::Plume,
        Self::Dbcop,
        Self::DbcopBincode,
        Self::Cobra,
    ];

    /// Whether it has transactions by session, and no times.
    #[must_use]
    pub const fn is_by_session(self) -> bool {
        matches!(self, Self::Plume | Self::Dbcop | Self::DbcopBincode | Self::Cobra)
    }

    /// Its name for arguments and headers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Keelhaul => "keelhaul",
            Self::Edn => "edn",
            Self::Json => "json",
            Self::JepsenText => "jepsen-text",
            Self::PorcupineEtcd => "porcupine-etcd",
            Self::Plume => "plume",
            Self::Dbcop => "dbcop",
            Self::DbcopBincode => "dbcop-bincode",
            Self::Cobra => "cobra",
        }
    }

    /// Tells the kind from the first bytes of a file, some hundred if there are. A file of nothing but blanks is EDN
    /// without ops.
    #[must_use]
    pub fn recognise(head: &[u8]) -> Option<Self> {
        let head = head.strip_prefix(BYTE_ORDER_MARK).unwrap_or(head);
        if let Some(format) = sessions::recognise(head) {
            return Some(format);
        }
        let head = head.trim_ascii_start();
        match head.first() {
            None | Some(b'#' | b'(' | b';' | b',') => Some(Self::Edn),
            Some(b'{') => Some(map_kind(head)),
            Some(b'[') => {
                let inner = head[1..].trim_ascii_start();
                match inner.first() {
                    Some(b'{') => Some(map_kind(inner)),
                    Some(b'[') => sessions::looks_like_session(&inner[1..]).then_some(Self::Dbcop),
                    None | Some(b']' | b'#' | b';' | b',') => Some(Self::Edn),
                    Some(_) => None,
                }
            }
            Some(_) => log_kind(head),
        }
    }
}

/// What a file is instead of a history, where its first bytes tell.
pub(super) fn mistaken(head: &[u8]) -> Option<Problem> {
    const COMPRESSED: [(&[u8], &str, &str); 5] = [
        (b"\x1f\x8b", "gzip", "zcat"),
        (b"\x28\xb5\x2f\xfd", "zstd", "zstdcat"),
        (b"\xfd7zXZ\x00", "xz", "xzcat"),
        (b"BZh", "bzip2", "bzcat"),
        (b"PK\x03\x04", "zip", "unzip -p"),
    ];
    if head.starts_with(b"\xff\xfe") || head.starts_with(b"\xfe\xff") {
        return Some(Problem::Utf16);
    }
    let (_, with, command) = COMPRESSED.iter().find(|(magic, ..)| head.starts_with(magic))?;
    Some(Problem::Compressed { with, command })
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Format {
    type Err = ();

    /// Its name; `porcupine-kv` and `jepsen` are other names of EDN.
    fn from_str(name: &str) -> Result<Self, ()> {
        match name {
            "porcupine-kv" | "jepsen" => Ok(Self::Edn),
            _ => Self::ALL.into_iter().find(|format| format.as_str() == name).ok_or(()),
        }
    }
}

/// The kind of what begins with a map: JSON has a colon behind a quoted key, EDN has none.
fn map_kind(map: &[u8]) -> Format {
    let inner = map[1..].trim_ascii_start();
    let Some(key) = inner.strip_prefix(b"\"") else { return Format::Edn };
    let Some(len) = memchr::memchr(b'"', key) else { return Format::Edn };
    match (&key[..len], key[len + 1..].trim_ascii_start().first()) {
        (b"keelhaul", Some(b':')) => Format::Keelhaul,
        (b"params" | b"data", Some(b':')) => Format::Dbcop,
        (_, Some(b':')) => Format::Json,
        _ => Format::Edn,
    }
}

fn log_kind(head: &[u8]) -> Option<Format> {
    let end = memchr::memchr(b'\n', head).unwrap_or(head.len());
    let line = std::str::from_utf8(&head[..end]).ok()?;
    if log::behind_prefix(line).is_some_and(log::looks_right) {
        Some(Format::PorcupineEtcd)
    } else {
        log::looks_right(line).then_some(Format::JepsenText)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bytes_tell() {
        let kind = |head: &str| Format::recognise(head.as_bytes());
        let edn = [
            "",
            " \n",
            "; a comment",
            "{:type :ok}",
            "\u{feff}{:type :ok}",
            "[{:a 1}]",
            "({:a 1})",
            "[]",
            "{\"type\" \"ok\"}",
            "#jepsen.history.Op{:index 0}",
            "[\n #jepsen.history.Op{:index 0}]",
            "{}",
        ];
        for head in edn {
            assert_eq!(kind(head), Some(Format::Edn), "{head}");
        }
        for head in ["{\"type\":\"ok\"}", "[{\"type\" : \"ok\"}", " [\n {\"type\": 1"] {
            assert_eq!(kind(head), Some(Format::Json), "{head}");
        }
        assert_eq!(kind("{\"keelhaul\":1,\"store\":\"\"}"), Some(Format::Keelhaul));
        assert_eq!(kind("0\t:invoke\t:read\tnil\n"), Some(Format::JepsenText));
        assert_eq!(kind(":nemesis :info :start nil"), Some(Format::JepsenText));
        assert_eq!(
            kind("INFO  jepsen.util - 0\t:invoke\t:read\tnil\n"),
            Some(Format::PorcupineEtcd)
        );
        assert_eq!(kind("r(15,0,0,0)\n"), Some(Format::Plume));
        assert_eq!(kind("w(1, 2, 3, -1)"), Some(Format::Plume));
        for head in
            ["[[{\"events\":", "[\n [", "[[],[{ \"events\"", "{\"params\":{", "{\"data\": []}"]
        {
            assert_eq!(kind(head), Some(Format::Dbcop), "{head}");
        }
        for head in [
            "hello",
            "<html>",
            "[1,2]",
            "r(1,2)",
            "w(a,1,2,3)",
            "Some more text, of no kind",
            "0 1 2",
            "INFO - hello",
            "\u{fffd}",
            "7",
        ] {
            assert_eq!(kind(head), None, "{head}");
        }
        assert_eq!(Format::recognise(&[0xff, 0xfe, 0]), None);
    }

    #[test]
    fn names_are_read_back() {
        for format in Format::ALL {
            assert_eq!(format.to_string().parse(), Ok(format));
        }
        assert_eq!("porcupine-kv".parse(), Ok(Format::Edn));
        assert_eq!("yaml".parse::<Format>(), Err(()));
    }
}
