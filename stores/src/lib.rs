//! One folder a system under test: how to install, start, stop and talk to it.
//!
//! A store is an adapter between the vocabulary of operations that all workloads share and one real system. It
//! decides nothing about faults, workloads or verdicts, and it never knows in which environment its nodes live.

pub mod etcd;
mod membership;
mod node;
pub mod raft;
mod releases;
pub mod sharding;
mod store;
pub mod txn;
pub mod zookeeper;

pub use membership::Membership;
pub use releases::Releases;
pub use sharding::Sharding;
pub use store::{Family, Leadership, Store, StoreClock, StoreError};
