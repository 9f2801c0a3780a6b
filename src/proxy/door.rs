//! A door: another proxy asks about a request that it forwards itself, and is told what the gateway would do with it.
//! Every error on the way is a refusal.

mod ext_authz;
mod forward_auth;

use std::{net::IpAddr, sync::Arc};

use crate::{
    clock::{Clock, SystemClock},
    config::model::Config,
    doors::{AskError, Unclear},
    gate::{Denial, Judgement, Request, Verdict, identity::identity_to_set},
    live::Published,
    message::{Fields, RequestHead},
    net::client_addr::client_address,
    policy::{decide::Permit, reason::Reason},
    telemetry::{
        outcome::OutcomeGuard,
        throttle::Throttle,
        trace_context::{RequestId, TraceId},
    },
};

use super::{
    alarm::Alarm,
    answer::{Answer, Form},
    client::{Client, Peer},
    ending::deliver,
    gateway::{Gateway, body_bytes_max, head_denial, key_use, trusted_request_id},
    headers::{CorsFields, Signed},
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
    /// Every identity header in use with its value, the assertion among them; empty: there is none, and the client's must not
    /// go on.
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
    /// Whether nothing after the ask can be trusted.
    closes: bool,
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
    fn from(Refusal { answer, reason, closes }: Refusal) -> Self {
        Self { answer, end: End::Refused(reason), closes }
    }
}

impl Refusal {
    fn closing(self) -> Self {
        Self { closes: true, ..self }
    }
}

/// What every answer at a door depends on.
struct Context<'a> {
    published: &'a Arc<Published>,
    peer: &'a Peer,
    request_id: RequestId,
    form: Form,
}

/// Refuses what of a described request could mislead the asking proxy or its API.
type Check = fn(&Fields<'_>, &Config) -> Result<(), Denial<'static>>;

impl Gateway {
    /// The ask of a peer that may ask, on which the form of its answer depends in the way of `form_of`.
    ///
    /// # Errors
    /// The refusal of any other peer, and of what is no head of a request.
    fn hear<'a, C: Client>(
        &self,
        client: &'a C,
        published: &'a Arc<Published>,
        form_of: fn(&RequestHead<'_>) -> Form,
        outcome: &mut OutcomeGuard,
    ) -> Result<(Context<'a>, RequestHead<'a>), Refusal> {
        let request_id = self.telemetry.request_id(client.started());
        let mut context = Context { published, peer: client.peer(), request_id, form: Form::default() };
        outcome.decided(published.revision, None);
        outcome.identified(request_id, TraceId::default());
        let ask = client.head().map_err(|fault| context.refuse(&head_denial(fault)).closing())?;
        context.form = form_of(&ask);
        context.identify(&ask, outcome);
        outcome.request(ask.method, ask.target, context.peer.address);
        if context.peer.is_trusted() { Ok((context, ask)) } else { Err(context.refuse_stranger(outcome)) }
    }

    /// Judges a request that a proxy described, and got from its peer `source`.
    fn find(
        &self,
        context: &Context<'_>,
        head: &RequestHead<'_>,
        source: IpAddr,
        check: Check,
        outcome: &mut OutcomeGuard,
    ) -> Finding {
        let config = &context.published.config;
        let forwarded_for = head.fields.all("x-forwarded-for");
        let address = client_address(source, forwarded_for, &context.peer.listener.trusted_proxies);
        outcome.request(head.method, head.target, *address.as_ref().unwrap_or(&source));
        let read = address.map_err(|_| Denial::malformed_client_address()).and_then(|address| {
            check(&head.fields, config)?;
            Ok((Request::read(head, &config.policy)?, address))
        });
        match read {
            Ok((request, address)) => self.find_by_verdict(context, head, &request, address, outcome),
            Err(denial) => Finding::Refused(context.refuse(&denial)),
        }
    }

    /// Judges a request of one reading, sent by the client at `address`.
    fn find_by_verdict<'b>(
        &self,
        context: &Context<'_>,
        head: &RequestHead<'b>,
        request: &Request<'b>,
        address: IpAddr,
        outcome: &mut OutcomeGuard,
    ) -> Finding {
        let Published { revision, config, .. } = &**context.published;
        let origin = head.fields.only("origin").ok().flatten();
        // Requests under way are not counted at a door: nobody tells it when they end.
        let mut limiter = self.limits.for_request(address, config.failed_attempts);
        let now = SystemClock.now();
        let judgement = self.judge(context.published, request, address, now, &mut limiter);
        outcome.decided(*revision, judgement.key.map(key_use));
        let Judgement { verdict, route, key, strip_credential, .. } = judgement;
        let cors_of = |forwarding: usize| {
            config.forwardings[forwarding].cors.as_ref().map(|cors| CorsFields::of_answer(cors, origin))
        };
        let ends_at = key.and_then(|key| key.ends_at);
        let signed = Signed { assertions: &self.assertions, ends_at, now };
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
                context.go_on(&permit, request, strip_credential, signed, cors, outcome)
            }
            Ok(Verdict::Observe(permit, denial)) => {
                outcome.observed(denial.reason);
                let permit = permit.as_anonymous();
                let cors = cors_of(permit.route().forwarding);
                context.go_on(permit, request, strip_credential, signed, cors, outcome)
            }
        }
    }
}

