//! What every exchange has, whatever its upstream speaks: whose it is, what the client is told of the answer's head, and how
//! long everything may take.

use std::{
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::Instant;

use crate::{
    config::model::{ListenerTimeouts, UpstreamTimeouts},
    message::ResponseHead,
    telemetry::outcome::{AbortedBy, OutcomeGuard},
};

use super::{
    alarm::Alarm,
    client::{Client, ResponseLength},
    failure::Failure,
    gateway::Outgoing,
    headers::forward_response,
    upstream_head::is_event_stream,
};

/// How long an upstream may stay silent about `Expect: 100-continue` before the client is told to go on.
const CONTINUE_AFTER: Duration = Duration::from_secs(1);
/// How long an upgraded connection or an event stream may be silent.
pub(super) const STREAM_IDLE: Duration = Duration::from_hours(1);
/// The most interim answers that one request may have.
const INTERIM_MAX: usize = 64;

/// The course of one exchange.
#[derive(Debug)]
pub(super) struct Course<'e, C> {
    pub(super) client: &'e mut C,
    pub(super) outgoing: &'e Outgoing,
    pub(super) outcome: &'e mut OutcomeGuard,
    pub(super) alarm: &'e mut Alarm,
    timeouts: (&'e ListenerTimeouts, &'e UpstreamTimeouts),
    /// Whether the head of the final answer went to the client.
    pub(super) committed: bool,
    /// Whether the answer goes on for as long as it likes.
    pub(super) is_stream: bool,
    /// The client's connection must close behind the answer.
    pub(super) close_client: bool,
    /// What the request's body may measure.
    pub(super) body_bytes_max: u64,
    /// Bytes per second that it must reach.
    pub(super) body_rate: u64,
    /// How long the head of the answer may take.
    pub(super) first_byte: Duration,
    interims: usize,
    /// What came of the request's body.
    pub(super) received: u64,
    began: Instant,
    progressed: Instant,
    continue_at: Option<Instant>,
}

impl<'e, C: Client> Course<'e, C> {
    pub(super) fn new(
        client: &'e mut C,
        outgoing: &'e Outgoing,
        outcome: &'e mut OutcomeGuard,
        alarm: &'e mut Alarm,
        timeouts: (&'e ListenerTimeouts, &'e UpstreamTimeouts),
    ) -> Self {
        let now = Instant::now();
        Self {
            client,
            outgoing,
            outcome,
            alarm,
            timeouts,
            committed: false,
            is_stream: false,
            close_client: false,
            body_bytes_max: outgoing.body_bytes_max,
            body_rate: timeouts.0.body_rate_bytes,
            first_byte: timeouts.1.first_byte,
            interims: 0,
            received: 0,
            began: now,
            progressed: now,
            continue_at: outgoing.expects_continue.then(|| now + CONTINUE_AFTER),
        }
    }

    /// Something moved.
    pub(super) fn progress(&mut self) {
        self.progressed = Instant::now();
    }

    /// Whether nothing went through yet: nothing of the request's body, and nothing of an answer.
    pub(super) fn is_untouched(&self) -> bool {
        self.interims == 0 && self.received == 0 && !self.committed
    }

    /// `bytes` of body came from the client.
    pub(super) fn count_body(&mut self, bytes: usize) -> Result<(), Failure> {
        self.continue_at = None;
        self.outcome.received(bytes);
        self.received += bytes as u64;
        if self.received > self.body_bytes_max {
            return Err(Failure::ClientBodyTooLarge);
        }
        if self.committed {
            return Ok(());
        }
        let waited = self.began.elapsed();
        let is_late =
            waited > self.timeouts.0.idle && self.received < self.body_rate.saturating_mul(waited.as_secs());
        if is_late { Err(Failure::ClientLate) } else { Ok(()) }
    }

    /// Hands on an interim answer, where the client takes one.
    pub(super) fn interim(&mut self, head: &ResponseHead<'_>) -> Result<(), Failure> {
        self.interims += 1;
        if self.interims > INTERIM_MAX {
            return Err(Failure::UpstreamProtocol("it sends interim answers without end"));
        }
        if head.status == 100 && self.continue_at.take().is_none() {
            return Ok(());
        }
        if self.client.takes_interim() {
            self.client.begin(head.status, head.reason);
            if head.status != 100 {
                self.forward_fields(head, false);
            }
            self.client.finish_interim();
        }
        Ok(())
    }

    /// Hands on the head of the final answer, whose body has this length.
    pub(super) fn final_head(&mut self, head: &ResponseHead<'_>, length: ResponseLength) {
        self.is_stream = is_event_stream(&head.fields);
        self.client.begin(head.status, head.reason);
        self.forward_fields(head, true);
        self.client.finish_head(length, self.close_client);
        self.commit(head.status);
    }

    /// The fields of `head`, with those of CORS where it `is_final`.
    pub(super) fn forward_fields(&mut self, head: &ResponseHead<'_>, is_final: bool) {
        let outgoing = self.outgoing;
        let cors = outgoing.cors.as_ref().filter(|_| is_final);
        let allowance = outgoing.allowance.as_ref().filter(|_| is_final || head.status == 101);
        forward_response(self.client, head, &outgoing.site.config, cors, &outgoing.request_id, allowance);
    }

    /// From here on the client has its answer: nothing can be said in its place.
    pub(super) fn commit(&mut self, status: u16) {
        self.committed = true;
        self.continue_at = None;
        self.outcome.responded(status, Instant::now().into_std());
        self.outcome.aborts_by(AbortedBy::Upstream);
    }

    /// Nothing moved: whoever is waited for, which is the client or the upstream, has until the deadline.
    pub(super) fn watch_clock(&mut self, cx: &mut Context<'_>, awaits_client: bool) -> Poll<Failure> {
        let (client, upstream) = self.timeouts;
        let patience = if self.is_stream {
            STREAM_IDLE
        } else if awaits_client {
            client.idle
        } else if self.committed {
            upstream.idle
        } else {
            self.first_byte
        };
        let deadline = self.progressed + patience;
        self.alarm.set(self.continue_at.map_or(deadline, |at| at.min(deadline)));
        if self.alarm.poll(cx).is_pending() {
            return Poll::Pending;
        }
        if self.continue_at.take().is_some() && Instant::now() < deadline {
            self.client.begin(100, b"Continue");
            self.client.finish_interim();
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(match (awaits_client, self.committed) {
            (true, false) => Failure::ClientLate,
            (true, true) => Failure::ClientGone,
            (false, _) => Failure::UpstreamLate,
        })
    }
}
