//! A door: another proxy asks about a request that it forwards itself, and is told what the gateway would do with it.
//! Every error on the way is a refusal.

mod ext_authz;
mod forward_auth;

use std::net::IpAddr;

use crate::{
    clock::{Clock, SystemClock},
    config::model::{Config, ListenerLimits},
    doors::{AskError, Unclear},
    gate::{Denial, Judgement, Request, Verdict, identity::identity_to_set},
    http1::framing::BodyLength,
    live::Published,
    message::RequestHead,
    policy::{decide::Permit, reason::Reason},
    telemetry::{outcome::OutcomeGuard, throttle::Throttle, trace_context::RequestId},
};

use super::{
    alarm::Alarm,
    answer::{Answer, Form},
    client::{Client, Peer},
    ending::deliver,
    gateway::{Gateway, key_use},
    headers::CorsFields,
};

/// What becomes of a request that a proxy described.
enum Finding {
    Permitted(Permitted),
    /// A CORS preflight, which the gateway answers itself.
    Preflight(Answer),
    /// `OPTIONS *`, likewise.
    ServerOptions,
    Refused(Refusal),
}

/// A permitted request, as the asking proxy has to forward it.
struct Permitted {
    /// Every identity header in use with its value; empty: there is none, and the client's must not go on.
    identity: Vec<(String, String)>,
    /// Every header that may carry a credential, with what of it goes on.
    credentials: Vec<(String, String)>,
    /// The protocol that the connection may be upgraded to, if the request asks for it.
    upgrade: &'static str,
    cors: Option<CorsFields>,
}

/// What the client is to be told instead.
struct Refusal {
    answer: Answer,
    reason: Reason,
}

/// What a proxy that asked is told over HTTP, and how that counts.
struct Reply {
    answer: Answer,
    end: End,
    /// Whether nothing after the ask can be trusted.
    closes: bool,
}

/// How an ask ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Permitted,
    Answered,
    Refused(Reason),
}

impl End {
    fn count(self, outcome: OutcomeGuard, status: u16) {
        match self {
            Self::Permitted => outcome.permitted_to_go_on(status),
            Self::Answered => outcome.answered(status),
            Self::Refused(reason) => outcome.refused(reason, status),
        }
    }
}

impl Reply {
    fn new(answer: Answer, end: End) -> Self {
        Self { answer, end, closes: false }
    }

    /// Sends it to the proxy that asked. Returns whether its connection may carry another ask.
    async fn send<C: Client>(self, client: &mut C, outcome: OutcomeGuard, alarm: &mut Alarm) -> bool {
        let close = self.closes || client.leaves_body();
        let sent = deliver(client, &self.answer, close, alarm).await;
        self.end.count(outcome, if sent { self.answer.status } else { 0 });
        sent && !close
    }
}

impl From<Refusal> for Reply {
    fn from(refusal: Refusal) -> Self {
        Self::new(refusal.answer, End::Refused(refusal.reason))
    }
}

/// What every answer at a door depends on.
struct Context<'a> {
    published: &'a Published,
    peer: &'a Peer,
    request_id: RequestId,
    form: Form,
}

impl Gateway {
    /// Judges a request that a proxy described, sent by the client at `address`.
    fn find(
        &self,
        context: &Context<'_>,
        head: &RequestHead<'_>,
        address: IpAddr,
        outcome: &mut OutcomeGuard,
    ) -> Finding {
        let Published { revision, config, .. } = context.published;
        let origin = head.fields.only("origin").ok().flatten();
        let request = match Request::read(head, &config.policy) {
            Ok(request) => request,
            Err(denial) => return Finding::Refused(context.refuse(&denial)),
        };
        // Requests under way are not counted at a door: nobody tells it when they end.
        let mut limiter = self.limits.for_request(address, config.failed_attempts);
        let judgement = self.judge(context.published, &request, address, SystemClock.now(), &mut limiter);
        outcome.decided(*revision, judgement.key.map(key_use));
        let Judgement { verdict, route, strip_credential, .. } = judgement;
        let cors_of = |forwarding: usize| {
            config.forwardings[forwarding].cors.as_ref().map(|cors| CorsFields::of_answer(cors, origin))
        };
        match verdict {
            Err(denial) => {
                outcome.routed(route.map_or("", |route| &route.pattern), None);
                self.count_limited(&denial, &self.site_of(context.published), address);
                let cors = match route.filter(|_| denial.reason != Reason::NotFound) {
                    Some(route) => cors_of(route.forwarding),
                    None => config.cors.as_ref().map(|cors| CorsFields::of_answer(cors, origin)),
                };
                Finding::Refused(context.refuse_with(&denial, cors))
            }
            Ok(Verdict::ServerOptions) => Finding::ServerOptions,
            Ok(Verdict::Preflight(route)) => {
                outcome.routed(&route.pattern, None);
                let method = request.preflight_method.unwrap_or_default();
                let Some(cors) = &config.forwardings[route.forwarding].cors else {
                    let detail = "The request cannot be answered.";
                    let denial = Denial::outside_table(Reason::Internal, detail);
                    return Finding::Refused(context.refuse(&denial));
                };
                Finding::Preflight(Answer::preflight(cors, &head.fields, method, &context.request_id))
            }
            Ok(Verdict::Forward(permit)) => {
                let cors = cors_of(permit.route().forwarding);
                context.go_on(&permit, &request, strip_credential, cors, outcome)
            }
            Ok(Verdict::Observe(permit, denial)) => {
                outcome.observed(denial.reason);
                let permit = permit.as_anonymous();
                let cors = cors_of(permit.route().forwarding);
                context.go_on(permit, &request, strip_credential, cors, outcome)
            }
        }
    }
}

