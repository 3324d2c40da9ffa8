//! The client of locks against nodes that answer by a script.

use keelhaul_protocol::kv::locks::{Act, Hold, Token};

use super::*;
use crate::raft::lock::{Fencing, LockClient, Locking};

const LEASE: Duration = Duration::from_millis(60);

/// The commands that nodes were sent, with the node's number.
type Commands = Rc<RefCell<Vec<(u16, Command)>>>;

/// Nodes that note commands and answer them by a script.
async fn fakes(count: u16, script: impl Fn(&Command) -> Response + 'static) -> (Fakes, Commands) {
    let commands = Commands::default();
    let noted = Rc::clone(&commands);
    let fakes = Fakes::new(count, move |node, _, command| {
        noted.borrow_mut().push((node, command.clone()));
        Answer(script(command))
    });
    (fakes.await, commands)
}

async fn client(fakes: &Fakes, fencing: Fencing) -> LockClient {
    let locking = Locking { fencing, lease: LEASE };
    LockClient::open(NodeId(1), fakes.addresses.clone(), locking).await.expect("it listens")
}

async fn invoke(client: &mut LockClient, f: &str, value: impl Into<Value>) -> Outcome {
    client.invoke(Process::Client(0), &op(F::from(f), value)).await
}

/// Gives everybody everything.
fn generous(command: &Command) -> Response {
    match command {
        Command::Lock { act: Act::Acquire { .. }, .. } => Response::Acquired(Token(5)),
        Command::Lock { act: Act::Renew(_), .. } => Response::Renewed,
        Command::Lock { act: Act::Release(_), .. } => Response::Released,
        Command::Append { .. } => Response::Appended,
        _ => Response::Value(Some(b"8\n".to_vec())),
    }
}

fn watched(commands: &Commands) -> Vec<Option<Hold>> {
    let watched = |(_, command): &(u16, Command)| match command {
        Command::Lock { act: Act::Acquire { watched }, .. } => Some(*watched),
        _ => None,
    };
    commands.borrow().iter().filter_map(watched).collect()
}

#[test]
fn a_token_is_shown_to_the_resource_if_locks_are_fenced() {
    test(async {
        for (fencing, told, shown) in [
            (Fencing::Fenced, Value::Int(5), Some(Token(5))),
            (Fencing::Unfenced, Value::Null, None),
        ] {
            let (fakes, commands) = fakes(1, generous).await;
            let mut client = client(&fakes, fencing).await;
            assert_fail(&invoke(&mut client, "append", 8).await, "holds no such lock");
            assert_fail(&invoke(&mut client, "release", Value::Null).await, "holds no such lock");
            assert_eq!(invoke(&mut client, "acquire", Value::Null).await, Outcome::Ok(told));
            assert_eq!(invoke(&mut client, "append", 8).await, Outcome::Ok(Value::Int(8)));
            let read = invoke(&mut client, "read", Value::Null).await;
            assert_eq!(read, Outcome::Ok(Value::List([Value::Int(8)].into())));
            let release = invoke(&mut client, "release", Value::Null).await;
            assert_eq!(release, Outcome::Ok(Value::Null));
            assert_fail(&invoke(&mut client, "cas", 8).await, "does not know cas");
            let (key, value) = (b"3".to_vec(), b"8\n".to_vec());
            let append = Command::Append { key, value, fence: shown };
            assert!(commands.borrow().contains(&(1, append)), "{commands:?}");
        }
    });
}

#[test]
fn a_hold_that_is_not_renewed_for_a_lease_is_named_as_outlived() {
    test(async {
        let hold = Hold { token: Token(3), renewals: 7 };
        let (fakes, commands) = fakes(1, move |command| match command {
            Command::Lock { act: Act::Acquire { watched: None }, .. } => Response::Held(hold),
            other => generous(other),
        })
        .await;
        let mut client = client(&fakes, Fencing::Fenced).await;
        let begun = Instant::now();
        while let Outcome::Fail(why) = invoke(&mut client, "acquire", Value::Null).await {
            assert_eq!(&*why, "held by another");
            sleep(LEASE / 20).await;
        }
        assert!(begun.elapsed() >= LEASE);
        let watched = watched(&commands);
        let (last, before) = watched.split_last().expect("it asked");
        assert!(*last == Some(hold) && before.iter().all(Option::is_none), "{watched:?}");
    });
}

#[test]
fn a_hold_that_is_renewed_is_not_outlived() {
    test(async {
        let renewals = std::cell::Cell::new(0);
        let (fakes, commands) = fakes(1, move |_| {
            renewals.set(renewals.get() + 1);
            Response::Held(Hold { token: Token(3), renewals: renewals.get() })
        })
        .await;
        let mut client = client(&fakes, Fencing::Fenced).await;
        let begun = Instant::now();
        while begun.elapsed() < LEASE * 3 {
            assert_fail(&invoke(&mut client, "acquire", Value::Null).await, "held by another");
            sleep(LEASE / 20).await;
        }
        assert!(watched(&commands).iter().all(Option::is_none));
    });
}

#[test]
fn a_keeper_renews_through_its_own_node_and_a_holder_that_is_fenced_off_knows() {
    test(async {
        let (fakes, commands) = fakes(2, |command| match command {
            Command::Append { .. } => Response::Fenced { largest: Token(9) },
            other => generous(other),
        })
        .await;
        let mut client = client(&fakes, Fencing::Fenced).await;
        assert_eq!(invoke(&mut client, "acquire", Value::Null).await, Outcome::Ok(Value::Int(5)));
        let renew = Command::Lock { lock: b"3".to_vec(), act: Act::Renew(Token(5)) };
        let renewals = || commands.borrow().iter().filter(|(_, c)| *c == renew).count();
        let end = Instant::now() + Duration::from_secs(10);
        while renewals() < 3 {
            assert!(Instant::now() < end, "{commands:?}");
            sleep(LEASE / 4).await;
        }
        assert!(fakes.route().iter().all(|node| *node == 1));
        assert_fail(&invoke(&mut client, "append", 8).await, "the resource has seen 9");
        assert_fail(&invoke(&mut client, "append", 8).await, "holds no such lock");
    });
}
