//! What a fault asks of a store: which are within the failures that its promises are made for, and which are not.
//!
//! Paxos, Raft and Zab promise safety while nodes stop, are slow, come back with what they had synced, and exchange messages that may
//! get lost. A disk that later holds something else than what was synced is beyond that: Alagappan et al., "Protocol-Aware Recovery for
//! Consensus-Based Storage", FAST '18.

/// What a store must have so that a run with this kind of fault is a fair test of it; nothing for those that every durable store must
/// survive.
#[must_use]
pub fn asks(kind: &str) -> Option<&'static str> {
    Some(match kind {
        "disk-flip" => "checksums of all that is stored",
        "disk-copy" | "disk-misdirect" => "checksums that tell where their bytes belong",
        "disk-truncate" | "disk-rewind" => {
            "a way to notice that it forgot what it had synced, such as the log's end kept elsewhere"
        }
        "upgrade" => {
            "two releases that work together, the first of which starts with what the other one has written"
        }
        "rolling-upgrade" => "two releases that work together",
        "wipe" => "a way to tell a node that lost its disk from one that was never there",
        _ => return None,
    })
}

/// Whether a kind of fault changes what was synced. Such faults strike one minority throughout a run, so that a majority has all that was
/// acknowledged: no store survives the same damage everywhere.
#[must_use]
pub fn harms(kind: &str) -> bool {
    asks(kind).is_some() && !crate::needs_release(kind)
}
