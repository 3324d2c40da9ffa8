//! The client against a scripted server: what every way of failing is called, and that nothing is ever sent twice.

mod fake;

use std::future::Future;
use std::time::Duration;

use fake::{Fake, Seen, Step};
use keelhaul_engine::{Client, Invocation, Outcome};
use keelhaul_history::{F, Process, Value};

use super::Reads;
use super::client::EtcdClient;
use super::errors::{Certainty, TABLE};

const P: Process = Process::Client(0);
const HEADER: &str =
    r#""header":{"cluster_id":"1","member_id":"2","revision":"3","raft_term":"4"}"#;

fn run<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let bounded = async { tokio::time::timeout(Duration::from_secs(10), future).await };
    runtime.block_on(bounded).expect("a test takes less than ten seconds")
}

fn op(f: F, value: Value) -> Invocation {
    Invocation { f, key: Some(Value::Int(7)), value }
}

fn read() -> Invocation {
    op(F::Read, Value::Null)
}

fn write() -> Invocation {
    op(F::Write, Value::Int(1))
}

fn cas() -> Invocation {
    op(F::Cas, Value::pair(1, 2))
}

fn answer(rest: &str) -> Step {
    Step::Answer(200, format!("{{{HEADER}{rest}}}"))
}

/// The first letter of an outcome and its text, so that a case fits in a line.
fn short(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Ok(value) => format!("ok {value}"),
        Outcome::Fail(why) => format!("fail {why}"),
        Outcome::Info(why) => format!("info {why}"),
    }
}

/// Performs `op` against a server that follows `step` and then closes the connection.
fn perform(op: &Invocation, reads: Reads, step: Step) -> (Outcome, Seen) {
    let server = Fake::start(vec![vec![step]], false);
    let outcome = run(async {
        let mut client = EtcdClient::open(server.address, reads).await.unwrap();
        client.invoke(P, op).await
    });
    (outcome, server.finish())
}

/// Also checks that exactly one request was sent, whatever came of it.
fn check(op: &Invocation, step: &Step, expected: &str) {
    let (outcome, seen) = perform(op, Reads::Linearizable, step.clone());
    assert!(short(&outcome).starts_with(expected), "{op:?} {step:?}: {outcome:?}");
    assert_eq!(
        (seen.connections, seen.requests.len(), seen.stray_bytes),
        (1, 1, 0),
        "{op:?} {step:?}"
    );
}

/// What happens when the answer to each kind of operation is `step`: a read fails, the others end as `expected`.
fn check_all(step: &Step, expected: &str) {
    check(&read(), step, "fail");
    check(&write(), step, expected);
    check(&cas(), step, expected);
}

