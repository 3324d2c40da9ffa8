//! The agent's loop: requests in, answers out, and everything undone at the end.

use std::io::{self, Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use crate::children::Children;
use crate::daemon::Daemons;
use crate::disk::{Disks, log};
use crate::examine::examine;
use crate::freezer::Freezer;
use crate::lease::Leased;
use crate::probe::{self, Probes};
use crate::request::{DaemonState, Reply, Request};
use crate::shape::{self, Shapes};
use crate::wire::{
    Answer, Call, WireError, check_hello, decode, encode, hello, read_frame, write_frame,
};
use crate::{clock, cut, files, memory, program_clock, run};

/// Where daemons' logs go.
pub const LOG_DIR: &str = "/var/log/keelhaul";
/// The documented code for a clean-up that is not complete.
const EXIT_NOT_UNDONE: i32 = 12;
/// How many slow requests may be under way at once; a control node asks for a handful.
const SLOW_MAX: usize = 128;

/// Why the agent ended otherwise than by the end of its input.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The stream broke, or the other side is not a control node of our version.
    #[error("serve a control node")]
    Wire(#[from] WireError),
    /// Something could not be set up, or not be undone at the end.
    #[error("{what}")]
    System {
        /// What was tried.
        what: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

/// Serves requests until the input ends, then undoes every fault, ends every process it began, and returns.
///
/// From here on this process' children are reaped by the agent. Whatever ends the loop, the undoing is done.
pub fn serve(input: impl Read, output: impl Write + Send + 'static) -> Result<(), ServeError> {
    serve_in(Path::new(LOG_DIR), input, output)
}

/// [`serve`] with another directory for the logs.
pub fn serve_in(
    log_dir: &Path,
    input: impl Read,
    output: impl Write + Send + 'static,
) -> Result<(), ServeError> {
    serve_with(
        &Circumstances { log_dir: log_dir.to_owned(), ..Circumstances::default() },
        input,
        output,
    )
}

/// What is different where an agent does not live in a node of its own.
#[derive(Clone, Debug, Default)]
pub struct Circumstances {
    /// Where daemons' logs go.
    pub log_dir: PathBuf,
    /// How long the control node may be silent before it counts as gone; for ever if absent.
    pub lease: Option<Duration>,
    /// The words that start this program; empty if its executable alone does.
    pub own_program: Vec<String>,
    /// A variable that every process of this agent inherits, so that whoever comes later knows them.
    pub mark: Option<(String, String)>,
}

/// [`serve`] under other circumstances.
pub fn serve_with(
    circumstances: &Circumstances,
    mut input: impl Read,
    output: impl Write + Send + 'static,
) -> Result<(), ServeError> {
    memory::give_large_blocks_back();
    let output = Arc::new(Mutex::new(output));
    send(&output, &hello())?;
    let first = read_frame(&mut input)?.unwrap_or_default();
    check_hello(&first)?;
    let agent = Arc::new(Agent::new(circumstances)?);
    let ended = match circumstances.lease {
        None => answer_all(&agent, &mut input, &output),
        Some(length) => {
            let holder = Arc::clone(&agent);
            let mut leased = Leased::new(input, length, move || holder.abandon(length))
                .map_err(|source| ServeError::System { what: "watch the lease", source })?;
            answer_all(&agent, &mut leased, &output)
        }
    };
    let undone = agent.end();
    ended?;
    undone
}

fn answer_all<W: Write + Send + 'static>(
    agent: &Arc<Agent>,
    input: &mut impl Read,
    output: &Arc<Mutex<W>>,
) -> Result<(), WireError> {
    let slow = Arc::new(AtomicUsize::new(0));
    while let Some(payload) = read_frame(input)? {
        let Call { id, request } = decode(&payload)?;
        if !is_slow(&request) {
            send(output, &encode(&Answer { id, reply: agent.answer(request) })?)?;
            continue;
        }
        if slow.fetch_add(1, Ordering::AcqRel) >= SLOW_MAX {
            slow.fetch_sub(1, Ordering::AcqRel);
            let error = io::Error::other(format!("{SLOW_MAX} requests are under way"));
            send(output, &encode(&Answer { id, reply: failed("take another request", &error) })?)?;
            continue;
        }
        let (agent, output, slow) = (Arc::clone(agent), Arc::clone(output), Arc::clone(&slow));
        thread::spawn(move || {
            let reply = agent.answer(request);
            slow.fetch_sub(1, Ordering::AcqRel);
            // When the stream is broken the reading side notices and ends the agent.
            let _ = encode(&Answer { id, reply }).and_then(|bytes| send(&output, &bytes));
        });
    }
    Ok(())
}

fn send<W: Write>(output: &Mutex<W>, payload: &[u8]) -> Result<(), WireError> {
    write_frame(&mut *output.lock().unwrap_or_else(PoisonError::into_inner), payload)
}

/// Whether a request may wait for a process or a packet, and so needs a thread of its own.
fn is_slow(request: &Request) -> bool {
    match request {
        Request::Run(_)
        | Request::StartDaemon(_)
        | Request::Stop { .. }
        | Request::Kill { .. }
        | Request::Pause { .. }
        | Request::Resume { .. }
        | Request::ProbeSeen { .. }
        | Request::ProbeRefused { .. }
        | Request::Examine { .. }
        | Request::Shape { .. }
        | Request::TrainSend { .. }
        | Request::TrainSeen { .. }
        | Request::Echo { .. }
        | Request::MountDisk { .. }
        | Request::UnmountDisk { .. }
        | Request::DiskFaults { .. }
        | Request::DamageDisk { .. }
        | Request::MendDisk { .. }
        | Request::PowerCut { .. }
        | Request::DiskState { .. }
        | Request::TimeSync
        | Request::TellClock { .. }
        | Request::AskClock { .. }
        | Request::HealAll => true,
        Request::Status { .. }
        | Request::WriteFile { .. }
        | Request::ReadFile { .. }
        | Request::ReadClock
        | Request::SetClock(_)
        | Request::TryClock
        | Request::Cut { .. }
        | Request::CutState
        | Request::Ping
        | Request::ProbePort
        | Request::TrainListen { .. }
        | Request::ProbeSend { .. } => false,
    }
}

/// What one agent holds.
struct Agent {
    log_dir: PathBuf,
    children: Arc<Children>,
    daemons: Daemons,
    probes: Probes,
    disks: Disks,
    shapes: Shapes,
    /// Whether this agent ever cut anything.
    has_cut: AtomicBool,
    /// Whether this agent ever changed the clock.
    has_clock: AtomicBool,
    /// Held while everything is undone.
    ending: Mutex<()>,
}

impl Agent {
    fn new(circumstances: &Circumstances) -> Result<Self, ServeError> {
        let Circumstances { log_dir, own_program, mark, .. } = circumstances.clone();
        let freezer = mark.as_ref().and_then(|(_, token)| Freezer::open(token));
        let children = Children::adopt(own_program, mark)
            .map_err(|source| ServeError::System { what: "begin to reap children", source })?;
        let daemons = Daemons::new(Arc::clone(&children), log_dir.clone(), freezer);
        Ok(Self {
            log_dir,
            children,
            daemons,
            probes: Probes::listen(),
            disks: Disks::default(),
            shapes: Shapes::default(),
            has_cut: AtomicBool::new(false),
            has_clock: AtomicBool::new(false),
            ending: Mutex::default(),
        })
    }

    /// Performs a request. A panic of ours is an answer too: the control node must not wait for ever.
    fn answer(&self, request: Request) -> Reply {
        catch_unwind(AssertUnwindSafe(|| self.perform(request))).unwrap_or_else(|_| Reply::Failed {
            message: "finish the request: the agent panicked, see its log".into(),
            errno: None,
        })
    }

    fn perform(&self, request: Request) -> Reply {
        let state = |what: &str, name: &str, result: io::Result<DaemonState>| match result {
            Ok(state) => Reply::State(state),
            Err(e) => failed(&format!("{what} {name}"), &e),
        };
        match request {
            Request::Ping => Reply::Done,
            Request::Run(command) => match run::run(&self.children, &command) {
                Ok(output) => Reply::Output(output),
                Err(e) => failed(&format!("run {:?}", command.argv.first()), &e),
            },
            Request::StartDaemon(daemon) => match self.daemons.start(&daemon) {
                Ok(pid) => Reply::Pid(pid),
                Err(e) => failed(&format!("start {} ({:?})", daemon.name, daemon.argv.first()), &e),
            },
            Request::Stop { name, grace_ms } => {
                state("stop", &name, self.daemons.stop(&name, Duration::from_millis(grace_ms)))
            }
            Request::Kill { name } => state("kill", &name, self.daemons.kill(&name)),
            Request::Pause { name } => state("pause", &name, self.daemons.pause(&name)),
            Request::Resume { name } => state("resume", &name, self.daemons.resume(&name)),
            Request::Status { name } => Reply::State(self.daemons.status(&name)),
            Request::WriteFile { .. } | Request::ReadFile { .. } | Request::TimeSync => {
                self.perform_on_files(request)
            }
            Request::Cut { from, refuse } => {
                self.has_cut.store(true, Ordering::Release);
                cut::replace(&from, &refuse)
                    .map_or_else(|e| failed("replace the table of cuts", &e), |()| cuts())
            }
            Request::CutState => cuts(),
            Request::Examine { ports } => {
                Reply::Findings(examine(&ports, program_clock::try_it(&self.children)))
            }
            Request::ProbeRefused { to, wait_ms } => {
                Reply::Seen(probe::is_refused(to, Duration::from_millis(wait_ms)))
            }
            Request::ProbePort => match self.probes.port() {
                Ok(port) => Reply::Port(port),
                Err(e) => failed("find the port of probes", &e),
            },
            Request::ProbeSend { to, nonce } => {
                done(&format!("send a probe to {to}"), self.probes.send(to, nonce))
            }
            Request::ProbeSeen { nonce, wait_ms } => {
                match self.probes.seen(nonce, Duration::from_millis(wait_ms)) {
                    Ok(seen) => Reply::Seen(seen),
                    Err(e) => failed("watch for a probe", &e),
                }
            }
            Request::HealAll => done("heal", self.heal()),
            Request::ReadClock
            | Request::SetClock(_)
            | Request::TryClock
            | Request::TellClock { .. }
            | Request::AskClock { .. } => self.perform_on_clock(request),
            Request::Shape { .. }
            | Request::TrainListen { .. }
            | Request::TrainSend { .. }
            | Request::TrainSeen { .. }
            | Request::Echo { .. } => self.perform_on_links(request),
            Request::MountDisk { .. }
            | Request::UnmountDisk { .. }
            | Request::DiskFaults { .. }
            | Request::DamageDisk { .. }
            | Request::MendDisk { .. }
            | Request::PowerCut { .. }
            | Request::DiskState { .. } => self.perform_on_disk(request),
        }
    }

    fn perform_on_clock(&self, request: Request) -> Reply {
        match request {
            Request::ReadClock => answered("read the clocks", Reply::Clock, clock::read()),
            Request::SetClock(wish) => {
                self.has_clock.store(true, Ordering::Release);
                done("set the machine's clock", clock::set(wish))
            }
            Request::TryClock => done("set the machine's clock", clock::try_it()),
            Request::TellClock { name, wish } => {
                done(&format!("tell the clock of {name}"), self.daemons.tell_clock(&name, wish))
            }
            Request::AskClock { name } => answered(
                &format!("ask the clock of {name}"),
                Reply::ProgramClock,
                self.daemons.ask_clock(&name),
            ),
            other => unreachable!("{other:?} is about no clock"),
        }
    }

    fn perform_on_links(&self, request: Request) -> Reply {
        let millis = Duration::from_millis;
        match request {
            Request::Shape { links } => done("shape links", self.shapes.replace(&links)),
            Request::TrainListen { name } => {
                done("await a train of packets", self.probes.train_listen(name))
            }
            Request::TrainSend { to, train } => {
                done(&format!("send packets to {to}"), self.probes.train_send(to, &train))
            }
            Request::TrainSeen { name, enough, quiet_ms } => answered(
                "count the packets of a train",
                Reply::Train,
                self.probes.train_seen(name, enough, millis(quiet_ms)),
            ),
            Request::Echo { to, train, wait_ms } => answered(
                &format!("exchange packets with {to}"),
                Reply::Echoes,
                self.probes.echo(to, &train, millis(wait_ms)),
            ),
            other => unreachable!("{other:?} is about no link"),
        }
    }

    fn perform_on_files(&self, request: Request) -> Reply {
        match request {
            Request::WriteFile { path, offset, bytes, mode } => {
                done(&format!("write {path}"), files::write(&path, offset, &bytes, mode))
            }
            Request::ReadFile { path, offset, limit } => match files::read(&path, offset, limit) {
                Ok((bytes, size)) => Reply::Bytes { bytes, size },
                Err(e) => failed(&format!("read {path}"), &e),
            },
            Request::TimeSync => {
                answered("time a sync", Reply::Micros, files::time_sync(&self.log_dir))
            }
            other => unreachable!("{other:?} is about no file"),
        }
    }

    fn perform_on_disk(&self, request: Request) -> Reply {
        let disks = &self.disks;
        match request {
            Request::MountDisk { dir, naming } => {
                done(&format!("mount a disk on {dir}"), disks.mount(&dir, naming))
            }
            Request::UnmountDisk { dir } => {
                done(&format!("unmount the disk on {dir}"), disks.unmount(&dir))
            }
            Request::DiskFaults { dir, faults, seed } => answered(
                &format!("make the disk on {dir} fail"),
                Reply::Disk,
                disks.set_faults(&dir, faults, seed),
            ),
            Request::DamageDisk { dir, damage, path_contains, seed } => {
                let damaged = disks.damage(&dir, &damage, &path_contains, seed);
                let damaged = damaged.and_then(|damaged| {
                    log::damaged(&self.log_dir, &dir, &format!("{damage:?}"), &damaged)?;
                    Ok(damaged)
                });
                answered(&format!("damage the disk on {dir}"), Reply::Damaged, damaged)
            }
            Request::MendDisk { dir } => {
                let mended = disks.mend(&dir).and_then(|mended| {
                    log::damaged(&self.log_dir, &dir, "mended", &mended)?;
                    Ok(mended)
                });
                answered(&format!("mend the disk on {dir}"), Reply::Damaged, mended)
            }
            Request::PowerCut { dir, torn } => {
                let lost = disks.power_cut(&dir, torn).and_then(|lost| {
                    log::power_cut(&self.log_dir, &dir, torn.is_some(), &lost)?;
                    Ok(lost)
                });
                answered(&format!("cut the power of the disk on {dir}"), Reply::PowerLost, lost)
            }
            Request::DiskState { dir } => {
                answered(&format!("look at the disk on {dir}"), Reply::Disk, disks.report(&dir))
            }
            other => unreachable!("{other:?} is about no disk"),
        }
    }

    /// On request also what an agent before this one left: both are tried, whatever becomes of the first.
    fn heal(&self) -> io::Result<()> {
        let resumed = self.daemons.resume_all();
        let unshaped = self.shapes.clear();
        let uncut = uncut();
        let right = clock::restore().and(self.daemons.right_clocks());
        let healed = self.disks.heal_all();
        resumed.and(unshaped).and(uncut).and(right).and(healed)
    }

    /// Undoes every fault and ends every process. Once is enough: whoever comes second waits and finds nothing to do.
    fn end(&self) -> Result<(), ServeError> {
        let _one = self.ending.lock().unwrap_or_else(PoisonError::into_inner);
        let healed = self.undo();
        let killed = self.daemons.kill_everything().and_then(|()| self.daemons.close_freezer());
        // Last, since a disk that is in use can only be taken out of sight.
        let unmounted = self.disks.unmount_all();
        healed.map_err(|source| ServeError::System { what: "heal at the end", source })?;
        killed.map_err(|source| ServeError::System { what: "end all processes", source })?;
        unmounted.map_err(|source| ServeError::System { what: "unmount all disks", source })
    }

    /// Nobody was heard for so long: ends everything, and this process with it, since the stream may never end.
    fn abandon(&self, lease: Duration) {
        eprintln!("no sign of the control node for {} s: undoing everything", lease.as_secs_f64());
        let code = match self.end() {
            Ok(()) => 0,
            Err(error) => {
                eprintln!("failed to {error}: {:?}", std::error::Error::source(&error));
                EXIT_NOT_UNDONE
            }
        };
        std::process::exit(code);
    }

    /// At the end only what this agent did: on a host where nothing was cut the packet filter is not even looked at.
    fn undo(&self) -> io::Result<()> {
        let resumed = self.daemons.resume_all();
        let unshaped = self.shapes.clear();
        let uncut = if self.has_cut.load(Ordering::Acquire) { uncut() } else { Ok(()) };
        let has_clock = self.has_clock.load(Ordering::Acquire);
        let right = if has_clock { clock::restore() } else { Ok(()) };
        // Whoever waits for a stalled disk cannot be killed before.
        let healed = self.disks.heal_all();
        resumed.and(unshaped).and(uncut).and(right).and(healed)
    }
}

/// Removes our tables. A host whose kernel has no nf_tables, or where we may not use it, has none of ours.
pub(crate) fn uncut() -> io::Result<()> {
    match cut::replace(&[], &[]).and_then(|()| shape::remove_leftovers()) {
        Err(e)
            if matches!(
                e.raw_os_error(),
                Some(libc::EPERM | libc::EPROTONOSUPPORT | libc::EOPNOTSUPP)
            ) =>
        {
            Ok(())
        }
        other => other,
    }
}

fn cuts() -> Reply {
    match cut::read() {
        Ok(rules) => Reply::Cuts(rules),
        Err(e) => failed("read the table of cuts", &e),
    }
}

fn done(what: &str, result: io::Result<()>) -> Reply {
    answered(what, |()| Reply::Done, result)
}

fn answered<T>(what: &str, reply: impl FnOnce(T) -> Reply, result: io::Result<T>) -> Reply {
    match result {
        Ok(value) => reply(value),
        Err(e) => failed(what, &e),
    }
}

fn failed(what: &str, error: &io::Error) -> Reply {
    Reply::Failed { message: format!("{what}: {error}"), errno: error.raw_os_error() }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{ServeError, serve_in};
    use crate::wire::{PROTOCOL_VERSION, WireError, frame, hello};

    #[test]
    fn strangers_are_refused_before_anything_is_done() {
        let check = |payload: &[u8], version: Option<u32>| {
            let input = frame(payload).unwrap();
            let refused = serve_in(Path::new("/nonexistent"), &input[..], Vec::new()).unwrap_err();
            let theirs = match refused {
                ServeError::Wire(WireError::Version { theirs }) => Some(theirs),
                ServeError::Wire(WireError::NoHello) => None,
                other => panic!("{payload:?}: {other:?}"),
            };
            assert_eq!(theirs, version, "{payload:?}");
        };
        let mut other = hello();
        *other.last_mut().unwrap() = 9;
        check(&other, Some(9 << 24 | PROTOCOL_VERSION));
        check(b"GET / HTTP/1.1", None);
        check(b"", None);
    }
}
