//! The vocabulary of nf_tables: tables, chains, rules, and the expressions that our rules are made of.
//!
//! Source: `linux/netfilter/nf_tables.h`.

use std::net::Ipv4Addr;

use super::Message;

const SUBSYSTEM: u16 = 10 << 8;
const NEWTABLE: u16 = SUBSYSTEM;
const DELTABLE: u16 = SUBSYSTEM | 2;
const NEWCHAIN: u16 = SUBSYSTEM | 3;
const NEWRULE: u16 = SUBSYSTEM | 6;
const GETRULE: u16 = SUBSYSTEM | 7;

/// Families of tables.
pub const NFPROTO_INET: u8 = 1;
/// See [`NFPROTO_INET`].
pub const NFPROTO_IPV4: u8 = 2;
const NF_INET_LOCAL_IN: u32 = 1;
/// Verdicts.
pub const NF_DROP: u32 = 0;
/// See [`NF_DROP`].
pub const NF_ACCEPT: u32 = 1;

const TABLE_NAME: u16 = 1;
const CHAIN_TABLE: u16 = 1;
const CHAIN_NAME: u16 = 3;
const CHAIN_HOOK: u16 = 4;
const CHAIN_POLICY: u16 = 5;
const CHAIN_TYPE: u16 = 7;
const HOOK_NUMBER: u16 = 1;
const HOOK_PRIORITY: u16 = 2;
/// Attributes of a rule that is read.
pub const RULE_TABLE: u16 = 1;
/// See [`RULE_TABLE`].
pub const RULE_CHAIN: u16 = 2;
/// See [`RULE_TABLE`].
pub const RULE_EXPRESSIONS: u16 = 4;
const LIST_ELEMENT: u16 = 1;
/// Attributes of an expression.
pub const EXPRESSION_NAME: u16 = 1;
/// See [`EXPRESSION_NAME`].
pub const EXPRESSION_DATA: u16 = 2;
const META_REGISTER: u16 = 1;
const META_KEY: u16 = 2;
/// What `meta` can look at.
const META_KEY_INPUT_INTERFACE: u32 = 4;
const META_KEY_NFPROTO: u32 = 15;
const META_KEY_L4PROTO: u32 = 16;
const COMPARE_REGISTER: u16 = 1;
const COMPARE_OPERATOR: u16 = 2;
const COMPARE_EQUAL: u32 = 0;
const COMPARE_UNEQUAL: u32 = 1;
/// The value that a comparison is with, and how a value is wrapped.
pub const COMPARE_DATA: u16 = 3;
/// See [`COMPARE_DATA`].
pub const DATA_VALUE: u16 = 1;
/// How a verdict is wrapped.
pub const DATA_VERDICT: u16 = 2;
/// See [`DATA_VERDICT`].
pub const VERDICT_CODE: u16 = 1;
const PAYLOAD_REGISTER: u16 = 1;
const PAYLOAD_BASE: u16 = 2;
const PAYLOAD_OFFSET: u16 = 3;
const PAYLOAD_LENGTH: u16 = 4;
const NETWORK_HEADER: u32 = 1;
const TRANSPORT_HEADER: u32 = 2;
/// Where a TCP header has its flags, and that of a reset.
const TCP_FLAGS_OFFSET: u32 = 13;
const TCP_RESET: u8 = 4;
/// Protocols above IP.
pub const ICMP: u8 = 1;
/// See [`ICMP`].
pub const TCP: u8 = 6;
/// Where an IPv4 header has the source address.
const SOURCE_OFFSET: u32 = 12;
/// What a counter has counted.
pub const COUNTER_BYTES: u16 = 1;
/// See [`COUNTER_BYTES`].
pub const COUNTER_PACKETS: u16 = 2;
const IMMEDIATE_REGISTER: u16 = 1;
/// What an `immediate` sets.
pub const IMMEDIATE_DATA: u16 = 2;
const REGISTER_VERDICT: u32 = 0;
const REGISTER_1: u32 = 1;
const BITWISE_SOURCE: u16 = 1;
const BITWISE_DESTINATION: u16 = 2;
const BITWISE_LENGTH: u16 = 3;
const BITWISE_MASK: u16 = 4;
const BITWISE_XOR: u16 = 5;
const REJECT_TYPE: u16 = 1;
const REJECT_CODE: u16 = 2;
const REJECT_BY_RESET: u32 = 1;
/// By an error of whatever version of IP.
const REJECT_BY_ERROR: u32 = 2;
const ADMINISTRATIVELY_PROHIBITED: u8 = 3;
const QUEUE_NUMBER: u16 = 1;
const QUEUE_TOTAL: u16 = 2;
const QUEUE_FLAGS: u16 = 3;
/// Nobody listens: the packet goes on as if there were no rule.
const QUEUE_FLAG_BYPASS: u16 = 1;
const TARGET_NAME: u16 = 1;
const TARGET_REVISION: u16 = 2;
const TARGET_DATA: u16 = 3;
/// The interface `lo` of every network namespace.
const LOOPBACK_INDEX: u32 = 1;

