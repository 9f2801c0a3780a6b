//! How a request that was forwarded ends for its client: with the rest of its answer, with a refusal in place of one, or cut
//! short.

use std::{future::poll_fn, task::Poll};

use tokio::time::Instant;

use crate::{
    gate::Denial,
    policy::reason::Reason,
    telemetry::{
        metrics::UpstreamError,
        outcome::{AbortedBy, OutcomeGuard},
        throttle::Throttle,
    },
};

use super::{
    alarm::Alarm,
    answer::Answer,
    client::Client,
    exchange::Finished,
    failure::{Cut, Failure},
    gateway::Outgoing,
    underway::Underway,
    upstream::{Unreachable, Way},
};

/// Gives the upstream's connection back before the client has taken the rest of its answer: a slow reader holds none.
pub(super) async fn finish<C: Client>(
    client: &mut C,
    outgoing: &Outgoing,
    finished: Finished,
    upstream: Way,
    outcome: OutcomeGuard,
    alarm: &mut Alarm,
) -> bool {
    upstream.release(finished.upstream);
    if client.unsent() > 0 {
        let sent = tokio::select! {
            biased;
            reason = poll_fn(|cx| outgoing.poll_cut(cx)) => {
                return cut(client, outgoing, outcome, Cut::untold(reason), true, alarm).await;
            }
            sent = flush(client, alarm) => sent,
        };
        if !sent {
            client.abort();
            outcome.aborted(AbortedBy::Client);
            return false;
        }
    }
    outcome.forwarded();
    !finished.close_client
}

/// Sends what waits, however slowly the client takes it, as long as it takes some. Whether it took all.
pub(super) async fn flush<C: Client>(client: &mut C, alarm: &mut Alarm) -> bool {
    let patience = client.peer().listener.timeouts.idle;
    let mut left = usize::MAX;
    poll_fn(|cx| match client.poll_flush(cx) {
        Poll::Ready(sent) => Poll::Ready(sent.is_ok()),
        Poll::Pending => {
            if client.unsent() < left {
                left = client.unsent();
                alarm.set(Instant::now() + patience);
            }
            alarm.poll(cx).map(|()| false)
        }
    })
    .await
}

pub(super) async fn refuse_unreachable<C: Client>(
    client: &mut C,
    outgoing: &Outgoing,
    outcome: OutcomeGuard,
    unreachable: &Unreachable,
    alarm: &mut Alarm,
) -> bool {
    static LINES: Throttle = Throttle::new();
    let name = &outgoing.pool.config.name;
    outgoing.pool.metrics.failed(unreachable.error());
    LINES.speak(|suppressed| tracing::warn!(suppressed, upstream = %name, cause = %unreachable, "no connection to the upstream"));
    let mut denial = match unreachable {
        Unreachable::Full => {
            Denial::outside_table(Reason::Overloaded, "There is no room for the request right now.")
        }
        Unreachable::Late => {
            Denial::outside_table(Reason::UpstreamTimeout, "The upstream did not answer in time.")
        }
        Unreachable::Resolve(_)
        | Unreachable::Forbidden(_)
        | Unreachable::Connect(_)
        | Unreachable::Tls(_)
        | Unreachable::Protocol(_) => {
            Denial::outside_table(Reason::UpstreamUnreachable, "The upstream cannot be reached.")
        }
    };
    denial.retry_after_seconds = matches!(unreachable, Unreachable::Full).then_some(1);
    refuse_late(client, outgoing, outcome, &denial, alarm).await
}

/// Answers for a request that was permitted and then failed, if its answer has not begun.
pub(super) async fn fail<C: Client>(
    client: &mut C,
    outgoing: &Outgoing,
    outcome: OutcomeGuard,
    failure: &Failure,
    committed: bool,
    alarm: &mut Alarm,
) -> bool {
    static LINES: Throttle = Throttle::new();
    let by = match failure {
        Failure::Cut(ended) => return cut(client, outgoing, outcome, *ended, committed, alarm).await,
        Failure::ClientGone
        | Failure::ClientBody
        | Failure::ClientBodyTooLarge
        | Failure::ClientLate
        | Failure::Untranslatable => AbortedBy::Client,
        Failure::Unanswered
        | Failure::Unprocessed
        | Failure::UpstreamReset(_)
        | Failure::UpstreamClosed
        | Failure::UpstreamProtocol(_)
        | Failure::UpstreamLate => {
            let error = match failure {
                Failure::UpstreamProtocol(_) => UpstreamError::Protocol,
                Failure::UpstreamLate => UpstreamError::ResponseTimeout,
                _ => UpstreamError::Closed,
            };
            outgoing.pool.metrics.failed(error);
            LINES.speak(|suppressed| tracing::warn!(suppressed, upstream = %outgoing.pool.config.name, cause = %failure, "the exchange with the upstream failed"));
            AbortedBy::Upstream
        }
    };
    match failure.reason() {
        Some((reason, detail)) if !committed => {
            refuse_late(client, outgoing, outcome, &Denial::outside_table(reason, detail), alarm).await
        }
        Some(_) | None => {
            // What came of the answer is the client's; that it ends too early is seen by how it ends.
            poll_fn(|cx| {
                let _ = client.poll_flush(cx);
                Poll::Ready(())
            })
            .await;
            client.abort();
            outcome.aborted(by);
            false
        }
    }
}

/// Ends a request whose key is good for it no longer: with the refusal that a new one gets, if its answer has not begun.
pub(super) async fn cut<C: Client>(
    client: &mut C,
    outgoing: &Outgoing,
    outcome: OutcomeGuard,
    ended: Cut,
    committed: bool,
    alarm: &mut Alarm,
) -> bool {
    if !committed {
        let denial = Denial::withdrawn(ended.reason, &outgoing.site.config.policy);
        return refuse_late(client, outgoing, outcome, &denial, alarm).await;
    }
    if !ended.is_told {
        client.cut();
    }
    outcome.cut(ended.reason);
    false
}

async fn refuse_late<C: Client>(
    client: &mut C,
    outgoing: &Outgoing,
    outcome: OutcomeGuard,
    denial: &Denial<'_>,
    alarm: &mut Alarm,
) -> bool {
    // What is left to say is ours, not the upstream's: no loss of the key ends it.
    outgoing.underway.as_ref().map(Underway::leave);
    let cors = outgoing.cors.clone();
    let answer = Answer::refusal(denial, &outgoing.site.config, cors, &outgoing.request_id, outgoing.form);
    let close = client.leaves_body();
    let sent = deliver(client, &answer, close, alarm).await;
    outcome.refused(denial.reason, if sent { answer.status } else { 0 });
    sent && !close
}

/// Sends an answer of our own. Whether the client took it.
pub(super) async fn deliver<C: Client>(
    client: &mut C,
    answer: &Answer,
    close: bool,
    alarm: &mut Alarm,
) -> bool {
    answer.write(client, close);
    flush(client, alarm).await
}
