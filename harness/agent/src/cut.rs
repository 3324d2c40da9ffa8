//! Cuts: packets of chosen sources are dropped on arrival, by the agent's own nf_tables table.
//!
//! The table is `inet keelhaul` with one chain on the input hook and one rule a source:
//! `ip saddr A counter drop`. It is replaced as a whole in one transaction, so there is never a moment with half of a cut, and
//! nobody else's rules are ever touched. A cut is one-way: the other direction is cut at the other node.

use std::io;
use std::net::Ipv4Addr;

use crate::netlink::tables::{
    COMPARE_DATA, COUNTER_BYTES, COUNTER_PACKETS, DATA_VALUE, DATA_VERDICT, EXPRESSION_DATA,
    EXPRESSION_NAME, FAMILY_BYTES, IMMEDIATE_DATA, NF_DROP, NFPROTO_INET, RULE_CHAIN,
    RULE_EXPRESSIONS, RULE_TABLE, Table, VERDICT_CODE, count, drop_it, from_source,
};
use crate::netlink::{Attributes, Socket};
use crate::request::CutRule;

const TABLE: Table = Table { family: NFPROTO_INET, name: "keelhaul" };
const CHAIN: &str = "cut";
/// Before every usual filter and connection tracking (`raw` in nft's words): a dropped packet leaves no trace.
const PRIORITY: i32 = -300;

/// Makes the kernel drop packets from exactly these addresses; an empty set leaves no table.
pub fn replace(from: &[Ipv4Addr]) -> io::Result<()> {
    let mut batch = TABLE.remove();
    let mut sources = from.to_vec();
    sources.sort_unstable();
    sources.dedup();
    if !sources.is_empty() {
        batch.push(TABLE.create());
        batch.push(TABLE.input_chain(CHAIN, PRIORITY));
        batch.extend(
            sources
                .into_iter()
                .map(|source| TABLE.rule(CHAIN, |m| drop_it(count(from_source(m, source))))),
        );
    }
    Socket::netfilter()?.transaction(batch)
}

/// The drop rules that the kernel has now, by address.
pub fn read() -> io::Result<Vec<CutRule>> {
    let mut rules: Vec<CutRule> = match Socket::netfilter()?.dump(TABLE.rules(CHAIN)) {
        Ok(found) => found.iter().filter_map(|payload| parse(payload)).collect(),
        Err(e) if e.raw_os_error() == Some(libc::ENOENT) => Vec::new(),
        Err(e) => return Err(e),
    };
    rules.sort_unstable_by_key(|rule| rule.from);
    Ok(rules)
}

/// A rule of ours that drops; anything else is none. Kernels of old ignore the filter of the dump, so the names are
/// compared here too.
fn parse(payload: &[u8]) -> Option<CutRule> {
    let rule = Attributes(payload.get(FAMILY_BYTES..)?);
    if rule.str(RULE_TABLE) != Some(TABLE.name) || rule.str(RULE_CHAIN) != Some(CHAIN) {
        return None;
    }
    let (mut from, mut counted, mut drops) = (None, None, false);
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
            _ => {}
        }
    }
    let (packets, bytes) = counted.filter(|_| drops)?;
    Some(CutRule { from: from?, packets, bytes })
}