/// Length of `struct nfgenmsg`, the fixed part of every message.
pub const FAMILY_BYTES: usize = 4;

/// A table of ours.
#[derive(Clone, Copy, Debug)]
pub struct Table {
    /// Such as [`NFPROTO_INET`].
    pub family: u8,
    /// Nobody else's.
    pub name: &'static str,
}

impl Table {
    fn message(self, kind: u16, flags: u16) -> Message {
        Message::new(kind, flags).fixed(&[self.family, 0, 0, 0])
    }

    /// Makes it, unless it is there.
    #[must_use]
    pub fn create(self) -> Message {
        self.message(NEWTABLE, libc::NLM_F_CREATE as u16).with_str(TABLE_NAME, self.name)
    }

    /// The beginning of a transaction that removes it, whether or not it is there.
    #[must_use]
    pub fn remove(self) -> Vec<Message> {
        // Made first, so that there is something to remove.
        vec![self.create(), self.message(DELTABLE, 0).with_str(TABLE_NAME, self.name)]
    }

    /// A chain for packets that arrive for this host; what no rule ends goes on.
    #[must_use]
    pub fn input_chain(self, name: &str, priority: i32) -> Message {
        self.message(NEWCHAIN, libc::NLM_F_CREATE as u16)
            .with_str(CHAIN_TABLE, self.name)
            .with_str(CHAIN_NAME, name)
            .nest(CHAIN_HOOK, |m| {
                m.with_be32(HOOK_NUMBER, NF_INET_LOCAL_IN)
                    .with(HOOK_PRIORITY, &priority.to_be_bytes())
            })
            .with_be32(CHAIN_POLICY, NF_ACCEPT)
            .with_str(CHAIN_TYPE, "filter")
    }

    /// One more rule at a chain's end.
    #[must_use]
    pub fn rule(self, chain: &str, expressions: impl FnOnce(Message) -> Message) -> Message {
        self.message(NEWRULE, (libc::NLM_F_CREATE | libc::NLM_F_APPEND) as u16)
            .with_str(RULE_TABLE, self.name)
            .with_str(RULE_CHAIN, chain)
            .nest(RULE_EXPRESSIONS, expressions)
    }

    /// Asks for the rules of a chain. Kernels of old ignore the names and answer all rules.
    #[must_use]
    pub fn rules(self, chain: &str) -> Message {
        self.message(GETRULE, 0).with_str(RULE_TABLE, self.name).with_str(RULE_CHAIN, chain)
    }
}

fn expression(m: Message, name: &str, data: impl FnOnce(Message) -> Message) -> Message {
    m.nest(LIST_ELEMENT, |m| m.with_str(EXPRESSION_NAME, name).nest(EXPRESSION_DATA, data))
}

fn compare(m: Message, operator: u32, value: &[u8]) -> Message {
    expression(m, "cmp", |m| {
        m.with_be32(COMPARE_REGISTER, REGISTER_1)
            .with_be32(COMPARE_OPERATOR, operator)
            .nest(COMPARE_DATA, |m| m.with(DATA_VALUE, value))
    })
}

fn meta(m: Message, key: u32) -> Message {
    expression(m, "meta", |m| m.with_be32(META_KEY, key).with_be32(META_REGISTER, REGISTER_1))
}

