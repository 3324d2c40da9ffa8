//! Elections: who asks, who votes, who wins, and who gives up (paper §5.2, §5.4.1; dissertation §6.2, §9.6).

use std::collections::BTreeSet;

use rand::RngExt;

use super::leader::Leader;
use super::message::HardState;
use super::message::{Message, Position};
use super::mutant::Mutant;
use super::node::{Office, Replica};
use crate::api::{LogIndex, Nanos, NodeId, Note, Payload, Term};
use crate::kv::Response;
use crate::outbox::After;

impl Replica {
    /// Waits anew for a leader, for a time that differs between nodes so that seldom two campaign at once.
    pub(super) fn reset_election_timer(&mut self) {
        let range = self.config.election_timeout.clone();
        let wait = self.rng.random_range(range.start().0..=range.end().0);
        self.election_due = Nanos(self.now.0.saturating_add(wait));
    }

    /// No leader was heard for long enough.
    pub(super) fn campaign(&mut self) {
        self.leader = None;
        self.reset_election_timer();
        if !self.may_campaign() {
            self.office = Office::Follower;
            return;
        }
        self.outbox.note(Note::Campaigning(self.next_term()));
        if !self.config.pre_vote() {
            self.elect(false);
            return;
        }
        self.office = Office::PreCandidate(BTreeSet::new());
        let message =
            Message::PreVote { term: Term(self.hard_state.term.0 + 1), last: self.candidacy() };
        self.broadcast(After::HardState, &message);
        self.count_pre_vote(self.config.id);
    }

    /// The leader wants this node to follow it in office.
    pub(super) fn take_over(&mut self) {
        self.outbox.note(Note::Campaigning(self.next_term()));
        self.elect(true);
    }

    /// The term that this node campaigns in.
    fn next_term(&self) -> Term {
        // The mutant S3 stays where it is, unless that was a candidacy of its own already.
        let stays = self.config.is(Mutant::VoteForSelf)
            && self.hard_state.vote.is_some_and(|vote| vote != self.config.id);
        Term(self.hard_state.term.0 + u64::from(!stays))
    }

    /// A quorum would vote for this node: raises the term and asks it to.
    fn elect(&mut self, transfer: bool) {
        self.reset_election_timer();
        let term = self.next_term();
        self.office = Office::Candidate(BTreeSet::new());
        self.enter_term(HardState { term, vote: Some(self.config.id) });
        self.outbox.then(After::Log, term);
        let message = Message::Vote { term, last: self.candidacy(), transfer };
        self.broadcast(After::Log, &message);
    }

    pub(super) fn on_pre_vote(&mut self, from: NodeId, term: Term, last: Position) {
        let granted =
            term > self.hard_state.term && self.is_up_to_date(last) && !self.hears_leader();
        let term = if granted { term } else { self.hard_state.term };
        self.outbox.send(After::HardState, from, Message::PreVoteReply { term, granted });
    }

    pub(super) fn on_pre_vote_reply(&mut self, from: NodeId, term: Term, granted: bool) {
        if granted && term.0 == self.hard_state.term.0 + 1 {
            self.count_pre_vote(from);
        }
    }

    pub(super) fn on_vote(&mut self, from: NodeId, last: Position) {
        let free = self.hard_state.vote.is_none_or(|vote| {
            vote == from || self.config.is(Mutant::LargerNumberWins) && vote < from
        });
        let refused_before =
            self.config.is(Mutant::RefusedVoteStays) && self.hard_state.vote == Some(from);
        let granted = (free && (self.is_up_to_date(last) || refused_before))
            || self.config.is(Mutant::VoteForAnyone);
        let noted = granted || free && self.config.is(Mutant::RefusedVoteStays);
        if noted && self.hard_state.vote != Some(from) {
            self.save_hard_state(HardState { vote: Some(from), ..self.hard_state });
        }
        if granted {
            self.reset_election_timer();
        }
        let term = self.hard_state.term;
        self.outbox.send(After::HardState, from, Message::VoteReply { term, granted });
    }

    /// A vote of this term; the own one comes here too, when it is durable.
    pub(super) fn on_vote_reply(&mut self, from: NodeId, granted: bool) {
        let Office::Candidate(votes) = &mut self.office else { return };
        if granted {
            votes.insert(from);
        }
        let Office::Candidate(votes) = &self.office else { return };
        if self.has_quorum(|node| votes.contains(&node)) {
            self.lead();
        }
    }

    pub(super) fn on_own_vote(&mut self, term: Term) {
        if term == self.hard_state.term {
            self.on_vote_reply(self.config.id, true);
        }
    }

    fn count_pre_vote(&mut self, from: NodeId) {
        let Office::PreCandidate(votes) = &mut self.office else { return };
        votes.insert(from);
        let Office::PreCandidate(votes) = &self.office else { return };
        if self.has_quorum(|node| votes.contains(&node)) {
            self.elect(false);
        }
    }

    fn lead(&mut self) {
        let term = self.hard_state.term;
        let first = LogIndex(self.log.last().index.0 + 1);
        self.leader = Some(self.config.id);
        let first = if self.config.is(Mutant::ResetLog) { self.reset_log() } else { first };
        self.office = Office::Leader(Leader::new(self.peers(), first));
        self.outbox.note(Note::Leading(term));
        self.reset_quorum_timer();
        self.reset_heartbeat_timer();
        self.append_own(Payload::Noop);
        self.beat();
    }

    /// What the mutant S5 does when it is elected; says where its own first entry goes.
    fn reset_log(&mut self) -> LogIndex {
        let first = LogIndex(self.committed.0 + 1);
        self.log.truncate(first);
        first
    }

