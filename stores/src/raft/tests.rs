//! The client against nodes that answer by a script, and against real ones.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use keelhaul_engine::{Client, Invocation, Outcome};
use keelhaul_history::{F, NodeId, Process, Value};
use keelhaul_protocol::api::{self, Entry, LogIndex, Payload, Term};
use keelhaul_protocol::kv::{Command, Machine, Request, Response, SessionId};
use keelhaul_server::wire::{
    CLIENT_FRAME_BYTES_MAX, ReplyFrame, RequestFrame, check_client_greeting, encode_frame,
    read_frame,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, spawn_local};
use tokio::time::{Instant, sleep};

use super::client::RaftClient;
use super::errors::Trouble;

mod locks;

/// How long the client tries here: long enough for several attempts, each of which waits a quarter of a second.
const TIME_MAX: Duration = Duration::from_millis(900);

/// What a scripted node does with a request.
enum Action {
    Answer(Response),
    /// Answers later, while it takes further requests.
    AnswerAfter(Duration, Response),
    Close,
    Ignore,
}

use Action::{Answer, AnswerAfter, Close, Ignore};

/// Decides what node number so and so does with its n-th command, from 1.
type Script = Rc<dyn Fn(u16, usize, &Command) -> Action>;

/// What every node was sent, in order.
type Sent = Rc<RefCell<Vec<(u16, SessionId, u64)>>>;

/// Nodes that register everybody and follow a script for the rest.
struct Fakes {
    addresses: BTreeMap<NodeId, SocketAddr>,
    sent: Sent,
    tasks: Vec<JoinHandle<()>>,
}

impl Fakes {
    async fn new(count: u16, script: impl Fn(u16, usize, &Command) -> Action + 'static) -> Self {
        let (script, sent): (Script, Sent) = (Rc::new(script), Rc::default());
        let (mut addresses, mut tasks) = (BTreeMap::new(), Vec::new());
        for node in 1..=count {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
            addresses.insert(NodeId(node), listener.local_addr().expect("bound"));
            tasks.push(spawn_local(serve(listener, node, Rc::clone(&script), Rc::clone(&sent))));
        }
        Self { addresses, sent, tasks }
    }

    /// A client of the first node.
    async fn client(&self) -> RaftClient {
        let client = RaftClient::open(NodeId(1), self.addresses.clone()).await.expect("it listens");
        client.with_time_max(TIME_MAX)
    }

    /// Which nodes were sent a command, in order.
    fn route(&self) -> Vec<u16> {
        self.sent.borrow().iter().map(|(node, ..)| *node).collect()
    }
}

async fn serve(listener: TcpListener, node: u16, script: Script, sent: Sent) {
    // Connections end with the node.
    let mut connections = tokio::task::JoinSet::new();
    let commands = Rc::new(RefCell::new(0));
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn_local(talk(
            stream,
            node,
            Rc::clone(&script),
            Rc::clone(&sent),
            Rc::clone(&commands),
        ));
    }
}

async fn talk(
    mut stream: TcpStream,
    node: u16,
    script: Script,
    sent: Sent,
    commands: Rc<RefCell<usize>>,
) {
    let (mut greeting, mut buffer) = ([0; 6], Vec::new());
    if stream.read_exact(&mut greeting).await.is_err() || check_client_greeting(greeting).is_err() {
        return;
    }
    while let Ok(Some(RequestFrame { correlation, request })) =
        read_frame(&mut stream, &mut buffer, CLIENT_FRAME_BYTES_MAX).await
    {
        let action = match request {
            Request::Register => Answer(Response::Registered(SessionId(77))),
            Request::Perform { session, sequence, command } => {
                *commands.borrow_mut() += 1;
                sent.borrow_mut().push((node, session, sequence));
                script(node, *commands.borrow(), &command)
            }
            _ => Close,
        };
        let response = match action {
            Close => return,
            Ignore => continue,
            Answer(response) => response,
            AnswerAfter(pause, response) => {
                sleep(pause).await;
                response
            }
        };
        let frame = encode_frame(&ReplyFrame { correlation, response }, CLIENT_FRAME_BYTES_MAX);
        if stream.write_all(&frame.expect("small")).await.is_err() {
            return;
        }
    }
}

