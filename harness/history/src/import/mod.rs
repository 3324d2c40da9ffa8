//! Histories that other tools recorded, read as if they were ours.
//!
//! [`open`] recognises the kind of a file by its first bytes and gives a [`Source`], an [`OpSource`] like our own
//! [`crate::Reader`]: a stream of [`crate::RawOp`]s, numbered and paired, in memory that does not grow with the file.
//! [`open_all`] collects the same into owned [`crate::Op`]s.
//!
//! # Kinds
//! * *EDN*, as Jepsen, Knossos and Elle write it (`history.edn`): an operation a line, or one vector or list of them,
//!   as maps or tagged maps (`#jepsen.history.Op{…}`), with keys and words as keywords, strings or symbols. Porcupine's
//!   key–value logs are of this kind too: their `:key` is the op's key.
//! * *JSON*, as elle-cli reads it: an object a line, or one array of them.
//! * *Jepsen's text* (`history.txt`): process, type, function, value and error, separated by blanks.
//! * *Porcupine's etcd logs*: the same behind `INFO  jepsen.util - `. There a failed cas means that the store compared
//!   and found another value, which is a promise to check. Such an op carries the error [`CAS_MISMATCH`], and the
//!   header's option [`OPTION_CAS_MISMATCH`] is true.
//! * *Plume's text*, *dbcop's JSON and bincode*, *Cobra's logs*: transactions by session, without times. Each becomes a
//!   `txn` of reads and writes; the header's option [`OPTION_UNTIMED`] is true.
//!
//! # Values
//! A [`crate::Value`] has no keywords, sets, ratios or floats. Keywords and symbols become text without their colon,
//! as in Jepsen's own JSON; characters become text; so do numbers that no `i64` holds, as they are written. A set
//! becomes a list in order, and maps are ordered by key, so that equal values are equal whatever the order they were
//! written in; keys of maps that are no text become the text of their JSON. Tags and metadata are skipped, `#_` and
//! comments too. An error that is no text becomes the text of its JSON. Any other field of an op is left out, but
//! for `rebalance-log` of Jepsen's kafka: each of its events becomes a micro-operation `["rebalance", keys]`.
//!
//! # What must fit
//! What [`crate::Reader`] demands of our format, where a foreign format says as much. Absent indices and times are
//! numbered on; present ones are checked, then the op gets its position as index. Order is the order of the file, as
//! for every checker of these formats. Tools of the Jepsen family stamp the time before they take a place in the
//! history, so between processes time may go back by [`TIME_BACK_NS_MAX`] and a fifth of the time reached (two thirds
//! after the first second, where ops have indices that rise); it is then raised, and a note says so. A process' own
//! times may not go back. A client process that goes on after an info goes on under a new number, which is what the
//! info means. An info `crash` ends whatever its process does. A nemesis of the Jepsen family writes an info when it
//! begins and another when it is done.
//!
//! Anything else is an error that names the line and what would be right, unless [`Options::repair`] is set: see there.
//!
//! # Independent keys
//! Jepsen's `independent` puts the key into the value: `[k v]`. With [`Independent::Yes`] every client op's value must
//! be such a pair, and is taken apart; a completion without a value has its invocation's key. [`Independent::Guess`]
//! does so if, in the first bytes of the file, some client invokes `read` and every such invocation has the value
//! `[k nil]`, every other client op's value is a list of two, and no key is a list, a map or nil. Histories of sets or
//! queues whose elements are themselves pairs cannot be told from independent ones if they are read key by key, so a
//! caller who knows should say.
//!
//! # Limits
//! An op may take [`crate::LINE_BYTES_MAX`] bytes and nest 64 deep. Foreign files carry no seal, so their ending is
//! always [`crate::Ending::Unsealed`]; one that was cut inside an op is an error.
//!
//! Sources: the EDN specification (github.com/edn-format/edn), jepsen.history's documentation of op maps, RFC 8259.

mod edn;
mod format;
mod importer;
mod json;
mod log;
mod notes;
mod pairs;
mod plain;
mod record;
mod repair;
mod sessions;
mod source;
mod window;

pub use format::Format;
pub use importer::{
    CAS_MISMATCH, Importer, Independent, OPTION_CAS_MISMATCH, OPTION_FORMAT, OPTION_UNTIMED,
    Options, TIME_BACK_NS_MAX,
};
pub use sessions::{SESSION_END, Sessions};
pub use source::{Imported, OpSource, Source, open, open_all};
