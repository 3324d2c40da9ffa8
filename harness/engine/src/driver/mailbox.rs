//! How the loop and its workers talk: plain cells on one thread, without locks, counts or allocation per message.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

use crate::generator::Thread;
use crate::interpreter::{Completion, Dispatch};

/// A waker that is replaced only when the task behind it changes.
#[derive(Default)]
struct Wakes(RefCell<Option<Waker>>);

impl Wakes {
    fn register(&self, waker: &Waker) {
        let mut slot = self.0.borrow_mut();
        if !slot.as_ref().is_some_and(|old| old.will_wake(waker)) {
            *slot = Some(waker.clone());
        }
    }

    fn wake(&self) {
        if let Some(waker) = &*self.0.borrow() {
            waker.wake_by_ref();
        }
    }
}

/// What a worker is told: one operation at a time, and when to give it up.
#[derive(Default)]
pub struct Inbox {
    dispatch: RefCell<Option<Dispatch>>,
    expired: Cell<bool>,
    wakes: Wakes,
}

impl Inbox {
    /// Hands over an operation.
    pub fn put(&self, dispatch: Dispatch) {
        self.expired.set(false);
        let before = self.dispatch.borrow_mut().replace(dispatch);
        debug_assert!(before.is_none(), "a worker has one operation at a time");
        self.wakes.wake();
    }

    /// The time of the operation in hand is up.
    pub fn expire(&self) {
        self.expired.set(true);
        self.wakes.wake();
    }

    /// Waits for an operation.
    pub async fn take(&self) -> Dispatch {
        poll_fn(|cx| match self.dispatch.borrow_mut().take() {
            Some(dispatch) => Poll::Ready(dispatch),
            None => {
                self.wakes.register(cx.waker());
                Poll::Pending
            }
        })
        .await
    }

    /// Waits until the time of the operation in hand is up.
    pub async fn expired(&self) {
        poll_fn(|cx| {
            if self.expired.get() {
                return Poll::Ready(());
            }
            self.wakes.register(cx.waker());
            Poll::Pending
        })
        .await;
    }
}

/// What the workers tell the loop.
#[derive(Default)]
pub struct Outbox {
    completions: RefCell<Vec<Completion>>,
    panic: RefCell<Option<String>>,
    wakes: Wakes,
}

impl Outbox {
    /// An operation has ended.
    pub fn put(&self, completion: Completion) {
        self.completions.borrow_mut().push(completion);
        self.wakes.wake();
    }

    /// A client panicked; only the first message is kept.
    pub fn put_panic(&self, message: String) {
        self.panic.borrow_mut().get_or_insert(message);
    }

    /// Moves all completions over; false if there are none, and then the task is woken by the next one.
    pub fn poll_drain(&self, into: &mut Vec<Completion>, waker: &Waker) -> bool {
        self.wakes.register(waker);
        let mut completions = self.completions.borrow_mut();
        into.append(&mut completions);
        !into.is_empty()
    }

    /// The message of the first panic, once.
    pub fn take_panic(&self) -> Option<String> {
        self.panic.borrow_mut().take()
    }
}

/// A worker as the loop sees it.
pub struct Line {
    /// Who it is.
    pub thread: Thread,
    /// Where its work goes.
    pub inbox: Rc<Inbox>,
    /// When the operation in hand must have ended; none if there is none, or if it has been told to give up.
    pub deadline_ns: Option<u64>,
}