fn test(work: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    tokio::task::LocalSet::new().block_on(&runtime.expect("a runtime"), work);
}

fn op(f: F, value: impl Into<Value>) -> Invocation {
    Invocation { f, key: Some(Value::Int(3)), value: value.into() }
}

async fn invoke(client: &mut RaftClient, op: &Invocation) -> Outcome {
    client.invoke(Process::Client(0), op).await
}

/// How a write ends at nodes with this script, and which nodes it was sent to.
async fn write(
    count: u16,
    script: impl Fn(u16, usize, &Command) -> Action + 'static,
) -> (Outcome, Vec<u16>) {
    let fakes = Fakes::new(count, script).await;
    let outcome = invoke(&mut fakes.client().await, &op(F::Write, 5)).await;
    let sent = fakes.sent.borrow();
    assert!(
        sent.iter().all(|(_, session, sequence)| (session.0, *sequence) == (77, 1)),
        "{sent:?}"
    );
    (outcome, fakes.route())
}

fn leader(node: u16) -> Action {
    Answer(Response::NotLeader { leader: Some(api::NodeId(node)) })
}

fn leaderless() -> Action {
    Answer(Response::NotLeader { leader: None })
}

#[track_caller]
fn assert_fail(outcome: &Outcome, reason: &str) {
    let Outcome::Fail(why) = outcome else { panic!("a fail was expected, not {outcome:?}") };
    assert!(why.contains(reason), "{why}");
}

#[track_caller]
fn assert_info(outcome: &Outcome, reason: &str) {
    let Outcome::Info(why) = outcome else { panic!("an info was expected, not {outcome:?}") };
    assert!(why.contains(reason), "{why}");
}

#[test]
fn an_answer_is_an_outcome() {
    test(async {
        let fakes = Fakes::new(1, |_, _, command| {
            Answer(match command {
                Command::Read { key } if key == b"3" => Response::Value(Some(b"4".to_vec())),
                Command::Read { .. } => Response::Value(None),
                Command::Write { value, .. } if value == b"5" => Response::Written,
                Command::Write { .. } => Response::Unknown,
                Command::Cas { expected: None, .. } => Response::Swapped,
                Command::Cas { .. } => Response::Mismatch { actual: Some(b"9".to_vec()) },
                other => unreachable!("nobody asks for {other:?}"),
            })
        })
        .await;
        let mut client = fakes.client().await;
        assert_eq!(
            invoke(&mut client, &op(F::Read, Value::Null)).await,
            Outcome::Ok(Value::Int(4))
        );
        let other = Invocation { key: None, ..op(F::Read, Value::Null) };
        assert_eq!(invoke(&mut client, &other).await, Outcome::Ok(Value::Null));
        assert_eq!(invoke(&mut client, &op(F::Write, 5)).await, Outcome::Ok(Value::Int(5)));
        let swap = op(F::Cas, Value::pair(Value::Null, 6));
        assert_eq!(invoke(&mut client, &swap).await, Outcome::Ok(swap.value.clone()));
        assert_fail(
            &invoke(&mut client, &op(F::Cas, Value::pair(5, 6))).await,
            "cas mismatch: found 9",
        );
        let sequences: Vec<_> =
            fakes.sent.borrow().iter().map(|(_, _, sequence)| *sequence).collect();
        assert_eq!(sequences, [0, 0, 1, 2, 3], "reads are not numbered");
    });
}

#[test]
fn what_cannot_be_asked_is_not_sent() {
    test(async {
        let fakes = Fakes::new(1, |_, _, _| Close).await;
        let mut client = fakes.client().await;
        for op in [
            op(F::Write, Value::Null),
            op(F::Cas, 5),
            op(F::Cas, Value::pair(5, Value::Null)),
            op(F::Other("append".into()), 5),
        ] {
            assert!(matches!(invoke(&mut client, &op).await, Outcome::Fail(_)), "{op:?}");
        }
        assert!(fakes.route().is_empty());
    });
}

