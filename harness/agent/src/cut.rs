//! Cuts: packets of chosen sources are dropped or refused on arrival, by the agent's own nf_tables table.
//!
//! The table is `inet keelhaul` with one chain on the input hook and one rule a source that is to meet silence:
//! `ip saddr A counter drop`. One that is to be *refused* is answered by a reset or an error; two nodes that refuse each other must let
//! each other's resets and errors in, so these pass. The table is replaced as a whole in one transaction, so there is never a moment with half of a cut, and
//! nobody else's rules are ever touched. A cut is one-way: the other direction is cut at the other node.

use std::collections::BTreeSet;
use std::io;
use std::net::Ipv4Addr;

use crate::netlink::tables::{
    COMPARE_DATA, COUNTER_BYTES, COUNTER_PACKETS, DATA_VALUE, DATA_VERDICT, EXPRESSION_DATA,
    EXPRESSION_NAME, FAMILY_BYTES, ICMP, IMMEDIATE_DATA, NF_ACCEPT, NF_DROP, NFPROTO_INET,
    RULE_CHAIN, RULE_EXPRESSIONS, RULE_TABLE, TCP, Table, VERDICT_CODE, count, from_source,
    of_protocol, reject_by_error, reject_by_reset, verdict, with_reset,
};
use crate::netlink::{Attributes, Message, Socket};
use crate::request::CutRule;
use crate::trial;

const TABLE: Table = Table { family: NFPROTO_INET, name: "keelhaul" };
const CHAIN: &str = "cut";
/// Before every usual filter and connection tracking (`raw` in nft's words): a dropped packet leaves no trace.
const PRIORITY: i32 = -300;

/// Makes the kernel drop packets from exactly these addresses, and refuse those from the others; without any there is no table.
pub fn replace(from: &[Ipv4Addr], refuse: &[Ipv4Addr]) -> io::Result<()> {
    let dropped: BTreeSet<Ipv4Addr> = from.iter().copied().collect();
    let refused: BTreeSet<Ipv4Addr> = refuse.iter().copied().collect();
    let mut batch = TABLE.remove();
    if !dropped.is_empty() || !refused.is_empty() {
        batch.push(TABLE.create());
        batch.push(TABLE.input_chain(CHAIN, PRIORITY));
        batch.extend(
            dropped.iter().map(|source| {
                TABLE.rule(CHAIN, |m| verdict(count(from_source(m, *source)), NF_DROP))
            }),
        );
        batch.extend(refused.difference(&dropped).flat_map(|source| refusal(*source)));
    }
    Socket::netfilter()?.transaction(batch)
}

/// The rules that refuse a source.
fn refusal(source: Ipv4Addr) -> [Message; 4] {
    let rule = |rest: fn(Message) -> Message| TABLE.rule(CHAIN, |m| rest(from_source(m, source)));
    [
        rule(|m| verdict(with_reset(m), NF_ACCEPT)),
        rule(|m| verdict(of_protocol(m, ICMP), NF_ACCEPT)),
        rule(|m| reject_by_reset(count(of_protocol(m, TCP)))),
        rule(|m| reject_by_error(count(m))),
    ]
}

/// Why no packets can be dropped here, if so: tried in this network namespace, in which nothing may be cut.
pub fn try_it() -> io::Result<()> {
    let source = Ipv4Addr::new(10, 77, 0, 1);
    replace(&[source], &[])?;
    let rules = read()?;
    replace(&[], &[])?;
    let left = read()?;
    if rules.iter().map(|rule| rule.from).eq([source]) && left.is_empty() {
        return Ok(());
    }
    Err(io::Error::other(format!(
        "the kernel has other rules than asked for: {rules:?}, then {left:?}"
    )))
}

/// Why nobody can be refused here, if so.
pub(crate) fn try_refusing() -> io::Result<()> {
    trial::in_own_network(|| replace(&[], &[Ipv4Addr::new(10, 77, 0, 1)]))
}

/// What the kernel drops and refuses now, by address.
pub fn read() -> io::Result<Vec<CutRule>> {
    let mut rules: Vec<CutRule> = match Socket::netfilter()?.dump(TABLE.rules(CHAIN)) {
        Ok(found) => found.iter().filter_map(|payload| parse(payload)).collect(),
        Err(e) if e.raw_os_error() == Some(libc::ENOENT) => Vec::new(),
        Err(e) => return Err(e),
    };
    rules.sort_unstable_by_key(|rule| rule.from);
    rules.dedup_by(|next, first| {
        // A refusal has two rules that count.
        let same = next.from == first.from;
        if same {
            first.packets += next.packets;
            first.bytes += next.bytes;
        }
        same
    });
    Ok(rules)
}

/// A rule of ours that drops or refuses; anything else is none. Kernels of old ignore the filter of the dump, so the names are
/// compared here too.
fn parse(payload: &[u8]) -> Option<CutRule> {
    let rule = Attributes(payload.get(FAMILY_BYTES..)?);
    if rule.str(RULE_TABLE) != Some(TABLE.name) || rule.str(RULE_CHAIN) != Some(CHAIN) {
        return None;
    }
    let (mut from, mut counted, mut drops, mut refuses) = (None, None, false, false);
    for (_, element) in rule.nested(RULE_EXPRESSIONS) {
        let element = Attributes(element);
        let data = element.nested(EXPRESSION_DATA);
        match element.str(EXPRESSION_NAME)? {
            "cmp" => {
                let value = data.nested(COMPARE_DATA).get(DATA_VALUE)?;
                from = <[u8; 4]>::try_from(value).ok().map(Ipv4Addr::from).or(from);
            }
            "counter" => counted = Some((data.be64(COUNTER_PACKETS)?, data.be64(COUNTER_BYTES)?)),
            "immediate" => {
                let code = data.nested(IMMEDIATE_DATA).nested(DATA_VERDICT).get(VERDICT_CODE);
                drops = code == Some(&NF_DROP.to_be_bytes()[..]);
            }
            "reject" => refuses = true,
            _ => {}
        }
    }
    let (packets, bytes) = counted.filter(|_| drops || refuses)?;
    Some(CutRule { from: from?, refuses, packets, bytes })
}
