//! The driver's promises, on tokio's paused clock: it jumps to the next timer when all tasks wait, so that nothing
//! here takes real time or depends on the machine's speed.

use std::cell::{Cell, RefCell};
use std::future::pending;
use std::io::{self, Write};
use std::rc::Rc;
use std::time::Duration;

use keelhaul_history::{F, Header, NodeId, Op, Process, Reader, Value, Writer};
use tokio::time::{Instant, sleep};

use super::*;
use crate::generator::{
    Combine, Context, Generator, Next, log, nemesis, once, ops, repeat, sequence,
};
use crate::{Invocation, LocalFuture, Outcome};

/// A file that can be looked at while it is written, and may fill up.
#[derive(Clone)]
struct Disk {
    bytes: Rc<RefCell<Vec<u8>>>,
    room: usize,
}

impl Disk {
    fn new() -> Self {
        Self { bytes: Rc::default(), room: usize::MAX }
    }

    fn text(&self) -> String {
        String::from_utf8(self.bytes.borrow().clone()).unwrap()
    }

    fn history(&self) -> Vec<Op> {
        let bytes = self.bytes.borrow();
        Reader::new(&bytes[..]).unwrap().read_all().unwrap()
    }
}

impl Write for Disk {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let mut bytes = self.bytes.borrow_mut();
        let taken = buf.len().min(self.room - bytes.len());
        bytes.extend_from_slice(&buf[..taken]);
        if taken == 0 { Err(io::ErrorKind::StorageFull.into()) } else { Ok(taken) }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What the clients of a test do, by the operation's name, and what they saw.
#[derive(Default)]
struct World {
    disk: RefCell<Option<Disk>>,
    opened: RefCell<Vec<(Process, NodeId)>>,
    closed: Cell<u32>,
    invoked: Cell<u32>,
    refuse: Cell<bool>,
}

struct Actor(Rc<World>);

impl Drop for Actor {
    fn drop(&mut self) {
        self.0.closed.set(self.0.closed.get() + 1);
    }
}

impl Client for Actor {
    fn invoke<'a>(&'a mut self, process: Process, op: &'a Invocation) -> LocalFuture<'a, Outcome> {
        Box::pin(async move {
            self.0.invoked.set(self.0.invoked.get() + 1);
            if let Some(disk) = &*self.0.disk.borrow() {
                let text = disk.text();
                let last =
                    text.lines().rfind(|line| line.contains(&format!("\"process\":{process},")));
                assert!(
                    last.is_some_and(|line| line.contains("invoke")),
                    "{process} began unrecorded work: {last:?}"
                );
            }
            match op.f.as_str() {
                "hang" => pending().await,
                "slow" => sleep(Duration::from_millis(300)).await,
                "yield" => tokio::task::yield_now().await,
                "panic" => panic!("the client is broken"),
                "fail" => return Outcome::Fail("no".into()),
                "info" => return Outcome::Info("who knows".into()),
                _ => {}
            }
            Outcome::Ok(op.value.clone())
        })
    }
}

struct Opener(Rc<World>);

impl Connect for Opener {
    fn open<'a>(
        &'a self,
        process: Process,
        node: NodeId,
    ) -> LocalFuture<'a, Result<Box<dyn Client>, Box<str>>> {
        Box::pin(async move {
            if self.0.refuse.get() {
                return Err("connection refused".into());
            }
            self.0.opened.borrow_mut().push((process, node));
            Ok(Box::new(Actor(Rc::clone(&self.0))) as Box<dyn Client>)
        })
    }
}

fn op(name: &str) -> Invocation {
    Invocation { f: F::from(name), key: None, value: Value::Int(1) }
}

struct Ran {
    result: Result<RunSummary, DriverError>,
    disk: Disk,
    took: Duration,
}

impl Ran {
    /// The history as `PROCESS KIND` words.
    fn events(&self) -> String {
        let word = |op: &Op| format!("{} {}", op.process, op.kind);
        self.disk.history().iter().map(word).collect::<Vec<_>>().join(", ")
    }
}