#[test]
fn no_connection_is_a_fail() {
    test(async {
        let mut fakes = Fakes::new(1, |_, _, _| Answer(Response::Written)).await;
        let mut client = fakes.client().await;
        assert_eq!(invoke(&mut client, &op(F::Write, 5)).await, Outcome::Ok(Value::Int(5)));
        let node = fakes.tasks.pop().expect("one node");
        node.abort();
        assert!(node.await.expect_err("it was aborted").is_cancelled());
        assert_fail(&invoke(&mut client, &op(F::Write, 5)).await, "cannot connect to n1");
        let error = RaftClient::open(NodeId(1), fakes.addresses.clone())
            .await
            .err()
            .expect("nobody listens");
        assert!(matches!(error, Trouble::NoConnection { node: NodeId(1), .. }));
        assert_eq!(fakes.route(), [1]);
    });
}

#[test]
fn a_connection_that_ends_before_the_answer_is_an_info() {
    test(async {
        let (outcome, route) = write(1, |_, _, _| Close).await;
        assert_info(&outcome, "connection to n1 lost before an answer");
        assert!(route.len() > 1, "it was sent again");
    });
}

#[test]
fn a_definite_answer_after_a_lost_one_does_not_make_a_fail() {
    test(async {
        for (later, reason) in [(None, "connection to n1 lost"), (Some(2), "connection to n1 lost")]
        {
            let (outcome, _) = write(2, move |node, count, _| match (node, count) {
                (1, 1) => Close,
                _ => later.map_or_else(leaderless, leader),
            })
            .await;
            assert_info(&outcome, reason);
        }
        let (outcome, route) = write(2, |node, _, _| match node {
            1 => Close,
            _ => Answer(Response::SessionExpired),
        })
        .await;
        assert_info(&outcome, "connection to n1 lost");
        assert_eq!(route, [1, 2]);
    });
}

#[test]
fn a_lost_reply_is_fetched_by_sending_again_and_the_command_is_applied_once() {
    test(async {
        let machine = Rc::new(RefCell::new((Machine::default(), 0)));
        let shared = Rc::clone(&machine);
        let apply = move |payload| {
            let (machine, index) = &mut *shared.borrow_mut();
            *index += 1;
            machine
                .apply(&Entry { index: LogIndex(*index), term: Term(1), payload })
                .expect("an answer")
        };
        for _ in 0..77 {
            apply(Payload::Register);
        }
        let (outcome, route) = {
            let script = move |node, _, command: &Command| {
                let (session, command) = (SessionId(77), command.clone());
                let response = apply(Payload::Command { session, sequence: 1, command });
                if node == 1 { Close } else { Answer(response) }
            };
            let fakes = Fakes::new(2, script).await;
            let swap = op(F::Cas, Value::pair(Value::Null, 6));
            (invoke(&mut fakes.client().await, &swap).await, fakes.route())
        };
        assert_eq!((outcome, route), (Outcome::Ok(Value::pair(Value::Null, 6)), vec![1, 2]));
        assert_eq!(machine.borrow().0.read(b"3"), Some(&b"6".to_vec()));
    });
}

#[test]
fn a_silent_node_is_passed_over() {
    test(async {
        let (outcome, route) = write(3, |node, _, _| match node {
            1 => Ignore,
            2 => leader(1),
            _ => Answer(Response::Written),
        })
        .await;
        assert_eq!(outcome, Outcome::Ok(Value::Int(5)));
        assert_eq!(
            route,
            [1, 2, 3],
            "the silent leader that n2 names is not asked again before n3 is"
        );
    });
}

#[test]
fn a_late_answer_to_the_first_attempt_counts() {
    test(async {
        // After the second attempt began; how many more follow before it comes is the machine's business.
        let late = Duration::from_millis(300);
        let (outcome, route) = write(2, move |node, _, _| match node {
            1 => AnswerAfter(late, Response::Written),
            _ => Ignore,
        })
        .await;
        assert_eq!(outcome, Outcome::Ok(Value::Int(5)));
        assert_eq!(route[..2], [1, 2]);
    });
}

#[test]
fn silence_to_the_end_is_an_info() {
    test(async {
        let (outcome, route) = write(2, |_, _, _| Ignore).await;
        assert_info(&outcome, "no answer from");
        assert_eq!(route[..3], [1, 2, 1]);
    });
}

