//! When can the container have been empty?

use super::{Because, Conflict, Empty, Life, Unique};

/// Checks that every take that found nothing has an open gap. This is independent of the order of the values, in every
/// container: a legal order can be cut at an open gap, and its halves put one after the other.
///
/// # Errors
/// With such a take and values that are certainly inside, one after the other, all the while.
pub fn decide(unique: &Unique) -> Result<(), Conflict> {
    if unique.empties.is_empty() {
        return Ok(());
    }
    let open = open_before(unique);
    let blocked = |empty: &&Empty| open[empty.ret as usize + 1] == open[empty.call as usize + 1];
    match unique.empties.iter().find(blocked) {
        None => Ok(()),
        Some(empty) => Err(Conflict {
            lives: chain(&unique.lives, empty.call + 1, empty.ret),
            empties: vec![empty.row],
            because: Because::NeverEmpty,
        }),
    }
}

/// For each gap, how many of those before it are open.
fn open_before(unique: &Unique) -> Vec<u32> {
    let gaps = unique.end as usize + 1;
    let mut change = vec![0_i32; gaps + 1];
    for life in &unique.lives {
        let (from, to) = life.inside();
        if from <= to {
            change[from as usize] += 1;
            change[to as usize + 1] -= 1;
        }
    }
    let (mut inside, mut open) = (0, 0);
    let mut before = Vec::with_capacity(gaps + 1);
    for delta in change {
        before.push(open);
        inside += delta;
        open += u32::from(inside == 0);
    }
    before
}

/// As few lives as possible, as indices, so that in each gap from `from` to `to` one of them is certainly inside. There
/// must be some.
pub fn chain(lives: &[Life], from: u32, to: u32) -> Vec<u32> {
    let mut by_start: Vec<u32> = (0..lives.len() as u32).collect();
    by_start.sort_unstable_by_key(|at| lives[*at as usize].put_ret);
    let mut chain = Vec::new();
    let mut reached = from;
    let mut best: Option<(u32, u32)> = None;
    for at in by_start {
        let (start, end) = lives[at as usize].inside();
        if start > reached {
            let Some((last, link)) = best.take_if(|(last, _)| *last >= reached) else { break };
            chain.push(link);
            reached = last + 1;
            if reached > to || start > reached {
                break;
            }
        }
        if best.is_none_or(|(last, _)| last < end) {
            best = Some((end, at));
        }
    }
    if reached <= to
        && let Some((_, link)) = best
    {
        chain.push(link);
    }
    chain
}