/// `ip saddr ADDRESS`; the family is looked at first where a table is of several.
#[must_use]
pub fn from_source(m: Message, address: Ipv4Addr) -> Message {
    let m = compare(meta(m, META_KEY_NFPROTO), COMPARE_EQUAL, &[NFPROTO_IPV4]);
    let octets = address.octets();
    let m = payload(m, NETWORK_HEADER, SOURCE_OFFSET, octets.len() as u32);
    compare(m, COMPARE_EQUAL, &octets)
}

fn payload(m: Message, base: u32, offset: u32, length: u32) -> Message {
    expression(m, "payload", |m| {
        m.with_be32(PAYLOAD_REGISTER, REGISTER_1)
            .with_be32(PAYLOAD_BASE, base)
            .with_be32(PAYLOAD_OFFSET, offset)
            .with_be32(PAYLOAD_LENGTH, length)
    })
}

/// `meta l4proto PROTOCOL`.
#[must_use]
pub fn of_protocol(m: Message, protocol: u8) -> Message {
    compare(meta(m, META_KEY_L4PROTO), COMPARE_EQUAL, &[protocol])
}

/// `tcp flags rst`.
#[must_use]
pub fn with_reset(m: Message) -> Message {
    let m = payload(of_protocol(m, TCP), TRANSPORT_HEADER, TCP_FLAGS_OFFSET, 1);
    let m = expression(m, "bitwise", |m| {
        m.with_be32(BITWISE_SOURCE, REGISTER_1)
            .with_be32(BITWISE_DESTINATION, REGISTER_1)
            .with_be32(BITWISE_LENGTH, 1)
            .nest(BITWISE_MASK, |m| m.with(DATA_VALUE, &[TCP_RESET]))
            .nest(BITWISE_XOR, |m| m.with(DATA_VALUE, &[0]))
    });
    compare(m, COMPARE_UNEQUAL, &[0])
}

/// `iif != lo`.
#[must_use]
pub fn from_outside(m: Message) -> Message {
    compare(meta(m, META_KEY_INPUT_INTERFACE), COMPARE_UNEQUAL, &LOOPBACK_INDEX.to_ne_bytes())
}

/// `counter`.
#[must_use]
pub fn count(m: Message) -> Message {
    expression(m, "counter", |m| m)
}

/// `drop` or `accept`.
#[must_use]
pub fn verdict(m: Message, code: u32) -> Message {
    expression(m, "immediate", |m| {
        m.with_be32(IMMEDIATE_REGISTER, REGISTER_VERDICT)
            .nest(IMMEDIATE_DATA, |m| m.nest(DATA_VERDICT, |m| m.with_be32(VERDICT_CODE, code)))
    })
}

/// `reject with tcp reset`.
#[must_use]
pub fn reject_by_reset(m: Message) -> Message {
    expression(m, "reject", |m| m.with_be32(REJECT_TYPE, REJECT_BY_RESET))
}

/// `reject with icmpx admin-prohibited`.
#[must_use]
pub fn reject_by_error(m: Message) -> Message {
    expression(m, "reject", |m| {
        m.with_be32(REJECT_TYPE, REJECT_BY_ERROR).with(REJECT_CODE, &[ADMINISTRATIVELY_PROHIBITED])
    })
}

/// `queue num NUMBER bypass`.
#[must_use]
pub fn queue(m: Message, number: u16) -> Message {
    expression(m, "queue", |m| {
        m.with(QUEUE_NUMBER, &number.to_be_bytes())
            .with(QUEUE_TOTAL, &1_u16.to_be_bytes())
            .with(QUEUE_FLAGS, &QUEUE_FLAG_BYPASS.to_be_bytes())
    })
}

/// The same by iptables' `NFQUEUE`, which nf_tables can use too, for kernels without the expression `queue`; for tables of one family.
#[must_use]
pub fn queue_by_target(m: Message, number: u16) -> Message {
    /// `struct xt_NFQ_info_v3`: number, how many, flags, in the machine's byte order, and padding.
    const REVISION: u32 = 3;
    let mut data = Vec::new();
    for field in [number, 1, QUEUE_FLAG_BYPASS, 0] {
        data.extend(field.to_ne_bytes());
    }
    expression(m, "target", |m| {
        m.with_str(TARGET_NAME, "NFQUEUE")
            .with_be32(TARGET_REVISION, REVISION)
            .with(TARGET_DATA, &data)
    })
}