#[test]
fn a_node_that_does_not_lead_names_who_does() {
    test(async {
        let (outcome, route) =
            write(3, |node, _, _| if node == 3 { Answer(Response::Written) } else { leader(3) })
                .await;
        assert_eq!((outcome, route), (Outcome::Ok(Value::Int(5)), vec![1, 3]));

        let (outcome, route) = write(2, |node, _, _| leader(3 - node)).await;
        assert_fail(&outcome, "not leader; redirected too often");
        assert_eq!(route, [1, 2, 1, 2, 1]);

        let (outcome, route) = write(2, |_, _, _| leaderless()).await;
        assert_fail(&outcome, "not leader; leader unknown");
        assert_eq!(route, [1, 1, 1, 1], "after a short wait");

        let (outcome, _) = write(2, |_, _, _| leader(9)).await;
        assert_fail(&outcome, "not leader; leader unknown");
    });
}

#[test]
fn a_deposed_leader_leaves_it_unknown_until_another_one_answers() {
    test(async {
        let (outcome, route) = write(2, |node, _, _| {
            Answer(if node == 1 { Response::Unknown } else { Response::Written })
        })
        .await;
        assert_eq!((outcome, route), (Outcome::Ok(Value::Int(5)), vec![1, 2]));

        let (outcome, _) =
            write(2, |node, _, _| if node == 1 { Answer(Response::Unknown) } else { leaderless() })
                .await;
        assert_info(&outcome, "n1 stopped leading before the command was committed");
    });
}

#[test]
fn an_answer_to_another_question_is_an_info() {
    test(async {
        let (outcome, _) = write(1, |_, _, _| Answer(Response::Swapped)).await;
        assert_info(&outcome, "does not fit");
    });
}

#[test]
fn an_expired_session_is_a_fail_and_the_next_command_opens_another() {
    test(async {
        let fakes = Fakes::new(1, |_, count, _| {
            Answer(if count == 1 { Response::SessionExpired } else { Response::Written })
        })
        .await;
        let mut client = fakes.client().await;
        assert_fail(&invoke(&mut client, &op(F::Write, 5)).await, "session expired");
        assert_eq!(invoke(&mut client, &op(F::Write, 5)).await, Outcome::Ok(Value::Int(5)));
        assert_eq!(
            *fakes.sent.borrow(),
            [(1, SessionId(77), 1), (1, SessionId(77), 1)],
            "numbered anew"
        );
    });
}

#[test]
fn a_read_without_an_answer_has_failed() {
    test(async {
        let fakes = Fakes::new(1, |_, _, _| Close).await;
        let outcome = invoke(&mut fakes.client().await, &op(F::Read, Value::Null)).await;
        assert_fail(&outcome, "connection to n1 lost before an answer");
    });
}

#[test]
fn an_operation_can_be_dropped_at_any_moment_and_late_answers_do_not_confuse_the_next() {
    test(async {
        let late = Duration::from_millis(60);
        let fakes = Fakes::new(1, move |_, count, _| {
            let value = count.to_string().into_bytes();
            AnswerAfter(
                if count == 1 { late } else { Duration::ZERO },
                Response::Value(Some(value)),
            )
        })
        .await;
        let mut client = fakes.client().await;
        let read = op(F::Read, Value::Null);
        let dropped = tokio::time::timeout(late / 2, invoke(&mut client, &read)).await;
        assert!(dropped.is_err());
        assert_eq!(invoke(&mut client, &read).await, Outcome::Ok(Value::Int(2)));
    });
}

mod real {
    //! Against three real nodes.

    use keelhaul_protocol::membership::{Change, Membership, Refusal};
    use keelhaul_server::{ProtocolKind, Reads, ServerArgs, Timing, run_until};
    use tempfile::TempDir;
    use tokio::sync::oneshot;

    use super::*;
    use crate::raft::members::{Member, leadership, status, unready};
    use crate::raft::operator::{self, NotDone};

    const LIMIT: Duration = Duration::from_secs(20);

