//! Locks with leases and fencing tokens, and what a resource does with the tokens.
//!
//! *Token.* Every hold has a number of its own, larger than those of all holds before it, whichever lock they are of.
//!
//! *Lease.* A hold ends when it is released, or when its holder has been silent for the length of a lease. A replica has no
//! clock that the others agree with, so no lease is measured here: time comes through the log. A hold counts its
//! renewals. Who asks for a lock that is held is told the hold, token and count; a contender that has been told the same one
//! for a whole lease, by its own clock, says so with its next attempt, and gets the lock if the hold is still that one
//! when its entry is applied. A renewal that comes before makes it another. So all replicas agree on who holds what, and
//! a lease ends no earlier than a lease after the last renewal that was applied, whatever the nodes' clocks do. (The lock
//! client of Amazon's DynamoDB decides in this way, by a record version number.)
//!
//! *Fencing.* A holder that was silent does not know that it holds the lock no more. A resource that remembers the largest
//! token it has seen, and refuses smaller ones, is safe from it ([`Fences`]). It does not ask who holds the lock: resource and lock
//! are two things that share nothing but tokens.
//!
//! Sources: Gray & Cheriton, *Leases* (SOSP 1989); Burrows, *The Chubby lock service* (OSDI 2006), §2.4, whose sequencers
//! are fencing tokens; M. Kleppmann, *How to do distributed locking* (2016).
//!
//! Limits: a lock is not re-entrant, knows no readers, and keeps no queue of those who wait.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Key, Mutant, Response};

/// The number of a hold; rises.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
pub struct Token(pub u64);

/// That somebody holds a lock, as contenders see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Hold {
    /// Which hold.
    pub token: Token,
    /// How often it was renewed.
    pub renewals: u64,
}

/// What is to be done with a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Act {
    /// Take it, if nobody holds it, or if its hold is still the one that was watched for a whole lease.
    Acquire {
        /// The hold that has outlived its lease.
        watched: Option<Hold>,
    },
    /// Begin the lease of a hold anew.
    Renew(Token),
    /// End a hold.
    Release(Token),
}

/// Who holds what.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Locks {
    holds: BTreeMap<Key, Hold>,
    /// The token given last.
    last: Token,
}

impl Locks {
    pub(super) fn perform(&mut self, lock: &Key, act: Act, mistake: Option<Mutant>) -> Response {
        match act {
            Act::Acquire { watched } => self.acquire(lock, watched, mistake),
            Act::Renew(token) => match self.holds.get_mut(lock) {
                Some(hold) if hold.token == token => {
                    hold.renewals += u64::from(mistake != Some(Mutant::IgnoreRenewal));
                    Response::Renewed
                }
                _ => Response::NotHeld,
            },
            Act::Release(token) => match self.holds.get(lock) {
                Some(hold) if hold.token == token || mistake == Some(Mutant::ReleaseAny) => {
                    self.holds.remove(lock);
                    Response::Released
                }
                _ => Response::NotHeld,
            },
        }
    }

    fn acquire(&mut self, lock: &Key, watched: Option<Hold>, mistake: Option<Mutant>) -> Response {
        match self.holds.get(lock) {
            Some(hold) if watched != Some(*hold) => Response::Held(*hold),
            _ => {
                if mistake == Some(Mutant::ReuseToken) {
                    let held = self.holds.values().map(|hold| hold.token).max();
                    self.last = held.unwrap_or_default();
                }
                self.last.0 += 1;
                self.holds.insert(lock.clone(), Hold { token: self.last, renewals: 0 });
                Response::Acquired(self.last)
            }
        }
    }
}

/// For every resource the largest token that it has seen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Fences(BTreeMap<Key, Token>);

impl Fences {
    pub(super) fn largest(&self, resource: &Key) -> Option<Token> {
        self.0.get(resource).copied()
    }

    /// Forgets the others.
    pub(super) fn keep(&mut self, mut kept: impl FnMut(&Key) -> bool) {
        self.0.retain(|resource, _| kept(resource));
    }

