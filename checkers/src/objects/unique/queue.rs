//! A first-in, first-out queue, in linear time.
//!
//! Henzinger, Sezgin & Vafeiadis (CONCUR 2013) show that a complete history whose takes follow their puts is
//! linearizable if and only if no value overtakes another, and every take that found nothing has an open gap. A value *overtakes*
//! another if the other had gone in for certain before it began to, and it had come out for certain before the
//! other began to, or while nobody ever took the other.

use super::unknown::{self, Deadlines};
use super::{Because, Conflict, Unique, cover};

/// Decides.
///
/// # Errors
/// With what cannot be ordered.
pub fn decide(unique: &Unique) -> Result<(), Conflict> {
    if let Some((overtaken, by)) = overtaken(unique) {
        return Err(Conflict {
            lives: vec![overtaken, by],
            empties: Vec::new(),
            because: Because::Overtaken,
        });
    }
    cover::decide(unique)
}

/// When each value must be gone: when one that went in after it comes out, or somebody finds nothing.
pub fn deadlines(unique: &Unique) -> Deadlines {
    let mut earliest = unknown::by_empties(unique);
    for life in &unique.lives {
        let slot = &mut earliest[life.put_call as usize];
        *slot = life.take_ret.min(*slot);
    }
    unknown::from_the_end(&mut earliest);
    unique.lives.iter().map(|life| earliest[life.put_ret as usize]).collect()
}

const NONE: u32 = u32::MAX;

/// What a rank's event is, if it matters here.
const RETURNED: u32 = 1 << 31;

/// Walks along the events: of the values whose puts returned before, does any leave too late for the one that goes in?
fn overtaken(unique: &Unique) -> Option<(u32, u32)> {
    let mut events = vec![NONE; unique.end as usize];
    for (at, life) in unique.lives.iter().enumerate() {
        events[life.put_call as usize] = at as u32;
        if life.put_ret != unique.end {
            events[life.put_ret as usize] = at as u32 | RETURNED;
        }
    }
    // Of those that are in for certain, the one that nobody began to take for the longest time.
    let mut latest: Option<(u32, u32)> = None;
    for event in events {
        if event == NONE {
            continue;
        }
        let at = event & !RETURNED;
        let life = &unique.lives[at as usize];
        if event == at {
            if let Some((leaves, other)) = latest
                && leaves > life.take_ret
            {
                return Some((other, at));
            }
        } else if latest.is_none_or(|(leaves, _)| leaves < life.take_call) {
            latest = Some((life.take_call, at));
        }
    }
    None
}
