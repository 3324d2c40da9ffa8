//! Real-time order in linear size.
//!
//! A transaction precedes every one that is invoked after it completed: quadratically many pairs. A chain of relays, one a
//! moment, says the same: a transaction leads to the relay of its completion, each relay to the next, and the last relay
//! before an invocation to what is invoked. A path through relays from one transaction to another is one edge of real
//! time between them.

use super::csr::{Classes, GraphBuilder};

/// When a transaction ran, in positions of the history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// Where it was invoked.
    pub call: u32,
    /// Where it certainly had taken effect; none if that is not known.
    pub ret: Option<u32>,
}

/// Adds the order of real time; `times` has the transactions by number, and calls rise with it.
pub fn realtime(graph: &mut GraphBuilder, times: &[Times]) {
    debug_assert!(times.is_sorted_by_key(|times| times.call), "calls rise");
    let completed = times.iter().enumerate().filter_map(|(node, t)| Some((t.ret?, node as u32)));
    let mut completed: Vec<(u32, u32)> = completed.collect();
    completed.sort_unstable();
    let mut completions = completed.into_iter().peekable();
    let mut last = None;
    for (node, Times { call, .. }) in times.iter().enumerate() {
        // Completions with no invocation between them share a relay.
        let mut moment = None;
        while let Some((_, before)) = completions.next_if(|(ret, _)| ret < call) {
            let relay = *moment.get_or_insert_with(|| graph.relay());
            graph.edge(before, relay, Classes::REALTIME);
        }
        if let Some(relay) = moment
            && let Some(earlier) = last.replace(relay)
        {
            graph.edge(earlier, relay, Classes::REALTIME);
        }
        if let Some(relay) = last {
            graph.edge(relay, node as u32, Classes::REALTIME);
        }
    }
}
