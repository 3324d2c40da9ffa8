//! The small program that runs on a node: processes, files, network cuts and shaping, disks that fail.
//!
//! One control node talks to it over one byte stream ([`wire`]). Whatever the agent does to its node it also undoes: when the
//! stream ends, in whatever way, paused daemons are resumed, its packet filter tables are removed, every process it
//! began is ended, and its disks are unmounted.
//!
//! Terms: a *daemon* is a program that stays, with all processes it begins; a *cut* drops packets from chosen sources on
//! arrival; to *shape* a link is to delay, lose, double, reorder, damage or slow down its packets; a *probe* or a *train* is packets
//! by which that is seen from outside.
//!
//! An agent that is killed undoes nothing. In the local environment the node dies with it; on a [`host`] a second process is its
//! guard, and a lease takes the place of a stream's end that never arrives.
//!
//! Limits: Linux only; IPv4 only; one control node at a time.

mod capture;
mod children;
mod clock;
mod command;
pub mod cut;
mod daemon;
mod disk;
pub mod examine;
mod files;
mod finding;
mod freezer;
mod hog;
pub mod host;
mod lease;
mod memory;
pub mod netlink;
mod patience;
mod probe;
mod procfs;
pub mod program_clock;
mod request;
mod run;
mod serve;
mod shape;
mod train;
mod trial;
pub mod wire;

pub use capture::{CAPTURE, Capture};
pub use clock::{ClockReading, ClockWish};
pub use command::{CommandError, command};
pub use disk::{
    Damaged, DiskDamage, DiskEffect, DiskFault, DiskOp, DiskReport, LostData, LostName, NameLoss,
    Naming, PowerLoss, detach_dead_disks,
};
pub use files::CHUNK_BYTES_MAX;
pub use finding::Finding;
pub use hog::{HOG, Hog};
pub use probe::PROBE_PORT;
pub use program_clock::{ProgramClock, ProgramWish};
pub use request::{Command, CutRule, Daemon, DaemonState, Exit, Output, Reply, Request, SELF_EXE};
pub use serve::{Circumstances, LOG_DIR, ServeError, serve, serve_in, serve_with};
pub use shape::{Fate, Line, MILLION, Shaping};
pub use train::{Train, TrainReport};
pub use wire::PROTOCOL_VERSION;
