//! Cuts: packets of chosen sources are dropped on arrival, by the agent's own nf_tables table.
//!
//! The table is `inet keelhaul` with one chain on the input hook and one rule a source:
//! `ip saddr A counter drop`. It is replaced as a whole in one transaction, so there is never a moment with half of a cut, and
//! nobody else's rules are ever touched. A cut is one-way: the other direction is cut at the other node.
//!
//! Source: `linux/netfilter/nf_tables.h`.

use std::io;
use std::net::Ipv4Addr;

use crate::netlink::{Attributes, Message, Socket};
use crate::request::CutRule;

const TABLE: &str = "keelhaul";
const CHAIN: &str = "cut";
/// Before every usual filter and connection tracking (`raw` in nft's words): a dropped packet leaves no trace.
const PRIORITY: i32 = -300;

const SUBSYSTEM: u16 = 10 << 8;
const NEWTABLE: u16 = SUBSYSTEM;
const DELTABLE: u16 = SUBSYSTEM | 2;
const NEWCHAIN: u16 = SUBSYSTEM | 3;
const NEWRULE: u16 = SUBSYSTEM | 6;
const GETRULE: u16 = SUBSYSTEM | 7;

const NFPROTO_INET: u8 = 1;
const NFPROTO_IPV4: u8 = 2;
const NF_INET_LOCAL_IN: u32 = 1;
const NF_DROP: u32 = 0;
const NF_ACCEPT: u32 = 1;

const TABLE_NAME: u16 = 1;
const CHAIN_TABLE: u16 = 1;
const CHAIN_NAME: u16 = 3;
const CHAIN_HOOK: u16 = 4;
const CHAIN_POLICY: u16 = 5;
const CHAIN_TYPE: u16 = 7;
const HOOK_NUMBER: u16 = 1;
const HOOK_PRIORITY: u16 = 2;
const RULE_TABLE: u16 = 1;
const RULE_CHAIN: u16 = 2;
const RULE_EXPRESSIONS: u16 = 4;
const LIST_ELEMENT: u16 = 1;
const EXPRESSION_NAME: u16 = 1;
const EXPRESSION_DATA: u16 = 2;
const META_REGISTER: u16 = 1;
const META_KEY: u16 = 2;
const META_KEY_NFPROTO: u32 = 15;
const COMPARE_REGISTER: u16 = 1;
const COMPARE_OPERATOR: u16 = 2;
const COMPARE_EQUAL: u32 = 0;
const COMPARE_DATA: u16 = 3;
const DATA_VALUE: u16 = 1;
const DATA_VERDICT: u16 = 2;
const VERDICT_CODE: u16 = 1;
const PAYLOAD_REGISTER: u16 = 1;
const PAYLOAD_BASE: u16 = 2;
const PAYLOAD_OFFSET: u16 = 3;
const PAYLOAD_LENGTH: u16 = 4;
const NETWORK_HEADER: u32 = 1;
/// Where an IPv4 header has the source address, and how long that is.
const SOURCE_OFFSET: u32 = 12;
const SOURCE_BYTES: u32 = 4;
const COUNTER_BYTES: u16 = 1;
const COUNTER_PACKETS: u16 = 2;
const IMMEDIATE_REGISTER: u16 = 1;
const IMMEDIATE_DATA: u16 = 2;
const REGISTER_VERDICT: u32 = 0;
const REGISTER_1: u32 = 1;

/// Fixed part of every message: `struct nfgenmsg`.
const FAMILY: [u8; 4] = [NFPROTO_INET, 0, 0, 0];

/// Makes the kernel drop packets from exactly these addresses; an empty set leaves no table.
pub fn replace(from: &[Ipv4Addr]) -> io::Result<()> {
    let create = libc::NLM_F_CREATE as u16;
    let table = || Message::new(NEWTABLE, create).fixed(&FAMILY).with_str(TABLE_NAME, TABLE);
    // Making the table first lets the removal succeed whether or not there was one.
    let mut batch =
        vec![table(), Message::new(DELTABLE, 0).fixed(&FAMILY).with_str(TABLE_NAME, TABLE)];
    let mut sources = from.to_vec();
    sources.sort_unstable();
    sources.dedup();
    if !sources.is_empty() {
        batch.push(table());
        batch.push(chain(create));
        batch.extend(
            sources.into_iter().map(|source| rule(source, create | libc::NLM_F_APPEND as u16)),
        );
    }
    Socket::netfilter()?.transaction(batch)
}

fn chain(flags: u16) -> Message {
    Message::new(NEWCHAIN, flags)
        .fixed(&FAMILY)
        .with_str(CHAIN_TABLE, TABLE)
        .with_str(CHAIN_NAME, CHAIN)
        .nest(CHAIN_HOOK, |m| {
            m.with_be32(HOOK_NUMBER, NF_INET_LOCAL_IN).with(HOOK_PRIORITY, &PRIORITY.to_be_bytes())
        })
        .with_be32(CHAIN_POLICY, NF_ACCEPT)
        .with_str(CHAIN_TYPE, "filter")
}

fn rule(source: Ipv4Addr, flags: u16) -> Message {
    Message::new(NEWRULE, flags)
        .fixed(&FAMILY)
        .with_str(RULE_TABLE, TABLE)
        .with_str(RULE_CHAIN, CHAIN)
        .nest(RULE_EXPRESSIONS, |m| {
            let m = expression(m, "meta", |m| {
                m.with_be32(META_KEY, META_KEY_NFPROTO).with_be32(META_REGISTER, REGISTER_1)
            });
            let m = equals(m, &[NFPROTO_IPV4]);
            let m = expression(m, "payload", |m| {
                m.with_be32(PAYLOAD_REGISTER, REGISTER_1)
                    .with_be32(PAYLOAD_BASE, NETWORK_HEADER)
                    .with_be32(PAYLOAD_OFFSET, SOURCE_OFFSET)
                    .with_be32(PAYLOAD_LENGTH, SOURCE_BYTES)
            });
            let m = equals(m, &source.octets());
            let m = expression(m, "counter", |m| m);
            expression(m, "immediate", |m| {
                m.with_be32(IMMEDIATE_REGISTER, REGISTER_VERDICT).nest(IMMEDIATE_DATA, |m| {
                    m.nest(DATA_VERDICT, |m| m.with_be32(VERDICT_CODE, NF_DROP))
                })
            })
        })
}

fn expression(m: Message, name: &str, data: impl FnOnce(Message) -> Message) -> Message {
    m.nest(LIST_ELEMENT, |m| m.with_str(EXPRESSION_NAME, name).nest(EXPRESSION_DATA, data))
}

fn equals(m: Message, value: &[u8]) -> Message {
    expression(m, "cmp", |m| {
        m.with_be32(COMPARE_REGISTER, REGISTER_1)
            .with_be32(COMPARE_OPERATOR, COMPARE_EQUAL)
            .nest(COMPARE_DATA, |m| m.with(DATA_VALUE, value))
    })
}

/// The drop rules that the kernel has now, by address.
pub fn read() -> io::Result<Vec<CutRule>> {
    let question = Message::new(GETRULE, 0)
        .fixed(&FAMILY)
        .with_str(RULE_TABLE, TABLE)
        .with_str(RULE_CHAIN, CHAIN);
    let mut rules: Vec<CutRule> = match Socket::netfilter()?.dump(question) {
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
    let rule = Attributes(payload.get(FAMILY.len()..)?);
    if rule.str(RULE_TABLE) != Some(TABLE) || rule.str(RULE_CHAIN) != Some(CHAIN) {
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