#[test]
fn answers_become_results() {
    check(&read(), &answer(""), "ok null");
    check(
        &read(),
        &answer(r#","kvs":[{"key":"aw==","value":"Mw==","version":"1"}],"count":"1""#),
        "ok 3",
    );
    check(&write(), &answer(""), "ok 1");
    check(&cas(), &answer(r#","succeeded":true,"responses":[{"response_put":{}}]"#), "ok [1,2]");
}

#[test]
fn a_cas_that_does_not_match_is_a_failure_with_what_was_found() {
    let found = r#","responses":[{"response_range":{"header":{"revision":"3"},"kvs":[{"key":"aw==","value":"Mw=="}]}}]"#;
    check(&cas(), &answer(found), "fail cas mismatch: found 3");
    let nothing = r#","responses":[{"response_range":{"header":{"revision":"3"}}}]"#;
    check(&cas(), &answer(nothing), "fail cas mismatch: found null");
}

#[test]
fn what_is_sent() {
    let sent = |op: &Invocation, reads| {
        let (_, seen) = perform(op, reads, answer(""));
        seen.requests.into_iter().next().unwrap()
    };
    // "a2VlbGhhdWwvNw==" is keelhaul/7.
    let (path, body) = sent(&read(), Reads::Linearizable);
    assert_eq!(
        (&*path, &*body),
        ("/v3/kv/range", r#"{"key":"a2VlbGhhdWwvNw==","serializable":false}"#)
    );
    let (_, body) = sent(&read(), Reads::Serializable);
    assert_eq!(body, r#"{"key":"a2VlbGhhdWwvNw==","serializable":true}"#);
    let (path, body) = sent(&write(), Reads::Serializable);
    assert_eq!((&*path, &*body), ("/v3/kv/put", r#"{"key":"a2VlbGhhdWwvNw==","value":"MQ=="}"#));
    let (path, body) = sent(&op(F::Cas, Value::pair(Value::Null, 2)), Reads::Linearizable);
    assert_eq!(path, "/v3/kv/txn");
    assert!(body.contains(r#""target":"CREATE","create_revision":"0""#), "{body}");
}

#[test]
fn an_operation_etcd_does_not_have_is_never_sent() {
    let server = Fake::start(vec![vec![]], true);
    run(async {
        let mut client = EtcdClient::open(server.address, Reads::Linearizable).await.unwrap();
        let ops = [
            op(F::from("enqueue"), Value::Int(1)),
            op(F::Write, Value::Null),
            op(F::Cas, Value::pair(1, Value::Null)),
            op(F::Cas, Value::Int(1)),
        ];
        for op in &ops {
            assert!(matches!(client.invoke(P, op).await, Outcome::Fail(_)), "{op:?}");
        }
    });
    let seen = server.finish();
    assert_eq!((seen.requests.len(), seen.stray_bytes), (0, 0));
}

#[test]
fn a_refused_connection_is_a_failure() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = run(EtcdClient::open(free, Reads::Linearizable)).err().unwrap();
    assert!(error.is_definite());
    assert!(error.in_words().starts_with("failed to connect: "), "{}", error.in_words());
}

#[test]
fn a_member_that_dies_between_operations_is_a_failure() {
    let server = Fake::start(vec![vec![answer("")]], false);
    run(async {
        let mut client = EtcdClient::open(server.address, Reads::Linearizable).await.unwrap();
        assert_eq!(client.invoke(P, &write()).await, Outcome::Ok(Value::Int(1)));
        // The server's end of the connection and its listener are gone after this.
        server.finish();
        let outcome = client.invoke(P, &write()).await;
        assert!(short(&outcome).starts_with("fail failed to connect"), "{outcome:?}");
    });
}

#[test]
fn a_connection_closed_between_operations_is_replaced() {
    let server = Fake::start(vec![vec![answer("")], vec![answer("")]], false);
    run(async {
        let mut client = EtcdClient::open(server.address, Reads::Linearizable).await.unwrap();
        for _ in 0..2 {
            // The close follows the answer, so the second request may be handed to a connection that is just ending.
            let outcome = client.invoke(P, &write()).await;
            assert!(matches!(outcome, Outcome::Ok(_) | Outcome::Info(_)), "{outcome:?}");
            if matches!(outcome, Outcome::Info(_)) {
                client = EtcdClient::open(server.address, Reads::Linearizable).await.unwrap();
            }
        }
    });
}

#[test]
fn one_connection_serves_many_operations() {
    let server = Fake::start(vec![vec![answer(""); 50]], true);
    run(async {
        let mut client = EtcdClient::open(server.address, Reads::Linearizable).await.unwrap();
        for _ in 0..50 {
            assert_eq!(client.invoke(P, &write()).await, Outcome::Ok(Value::Int(1)));
        }
    });
    let seen = server.finish();
    assert_eq!((seen.connections, seen.requests.len()), (1, 50));
}

#[test]
fn a_connection_lost_after_the_request_is_unknown() {
    check_all(&Step::Silence, "info the connection ended before the response");
}

#[test]
fn a_response_cut_short_is_unknown() {
    let body = format!("{{{HEADER}}}");
    let whole = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let body_at = whole.len() - body.len();
    for end in [1, 12, body_at - 1, body_at, body_at + 1, whole.len() - 1] {
        check_all(&Step::Raw(whole[..end].to_owned()), "info");
    }
    check(&write(), &Step::Raw(whole), "ok");
}

#[test]
fn an_answer_that_is_not_etcds_is_unknown() {
    for body in ["", "{}", "<html>", "null", r#"{"header":7}"#] {
        check_all(
            &Step::Answer(200, body.to_owned()),
            "info the response with HTTP status 200 is not etcd's",
        );
        check_all(&Step::Answer(503, body.to_owned()), "info");
    }
    check_all(&Step::Raw("SSH-2.0-OpenSSH_9.2\r\n".to_owned()), "info");
    check_all(&Step::Raw("HTTP/1.1 200 OK\r\nContent-Length: 9999999\r\n\r\n{".to_owned()), "info");
}

#[test]
fn a_redirect_is_not_followed() {
    let location =
        "HTTP/1.1 307 X\r\nLocation: /v3/kv/put\r\nContent-Length: 2\r\n\r\n{}".to_owned();
    check_all(&Step::Raw(location), "info");
}

#[test]
fn every_row_of_the_error_table() {
    for row in TABLE {
        let expected = match row.certainty {
            Certainty::Definite => "fail ",
            Certainty::Unknown => "info ",
        };
        let expected = format!("{expected}{}", row.message);
        // As release 3.4 writes it, and as 3.6 does.
        let old = format!(r#"{{"error":"{0}","message":"{0}","code":14}}"#, row.message);
        let new = format!(r#"{{"code":14,"message":"{}","details":[]}}"#, row.message);
        for body in [old, new] {
            check_all(&Step::Answer(503, body), &expected);
        }
    }
    let other = r#"{"error":"etcdserver: something new","code":2}"#;
    check_all(&Step::Answer(500, other.to_owned()), "info etcdserver: something new");
}

#[test]
fn an_operation_given_up_closes_its_connection() {
    let server = Fake::start(vec![vec![Step::Silence], vec![answer("")]], true);
    run(async {
        let mut client = EtcdClient::open(server.address, Reads::Linearizable).await.unwrap();
        let given_up =
            tokio::time::timeout(Duration::from_millis(50), client.invoke(P, &write())).await;
        assert!(given_up.is_err());
        // The driver drops the client now. One that is used all the same must not wait on the old connection.
        assert_eq!(client.invoke(P, &write()).await, Outcome::Ok(Value::Int(1)));
    });
    let seen = server.finish();
    assert_eq!((seen.connections, seen.requests.len(), seen.stray_bytes), (2, 2, 0));
}

/// The server does not read until the client has given up a request that is larger than what both kernels can hold:
/// nothing in the background may bring the rest.
#[test]
fn a_request_given_up_half_written_never_arrives() {
    let seen = given_up_before_it_is_read(10 << 20);
    assert_eq!((seen.connections, seen.requests.len()), (1, 0), "{} bytes", seen.stray_bytes);
}

/// As it happens with a member that is paused.
#[test]
fn a_request_given_up_after_it_was_written_arrives_late_and_once() {
    let seen = given_up_before_it_is_read(1);
    assert_eq!((seen.connections, seen.requests.len(), seen.stray_bytes), (1, 1, 0));
}

fn given_up_before_it_is_read(bytes: usize) -> Seen {
    let server = Fake::start(vec![vec![Step::Wait]], true);
    run(async {
        let mut client = EtcdClient::open(server.address, Reads::Linearizable).await.unwrap();
        let op = op(F::Write, Value::from("x".repeat(bytes)));
        let given_up =
            tokio::time::timeout(Duration::from_millis(200), client.invoke(P, &op)).await;
        assert!(given_up.is_err());
        // Whatever could be sent in the background would be sent while the server reads to the end.
        server.go_on();
        server.go_on();
        while !server.is_over() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    server.finish()
}

/// Performs a transaction against a server that gives these answers, one after the other.
fn transact(value: &str, reads: Reads, answers: Vec<Step>) -> (String, Seen) {
    transact_telling(false, value, reads, answers)
}

/// The same by a client that tells revisions, or not.
fn transact_telling(
    revisions: bool,
    value: &str,
    reads: Reads,
    answers: Vec<Step>,
) -> (String, Seen) {
    let server = Fake::start(vec![answers], false);
    let op = Invocation { f: F::from("txn"), key: None, value: Value::from_json(value).unwrap() };
    let outcome = run(async {
        let client = EtcdClient::open(server.address, reads).await.unwrap();
        client.telling_revisions(revisions).invoke(P, &op).await
    });
    (short(&outcome), server.finish())
}

#[test]
fn transactions_on_registers_tell_revisions_if_they_are_asked_to() {
    let micros = r#"[["r",1,null],["r",2,null],["w",3,7],["w",3,8],["r",3,null]]"#;
    let answers = vec![found(&[None, Some(("OQ==", 5)), None]), answer(",\"succeeded\":true")];
    // The answers are of revision 3. That 7 was written nobody can see.
    let (plain, _) = transact(micros, Reads::Linearizable, answers.clone());
    assert_eq!(plain, r#"ok [["r",1,null],["r",2,9],["w",3,7],["w",3,8],["r",3,8]]"#);
    let (told, _) = transact_telling(true, micros, Reads::Linearizable, answers);
    assert_eq!(told, r#"ok [["r",1,null],["r",2,9,5],["w",3,7],["w",3,8,3],["r",3,8,3]]"#);
    let alone = vec![found(&[Some(("OQ==", 5))])];
    let (told, _) = transact_telling(true, r#"[["r",2,null]]"#, Reads::Linearizable, alone);
    assert_eq!(told, r#"ok [["r",2,9,5]]"#);
}

/// What a read of keys brings: their values as text, base64, with the revision that wrote them.
fn found(keys: &[Option<(&str, u64)>]) -> Step {
    let responses = keys.iter().map(|key| {
        let kvs = key.map_or(String::new(), |(value, revision)| {
            format!("\"kvs\":[{{\"value\":\"{value}\",\"mod_revision\":\"{revision}\"}}]")
        });
        format!("{{\"response_range\":{{{kvs}}}}}")
    });
    answer(&format!(
        ",\"succeeded\":true,\"responses\":[{}]",
        responses.collect::<Vec<_>>().join(",")
    ))
}

#[test]
fn a_transaction_reads_and_then_writes_if_nothing_changed() {
    let micros = r#"[["r",1,null],["append",2,9],["r",2,null]]"#;
    // Key 1 is not set, key 2 holds [8].
    let first = found(&[None, Some(("Wzhd", 5))]);
    let (outcome, seen) =
        transact(micros, Reads::Linearizable, vec![first.clone(), answer(",\"succeeded\":true")]);
    assert_eq!(outcome, r#"ok [["r",1,null],["append",2,9],["r",2,[8,9]]]"#);
    assert_eq!(seen.requests.len(), 2);
    assert!(seen.requests[0].1.contains("\"serializable\":false"), "{:?}", seen.requests[0]);
    let (path, body) = &seen.requests[1];
    assert_eq!(path, "/v3/kv/txn");
    let one = "{\"key\":\"a2VlbGhhdWwvMQ==\",\"result\":\"EQUAL\",\"target\":\"MOD\",\"mod_revision\":\"0\"}";
    let two = "{\"key\":\"a2VlbGhhdWwvMg==\",\"result\":\"EQUAL\",\"target\":\"MOD\",\"mod_revision\":\"5\"}";
    assert!(body.contains(&format!("\"compare\":[{one},{two}]")), "{body}");
    assert!(
        body.contains(r#"{"request_put":{"key":"a2VlbGhhdWwvMg==","value":"WzgsOV0="}}"#),
        "{body}"
    );

    // It is begun anew while keys are modified meanwhile, and not for ever.
    let lost = || vec![first.clone(), answer("")];
    let won = vec![found(&[None, Some(("Wzhd", 6))]), answer(",\"succeeded\":true")];
    let (outcome, seen) = transact(micros, Reads::Linearizable, [lost(), won].concat());
    assert!(outcome.starts_with("ok"), "{outcome}");
    assert!(seen.requests[3].1.contains("\"mod_revision\":\"6\""), "{:?}", seen.requests[3]);
    let all = [lost(), lost(), lost(), lost(), lost()].concat();
    let (outcome, seen) = transact(micros, Reads::Linearizable, all);
    assert_eq!((outcome.as_str(), seen.requests.len()), ("fail a key was modified meanwhile", 8));
    // Nobody knows what became of the second request, and the first one left nothing behind.
    let (outcome, _) = transact(micros, Reads::Linearizable, vec![first, Step::Raw("no".into())]);
    assert!(outcome.starts_with("info"), "{outcome}");
    let (outcome, _) = transact(micros, Reads::Linearizable, vec![Step::Raw("no".into())]);
    assert!(outcome.starts_with("fail"), "{outcome}");
}

#[test]
fn a_transaction_that_only_reads_or_only_writes_is_one_request() {
    let (outcome, seen) =
        transact(r#"[["r",2,null]]"#, Reads::Serializable, vec![found(&[Some(("Wzhd", 5))])]);
    assert_eq!((outcome.as_str(), seen.requests.len()), (r#"ok [["r",2,[8]]]"#, 1));
    assert!(seen.requests[0].1.contains("\"serializable\":true"), "{:?}", seen.requests[0]);
    let (outcome, seen) =
        transact(r#"[["w",2,3]]"#, Reads::Linearizable, vec![answer(",\"succeeded\":true")]);
    assert_eq!((outcome.as_str(), seen.requests.len()), (r#"ok [["w",2,3]]"#, 1));
    assert!(seen.requests[0].1.contains("\"compare\":[]"), "{:?}", seen.requests[0]);
    let (outcome, seen) = transact(r#"[["cas",2,3]]"#, Reads::Linearizable, vec![]);
    assert!(outcome.starts_with("fail the value of a txn is a list") && seen.requests.is_empty());
}
