//! Terms, votes and elections.

use super::Mutant;
use crate::mutant::{BUSY, Info};

pub(super) const TABLE: &[Info<Mutant>] = &[
    Info::mistake(Mutant::ForgetVote, "forget-vote", "R2", 3)
        .breaks("does not store term and vote; both must survive a restart")
        .met_in("paper figure 2, persistent state")
        .shows("two leaders in a term; an acknowledged write is lost")
        .reached_by("kill", BUSY),
    Info::mistake(Mutant::VoteUnsynced, "vote-unsynced", "R3", 3)
        .breaks("answers a vote request before its vote is synced, and leaves the sync for later; a vote must be durable before anybody hears of it")
        .met_in("paper figure 2, persistent state; hashicorp/raft#661")
        .shows("two leaders in a term after a loss of power; an acknowledged write is lost")
        .reached_by("power", BUSY)
        .without_pre_vote(),
    Info::mistake(Mutant::ClearVote, "clear-vote", "R4", 3)
        .breaks("forgets its vote whenever it steps down, in the same term too; a vote is for the whole term")
        .met_in("paper §5.2; CCF#8094, redpanda#14")
        .shows("two leaders in a term")
        .reached_by("partition,kill", BUSY)
        .without_pre_vote(),
    Info::mistake(Mutant::CompareLength, "compare-length", "R5", 2)
        .breaks("votes for the log that holds more entries, compacted ones not counted; the later last term must win, and the later index only between equal terms. Logs are compacted often")
        .met_in("paper §5.4.1; openraft a48a3282")
        .shows("an acknowledged write is lost; stale reads from the wrong leader")
        .reached_by("partition,kill", BUSY)
        .without_pre_vote()
        .without_check_quorum(),
    Info::mistake(Mutant::RefusedVoteStays, "refused-vote-stays", "R6", 3)
        .breaks("notes a candidate that it refuses as the one it voted for, and grants the vote when asked again; what was refused is no vote")
        .met_in("paper §5.4.1; openraft 0.10.0-alpha.2, databend#16175")
        .shows("a leader without committed entries; an acknowledged write is lost")
        .reached_by("partition,kill", BUSY)
        .without_pre_vote(),
    Info::mistake(Mutant::CountStaleVotes, "count-stale-votes", "R7", 3)
        .breaks("counts votes of earlier terms; a vote is for the term that it names")
        .met_in("paper §5.2; Xraft#1")
        .shows("two leaders in a term")
        .reached_by("partition,kill", BUSY)
        .without_pre_vote(),
    Info::mistake(Mutant::ForgetOwnVote, "forget-own-vote", "R8", 3)
        .breaks("a candidate stores its new term and not its own vote; after a restart it votes for another in that term")
        .met_in("paper figure 2, persistent state; nebula#3415")
        .shows("two leaders in a term")
        .reached_by("kill", BUSY)
        .without_pre_vote(),
    Info::mistake(Mutant::QuorumOffByOne, "quorum-off-by-one", "R9", 1)
        .breaks("takes half of the members, rounded down, for a quorum in elections, commits and reads; any two quorums must share a member")
        .met_in("paper §5.2; openraft d60f1e85")
        .shows("two sides of a partition both acknowledge; stale reads, lost writes")
        .reached_by("partition", BUSY),
    Info::mistake(Mutant::IgnoreHigherTerm, "ignore-higher-term", "R10", 2)
        .breaks("a leader or candidate does not look at the term of replies; a higher one must end its office")
        .met_in("paper §5.1; CCF#5674")
        .shows("a deposed leader serves stale reads")
        .reached_by("partition", BUSY)
        .without_check_quorum(),

    Info::mistake(Mutant::VoteForAnyone, "vote-for-anyone", "S1", 1)
        .breaks("votes for whoever asks, however often in a term; one vote a term, and only for a log as good as its own")
        .met_in("teaching texts; paper §5.2, §5.4.1")
        .shows("two leaders in a term; an acknowledged write is lost")
        .reached_by("partition,kill", BUSY)
        .without_pre_vote(),
    Info::mistake(Mutant::VoteForSelf, "vote-for-self", "S3", 1)
        .breaks("campaigns in the term that it is in, and votes for itself whatever it voted before; a campaign begins a new term")
        .met_in("teaching texts; paper §5.2")
        .shows("two leaders in a term; an acknowledged write is lost")
        .reached_by("partition,kill", BUSY)
        .without_pre_vote(),
    Info::mistake(Mutant::LargerNumberWins, "larger-number-wins", "S4", 1)
        .breaks("votes again in a term if a node with a larger number asks; one vote a term, whoever asks")
        .met_in("teaching texts; paper §5.2")
        .shows("two leaders in a term; an acknowledged write is lost")
        .reached_by("partition,kill", BUSY)
        .without_pre_vote(),
    Info::mistake(Mutant::ResetLog, "reset-log", "S5", 1)
        .breaks("a new leader drops what it does not know to be committed; a leader never removes an entry, for it may be committed")
        .met_in("teaching texts; paper §5.3, leader append-only")
        .shows("an acknowledged write is lost")
        .reached_by("partition,kill", BUSY),
];
