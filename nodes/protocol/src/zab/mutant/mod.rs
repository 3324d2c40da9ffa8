//! Seeded mistakes in Zab (see [`crate::mutant`]).

mod equivalents;
mod histories;
mod leadership;
mod storage;

use crate::mutant::{Info, catalogue};

/// A mistake that a replica can be told to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Mutant {
    /// Z1.
    VoteByZxid,
    /// Z2.
    EpochBeforeHistory,
    /// Z3.
    AckUnsyncedHistory,
    /// Z6.
    KeepDurable,
    /// Z7.
    DiffUnsynced,
    /// Z9.
    EarlyNewLeader,
    /// Z10.
    PartialSnapshot,
    /// Z12.
    KeepTail,
    /// Z13.
    ApplyTail,
    /// Z14.
    ForgetAccepted,
    /// Z15.
    EarlyBroadcast,
    /// Z16.
    SameEpoch,
    /// Z17.
    NoGapCheck,
    /// Z18.
    UnconfirmedSync,
    /// K1.
    TruncateToCommitted,
    /// Z20.
    AckUnsynced,
    /// Z21.
    CountUnsynced,
    /// Z22.
    QuorumOffByOne,
    /// R21.
    ForgetDirectory,
    /// R24.
    IgnoreSyncError,
    /// R49.
    CompactUnsynced,
    /// S1.
    LargerNumber,
    /// S2.
    LargerCounter,
    /// E1.
    SlowPings,
    /// E2.
    LongElections,
    /// E3.
    LongSettle,
    /// E4.
    SingleEntries,
    /// E5.
    NoPipeline,
    /// E6.
    FrequentSnapshots,
    /// E7.
    SmallPieces,
}

/// Everything that can be seeded, by what it is about.
const TABLES: [&[Info<Mutant>]; 4] =
    [leadership::TABLE, histories::TABLE, storage::TABLE, equivalents::TABLE];

catalogue!(Mutant, TABLES);

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_mutant_has_one_row_and_a_name_of_its_own() {
        let names: BTreeSet<&str> = Mutant::infos().map(|info| info.name).collect();
        let ids: BTreeSet<&str> = Mutant::infos().map(|info| info.id).collect();
        let mutants: BTreeSet<Mutant> = Mutant::infos().map(|info| info.mutant).collect();
        let count = Mutant::SmallPieces as usize + 1;
        assert_eq!((names.len(), ids.len(), mutants.len()), (count, count, count));
        assert_eq!(Mutant::infos().count(), count);
        for info in Mutant::infos() {
            assert_eq!(info.name.parse(), Ok(info.mutant));
        }
    }
}
