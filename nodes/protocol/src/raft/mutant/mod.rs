//! Mistakes that a Raft replica, or the storage below any replica, can be told to make; see [`crate::mutant`].

mod elections;
mod equivalents;
mod replication;
mod state;
mod storage;

use crate::mutant::{Info, catalogue};

/// A mistake that a replica can be told to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Mutant {
    /// R1.
    CommitOldTerm,
    /// R2.
    ForgetVote,
    /// R3.
    VoteUnsynced,
    /// R4.
    ClearVote,
    /// R5.
    CompareLength,
    /// R6.
    RefusedVoteStays,
    /// R7.
    CountStaleVotes,
    /// R8.
    ForgetOwnVote,
    /// R9.
    QuorumOffByOne,
    /// R10.
    IgnoreHigherTerm,
    /// R11.
    TruncateAlways,
    /// R12.
    KeepTail,
    /// R13.
    CommitUnverified,
    /// R14.
    CommitBack,
    /// R15.
    MatchAhead,
    /// R17.
    AckUnsynced,
    /// R18.
    CountUnsynced,
    /// R19.
    KeepDurable,
    /// R21.
    ForgetDirectory,
    /// R24.
    IgnoreSyncError,
    /// R26.
    StopAtOldTerm,
    /// R27.
    ReplyByIndex,
    /// R28.
    NoDedupe,
    /// R29.
    ExpireByClock,
    /// R30.
    ForgetSessions,
    /// R32.
    LocalRead,
    /// R33.
    ReadBeforeCommit,
    /// R34.
    ReuseRound,
    /// R37.
    LeaseFromReceipt,
    /// R38.
    LeaseAfterTransfer,
    /// R39.
    ChangeTooEarly,
    /// R40.
    ChangeWhilePending,
    /// R42.
    JointUnion,
    /// R43.
    KeepMembership,
    /// R44.
    StaleMembership,
    /// R45.
    CountLearners,
    /// R46.
    RemovedDisrupts,
    /// R47.
    DropSuffix,
    /// R48.
    SnapshotAhead,
    /// R49.
    CompactUnsynced,
    /// R53.
    TransferSticks,
    /// S1.
    VoteForAnyone,
    /// S2.
    AppendUnchecked,
    /// S3.
    VoteForSelf,
    /// S4.
    LargerNumberWins,
    /// S5.
    ResetLog,
    /// S6.
    CommitByItself,
    /// E1.
    SlowHeartbeats,
    /// E2.
    LongElections,
    /// E3.
    SingleEntries,
    /// E4.
    LargeAppends,
    /// E5.
    NoPipeline,
    /// E6.
    FrequentSnapshots,
    /// E7.
    NoPreVote,
    /// E8.
    NoCheckQuorum,
    /// E9.
    StepBack,
    /// E10.
    SmallPieces,
}

/// Everything that can be seeded, by what it is about.
const TABLES: [&[Info<Mutant>]; 5] =
    [elections::TABLE, replication::TABLE, state::TABLE, storage::TABLE, equivalents::TABLE];

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