    fn reserve(count: usize) -> Vec<SocketAddr> {
        let one = |_| std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let all: Vec<_> = (0..count).map(one).collect();
        all.iter().map(|listener| listener.local_addr().expect("bound")).collect()
    }

    #[test]
    fn clients_of_every_node_read_write_and_swap() {
        test(async {
            let directory = TempDir::new().expect("a directory");
            let addresses = reserve(6);
            let peers: Vec<_> =
                (1..).map(api::NodeId).zip(addresses[..3].iter().copied()).collect();
            let mut running = Vec::new();
            for (id, address) in &peers {
                let args = ServerArgs {
                    protocol: ProtocolKind::Raft,
                    id: *id,
                    peers: peers.clone(),
                    listen_peer: *address,
                    listen_client: addresses[usize::from(id.0) + 2],
                    data_dir: directory.path().join(id.0.to_string()),
                    cluster: 1,
                    seed: 3,
                    reads: Reads::Quorum,
                    mutant: None,
                    timing: Timing { election_ms: Some((150, 300)), heartbeat_ms: Some(30) },
                    snapshot_entries: None,
                    voters: None,
                };
                let (stop, stopped) = oneshot::channel::<()>();
                let thread = std::thread::spawn(move || {
                    run_until(args, async {
                        let _ = stopped.await;
                        Ok(())
                    })
                });
                running.push((stop, thread));
            }
            let members: Vec<_> = (1..)
                .map(NodeId)
                .zip(&addresses[3..])
                .map(|(id, address)| Member { id, address: *address })
                .collect();
            exercise(&members).await;
            operate(&members).await;
            for (stop, thread) in running {
                drop(stop);
                thread.join().expect("no panic").expect("a clean end");
            }
        });
    }

    /// The leader goes and comes back, by its number and as a member.
    async fn operate(members: &[Member]) {
        let (before, settled) = operator::membership(members).await.expect("a leader");
        assert!(settled && before == Membership::of([1, 2, 3].map(api::NodeId)), "{before:?}");
        let leader = leadership(&status(members).await).leader.expect("a leader");
        let heir = NodeId(leader.0 % 3 + 1);
        operator::transfer(members, heir).await.expect("it takes over");
        let void = operator::transfer(members, NodeId(9)).await;
        assert!(
            matches!(void, Err(NotDone::Refused(Refusal::Void) | NotDone::NoLeader)),
            "{void:?}"
        );
        let end = Instant::now() + Duration::from_secs(10);
        for change in [Change::Remove, Change::AddLearner, Change::Promote] {
            let change = change(api::NodeId(leader.0));
            // The new leader may not have committed anything yet, the learner not have caught up.
            while let Err(why) = operator::change(members, change.clone()).await {
                assert!(Instant::now() < end, "{change:?}: {why}");
                sleep(Duration::from_millis(20)).await;
            }
        }
        assert_eq!(operator::membership(members).await, Ok((before, true)));
    }

    async fn exercise(members: &[Member]) {
        let end = Instant::now() + LIMIT;
        while let Some(reason) = unready(members).await {
            assert!(Instant::now() < end, "{reason}");
            sleep(Duration::from_millis(20)).await;
        }
        let found = leadership(&status(members).await);
        assert!(found.leader.is_some() && found.term > 0);
        let addresses: BTreeMap<_, _> =
            members.iter().map(|member| (member.id, member.address)).collect();
        let mut last = Value::Null;
        for (number, member) in (1..).zip(members) {
            let mut client =
                RaftClient::open(member.id, addresses.clone()).await.expect("it listens");
            assert_eq!(
                invoke(&mut client, &op(F::Read, Value::Null)).await,
                Outcome::Ok(last.clone())
            );
            let swap = op(F::Cas, Value::pair(last, number * 10));
            assert_eq!(invoke(&mut client, &swap).await, Outcome::Ok(swap.value.clone()));
            assert_fail(&invoke(&mut client, &swap).await, "cas mismatch");
            assert_eq!(
                invoke(&mut client, &op(F::Write, number)).await,
                Outcome::Ok(Value::Int(number))
            );
            last = Value::Int(number);
        }
    }
}
