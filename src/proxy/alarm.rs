//! One timer per connection, cheap to set again and again.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::{Instant, Sleep, sleep_until};

/// The longest the underlying timer sleeps before it looks at the deadline again.
const QUANTUM: Duration = Duration::from_secs(5);

/// A deadline that can be moved at almost no cost: the runtime's timer is touched only when the deadline comes nearer
/// than [`QUANTUM`], which with timeouts of many seconds is almost never.
#[derive(Debug)]
pub(super) struct Alarm {
    deadline: Option<Instant>,
    sleep: Pin<Box<Sleep>>,
}

impl Alarm {
    /// An alarm that is not set.
    pub(super) fn new() -> Self {
        Self { deadline: None, sleep: Box::pin(sleep_until(Instant::now() + QUANTUM)) }
    }

    /// Lets it ring at `deadline`, and no earlier one.
    pub(super) fn set(&mut self, deadline: Instant) {
        self.deadline = Some(deadline);
        if deadline < self.sleep.deadline() {
            self.sleep.as_mut().reset(deadline);
        }
    }

    /// Ready once the deadline has passed.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(deadline) = self.deadline else { return Poll::Pending };
        while self.sleep.as_mut().poll(cx).is_ready() {
            let now = Instant::now();
            if deadline <= now {
                return Poll::Ready(());
            }
            self.sleep.as_mut().reset(deadline.min(now + QUANTUM));
        }
        Poll::Pending
    }
}

use std::future::Future;
