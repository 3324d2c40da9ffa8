//! The part of etcd's v3 API that the adapter speaks, as its JSON gateway spells it.
//!
//! The gateway is described in etcd's `Documentation/dev-guide/api_grpc_gateway.md`, the messages in
//! `rpc.proto` and `kv.proto`. Its mapping is protobuf's JSON: `bytes` fields are base64, 64-bit integers are strings,
//! and a field that holds its default value is left out.

use std::fmt;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::base64::Blob;

/// Path of a [`RangeRequest`].
pub const RANGE: &str = "/v3/kv/range";
/// Path of a [`PutRequest`].
pub const PUT: &str = "/v3/kv/put";
/// Path of a [`TxnRequest`].
pub const TXN: &str = "/v3/kv/txn";
/// Path of a [`StatusRequest`].
pub const STATUS: &str = "/v3/maintenance/status";

/// Reads one key.
#[derive(Debug, Serialize)]
pub struct RangeRequest {
    /// The key.
    pub key: Blob,
    /// Whether the member may answer from its own copy without asking the leader.
    pub serializable: bool,
}

/// Answer to [`RangeRequest`].
#[derive(Debug, Deserialize)]
pub struct RangeResponse {
    /// There in every answer that etcd gives; its absence means that something else answered.
    #[serde(rename = "header")]
    pub _header: Header,
    /// The key and its value, or nothing.
    #[serde(default)]
    pub kvs: Vec<KeyValue>,
}

/// A key that is set.
#[derive(Debug, Deserialize)]
pub struct KeyValue {
    /// The revision that last changed the key.
    #[serde(default, deserialize_with = "number")]
    pub mod_revision: u64,
    /// Its value.
    #[serde(default)]
    pub value: Blob,
}

/// Sets one key.
#[derive(Debug, Serialize)]
pub struct PutRequest {
    /// The key.
    pub key: Blob,
    /// Its new value.
    pub value: Blob,
}

/// Answer to [`PutRequest`].
#[derive(Debug, Deserialize)]
pub struct PutResponse {
    /// As in [`RangeResponse`].
    #[serde(rename = "header")]
    pub _header: Header,
}

/// A transaction: when every comparison holds `success`, else `failure`.
#[derive(Debug, Serialize)]
pub struct TxnRequest {
    /// What must hold.
    pub compare: Vec<Compare>,
    /// What to do then.
    pub success: Vec<RequestOp>,
    /// What to do otherwise.
    pub failure: Vec<RequestOp>,
}

/// A comparison of a key's present state with an expected one.
#[derive(Debug, Serialize)]
pub struct Compare {
    /// The key.
    pub key: Blob,
    /// How: always `EQUAL` here.
    pub result: &'static str,
    /// With what.
    #[serde(flatten)]
    pub target: Target,
}

/// What a key is compared with.
#[derive(Debug, Serialize)]
#[serde(tag = "target")]
pub enum Target {
    /// The key is set, to this value. A key that is not set is equal to no value.
    #[serde(rename = "VALUE")]
    Value {
        /// The value.
        value: Blob,
    },
    /// The key was created by this revision; 0 for one that is not set.
    #[serde(rename = "CREATE")]
    Create {
        /// The revision, as decimal text.
        create_revision: &'static str,
    },
    /// The key was last changed by this revision; 0 for one that is not set.
    #[serde(rename = "MOD")]
    Mod {
        /// The revision, as decimal text.
        mod_revision: String,
    },
}

/// One request of a transaction.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RequestOp {
    /// Read.
    RequestRange(RangeRequest),
    /// Set.
    RequestPut(PutRequest),
}

/// Answer to [`TxnRequest`].
#[derive(Debug, Deserialize)]
pub struct TxnResponse {
    /// As in [`RangeResponse`].
    pub header: Header,
    /// Whether the comparison held.
    #[serde(default)]
    pub succeeded: bool,
    /// What the requests of the branch that was taken brought.
    #[serde(default)]
    pub responses: Vec<ResponseOp>,
}

/// Answer to one request of a transaction.
#[derive(Debug, Deserialize)]
pub struct ResponseOp {
    /// To a read.
    pub response_range: Option<TxnRangeResponse>,
}

/// Answer to a read within a transaction; unlike [`RangeResponse`] its header may be missing.
#[derive(Debug, Deserialize)]
pub struct TxnRangeResponse {
    /// The key and its value, or nothing.
    #[serde(default)]
    pub kvs: Vec<KeyValue>,
}