/// What the asking proxy has to do with a permitted request.
///
/// # Errors
/// Where the identity does not fit, or the body is too large.
fn permitted(
    config: &Config,
    limits: &ListenerLimits,
    permit: &Permit<'_, '_>,
    request: &Request<'_>,
    strip_credential: bool,
) -> Result<Permitted, Denial<'static>> {
    let forwarding = &config.forwardings[permit.route().forwarding];
    let body_bytes_max = forwarding.body_bytes.unwrap_or(limits.body_bytes);
    if let BodyLength::Known(length) = request.body
        && length > body_bytes_max
    {
        let detail = "The body of the request is larger than permitted.";
        return Err(Denial::outside_table(Reason::ContentTooLarge, detail));
    }
    let scopes = &config.policy.scopes;
    let identity = identity_to_set(&config.identity, scopes, permit.principal(), permit.project())?;
    let passes = |name: &str| {
        let value = request.fields().only(name).ok().flatten().filter(|_| !strip_credential);
        value.map(|value| String::from_utf8_lossy(value).into_owned()).unwrap_or_default()
    };
    let upgrades = forwarding.websocket && request.method() == "GET" && asks_for(request, b"websocket");
    Ok(Permitted {
        identity: identity.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
        credentials: config.policy.credentials.names().map(|name| (name.to_owned(), passes(name))).collect(),
        upgrade: if upgrades { "websocket" } else { "" },
        cors: None,
    })
}

/// Whether `Upgrade` names this protocol and no other.
fn asks_for(request: &Request<'_>, protocol: &[u8]) -> bool {
    matches!(request.fields().only("upgrade"), Ok(Some(value)) if value.eq_ignore_ascii_case(protocol))
}

impl Context<'_> {
    /// A request that may go on.
    fn go_on(
        &self,
        permit: &Permit<'_, '_>,
        request: &Request<'_>,
        strip_credential: bool,
        cors: Option<CorsFields>,
        outcome: &mut OutcomeGuard,
    ) -> Finding {
        outcome.routed(&permit.route().pattern, permit.project());
        let limits = &self.peer.listener.limits;
        match permitted(&self.published.config, limits, permit, request, strip_credential) {
            Ok(permitted) => {
                outcome.permitted(permit.needs().scopes);
                Finding::Permitted(Permitted { cors, ..permitted })
            }
            Err(denial) => Finding::Refused(self.refuse_with(&denial, cors)),
        }
    }

    fn refuse(&self, denial: &Denial<'_>) -> Refusal {
        self.refuse_with(denial, None)
    }

    fn refuse_with(&self, denial: &Denial<'_>, cors: Option<CorsFields>) -> Refusal {
        // Of gRPC, 200 would be the status of a refusal: no proxy that asks may take it for a yes.
        let form = Form { is_grpc: false, ..self.form };
        let answer = Answer::refusal(denial, &self.published.config, cors, &self.request_id, form);
        let answer = if self.form.is_grpc { answer.with_grpc_status(denial) } else { answer };
        Refusal { answer, reason: denial.reason }
    }

    /// Refuses an ask that describes no request.
    fn refuse_ask(&self, error: AskError) -> Refusal {
        match error {
            AskError::Head(error) => self.refuse(&Denial::malformed_head(error)),
            AskError::Unclear(unclear) => self.refuse_unclear(unclear),
        }
    }

    fn refuse_stranger(&self) -> Refusal {
        static LINES: Throttle = Throttle::new();
        let (peer, door) = (self.peer.address, &self.peer.listener.address);
        LINES.speak(|suppressed| {
            tracing::warn!(suppressed, %peer, %door, "a door was asked by a peer that is not in its trusted_proxies");
        });
        self.refuse(&Denial::outside_table(Reason::DoorRefused, "This door is not for you."))
    }

    fn refuse_unclear(&self, unclear: Unclear) -> Refusal {
        static LINES: Throttle = Throttle::new();
        let (peer, door) = (self.peer.address, &self.peer.listener.address);
        LINES.speak(|suppressed| {
            tracing::warn!(suppressed, %peer, %door, problem = %unclear, "a door was asked without exactly one request");
        });
        let detail = "The proxy in front of the gateway has not described the request.";
        self.refuse(&Denial::outside_table(Reason::DoorRefused, detail))
    }

    /// Refuses an upgrade that the route does not take, where the asking proxy would forward it all the same.
    fn without_upgrade(&self, finding: Finding, head: &RequestHead<'_>) -> Finding {
        match finding {
            Finding::Permitted(permitted)
                if permitted.upgrade.is_empty() && head.fields.all("upgrade").next().is_some() =>
            {
                let detail = "The route takes no upgrade to another protocol.";
                Finding::Refused(self.refuse(&Denial::bad_request(detail)))
            }
            other => other,
        }
    }
}