async fn drive(
    world: &Rc<World>,
    disk: Disk,
    generator: Boxed,
    concurrency: u32,
    observer: &mut dyn FnMut(Progress<'_>),
    stop: impl Future<Output = ()>,
) -> Ran {
    let mut writer = Writer::new(disk.clone(), &Header::new("test", "register")).unwrap();
    let origin = Instant::now();
    let options = RunOptions {
        concurrency,
        nodes: 3,
        op_timeout: Duration::from_secs(1),
        nemesis_timeout: Duration::from_secs(20),
        origin,
    };
    let connect = Rc::new(Opener(Rc::clone(world)));
    let nemesis = Box::new(Actor(Rc::clone(world)));
    let result = run(options, generator, connect, nemesis, &mut writer, observer, stop).await;
    Ran { result, disk, took: origin.elapsed() }
}

async fn simple(world: &Rc<World>, generator: impl Generator + 'static, concurrency: u32) -> Ran {
    drive(world, Disk::new(), generator.boxed(), concurrency, &mut |_| {}, pending()).await
}

#[tokio::test(start_paused = true)]
async fn an_invocation_is_written_before_the_client_sees_it() {
    let world = Rc::new(World::default());
    let disk = Disk::new();
    world.disk.replace(Some(disk.clone()));
    let work = ops((0..500).map(|i| op(["ok", "fail", "info", "yield"][i % 4]))).boxed();
    let ran = drive(&world, disk, work, 7, &mut |_| {}, pending()).await;
    let status = ran.result.unwrap().status;
    assert_eq!((status.ok, status.fail, status.info, status.in_flight()), (250, 125, 125, 0));
    assert_eq!((status.events, ran.disk.history().len()), (1_000, 1_000));
}

#[tokio::test(start_paused = true)]
async fn an_operation_that_takes_too_long_is_an_info_and_loses_its_client() {
    let world = Rc::new(World::default());
    let ran = simple(&world, ops([op("hang"), op("ok")]), 1).await;
    assert_eq!(ran.events(), "0 invoke, 0 info, 1 invoke, 1 ok");
    assert_eq!(ran.disk.history()[1].error.as_deref(), Some("timeout after 1s"));
    assert_eq!(
        *world.opened.borrow(),
        [(Process::Client(0), NodeId(1)), (Process::Client(1), NodeId(1))]
    );
    assert!((1_000..1_010).contains(&ran.took.as_millis()), "{:?}", ran.took);
}

#[tokio::test(start_paused = true)]
async fn the_nemesis_has_its_own_limit_and_keeps_its_process() {
    let world = Rc::new(World::default());
    let ran = simple(&world, nemesis(ops([op("hang"), op("slow")])), 1).await;
    assert_eq!(ran.events(), "nemesis invoke, nemesis info, nemesis invoke, nemesis ok");
    assert!((20_300..20_320).contains(&ran.took.as_millis()), "{:?}", ran.took);
}

#[tokio::test(start_paused = true)]
async fn clients_are_kept_unless_their_process_ends() {
    let world = Rc::new(World::default());
    let ran = simple(&world, ops([op("ok"), op("fail"), op("info"), op("ok"), op("ok")]), 1).await;
    assert_eq!(ran.result.unwrap().status.events, 10);
    assert_eq!(world.opened.borrow().len(), 2);
    assert_eq!(world.closed.get(), 3, "both, and the nemesis");
}

#[tokio::test(start_paused = true)]
async fn the_client_of_a_process_that_ended_is_closed_at_once() {
    let world = Rc::new(World::default());
    let closed = Cell::new(0);
    let mut observer = |_: Progress<'_>| closed.set(closed.get().max(world.closed.get()));
    let work = sequence([once(op("info")).boxed(), crate::generator::sleep(1_000_000_000).boxed()]);
    drive(&world, Disk::new(), work.boxed(), 1, &mut observer, pending()).await.result.unwrap();
    assert_eq!(closed.get(), 1, "while the run goes on");
}

#[tokio::test(start_paused = true)]
async fn threads_are_spread_over_the_nodes() {
    let world = Rc::new(World::default());
    simple(&world, repeat(op("ok")).limit(5), 5).await;
    let mut nodes: Vec<_> =
        world.opened.borrow().iter().map(|(process, node)| (*process, node.0)).collect();
    nodes.sort_unstable();
    assert_eq!(nodes.iter().map(|(_, node)| *node).collect::<Vec<_>>(), [1, 2, 3, 1, 2]);
}

#[tokio::test(start_paused = true)]
async fn without_a_client_operations_fail_at_a_measured_pace() {
    let world = Rc::new(World::default());
    world.refuse.set(true);
    let ran = simple(&world, repeat(op("ok")).limit(10), 1).await;
    let history = ran.disk.history();
    assert_eq!(ran.result.unwrap().status.fail, 10);
    assert!(history.iter().all(|op| op.process == Process::Client(0)), "a fail keeps the process");
    assert_eq!(history[1].error.as_deref(), Some("no client: connection refused"));
    assert!((1_000..1_200).contains(&ran.took.as_millis()), "{:?}", ran.took);
    assert_eq!(world.invoked.get(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_panic_ends_the_run_in_good_order() {
    let world = Rc::new(World::default());
    let work =
        sequence([once(op("slow")).boxed(), once(op("panic")).boxed(), repeat(op("ok")).boxed()]);
    let ran = simple(&world, work, 2).await;
    assert!(
        matches!(&ran.result, Err(DriverError::Panic { message }) if message == "the client is broken")
    );
    assert_eq!(ran.events(), "0 invoke, 1 invoke, 1 info, 0 ok");
    assert_eq!(
        ran.disk.history()[2].error.as_deref(),
        Some("client panicked: the client is broken")
    );
}

#[tokio::test(start_paused = true)]
async fn stop_waits_for_operations_in_flight() {
    let world = Rc::new(World::default());
    let work = sequence([once(op("hang")).boxed(), repeat(op("slow")).boxed()]);
    let stop = sleep(Duration::from_millis(700));
    let ran = drive(&world, Disk::new(), work.boxed(), 2, &mut |_| {}, stop).await;
    assert!(ran.result.as_ref().unwrap().interrupted);
    assert_eq!(ran.events(), "0 invoke, 1 invoke, 1 ok, 1 invoke, 1 ok, 1 invoke, 1 ok, 0 info");
    assert!((1_000..1_010).contains(&ran.took.as_millis()), "{:?}", ran.took);
}

#[tokio::test(start_paused = true)]
async fn a_full_disk_ends_the_run_and_keeps_the_prefix() {
    let full = |room| async move {
        let world = Rc::new(World::default());
        let disk = Disk { room, ..Disk::new() };
        let ran = drive(&world, disk, repeat(op("yield")).boxed(), 3, &mut |_| {}, pending()).await;
        let Err(DriverError::Record(e)) = &ran.result else { panic!("{:?}", ran.result) };
        assert_eq!(e.kind(), io::ErrorKind::StorageFull);
        let history = ran.disk.history();
        let begun = history.iter().filter(|op| op.kind == Kind::Invoke).count();
        assert!(
            begun >= world.invoked.get() as usize,
            "no client saw an operation that is not on the disk"
        );
        history.len()
    };
    for room in (3_000..3_400).step_by(7) {
        assert!(full(room).await > 10);
    }
}

#[tokio::test(start_paused = true)]
async fn a_generator_that_waits_for_nothing_is_an_error() {
    struct Never;
    impl Generator for Never {
        fn next(&mut self, _: &Context<'_>) -> Next {
            Next::Pending
        }
    }
    let world = Rc::new(World::default());
    let ran = simple(&world, sequence([once(op("ok")).boxed(), Never.boxed()]), 1).await;
    assert!(matches!(ran.result, Err(DriverError::Stuck)));
    assert_eq!(ran.events(), "0 invoke, 0 ok");
}

#[tokio::test(start_paused = true)]
async fn completions_reach_the_file_while_nothing_else_happens() {
    let world = Rc::new(World::default());
    let disk = Disk::new();
    let work = sequence([
        once(op("ok")).boxed(),
        crate::generator::sleep(2_000_000_000).boxed(),
        once(op("ok")).boxed(),
    ]);
    let seen = RefCell::new(Vec::new());
    let mut observer = |progress: Progress<'_>| {
        if let Progress::Tick(status) = progress {
            seen.borrow_mut().push((status.elapsed.as_millis(), disk.text().lines().count()));
        }
    };
    let ran = drive(&world, disk.clone(), work.boxed(), 1, &mut observer, pending()).await;
    assert!(ran.result.is_ok());
    let seen = seen.into_inner();
    let idle: Vec<_> = seen.iter().filter(|(ms, _)| (150..1_950).contains(ms)).collect();
    assert!(idle.len() >= 17, "ten ticks a second: {seen:?}");
    assert!(idle.iter().all(|(_, lines)| *lines == 3), "header, invocation, completion: {seen:?}");
}

#[tokio::test(start_paused = true)]
async fn the_observer_hears_of_the_nemesis_and_of_log_lines() {
    let world = Rc::new(World::default());
    let work = sequence([log("here we go").boxed(), nemesis(once(op("partition"))).boxed()]);
    let mut heard = Vec::new();
    let mut observer = |progress: Progress<'_>| match progress {
        Progress::Nemesis(op) => heard.push(format!("{} {}", op.f, op.kind)),
        Progress::Log(line) => heard.push(line.to_owned()),
        Progress::Tick(_) => {}
    };
    drive(&world, Disk::new(), work.boxed(), 1, &mut observer, pending()).await;
    heard.sort();
    assert_eq!(heard, ["here we go", "partition invoke", "partition ok"]);
}

#[tokio::test(start_paused = true)]
async fn the_same_run_twice_gives_the_same_history() {
    let text = || async {
        let work =
            ops((0..300).map(|i| op(["ok", "slow", "info", "yield", "hang", "fail"][i * i % 6])));
        simple(&Rc::new(World::default()), work, 4).await.disk.text()
    };
    assert_eq!(text().await, text().await);
}