/// Whether `Upgrade` names this protocol and no other.
fn asks_for(request: &Request<'_>, protocol: &[u8]) -> bool {
    matches!(request.fields().only("upgrade"), Ok(Some(value)) if value.eq_ignore_ascii_case(protocol))
}

impl Context<'_> {
    /// Goes by the id that the asking proxy has given to `request`.
    fn identify(&mut self, request: &RequestHead<'_>, outcome: &mut OutcomeGuard) {
        if let Some(id) = trusted_request_id(request, self.peer) {
            self.request_id = id;
            outcome.identified(id, TraceId::default());
        }
    }

    /// A request that may go on.
    fn go_on(
        &self,
        permit: &Permit<'_, '_>,
        request: &Request<'_>,
        strip_credential: bool,
        signed: Signed<'_>,
        cors: Option<CorsFields>,
        outcome: &mut OutcomeGuard,
    ) -> Finding {
        outcome.routed(&permit.route().pattern, permit.project());
        match self.permitted(permit, request, strip_credential, signed) {
            Ok(permitted) => {
                outcome.permitted(permit.needs().scopes);
                Finding::Permitted(Permitted { cors, ..permitted })
            }
            Err(denial) => Finding::Refused(self.refuse_with(&denial, cors)),
        }
    }

    /// What the asking proxy has to do with a permitted request.
    ///
    /// # Errors
    /// Where the identity does not fit or cannot be signed, the body is too large, or a credential cannot go on as it is.
    fn permitted(
        &self,
        permit: &Permit<'_, '_>,
        request: &Request<'_>,
        strip_credential: bool,
        signed: Signed<'_>,
    ) -> Result<Permitted, Denial<'static>> {
        let config = &self.published.config;
        let forwarding = &config.forwardings[permit.route().forwarding];
        body_bytes_max(forwarding, self.peer, request.body)?;
        let passes = |name: &str| {
            let value = request.fields().only(name).ok().flatten().filter(|_| !strip_credential);
            let value = str::from_utf8(value.unwrap_or_default()).map_err(|_| {
                // It would reach the API as another one.
                Denial::bad_request("A header that may carry a credential is not UTF-8.")
            })?;
            Ok::<_, Denial<'static>>((name.to_owned(), value.to_owned()))
        };
        let upgrades = forwarding.websocket && request.method() == "GET" && asks_for(request, b"websocket");
        Ok(Permitted {
            identity: self.identity(permit, signed)?,
            credentials: config.policy.credentials.names().map(passes).collect::<Result<_, _>>()?,
            upgrade: if upgrades { "websocket" } else { "" },
            cors: None,
        })
    }

    /// Every identity header with what is to be said, signed and unsigned.
    fn identity(
        &self,
        permit: &Permit<'_, '_>,
        Signed { assertions, ends_at, now }: Signed<'_>,
    ) -> Result<Vec<(String, String)>, Denial<'static>> {
        let config = &self.published.config;
        let scopes = &config.policy.scopes;
        let plain = identity_to_set(&config.identity, scopes, permit.principal(), permit.project())?;
        let mut assertions = assertions.borrow_mut();
        let token = assertions.token(self.published, permit, ends_at, now)?.unwrap_or_default();
        let signed = (config.assertion_header(), token.to_owned());
        Ok(plain.into_iter().chain([signed]).map(|(name, value)| (name.to_owned(), value)).collect())
    }

    fn refuse(&self, denial: &Denial<'_>) -> Refusal {
        self.refuse_with(denial, None)
    }

    fn refuse_with(&self, denial: &Denial<'_>, cors: Option<CorsFields>) -> Refusal {
        // Of gRPC, 200 would be the status of a refusal: no proxy that asks may take it for a yes.
        let form = Form { is_grpc: false, ..self.form };
        let answer = Answer::refusal(denial, &self.published.config, cors, &self.request_id, form);
        let answer = if self.form.is_grpc { answer.with_grpc_status(denial) } else { answer };
        Refusal { answer, reason: denial.reason, closes: false }
    }

    /// Refuses an ask that describes no request.
    fn refuse_ask(&self, error: AskError, outcome: &mut OutcomeGuard) -> Refusal {
        match error {
            AskError::Head(error) => self.refuse(&Denial::malformed_head(error)),
            AskError::Unclear(Unclear::Body) => self.refuse_unclear(Unclear::Body, outcome).closing(),
            AskError::Unclear(unclear) => self.refuse_unclear(unclear, outcome),
        }
    }

    fn refuse_stranger(&self, outcome: &mut OutcomeGuard) -> Refusal {
        static LINES: Throttle = Throttle::new();
        let (peer, door) = (self.peer.address, &self.peer.listener.address);
        LINES.speak(|suppressed| {
            tracing::warn!(suppressed, %peer, %door, "a door was asked by a peer that is not in its trusted_proxies");
        });
        outcome.has_problem(&"the peer is not in trusted_proxies of the door");
        self.refuse(&Denial::outside_table(Reason::DoorRefused, "This door is not for you."))
    }

    fn refuse_unclear(&self, unclear: Unclear, outcome: &mut OutcomeGuard) -> Refusal {
        static LINES: Throttle = Throttle::new();
        let (peer, door) = (self.peer.address, &self.peer.listener.address);
        LINES.speak(|suppressed| {
            tracing::warn!(suppressed, %peer, %door, "the proxy that asked at a door did not describe its client's request: {unclear}");
        });
        outcome.has_problem(&unclear);
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