    /// Lets a token pass, or says which larger one was there before.
    pub(super) fn pass(&mut self, resource: &Key, token: Token) -> Result<(), Token> {
        match self.0.get(resource) {
            Some(largest) if *largest > token => Err(*largest),
            _ => {
                self.0.insert(resource.clone(), token);
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ACQUIRE: Act = Act::Acquire { watched: None };

    fn hold(token: u64, renewals: u64) -> Hold {
        Hold { token: Token(token), renewals }
    }

    #[test]
    fn a_lock_has_one_holder_and_tokens_rise_over_all_locks() {
        let (mut locks, a, b) = (Locks::default(), b"a".to_vec(), b"b".to_vec());
        assert_eq!(locks.perform(&a, ACQUIRE, None), Response::Acquired(Token(1)));
        assert_eq!(locks.perform(&a, ACQUIRE, None), Response::Held(hold(1, 0)));
        assert_eq!(locks.perform(&b, ACQUIRE, None), Response::Acquired(Token(2)));
        assert_eq!(locks.perform(&a, Act::Release(Token(1)), None), Response::Released);
        assert_eq!(locks.perform(&a, Act::Release(Token(1)), None), Response::NotHeld);
        assert_eq!(locks.perform(&a, ACQUIRE, None), Response::Acquired(Token(3)));
    }

    #[test]
    fn a_hold_is_taken_over_only_as_it_was_watched() {
        let (mut locks, a) = (Locks::default(), b"a".to_vec());
        locks.perform(&a, ACQUIRE, None);
        let watched = |hold| Act::Acquire { watched: Some(hold) };
        assert_eq!(locks.perform(&a, Act::Renew(Token(1)), None), Response::Renewed);
        assert_eq!(locks.perform(&a, watched(hold(1, 0)), None), Response::Held(hold(1, 1)));
        assert_eq!(locks.perform(&a, watched(hold(1, 1)), None), Response::Acquired(Token(2)));
        // Who was silent hears of it, and takes nothing from its successor.
        assert_eq!(locks.perform(&a, Act::Renew(Token(1)), None), Response::NotHeld);
        assert_eq!(locks.perform(&a, Act::Release(Token(1)), None), Response::NotHeld);
        assert_eq!(locks.perform(&a, ACQUIRE, None), Response::Held(hold(2, 0)));
        // Two contenders watched the same hold: one gets it.
        assert_eq!(locks.perform(&a, watched(hold(1, 1)), None), Response::Held(hold(2, 0)));
    }

    #[test]
    fn a_resource_refuses_tokens_smaller_than_one_it_has_seen() {
        let (mut fences, r) = (Fences::default(), b"r".to_vec());
        assert_eq!(fences.pass(&r, Token(3)), Ok(()));
        assert_eq!(fences.pass(&r, Token(3)), Ok(()));
        assert_eq!(fences.pass(&r, Token(2)), Err(Token(3)));
        assert_eq!(fences.pass(&b"s".to_vec(), Token(2)), Ok(()));
    }

    /// The same over one lock, written down as its whole past.
    fn slowly(past: &[(Act, Response)], act: Act) -> Response {
        let holder = past.iter().rev().find_map(|(_, response)| match response {
            Response::Acquired(token) => Some(Some(*token)),
            Response::Released => Some(None),
            _ => None,
        });
        let given = past.iter().filter(|(_, r)| matches!(r, Response::Acquired(_))).count() as u64;
        let held = holder.flatten().map(|token| {
            let renewed =
                |(act, r): &&(Act, Response)| *act == Act::Renew(token) && *r == Response::Renewed;
            hold(token.0, past.iter().filter(renewed).count() as u64)
        });
        match (act, held) {
            (Act::Acquire { watched }, Some(hold)) if watched != Some(hold) => Response::Held(hold),
            (Act::Acquire { .. }, _) => Response::Acquired(Token(given + 1)),
            (Act::Renew(token), Some(hold)) if hold.token == token => Response::Renewed,
            (Act::Release(token), Some(hold)) if hold.token == token => Response::Released,
            _ => Response::NotHeld,
        }
    }

    fn acts() -> impl Strategy<Value = Vec<Act>> {
        let watched = prop::option::of((0..6_u64, 0..3_u64).prop_map(|(t, r)| hold(t, r)));
        let act = prop_oneof![
            watched.prop_map(|watched| Act::Acquire { watched }),
            (0..6_u64).prop_map(|token| Act::Renew(Token(token))),
            (0..6_u64).prop_map(|token| Act::Release(Token(token))),
        ];
        prop::collection::vec(act, 0..40)
    }

    proptest! {
        #[test]
        fn a_lock_does_what_its_past_says(acts in acts()) {
            let (mut locks, mut past) = (Locks::default(), Vec::new());
            for act in acts {
                let expected = slowly(&past, act);
                prop_assert_eq!(locks.perform(&b"a".to_vec(), act, None), expected.clone());
                past.push((act, expected));
            }
        }
    }
}