/// Asks a member what it knows of itself and of the leader. It answers alone, without the cluster.
#[derive(Debug, Serialize)]
pub struct StatusRequest {}

/// Answer to [`StatusRequest`].
#[derive(Clone, Debug, Deserialize)]
pub struct StatusResponse {
    /// Who answers.
    pub header: Header,
    /// Release of the member's program.
    pub version: String,
    /// The member that this one takes for the leader; 0 when it knows none.
    #[serde(default, deserialize_with = "number")]
    pub leader: u64,
    /// The member's term.
    #[serde(default, rename = "raftTerm", alias = "raft_term", deserialize_with = "number")]
    pub raft_term: u64,
}

/// Opens every answer.
#[derive(Clone, Debug, Deserialize)]
pub struct Header {
    /// The member that answered.
    #[serde(default, deserialize_with = "number")]
    pub member_id: u64,
    /// The store's revision by then; of a request that changed something, the one that it made.
    #[serde(default, deserialize_with = "number")]
    pub revision: u64,
}

/// The body of a response whose status is an error.
#[derive(Debug, Deserialize)]
pub struct ErrorResponse {
    /// The gRPC status code.
    #[serde(default)]
    pub code: i64,
    /// The message, in releases before 3.6.
    error: Option<String>,
    /// The message.
    message: Option<String>,
}

impl ErrorResponse {
    /// What the server said.
    #[must_use]
    pub fn into_message(self) -> String {
        self.message.or(self.error).unwrap_or_default()
    }
}

/// A 64-bit number, which protobuf's JSON writes as text and accepts as a number too.
pub fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    struct Number;
    impl Visitor<'_> for Number {
        type Value = u64;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a 64-bit number, perhaps as text")
        }

        fn visit_u64<E: Error>(self, n: u64) -> Result<u64, E> {
            Ok(n)
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<u64, E> {
            text.parse().map_err(E::custom)
        }
    }
    deserializer.deserialize_any(Number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(request: &impl Serialize, expected: &str) {
        assert_eq!(serde_json::to_string(request).unwrap(), expected);
    }

    fn blob(text: &str) -> Blob {
        Blob(text.as_bytes().to_vec())
    }

    #[test]
    fn requests_are_spelled_as_the_gateway_reads_them() {
        check(
            &RangeRequest { key: blob("k"), serializable: true },
            r#"{"key":"aw==","serializable":true}"#,
        );
        check(&PutRequest { key: blob("k"), value: blob("1") }, r#"{"key":"aw==","value":"MQ=="}"#);
        let expect = |target| Compare { key: blob("k"), result: "EQUAL", target };
        check(
            &expect(Target::Value { value: blob("1") }),
            r#"{"key":"aw==","result":"EQUAL","target":"VALUE","value":"MQ=="}"#,
        );
        check(
            &expect(Target::Create { create_revision: "0" }),
            r#"{"key":"aw==","result":"EQUAL","target":"CREATE","create_revision":"0"}"#,
        );
        check(
            &expect(Target::Mod { mod_revision: "7".into() }),
            r#"{"key":"aw==","result":"EQUAL","target":"MOD","mod_revision":"7"}"#,
        );
        check(
            &RequestOp::RequestPut(PutRequest { key: blob("k"), value: blob("1") }),
            r#"{"request_put":{"key":"aw==","value":"MQ=="}}"#,
        );
        check(&StatusRequest {}, "{}");
    }

    #[test]
    fn a_field_with_its_default_value_may_be_missing() {
        let txn: TxnResponse = serde_json::from_str(r#"{"header":{"member_id":"7"}}"#).unwrap();
        assert!(!txn.succeeded && txn.responses.is_empty());
        let status: StatusResponse = serde_json::from_str(
            r#"{"header":{"member_id":"7"},"version":"3.4.23","raftTerm":"2"}"#,
        )
        .unwrap();
        assert_eq!((status.header.member_id, status.leader, status.raft_term), (7, 0, 2));
    }

    #[test]
    fn an_answer_without_header_is_not_etcds() {
        assert!(serde_json::from_str::<PutResponse>("{}").is_err());
        assert!(serde_json::from_str::<RangeResponse>(r#"{"kvs":[]}"#).is_err());
    }
}
