//! Generators that are bound to threads.

use keelhaul_history::Op;

use super::choice::sooner;
use super::{Boxed, Combine, Context, Generator, Next, Thread};

/// Asks a generator within a narrowed view, unless nobody in it is free: then there is nothing to ask for. So a pause
/// that follows an operation of the view's only thread begins when that operation has ended.
pub(super) fn ask_within(generator: &mut impl Generator, view: &Context<'_>) -> Next {
    if !view.can_take() {
        return Next::Pending;
    }
    generator.next(view).pinned(view)
}

/// See [`clients`].
pub struct Clients<G>(G);

/// A generator for client threads only; it hears of their events only. It is not asked while none of them is free.
pub const fn clients<G: Generator>(generator: G) -> Clients<G> {
    Clients(generator)
}

impl<G: Generator> Generator for Clients<G> {
    fn next(&mut self, ctx: &Context<'_>) -> Next {
        ask_within(&mut self.0, &ctx.clients())
    }

    fn update(&mut self, ctx: &Context<'_>, event: &Op) {
        if ctx.thread(event.process) != Thread::Nemesis {
            self.0.update(&ctx.clients(), event);
        }
    }
}

/// See [`nemesis`].
pub struct Nemesis<G>(G);

/// A generator for the nemesis only; it hears of its events only. It is not asked while the nemesis is busy, so a
/// [`super::sleep`] after an operation begins when that operation has ended.
pub const fn nemesis<G: Generator>(generator: G) -> Nemesis<G> {
    Nemesis(generator)
}

impl<G: Generator> Generator for Nemesis<G> {
    fn next(&mut self, ctx: &Context<'_>) -> Next {
        ask_within(&mut self.0, &ctx.nemesis())
    }

    fn update(&mut self, ctx: &Context<'_>, event: &Op) {
        if ctx.thread(event.process) == Thread::Nemesis {
            self.0.update(&ctx.nemesis(), event);
        }
    }
}

/// See [`reserve`].
pub struct Reserve {
    groups: Vec<(u32, Boxed)>,
    rest: Boxed,
    first: usize,
}

/// The first threads in view for the first generator, the next ones for the second, and so on; whatever is left for
/// `rest`. Done when all are. Each hears of its own threads' events only. With too few threads the last groups get
/// none, and never run: refuse that before the run.
pub fn reserve(
    groups: impl IntoIterator<Item = (u32, Boxed)>,
    rest: impl Generator + 'static,
) -> Reserve {
    Reserve { groups: groups.into_iter().collect(), rest: rest.boxed(), first: 0 }
}

impl Reserve {
    /// The view of one group; the rest is the one after the last.
    fn view<'a>(&self, ctx: &Context<'a>, group: usize) -> Context<'a> {
        let all = ctx.client_threads();
        let start = all.start + self.groups[..group].iter().map(|(n, _)| n).sum::<u32>();
        let end = self.groups.get(group).map_or(all.end, |(n, _)| start + n);
        ctx.range(start..end)
    }

    fn generator(&mut self, group: usize) -> &mut Boxed {
        self.groups.get_mut(group).map_or(&mut self.rest, |(_, generator)| generator)
    }
}

impl Generator for Reserve {
    fn next(&mut self, ctx: &Context<'_>) -> Next {
        let count = self.groups.len() + 1;
        let mut soonest = Next::Done;
        for i in 0..count {
            let group = (self.first + i) % count;
            let view = self.view(ctx, group);
            if view.client_threads().is_empty() {
                continue;
            }
            match ask_within(self.generator(group), &view) {
                op @ Next::Op { .. } => {
                    self.first = group + 1;
                    return op;
                }
                other => soonest = sooner(soonest, other),
            }
        }
        soonest
    }

    fn update(&mut self, ctx: &Context<'_>, event: &Op) {
        let thread = ctx.thread(event.process);
        for group in 0..=self.groups.len() {
            let view = self.view(ctx, group);
            if view.contains(thread) {
                self.generator(group).update(&view, event);
            }
        }
    }
}

/// See [`each_thread`].
pub struct EachThread<M> {
    make: M,
    /// One a client thread in view, made when first asked.
    each: Vec<(u32, Option<Boxed>)>,
    made: bool,
    first: usize,
}

/// A generator of its own for every client thread in view, made by a function of the thread's number. Done when all
/// are. Each hears of its own thread's events only. For example final reads, one from every client.
pub const fn each_thread<M: FnMut(u32) -> Boxed>(make: M) -> EachThread<M> {
    EachThread { make, each: Vec::new(), made: false, first: 0 }
}

impl<M: FnMut(u32) -> Boxed> Generator for EachThread<M> {
    fn next(&mut self, ctx: &Context<'_>) -> Next {
        if !self.made {
            self.each = ctx.client_threads().map(|i| (i, Some((self.make)(i)))).collect();
            self.made = true;
        }
        let mut soonest = Next::Done;
        for i in 0..self.each.len() {
            let at = (self.first + i) % self.each.len();
            let (thread, slot) = &mut self.each[at];
            let Some(generator) = slot else { continue };
            let view = ctx.range(*thread..*thread + 1);
            match ask_within(generator, &view) {
                op @ Next::Op { .. } => {
                    self.first = at + 1;
                    return op;
                }
                Next::Done => *slot = None,
                other => soonest = sooner(soonest, other),
            }
        }
        soonest
    }

    fn update(&mut self, ctx: &Context<'_>, event: &Op) {
        if let Thread::Client(thread) = ctx.thread(event.process)
            && let Ok(at) = self.each.binary_search_by_key(&thread, |(i, _)| *i)
            && let Some(generator) = &mut self.each[at].1
        {
            generator.update(&ctx.range(thread..thread + 1), event);
        }
    }
}
