//! What a generator may know: the time, and the state of the threads.

use std::cell::RefCell;
use std::ops::Range;

use keelhaul_history::Process;

use super::Next;

/// One of the fixed number of actors that perform operations, one at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Thread {
    /// A client thread, from 0.
    Client(u32),
    /// The fault injector.
    Nemesis,
}

/// The state of all threads; the interpreter keeps it, generators see it through a [`Context`].
#[derive(Debug)]
pub struct Threads {
    /// One bit a client thread: free.
    free: Vec<u64>,
    nemesis_free: bool,
    /// The process each client thread acts as.
    process: Vec<u32>,
    /// When each client thread was last given work, as a count of dispatches.
    used: Vec<u64>,
    dispatches: u64,
    /// Lines that generators want logged.
    log: RefCell<Vec<Box<str>>>,
}

impl Threads {
    /// `concurrency` client threads and the nemesis, all free; client thread i acts as process i.
    #[must_use]
    pub fn new(concurrency: u32) -> Self {
        let mut threads = Self {
            free: vec![0; concurrency.div_ceil(64) as usize],
            nemesis_free: true,
            process: (0..concurrency).collect(),
            used: vec![0; concurrency as usize],
            dispatches: 0,
            log: RefCell::default(),
        };
        for i in 0..concurrency {
            threads.set_free(i, true);
        }
        threads
    }

    /// Number of client threads.
    #[must_use]
    pub const fn concurrency(&self) -> u32 {
        self.process.len() as u32
    }

    /// The view of all threads at a time.
    #[must_use]
    pub const fn context(&self, now_ns: u64) -> Context<'_> {
        Context { now_ns, threads: self, first: 0, end: self.concurrency(), nemesis: true }
    }

    /// The thread gets work.
    ///
    /// # Panics
    /// It is not free: a generator's mistake.
    pub fn occupy(&mut self, thread: Thread) {
        assert!(self.is_free(thread), "a generator gave work to {thread:?}, which is busy");
        match thread {
            Thread::Client(i) => {
                self.dispatches += 1;
                self.used[i as usize] = self.dispatches;
                self.set_free(i, false);
            }
            Thread::Nemesis => self.nemesis_free = false,
        }
    }

    /// The thread's work has ended.
    pub fn release(&mut self, thread: Thread) {
        match thread {
            Thread::Client(i) => self.set_free(i, true),
            Thread::Nemesis => self.nemesis_free = true,
        }
    }

    /// Gives a client thread its next process: the old one's number plus the concurrency, so that a process' thread
    /// is always its number modulo the concurrency. The nemesis keeps its own.
    pub fn retire_process(&mut self, thread: Thread) {
        if let Thread::Client(i) = thread {
            let concurrency = self.concurrency();
            self.process[i as usize] += concurrency;
        }
    }

    /// Whether the thread exists and has nothing to do.
    #[must_use]
    pub fn is_free(&self, thread: Thread) -> bool {
        match thread {
            Thread::Client(i) => {
                self.free.get(i as usize / 64).is_some_and(|word| word >> (i % 64) & 1 == 1)
            }
            Thread::Nemesis => self.nemesis_free,
        }
    }

    /// The process a thread acts as.
    #[must_use]
    pub fn process(&self, thread: Thread) -> Process {
        match thread {
            Thread::Client(i) => Process::Client(self.process[i as usize]),
            Thread::Nemesis => Process::Nemesis,
        }
    }

    /// The lines logged by generators since the last call.
    pub fn take_log(&mut self) -> Vec<Box<str>> {
        std::mem::take(self.log.get_mut())
    }

    fn set_free(&mut self, i: u32, free: bool) {
        let (word, bit) = (i as usize / 64, 1 << (i % 64));
        if free {
            self.free[word] |= bit;
        } else {
            self.free[word] &= !bit;
        }
    }

    /// The free client threads of a range, ascending.
    fn free_in(&self, range: Range<u32>) -> impl Iterator<Item = u32> {
        let words = range.start / 64..range.end.div_ceil(64);
        words.flat_map(move |word| {
            let mut bits = self.free[word as usize] & mask(word, &range);
            std::iter::from_fn(move || {
                let bit = bits.trailing_zeros();
                bits &= bits.wrapping_sub(1);
                (bit < 64).then_some(word * 64 + bit)
            })
        })
    }

    fn count_free(&self, range: &Range<u32>) -> u32 {
        let words = range.start / 64..range.end.div_ceil(64);
        words.map(|word| (self.free[word as usize] & mask(word, range)).count_ones()).sum()
    }
}

