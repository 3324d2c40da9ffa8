//! Mistakes that the state machine can be told to make with locks and transactions, whatever protocol replicates it; see
//! [`crate::mutant`].

use crate::mutant::{Info, catalogue};

/// A mistake of the state machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Mutant {
    /// L1.
    IgnoreFence,
    /// L2.
    ReuseToken,
    /// L3.
    IgnoreRenewal,
    /// L4.
    ReleaseAny,
    /// L5.
    ForgetLocks,
    /// T1.
    HideHolder,
    /// T2.
    HoldPutsOnly,
    /// T3.
    LastDecisionWins,
    /// T4.
    ForgetPrepared,
    /// T5.
    AlwaysYes,
    /// T6.
    ServeLeaving,
    /// T7.
    MoveUnderPrepared,
}

/// Everything that can be seeded.
const TABLE: &[Info<Mutant>] = &[
    Info::mistake(Mutant::IgnoreFence, "lock-ignore-fence", "L1", 2)
        .breaks("what a lock guards takes any token; it must refuse those smaller than one it has seen")
        .met_in("HBase before its region servers were fenced; Kleppmann 2016")
        .shows("a stale holder's items behind its successor's")
        .reached_by("pause", "--workload lock --nemesis-interval 3"),
    Info::mistake(Mutant::ReuseToken, "lock-reuse-token", "L2", 1)
        .breaks("a token is one more than the largest held now; it must be larger than any ever given")
        .met_in("counters kept beside the lock, such as a key with the lock's own life in Redis")
        .shows("tokens that do not rise")
        .reached_by("none", "--workload lock"),
    Info::mistake(Mutant::IgnoreRenewal, "lock-ignore-renewal", "L3", 1)
        .breaks("a renewal is acknowledged and not counted; it must begin the lease anew")
        .met_in("leases that run from the acquisition, as of Redlock without extension")
        .shows("two holders at work without any fault, where there are no tokens")
        .reached_by("none", "--workload lock --lock unfenced"),
    Info::mistake(Mutant::ReleaseAny, "lock-release-any", "L4", 2)
        .breaks("a release frees the lock whoever holds it; it must be of the hold that there is")
        .met_in("`DEL` without comparing the value: the documentation of Redis' SET warns of it")
        .shows("two holders within one lease")
        .reached_by("pause", "--workload lock --lock unfenced --nemesis-interval 3"),
    Info::mistake(Mutant::ForgetLocks, "lock-forget-locks", "L5", 2)
        .breaks("snapshots leave out locks; all that commands depend on belongs to the state")
        .met_in("the same as R30, for holds and tokens")
        .shows("tokens that do not rise, two holders within one lease")
        .reached_by("kill", "--workload lock --nemesis-interval 2"),
    Info::mistake(Mutant::HideHolder, "txn-hide-holder", "T1", 1)
        .breaks("a fetch does not tell that a prepared transaction is going to change the key; readers must wait for it")
        .met_in("two-phase commit without locks for readers; Bernstein et al. 1987, §7.1")
        .shows("parts of transactions are seen: G-single, fractured reads")
        .reached_by("none", "--workload list-append --groups 2"),
    Info::mistake(Mutant::HoldPutsOnly, "txn-hold-puts-only", "T2", 1)
        .breaks("a participant that has said yes holds what is put and not what was checked; both must stay as they are")
        .met_in("snapshot isolation sold as serializable: Berenson et al. 1995, §4.2")
        .shows("write skew: G2-item")
        .reached_by("none", "--workload list-append --groups 2"),
    Info::mistake(Mutant::LastDecisionWins, "txn-last-decision", "T3", 2)
        .breaks("a later decision replaces an earlier one; the first must stand")
        .met_in("outcomes written by put instead of compare-and-set")
        .shows("halves of transactions, lost appends")
        .reached_by("partition,kill,pause", "--workload list-append --groups 2 --nemesis-interval 2"),
    Info::mistake(Mutant::ForgetPrepared, "txn-forget-prepared", "T4", 2)
        .breaks("snapshots leave out prepared transactions; a promise must survive restarts")
        .met_in("participants that prepare in memory; Gray 1978, §5.8.3.3")
        .shows("halves of transactions")
        .reached_by("kill", "--workload list-append --groups 2 --nemesis-interval 2"),
    Info::mistake(Mutant::AlwaysYes, "txn-always-yes", "T5", 1)
        .breaks("a participant says yes without looking; it must not promise what it cannot keep")
        .met_in("sketches in teaching texts, whose participants have nothing to refuse")
        .shows("lost updates, incompatible orders")
        .reached_by("none", "--workload list-append --groups 2"),
    Info::mistake(Mutant::ServeLeaving, "move-serve-leaving", "T6", 1)
        .breaks("a group that is closed for a change of the placement serves keys that leave it; what was copied must stay as it is")
        .met_in("shards handed over while their old server goes on, the classic of MIT's 6.824, lab 4")
        .shows("lost appends, incompatible orders")
        .reached_by("group-join", "--workload list-append --groups 2 --nemesis-interval 2"),
    Info::mistake(Mutant::MoveUnderPrepared, "move-under-prepared", "T7", 2)
        .breaks("a change of the placement does not wait for prepared transactions; their keys must not be copied before they are over")
        .met_in("shards handed over with two-phase commits open")
        .shows("halves of transactions")
        .reached_by(
            "group-join,group-leave,kill",
            "--workload list-append --groups 2 --nemesis-interval 2 --rate 2000 --concurrency 4n",
        ),
];

const TABLES: [&[Info<Mutant>]; 1] = [TABLE];

catalogue!(Mutant, TABLES);