    /// Becomes or stays a follower. A leader that was answers its clients: nobody knows what becomes of the
    /// commands that it took; its reads did nothing.
    pub(super) fn follow(&mut self, term: Term, leader: Option<NodeId>) {
        let later = term > self.hard_state.term;
        if later {
            self.enter_term(HardState { term, vote: None });
        }
        let office = std::mem::replace(&mut self.office, Office::Follower);
        if self.config.is(Mutant::ClearVote) && !matches!(office, Office::Follower) {
            self.save_hard_state(HardState { vote: None, ..self.hard_state });
        }
        if let Office::Leader(office) = office {
            self.leader = None;
            self.outbox.note(Note::SteppedDown(self.hard_state.term));
            self.dismiss(office, leader, later);
            self.reset_election_timer();
        }
        if let Some(leader) = leader
            && self.leader != Some(leader)
        {
            self.leader = Some(leader);
            self.outbox.note(Note::Following(self.hard_state.term, leader));
        }
    }

    /// Begins a term, by a message or by this node's own campaign. What it knew of the last leader's log is void:
    /// entries that match that log may be missing in the next leader's.
    fn enter_term(&mut self, hard_state: HardState) {
        self.save_hard_state(hard_state);
        self.verified = LogIndex(0);
        self.incoming = None;
        self.leader = None;
    }

    fn dismiss(&mut self, office: Leader, successor: Option<NodeId>, later: bool) {
        if let Some(transfer) = office.transfer {
            let response = if later { Response::Changed } else { Response::Unknown };
            self.outbox.reply(transfer.request, response);
        }
        if let Some(id) = office.joint_request {
            self.outbox.reply(id, Response::Unknown);
        }
        for id in office.reads.into_ids() {
            self.outbox.reply(id, Response::NotLeader { leader: successor });
        }
        if self.config.is(Mutant::ReplyByIndex) {
            return;
        }
        for (_, id) in self.pending.drain(..) {
            self.outbox.reply(id, Response::Unknown);
        }
    }

    /// A message of this term's leader arrived. False if this node leads that term itself: of two leaders
    /// in a term, which only a mutant's cluster has, neither gives way.
    pub(super) fn hear(&mut self, leader: NodeId) -> bool {
        if matches!(self.office, Office::Leader(_)) {
            return false;
        }
        self.follow(self.hard_state.term, Some(leader));
        self.heard_at = self.now;
        self.reset_election_timer();
        true
    }

    /// A leader asks itself whether a quorum still answers, once in the longest election timeout.
    pub(super) fn check_quorum(&mut self) {
        self.reset_quorum_timer();
        let Office::Leader(leader) = &mut self.office else { return };
        let mut active = BTreeSet::from([self.config.id]);
        for (peer, progress) in &mut leader.progress {
            if std::mem::take(&mut progress.active) {
                active.insert(*peer);
            }
        }
        if !self.has_quorum(|node| active.contains(&node)) && self.config.check_quorum() {
            self.follow(self.hard_state.term, None);
        }
    }

    /// A leader's regular round. The rounds that reads ask for do not put it off: what was lost is sent again at the
    /// regular ones, however many reads come.
    pub(super) fn reset_heartbeat_timer(&mut self) {
        let due = Nanos(self.now.0.saturating_add(self.config.heartbeat_interval.0));
        if let Office::Leader(leader) = &mut self.office {
            leader.heartbeat_due = due;
        }
    }

    fn reset_quorum_timer(&mut self) {
        let due = Nanos(self.now.0.saturating_add(self.config.election_timeout.end().0));
        if let Office::Leader(leader) = &mut self.office {
            leader.quorum_due = due;
        }
    }

    /// Whether a leader was heard so recently that a campaign would only disturb it.
    fn hears_leader(&self) -> bool {
        match self.office {
            Office::Leader(_) => true,
            _ => self.leader.is_some() && self.is_patient(),
        }
    }

    /// Whether it is less than an election timeout ago that a leader was heard, of whatever term, or this node started.
    fn is_patient(&self) -> bool {
        self.now.0 < self.heard_at.0.saturating_add(self.config.election_timeout.start().0)
    }

    /// Whether this node does not even look at a vote request. A node that was removed and does not know it must not disturb a leader
    /// that is heard (dissertation §4.2.3); and a lease may count on this node, even if a later term has begun or it
    /// has restarted since (§6.4.1). A candidate that the leader itself chose is none of this.
    pub(super) fn shuts_out(&self, from: NodeId, message: &Message) -> bool {
        let Message::Vote { term, transfer: false, .. } = message else { return false };
        let stranger =
            !self.membership().is_voter(from) && !self.config.is(Mutant::RemovedDisrupts);
        let wary = (self.config.pre_vote() || stranger) && *term > self.hard_state.term;
        (wary && self.hears_leader()) || (self.config.lease_reads && self.is_patient())
    }

    /// What this node's log is compared by.
    fn candidacy(&self) -> Position {
        if self.config.is(Mutant::CompareLength) {
            return Position { term: Term(0), index: LogIndex(self.log.len() as u64) };
        }
        self.log.last()
    }

    fn is_up_to_date(&self, last: Position) -> bool {
        last >= self.candidacy()
    }

    pub(super) fn save_hard_state(&mut self, hard_state: HardState) {
        self.hard_state = hard_state;
        match self.config.mutant {
            Some(Mutant::ForgetVote) => {}
            Some(Mutant::VoteUnsynced) => self.outbox.save_hard_state_unsynced(hard_state),
            Some(Mutant::ForgetOwnVote) => {
                let vote = hard_state.vote.filter(|vote| *vote != self.config.id);
                self.outbox.save_hard_state_once(HardState { vote, ..hard_state });
            }
            _ => self.outbox.save_hard_state_once(hard_state),
        }
    }
}
