//! Mistakes that a Paxos replica can be told to make; see [`crate::mutant`].

mod ballots;
mod equivalents;
mod slots;
mod state;
mod storage;

use crate::mutant::{Info, catalogue};

/// A mistake that a replica can be told to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Mutant {
    /// P1.
    ForgetPromise,
    /// P2.
    AcceptUnsynced,
    /// P3.
    OwnValue,
    /// P4.
    AdoptFirst,
    /// P5.
    AcceptWithoutPromise,
    /// P6.
    CountStalePromises,
    /// P7.
    ReuseBallots,
    /// P8.
    SharedBallots,
    /// P9.
    CountAnyBallot,
    /// P10.
    OwnGapOnly,
    /// P11.
    FillWithNoop,
    /// P12.
    SkipHoles,
    /// P13.
    LeaseFromReceipt,
    /// P14.
    LearnUnverified,
    /// P15.
    NeverAskAgain,
    /// P16.
    ForgetAll,
    /// P19.
    NoBackOff,
    /// R9.
    HalfIsQuorum,
    /// R27.
    AnswerBySlot,
    /// R28.
    ExecuteTwice,
    /// R30.
    ForgetWhatWasDone,
    /// R32.
    ReadAlone,
    /// R33.
    ReadTooEarly,
    /// R21.
    ForgetDirectory,
    /// R24.
    IgnoreSyncError,
    /// R49.
    CompactUnsynced,
    /// S1.
    GreaterValueWins,
    /// S2.
    SmallerValueStays,
    /// S3.
    RandomBallots,
    /// E1.
    SlowHeartbeats,
    /// E2.
    LongElections,
    /// E3.
    SingleEntries,
    /// E4.
    NoPipeline,
    /// E5.
    FrequentSnapshots,
    /// E6.
    FewOpenSlots,
    /// E7.
    NoCheckQuorum,
    /// E8.
    SmallPieces,
}

/// Everything that can be seeded, by what it is about.
const TABLES: [&[Info<Mutant>]; 5] =
    [ballots::TABLE, slots::TABLE, state::TABLE, storage::TABLE, equivalents::TABLE];

catalogue!(Mutant, TABLES);

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_mutant_has_one_row() {
        let mutants: BTreeSet<Mutant> = Mutant::infos().map(|info| info.mutant).collect();
        let count = Mutant::SmallPieces as usize + 1;
        assert_eq!((mutants.len(), Mutant::infos().count()), (count, count));
    }
}