/// The bits of a word of the set that lie in a range.
const fn mask(word: u32, range: &Range<u32>) -> u64 {
    let base = word * 64;
    let below = range.start.saturating_sub(base);
    let above = range.end.saturating_sub(base);
    let from = if below >= 64 { 0 } else { u64::MAX << below };
    let to = if above >= 64 { u64::MAX } else { (1 << above) - 1 };
    from & to
}

/// What a generator sees: the time, and some or all of the threads. Cheap to copy and to narrow.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    now_ns: u64,
    threads: &'a Threads,
    first: u32,
    end: u32,
    nemesis: bool,
}

impl<'a> Context<'a> {
    /// Nanoseconds since the run began.
    #[must_use]
    pub const fn now_ns(&self) -> u64 {
        self.now_ns
    }

    /// Number of client threads of the whole run, whatever this view shows.
    #[must_use]
    pub const fn concurrency(&self) -> u32 {
        self.threads.concurrency()
    }

    /// The numbers of the client threads in view.
    #[must_use]
    pub const fn client_threads(&self) -> Range<u32> {
        self.first..self.end
    }

    /// Every thread in view: clients ascending, then the nemesis.
    pub fn threads(&self) -> impl Iterator<Item = Thread> + use<> {
        (self.first..self.end).map(Thread::Client).chain(self.nemesis.then_some(Thread::Nemesis))
    }

    /// Whether a thread is in view.
    #[must_use]
    pub fn contains(&self, thread: Thread) -> bool {
        match thread {
            Thread::Client(i) => self.client_threads().contains(&i),
            Thread::Nemesis => self.nemesis,
        }
    }

    /// Whether a thread is in view and has nothing to do.
    #[must_use]
    pub fn is_free(&self, thread: Thread) -> bool {
        self.contains(thread) && self.threads.is_free(thread)
    }

    /// The free threads in view: clients ascending, then the nemesis.
    pub fn free(&self) -> impl Iterator<Item = Thread> {
        let nemesis = (self.nemesis && self.threads.nemesis_free).then_some(Thread::Nemesis);
        self.threads.free_in(self.client_threads()).map(Thread::Client).chain(nemesis)
    }

    /// Whether every thread in view is free.
    #[must_use]
    pub fn all_free(&self) -> bool {
        (!self.nemesis || self.threads.nemesis_free)
            && self.threads.count_free(&self.client_threads()) == self.end - self.first
    }

    /// Who takes an operation that names no thread: the free client thread in view that has been idle longest, so
    /// that load spreads evenly over the nodes; in a view of the nemesis alone, the nemesis.
    #[must_use]
    pub fn pick(&self) -> Option<Thread> {
        if self.first == self.end {
            return (self.nemesis && self.threads.nemesis_free).then_some(Thread::Nemesis);
        }
        self.threads
            .free_in(self.client_threads())
            .min_by_key(|&i| self.threads.used[i as usize])
            .map(Thread::Client)
    }

    /// Whether [`Context::pick`] would find somebody.
    #[must_use]
    pub fn can_take(&self) -> bool {
        if self.first == self.end {
            return self.nemesis && self.threads.nemesis_free;
        }
        self.threads.free_in(self.client_threads()).next().is_some()
    }

    /// The process that a thread acts as now.
    #[must_use]
    pub fn process(&self, thread: Thread) -> Process {
        self.threads.process(thread)
    }

    /// The thread that acts, or acted, as a process.
    #[must_use]
    pub const fn thread(&self, process: Process) -> Thread {
        match process {
            Process::Client(id) => Thread::Client(id % self.threads.concurrency()),
            Process::Nemesis => Thread::Nemesis,
        }
    }

    /// The view without the nemesis.
    #[must_use]
    pub const fn clients(self) -> Self {
        Self { nemesis: false, ..self }
    }

    /// The view of the nemesis alone.
    #[must_use]
    pub const fn nemesis(self) -> Self {
        Self { end: self.first, ..self }
    }

    /// The view of those client threads of this view that are in the range.
    #[must_use]
    pub fn range(self, range: Range<u32>) -> Self {
        let first = self.first.max(range.start);
        Self { first, end: self.end.min(range.end).max(first), nemesis: false, ..self }
    }

    /// Has a line logged; it is no part of the history.
    pub fn log(&self, line: impl Into<Box<str>>) {
        self.threads.log.borrow_mut().push(line.into());
    }
}

impl Next {
    /// Names the thread, if none is named, so that a narrowed view is not forgotten.
    pub(super) fn pinned(self, ctx: &Context<'_>) -> Self {
        match self {
            Self::Op { thread: None, op } => match ctx.pick() {
                Some(thread) => Self::Op { thread: Some(thread), op },
                None => unreachable!(
                    "a generator answered with an operation although no thread was free"
                ),
            },
            other => other,
        }
    }
}
